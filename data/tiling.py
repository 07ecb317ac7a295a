"""Windows over a raster, and their predictions blended back into one map without seams.

A scene is larger than memory, and a network sees less at a window's border than in its middle. So
the windows overlap, and where they do, each counts by how far the pixel lies from its border:

    p(pixel) = sum_i w_i(pixel) p_i(pixel) / sum_i w_i(pixel)

with w a pyramid, 1 at the rim and rising to the middle: it is never 0, so that every pixel has an
answer, and the quotient makes the weights sum to one everywhere, at corners too. Probabilities are
blended, never classes.

Read beside it: tests/test_tiling.py.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from data.grid import Window


def starts(length: int, size: int, overlap: int = 0) -> list[int]:
    """First pixels of the windows along one axis: steps of size - overlap, the last one moved back inside.

    >>> starts(10, 4, 1)
    [0, 3, 6]
    >>> starts(11, 4, 1)
    [0, 3, 6, 7]
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than the size {size}")
    return [0] if length <= size else [*range(0, length - size, size - overlap), length - size]


def windows(height: int, width: int, size: int, overlap: int = 0) -> list[Window]:
    """The windows that cover a raster, row by row; all size x size, smaller only where the raster is."""
    return [
        Window(row, col, min(size, height), min(size, width))
        for row in starts(height, size, overlap)
        for col in starts(width, size, overlap)
    ]


def blend_weights(height: int, width: int) -> np.ndarray:
    """(height, width) float32: distance to the nearer rim, rows times columns; [1, 2, 2, 1] for 4."""
    rows, cols = (np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in (height, width))
    return np.outer(rows, cols).astype(np.float32)


def stitch(predictions: Iterable[tuple[Window, np.ndarray]], height: int, width: int) -> Iterator[np.ndarray]:
    """Blend windows (K, h, w) float, given in the order of `windows`, into strips (K, rows, width), top to bottom.

    A strip leaves as soon as no later window can touch it, so memory holds one row of windows,
    whatever the height of the scene. Raises ValueError where a pixel was covered by no window.
    """
    total = weight = None
    top = 0  # the scene's row that the buffers' first row stands for

    def finished(rows: int) -> np.ndarray:
        if rows > len(weight) or not weight[:rows].all():
            raise ValueError("the windows leave pixels uncovered")
        return total[:, :rows] / weight[:rows]

    for window, values in predictions:
        if total is None:
            total = np.zeros((len(values), 0, width), np.float32)
            weight = np.zeros((0, width), np.float32)
        if window.row > top:
            yield finished(window.row - top)
            total, weight = total[:, window.row - top :], weight[window.row - top :]
            top = window.row
        missing = window.row + window.height - top - weight.shape[0]
        if missing > 0:
            total = np.concatenate([total, np.zeros((len(values), missing, width), np.float32)], axis=1)
            weight = np.concatenate([weight, np.zeros((missing, width), np.float32)])
        blend = blend_weights(window.height, window.width)
        rows = slice(window.row - top, window.row - top + window.height)
        cols = slice(window.col, window.col + window.width)
        total[:, rows, cols] += values * blend
        weight[rows, cols] += blend
    if weight is None or top + weight.shape[0] != height:
        raise ValueError("the windows end before the raster does")
    yield finished(height - top)
