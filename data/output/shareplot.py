"""A picture of the shares of classes by date: a stacked bar for each date.

Bars stand at their dates. Dates that are close together are drawn APART pixels apart. The ground
between two bars leads from the shares of one to those of the next, in paler colours. Without dates
the distances of the bars are equal, and the names of the maps stand below.

Read beside it: tests/data/output/test_shareplot.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.output import lettering
from data.output.preview import (
    FRAME,
    GAP,
    INK,
    LINE,
    above,
    beside,
    legend_column,
    text_line,
    write_png,
)
from data.output.series import Series, Timeline

HEIGHT, EACH, LEAST = 400, 90, 480  # pixels: height of a bar, width for each map, smallest width
APART, WIDEST = 12, 48  # pixels: smallest distance of two bars, largest width of a bar
SCALE, LINES = (100, 75, 50, 25, 0), (225, 225, 225)  # per cent at the left; colour of their lines
PALE = 0.6  # share of white between the bars


def write(path: Path, table: ClassTable, series: Series, maps: Timeline) -> None:
    """Draw the shares of a series, and write them as a PNG file."""
    area, unit = series.areas[0].sum(), series.whole.unit
    amount = f"{area:,.1f} km2" if unit == "km2" else f"{area:,.0f} pixels"
    title = f"Shares of the {amount} that have a class in all {len(maps.paths)} maps"
    names = [] if maps.dates else maps.names
    write_png(path, draw(series.shares, table, maps.labels, maps.days, title, names))


def draw(
    shares: np.ndarray,
    table: ClassTable,
    labels: Sequence[str],
    days: Sequence[float] | None,
    title: str,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Draw shares as stacked bars, the first class on top, with dates and a legend.

    Args:
        shares: (N, K), the share of each class at each date.
        table: The K classes.
        labels: A label for each bar.
        days: The day of each, ascending; None for equal distances.
        title: A line above.
        names: A line below for each map, or none.

    Returns:
        (h, w, 3) uint8.
    """
    occur = np.flatnonzero(shares.any(0))
    width = max(LEAST, EACH * len(labels))
    half = max(WIDEST, *(lettering.write(label).shape[1] for label in labels)) // 2
    middles = positions(days or range(len(labels)), half + 1, width - half - 1)
    bars = _bars(shares[:, occur], np.array(table.colors)[occur], middles, width)
    plot = above(bars, _axis(labels, middles, width))
    first, *_, last = shares
    entries = [
        (
            table.colors[k],
            f"{lettering.fitted(table.names[k])}  {100 * first[k]:.2f} to {100 * last[k]:.2f} %",
        )
        for k in occur
    ]
    rows = HEIGHT // LINE
    columns = [legend_column(entries[at : at + rows]) for at in range(0, len(entries), rows)]
    legend = above(text_line("Shares in the first and the last map"), beside(*columns))
    lines = [
        text_line(f"{label}: {lettering.fitted(name, width)}") for label, name in zip(labels, names)
    ]
    whole = above(text_line(title), beside(_scale(), plot, legend), *lines)
    return np.pad(whole, [(GAP, GAP), (GAP, GAP), (0, 0)], constant_values=255)


def positions(days: Sequence[float], left: float, right: float) -> np.ndarray:
    """Place ascending days between two pixels, at least APART pixels from each other.

    >>> positions([0, 1, 4], 10, 50).tolist(), positions([0, 0.001, 4], 10, 50).tolist()
    ([10.0, 22.0, 50.0], [10.0, 22.0, 50.0])
    """
    distances = np.diff(np.asarray(days, float))
    pixels = (right - left) * distances / distances.sum()
    least = min(APART, (right - left) / len(pixels))
    # Close dates are moved apart, and the others are moved together for it.
    spare = np.maximum(pixels - least, 0)
    free = right - left - least * len(pixels)
    steps = least + spare * (free / spare.sum() if spare.sum() else 0)
    return left + np.concatenate([[0], np.cumsum(steps)])


def _bars(shares: np.ndarray, colors: np.ndarray, middles: np.ndarray, width: int) -> np.ndarray:
    """Draw the bars, and what leads from one to the next, as (HEIGHT, width, 3) uint8."""
    wide = int(np.clip(np.diff(middles).min() * 0.5, 5, WIDEST))
    edges = np.stack([middles - wide / 2, middles + wide / 2])  # (2, N)
    x, y = np.arange(width) + 0.5, (np.arange(HEIGHT) + 0.5) / HEIGHT
    # A bar has the same shares at both of its edges, and is straight between them.
    sums = np.cumsum(shares, axis=1).T.repeat(2, axis=1)  # (K, 2 N)
    borders = np.stack([np.interp(x, edges.T.ravel(), line) for line in sums])  # (K, width)
    classes = (borders[:-1, None, :] <= y[None, :, None]).sum(0)  # (HEIGHT, width)
    paler = np.rint(colors + PALE * (255 - colors)).astype(np.uint8)
    inside = ((x >= edges[0][:, None]) & (x < edges[1][:, None])).any(0)
    drawn = np.where(inside[None, :, None], colors.astype(np.uint8)[classes], paler[classes])
    drawn[:, inside & ~(np.roll(inside, 1) & np.roll(inside, -1))] = FRAME
    drawn[[0, -1]] = FRAME
    outside = (x < edges[0, 0]) | (x >= edges[1, -1])
    drawn[:, outside] = 255
    # Lines from the scale to the first bar, and from the last bar on.
    drawn[np.ix_(_rows(), outside)] = LINES
    return drawn


def _rows() -> list[int]:
    """Return the rows of the numbers of the scale."""
    return [round((HEIGHT - 1) * (1 - percent / 100)) for percent in SCALE]


def _scale() -> np.ndarray:
    """Draw the scale from 100 % to 0 % at the left, as (h, w, 3) uint8."""
    words = [lettering.write(f"{percent} %") for percent in SCALE]
    width = max(word.shape[1] for word in words) + GAP
    drawn = np.full((HEIGHT + LINE, width, 3), 255, np.uint8)
    for row, word in zip(_rows(), words):
        drawn[row, -GAP // 2 :] = FRAME
        top = max(0, row - len(word) // 2)
        here = drawn[top : top + len(word), -GAP - word.shape[1] : -GAP]
        here[word] = INK
    return drawn


def _axis(labels: Sequence[str], middles: np.ndarray, width: int) -> np.ndarray:
    """Draw the labels below their bars, in as many lines as they need to be apart."""
    words = [lettering.write(label) for label in labels]
    ends: list[float] = []  # of the last label of each line
    places = []
    for word, middle in zip(words, middles):
        left = int(middle) - word.shape[1] // 2
        line = next((k for k, end in enumerate(ends) if end + 2 * GAP <= left), len(ends))
        ends[line : line + 1] = [left + word.shape[1]]
        places.append((line, max(0, left)))
    drawn = np.full((len(ends) * LINE + GAP, width, 3), 255, np.uint8)
    for (line, _), middle in zip(places, middles):
        drawn[: line * LINE + GAP - 2, int(middle)] = FRAME
    for (line, left), word in zip(places, words):
        top = line * LINE + GAP
        here = drawn[top : top + len(word), left : left + word.shape[1]]
        here[:] = 255
        here[word[:, : here.shape[1]]] = INK
    return drawn
