"""Read overlapping windows of a file, each block of which is decoded once.

A raster file is decoded in blocks: tiles, or strips of full rows. Windows that overlap or that end
inside a block would decode the block again for each window. `block_reader` keeps the blocks that
were used last. A file in strips decodes full rows even for a narrow window, so the rows that are
worked on at a time should fit in the cache: `rows_that_fit` counts them.

Read beside it: tests/data/raster/test_cache.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from data.grid import Grid, Window
from data.raster.geotiff import Raster
from data.raster.tiles import parts
from data.raster.warp import between

CACHE_BYTES = 2**27  # of decoded blocks
BLOCK = 512  # rows and columns; smaller blocks of a file are decoded several at a time
BLOCK_PIXELS = 2**20


def block_reader(raster: Raster) -> Callable[[Window], np.ndarray]:
    """Make a function that reads a window (height, width) of the first band through a cache.

    The function may be called from several threads. Two threads that need a block at the same time
    both decode it.
    """
    grid, (block_height, block_width) = raster.grid, raster.block_shape
    width = min(grid.width, block_width * max(1, BLOCK // block_width))
    most_rows = min(BLOCK, BLOCK_PIXELS // width)
    height = min(grid.height, block_height * max(1, most_rows // block_height))
    block_bytes = height * width * raster.dtype.itemsize

    @functools.lru_cache(maxsize=max(4, CACHE_BYTES // block_bytes))
    def block(row: int, col: int) -> np.ndarray:
        window = Window(row, col, min(height, grid.height - row), min(width, grid.width - col))
        return raster.read(window)[0]

    def read(window: Window) -> np.ndarray:
        out = np.empty((window.height, window.width), raster.dtype)
        for part in parts(window, height, width):
            row, col = part.row % height, part.col % width
            pixels = block(part.row - row, part.col - col)
            row_out, col_out = part.row - window.row, part.col - window.col
            out[row_out : row_out + part.height, col_out : col_out + part.width] = pixels[
                row : row + part.height, col : col + part.width
            ]
        return out

    return read


def rows_that_fit(raster: Raster, target: Grid, most: int) -> int:
    """Count the rows of a target grid whose source rows fit in half of the cache.

    Args:
        raster: The source.
        target: A grid in any CRS.
        most: A power of 2.

    Returns:
        `most` for a raster in tiles. For a raster in strips of full rows, `most` halved until the
        source rows fit, measured in the middle of the target.
    """
    if raster.block_shape[1] < raster.grid.width:
        return most
    middle = Window(target.height // 2, target.width // 2, 1, 1)
    low, high = between(raster.grid, target, 1)[0].patch(middle, pad=1).span()
    # The rows are those from one row before the pixel to one row behind it.
    bytes_per_row = (high[0] - low[0]) / 2 * raster.grid.width * raster.dtype.itemsize
    rows = most
    while rows > 1 and rows * bytes_per_row > CACHE_BYTES / 2:
        rows //= 2
    return rows
