"""Coordinates of the pixel centres of one grid in another grid, across a map projection.

The grids are called `here` and `there`. Let p = (row + 0.5, col + 0.5) be the centre of a pixel of
`here`, A the affine map of a grid from (row, col) to (x, y), and T the transform from the CRS of
`here` to the CRS of `there`. The coordinates of p in `there` are q, in the pixel floor(q):

    q(p) = A_there^-1 T A_here p

T takes a microsecond for each point, which is too slow for every pixel. But T is smooth, so it is
computed at a few points:

    1. A cell of 4096 x 4096 pixels is divided into n x n quads. q is computed at the corners of the
       quads, and interpolated bilinearly inside them.
    2. n is 16, 32 or 64: the smallest for which the error half-way between corners is far below
       `threshold`. The unit of both is a pixel of the finer grid. The threshold of GDAL is 0.125.
       With 0, q is computed for every pixel.
    3. If the error of a quad is above the threshold even with n = 64, q is computed for each of its
       pixels. The antimeridian or the limit of the projection crosses such a quad.

A pixel has no q if T is not finite, or if T^-1 does not lead back to p: behind the globe, beyond a
pole or beyond 180 degrees. Such a pixel gets no data.

q depends on the cell of a pixel, and not on the requested window. Otherwise a pixel at the border
of two windows could count for both or for neither.

Read tests/data/raster/test_warp.py beside this file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from pyproj import CRS, Transformer

from data.grid import Grid, Window
from data.raster.patch import EDGE, Patch
from data.raster.tiles import clip, parts

CELL = 4096  # pixels on a side
QUADS = 16, 32, 64  # on a side of a cell
GOAL = 1 / 64  # of the threshold, so that the mean error is small and few pixels change
SINGLE = 2**13  # pixels; smaller coordinates are exact to 0.001 pixels in single precision


def between(source: Grid, target: Grid, threshold: float) -> tuple[Coordinates, Coordinates]:
    """Make the coordinates of two grids in each other.

    Args:
        source: A grid.
        target: A grid. Either both grids have a CRS, or neither has.
        threshold: Largest error, in pixels of the finer grid; 0 computes every pixel exactly.

    Returns:
        The coordinates of the target pixels in the source, and of the source pixels in the target.
    """
    if source.crs is target.crs or source.crs.equals(target.crs, ignore_axis_order=True):
        return Coordinates(target, source, threshold), Coordinates(source, target, threshold)
    transform = _transformer(source.crs, target.crs).transform
    inverse = functools.partial(transform, direction="INVERSE")
    backward = Coordinates(target, source, threshold, inverse, transform)
    return backward, Coordinates(source, target, threshold, transform, inverse)


@functools.lru_cache(maxsize=16)
def _transformer(source: CRS, target: CRS) -> Transformer:
    """The transform of two CRSs. pyproj takes 10 ms to make one."""
    return Transformer.from_crs(source, target, always_xy=True)


class Quads(NamedTuple):
    """The n x n quads of a cell."""

    origin: np.ndarray  # (2,) whole row and column of `there`; coordinates are relative to it
    corners: np.ndarray  # (2, n + 1, n + 1) row and column of the corners
    bad: np.ndarray  # (n, n) bool: whether the error is above the threshold
    dtype: torch.dtype  # in which the pixels are computed


class Coordinates:
    """Coordinates in the grid `there` of the pixel centres of the grid `here`.

    Args:
        here: The grid whose pixels are located.
        there: The grid in which they are located.
        threshold: Largest error, in pixels of the finer grid.
        transform: Converts x, y from the CRS of `here` to that of `there`; None if both are equal.
        inverse: The inverse of `transform`.
    """

    def __init__(
        self,
        here: Grid,
        there: Grid,
        threshold: float,
        transform: Callable | None = None,
        inverse: Callable | None = None,
    ) -> None:
        self.here, self.there, self.threshold = here, there, threshold
        self.transform, self.inverse = transform, inverse
        self.extent = Window(0, 0, there.height, there.width)
        # A smaller grid has a smaller cell: the next power of two, with a pixel for each quad.
        larger_side = max(here.height, here.width)
        self.cell = min(CELL, max(QUADS[-1], 1 << (larger_side - 1).bit_length()))
        self.quads = functools.lru_cache(maxsize=512)(self._quads)

    def exact(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Compute q for continuous pixel coordinates of `here`.

        Returns:
            (2, ...) continuous row and column in `there`; NaN where a point has no q.
        """
        x, y = self.here.xy(row, col)
        if self.transform and self.inverse:
            x, y = self.transform(x, y)
            with np.errstate(invalid="ignore"):
                row_again, col_again = self.here.rowcol(*self.inverse(x, y))
                valid = np.isfinite(x) & (np.hypot(row_again - row, col_again - col) < 1)
            x[~valid] = y[~valid] = np.nan
        return np.stack(self.there.rowcol(x, y))

    def _quads(self, i: int, j: int) -> Quads:
        """The quads of cell (i, j)."""
        for n in QUADS:
            # The corners, and the points half-way between them.
            at = np.arange(2 * n + 1) / (2 * n) * self.cell
            fine = self.exact(*np.meshgrid(i * self.cell + at, j * self.cell + at, indexing="ij"))
            origin = np.nan_to_num(np.floor(np.fmin.reduce(fine, axis=(1, 2))))
            fine -= origin[:, None, None]
            corners = fine[:, ::2, ::2]
            if not self.transform or (self.threshold and np.isnan(fine).all()):
                return Quads(origin, corners, np.zeros((n, n), bool), torch.float64)
            # Pixels of `there` for each pixel of `here`. Below 1, `here` is the finer grid.
            step = np.hypot(*np.diff(corners, axis=2)) * (n / self.cell)
            with np.errstate(divide="ignore"):  # all of `here` may lie in one point of `there`
                error = _errors(fine) / min(1, np.nanmin(step, initial=1))
            if not self.threshold or (error < self.threshold * GOAL).all():
                break
        single = self.threshold and np.nanmax(corners, initial=0) < SINGLE
        bad = ~(error < self.threshold)  # true for NaN
        return Quads(origin, corners, bad, torch.float32 if single else torch.float64)

    def prepare(self, window: Window) -> None:
        """Compute the quads of a window, before several threads need them.

        pyproj takes 10 ms to set up a transform in each thread that uses it.
        """
        for part in parts(window, self.cell, self.cell):
            self.quads(part.row // self.cell, part.col // self.cell)

    def patch(self, window: Window, pad: int = 0) -> Patch:
        """Make the coordinates of a window.

        Args:
            window: Pixels of `here` in one cell.
            pad: Pixels by which `Patch.extremes` extends beyond the window on each side.
        """
        i, j = window.row // self.cell, window.col // self.cell
        quads = self.quads(i, j)
        size = self.cell // len(quads.bad)  # pixels on a side of a quad
        rows = np.arange(window.row - pad, window.row + window.height + pad) + 0.5
        down = (rows - i * self.cell) / size
        above = np.clip(down.astype(int), 0, len(quads.bad) - 1)
        col = window.col - j * self.cell
        left, right = col // size, (col + window.width - 1) // size  # the first and the last quad
        nodes = quads.corners[:, :, left : right + 2]
        lines = nodes[:, above] + (down - above)[:, None] * (nodes[:, above + 1] - nodes[:, above])
        first = (col - pad + 0.5) / size - left
        last = (col + window.width + pad - 0.5) / size - right
        pixel_rows = pixel_cols = np.zeros(0, int)
        known = np.zeros((2, 0))
        if quads.bad[:, left : right + 1].any():
            across = np.clip(np.arange(col - pad, col + window.width + pad) // size, left, right)
            pixel_rows, pixel_cols = np.nonzero(quads.bad[above[:, None], across])
            known = self.exact(rows[pixel_rows], window.col - pad + pixel_cols + 0.5)
            known -= quads.origin[:, None]
        extremes = _extremes(lines, first, last)
        lines = torch.from_numpy(lines + EDGE).to(quads.dtype)[..., None]
        slopes = lines[:, :, 1:] - lines[:, :, :-1]
        share = (torch.arange(size, dtype=quads.dtype) + 0.5) / size
        columns = slice(col - left * size, col - left * size + window.width)
        pixels = pixel_rows, pixel_cols
        return Patch(quads.origin, extremes, lines, slopes, share, columns, pixels, known)

    def enclosing(self, *windows: Window) -> Window | None:
        """Find the pixels of `there` whose centres may lie in some windows of `here`.

        Args:
            windows: Each lies in one cell.

        Returns:
            A window of `there`, or None if it would lie outside.
        """
        # With pad=1, the centres enclose the whole area of the window. Two pixels of `there` are
        # added for the errors of the coordinates in both directions.
        spans = [self.patch(window, pad=1).span() for window in windows]
        low, high = np.array(spans).swapaxes(0, 1)
        return clip(np.fmin.reduce(low) - 2, np.fmax.reduce(high) + 2, self.extent)

    def located(
        self, window: Window, limits: Window, pixels: int
    ) -> Iterator[tuple[Window, Window, torch.Tensor]]:
        """Locate the centres of a window of any size, piece by piece.

        Args:
            window: Pixels of `here`.
            limits: A window of `there`.
            pixels: Largest number of pixels of a piece; a piece has at least one row.

        Yields:
            Each piece with centres in `limits`, and the two results of `Patch.locate` for it.
        """
        for part in parts(window, self.cell, self.cell):
            patch = self.patch(part)
            rows = max(1, pixels // part.width)
            for top in range(0, part.height, rows):
                height = min(rows, part.height - top)
                located = patch.locate(limits, top, top + height)
                if located is not None:
                    yield part._replace(row=part.row + top, height=height), *located


def _errors(fine: np.ndarray) -> np.ndarray:
    """The largest error of bilinear interpolation in each of n x n quads, in pixels of `there`.

    Args:
        fine: (2, 2n + 1, 2n + 1) coordinates of the corners and of the points half-way between.
    """
    n = fine.shape[1] // 2
    # The hat function of each corner at all points: 1 at the corner, 0.5 beside it, 0 elsewhere.
    hat = np.maximum(0, 1 - abs(np.arange(2 * n + 1)[:, None] / 2 - np.arange(n + 1)))
    error = np.hypot(*(fine - hat @ np.nan_to_num(fine[:, ::2, ::2]) @ hat.T))
    return np.lib.stride_tricks.sliding_window_view(error, (3, 3))[::2, ::2].max((-1, -2))


def _extremes(lines: np.ndarray, first: float, last: float) -> np.ndarray:
    """(2, h, quads + 1) coordinates along each row, at its two ends and at the edges of quads.

    Between these positions a coordinate is linear, so its extremes are among them. `first` is the
    position of the first end in the first quad, and `last` that of the other end in the last quad,
    as shares of a quad.
    """
    begin = lines[:, :, 0] + first * (lines[:, :, 1] - lines[:, :, 0])
    end = lines[:, :, -2] + last * (lines[:, :, -1] - lines[:, :, -2])
    return np.concatenate([begin[..., None], lines[:, :, 1:-1], end[..., None]], axis=2)
