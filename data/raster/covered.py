"""Ground area of each class in the part of a raster that another grid covers.

This is what resampling onto that grid should keep. Let k be a class and G the ground of the grid:

    area_k = sum of area(s) * share(s) over all source pixels s of class k

    area(s)    the area of pixel s on the ground (data/raster/ground.py)
    share(s)   the part of pixel s that lies in G

share(s) is measured at n x n points, the centres of n x n equal parts of the pixel. n is the
smallest number for which about POINTS points lie along the side of G. It is 1 where the source has
that many pixels. So a source whose pixels are large next to G is measured as exactly as others.

Read beside it: tests/data/raster/test_covered.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch

from data.grid import Grid, Window
from data.raster.ground import pixel_areas
from data.raster.tiles import parts, thread_pool
from data.raster.values import numbered
from data.raster.warp import CELL, between

POINTS = 512  # along the side of the covered ground
SAME = 1e-4  # areas of pixels of one window that differ by less count as equal
CELLS = 256  # rows and columns of a grid within which the area of a pixel is constant
PIECE = 2**19  # points that are counted at a time
THRESHOLD = 0.125  # largest error of a coordinate, in pixels of the finer grid


class Ground:
    """The ground of a grid, for sums of areas. Without a CRS, each pixel has the area 1."""

    def __init__(self, grid: Grid):
        self.shape = grid.height, grid.width
        rows, cols = (min(CELLS, side) for side in self.shape)
        down, across = grid.height / rows, grid.width / cols
        self._areas = np.ones((rows, cols))
        if grid.crs and grid.crs.geodetic_crs:
            a, b, c, d, e, f = grid.transform
            transform = a * across, b * down, c, d * across, e * down, f
            areas = pixel_areas(Grid(grid.crs, transform, rows, cols)) / (down * across)
            self._areas = np.nan_to_num(areas)  # beside the Earth there is no ground

    def areas(
        self, codes: np.ndarray, row: int, col: int = 0, inside: np.ndarray | None = None
    ) -> Counter:
        """Sum up the area of each code in a window.

        Args:
            codes: (h, w) of an integer type.
            row: First row of the window in the grid.
            col: First column of the window.
            inside: (h, w) bool: the pixels that count; by default all.

        Returns:
            {code: area in m2}.
        """
        rows, cols = (
            ((np.arange(first, first + count) + 0.5) * cells // side).astype(int)
            for first, count, cells, side in zip(
                (row, col), codes.shape, self._areas.shape, self.shape
            )
        )
        values, numbers = numbered(codes, None)
        numbers = numbers.reshape(codes.shape)
        cells = self._areas[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        if np.ptp(cells) <= SAME * cells.max():
            flat = numbers.ravel() if inside is None else numbers[inside]
            sums = np.bincount(flat, minlength=len(values)) * cells.mean()
        else:
            area = self._areas[np.ix_(rows, cols)]
            area = area if inside is None else area * inside
            sums = np.bincount(numbers.ravel(), area.ravel(), len(values))
        return Counter({v: s for v, s in zip(values.tolist(), sums.tolist()) if s})


def covered_areas(
    read: Callable[[Window], np.ndarray],
    source: Grid,
    target: Grid,
    block: tuple[int, int],
    threads: int | None = None,
) -> Counter:
    """Measure the ground of each code in the part of a raster that a grid covers.

    Args:
        read: Returns the codes (h, w) of a window. It is called from several threads.
        source: The grid of the raster.
        target: The other grid. Both have a CRS, or neither has.
        block: Rows and columns that are read at a time, see `cache.block_size`.
        threads: Number of threads, by default as many as torch uses.

    Returns:
        {code: area in m2}, also of no-data. Without a CRS, the areas are in pixels of the source
        or parts of them: only their ratios count.
    """
    around = enclosing(source, target)
    if around is None:
        return Counter()
    n = _points(source.window(around), target)
    a, b, _, d, e, _ = source.transform
    c, f = source.xy(around.row, around.col)
    transform = a / n, b / n, c, d / n, e / n, f
    fine = Grid(source.crs, transform, around.height * n, around.width * n)
    limits = enclosing(fine, target)
    if limits is None:
        return Counter()
    forward = between(fine, target, THRESHOLD)[1]
    ground = Ground(fine.window(limits))

    def finer(part: Window) -> Window | None:
        """Return the window of `fine` that shows a window of the source, as far as it counts."""
        top, left = (part.row - around.row) * n, (part.col - around.col) * n
        row, col = max(top, limits.row), max(left, limits.col)
        bottom = min(top + part.height * n, limits.row + limits.height)
        right = min(left + part.width * n, limits.col + limits.width)
        return Window(row, col, bottom - row, right - col) if row < bottom and col < right else None

    def measure(part: Window) -> Counter:
        found: Counter = Counter()
        window = finer(part)
        if window is None:
            return found
        codes = read(part)
        for piece, met, index in forward.located(window, forward.extent, PIECE):
            row, col = (
                piece.row + (around.row - part.row) * n,
                piece.col + (around.col - part.col) * n,
            )
            if n == 1:
                shown = codes[row : row + piece.height, col : col + piece.width]
            else:
                rows, cols = np.arange(row, row + piece.height), np.arange(col, col + piece.width)
                shown = codes[np.ix_(rows // n, cols // n)]
            at = piece.row - limits.row, piece.col - limits.col
            inside = on_target(met, index.numpy())
            found.update(ground.areas(shown, *at, None if inside.all() else inside))
        return found

    total: Counter = Counter()
    height, width = block
    with thread_pool(threads or torch.get_num_threads()) as pool:
        for strip in parts(around, height, around.col + around.width):
            if window := finer(strip):
                forward.prepare(window)
            for found in pool.map(measure, parts(strip, height, width)):
                total.update(found)
    return total


def enclosing(source: Grid, target: Grid) -> Window | None:
    """Find the pixels of a source that a target may cover."""
    backward = between(source, target, THRESHOLD)[0]
    extent = Window(0, 0, target.height, target.width)
    return backward.enclosing(*parts(extent, CELL, CELL))


def _points(source: Grid, target: Grid) -> int:
    """Choose the number of points along the side of a source pixel."""
    pixels = target.height * target.width * _pixel_area(target) / (_pixel_area(source) or 1)
    return max(1, math.ceil(POINTS / math.sqrt(pixels))) if pixels else 1


def _pixel_area(grid: Grid) -> float:
    """Compute the ground area of the middle pixel of a grid."""
    middle = grid.window(Window(grid.height // 2, grid.width // 2, 1, 1))
    return Ground(middle).areas(np.zeros((1, 1), np.uint8), row=0)[0]


def on_target(met: Window, index: np.ndarray) -> np.ndarray:
    """Find which points of an index of `Patch.locate` are not on the rim around `met`."""
    if met.height * met.width <= index.size:  # a table is faster than a division
        return np.pad(np.ones((met.height, met.width), bool), 1).take(index)
    row, col = np.divmod(index, met.width + 2)
    return (row >= 1) & (row <= met.height) & (col >= 1) & (col <= met.width)
