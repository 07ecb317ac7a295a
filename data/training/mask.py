"""A mask raster as labels, on its own grid or on that of an image.

data/raster/classfile.py reads codes or colours, and the class table converts them to labels. A mask
on the grid of its image is taken pixel by pixel. A mask on another grid is resampled
(data/resample.py). Masks are read in strips of rows, so memory does not depend on their height.
Resampling changes the shares of the classes a little. `class_areas` measures them before it.

Read beside it: tests/data/training/test_mask.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from data import resample
from data.classes import ClassTable
from data.files import IGNORE, InputError, WrongTable, naming
from data.grid import Grid, Window
from data.raster import Raster, classfile
from data.raster.cache import block_size
from data.raster.covered import covered_areas
from data.raster.placed import placed
from data.tables.colors import NEAR
from data.tables.tally import Tally
from data.terminal import note

ROWS = 256  # rows of a strip
MOST = 0.5  # of the pixels; with more far from pure colours, it is a photograph or has other ones


def row_windows(grid: Grid) -> Iterator[Window]:
    """Yield windows of up to ROWS rows that cover a raster from top to bottom."""
    for row in range(0, grid.height, ROWS):
        yield Window(row, 0, min(ROWS, grid.height - row), grid.width)


class Mask:
    """A mask raster whose codes or colours are read as labels. A context manager.

    A pixel that the alpha band or the dataset mask excludes is read as IGNORE. A code without a row
    in the class table is read as IGNORE and counted. `check` then raises an error that names all
    unknown codes.

    Attributes:
        path: The file.
        table: The class table.
        grid: The grid of the mask.
        tally: The number of pixels read so far, of unknown codes, and of rounded colours.
    """

    def __init__(self, path: str | Path, table: ClassTable):
        self.path, self.table, self.tally = path, table, Tally()
        self.raster = Raster(path)
        self.grid = self.raster.grid
        self._by_color = table.coded_by_color and not self.raster.colormap

    def __enter__(self) -> Mask:
        return self

    def __exit__(self, *exception) -> None:
        self.raster.__exit__(*exception)

    @property
    def remarks(self) -> list[str]:
        """What the user should know of the file, in sentences, without its name."""
        remarks = [*self.raster.remarks, *classfile.remarks(self.raster, self._by_color)]
        classes = {code: name for code, name, _, ignore in self.table.rows if not ignore}
        named = [name for code, name in classes.items() if code == self.raster.nodata]
        if named and not self.table.coded_by_color:
            remarks.append(
                f"declares {self.raster.nodata:g} as no-data, which is the class {named[0]} in the "
                f"table {self.table.name}: the table counts"
            )
        return remarks

    def read(self, window: Window) -> np.ndarray:
        """Read the labels (h, w) uint8 of a window. Raise InputError if the table does not fit."""
        read = classfile.read_colors if self._by_color else classfile.read_codes
        codes, valid = read(self.raster, window)
        given = self.raster.nodata, self.tally, self.raster.colormap, valid
        with naming(self.path):
            return self.table.encode(codes, *given)

    def recount(self) -> None:
        """Read the whole mask again and count its pixels once.

        `read` may have counted some of them twice and others not at all.
        """
        self.tally = Tally()
        for window in row_windows(self.grid):
            self.read(window)

    def check(self) -> None:
        """Raise InputError if an unknown code was read, or if most colours are not in the table.

        All unknown codes are counted again.
        """
        share = self.tally.far / max(1, self.tally.pixels)
        if share > MOST:
            raise WrongTable(
                f"{self.path}: is no mask of pure colours as in the class table {self.table.name} "
                f"({100 * share:.0f} % of its pixels are off by more than {NEAR}); check --masks "
                "and --classes"
            )
        if self.tally.unknown:
            self.recount()
            jpeg = "; JPEG changes codes, so keep masks in PNG or GeoTIFF files"
            hint = jpeg if classfile.is_jpeg(self.raster) else ""
            self.table.complain(self.tally.unknown, self.path, hint)


def labels_on(
    mask: Mask, grid: Grid, method: str, other: str = "the image"
) -> Iterator[np.ndarray]:
    """Yield the labels of a mask on the grid of an image, as strips (h, width) from top to bottom.

    data/raster/placed.py says when their pixels correspond one to one.

    Args:
        mask: The mask.
        grid: The image's grid.
        method: "nearest" or "mode", see data/resample.py. It has no effect where the grids agree.
        other: What has this grid, for error messages, such as "the image a.tif".

    Raises:
        InputError: The mask has unknown codes, or its place on the grid is not known.
    """
    if on_grid(mask, grid, other):
        yield from map(mask.read, row_windows(grid))
    else:
        yield from _resampled(mask, grid, method, other)
        if mask.tally.rounded:
            mask.recount()
    mask.check()


def on_grid(mask: Mask, grid: Grid, other: str = "the image") -> bool:
    """Return whether the pixels of a mask correspond one to one to those of a grid.

    The arguments and errors are those of `labels_on`.
    """
    return placed(mask.grid, grid, mask.path, other).matches(grid)


def class_areas(mask: Mask, grid: Grid) -> list[float]:
    """Measure the ground of each class (K,) in the part of a mask file that a grid covers, in m2.

    The pixels that are read for this are not counted in the tally.
    """
    tally, mask.tally = mask.tally, Tally()
    try:
        found = covered_areas(mask.read, mask.grid, grid, block_size(mask.raster))
    finally:
        mask.tally = tally
    return [found[label] for label in range(len(mask.table.names))]


def tell(mask: Mask, say: Callable[[str], None] = note) -> None:
    """Print the remarks on a mask that has been read; `say` prints a line."""
    for remark in (*mask.remarks, mask.tally.remark()):
        if remark:
            say(f"{mask.path}: {remark}")


def _resampled(mask: Mask, grid: Grid, method: str, other: str) -> Iterator[np.ndarray]:
    """Resample a mask. Errors name its file."""
    with naming(mask.path):
        try:
            yield from resample.strips(mask.read, mask.grid, grid, method, IGNORE, np.uint8)
        except resample.Outside:
            raise InputError(
                f"{mask.path}: lies wholly outside {other}; check the CRS and extent of both"
            ) from None
