"""A raster of classes: what it may be, and its codes window by window.

`read_codes` is the one definition, for the masks of train.py, predict.py and data.output.change,
and for the source of reproject.py:

    bands      one, or three that are equal: a grey picture stored as RGB. An alpha band beside them
               is no class.
    values     whole numbers, in any integer or float type. Palette images hold codes.
    no class   where the alpha band or the dataset mask is 0, and where a float is NaN. The declared
               no-data value is left to the caller, because a class table may have it as a code.

`read_colors` reads the colours of an RGB mask for a class table with colours as codes.

Read beside it: tests/data/raster/test_classfile.py.
"""

from __future__ import annotations

import numpy as np
import tifffile

from data.files import InputError, naming
from data.grid import Window
from data.raster.geotiff import Raster
from data.tables.tally import require_whole

CHANNELS = 3  # bands of a picture
LARGEST = 2.0**63  # floats from here on are no class codes
JPEG_COMPRESSIONS = 6, 7  # of TIFF


def class_bands(raster: Raster) -> list[int]:
    """The numbers of the bands with codes. Raises InputError if number or type are wrong."""
    bands = _bands(raster)
    if len(bands) not in (1, CHANNELS) or raster.dtype.kind not in "iuf":
        pixels = f"{len(bands)} band{'s' * (len(bands) > 1)} of {raster.dtype}"
        raise InputError(
            f"{raster.path}: has {pixels}, and classes are one band of whole numbers; convert it"
        )
    return bands


def read_codes(raster: Raster, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Read the class codes of a window.

    Returns:
        Codes (h, w) of the type of the file, and (h, w) bool: the pixels that have a class. A pixel
        of the declared no-data value counts as one, unless the value is no whole number.

    Raises:
        InputError: The raster is not a raster of classes.
    """
    bands = class_bands(raster)
    pixels = raster.read(window, bands)
    codes = pixels[0]
    if len(bands) > 1 and not (pixels[1:] == codes).all():
        raise InputError(
            f"{raster.path}: its three channels differ, so it holds colours and no codes; name a "
            "class table with colours as codes with --classes (reproject.py needs one band)"
        )
    valid = _unmasked(raster, window)
    if codes.dtype.kind == "f":
        valid &= ~np.isnan(codes)
        if raster.nodata is not None and whole(raster.nodata) is None:
            valid &= codes != raster.nodata
        with naming(raster.path):
            require_whole(codes[valid])
    return codes, valid


def read_colors(raster: Raster, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Read the bands of a window except alpha.

    Returns:
        Pixels (bands, h, w), and (h, w) bool: where alpha and the dataset mask are not 0.
    """
    return raster.read(window, _bands(raster)), _unmasked(raster, window)


def remarks(raster: Raster, by_color: bool = False) -> list[str]:
    """Describe what of a raster of classes is used, and what may be wrong, in sentences.

    Args:
        raster: The raster.
        by_color: Whether its classes are colours.
    """
    bands, found = len(_bands(raster)), []
    if bands == CHANNELS and not by_color:
        found.append("its three channels are equal; one of them is used")
    if bands > CHANNELS and by_color:
        found.append(f"only the first three of its {bands} bands are used")
    if raster.alpha:
        found.append("pixels with alpha 0 have no class")
    elif raster.masked:
        found.append("pixels with 0 in its dataset mask have no class")
    if is_jpeg(raster):
        found.append("JPEG changes codes and colours; keep masks in PNG or GeoTIFF files")
    return found


def is_jpeg(raster: Raster) -> bool:
    """Return whether the pixels are compressed by JPEG, which does not keep their values."""
    with open(raster.path, "rb") as file:
        start = file.read(3)
        if start[:2] not in (b"II", b"MM"):
            return start == b"\xff\xd8\xff"
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            return tiff.pages.first.compression in JPEG_COMPRESSIONS


def whole(number: float) -> int | None:
    """Convert a declared no-data value to a class code. Return None if it cannot be one."""
    return int(number) if abs(number) < LARGEST and number == int(number) else None


def _bands(raster: Raster) -> list[int]:
    """The numbers of all bands except alpha."""
    return [band for band in range(1, raster.count + 1) if band != raster.alpha]


def _unmasked(raster: Raster, window: Window) -> np.ndarray:
    """(h, w) bool: where alpha and the dataset mask are not 0, whatever the declared value."""
    shape = window.height, window.width
    if not raster.masked and not raster.alpha:
        return np.ones(shape, bool)
    other = 1 if raster.nodata == 0 else 0  # stands for pixels that differ from the declared value
    return raster.valid(window, np.full((1, *shape), other, np.uint8))
