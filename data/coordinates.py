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
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from data import InputError
from data.grid import IDENTITY, Grid, Window

CELL = 2048
GOAL = 1 / 64  # of the threshold: the largest error aimed at, so that few pixels change for the mean one
FINEST = 32  # quads on a side of a cell, at most
EDGE = 1e-6  # a centre this close before a pixel's edge (in pixels) lies on it, and so in the pixel behind it

SLIVER = 1e-3  # a grid that holds another may miss this part of a pixel, rather than have a row more for it


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

    def _quads(self, cell: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray, torch.dtype]:
        """A cell's n x n quads: an origin (2,), their corners (2, n + 1, n + 1) from there, (n, n) which are too wrong
        to use, and the type to compute in.
        """
        n = 2
        while True:
            at = np.arange(2 * n + 1) / 2  # the corners, and the middles between them to measure the error
            rows, cols = cell.row + at * (cell.height / n), cell.col + at * (cell.width / n)
            fine = self.exact(*np.meshgrid(rows, cols, indexing="ij"))
            origin = np.nan_to_num(np.floor(np.fmin.reduce(fine, axis=(1, 2))))[:, None, None]
            corners = fine[:, ::2, ::2] - origin
            if not self.transform or (self.threshold and np.isnan(fine).all()):
                return origin, corners, np.zeros((n, n), bool), torch.float64
            hat = np.maximum(0, 1 - abs(at[:, None] - np.arange(n + 1)))  # bilinear interpolation as a matrix
            error = np.hypot(*(fine - origin - hat @ np.nan_to_num(corners) @ hat.T))
            error = np.lib.stride_tricks.sliding_window_view(error, (3, 3))[::2, ::2].max((-1, -2))
            step = np.hypot(*np.diff(corners, axis=2)) * (n / cell.width)  # pixels of `there` to one of `here`
            error /= min(1, np.nanmin(step, initial=1))
            if (error < self.threshold * GOAL).all() or n == FINEST or not self.threshold:
                # Single precision is twice as fast, and an error of 0.001 pixels is lost in the threshold.
                single = self.threshold and np.nanmax(corners, initial=0) < 2**13
                return origin, corners, ~(error < self.threshold), torch.float32 if single else torch.float64
            n *= 2

    def patch(self, window: Window, pad: int = 0) -> Patch:
        """The coordinates of a window that lies in one cell, widened on each side by `pad` pixels."""
        row, col = window.row // CELL * CELL, window.col // CELL * CELL
        cell = Window(row, col, min(CELL, self.here.height - row), min(CELL, self.here.width - col))
        origin, corners, bad, dtype = self.quads(cell)
        n = len(bad)
        rows = np.arange(window.row - pad, window.row + window.height + pad) + 0.5
        cols = np.arange(window.col - pad, window.col + window.width + pad) + 0.5
        down, across = (rows - row) * (n / cell.height), (cols - col) * (n / cell.width)
        above, left = (np.clip(at.astype(int), 0, n - 1) for at in (down, across))
        lines = corners[:, above] + (down - above)[:, None] * (corners[:, above + 1] - corners[:, above])
        ends = np.searchsorted(left, np.arange(n + 1)).tolist()
        quads = [(quad, slice(*ends[quad : quad + 2])) for quad in range(left[0], left[-1] + 1)]
        pixels = np.nonzero(bad[above[:, None], left]) if bad.any() else None
        known = self.exact(rows[pixels[0]], cols[pixels[1]]) - origin[..., 0] if pixels else np.zeros((2, 0))
        return Patch(origin.reshape(2), lines, across - left, quads, pixels, known, dtype)


@dataclass
class Patch:
    """Coordinates of a window: in row r and quad q, lines[:, r, q] + share * (lines[:, r, q + 1] - lines[:, r, q])."""

    origin: np.ndarray  # (2,) to be added to all of them
    lines: np.ndarray  # (2, h, n + 1)
    share: np.ndarray  # (w,) how far into its quad a column is, 0 to 1
    quads: list[tuple[int, slice]]  # q, and its columns
    pixels: tuple[np.ndarray, np.ndarray] | None  # rows and columns of the pixels
    known: np.ndarray  # (2, k) that have coordinates of their own, or NaN
    dtype: torch.dtype

    def span(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest (row, col) that is met; NaN if none is."""
        ends = [(quad, self.share[end]) for quad, cols in self.quads for end in (cols.start, cols.stop - 1)]
        extremes = [self.lines[:, :, q] + share * (self.lines[:, :, q + 1] - self.lines[:, :, q]) for q, share in ends]
        extremes = np.concatenate([*extremes, self.known], axis=1) + self.origin[:, None]
        return np.fmin.reduce(extremes, axis=1), np.fmax.reduce(extremes, axis=1)

    def locate(self, limits: Window) -> tuple[Window, torch.Tensor] | None:
        """The part of `limits` that is met (None: nothing), and (h, w) int32 where in it each pixel lies.

        Where is the index into the part with a rim of one pixel around it, which stands for what is outside.
        """
        slack = 2e-3 if self.dtype == torch.float32 else 2 * EDGE
        low, high = self.span()
        part = clip(low - slack, high + slack, limits)
        if part is None:
            return None
        lines = torch.from_numpy(self.lines + EDGE).to(self.dtype)
        slopes, share = lines[:, :, 1:] - lines[:, :, :-1], torch.from_numpy(self.share).to(self.dtype)
        out = torch.empty(*lines.shape[:2], len(share), dtype=self.dtype)
        for quad, cols in self.quads:
            torch.mul(slopes[:, :, quad, None], share[cols], out=out[:, :, cols]).add_(lines[:, :, quad, None])
        if self.pixels:
            out.numpy()[:, self.pixels[0], self.pixels[1]] = np.nan_to_num(self.known + EDGE, nan=-(2.0**30))
            out.floor_()  # what follows truncates, and only these can be below 0
        first = (np.array(part[:2]) - self.origin).astype(int) - 1
        last = first + part[2:] + 1
        for axis in (0, 1):
            if self.pixels or low[axis] - slack < part[axis] or high[axis] + slack >= part[axis] + part[2 + axis]:
                out[axis].clamp_(first[axis], last[axis])
        row, col = out.int()
        return part, row.mul_(part.width + 2).add_(col).sub_(int(first[0] * (part.width + 2) + first[1]))


def clip(low: np.ndarray, high: np.ndarray, limits: Window) -> Window | None:
    """The pixels of `limits` from one continuous (row, col) to another; None if there are none."""
    if not (low <= high).all():
        return None  # NaN
    ends = limits.row + limits.height, limits.col + limits.width
    row, col = np.maximum(np.floor(low), limits[:2]).astype(int).tolist()
    bottom, right = np.minimum(np.floor(high) + 1, ends).astype(int).tolist()
    return Window(row, col, bottom - row, right - col) if row < bottom and col < right else None


def between(source: Grid, target: Grid, threshold: float) -> tuple[Coordinates, Coordinates]:
    """Coordinates in the source of the target's pixels, and in the target of the source's."""
    if source.crs is target.crs or source.crs.equals(target.crs, ignore_axis_order=True):
        return Coordinates(target, source, threshold), Coordinates(source, target, threshold)
    transform = Transformer.from_crs(source.crs, target.crs, always_xy=True).transform  # safe in threads
    inverse = functools.partial(transform, direction="INVERSE")
    backward = Coordinates(target, source, threshold, inverse, transform)
    return backward, Coordinates(source, target, threshold, transform, inverse)


def target_grid_for(source_grid: Grid, crs, resolution: float | None = None) -> Grid:
    """The north-up grid in `crs` (whatever pyproj understands) that holds all of the source.

    With a `resolution`, in units of `crs`, its edges are multiples of it, as with gdalwarp -tap, so that maps of
    one resolution share their pixels. Without, it has as many pixels along its diagonal as the source, as
    gdalwarp, and begins where the source does. Raises InputError.
    """
    if resolution is not None and not 0 < resolution < np.inf:
        raise InputError(f"a resolution of {resolution} makes no pixels; give one above 0, in units of the CRS")
    if source_grid.crs is None:
        raise InputError("the source has no CRS; assign it first")
    try:
        crs = CRS.from_user_input(crs)
    except CRSError:
        raise InputError(f"{crs!r} is not a CRS; give a code such as EPSG:3857") from None
    size = source_grid.height, source_grid.width
    points = np.meshgrid(*(np.linspace(0, pixels, 65) for pixels in size), indexing="ij")
    # On a grid whose row and col are y and x.
    y, x = between(source_grid, Grid(crs, IDENTITY, 1, 1), 0)[1].exact(*points)
    if not np.isfinite(x).any():
        raise InputError(f"no point of the source has a place in {crs.name}; choose another CRS")
    left, right, bottom, top = np.nanmin(x), np.nanmax(x), np.nanmin(y), np.nanmax(y)
    if resolution is None:
        diagonal = np.hypot(x[-1, -1] - x[0, 0], y[-1, -1] - y[0, 0])
        whole = np.isfinite(diagonal)
        resolution = (diagonal if whole else np.hypot(right - left, top - bottom)) / np.hypot(*size)
    else:
        left, bottom = (np.floor(edge / resolution + SLIVER) * resolution for edge in (left, bottom))
        right, top = (np.ceil(edge / resolution - SLIVER) * resolution for edge in (right, top))
    height, width = (max(1, round(extent / resolution)) for extent in (top - bottom, right - left))
    return Grid(crs, (resolution, 0, left, 0, -resolution, top), height, width)
