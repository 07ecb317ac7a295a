"""Resample a raster of classes onto another grid: nearest pixel, or mode.

Classes cannot be averaged. A target pixel takes the class of one source pixel, or the class that
most source pixels vote for. Let p_t and p_s be the centres (row, col) of a target and of a source
pixel, A the affine map of a grid from (row, col) to (x, y), and T the transform from the CRS of the
source to the CRS of the target:

    nearest   out(t) = in(floor(A_source^-1 T^-1 A_target p_t))

    mode      target(s) = floor(A_target^-1 T A_source p_s)
              votes(t, k) = w_k * number of source pixels s with target(s) = t and in(s) = k
              out(t) = argmax_k votes(t, k)

In mode each source pixel votes once, for the target pixel that holds its centre. So the votes of a
class measure its area. On a tie the lower class wins. A target pixel without votes gets the result
of nearest. Pixels without a class (no-data) do not vote. Outside the source is no-data.

The weights w_k are 1 by default. Larger weights for rare classes preserve roads and houses when the
target pixels are much larger than source pixels. "inverse" means w_k = 1 / (pixels of class k).

data/raster/warp.py computes the coordinates, and data/raster/tiles.py runs tiles in threads. Read
tests/data/test_resample.py beside this file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from data.files import InputError
from data.grid import Grid, Window
from data.raster.targetgrid import require_places
from data.raster.tiles import halving, parts, strip_by_strip
from data.raster.values import count_values, require_classes, tally
from data.raster.warp import CELL, Coordinates, between

TILE = 256  # rows and columns of a tile of the target; a thread makes one tile at a time
PIECE = 2**19  # source pixels whose votes are counted at a time
MOST_PIXELS = 2**23  # a tile with more source pixels is halved
MOST_VOTES = 2**22  # a tile with more counters is halved


class Outside(InputError):
    """The target lies wholly outside the source."""


@dataclass
class Job:
    """The arguments that all tiles of a target share."""

    read: Callable[[Window], np.ndarray]  # returns the source pixels (H, W) of a window
    backward: Coordinates  # coordinates of the target pixels in the source
    forward: Coordinates  # coordinates of the source pixels in the target
    dtype: np.dtype
    nodata: int | None
    outside: int  # the value of pixels outside the source
    weights: dict[int, float]
    overlaps: bool = False  # whether any tile has overlapped the source


@halving
def nearest(job: Job, tile: Window) -> np.ndarray | None:
    """Resample a tile (h, w) of the target by nearest pixel; None if it must be halved."""
    located = job.backward.patch(tile).locate(job.backward.extent)
    if located is None:
        return np.full((tile.height, tile.width), job.outside, job.dtype)
    # The pixels of the source that the tile needs, and where each pixel of the tile finds its own
    # among them and a rim of one pixel, which stands for all that lies outside.
    part, index = located
    if part.height * part.width > MOST_PIXELS and tile.height * tile.width > 1:
        return None
    job.overlaps = True
    rimmed = np.full((part.height + 2, part.width + 2), job.outside, job.dtype)
    rimmed[1:-1, 1:-1] = job.read(part)
    return rimmed.take(index.numpy())


@halving
def mode(job: Job, tile: Window) -> np.ndarray | None:
    """Resample a tile (h, w) of the target by mode; None if it must be halved."""
    window = job.backward.enclosing(tile)
    if window is None:
        return np.full((tile.height, tile.width), job.outside, job.dtype)
    if window.height * window.width > MOST_PIXELS and tile.height * tile.width > 1:
        return None
    if (value := constant(job, tile, window)) is not None:
        return np.full((tile.height, tile.width), value, job.dtype)
    counted = count_votes(job, tile, window)
    if counted is None:
        return None
    values, votes = counted
    if not values:
        return nearest(job, tile)
    out, most = winners(job, values, votes)
    rows, cols = np.nonzero(most == 0)
    job.overlaps |= len(rows) < out.size
    if len(rows):
        top, left = int(rows.min()), int(cols.min())
        height, width = int(rows.max()) + 1 - top, int(cols.max()) + 1 - left
        part = nearest(job, Window(tile.row + top, tile.col + left, height, width))
        out[rows, cols] = part[rows - top, cols - left]
    return out


def constant(job: Job, tile: Window, window: Window) -> int | None:
    """Find the only value of the source under a tile that lies inside the source; else None.

    Sea, forest and the ground beside a mapped region fill whole tiles.
    """
    _, _, rows, cols = job.backward.extent
    bottom, right = window.row + window.height, window.col + window.width
    inside = window.row > 0 and window.col > 0 and bottom < rows and right < cols
    # `known` are pixels whose coordinates are computed one by one, at the limit of a projection.
    if not inside or job.backward.patch(tile).known.size:
        return None
    value: int | None = None
    for part in parts(window, TILE, right):
        codes = job.read(part)
        value = int(codes[0, 0]) if value is None else value
        if (codes != value).any():
            return None
    job.overlaps = True
    return value


def count_votes(job: Job, tile: Window, window: Window) -> tuple[list[int], torch.Tensor] | None:
    """Count the votes of a window of the source for the pixels (h, w) of a tile.

    Returns:
        The k different values of the window, and their votes (k, h, w), which are 0 for no-data.
        Or None, if k is too large for the size of the tile.
    """
    area = tile.height * tile.width
    # Larger windows than MOST_PIXELS occur only for a tile of one pixel, and need larger counters.
    dtype = torch.int32 if area > 1 else torch.int64
    plane_of: dict[int, int] = {}
    votes = torch.zeros(0, tile.height, tile.width, dtype=dtype)
    for piece, met, index in job.forward.located(window, tile, PIECE):
        # `met` is the part of the tile for which the piece votes. There is a counter for each value
        # and each pixel of `met` and of a rim around it. The rim gets the votes for other tiles.
        height, width = met.height + 2, met.width + 2
        values, tallied = tally(job.read(piece), index.numpy(), job.nodata, height * width)
        planes = [plane_of.setdefault(value, len(plane_of)) for value in values.tolist()]
        if len(plane_of) * area > MOST_VOTES and area > 1:
            return None
        if len(plane_of) > len(votes):
            new = votes.new_zeros(len(plane_of) - len(votes), tile.height, tile.width)
            votes = torch.cat([votes, new]) if len(votes) else new
        counts = torch.from_numpy(tallied).view(-1, height, width)[:, 1:-1, 1:-1].to(dtype)
        row, col = met.row - tile.row, met.col - tile.col
        box = votes[:, row : row + met.height, col : col + met.width]
        if planes == list(range(len(planes))):  # the usual case, which is faster
            box[: len(planes)] += counts
        else:
            box.index_add_(0, torch.tensor(planes), counts)
    if job.nodata in plane_of:
        votes[plane_of[job.nodata]] = 0
    return list(plane_of), votes


def winners(job: Job, values: list[int], votes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Find the value with the most votes (h, w), and the number of its votes (h, w)."""
    if job.weights:
        factors = [job.weights.get(value, 1.0) for value in values]
        votes = votes * torch.tensor(factors, dtype=torch.float64)[:, None, None]
    most = votes.amax(dim=0).numpy()
    out = np.empty(most.shape, job.dtype)
    for value in sorted(values, reverse=True):  # on a tie the lower class overwrites the higher
        np.copyto(out, value, where=votes[values.index(value)].numpy() == most)
    return out, most


METHODS = {"nearest": nearest, "mode": mode}


def reproject(
    source: np.ndarray,
    source_grid: Grid,
    target_grid: Grid,
    method: str = "nearest",
    nodata: int | None = None,
    **options,
) -> np.ndarray:
    """Resample an array (H, W) or (bands, H, W) of an integer type.

    The arguments are those of `strips`.

    Returns:
        (h, w) or (bands, h, w) of the same type.
    """
    source, given = np.asarray(source), (source_grid, target_grid, method, nodata)
    if source.ndim == 3:
        return np.stack([reproject(band, *given, **options) for band in source])
    size = source_grid.height, source_grid.width
    if source.shape != size:
        raise ValueError(f"a source of shape {source.shape} does not fit a grid of {size}")
    source = source.astype(source.dtype.newbyteorder("="), copy=False)

    def read(window: Window) -> np.ndarray:
        row, col, height, width = window
        return source[row : row + height, col : col + width]

    return np.concatenate(list(strips(read, *given, source.dtype, **options)))


def strips(
    read: Callable[[Window], np.ndarray],
    source_grid: Grid,
    target_grid: Grid,
    method: str = "nearest",
    nodata: int | None = None,
    dtype: np.dtype | type | str = np.uint8,
    vote_weights: dict[int, float] | str | None = None,
    error_threshold: float = 0.125,
    threads: int | None = None,
    rows: int = TILE,
) -> Iterator[np.ndarray]:
    """Resample a raster of any size, strip by strip from the top.

    Args:
        read: Returns the source classes (H, W) of a window. It is called from several threads.
        source_grid: The grid of the source.
        target_grid: The grid of the result. If neither has a CRS, both use the same x and y.
        method: "nearest" or "mode".
        nodata: The value of pixels without a class. By default every value is a class, and pixels
            outside the source get the largest value of `dtype`, 255 for uint8.
        dtype: The integer type of the pixels.
        vote_weights: For mode: {class: weight above 0}, 1 for other classes; or "inverse".
        error_threshold: Largest error of a coordinate, in pixels of the finer grid.
        threads: Number of threads, by default as many as torch uses.
        rows: The largest height of a strip, a power of 2.

    Returns:
        An iterator of arrays (h, width) of `dtype`. It raises Outside at its end if the target lies
        wholly outside the source.

    Raises:
        InputError: `dtype` is not an integer type, a weight is not above 0, or only one grid has a
            CRS.
    """
    dtype, threads = np.dtype(dtype), threads or torch.get_num_threads()
    weights = vote_weights if isinstance(vote_weights, dict) else {}
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    require_classes(dtype, nodata)
    require_places(source_grid, target_grid)
    if not all(0 < weight < np.inf for weight in weights.values()):
        raise InputError("a vote weight is not above 0; to leave a class out, make it no-data")
    nodata = None if nodata is None else int(nodata)
    outside = np.iinfo(dtype).max if nodata is None else nodata
    coordinates = between(source_grid, target_grid, error_threshold)
    job = Job(read, *coordinates, dtype, nodata, outside, weights)
    if method == "mode" and vote_weights == "inverse":
        window = job.backward.enclosing(*parts(job.forward.extent, CELL, CELL))
        pixels = count_values(read, window, nodata, threads) if window else {}
        job.weights = {value: 1 / count for value, count in pixels.items()}
    return _strips(job, method, rows, threads)


def _strips(job: Job, method: str, rows: int, threads: int) -> Iterator[np.ndarray]:
    """Yield the strips of a target."""

    def prepare(tile: Window) -> None:
        job.backward.prepare(tile)
        if method == "mode" and (window := job.backward.enclosing(tile)):
            job.forward.prepare(window)

    target, done = job.forward.extent, 0
    make, columns = functools.partial(METHODS[method], job), min(CELL, TILE * TILE // rows)
    for strip in strip_by_strip(make, prepare, target, rows, columns, threads):
        done += len(strip)
        if done == target.height and not job.overlaps:
            raise Outside(
                "the target lies wholly outside the source; check the CRS and extent of both"
            )
        yield strip
