"""Read a file of classes for resampling, through a cache, and choose its no-data value.

Read beside it: tests/data/raster/test_classfile.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data.files import InputError
from data.grid import Grid, Window
from data.raster.cache import block_reader
from data.raster.geotiff import Raster
from data.raster.targetgrid import covers, require_crs


def class_reader(
    raster: Raster, target: Grid, nodata: int | None
) -> tuple[Callable[[Window], np.ndarray], int | None]:
    """Make the argument `read` of data.resample.strips for a file, and choose its no-data value.

    Args:
        raster: The file.
        target: The grid of the result.
        nodata: The value of pixels without a class, by default the declared value. If none is
            declared and the target extends beyond the source, it is the largest of the type.

    Returns:
        A function that reads a window (H, W), and the no-data value. If the value is neither given
        nor declared, the function raises InputError when pixels of the file have this value.

    Raises:
        InputError: The raster does not have one band of integers, or it has no CRS.
    """
    if raster.count > 1 or raster.dtype.kind not in "iu":
        pixels = f"{raster.count} band{'s' * (raster.count > 1)} of {raster.dtype}"
        raise InputError(
            f"{raster.path}: has {pixels}, and classes are one band of integers; convert it first"
        )
    require_crs(raster)
    read = block_reader(raster)
    if nodata is None and raster.nodata is not None:
        nodata = int(raster.nodata)
    if nodata is not None or covers(raster.grid, target):
        return read, nodata
    largest = np.iinfo(raster.dtype).max

    def checked(window: Window) -> np.ndarray:
        block = read(window)
        if (block == largest).any():
            raise InputError(
                f"declares no value as no-data, and {largest} is a class; give one with --nodata"
            )
        return block

    return checked, largest
