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
from data.input.image import Image
from data.scaling import valid_pixels


class Stack:
    """Rasters of one grid and the same bands, read as one raster; used like `Raster`.

    `path` and the georeference are those of the first date.

    Args:
        paths: One image for each date, in order.
        nodata: The no-data value of all dates; by default the value that each date declares.
        asked: The bands of --bands, or None, see `Image`.
        folder: Folder for the decoded bands of products, see `Safe`.
        scl: Whether the scene classification of products is a band, see `Safe`.

    Raises:
        InputError: Two dates differ in grid, bands or the names of bands.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        nodata: float | None = None,
        asked: Sequence[str | int] | None = None,
        folder: Path | None = None,
        scl: bool = False,
    ) -> None:
        with ExitStack() as opened:
            self.dates = [
                opened.enter_context(Image(path, nodata, asked, folder, scl)) for path in paths
            ]
            first, *others = self.dates
            for date in others:
                _check_same(first, date)
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags = first.path, first.grid, first.geo_tags
        self.block_shape, self.colormap = first.block_shape, None
        self.remarks = [remark for date in self.dates for remark in date.remarks]
        self.count = len(paths) * first.count
        self.dtype = np.result_type(*(date.dtype for date in self.dates))
        self.descriptions = tuple(bands.dated(bands.names(first.descriptions), len(paths)))
        declared = {date.nodata for date in self.dates} - {None}
        # A value that one date declares may be a measurement at another date.
        if len(declared) > 1 and self.dtype.kind != "f":
            self.dtype = np.dtype(np.float32)
        self.nodata = next(iter(declared)) if len(declared) == 1 else None

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close all dates."""
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window (bands, height, width) like `Raster.read`.

        No-data is NaN in floats, and `nodata` in integers. A pixel without data at one date has
        none at all.
        """
        parts = [date.read(window) for date in self.dates]
        valid = np.logical_and.reduce(
            [valid_pixels(part, date.nodata) for part, date in zip(parts, self.dates)]
        )
        pixels = np.concatenate(parts, dtype=self.dtype, casting="unsafe")
        # Integers without a declared no-data value are all valid.
        if not valid.all():
            pixels[:, ~valid] = np.nan if self.dtype.kind == "f" else self.nodata
        return pixels if bands is None else pixels[[band - 1 for band in bands]]


def _check_same(first: Image, raster: Image) -> None:
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
    paths: Sequence[Path],
    nodata: float | None = None,
    asked: Sequence[str | int] | None = None,
    folder: Path | None = None,
    scl: bool = False,
) -> Image | Stack:
    """Open the image of one place: a file, a SAFE folder, or a stack of dates.

    Args:
        paths: One path, or one for each date.
        nodata: The no-data value of all dates; by default the value that each date declares.
        asked: The bands of --bands, or None, see `Image`.
        folder: Folder for the decoded bands of products, see `Safe`.
        scl: Whether the scene classification of products is a band, see `Safe`.

    Returns:
        A context manager, used like `Raster`.
    """
    if len(paths) > 1:
        return Stack(paths, nodata, asked, folder, scl)
    return Image(paths[0], nodata, asked, folder, scl)
