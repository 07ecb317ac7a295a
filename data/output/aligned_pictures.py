"""Pictures of a mask before and after alignment, beside the image.

The mask before alignment is drawn on its own grid. It is pale outside the image. Of a large image,
the part with the most borders between classes is drawn, because alignment changes borders.

Read beside it: tests/data/output/test_alignment.py.
"""

import itertools
from collections.abc import Callable

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Grid, Window
from data.output.preview import colored, png
from data.raster.covered import PIECE, THRESHOLD, enclosing, on_target
from data.raster.warp import between

SIDE = 512  # largest height and width of the part of an image
SHOWN = 1024  # largest height and width of a picture of a mask
ENLARGED = 256  # pictures with fewer rows and columns are enlarged
MOST_PIXELS = 2**22  # of the mask that are read for a picture
LATTICE = 4  # parts along each side of an image from which one is chosen
PALE = 0.75  # share of white where the mask lies outside the image

Labels = tuple[Callable[[Window], np.ndarray], Grid]  # reads labels (h, w) of a window; its grid


def draw(
    before: Labels,
    after: Labels,
    table: ClassTable,
    image: Callable[[Window], np.ndarray] | None = None,
) -> tuple[Window, dict[str, bytes]]:
    """Draw a mask before and after alignment.

    Args:
        before: The mask on its own grid.
        after: The mask on the grid of the image.
        table: The classes.
        image: Draws a window of the image as (h, w, 3) uint8.

    Returns:
        The part of the image that is shown, and {caption: bytes of a PNG file}.
    """
    read_after, target = after
    window = _chosen(read_after, target, _side(before[1], target))
    pictures = {} if image is None else {"image": image(window)}
    pictures["mask before, pale outside the image"] = _before(*before, target.window(window), table)
    pictures["mask after"] = colored(read_after(window), table)
    return window, {caption: png(_enlarged(drawn)) for caption, drawn in pictures.items()}


def _side(source: Grid, target: Grid) -> int:
    """Choose the side of the part to show, so that not too much of the source is read for it."""
    side = min(SIDE, max(target.height, target.width))
    while side > 1:
        height, width = min(side, target.height), min(side, target.width)
        middle = Window((target.height - height) // 2, (target.width - width) // 2, height, width)
        around = enclosing(source, target.window(middle))
        if around is None or around.height * around.width <= MOST_PIXELS:
            break
        side //= 2
    return side


def _chosen(read: Callable[[Window], np.ndarray], target: Grid, side: int) -> Window:
    """Find the part of a map with the most borders between classes, in a lattice of parts."""
    height, width = min(side, target.height), min(side, target.width)
    starts = [
        sorted(set(np.linspace(0, whole - part, LATTICE).astype(int).tolist()))
        for whole, part in ((target.height, height), (target.width, width))
    ]
    windows = [Window(row, col, height, width) for row, col in itertools.product(*starts)]
    return max(windows, key=lambda window: _borders(read(window))) if windows[1:] else windows[0]


def _borders(labels: np.ndarray) -> int:
    """Count the pairs of neighbours with different classes."""
    pairs = (labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])
    return sum(int(np.count_nonzero((a != b) & (a != IGNORE) & (b != IGNORE))) for a, b in pairs)


def _before(
    read: Callable[[Window], np.ndarray], source: Grid, target: Grid, table: ClassTable
) -> np.ndarray:
    """Draw the part (h, w, 3) of a mask that a target covers. It is pale outside the target."""
    around = enclosing(source, target)
    if around is None:  # the mask ends beside the target
        return colored(np.full((1, 1), IGNORE, np.uint8), table)
    step = -(-max(around.height, around.width) // SHOWN)
    rows = range(around.row + step // 2, around.row + around.height, step)
    lines = [read(Window(row, around.col, 1, around.width))[:, step // 2 :: step] for row in rows]
    labels, times = np.concatenate(lines), max(1, ENLARGED // max(around.height, around.width))
    labels = labels.repeat(times, 0).repeat(times, 1)
    a, b, _, d, e, _ = (step / times * value for value in source.transform)
    c, f = source.xy(around.row, around.col)
    shown = Grid(source.crs, (a, b, c, d, e, f), *labels.shape)
    pale = np.ones(labels.shape, bool)
    forward = between(shown, target, THRESHOLD)[1]
    everything = Window(0, 0, *labels.shape)
    for piece, met, index in forward.located(everything, forward.extent, PIECE):
        row, col, height, width = piece
        pale[row : row + height, col : col + width] = ~on_target(met, index.numpy())
    picture = colored(labels, table)
    return np.where(pale[..., None], picture * (1 - PALE) + 255 * PALE, picture).astype(np.uint8)


def _enlarged(picture: np.ndarray) -> np.ndarray:
    """Repeat the pixels of a small picture (h, w, 3)."""
    times = max(1, ENLARGED // max(picture.shape[:2]))
    return picture.repeat(times, 0).repeat(times, 1)
