"""Charts: points of curves by hand, ticks, gaps and dots."""

import math
import random
from xml.etree import ElementTree

import numpy as np
import pytest

from unet.evaluation.charts import bars, line_chart, run_curves, run_style, scatter, tick_labels


def test_labels_of_a_chart_are_escaped():
    root = ElementTree.fromstring(line_chart({"<b>&": [1, 2], "c": [1, 2]}, [1, 2], '"<i>'))
    assert {"<b>&", '"<i>'} <= {element.text for element in root.iter()}


def points(svg):
    """Of an SVG text: the lines and the dots, as lists of (x, y)."""
    root = ElementTree.fromstring(svg)
    lines = [e.get("points") for e in root.iter("{http://www.w3.org/2000/svg}polyline")]
    dots = [
        (float(e.get("cx")), float(e.get("cy")))
        for e in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in lines], dots


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


def test_a_scatter_plot_without_a_dot_has_axes_all_the_same():
    _, dots = points(scatter([]))
    assert dots == []


def test_bars_by_hand():
    """From 0 at x = 4 to 1 at 372. A name, its two bars of 13 each, and the next name."""
    root = ElementTree.fromstring(bars({"a&b": [1, 0.25], "c" * 90: [math.nan, 0]}, "IoU"))
    found = [e for e in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert [float(e.get("width")) for e in found] == [368, 92, 0, 0]
    assert [float(e.get("y")) for e in found] == [62, 75, 114, 127]
    assert [e.get("fill") for e in found] == 2 * [run_style(0)[0], run_style(1)[0]]
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    names = "a&b", "1.000", "0.250", "c" * 63 + "\N{HORIZONTAL ELLIPSIS}", "\N{EN DASH}", "0.000"
    assert texts[-6:] == list(names)


def test_curves_of_runs_share_their_axes():
    """Runs of 3 and of 2 epochs: epoch 2 is in the middle. 0 is at y = 230, 1 at 36."""
    lines, dots = points(run_curves([[1, 0.5, 0], [0, 1]], "Dice"))
    assert lines == [[(50, 36), (228, 133), (406, 230)], [(50, 230), (228, 36)]] and dots == []
    lines, dots = points(run_curves([[math.nan], [0.5]], "Dice"))
    assert lines == [] and len(dots) == 1


def test_56_runs_have_styles_of_their_own():
    assert len({run_style(number) for number in range(56)}) == 56
