"""In which pixels of one grid the pixel centres of another lie, when a map projection is between them.

With p = (row + 0.5, col + 0.5) a pixel centre of the grid `here`, A the affine map of a grid from (row, col) to
(x, y), and T the transform from its CRS to that of the grid `there`, the answer is

    q(p) = A_there^-1 T A_here p         and the pixel of `there` is floor(q).

T costs a microsecond and is wanted for every pixel, but it is smooth. So each cell of 2048 x 2048 pixels is cut
into n x n quads, q is computed at their corners, and inside a quad it is bilinear. n = 1, 2, 4 ... until the
error at three points between any two corners is below `threshold` (in pixels of the finer grid; 0.125 is GDAL's,
and 0 computes T for every pixel). A quad that stays too wrong, because the antimeridian or the limit of the
projection crosses it, is computed pixel by pixel. Where T is not finite, or T^-1 does not lead back to where one
came from (behind the globe, beyond a pole), q does not exist: better no data than somebody else's.

The q of a pixel depends on its cell alone and never on the window that is asked for, so that a pixel counted for
one window is not counted for its neighbour again.

Read beside it: tests/test_coordinates.py.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from pyproj import Transformer

from data.grid import Grid, Window

CELL = 2048
FINEST = 32  # quads on a side of a cell, at most
EDGE = 1e-6  # a centre this close before a pixel's edge (in pixels) lies on it, and so in the pixel behind it


class Coordinates:
    """Pixel coordinates in `there` of the pixel centres of `here`.

    `transform` and `inverse` take x, y from the CRS of `here` to that of `there` and back; None: one CRS.
    """

    def __init__(self, here: Grid, there: Grid, threshold: float, transform=None, inverse=None) -> None:
        self.here, self.there, self.threshold = here, there, threshold
        self.transform, self.inverse = transform, inverse
        self.quads = functools.lru_cache(maxsize=4096)(self._quads)

    def exact(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """(2, ...) continuous row and column in `there`; NaN where there is no way, or no way back."""
        x, y = self.here.xy(row, col)
        if self.transform:
            x, y = self.transform(x, y)
            with np.errstate(invalid="ignore"):
                row_again, col_again = self.here.rowcol(*self.inverse(x, y))
                lost = ~(np.isfinite(x) & (np.hypot(row_again - row, col_again - col) < 1))
            x[lost] = y[lost] = np.nan
        return np.stack(self.there.rowcol(x, y))

    def _quads(self, cell: Window) -> tuple[np.ndarray, np.ndarray]:
        """The corners (2, n + 1, n + 1) of a cell's n x n quads, and (n, n) which quads are too wrong to use."""
        n = 1
        while True:
            at = np.arange(4 * n + 1) / 4  # the corners are whole numbers
            rows, cols = cell.row + at * (cell.height / n), cell.col + at * (cell.width / n)
            fine = self.exact(*np.meshgrid(rows, cols, indexing="ij"))
            corners = fine[:, ::4, ::4]
            if not self.transform or (self.threshold and np.isnan(fine).all()):
                return corners, np.zeros((n, n), bool)
            hat = np.maximum(0, 1 - abs(at[:, None] - np.arange(n + 1)))  # bilinear interpolation as a matrix
            error = np.hypot(*(fine - hat @ np.nan_to_num(corners) @ hat.T))
            error = np.lib.stride_tricks.sliding_window_view(error, (5, 5))[::4, ::4].max((-1, -2))
            step = np.hypot(*np.diff(corners, axis=2)) * (n / cell.width)  # pixels of `there` to one of `here`
            bad = ~(error < self.threshold * min(1, np.nanmin(step, initial=1)))
            if not bad.any() or n == FINEST or not self.threshold:
                return corners, bad
            n *= 2

    def patch(self, window: Window, pad: int = 0) -> Patch:
        """The coordinates of a window that lies in one cell, widened on each side by `pad` pixels."""
        row, col = window.row // CELL * CELL, window.col // CELL * CELL
        cell = Window(row, col, min(CELL, self.here.height - row), min(CELL, self.here.width - col))
        corners, bad = self.quads(cell)
        n = len(bad)
        rows = np.arange(window.row - pad, window.row + window.height + pad) + 0.5
        cols = np.arange(window.col - pad, window.col + window.width + pad) + 0.5
        down, across = (rows - row) * (n / cell.height), (cols - col) * (n / cell.width)
        above, left = (np.clip(at.astype(int), 0, n - 1) for at in (down, across))
        lines = corners[:, above] + (down - above)[:, None] * (corners[:, above + 1] - corners[:, above])
        starts = np.flatnonzero(np.diff(left, prepend=-1)).tolist()
        quads = [(int(left[start]), slice(start, end)) for start, end in zip(starts, [*starts[1:], len(cols)])]
        pixels = np.nonzero(bad[above[:, None], left]) if bad.any() else None
        known = self.exact(rows[pixels[0]], cols[pixels[1]]) if pixels else np.zeros((2, 0))
        return Patch(lines, np.diff(lines, axis=2), across - left, quads, pixels, known)


@dataclass
class Patch:
    """Row r has the coordinates lines[:, r, q] + share * slopes[:, r, q] in the columns of quad q."""

    lines: np.ndarray  # (2, h, n + 1)
    slopes: np.ndarray  # (2, h, n)
    share: np.ndarray  # (w,) how far into its quad a column is, 0 to 1
    quads: list[tuple[int, slice]]  # q, and its columns
    pixels: tuple[np.ndarray, np.ndarray] | None  # rows and columns of those
    known: np.ndarray  # (2, k) that have coordinates of their own, or NaN

    def span(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest (row, col) that is met; NaN if none is."""
        ends = [(quad, self.share[end]) for quad, cols in self.quads for end in (cols.start, cols.stop - 1)]
        extremes = [self.lines[:, :, quad] + share * self.slopes[:, :, quad] for quad, share in ends]
        extremes = np.concatenate([*extremes, self.known], axis=1)
        return np.fmin.reduce(extremes, axis=1), np.fmax.reduce(extremes, axis=1)

    def locate(self, limits: Window) -> tuple[Window, torch.Tensor] | None:
        """The part of `limits` that is met (None: nothing), and (2, h, w) int32 where in it each pixel lies.

        Rows and columns count from 1 in that part; 0, and one more than its size, are a rim for what is outside.
        """
        low, high = self.span()
        part = clip(low, high, limits)
        if part is None:
            return None
        origin = np.array([part.row - 1, part.col - 1]) - EDGE
        lines, slopes = torch.from_numpy(self.lines - origin[:, None, None]), torch.from_numpy(self.slopes)
        share = torch.from_numpy(self.share)
        out = torch.empty(2, lines.shape[1], len(share), dtype=torch.float64)
        for quad, cols in self.quads:
            torch.mul(slopes[:, :, quad, None], share[cols], out=out[:, :, cols]).add_(lines[:, :, quad, None])
        if self.pixels:
            out.numpy()[:, self.pixels[0], self.pixels[1]] = np.nan_to_num(self.known - origin[:, None], nan=0)
        for axis, (first, size) in enumerate([(part.row, part.height), (part.col, part.width)]):
            if self.pixels or low[axis] < first or high[axis] >= first + size - 2 * EDGE:
                out[axis].clamp_(0, size + 1)
        return part, out.int()


def clip(low: np.ndarray, high: np.ndarray, limits: Window) -> Window | None:
    """The pixels of `limits` from one continuous (row, col) to another; None if there are none."""
    if not (low <= high).all():
        return None  # NaN
    ends = limits.row + limits.height, limits.col + limits.width
    row, col = np.maximum(np.floor(low), limits[:2]).astype(int).tolist()
    bottom, right = np.minimum(np.floor(high + 2 * EDGE) + 1, ends).astype(int).tolist()
    return Window(row, col, bottom - row, right - col) if row < bottom and col < right else None


def between(source: Grid, target: Grid, threshold: float) -> tuple[Coordinates, Coordinates]:
    """Coordinates in the source of the target's pixels, and in the target of the source's."""
    if source.crs is target.crs or source.crs.equals(target.crs, ignore_axis_order=True):
        return Coordinates(target, source, threshold), Coordinates(source, target, threshold)
    transform = Transformer.from_crs(source.crs, target.crs, always_xy=True).transform  # safe in threads
    inverse = functools.partial(transform, direction="INVERSE")
    backward = Coordinates(target, source, threshold, inverse, transform)
    return backward, Coordinates(source, target, threshold, transform, inverse)
