"""Several dates of one place as one image: the bands of all dates, one date after the other.

Wheat and meadow look alike in April and different in August. A network that gets both dates
can separate them by the change. It needs only more input bands:

    Red, NIR of April and Red, NIR of August   ->   Red, NIR, Red@2, NIR@2

The first date keeps its band names. A network that was trained on all dates needs all of them. So a
pixel without data at one date has no data in the stack.

Read beside it: tests/data/input/test_stack.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from data import bands
from data.files import InputError
from data.grid import Grid, Window
from data.raster import Raster
from data.raster.safe import Safe, is_safe
from data.scaling import valid_pixels


class Stack:
    """Rasters of one grid and the same bands, read as one raster; used like `Raster`.

    `path` and the georeference are those of the first date.

    Args:
        paths: One image for each date, in order.
        nodata: The no-data value of all dates; by default the value that each date declares.
        folder: Folder for the decoded bands of products, see `Safe`.

    Raises:
        InputError: Two dates differ in grid, bands or the names of bands.
    """

    def __init__(
        self, paths: Sequence[Path], nodata: float | None = None, folder: Path | None = None
    ) -> None:
        with ExitStack() as opened:
            self.rasters: list[Raster | Safe] = []
            for path in paths:
                raster = _open_file(path, folder)
                opened.enter_context(raster)
                self.rasters.append(raster)
            first, *others = self.rasters
            for raster in others:
                _check_same(first, raster)
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags = first.path, first.grid, first.geo_tags
        self.block_shape, self.colormap = first.block_shape, None
        self.count = len(paths) * first.count
        self.dtype = np.result_type(*(raster.dtype for raster in self.rasters))
        self.descriptions = tuple(bands.dated(bands.names(first.descriptions), len(paths)))
        self._nodata = [raster.nodata if nodata is None else nodata for raster in self.rasters]
        self.nodata = next((value for value in self._nodata if value is not None), None)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close all dates."""
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window (bands, height, width) like `Raster.read`.

        No-data is NaN in floats, and `nodata` in integers.
        """
        dates = [raster.read(window) for raster in self.rasters]
        valid = np.logical_and.reduce(
            [valid_pixels(date, value) for date, value in zip(dates, self._nodata)]
        )
        pixels = np.concatenate(dates, dtype=self.dtype)
        # Integers without a declared no-data value are all valid.
        if not valid.all():
            pixels[:, ~valid] = np.nan if self.dtype.kind == "f" else self.nodata
        return pixels if bands is None else pixels[[band - 1 for band in bands]]


Image = Raster | Safe | Stack  # an open image; all three are read alike


def _check_same(first: Raster | Safe, raster: Raster | Safe) -> None:
    """Raise InputError where two dates differ in grid or bands."""
    names, others = bands.names(first.descriptions), bands.names(raster.descriptions)
    grids = _described(first.grid), _described(raster.grid)
    for what, (one, other), same in (
        ("grid", grids, raster.grid.matches(first.grid)),
        ("bands", (", ".join(names), ", ".join(others)), others == names),
    ):
        if not same:
            raise InputError(
                f"{raster.path}: {what} {other}, but {first.path} has {one}; the dates of one "
                "place need one grid and the same bands in the same order"
            )


def _described(grid: Grid) -> str:
    """Describe a grid: size, resolution, upper-left corner and CRS."""
    crs = grid.crs.to_string()[:60] if grid.crs else "no CRS"
    left, _, _, top = grid.bounds
    size = f"{grid.width} x {grid.height} pixels of {grid.resolution[0]:g}"
    return f"{size} from {left:.10g}, {top:.10g} in {crs}"


def open_image(
    paths: Sequence[Path], nodata: float | None = None, folder: Path | None = None
) -> Image:
    """Open the image of one place: a file, a SAFE folder, or a stack of dates.

    Args:
        paths: One path, or one for each date.
        nodata: The no-data value of all dates; by default the value that each date declares.
        folder: Folder for the decoded bands of products, see `Safe`.

    Returns:
        A context manager, used like `Raster`.
    """
    if len(paths) > 1:
        return Stack(paths, nodata, folder)
    return _open_file(paths[0], folder)


def _open_file(path: Path, folder: Path | None) -> Raster | Safe:
    return Safe(path, folder) if is_safe(path) else Raster(path)
