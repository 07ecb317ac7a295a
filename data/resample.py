"""Put a raster of classes on another raster's grid.

Classes cannot be averaged: a target pixel takes the class of one source pixel, or the class that
wins a vote. With p_t and p_s the centres of a target and a source pixel as (row, col), A the affine
map of a grid from there to x and y, and T the transform from the source's CRS to the target's:

    nearest   out(t) = in(floor(A_source^-1 T^-1 A_target p_t))           the source pixel under the centre of t
    mode      votes(t, k) = w_k * number of s with in(s) = k and floor(A_target^-1 T A_source p_s) = t
              out(t) = argmax_k votes(t, k)     the lower class on a tie; nearest where nobody votes

In mode each source pixel votes once, for the one target pixel that holds its centre, so that no
pixel counts twice and the votes of a class add up to its area. No-data does not vote; outside the
source is no-data. With `vote_weights` w_k need not be 1, so that roads and houses survive a
tenfold shrink; "inverse" is 1 / (pixels of k).

data/raster/warp.py is about T. Read tests/data/test_resample.py beside this file.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from data.files import InputError
from data.grid import IDENTITY, Grid, Window
from data.raster.warp import CELL, Coordinates, between, clip, parts

TILE = 256  # rows and columns of the target that are one task
PIECE = 2**19  # pixels of the source that are worked on at a time
MOST_PIXELS, MOST_VOTES = (
    2**23,
    2**22,
)  # a tile with a larger window of the source, or more counters, is halved
NEAR = 32  # classes whose codes follow no-data this closely need no look-up


@dataclass
class Job:
    """What every tile needs to know."""

    read: Callable[[Window], np.ndarray]
    extent: Window  # of the source
    backward: Coordinates
    forward: Coordinates
    dtype: np.dtype
    nodata: int | None
    fill: int  # for what is outside
    weights: dict[int, float]
    found: bool = False  # whether any tile met the source


def _halved(method: Callable, job: Job, tile: Window) -> np.ndarray:
    row, col, height, width = tile
    tall, half = height >= width, max(height, width) // 2
    first = Window(row, col, half, width) if tall else Window(row, col, height, half)
    second = (
        Window(row + half, col, height - half, width)
        if tall
        else Window(row, col + half, height, width - half)
    )
    return np.concatenate([method(job, first), method(job, second)], axis=0 if tall else 1)


def _nearest(job: Job, tile: Window) -> np.ndarray:
    """(h, w): the source pixel under each centre of a tile of the target."""
    located = job.backward.patch(tile).locate(job.extent)
    if located is None:
        return np.full((tile.height, tile.width), job.fill, job.dtype)
    part, index = located
    if part.height * part.width > MOST_PIXELS and tile.height * tile.width > 1:
        return _halved(_nearest, job, tile)
    job.found = True
    rimmed = np.full((part.height + 2, part.width + 2), job.fill, job.dtype)
    rimmed[1:-1, 1:-1] = job.read(part)
    return rimmed.take(index.numpy())


def _number(block: np.ndarray, nodata: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The values in a block (k), and which of them each pixel has (h, w). Some may have none."""
    codes = block.view(f"u{block.itemsize}")
    first = codes.dtype.type((nodata or 0) % 2 ** (8 * block.itemsize))
    above = codes - first  # wraps around, so that the classes 0, 1, 2 ... follow no-data 255
    count = int(above.max()) + 1
    if count <= NEAR:
        return (first + np.arange(count, dtype=codes.dtype)).view(block.dtype), above.astype(
            np.uint8, copy=False
        )
    if block.itemsize > 2:
        return np.unique(block, return_inverse=True)
    seen = np.zeros(2 ** (8 * block.itemsize), bool)
    seen[codes] = True
    values = np.flatnonzero(seen).astype(codes.dtype).view(block.dtype)
    return values, (np.cumsum(seen, dtype=np.int32) - 1).take(codes)


def _window(job: Job, tile: Window) -> Window | None:
    """The pixels of the source whose centre may lie in a tile of the target."""
    low, high = job.backward.patch(tile, pad=1).span()
    # The centres around the tile bound its area; two pixels more are for the errors of both
    # coordinates.
    return clip(low - 2, high + 2, job.extent)


def _votes(job: Job, tile: Window, window: Window) -> tuple[list[int], torch.Tensor] | None:
    """k values, and (k, h, w): how many pixels of a window of the source have one and their centre
    in each pixel of a tile, 0 for no-data. None: too many values for so large a tile.
    """
    area = tile.height * tile.width
    count_type = (
        torch.int32 if area > 1 else torch.int64
    )  # a window of more than 2**31 pixels has a tile of one
    plane, votes = {}, torch.zeros(0, tile.height, tile.width, dtype=count_type)
    for part in parts(window, CELL, CELL):
        patch = job.forward.patch(part)
        rows = max(1, PIECE // part.width)
        for top in range(0, part.height, rows):
            piece = part._replace(row=part.row + top, height=min(rows, part.height - top))
            located = patch.locate(tile, top, top + piece.height)
            if located is None:
                continue
            met, index = located
            values, numbers = _number(job.read(piece), job.nodata)
            planes = [plane.setdefault(value, len(plane)) for value in values.tolist()]
            if len(plane) > len(votes):
                if len(plane) * area > MOST_VOTES and area > 1:
                    return None
                more = votes.new_zeros(len(plane) - len(votes), tile.height, tile.width)
                votes = torch.cat([votes, more]) if len(votes) else more
            height, width = (
                met.height + 2,
                met.width + 2,
            )  # with the rim, on which the votes for other tiles fall
            index.add_(torch.from_numpy(numbers), alpha=height * width)
            counts = torch.bincount(index.view(-1), minlength=len(values) * height * width)
            counts = counts.view(len(values), height, width)[:, 1:-1, 1:-1].to(count_type)
            row, col = met.row - tile.row, met.col - tile.col
            box = votes[:, row : row + met.height, col : col + met.width]
            if planes == list(range(len(planes))):  # as a rule, and faster
                box[: len(planes)] += counts
            else:
                box.index_add_(0, torch.tensor(planes), counts)
    if job.nodata in plane:
        votes[plane[job.nodata]] = 0
    return list(plane), votes


def _mode(job: Job, tile: Window) -> np.ndarray:
    """(h, w): the class with most votes in each pixel of a tile of the target."""
    window = _window(job, tile)
    if window is None:
        return np.full((tile.height, tile.width), job.fill, job.dtype)
    too_large = window.height * window.width > MOST_PIXELS and tile.height * tile.width > 1
    counted = None if too_large else _votes(job, tile, window)
    if counted is None:
        return _halved(_mode, job, tile)
    values, votes = counted
    if not values:
        return _nearest(job, tile)
    if job.weights:
        weights = torch.tensor(
            [job.weights.get(value, 1.0) for value in values], dtype=torch.float64
        )
        votes = votes * weights[:, None, None]
    out, most, votes = (
        np.empty((tile.height, tile.width), job.dtype),
        votes.amax(dim=0).numpy(),
        votes.numpy(),
    )
    for value in sorted(values, reverse=True):  # the lower class overwrites the higher on a tie
        np.copyto(out, value, where=votes[values.index(value)] == most)
    rows, cols = np.nonzero(most == 0)
    job.found |= len(rows) < out.size
    if len(rows):
        top, left, bottom, right = (
            int(end) for end in (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        )
        nearest = _nearest(job, Window(tile.row + top, tile.col + left, bottom - top, right - left))
        out[rows, cols] = nearest[rows - top, cols - left]
    return out


METHODS = {"nearest": _nearest, "mode": _mode}


def _inverse_frequencies(job: Job, target: Grid, pool: ThreadPoolExecutor) -> dict[int, float]:
    """1 / (number of pixels) of each class in the rectangle of the source that holds the target."""
    cells = parts(Window(0, 0, target.height, target.width), CELL, CELL)
    spans = [job.backward.patch(cell, pad=1).span() for cell in cells]
    low, high = np.array(spans).swapaxes(0, 1)
    window = clip(np.fmin.reduce(low) - 2, np.fmax.reduce(high) + 2, job.extent)

    def count(piece: Window) -> Counter:
        values, numbers = _number(job.read(piece), job.nodata)
        return Counter(dict(zip(values.tolist(), np.bincount(numbers.reshape(-1)).tolist())))

    total = sum(pool.map(count, parts(window, CELL // 4, CELL)), Counter()) if window else {}
    return {value: 1 / pixels for value, pixels in total.items() if pixels}


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
    rows: int = TILE,
) -> Iterator[np.ndarray]:
    """The target from top to bottom as arrays (h, width), whatever the size of either raster.

    `read(window)` returns the classes (H, W), of `dtype`, in a window of the source; it is called
    from `threads` threads (None: as many as torch uses). `nodata` None: every value is a class, and
    outside is the largest value of `dtype` (255 for uint8). `vote_weights`, for mode: {value:
    weight > 0}, 1 for others, or "inverse". `rows` is the largest h, a power of 2. Two grids
    without CRS lie in one plane. Raises InputError for a type that holds no classes, a CRS on one
    side only, and a target that lies wholly outside the source.
    """
    dtype = np.dtype(dtype)
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if dtype.kind not in "iu":
        raise InputError(
            f"pixels of type {dtype} are not classes; convert them to an integer type first"
        )
    if nodata is not None and not np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max:
        raise InputError(f"no-data {nodata} is not a value of {dtype}; give another")
    weights = vote_weights if isinstance(vote_weights, dict) else {}
    if not all(0 < weight < np.inf for weight in weights.values()):
        raise InputError("a vote weight is not above 0; to leave a class out, make it no-data")
    if (source_grid.crs is None) != (target_grid.crs is None):
        raise InputError(
            f"the {'source' if source_grid.crs is None else 'target'} has no CRS; assign it first"
        )
    plain = source_grid.crs is None and IDENTITY in (source_grid.transform, target_grid.transform)
    if plain and not source_grid.matches(target_grid):
        raise InputError("neither raster has a CRS and they differ in size; assign CRSs first")
    extent = Window(0, 0, source_grid.height, source_grid.width)
    fill = np.iinfo(dtype).max if nodata is None else int(nodata)
    coordinates = between(source_grid, target_grid, error_threshold)
    job = Job(read, extent, *coordinates, dtype, None if nodata is None else fill, fill, weights)
    threads = threads or torch.get_num_threads()
    return _strips(METHODS[method], job, target_grid, vote_weights == "inverse", threads, rows)


def _strips(
    method: Callable, job: Job, target: Grid, inverse: bool, threads: int, rows: int
) -> Iterator[np.ndarray]:
    # Each of our threads is one of torch's. Torch keeps the number for threads to come: the last
    # line restores it.
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        if inverse and method is _mode:
            job.weights = _inverse_frequencies(job, target, pool)
        waiting, started = deque(range(0, target.height, rows)), deque()
        while waiting or started:
            while waiting and (len(started) < 2 or sum(map(len, started)) < 4 * threads):
                row = waiting.popleft()
                strip = Window(row, 0, min(rows, target.height - row), target.width)
                job.backward.prepare(strip)
                started.append([])
                for tile in parts(strip, rows, min(CELL, TILE * TILE // rows)):
                    if method is _mode and (window := _window(job, tile)):
                        job.forward.prepare(window)
                    started[-1].append(pool.submit(method, job, tile))
            strip = np.concatenate([tile.result() for tile in started.popleft()], axis=1)
            if not (waiting or started or job.found):
                raise InputError(
                    "the target lies wholly outside the source; check the CRS and extent of both"
                )
            yield strip
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch.get_num_threads())


def reproject(
    source: np.ndarray,
    source_grid: Grid,
    target_grid: Grid,
    method="nearest",
    nodata: int | None = None,
    **options,
) -> np.ndarray:
    """`source` (H, W) or (bands, H, W) on the target's grid, of the same integer type; all else as
    for `strips`.
    """
    source = np.asarray(source)
    if source.ndim == 3:
        return np.stack(
            [
                reproject(band, source_grid, target_grid, method, nodata, **options)
                for band in source
            ]
        )
    if source.shape != (source_grid.height, source_grid.width):
        raise ValueError(
            f"a source {source.shape} is not on a grid {source_grid.height, source_grid.width}"
        )
    source = source.astype(source.dtype.newbyteorder("="), copy=False)

    def read(window: Window) -> np.ndarray:
        return source[
            window.row : window.row + window.height, window.col : window.col + window.width
        ]

    return np.concatenate(
        list(strips(read, source_grid, target_grid, method, nodata, source.dtype, **options))
    )
