r"""Windows over a raster: for training, and for prediction with weights that blend their overlaps.

In training, all windows have one size and lie inside the raster. So the last window of a row or
column is moved back, and overlaps the one before it. Ten pixels of one axis in windows of size 4:

    0 1 2 3                   window 0
            4 5 6 7           window 1
                6 7 8 9       window 2
    0 0 0 0 1 1 1 2 2 2       the window that owns each pixel

A network may be trained on a pixel twice. But a count of pixels (of a class, or of correct labels)
must hold each pixel once. So each pixel is owned by one window, which alone counts it. The border
between two owned parts is the middle of the overlap. There a pixel is as far as possible from the
rims of both windows. At a rim, a network has the least context.

In prediction, the image (scene) may be larger than memory, so windows are predicted. Predictions
are worst at the rim of a window, because convolutions get zeros in place of the pixels beyond it.
So windows overlap. The outer part of each overlap has weight 0. Over RAMP pixels in the middle of
the overlap, the weight of one window falls and that of the next rises:

    p(pixel) = sum_i w_i(pixel) p_i(pixel)        w_i(row, col) = u_i(row) v_i(col)

            size                         u_i along one axis, for two neighbours:
    |<---------------->|
    0 0 0 / 1 1 1 \ 0 0 0                 0 up to (overlap - RAMP) / 2 pixels from the rim,
              0 0 0 / 1 1 1 \ 0 0 0       then rising to 1; the sum over the windows is 1
              |<---->|
              overlap

The last window is moved back, so its overlap may be larger. All weights are divided by their sum.

Here p_i are the probabilities predicted in window i. Let r be the radius of the network's receptive
field: how far a pixel of the map sees (unet/unet.py). With an overlap of at least 2 * r + RAMP, the
receptive field of every pixel with a weight above 0 lies in its window. The map then equals a
prediction of the whole scene at once. This also requires that windows begin at multiples of STRIDE.
A network reduces its input by a factor. If the input is shifted by a number of pixels that the
factor does not divide, the values change.

At the border of the scene, the outer windows extend beyond it, into its mirror image. So pixels at
the border have a neighbourhood, too. (In training, windows do not extend beyond the raster.)

Read beside it: tests/data/test_tiling.py.
"""

import math
from typing import NamedTuple

import numpy as np

from data.grid import Window

STRIDE = 32  # pixels; a multiple of the factor by which each network reduces its input
RAMP = 8  # pixels over which the weight of a window falls from 1 to 0
LEAST = 256  # pixels; in smaller windows most pixels are near an edge
OVERLAP = 64  # pixels; tests/bench/bench_seams.py measures larger overlaps


def starts(length: int, size: int, stride: int = 0) -> list[int]:
    """Return the first pixels of the windows along one axis of `length` pixels.

    Windows begin every `stride` pixels, by default every `size` pixels.

    >>> starts(8, 4)
    [0, 4]
    >>> starts(10, 4), starts(10, 4, stride=2)
    ([0, 4, 6], [0, 2, 4, 6])
    """
    return [0] if length <= size else [*range(0, length - size, stride or size), length - size]


def own_parts(length: int, size: int) -> list[tuple[int, int]]:
    """Return (first pixel, end) of the part that each window of `starts` owns along one axis.

    >>> own_parts(10, 4)
    [(0, 4), (4, 7), (7, 10)]
    """
    first = starts(length, size)
    borders = [(before + size + after) // 2 for before, after in zip(first, first[1:])]
    return list(zip([0, *borders], [*borders, length]))


def windows(height: int, width: int, size: int, stride: int = 0) -> list[Window]:
    """Return the windows that cover a raster, row by row, at the positions of `starts`.

    All windows have size x size pixels, or the height or width of a raster that is smaller.
    """
    return [
        Window(row, col, min(size, height), min(size, width))
        for row in starts(height, size, stride)
        for col in starts(width, size, stride)
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


# Windows for prediction: they overlap, and extend beyond the border of the scene.


def round_up(pixels: float, step: int) -> int:
    """Return the smallest multiple of `step` that is not less than `pixels`.

    >>> round_up(33, 32)
    64
    """
    return math.ceil(pixels / step) * step


def layout(size: int, overlap: int = OVERLAP) -> tuple[int, int]:
    """Choose size and overlap of the windows for prediction, both multiples of STRIDE.

    Both are rounded up, and the size is at least LEAST. A convolutional network accepts windows
    larger than those of its training.

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

    At each pixel of the scene, the weights of all windows sum to one. Beyond the scene they are 0.
    """

    starts: list[int]  # first pixel of each window; negative if it lies before the scene
    size: int
    weights: np.ndarray  # (windows, size) float32

    def inside(self, number: int, length: int) -> tuple[int, int]:
        """Return (first pixel, end) of the part of a window that lies in the scene."""
        return max(self.starts[number], 0), min(self.starts[number] + self.size, length)

    def support(self, number: int) -> tuple[int, int]:
        """Return (first pixel, end) of the part of a window whose weight is above 0."""
        nonzero = np.flatnonzero(self.weights[number])
        return self.starts[number] + int(nonzero[0]), self.starts[number] + int(nonzero[-1]) + 1


def axis(length: int, size: int, overlap: int) -> Axis:
    """Place the fewest windows that cover `length` pixels and at least STRIDE beyond each end.

    Windows begin at steps of size - overlap. The last one is moved back until it just covers the
    end. A scene no longer than `size` gets one window.

    Args:
        length: Pixels of the scene along this axis.
        size: Side of a window, from `layout`.
        overlap: Pixels that neighbours share, from `layout`.

    >>> axis(500, 256, 64).starts, axis(100, 256, 64).starts, axis(100, 256, 64).size
    ([-32, 160, 288], [-32], 192)
    """
    ramp = min(RAMP, overlap)
    rim = (overlap - ramp) // 2
    if length <= size:
        starts, size, rim = [-STRIDE], round_up(length + 2 * STRIDE, STRIDE), 0
    else:
        mirrored = max(STRIDE, rim)  # so the first pixel of the scene lies behind the rim
        margin = round_up(mirrored, STRIDE)
        last = round_up(margin + length + mirrored - size, STRIDE)  # counted from the first window
        starts = [start - margin for start in (*range(0, last, size - overlap), last)]
    pixel = np.arange(size)
    distance = np.minimum(pixel + 0.5, size - pixel - 0.5) - rim
    shape = np.clip(distance / ramp, 0, 1) if ramp else np.ones(size)
    total = np.zeros(length + 2 * size)
    for start in starts:
        total[start + size : start + 2 * size] += shape
    total[:size] = total[size + length :] = np.inf  # makes the weights beyond the scene 0
    weights = [shape / total[start + size : start + 2 * size] for start in starts]
    return Axis(starts, size, np.stack(weights).astype(np.float32))


class Tiling:
    """Rows and columns of windows over a scene, and the strips of the map that they complete.

    Strip i is the part of the map that is complete when row i of the windows has been blended.
    After it come the rows of pixels that rows i and i + 1 of windows share:

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
        """Return how many rows of pixels the windows of `row` share with the row above."""
        return max(0, self._ends[row - 1] - self.strips[row].row) if row else 0

    def blended_rows(self, row: int) -> tuple[int, int]:
        """Return (first row, end) of the pixels for which the windows of `row` have weights."""
        return self.strips[row].row, self._ends[row]
