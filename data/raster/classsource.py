"""A file of classes as the source of data.resample.strips, and what is said of the result.

The source has one integer type and one no-data value. A class of this value would be lost, so it is
an error. data/raster/classfile.py says what a raster of classes is.

Read beside it: tests/data/raster/test_classsource.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from data.files import InputError
from data.grid import Grid, Window
from data.raster.cache import block_reader, block_size
from data.raster.classfile import class_bands, read_codes, remarks, whole
from data.raster.geotiff import Raster
from data.raster.placed import placed
from data.raster.targetgrid import covers, doubts
from data.raster.tiles import parts
from data.terminal import note

TYPES = (np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
FEW = 0.01  # share of output pixels with a class; below it the user is told


class ClassFile(NamedTuple):
    """A raster of classes as the source of data.resample.strips."""

    read: Callable[[Window], np.ndarray]  # (h, w) of `dtype`, `nodata` where there is no class
    grid: Grid
    dtype: np.dtype
    nodata: int | None


def class_file(raster: Raster, target: Grid, nodata: int | None = None) -> ClassFile:
    """Prepare a file of classes for resampling, and choose its no-data value.

    A float type becomes the smallest integer type that holds its codes. For this the file is read
    once.

    Args:
        raster: The file.
        target: The grid of the result.
        nodata: The value of pixels without a class, by default the declared value. If none is
            declared, and some pixels have no class or the target extends beyond the source, it is
            the largest of the type; in types of 64 bits it is 2^53, because GDAL does not read
            the largest back.

    Returns:
        The source. If its value of no-data is neither given nor declared, `read` raises InputError
        when pixels of the file have this value.

    Raises:
        InputError: The raster is not a raster of classes, or its pixels have no known place on the
            target.
    """
    class_bands(raster)
    grid = placed(raster.grid, target, raster.path, "the target")
    chosen = nodata
    if nodata is None and raster.nodata is not None:
        chosen = whole(raster.nodata)
    dtype, gaps, free = raster.dtype, raster.masked, chosen is None
    if dtype.kind == "f":
        dtype, gaps = _integer_type(raster, chosen)
    if free and (gaps or not covers(grid, target)):
        chosen = min(int(np.iinfo(dtype).max), 2**53)

    def read(window: Window) -> np.ndarray:
        codes, valid = read_codes(raster, window)
        if free and chosen is not None and ((codes == chosen) & valid).any():
            raise InputError(
                f"declares no value as no-data, and {chosen} is a class; give one with --nodata"
            )
        if valid.all():
            return codes.astype(dtype, copy=False)
        out = np.full(codes.shape, chosen, dtype)
        out[valid] = codes[valid]
        return out

    return ClassFile(block_reader(raster, read, dtype), grid, dtype, chosen)


def told(
    strips: Iterable[np.ndarray], raster: Raster, source: Grid, target: Grid, nodata: int | None
) -> Iterator[np.ndarray]:
    """Pass on the strips (h, width) of a result, and print what may be wrong with it.

    Args:
        strips: The raster on the grid `target`.
        raster: The file of classes.
        source: The grid on which its pixels lie.
        target: The grid of the result.
        nodata: The value of pixels without a class.
    """
    for remark in (*raster.remarks, *doubts(source, target)):
        note(f"{raster.path}: {remark}")
    known, pixels = 0, target.height * target.width
    for strip in strips:
        known += strip.size if nodata is None else int(np.count_nonzero(strip != nodata))
        yield strip
    for remark in remarks(raster):
        note(f"{raster.path}: {remark}")
    if known < FEW * pixels:
        note(
            f"{raster.path}: {known:,} of {pixels:,} pixels of the output have a class; check the "
            "extent and the resolution of both grids"
        )


def _integer_type(raster: Raster, nodata: int | None) -> tuple[np.dtype, bool]:
    """Find the integer type that holds the codes of a float raster, and whether it has gaps.

    Raises:
        InputError: A value is no whole number, or no type holds all.
    """
    low = high = float(nodata or 0)
    gaps = False
    whole = Window(0, 0, raster.grid.height, raster.grid.width)
    for window in parts(whole, *block_size(raster)):
        codes, valid = read_codes(raster, window)
        codes, gaps = codes[valid], gaps or not bool(valid.all())
        if codes.size:
            low, high = min(low, float(codes.min())), max(high, float(codes.max()))
    high += nodata is None  # the largest value of the type is then free for no-data
    for kind in TYPES:
        info = np.iinfo(kind)
        if info.min <= low and high <= info.max:
            return info.dtype, gaps
    raise InputError(f"{raster.path}: no integer type holds classes from {low} to {high}")
