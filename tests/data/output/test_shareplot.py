"""The picture of shares by date: bars measured pixel by pixel, positions, labels, long names."""

import numpy as np
import pytest

from data.classes import ClassTable
from data.output import lettering, shareplot
from data.output.preview import GAP, INK, LINE

ESM = ClassTable.load("esm")
TOP = GAP + LINE  # the first row of the bars in a picture


def draw(shares, days=None, table=ESM, names=(), labels=None):
    labels = labels or [f"{2010 + k}" for k in range(len(shares))]
    return shareplot.draw(np.array(shares, float), table, labels, days, "title", names)


def heights(picture: np.ndarray, table: ClassTable, column: int) -> list[int]:
    """Rows of each class in a column of the bars."""
    bar = picture[TOP : TOP + shareplot.HEIGHT, column]
    return [int((bar == color).all(-1).sum()) for color in table.colors]


def columns(picture: np.ndarray, color) -> np.ndarray:
    """The columns of the plot that show a colour in its full tone in most rows."""
    plot = picture[TOP : TOP + shareplot.HEIGHT]
    return np.flatnonzero((plot == color).all(-1).sum(0) > shareplot.HEIGHT / 2)


def test_a_bar_is_as_high_as_the_share_of_each_class():
    shares = [[0.25, 0.25, 0.5], [0.5, 0, 0.5], [0.9, 0.04, 0.06]]
    picture = draw(shares)
    bars = np.flatnonzero((picture[TOP + 2 : TOP + 20] == ESM.colors[0]).all((0, 2)))
    starts = bars[np.flatnonzero(np.diff(bars, prepend=-9) > 1)]
    assert len(starts) == 3
    for start, expected in zip(starts, shares):
        found = heights(picture, ESM, start + 5)
        assert np.abs(np.array(found) - shareplot.HEIGHT * np.array(expected)).max() <= 2


def test_the_first_class_is_on_top_as_in_the_legend():
    picture = draw([[0.6, 0, 0.4], [0.6, 0, 0.4]])
    column = columns(picture, ESM.colors[0])[5]
    assert picture[TOP + 5, column].tolist() == list(ESM.colors[0])
    assert picture[TOP + shareplot.HEIGHT - 5, column].tolist() == list(ESM.colors[2])
    # A class that never occurs has no swatch.
    assert not (picture == ESM.colors[1]).all(-1).any()


def test_between_two_bars_the_shares_lead_from_one_to_the_other_in_pale_colours():
    picture = draw([[1, 0, 0], [0, 0, 1]])
    first, last = columns(picture, ESM.colors[0]), columns(picture, ESM.colors[2])
    middle = picture[TOP : TOP + shareplot.HEIGHT, (first[-1] + last[0]) // 2]
    pale = [tuple(round(v + shareplot.PALE * (255 - v)) for v in color) for color in ESM.colors]
    counts = [(middle == color).all(-1).sum() for color in pale]
    assert counts[0] == pytest.approx(shareplot.HEIGHT / 2, abs=4)
    assert counts[2] == pytest.approx(shareplot.HEIGHT / 2, abs=4) and counts[1] == 0


def test_bars_stand_at_their_dates():
    shares = [[1, 0, 0]] * 3
    picture = draw(shares, days=[0, 100, 400])
    bars = columns(picture, ESM.colors[0])
    starts = bars[np.flatnonzero(np.diff(bars, prepend=-9) > 1)]
    assert (starts[2] - starts[0]) / (starts[1] - starts[0]) == pytest.approx(4, rel=0.02)
    bars = columns(draw(shares), ESM.colors[0])
    starts = bars[np.flatnonzero(np.diff(bars, prepend=-9) > 1)]
    assert (starts[2] - starts[0]) / (starts[1] - starts[0]) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_positions_keep_the_order_the_ends_and_a_distance(seed):
    random = np.random.default_rng(seed)
    days = np.sort(random.choice(4000, 12, replace=False)) + 730_000
    found = shareplot.positions(days, 50, 850)
    assert found[0] == 50 and found[-1] == pytest.approx(850)
    assert np.diff(found).min() > shareplot.APART - 1e-9
    assert len(shareplot.positions(range(200), 0, 100)) == 200  # even more than there is room for


def inked(picture: np.ndarray, text: str) -> bool:
    """Whether a text is written anywhere in a picture, with nothing else in its place."""
    ink, word = (picture == INK).all(-1), lettering.write(text)
    height, width = word.shape
    strips = np.lib.stride_tricks.sliding_window_view(ink, height, axis=0)
    begins = np.argwhere((strips == word[:, 0]).all(-1))
    return any(
        np.array_equal(ink[row : row + height, column : column + width], word)
        for row, column in begins
        if word[:, 0].any()
    )


def test_every_date_of_many_is_written_whole_and_apart():
    dates = [f"2021-06-{day:02}" for day in range(1, 11)] + ["2023-01-01", "2025-01-01"]
    days = [*range(10), 600, 1300]
    picture = draw([[0.5, 0.2, 0.3]] * 12, days, labels=dates)
    below = picture[TOP + shareplot.HEIGHT :]
    assert all(inked(below, day) for day in dates)


def test_twelve_classes_long_names_and_names_of_maps_fit_their_picture():
    records = [
        {"code": str(k), "name": f"{'long name ' * 12}{k}", "color": f"#{k * 20:02X}0000"}
        for k in range(12)
    ]
    table = ClassTable.from_records("x", records)
    names = [f"{'folder_' * 20}{k}.tif" for k in "ab"]
    picture = draw(np.full((2, 12), 1 / 12), None, table, names, ["map 1", "map 2"])
    assert picture.shape[1] < 1800
    short = lettering.fitted(names[1], 200)
    assert 150 < lettering.write(short).shape[1] <= 200
    assert short.startswith("folder_") and "..." in short and short.endswith("_b.tif")
    assert lettering.fitted("short.tif", 200) == "short.tif"
    legend = picture[TOP + LINE : TOP + 13 * LINE]  # below its heading
    assert inked(legend, "8.33 to 8.33 %")


def test_lines_lead_from_the_numbers_of_the_scale_to_the_first_bar():
    drawn = shareplot.draw(np.eye(3), ESM, 3 * ["2018-04-01"], None, "t")
    plot = drawn[GAP + LINE :][: shareplot.HEIGHT]
    lines = np.flatnonzero((plot == shareplot.LINES).all(-1).sum(1) > 8)
    assert lines.tolist() == [0, 100, 200, 299, 399]
