"""Read overlapping windows of a file, and decode each block of the file once.

A raster file is decoded in blocks: tiles, or strips of full rows. Several windows may need pixels
of the same block. `block_reader` keeps the blocks that were used last, so that they are not decoded
again. In a file with strips, even a narrow window needs full rows. The rows that are processed at a
time should then fit in the cache: `rows_that_fit` computes their number.

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
BLOCK = 512  # rows and columns; smaller blocks of a file are read several at a time
BLOCK_PIXELS = 2**20


def block_size(raster: Raster) -> tuple[int, int]:
    """Choose the rows and columns that are read at a time: whole blocks of the file."""
    grid, (block_height, block_width) = raster.grid, raster.block_shape
    width = min(grid.width, block_width * max(1, BLOCK // block_width))
    most_rows = min(BLOCK, BLOCK_PIXELS // width)
    return min(grid.height, block_height * max(1, most_rows // block_height)), width


def block_reader(
    raster: Raster, decode: Callable[[Window], np.ndarray], dtype: np.dtype
) -> Callable[[Window], np.ndarray]:
    """Make a function that reads a window (height, width) of a raster through a cache.

    The function may be called from several threads. Two threads that need a block at the same time
    both decode it.

    Args:
        raster: The file.
        decode: Reads a window (h, w) of `dtype` from the file.
        dtype: The type of the pixels.
    """
    grid, (height, width) = raster.grid, block_size(raster)
    block_bytes = height * width * dtype.itemsize

    @functools.lru_cache(maxsize=max(4, CACHE_BYTES // block_bytes))
    def block(row: int, col: int) -> np.ndarray:
        window = Window(row, col, min(height, grid.height - row), min(width, grid.width - col))
        return decode(window)

    def read(window: Window) -> np.ndarray:
        out = np.empty((window.height, window.width), dtype)
        for part in parts(window, height, width):
            row, col = part.row % height, part.col % width
            pixels = block(part.row - row, part.col - col)
            row_out, col_out = part.row - window.row, part.col - window.col
            out[row_out : row_out + part.height, col_out : col_out + part.width] = pixels[
                row : row + part.height, col : col + part.width
            ]
        return out

    return read


def rows_that_fit(raster: Raster, source: Grid, target: Grid, most: int) -> int:
    """Count the rows of a target grid whose source rows fit in half of the cache.

    Args:
        raster: The source.
        source: Its grid, see data.raster.targetgrid.placed.
        target: A grid in any CRS.
        most: A power of 2.

    Returns:
        `most` for a raster with tiles. For a raster with strips of full rows: `most`, halved until
        the source rows fit. Their number is measured in the middle of the target.
    """
    if raster.block_shape[1] < raster.grid.width:
        return most
    middle = Window(target.height // 2, target.width // 2, 1, 1)
    low, high = between(source, target, 1)[0].patch(middle, pad=1).span()
    # With pad=1, the span is two target rows: from the row before the pixel to the row behind it.
    bytes_per_row = (high[0] - low[0]) / 2 * raster.grid.width * raster.dtype.itemsize
    rows = most
    while rows > 1 and rows * bytes_per_row > CACHE_BYTES / 2:
        rows //= 2
    return rows
