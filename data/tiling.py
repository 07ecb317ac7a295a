r"""Windows over a raster: those of training, and those of a map with the weights that blend them.

In training, all windows have one size and none reaches beyond the raster's edge, so the last window
of a row or column is moved back inside and overlaps the one before it. Along one axis, 10 pixels in
windows of size 4:

    0 1 2 3                   window 0
            4 5 6 7           window 1
                6 7 8 9       window 2
    0 0 0 0 1 1 1 2 2 2       the window that owns each pixel

A network may learn from a pixel twice. A count of pixels (of a class, or of the right ones among
them) may not: it takes from each window only the part that the window owns. In an overlap the
border runs through the middle, as far as possible from the rims of both windows, where a network
sees least. The own parts of all windows hold each pixel of the raster once.

In prediction, a scene is larger than memory, and a network is wrong at a window's rim: there, its
convolutions see zeros where the scene goes on. So windows overlap, the outer half of each overlap
does not count, and over RAMP pixels in its middle one window fades into the next:

    p(pixel) = sum_i w_i(pixel) p_i(pixel)        w_i(row, col) = u_i(row) v_i(col)

            size                         u_i along one axis, for two neighbours:
    |<---------------->|
    0 0 0 / 1 1 1 \ 0 0 0                 0 up to (overlap - RAMP) / 2 pixels from the rim,
              0 0 0 / 1 1 1 \ 0 0 0       then rising to 1; the sum over the windows is 1
              |<---->|
              overlap

Probabilities are blended, never classes. Once the overlap covers the receptive field, 2 * radius +
RAMP, only pixels whose whole receptive field lies in the window count, and the map is that of the
scene in one piece. Windows begin at multiples of STRIDE for the same reason: a network that halves
its input sees another pattern in a window that is shifted by an odd number.

At the scene's border the outer windows reach beyond it, into its mirror image, so that the pixels
there have a neighbourhood as well. (In training, windows at the border do not: there the rim is a
small part of the pixels.)

Read beside it: tests/data/test_tiling.py.
"""

import math
from typing import NamedTuple

import numpy as np

from data.grid import Window

STRIDE = 32  # pixels; a multiple of how far every network here shrinks its input
RAMP = 8  # pixels over which a window fades into its neighbour
LEAST = 256  # pixels; smaller windows would be little but rim
OVERLAP = 64  # pixels; tests/bench/bench_seams.py measures what more would gain


def starts(length: int, size: int) -> list[int]:
    """Return the first pixels of the windows along one axis of `length` pixels.

    >>> starts(8, 4)
    [0, 4]
    >>> starts(10, 4)
    [0, 4, 6]
    """
    return [0] if length <= size else [*range(0, length - size, size), length - size]


def own_parts(length: int, size: int) -> list[tuple[int, int]]:
    """Return the first pixel, and the end, of what each window of `starts` owns along one axis.

    >>> own_parts(10, 4)
    [(0, 4), (4, 7), (7, 10)]
    """
    first = starts(length, size)
    borders = [(before + size + after) // 2 for before, after in zip(first, first[1:])]
    return list(zip([0, *borders], [*borders, length]))


def windows(height: int, width: int, size: int) -> list[Window]:
    """Return the windows that cover a raster, row by row.

    All are size x size pixels; a window is smaller only where the raster is.
    """
    return [
        Window(row, col, min(size, height), min(size, width))
        for row in starts(height, size)
        for col in starts(width, size)
    ]


def owned(height: int, width: int, size: int) -> list[Window]:
    """Return the part that each window of `windows` owns, in the same order.

    Together the parts hold every pixel of the raster exactly once.
    """
    return [
        Window(top, left, bottom - top, right - left)
        for top, bottom in own_parts(height, size)
        for left, right in own_parts(width, size)
    ]


# Windows over a scene that is mapped: they overlap, and reach beyond its border.


def round_up(pixels: float, step: int) -> int:
    """Return the smallest multiple of `step` that is not less than `pixels`.

    >>> round_up(33, 32)
    64
    """
    return math.ceil(pixels / step) * step


def layout(size: int, overlap: int = OVERLAP) -> tuple[int, int]:
    """Choose size and overlap of the windows on a scene, both multiples of STRIDE.

    Both are rounded up, and no window is smaller than LEAST: a convolution does not mind a larger
    window.

    Args:
        size: Side in pixels of the windows that the network was trained on.
        overlap: Pixels that neighbouring windows share.

    >>> layout(512), layout(150), layout(300, 100)
    ((512, 64), (256, 64), (320, 128))
    """
    size = max(LEAST, round_up(size, STRIDE))
    return size, min(round_up(overlap, STRIDE), size - STRIDE)


class Axis(NamedTuple):
    """The windows along one axis of a scene.

    At each pixel of the scene the weights of the windows that hold it sum to one. Beyond the scene
    they are 0.
    """

    starts: list[int]  # first pixel of each window; negative before the scene
    size: int
    weights: np.ndarray  # (windows, size) float32

    def inside(self, number: int, length: int) -> tuple[int, int]:
        """Return first pixel and end of the part of a window that lies in the scene."""
        return max(self.starts[number], 0), min(self.starts[number] + self.size, length)

    def support(self, number: int) -> tuple[int, int]:
        """Return first pixel and end of the part of a window whose weight is not 0."""
        where = np.flatnonzero(self.weights[number])
        return self.starts[number] + int(where[0]), self.starts[number] + int(where[-1]) + 1


def axis(length: int, size: int, overlap: int) -> Axis:
    """Place the fewest windows that cover `length` pixels and at least STRIDE beyond each end.

    Windows step by size - overlap, and the last one is moved back as far as it may. A length that
    fits a window gets one window.

    Args:
        length: Pixels of the scene along this axis.
        size: Side of a window, as of `layout`.
        overlap: Pixels that neighbours share, as of `layout`.

    >>> axis(500, 256, 64).starts, axis(100, 256, 64).starts, axis(100, 256, 64).size
    ([-32, 160, 288], [-32], 192)
    """
    ramp = min(RAMP, overlap)
    rim = (overlap - ramp) // 2
    if length <= size:
        starts, size, rim = [-STRIDE], round_up(length + 2 * STRIDE, STRIDE), 0
    else:
        mirrored = max(STRIDE, rim)  # so that the scene's first pixel is in no rim
        margin = round_up(mirrored, STRIDE)
        last = round_up(margin + length + mirrored - size, STRIDE)  # counted from the first window
        starts = [start - margin for start in (*range(0, last, size - overlap), last)]
    pixel = np.arange(size)
    distance = np.minimum(pixel + 0.5, size - pixel - 0.5) - rim
    shape = np.clip(distance / ramp, 0, 1) if ramp else np.ones(size)
    total = np.zeros(length + 2 * size)
    for start in starts:
        total[start + size : start + 2 * size] += shape
    total[:size] = total[size + length :] = np.inf  # beyond the scene nothing counts
    weights = [shape / total[start + size : start + 2 * size] for start in starts]
    return Axis(starts, size, np.stack(weights).astype(np.float32))


class Tiling:
    """Rows and columns of windows over a scene, and the strips that the rows of windows complete.

    Strip i is the part of the scene that is complete once row i of the windows is blended. Below
    it, row i and row i + 1 share some rows of pixels:

        strips[i].row          shared_rows(i + 1)
        |      strip i         |<---->|
        |<---- windows of row i ----->|

    Attributes:
        rows, cols: The windows along each axis.
        strips: One window of the scene's width for each row of windows, from the top.
    """

    def __init__(self, height: int, width: int, size: int, overlap: int):
        self.height, self.width = height, width
        self.rows, self.cols = axis(height, size, overlap), axis(width, size, overlap)
        supports = [self.rows.support(row) for row in range(len(self.rows.starts))]
        self._ends = [end for _, end in supports]
        tops = [0, *(top for top, _ in supports[1:]), height]
        self.strips = [Window(top, 0, end - top, width) for top, end in zip(tops, tops[1:])]

    def shared_rows(self, row: int) -> int:
        """Return how many rows of pixels the windows of `row` share with those of the row above."""
        return max(0, self._ends[row - 1] - self.strips[row].row) if row else 0

    def blended_rows(self, row: int) -> tuple[int, int]:
        """Return first row and end of the pixels that the windows of `row` add to."""
        return self.strips[row].row, self._ends[row]
