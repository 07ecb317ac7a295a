"""Charts: points of curves by hand, ticks, gaps and dots."""

import math
import random
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import points

from unet.evaluation.charts import histograms, line_chart, scatter, tick_labels


def test_labels_of_a_chart_are_escaped():
    root = ElementTree.fromstring(line_chart({"<b>&": [1, 2], "c": [1, 2]}, [1, 2], '"<i>'))
    assert {"<b>&", '"<i>'} <= {element.text for element in root.iter()}


def test_points_of_a_curve_by_hand():
    # The plot reaches from x = 50 to 420 - 14 = 406, and from y = 270 - 40 = 230 for 0 up to 62 for
    # 1.
    lines, dots = points(line_chart({"loss": [1, 0.25, 0]}, [1, 2, 3], "Loss"))
    assert lines == [[(50, 62), (228, 188), (406, 230)]] and dots == []


def test_values_that_are_no_number_are_gaps_and_a_value_between_gaps_is_a_dot():
    values = [1, math.nan, 0.5, 0, None, math.inf]
    lines, dots = points(line_chart({"loss": values}, [1, 2, 3, 4, 5, 6], "Loss"))
    assert dots == [(50, 62)]
    assert lines == [[(192.4, 146), (263.6, 230)]]  # 50 + 356 * 2/5 and 3/5


def test_single_epoch_is_a_dot_in_the_middle():
    lines, dots = points(line_chart({"training": [1.0], "validation": [0.0]}, [1], "Loss", mark=1))
    assert lines == [] and dots == [(228, 62), (228, 230)]


def test_flat_line_stands_at_its_height_above_zero():
    lines, _ = points(line_chart({"lr": [5e-4, 5e-4]}, [1, 2], "Learning rate"))
    assert lines == [[(50, 62), (406, 62)]]
    lines, _ = points(line_chart({"lr": [0.5, 0.5 + 1e-16]}, [1, 2], "equal but for rounding"))
    assert lines == [[(50, 62), (406, 62)]]


def test_long_numbers_have_the_space_that_they_need():
    chart = line_chart({"lr": [9e-4, 6.6e-4]}, [1, 2], "Learning rate", width=240)
    texts = [
        element for element in ElementTree.fromstring(chart).iter() if element.text == "0.00065"
    ]
    assert len(texts) == 1 and texts[0].get("text-anchor") == "end"
    assert float(texts[0].get("x")) >= 7 * 7  # seven letters of 11.5 pixels, 7 pixels wide at most
    lines, _ = points(chart)
    assert lines[0][0][0] == 8 + 7 * 7  # the plot begins at their right


def test_best_epoch_is_marked_at_its_place():
    svg = line_chart({"loss": [1, 0.5, 0]}, [1, 2, 3], "Loss", mark=2)
    assert '<path d="M228.0 62V230"' in svg and ">best: 2<" in svg
    assert "best" not in line_chart({"loss": [1, 0.5, 0]}, [1, 2, 3], "Loss")


def test_a_chart_names_the_curves_that_have_no_finite_value():
    svg = line_chart({"training": [1, 2], "validation": [math.nan] * 2}, [1, 2], "Loss")
    assert "epoch; no finite value: validation" in svg
    lines, dots = points(line_chart({"loss": [math.nan] * 3}, [1, 2, 3], "Loss"))
    assert lines == [] and dots == []


@pytest.mark.parametrize(
    "low, high, texts",
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.31, 0.92, ["0.2", "0.4", "0.6", "0.8", "1.0"]),
        (1, 40, ["0", "10", "20", "30", "40"]),
        (0, 5e-4, ["0", "0.0001", "0.0002", "0.0003", "0.0004", "0.0005"]),
        (-3e6, 1e6, ["-3e+06", "-2e+06", "-1e+06", "0", "1e+06"]),
    ],
)
def test_ticks_have_the_values_a_person_would_choose(low, high, texts):
    assert list(tick_labels(low, high, 5).values()) == texts


def test_ticks_cover_any_range_with_few_different_texts():
    rng = random.Random(0)
    for _ in range(500):
        low = rng.uniform(-1, 1) * 10 ** rng.uniform(-4, 4)
        high = low + abs(low) * 10 ** rng.uniform(-2, 2)
        ticks = tick_labels(low, high, 5)
        step = np.diff(list(ticks))
        slack = 1e-6 * step[0]
        assert min(ticks) <= low + slack and max(ticks) >= high - slack and 3 <= len(ticks) <= 8
        np.testing.assert_allclose(step, step[0], rtol=1e-6)
        assert f"{step[0]:.0e}"[0] in "125" and len(set(ticks.values())) == len(ticks)
        assert all(math.isclose(float(text), value, abs_tol=slack) for value, text in ticks.items())


def test_epochs_are_ticked_at_whole_numbers_inside_the_run():
    for last in range(1, 120):
        root = ElementTree.fromstring(line_chart({"y": [0] * last}, list(range(1, last + 1)), "t"))
        row = [e.text for e in root.iter() if e.get("y") == "247.0"]  # below the axis at 230
        assert 1 <= len(row) <= 8 and all(1 <= int(text) <= last for text in row)


def test_dots_of_a_scatter_plot_by_hand():
    # From 0 % at (50, 346) to 100 % at (366, 30).
    _, dots = points(scatter([(0, 0), (100, 100), (50, 25)]))
    assert dots == [(50, 346), (366, 30), (208, 267)]


def test_a_fitted_line_reaches_from_the_smallest_to_the_largest_truth_inside_the_plot():
    # x: 50 + 3.16 per per cent; y: 346 - 3.16 per per cent.
    pairs = [(0, 10), (50, 30), (100, 60)]
    lines, _ = points(scatter(pairs, (0.5, 10)))
    assert lines == [[(50, 314.4), (366, 156.4)]]
    lines, _ = points(scatter([(20, 0), (80, 100)], (2, -60)))  # at 0 % for 30, at 100 % for 80
    assert lines == [[(144.8, 346), (302.8, 30)]]
    lines, _ = points(scatter([(20, 50), (100, 50)], (0, 50)))
    assert lines == [[(113.2, 188), (366, 188)]]
    assert points(scatter(pairs))[0] == points(scatter(pairs, (math.nan, math.nan)))[0] == []


def bars(svg):
    """Of an SVG text: for each histogram, (left edge, top, right edge, bottom) of its bars."""
    paths = [e for e in ElementTree.fromstring(svg).iter() if e.get("class") == "bars"]
    found = []
    for path in paths:
        each = re.findall(r"M(\S+) (\d+)V([\d.]+)H([\d.]+)V", path.get("d"))
        found.append([(float(x), float(y), float(to), int(bottom)) for x, bottom, y, to in each])
    return found


def test_bars_of_two_histograms_by_hand():
    # Twenty bins of 5 % are 15.8 wide, from x = 50. Three images are as high as the plot, 120.
    truth, prediction = bars(histograms([(5, 95), (9.9, 100), (10, 100.00000001), (50, 0)]))
    bottom = 30 + 120
    assert truth == [
        (65.8, bottom - 80, 81.6, bottom),
        (81.6, bottom - 40, 97.4, bottom),
        (208, bottom - 40, 223.8, bottom),
    ]
    bottom = 226 + 120
    assert prediction == [(50, bottom - 40, 65.8, bottom), (350.2, 226, 366, bottom)]


def test_every_image_is_in_one_bar_of_each_histogram():
    random = np.random.default_rng(0)
    for scale in 0.3, 7, 100:
        svg = histograms((random.random((40, 2)) * scale).tolist())
        texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        most = max(int(text.text) for text in texts if text.get("text-anchor") == "end")
        for plot in bars(svg):
            images = sum((bottom - y) / 120 * most for _, y, _, bottom in plot)
            assert images == pytest.approx(40, abs=0.1)


def test_histograms_without_an_image_have_axes_all_the_same():
    assert bars(histograms([])) == [[], []]


def test_a_scatter_plot_without_a_dot_has_axes_all_the_same():
    _, dots = points(scatter([]))
    assert dots == []
