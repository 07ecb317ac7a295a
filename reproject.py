"""Put a categorical raster on another raster's grid.

    python reproject.py mask.tif --like image.tif -o aligned.tif
    python reproject.py landcover_1m.tif --crs EPSG:3857 --resolution 10 --method mode -o landcover_10m.tif
    python reproject.py landcover_1m.tif --like image.tif --method mode --vote-weights inverse -o roads_kept.tif

Classes cannot be averaged, so a target pixel takes the class of one source pixel, or the class that wins a vote.
With p a pixel centre, T the transform between the two CRSs, and A a grid's affine map from (row, col) to (x, y):

    nearest   out(t) = in(floor(A_source^-1 T^-1 A_target p_t))           the source pixel under the centre of t
    mode      votes(t, k) = w_k * #{ s : in(s) = k and floor(A_target^-1 T A_source p_s) = t }
              out(t) = argmax_k votes(t, k), the lower class on a tie, nearest where nobody votes

In mode every source pixel votes exactly once, for the target pixel that holds its centre, so that the votes of a class
add up to its area. (A warper that gathers by a kernel, as GDAL's does, counts pixels at the edge of two target pixels
twice or not at all.) No-data does not vote, and what lies outside the source becomes no-data. `--vote-weights` gives
w_k, so that roads and single houses survive a tenfold shrink; `inverse` makes it 1 / (pixels of class k).

T is slow, smooth, and wanted for every pixel. Each block of 1024 x 1024 pixels is therefore cut into n x n quads; T is
computed at their corners, and between these (row, col) is bilinear. n = 1, 2, 4 ... 16 grows until the error, measured
at three points between any two corners, is below `error_threshold` (in pixels of the finer grid; 0 computes T for every
pixel). A quad that stays too wrong, because it holds a pole or the antimeridian, is computed pixel by pixel. Where T
is not finite, or does not lead back to where it came from, there is no source. The coordinates of a pixel depend on
its block alone, never on how the work is cut up, which is what makes "exactly once" true.

Read tests/test_reproject.py beside this file.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from data import InputError, geotiff
from data.console import one_line_errors
from data.grid import IDENTITY, Grid, Window

CELL = 2048  # pixels on a side of a cell, which has quads of its own
FINEST = 32  # quads on a side of a cell, at most
PIECE = 2**18  # pixels of the source that are worked on at a time
TILE = 256, 256  # rows and columns of the target that are one task
MOST_PIXELS, MOST_VOTES = (
    2**23,
    2**21,
)  # a tile with a larger window of the source, or more counters, is halved
EDGE = 1e-6  # a centre this close before an edge of a pixel (in pixels) lies on it, in the pixel behind
CACHE_BYTES = 2**27  # decoded source blocks that are kept
EVERYWHERE = Window(-(2**40), -(2**40), 2**41, 2**41)


# --- where the pixels of one grid lie in the other --------------------------------------------------------------------


class Coordinates:
    """In which pixel of the grid `there` the centre of each pixel of the grid `here` lies.

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

    def _quads(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        """The n x n quads of cell (i, j): their corners (2, n + 1, n + 1), and (n, n) which are too wrong to use."""
        height, width = min(CELL, self.here.height - i * CELL), min(CELL, self.here.width - j * CELL)
        n = 1
        while True:
            at = (
                np.arange(4 * n + 1) / 4
            )  # the corners, and three points between any two to measure the error at
            rows, cols = i * CELL + at * (height / n), j * CELL + at * (width / n)
            fine = self.exact(*np.meshgrid(rows, cols, indexing="ij"))
            corners = fine[:, ::4, ::4]
            if not self.transform or (self.threshold and np.isnan(fine).all()):
                return corners, np.zeros((n, n), bool)
            hat = np.maximum(0, 1 - abs(at[:, None] - np.arange(n + 1)))
            error = np.hypot(*(fine - hat @ np.nan_to_num(corners) @ hat.T))
            error = np.lib.stride_tricks.sliding_window_view(error, (5, 5))[::4, ::4].max((-1, -2))
            step = np.hypot(*np.diff(corners, axis=2)) * (n / width)  # pixels of `there` to one of `here`
            bad = ~(error < self.threshold * min(1, np.nanmin(step, initial=1)))
            if not bad.any() or n == FINEST or not self.threshold:
                return corners, bad
            n *= 2

    def patch(self, window: Window, pad: int = 0) -> Patch:
        """Where a window that lies in one cell, widened by `pad` pixels, lies in `there`."""
        i, j = window.row // CELL, window.col // CELL
        corners, bad = self.quads(i, j)
        n = len(bad)
        rows = np.arange(window.row - pad, window.row + window.height + pad) + 0.5
        cols = np.arange(window.col - pad, window.col + window.width + pad) + 0.5
        down = (rows - i * CELL) * (n / min(CELL, self.here.height - i * CELL))
        across = (cols - j * CELL) * (n / min(CELL, self.here.width - j * CELL))
        above, left = (np.clip(at.astype(int), 0, n - 1) for at in (down, across))
        lines = corners[:, above] + (down - above)[:, None] * (corners[:, above + 1] - corners[:, above])
        redo = np.argwhere(bad[above[:, None], left]) if bad.any() else np.zeros((0, 2), int)
        return Patch(lines, left, across - left, redo, self.exact(rows[redo[:, 0]], cols[redo[:, 1]]))


class Patch:
    """The coordinates of a window: row r of quad q is lines[:, r, q] + share * (lines[:, r, q + 1] - lines[:, r, q]).

    `left` (w) is the quad of each column, `share` (w) where in it the column lies; `redo` (k, 2) are the pixels that
    have coordinates of their own, `known` (2, k).
    """

    def __init__(self, lines, left, share, redo, known) -> None:
        self.lines, self.left, self.share, self.redo, self.known = lines, left, share, redo, known
        self.slopes = np.diff(lines, axis=2)
        first = np.flatnonzero(np.diff(left, prepend=-1))
        self.quads = [(left[a], a, b) for a, b in zip(first, [*first[1:], len(left)])]
        ends = np.array([end for _, a, b in self.quads for end in (a, b - 1)])  # where a row has its extremes
        self.extremes = lines[:, :, left[ends]] + self.slopes[:, :, left[ends]] * share[ends]

    def span(self, start: int = 0, stop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest (row, col) of the rows start .. stop; NaN if none of their pixels has a place."""
        extremes = self.extremes[:, start:stop].reshape(2, -1)
        if len(self.redo):
            among = slice(*np.searchsorted(self.redo[:, 0], (start, stop or len(self.lines[0]))))
            extremes = np.hstack([extremes, self.known[:, among]])
        return np.fmin.reduce(extremes, 1), np.fmax.reduce(extremes, 1)

    def locate(self, start: int, stop: int, limits: Window) -> tuple[Window, torch.Tensor] | None:
        """The part of `limits` that the centres of the rows start .. stop meet, and (2, h, w) int32: where in it.

        Rows and columns count from 1 in that part; 0, and one more than its size, stand for outside.
        """
        low, high = self.span(start, stop)
        part = _clip(low, high, limits)
        if part is None:
            return None
        origin = np.array([part.row - 1, part.col - 1]) - EDGE
        lines = torch.from_numpy(self.lines[:, start:stop] - origin[:, None, None])[..., None]
        slopes, share = torch.from_numpy(self.slopes[:, start:stop])[..., None], torch.from_numpy(self.share)
        out = torch.empty(2, stop - start, len(share), dtype=torch.float64)
        for quad, a, b in self.quads:
            torch.mul(slopes[:, :, quad], share[a:b], out=out[:, :, a:b]).add_(lines[:, :, quad])
        if len(self.redo):
            among = slice(*np.searchsorted(self.redo[:, 0], (start, stop)))
            r, c = self.redo[among].T
            out.numpy()[:, r - start, c] = np.nan_to_num(self.known[:, among] - origin[:, None], nan=0)
        if len(self.redo) or part != _clip(low, high, EVERYWHERE):
            out[0].clamp_(0, part.height + 1)
            out[1].clamp_(0, part.width + 1)
        return part, out.int()


def _clip(low: np.ndarray, high: np.ndarray, limits: Window) -> Window | None:
    """The pixels of `limits` from one continuous (row, col) to another, if any."""
    if not (low <= high).all():
        return None  # NaN
    top, left = np.maximum(np.floor(low), limits[:2]).astype(int).tolist()
    ends = limits.row + limits.height, limits.col + limits.width
    bottom, right = np.minimum(np.floor(high + 2 * EDGE) + 1, ends).astype(int).tolist()
    return Window(top, left, bottom - top, right - left) if top < bottom and left < right else None


def _coordinates(source: Grid, target: Grid, threshold: float) -> tuple[Coordinates, Coordinates]:
    """From the target's pixels to the source's, and from the source's to the target's."""
    if source.crs is target.crs or source.crs.equals(target.crs, ignore_axis_order=True):
        return Coordinates(target, source, threshold), Coordinates(source, target, threshold)
    forward = Transformer.from_crs(source.crs, target.crs, always_xy=True).transform
    back = functools.partial(forward, direction="INVERSE")
    return Coordinates(target, source, threshold, back, forward), Coordinates(
        source, target, threshold, forward, back
    )


def _parts(window: Window, size: tuple[int, int]) -> Iterator[Window]:
    """The pieces of a window that the multiples of `size` (rows, columns) cut it into."""
    end_row, end_col = window.row + window.height, window.col + window.width
    for row in range(window.row // size[0] * size[0], end_row, size[0]):
        for col in range(window.col // size[1] * size[1], end_col, size[1]):
            top, left = max(row, window.row), max(col, window.col)
            yield Window(top, left, min(row + size[0], end_row) - top, min(col + size[1], end_col) - left)


# --- the two methods, for one tile of the target -----------------------------------------------------------------------


class Classes:
    """Numbers the values of a raster 1, 2, ... as they turn up; no-data is 0."""

    def __init__(self, dtype: np.dtype, nodata: int | None) -> None:
        self.values = [nodata]
        self._numbers = {nodata: 0}
        self._lock = threading.Lock()
        self._table = np.full(2 ** (8 * dtype.itemsize) if dtype.itemsize <= 2 else 0, -1, np.int32)

    def _number(self, values: np.ndarray) -> np.ndarray:
        with self._lock:
            for value in values.tolist():
                if value not in self._numbers:
                    self._numbers[value] = len(self.values)
                    self.values.append(value)
        return np.array([self._numbers[value] for value in values.tolist()], np.int32)

    def numbers(self, block: np.ndarray) -> torch.Tensor:
        """int32, of the shape of `block`."""
        if not len(self._table):
            values, index = np.unique(block, return_inverse=True)
            return torch.from_numpy(self._number(values)[index].reshape(block.shape))
        codes = block.view(f"u{block.dtype.itemsize}")
        numbers = self._table.take(codes)
        if numbers.min() < 0:
            values = np.unique(block[numbers < 0])
            self._table[values.view(codes.dtype)] = self._number(values)
            numbers = self._table.take(codes)
        return torch.from_numpy(numbers)


@dataclass
class Job:
    """What every tile needs to know."""

    read: Callable[[Window], np.ndarray]
    extent: Window  # of the source
    backward: Coordinates  # from the target's pixels to the source's
    forward: Coordinates
    dtype: np.dtype
    fill: int
    classes: Classes
    weights: dict[int, float] | None


def _halved(method: Callable, job: Job, tile: Window) -> np.ndarray | None:
    """`method`, done in two halves of the tile."""
    row, col, height, width = tile
    if height >= width:
        halves = (
            Window(row, col, height // 2, width),
            Window(row + height // 2, col, height - height // 2, width),
        )
    else:
        halves = (
            Window(row, col, height, width // 2),
            Window(row, col + width // 2, height, width - width // 2),
        )
    parts = [method(job, half) for half in halves]
    if all(part is None for part in parts):
        return None
    parts = [
        np.full(half[2:], job.fill, job.dtype) if part is None else part for part, half in zip(parts, halves)
    ]
    return np.concatenate(parts, axis=0 if height >= width else 1)


def _nearest(job: Job, tile: Window) -> np.ndarray | None:
    """(h, w): the source pixel under each centre; None if there is none under any."""
    found = job.backward.patch(tile).locate(0, tile.height, job.extent)
    if found is None:
        return None
    part, (rows, cols) = found
    if part.height * part.width > MOST_PIXELS and tile.height * tile.width > 1:
        return _halved(_nearest, job, tile)
    rimmed = np.full((part.height + 2, part.width + 2), job.fill, job.dtype)
    rimmed[1:-1, 1:-1] = job.read(part)
    return rimmed.take(rows.mul_(part.width + 2).add_(cols).numpy())


def _pieces(window: Window) -> Iterator[tuple[Window, Window]]:
    """Cuts a window of the source into its cells' parts, and these into pieces that fit into a core's cache."""
    for part in _parts(window, (CELL, CELL)):
        rows = max(1, PIECE // part.width)
        for row in range(part.row, part.row + part.height, rows):
            yield part, part._replace(row=row, height=min(rows, part.row + part.height - row))


def _mode(job: Job, tile: Window) -> np.ndarray | None:
    """(h, w): the class with most votes; None if the source is nowhere near."""
    low, high = job.backward.patch(tile, pad=1).span()
    # The centres around the tile bound its area; two pixels more are for the errors of both coordinates.
    window = _clip(low - 2, high + 2, job.extent)
    if window is None:
        return None
    area = tile.height * tile.width
    if window.height * window.width > MOST_PIXELS and area > 1:
        return _halved(_mode, job, tile)
    votes = torch.zeros(len(job.classes.values), tile.height, tile.width, dtype=torch.int64)
    for part, piece in _pieces(window):
        if piece.row == part.row:
            patch = job.forward.patch(part)
        found = patch.locate(piece.row - part.row, piece.row - part.row + piece.height, tile)
        if found is None:
            continue
        part, (index, cols) = found
        height, width = part.height + 2, part.width + 2  # pixels of other tiles vote on the rim
        index.mul_(width).add_(cols).add_(job.classes.numbers(job.read(piece)), alpha=height * width)
        known = len(job.classes.values)
        if known * area > MOST_VOTES and area > 1:
            return _halved(_mode, job, tile)
        if known > len(votes):
            votes = torch.cat([votes, votes.new_zeros(known - len(votes), tile.height, tile.width)])
        counts = torch.bincount(index.view(-1), minlength=known * height * width).view(known, height, width)
        row, col = part.row - tile.row, part.col - tile.col
        votes[:, row : row + part.height, col : col + part.width] += counts[:, 1:-1, 1:-1]
    order = sorted(range(1, len(votes)), key=job.classes.values.__getitem__)
    if not order:
        return _nearest(job, tile)
    values = [job.classes.values[number] for number in order]
    votes = votes[order]
    if job.weights:
        weights = torch.tensor([job.weights.get(value, 1.0) for value in values], dtype=torch.float64)
        votes = votes * weights[:, None, None]
    most, winner = votes.max(dim=0)
    out = np.array(values, job.dtype)[winner.numpy()]
    if most.min() == 0:
        nearest = _nearest(job, tile)
        out = np.where(most.numpy() == 0, job.dtype.type(job.fill) if nearest is None else nearest, out)
    return out


METHODS = {"nearest": _nearest, "mode": _mode}


# --- a raster of any size, strip by strip --------------------------------------------------------------------


def _inverse_frequencies(job: Job, pool: ThreadPoolExecutor) -> dict[int, float]:
    """1 / (number of pixels) of each class, in the rectangle of the source that holds the target."""
    target = job.backward.here
    tiles = _parts(Window(0, 0, target.height, target.width), (CELL, CELL))
    low, high = zip(*(job.backward.patch(tile, pad=1).span() for tile in tiles))
    window = _clip(np.fmin.reduce(low) - 2, np.fmax.reduce(high) + 2, job.extent)
    if window is None:
        return {}

    def count(part: Window) -> Counter:
        total = Counter()
        for _, piece in _pieces(part):
            numbers = job.classes.numbers(job.read(piece)).view(-1)
            total.update(dict(enumerate(torch.bincount(numbers).tolist())))
        return total

    total = sum(pool.map(count, _parts(window, (CELL, window.width))), Counter())
    return {job.classes.values[number]: 1 / pixels for number, pixels in total.items() if number}


def strips(
    read: Callable[[Window], np.ndarray],
    source_grid: Grid,
    target_grid: Grid,
    method: str = "nearest",
    nodata: int | None = None,
    dtype=np.uint8,
    vote_weights: dict[int, float] | str | None = None,
    error_threshold: float = 0.125,
    threads: int | None = None,
    strip_rows: int = TILE[0],
) -> Iterator[np.ndarray]:
    """The target from top to bottom as arrays (h, width) of `dtype`; memory does not depend on either raster's size.

    `read(window)` returns (H, W) integer classes of a window inside the source and is called from `threads` threads
    (None: as many as torch uses). `nodata` None: every value of the source is a class, and pixels outside it get the
    largest value of `dtype`, 255 for uint8. `vote_weights` (mode only) is {value: weight above 0}, others 1, or
    "inverse". Grids without CRS are taken to lie in one plane, unless one of them is a plain picture's (row, col).
    Raises InputError where the grids cannot be brought together or the target lies wholly outside the source.
    """
    dtype = np.dtype(dtype)
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if dtype.kind not in "iu":
        raise InputError(f"pixels of type {dtype} are not classes; convert to an integer type first")
    if nodata is not None and not np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max:
        raise InputError(f"no-data {nodata} is not a value of {dtype}; give another")
    if isinstance(vote_weights, dict) and not all(weight > 0 for weight in vote_weights.values()):
        raise InputError("a vote weight is not above 0; leave classes out by setting them to no-data")
    if (source_grid.crs is None) != (target_grid.crs is None):
        raise InputError(
            f"the {'source' if source_grid.crs is None else 'target'} has no CRS; assign one first"
        )
    plain = source_grid.crs is None and IDENTITY in (source_grid.transform, target_grid.transform)
    if plain and not source_grid.matches(target_grid):
        raise InputError("neither raster has a CRS and their sizes differ; assign CRSs first")

    fill = np.iinfo(dtype).max if nodata is None else nodata
    weights = vote_weights if isinstance(vote_weights, dict) else None
    extent = Window(0, 0, source_grid.height, source_grid.width)
    backward, forward = _coordinates(source_grid, target_grid, error_threshold)
    job = Job(read, extent, backward, forward, dtype, fill, Classes(dtype, nodata), weights)
    # One torch thread to each of ours. The setting belongs to the thread, but torch also keeps it for new threads, so
    # that the caller's own is set again at the end.
    threads = threads or torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        if vote_weights == "inverse" and method == "mode":
            job.weights = _inverse_frequencies(job, pool)
        found, pending = False, deque()
        waiting = deque(range(0, target_grid.height, strip_rows))
        while waiting or pending:
            while waiting and (len(pending) < 2 or sum(len(tiles) for _, tiles in pending) < 4 * threads):
                row = waiting.popleft()
                strip = Window(row, 0, min(strip_rows, target_grid.height - row), target_grid.width)
                tiles = [(tile, pool.submit(METHODS[method], job, tile)) for tile in _parts(strip, TILE)]
                pending.append((strip, tiles))
            strip, tiles = pending.popleft()
            out = np.full((strip.height, strip.width), fill, dtype)
            for tile, future in tiles:
                part = future.result()
                if part is not None:
                    found = True
                    top = tile.row - strip.row
                    out[top : top + tile.height, tile.col : tile.col + tile.width] = part
            if not (found or waiting or pending):
                raise InputError(
                    "the target lies wholly outside the source; check the CRS and extent of both"
                )
            yield out
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch.get_num_threads())


def reproject(
    source: np.ndarray,
    source_grid: Grid,
    target_grid: Grid,
    method: str = "nearest",
    nodata: int | None = None,
    vote_weights: dict[int, float] | str | None = None,
    error_threshold: float = 0.125,
    threads: int | None = None,
) -> np.ndarray:
    """`source` (H, W) or (bands, H, W), of an integer type, on the target's grid; the options are those of `strips`."""
    source = np.asarray(source)
    options = (method, nodata, source.dtype.newbyteorder("="), vote_weights, error_threshold, threads)
    if source.shape[-2:] != (source_grid.height, source_grid.width) or source.ndim not in (2, 3):
        raise ValueError(
            f"source {source.shape} does not fit its grid {source_grid.height} x {source_grid.width}"
        )
    if source.ndim == 3:
        return np.stack(
            [reproject(band, source_grid, target_grid, *options[:2], *options[3:]) for band in source]
        )

    def read(window: Window) -> np.ndarray:
        return source[window.row : window.row + window.height, window.col : window.col + window.width]

    return np.concatenate(list(strips(read, source_grid, target_grid, *options)))


def target_grid_for(source_grid: Grid, crs, resolution: float | None = None) -> Grid:
    """The north-up grid in `crs` (anything pyproj understands) that holds all of the source.

    `resolution` is the side of a pixel in units of `crs`, and the edges are then multiples of it, as with gdalwarp's
    -tap, so that products of one resolution share their pixels. None: as many pixels along the diagonal as the
    source has, as gdalwarp, and edges where the source's are.
    """
    if resolution is not None and not 0 < resolution < np.inf:
        raise InputError(
            f"a resolution of {resolution} makes no pixels; give a size above 0 in units of the CRS"
        )
    if source_grid.crs is None:
        raise InputError("the source has no CRS; assign one first")
    try:
        crs = CRS.from_user_input(crs)
    except CRSError:
        raise InputError(f"{crs!r} is not a CRS; give a code such as EPSG:3857") from None
    height, width = source_grid.height, source_grid.width
    points = np.meshgrid(np.linspace(0, height, 65), np.linspace(0, width, 65), indexing="ij")
    # The grid whose (row, col) are y and x, so that only points that T can place and take back are counted.
    y, x = _coordinates(source_grid, Grid(crs, IDENTITY, 1, 1), 0)[1].exact(*points)
    if not np.isfinite(x).any():
        raise InputError(f"no point of the source has a place in {crs.name}; choose another CRS")
    left, right, bottom, top = np.nanmin(x), np.nanmax(x), np.nanmin(y), np.nanmax(y)
    if resolution is None:
        corners = np.hypot(x[-1, -1] - x[0, 0], y[-1, -1] - y[0, 0])
        extent = np.hypot(right - left, top - bottom)
        resolution = (corners if np.isfinite(corners) else extent) / np.hypot(height, width)
    else:
        left, bottom = (np.floor(edge / resolution + EDGE) * resolution for edge in (left, bottom))
        right, top = (np.ceil(edge / resolution - EDGE) * resolution for edge in (right, top))
    height, width = (max(1, round(extent / resolution)) for extent in (top - bottom, right - left))
    return Grid(crs, (resolution, 0, left, 0, -resolution, top), height, width)


# --- files -----------------------------------------------------------------------------------------------


class BlockCache:
    """`read` for a file: a block is decoded once, by the first that needs it, while it is among those used last."""

    def __init__(self, raster: geotiff.Raster) -> None:
        self._raster, self._lock, self._blocks = raster, threading.Lock(), {}
        size = raster.grid.height, raster.grid.width
        height, width = (min(n, b * max(1, 512 // b)) for n, b in zip(size, raster.block_shape))
        if width == size[1]:
            height = min(size[0], raster.block_shape[0] * max(1, 2**18 // (width * raster.block_shape[0])))
        self.shape = height, width
        self._capacity = max(4, CACHE_BYTES // (height * width * raster.dtype.itemsize))

    def _block(self, i: int, j: int) -> np.ndarray:
        with self._lock:
            block = self._blocks.pop((i, j), None)
            mine = block is None
            self._blocks[i, j] = block = Future() if mine else block
            if len(self._blocks) > self._capacity:
                del self._blocks[next(iter(self._blocks))]
        if mine:
            (height, width), grid = self.shape, self._raster.grid
            row, col = i * height, j * width
            window = Window(row, col, min(height, grid.height - row), min(width, grid.width - col))
            try:
                block.set_result(self._raster.read(window)[0])
            except BaseException as error:
                block.set_exception(error)
        return block.result()

    def __call__(self, window: Window) -> np.ndarray:
        out = np.empty((window.height, window.width), self._raster.dtype)
        height, width = self.shape
        for part in _parts(window, self.shape):
            i, j = part.row // height, part.col // width
            row, col = part.row - i * height, part.col - j * width
            block = self._block(i, j)[row : row + part.height, col : col + part.width]
            row, col = part.row - window.row, part.col - window.col
            out[row : row + part.height, col : col + part.width] = block
        return out


def _covers(source: Grid, target: Grid) -> bool:
    """Whether every pixel centre along the target's rim lies in the source."""
    rows, cols = np.arange(target.height) + 0.5, np.arange(target.width) + 0.5
    rim_rows = np.concatenate([rows, rows, np.full_like(cols, rows[0]), np.full_like(cols, rows[-1])])
    rim_cols = np.concatenate([np.full_like(rows, cols[0]), np.full_like(rows, cols[-1]), cols, cols])
    row, col = _coordinates(source, target, 0)[0].exact(rim_rows, rim_cols) + EDGE
    return bool(np.all((row >= 0) & (row < source.height) & (col >= 0) & (col < source.width)))


def _with_progress(strips: Iterable[np.ndarray], height: int) -> Iterator[np.ndarray]:
    """The same strips; a line with the time left on a terminal."""
    start, done = time.monotonic(), 0
    for strip in strips:
        yield strip[None]
        done += len(strip)
        if sys.stderr.isatty():
            left = (time.monotonic() - start) * (height - done) / done
            end = "\n" if done == height else ""
            print(
                f"\r{done:,} of {height:,} rows, {left:,.0f} s left   ", end=end, file=sys.stderr, flush=True
            )


def reproject_file(
    source_path,
    output_path,
    target_grid: Grid,
    method: str = "nearest",
    nodata: int | None = None,
    vote_weights: dict[int, float] | str | None = None,
    error_threshold: float = 0.125,
    geo_tags: dict | None = None,
) -> None:
    """Write the one-band integer raster at `source_path` on `target_grid`, with its colour map and description.

    `nodata` None: the source's own; where it has none, the target must not reach beyond it. `geo_tags`, of the raster
    that the grid is taken from, are written as they are. Raises InputError for what `strips` does, a missing CRS, a
    float source, several bands, and an output that is the input; OSError where the disk is full. An earlier output
    is then untouched.
    """
    if os.path.exists(output_path) and os.path.samefile(source_path, output_path):
        raise InputError(f"{output_path}: the output is the input; give another name")
    with geotiff.Raster(source_path) as raster:
        source_grid = raster.grid
        if raster.count != 1:
            raise InputError(f"{source_path}: has {raster.count} bands; a raster of classes has one")
        if raster.dtype.kind not in "iu":
            raise InputError(
                f"{source_path}: holds {raster.dtype}, not classes; convert it to an integer type first"
            )
        if source_grid.crs is None or target_grid.crs is None:
            path = source_path if source_grid.crs is None else "the target"
            raise InputError(f"{path}: CRS is missing; assign it first, e.g. gdal_edit.py -a_srs EPSG:25831")
        nodata = raster.nodata if nodata is None else nodata
        if nodata is None and not _covers(source_grid, target_grid):
            raise InputError(f"{source_path}: declares no no-data for what lies outside; give --nodata")
        cache = BlockCache(raster)
        options = (method, nodata, raster.dtype, vote_weights, error_threshold)
        try:
            rows = _with_progress(strips(cache, source_grid, target_grid, *options), target_grid.height)
            tags = (nodata, raster.colormap, raster.descriptions, geo_tags)
            geotiff.write_blocks(output_path, rows, target_grid, 1, raster.dtype, *tags)
        except InputError as error:
            raise InputError(f"{source_path}: {error}") from error


def _vote_weights(text: str) -> dict[int, float] | str:
    if text == "inverse":
        return text
    return {int(code): float(weight) for code, weight in (item.split("=") for item in text.split(","))}


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a raster of classes on another raster's grid.")
    parser.add_argument("source", help="raster of classes: one band, an integer type")
    parser.add_argument("-o", "--output", required=True, help="GeoTIFF to write")
    parser.add_argument("--like", metavar="RASTER", help="take this raster's CRS, pixels and extent")
    parser.add_argument("--crs", help="or: the output's CRS, such as EPSG:3857, with the source's extent")
    parser.add_argument(
        "--resolution", type=float, help="and its pixel size in units of the CRS (default: the source's)"
    )
    parser.add_argument("--method", choices=METHODS, default="nearest", help="default: %(default)s")
    parser.add_argument(
        "--nodata", type=int, help="no-data of source and output (default: what the source declares)"
    )
    parser.add_argument(
        "--vote-weights", type=_vote_weights, metavar="inverse|CODE=W,...", help="for --method mode"
    )
    parser.add_argument(
        "--error-threshold", type=float, default=0.125, help="pixels; 0 is exact (default: %(default)s)"
    )
    args = parser.parse_args()
    if bool(args.like) == bool(args.crs) or (args.resolution is not None and not args.crs):
        parser.error("give either --like, or --crs and perhaps --resolution")
    if args.vote_weights and args.method != "mode":
        parser.error("--vote-weights needs --method mode")
    with one_line_errors("reproject.py"):
        with geotiff.Raster(args.like or args.source) as raster:
            grid, geo_tags = raster.grid, raster.geo_tags if args.like else None
        if args.crs:
            grid = target_grid_for(grid, args.crs, args.resolution)
        options = (args.method, args.nodata, args.vote_weights, args.error_threshold, geo_tags)
        reproject_file(args.source, args.output, grid, *options)


if __name__ == "__main__":
    main()
