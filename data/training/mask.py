"""A mask raster as labels, on its own grid or on that of an image.

Codes or colours become labels by the class table. A mask on another grid than its image is
resampled (data/resample.py); one whose grid is that of the image is taken pixel by pixel. Strips of
rows pass, never a whole mask.

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

ROWS = 256  # of a strip


def strips(grid: Grid) -> Iterator[Window]:
    """Yield windows of ROWS rows, the last perhaps fewer, that cover a raster from the top."""
    for row in range(0, grid.height, ROWS):
        yield Window(row, 0, min(ROWS, grid.height - row), grid.width)


class Mask:
    """A mask raster that is read as labels, whatever its codes or colours. A context manager.

    A code that the class table does not know is IGNORE, and is counted in `unknown`: `check` raises
    an error that names all of them.

    Attributes:
        path: The file.
        table: The class table.
        grid: Where the mask lies.
        unknown: Pixels of each unknown code that has been read.
    """

    def __init__(self, path: str | Path, table: ClassTable):
        self.path, self.table, self.unknown = path, table, Counter()
        self.raster = Raster(path)
        self.grid = self.raster.grid

    def __enter__(self) -> Mask:
        return self

    def __exit__(self, *exception) -> None:
        self.raster.__exit__(*exception)

    def read(self, window: Window) -> np.ndarray:
        """Read labels (h, w) uint8 of a window. Raises InputError for a mask of another kind."""
        codes = self.raster.read(window)
        try:
            return self.table.encode(codes, self.raster.nodata, self.unknown, self.raster.colormap)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def check(self) -> None:
        """Raise InputError if a code was read that the class table does not know.

        The pixels are counted anew over the whole mask, because `read` may have met some of them
        twice and others not at all.
        """
        if self.unknown:
            self.unknown.clear()
            for window in strips(self.grid):
                self.read(window)
            self.table.complain(self.unknown, self.path)


def labels_on(mask: Mask, grid: Grid, method: str) -> Iterator[np.ndarray]:
    """Yield the labels of a mask on the grid of an image, as strips (h, width) from top to bottom.

    Without a CRS on both sides the pixels correspond one to one.

    Args:
        mask: The mask.
        grid: The image's grid.
        method: "nearest" or "mode", of `data.resample`; of no effect where the grids agree.

    Raises:
        InputError: The mask has unknown codes, or other pixels than the image and no CRS.
    """
    without = [name for name, one in (("it", mask.grid), ("the image", grid)) if one.crs is None]
    same_size = (mask.grid.height, mask.grid.width) == (grid.height, grid.width)
    if mask.grid.matches(grid) or (same_size and without):
        yield from map(mask.read, strips(grid))
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
    try:
        yield from resample.strips(mask.read, mask.grid, grid, method, IGNORE, np.uint8)
    except InputError as error:
        named = str(mask.path) in str(error)
        raise error if named else InputError(f"{mask.path}: {error}") from None
