"""A mask raster as labels, on its own grid or on that of an image.

The class table converts codes or colours to labels. A mask on the grid of its image is taken pixel
by pixel. A mask on another grid is resampled (data/resample.py). Masks are read in strips of rows,
so memory does not depend on their height.

Read beside it: tests/data/training/test_mask.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data import resample
from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid, Window
from data.raster import Raster

ROWS = 256  # rows of a strip


def row_windows(grid: Grid) -> Iterator[Window]:
    """Yield windows of up to ROWS rows that cover a raster from top to bottom."""
    for row in range(0, grid.height, ROWS):
        yield Window(row, 0, min(ROWS, grid.height - row), grid.width)


class Mask:
    """A mask raster whose codes or colours are read as labels. A context manager.

    A code without a row in the class table is read as IGNORE and counted in `unknown`. `check` then
    raises an error that names all unknown codes.

    Attributes:
        path: The file.
        table: The class table.
        grid: The grid of the mask.
        unknown: Number of pixels of each unknown code that has been read.
    """

    def __init__(self, path: str | Path, table: ClassTable):
        self.path, self.table = path, table
        self.unknown: Counter[int] = Counter()
        self.raster = Raster(path)
        self.grid = self.raster.grid

    def __enter__(self) -> Mask:
        return self

    def __exit__(self, *exception) -> None:
        self.raster.__exit__(*exception)

    def read(self, window: Window) -> np.ndarray:
        """Read the labels (h, w) uint8 of a window. Raise InputError if the table does not fit."""
        codes = self.raster.read(window)
        try:
            return self.table.encode(codes, self.raster.nodata, self.unknown, self.raster.colormap)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def check(self) -> None:
        """Raise InputError if an unknown code was read.

        The pixels are counted again over the whole mask, because `read` may have counted some of
        them twice and others not at all.
        """
        if self.unknown:
            self.unknown.clear()
            for window in row_windows(self.grid):
                self.read(window)
            self.table.complain(self.unknown, self.path)


def labels_on(mask: Mask, grid: Grid, method: str) -> Iterator[np.ndarray]:
    """Yield the labels of a mask on the grid of an image, as strips (h, width) from top to bottom.

    If the mask or the image has no CRS, they must have the same size. Their pixels then correspond
    one to one.

    Args:
        mask: The mask.
        grid: The image's grid.
        method: "nearest" or "mode", see data/resample.py. It has no effect where the grids agree.

    Raises:
        InputError: The mask has unknown codes, or the sizes differ without a CRS on both sides.
    """
    without = [name for name, one in (("it", mask.grid), ("the image", grid)) if one.crs is None]
    same_size = (mask.grid.height, mask.grid.width) == (grid.height, grid.width)
    if mask.grid.matches(grid) or (same_size and without):
        yield from map(mask.read, row_windows(grid))
    elif without:
        missing = "neither it nor the image has a" if len(without) > 1 else f"{without[0]} has no"
        raise InputError(
            f"{mask.path}: {mask.grid.width} x {mask.grid.height} pixels for an image of "
            f"{grid.width} x {grid.height}, and {missing} CRS to align them by; give both a CRS or "
            "one size"
        )
    else:
        yield from _resampled(mask, grid, method)
    mask.check()


def _resampled(mask: Mask, grid: Grid, method: str) -> Iterator[np.ndarray]:
    """Resample a mask. Errors name its file."""
    try:
        yield from resample.strips(mask.read, mask.grid, grid, method, IGNORE, np.uint8)
    except InputError as error:
        named = str(mask.path) in str(error)
        raise error if named else InputError(f"{mask.path}: {error}") from None
