"""Pictures of a map with titles, a scale bar, and a key: a legend, or a colour bar.

    img_landcover.png                image, map and legend
    img_landcover_overlay.png        the map over the image, and the legend
    img_landcover_probabilities.png  a panel for each class, and one colour bar
    img_landcover_uncertainty.png    a panel for each measure, and one colour bar

Numbers from 0 to 1 are drawn in viridis (Smith and van der Walt 2015). Its luminance increases from
end to end. So the order is visible in grey and with any colour vision. No-data is hatched, because
black is close to the colour of 0. `Panels` collects every n-th row and column of each layer, strip
by strip, so that memory does not depend on the scene. The pixels of a small image are repeated.

Read beside it: tests/data/output/test_panels.py.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data import bands
from data.classes import ClassTable
from data.grid import Grid
from data.input.filenames import date_of
from data.output import lettering, scalebar
from data.output.preview import (
    FRAME,
    GAP,
    INK,
    LINE,
    SIDE,
    Thinned,
    above,
    beside,
    legend,
    text_line,
)
from data.output.styles import VIRIDIS

ENLARGED = 320  # a picture is enlarged while no side exceeds this
TITLE = 160  # pixels: smallest width of a picture with its title
WIDTH = 1600  # pixels: width of all panels together
SHAPE = 1.3  # width of all panels together, divided by their height
WIDE = 2  # pictures wider than this many heights are put below each other
BAR, TICKS = 20, (0, 0.25, 0.5, 0.75, 1)  # the colour bar: width in pixels, numbers beside it
HATCH, STRIPE = ((255, 255, 255), (150, 150, 150)), 3  # no-data: two colours, pixels of a stripe


def ramp() -> np.ndarray:
    """Return the colours (256, 3) uint8 of the numbers 0, 1/255, ..., 1."""
    known = np.array([[*bytes.fromhex(color[1:])] for color in VIRIDIS])
    at, places = np.linspace(0, 1, 256), np.linspace(0, 1, len(known))
    return np.stack([np.interp(at, places, part) for part in known.T], 1).round().astype(np.uint8)


def shaded(numbers: np.ndarray) -> np.ndarray:
    """Draw numbers (h, w) from 0 to 1 in the colours of `ramp`; NaN is hatched.

    Returns:
        (h, w, 3) uint8.
    """
    known = np.isfinite(numbers)
    steps = np.rint(255 * np.clip(np.where(known, numbers, 0), 0, 1)).astype(np.uint8)
    row, col = np.indices(numbers.shape)
    stripes = np.array(HATCH, np.uint8)[(row + col) // STRIPE % 2]
    return np.where(known[..., None], ramp()[steps], stripes)


def color_bar(height: int, hatched: bool) -> np.ndarray:
    """Draw the colours from 1 at the top to 0, with numbers, and what hatched pixels are.

    Returns:
        (h, w, 3) uint8, at least `height` pixels high.
    """
    height = max(height, LINE * len(TICKS))
    words = [lettering.write(f"{tick:g}") for tick in TICKS]
    drawn = np.full((height, BAR + GAP + max(word.shape[1] for word in words), 3), 255, np.uint8)
    drawn[:, :BAR] = shaded(np.linspace(1, 0, height)[:, None].repeat(BAR, 1))
    for tick, word in zip(TICKS, words):
        row = round((height - 1) * (1 - tick))
        drawn[row, BAR : BAR + GAP // 2] = FRAME
        top = min(max(0, row - len(word) // 2), height - len(word))
        drawn[top : top + len(word), BAR + GAP : BAR + GAP + word.shape[1]][word] = INK
    if not hatched:
        return drawn
    gap, square = np.full((GAP, 1, 3), 255, np.uint8), shaded(np.full((16, BAR), np.nan))
    return above(drawn, gap, beside(square, text_line("no data")))


def titled(cells: Sequence[tuple[np.ndarray, str]]) -> np.ndarray:
    """Put pictures (h, w, 3) side by side, each below its title, with the upper edges aligned."""
    titles = [lettering.wrapped(title, max(TITLE, one.shape[1])) for one, title in cells]
    most = max(map(len, titles))
    columns = []
    for (picture, _), words in zip(cells, titles):
        lines = [text_line(word) for word in [""] * (most - len(words)) + words]
        width = max(TITLE, picture.shape[1])
        columns.append(above(np.full((0, width, 3), 255, np.uint8), *lines, picture))
    return beside(*columns)


def sheet(
    cells: Sequence[tuple[np.ndarray, str]],
    columns: int,
    key: np.ndarray,
    bar: np.ndarray,
    below: bool = False,
) -> np.ndarray:
    """Arrange pictures of one size in rows, with a scale bar below them, and a key.

    Args:
        cells: The pictures (h, w, 3) and their titles.
        columns: Pictures in a row.
        key: The legend or the colour bar (h, w, 3).
        bar: The scale bar (h, w, 3).
        below: Whether the key is below the pictures. Otherwise it is at their right.

    Returns:
        (h, w, 3) uint8, with a white margin.
    """
    rows = [titled(cells[at : at + columns]) for at in range(0, len(cells), columns)]
    gap = np.full((2 * GAP, 1, 3), 255, np.uint8)
    pictures = above(*(part for row in rows for part in (row, gap)), bar)
    top = len(rows[0]) - len(cells[0][0])  # the key begins beside the first picture
    lower = np.pad(key, [(top, 0), (0, 0), (0, 0)], constant_values=255)
    whole = above(pictures, gap, key) if below else beside(pictures, lower)
    return np.pad(whole, [(GAP, GAP), (GAP, GAP), (0, 0)], constant_values=255)


def with_legend(
    pictures: Sequence[tuple[np.ndarray, str]],
    labels: np.ndarray,
    table: ClassTable,
    grid: Grid,
    step: int,
) -> np.ndarray:
    """Put pictures side by side, or wide ones below each other, with a scale bar and a legend.

    Args:
        pictures: Pictures (h, w, 3) of every `step`-th row and column, and their titles.
        labels: The map (h, w) whose classes the legend names.
        table: The classes of the map.
        grid: The grid of the whole map.
        step: See `pictures`.

    Returns:
        (h, w, 3) uint8.
    """
    times = repeats(*labels.shape)
    height, width = (times * side for side in labels.shape)
    wide = width > max(ENLARGED, WIDE * height)
    key = legend(labels, table, 0 if wide else height)
    bar = scalebar.draw(grid, step / times, width)
    cells = [(enlarged(picture, times), title) for picture, title in pictures]
    return sheet(cells, 1 if wide else len(cells), key, bar, below=wide)


def image_title(names: Sequence[str], path: Path) -> str:
    """Name the bands that `preview.rgb` shows, and the date in the name of the image.

    A date that may be 3 April or 4 March is left out.

    >>> image_title(["Blue", "Green", "Red"], Path("town_2021-06-01.tif"))
    'image: Red, Green, Blue, 2021-06-01'
    >>> image_title(["VV"], Path("town_03_04_2021.tif"))
    'image: VV'
    """
    shown = dict.fromkeys(names[k] for k in bands.rgb(names))
    form, (year, month, day, _) = date_of(path) or ("", (0, 0, 0, 0))
    if form == "day-month-year" and day <= 12 and day != month:
        year = month = day = 0
    date = "-".join(f"{number:02}" for number in (year, month, day) if number)
    return f"image: {', '.join([*shown, *filter(None, [date])])}"


def repeats(height: int, width: int, most: int = ENLARGED) -> int:
    """Return how often pixels are repeated, so that no side of a small picture exceeds `most`."""
    return max(1, most // max(height, width))


def enlarged(drawn: np.ndarray, times: int) -> np.ndarray:
    """Repeat the pixels of (h, w, ...)."""
    return drawn.repeat(times, 0).repeat(times, 1)


def arrangement(height: int, width: int, count: int) -> tuple[int, int]:
    """Choose the columns of `count` panels of a raster, and the largest side of a panel.

    >>> arrangement(100, 100, 1), arrangement(100, 100, 12), arrangement(100, 100, 44)
    ((1, 1024), (4, 400), (8, 200))
    """
    if count == 1:
        return 1, SIDE
    columns = math.ceil(math.sqrt(SHAPE * count * height / width))
    columns = min(columns, count, WIDTH // TITLE)
    return columns, min(SIDE, WIDTH // columns * max(height, width) // width)


class Panels:
    """Layers of numbers from 0 to 1 that come in strips, drawn as a panel for each layer."""

    def __init__(self, grid: Grid, names: Sequence[str]):
        self._grid, self._names = grid, names
        self._columns, self._side = arrangement(grid.height, grid.width, len(names))
        self._thinned = Thinned(grid.height, grid.width, self._side)

    def add(self, layers: np.ndarray) -> None:
        """Add the next rows (layers, h, W). No-data is NaN."""
        self._thinned.add(layers)

    def draw(self) -> np.ndarray:
        """Draw all layers, as (h, w, 3) uint8."""
        layers, step = self._thinned.array(), self._thinned.step
        height, width = layers.shape[1:]
        times = repeats(height, width, min(ENLARGED, self._side))
        cells = [(shaded(enlarged(layer, times)), name) for layer, name in zip(layers, self._names)]
        key = color_bar(min(ENLARGED, times * height), not np.isfinite(layers).all())
        bar = scalebar.draw(self._grid, step / times, times * width)
        return sheet(cells, self._columns, key, bar)
