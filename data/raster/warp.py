"""In which pixels of one grid the pixel centres of another lie, when a map projection is between
them.

With p = (row + 0.5, col + 0.5) a pixel centre of the grid `here`, A the affine map of a grid from
(row, col) to (x, y), and T the transform from its CRS to that of the grid `there`, the answer is

    q(p) = A_there^-1 T A_here p         and the pixel of `there` is floor(q).

T costs a microsecond and is wanted for every pixel, but it is smooth. So each cell of 4096 x 4096
pixels is cut into n x n quads, q is computed at their corners, and inside a quad it is bilinear. n
= 16, 32 or 64 until the error half-way between any two corners is far below `threshold` (in pixels
of the finer grid; 0.125 is GDAL's, and 0 computes T for every pixel). A quad that stays above it,
because the antimeridian or the limit of the projection crosses it, is computed pixel by pixel.
Where T is not finite, or T^-1 does not lead back to where one came from (behind the globe, beyond a
pole or 180 degrees), q does not exist: better no data than another place's.

The q of a pixel depends on its cell alone and never on the window that is asked for, so that a
pixel counted for one window is not counted for its neighbour again.

Read beside it: tests/data/raster/test_warp.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from data.files import InputError
from data.grid import IDENTITY, Grid, Window

CELL = 4096
GOAL = (
    1 / 64
)  # of the threshold is the error aimed at: it is the mean error that decides how many pixels change
FINEST = 64  # quads on a side of a cell, at most
EDGE = 1e-6  # a centre this close before a pixel's edge (in pixels) lies on it, and so in the pixel behind it
SLIVER = 1e-3  # a grid that holds another may miss this part of a pixel, rather than have a row more for it


class Coordinates:
    """Pixel coordinates in `there` of the pixel centres of `here`.

    `transform` and `inverse` take x, y from the CRS of `here` to that of `there` and back; None:
    one CRS.
    """

    def __init__(
        self, here: Grid, there: Grid, threshold: float, transform=None, inverse=None
    ) -> None:
        self.here, self.there, self.threshold = here, there, threshold
        self.transform, self.inverse = transform, inverse
        self.cell = min(CELL, max(FINEST, 1 << (max(here.height, here.width) - 1).bit_length()))
        self.quads = functools.lru_cache(maxsize=512)(self._quads)

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

    def _quads(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, torch.dtype]:
        """The n x n quads of cell (i, j): an origin (2,), their corners (2, n + 1, n + 1) from
        there, (n, n) which are too wrong to use, and the type to compute in.
        """
        n = 16
        while True:
            at = (
                np.arange(2 * n + 1) / (2 * n) * self.cell
            )  # the corners, and the middles between them for the error
            fine = self.exact(*np.meshgrid(i * self.cell + at, j * self.cell + at, indexing="ij"))
            origin = np.nan_to_num(np.floor(np.fmin.reduce(fine, axis=(1, 2))))[:, None, None]
            corners = fine[:, ::2, ::2] - origin
            if not self.transform or (self.threshold and np.isnan(fine).all()):
                return origin[:, 0, 0], corners, np.zeros((n, n), bool), torch.float64
            hat = np.maximum(0, 1 - abs(np.arange(2 * n + 1)[:, None] / 2 - np.arange(n + 1)))
            error = np.hypot(
                *(fine - origin - hat @ np.nan_to_num(corners) @ hat.T)
            )  # of bilinear interpolation
            error = np.lib.stride_tricks.sliding_window_view(error, (3, 3))[::2, ::2].max((-1, -2))
            step = np.hypot(*np.diff(corners, axis=2)) * (
                n / self.cell
            )  # pixels of `there` to one of `here`
            error /= min(1, np.nanmin(step, initial=1))
            if (error < self.threshold * GOAL).all() or n == FINEST or not self.threshold:
                # Single precision is twice as fast, and an error of 0.001 pixels is lost in the
                # threshold.
                single = self.threshold and np.nanmax(corners, initial=0) < 2**13
                bad = ~(error < self.threshold)
                return origin[:, 0, 0], corners, bad, torch.float32 if single else torch.float64
            n *= 2

    def prepare(self, window: Window) -> None:
        """Computes the quads of a window before other threads need them: pyproj takes 10 ms to set
        up in a thread.
        """
        for part in parts(window, self.cell, self.cell):
            self.quads(part.row // self.cell, part.col // self.cell)

    def patch(self, window: Window, pad: int = 0) -> Patch:
        """The coordinates of a window that lies in one cell; the extremes are those of `pad` pixels
        more all round.
        """
        i, j = window.row // self.cell, window.col // self.cell
        origin, corners, bad, dtype = self.quads(i, j)
        size = self.cell // len(bad)
        rows = np.arange(window.row - pad, window.row + window.height + pad) + 0.5
        down = (rows - i * self.cell) / size
        above = np.clip(down.astype(int), 0, len(bad) - 1)
        col = window.col - j * self.cell
        left, right = (
            col // size,
            (col + window.width - 1) // size,
        )  # the quads of the first and the last column
        nodes = corners[:, :, left : right + 2]
        lines = nodes[:, above] + (down - above)[:, None] * (nodes[:, above + 1] - nodes[:, above])
        # A row has its extremes at its ends and where it passes from quad to quad.
        first, last = (
            (col - pad + 0.5) / size - left,
            (col + window.width + pad - 0.5) / size - right,
        )
        begin, end = (
            lines[:, :, k] + at * (lines[:, :, k + 1] - lines[:, :, k])
            for k, at in ((0, first), (-2, last))
        )
        extremes = np.concatenate([begin[..., None], lines[:, :, 1:-1], end[..., None]], axis=2)
        pixels, known = (np.zeros(0, int),) * 2, np.zeros((2, 0))
        if bad[:, left : right + 1].any():
            quads = np.clip(np.arange(col - pad, col + window.width + pad) // size, left, right)
            pixels = np.nonzero(bad[above[:, None], quads])
            known = (
                self.exact(rows[pixels[0]], window.col - pad + pixels[1] + 0.5) - origin[:, None]
            )
        lines = torch.from_numpy(lines + EDGE).to(dtype)[..., None]
        share = (torch.arange(size, dtype=dtype) + 0.5) / size
        columns = slice(col - left * size, col - left * size + window.width)
        return Patch(
            origin,
            extremes,
            lines,
            lines[:, :, 1:] - lines[:, :, :-1],
            share,
            columns,
            pixels,
            known,
        )


@dataclass
class Patch:
    """Coordinates of a window: lines + share * slopes (2, h, quads, size), of which only `columns`
    are in the window, and those of some `pixels` that are `known` better. `origin` is to be added
    to all.
    """

    origin: np.ndarray  # (2,)
    extremes: np.ndarray  # (2, h, quads + 1) along each row
    lines: torch.Tensor  # (2, h, quads + 1, 1)
    slopes: torch.Tensor  # (2, h, quads, 1)
    share: torch.Tensor  # (size,) of a quad that a pixel's centre lies behind its beginning
    columns: slice
    pixels: tuple[np.ndarray, np.ndarray]  # rows (k,) and columns (k,)
    known: np.ndarray  # (2, k), NaN for pixels without coordinates
    scratch: tuple[torch.Tensor, torch.Tensor] | None = (
        None  # memory that each call of `locate` uses again
    )

    def span(self, top: int = 0, bottom: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest (row, col) that is met in the rows top .. bottom; NaN if none is."""
        extremes = self.extremes[:, top:bottom].reshape(2, -1)
        if self.known.size:
            extremes = np.hstack([extremes, self.known[:, self._among(top, bottom)]])
        return np.fmin.reduce(extremes, axis=1) + self.origin, np.fmax.reduce(
            extremes, axis=1
        ) + self.origin

    def _among(self, top: int, bottom: int | None) -> slice:
        return slice(
            *np.searchsorted(
                self.pixels[0], (top, self.lines.shape[1] if bottom is None else bottom)
            )
        )

    def locate(
        self, limits: Window, top: int = 0, bottom: int | None = None
    ) -> tuple[Window, torch.Tensor] | None:
        """The part of `limits` that the rows top .. bottom meet (None: nothing), and (h, w) int32
        where in it each pixel lies, as index into that part with a rim of one pixel around it. The
        rim stands for what is outside. The index is overwritten by the next call.
        """
        slack = 2e-3 if self.lines.dtype == torch.float32 else 2 * EDGE
        low, high = self.span(top, bottom)
        part = clip(low - slack, high + slack, limits)
        if part is None:
            return None
        slopes, lines = self.slopes[:, top:bottom], self.lines[:, top:bottom, :-1]
        height, width = slopes.shape[1], self.columns.stop - self.columns.start
        if self.scratch is None or self.scratch[0].shape[0] < height:
            floats = torch.empty(*slopes.shape[1:3], len(self.share), dtype=slopes.dtype)
            self.scratch = floats, torch.empty(2, height, width, dtype=torch.int32)
        floats, places = self.scratch[0][:height], self.scratch[1][:, :height]
        for axis in (0, 1):
            torch.mul(slopes[axis], self.share, out=floats).add_(lines[axis])
            places[axis].copy_(
                floats.flatten(1)[:, self.columns]
            )  # truncates, which is floor from 0 up
        if self.known.size:
            among = self._among(top, bottom)
            known = np.floor(np.nan_to_num(self.known[:, among] + EDGE, nan=-np.inf)).clip(
                -(2**30), 2**30
            )
            places.numpy()[:, self.pixels[0][among] - top, self.pixels[1][among]] = known
        row, col = (
            part.row - 1 - int(self.origin[0]),
            part.col - 1 - int(self.origin[1]),
        )  # of the rim's first pixel
        for axis, first in enumerate((row, col)):
            begin, size = part[axis], part[2 + axis]
            if self.known.size or low[axis] - slack < begin or high[axis] + slack >= begin + size:
                places[axis].clamp_(first, first + size + 1)
        rows, cols = places
        return part, cols.add_(rows, alpha=part.width + 2).sub_(row * (part.width + 2) + col)


def parts(window: Window, height: int, width: int) -> Iterator[Window]:
    """What a window is cut into by the multiples of `height` and `width`."""
    bottom, right = window.row + window.height, window.col + window.width
    for top in range(window.row // height * height, bottom, height):
        for left in range(window.col // width * width, right, width):
            row, col = max(top, window.row), max(left, window.col)
            yield Window(row, col, min(top + height, bottom) - row, min(left + width, right) - col)


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
    transform = _transformer(source.crs, target.crs).transform
    inverse = functools.partial(transform, direction="INVERSE")
    backward = Coordinates(target, source, threshold, inverse, transform)
    return backward, Coordinates(source, target, threshold, transform, inverse)


@functools.lru_cache(maxsize=16)
def _transformer(source: CRS, target: CRS) -> Transformer:
    """It takes 10 ms to make; each thread that uses it has its own inside."""
    return Transformer.from_crs(source, target, always_xy=True)


def target_grid_for(source_grid: Grid, crs, resolution: float | None = None) -> Grid:
    """The north-up grid in `crs` (whatever pyproj understands) that holds all of the source.

    With a `resolution`, in units of `crs`, its edges are multiples of it, as with gdalwarp -tap, so
    that maps of one resolution share their pixels. Without, it has as many pixels along its
    diagonal as the source, as gdalwarp, and begins where the source does. Raises InputError.
    """
    if resolution is not None and not 0 < resolution < np.inf:
        raise InputError(
            f"a resolution of {resolution} makes no pixels; give one above 0, in units of the CRS"
        )
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
        left, bottom = (
            np.floor(edge / resolution + SLIVER) * resolution for edge in (left, bottom)
        )
        right, top = (np.ceil(edge / resolution - SLIVER) * resolution for edge in (right, top))
    height, width = (max(1, round(extent / resolution)) for extent in (top - bottom, right - left))
    return Grid(crs, (resolution, 0, left, 0, -resolution, top), height, width)
