"""The metadata of a Sentinel-2 product: two XML files in its folder.

    MTD_MSIL2A.xml, MTD_MSIL1C.xml    quantification value, offset of each band, number of no data
    MTD_TL.xml                        CRS, corner and size of the tile at 10, 20 and 60 m

Every value is checked against the limits of the specification. A value beyond them, such as a
quantification value of infinity, would change all pixels without an error.

Specification: S2 Products Specification Document, S2-PDGS-TAS-DI-PSD, version 15 (2024), section 3.
Read tests/data/raster/test_safexml.py beside this file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from pyproj import CRS
from pyproj.exceptions import CRSError

from data import bands
from data.files import InputError, read_bytes
from data.grid import Grid
from data.raster import xmltree

UTM = re.compile(r"EPSG:32[67]\d\d")  # the CRS of all tiles
NODATA_INDEX = ".//Special_Values[SPECIAL_VALUE_TEXT='NODATA']/SPECIAL_VALUE_INDEX"
LARGEST_NUMBER = 65535  # of a pixel
LARGEST_SCALE = 1e6  # it is 10,000, and was 1,000
LARGEST_SIDE, FARTHEST = 100_000, 1e8  # pixels and metres; a tile has 10,980 pixels


class Calibration(NamedTuple):
    """How the numbers of a product become reflectance: (number + offset) / quantification.

    Attributes:
        quantification: The quantification value.
        offsets: {band: offset}. Products of baselines before 04.00 have none.
        nodata: The number that is no data.
    """

    quantification: float
    offsets: dict[str, float]
    nodata: int


def read_tile(path: Path, resolution: int) -> Grid:
    """Read the grid of MTD_TL.xml at 10, 20 or 60 m. Raises InputError, OSError."""
    at = f"[@resolution='{resolution}']/"
    with _root(path) as tile:
        place = f".//Geoposition{at}"
        left = _number(tile, f"{place}ULX", -FARTHEST, FARTHEST)
        top = _number(tile, f"{place}ULY", -FARTHEST, FARTHEST)
        dx = _number(tile, f"{place}XDIM", resolution, resolution)
        dy = _number(tile, f"{place}YDIM", -resolution, -resolution)
        rows, cols = (
            int(_number(tile, f".//Size{at}{name}", 1, LARGEST_SIDE)) for name in ("NROWS", "NCOLS")
        )
        code = _text(tile, ".//HORIZONTAL_CS_CODE")
        if not UTM.fullmatch(code):
            raise ValueError(f"HORIZONTAL_CS_CODE is {code[:20]}, expected a UTM zone of WGS 84")
        return Grid(CRS(code), (dx, 0, left, 0, dy, top), rows, cols)


def read_calibration(path: Path) -> Calibration:
    """Read MTD_MSIL2A.xml or MTD_MSIL1C.xml. Raises InputError, OSError."""
    with _root(path) as product:
        names = {
            element.get("bandId"): bands.canonical(element.get("physicalBand", ""))
            for element in product.iterfind(".//Spectral_Information")
        }
        offsets = {}
        for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
            for element in product.iterfind(f".//{tag}"):
                if element.get("band_id") not in names:
                    raise LookupError(f"a {tag} is of no band")
                limits = -LARGEST_NUMBER, LARGEST_NUMBER
                offset = _within(element.text or "", tag, *limits)
                offsets[names[element.get("band_id")]] = offset
        level_2a = product.find(".//BOA_QUANTIFICATION_VALUE") is not None
        tag = f".//{'BOA_' * level_2a}QUANTIFICATION_VALUE"
        quantification = _number(product, tag, 1, LARGEST_SCALE)
        nodata = int(_number(product, NODATA_INDEX, 0, LARGEST_NUMBER, "0"))
        return Calibration(quantification, offsets, nodata)


@contextlib.contextmanager
def _root(path: Path) -> Iterator[ElementTree.Element]:
    """Yield the root of an XML file. Errors of its values become an InputError with its name."""
    text = read_bytes(path, xmltree.LARGEST + 1)
    try:
        root = xmltree.parse(text)
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); download the product again") from error
    try:
        yield root
    except (LookupError, ValueError, CRSError) as error:
        raise InputError(
            f"{path}: not the metadata of a Sentinel-2 product ({error}); download it again"
        ) from error


def _text(element: ElementTree.Element, path: str, default: str = "") -> str:
    """The text at a path such as './/ULX', else the default; LookupError if both are empty."""
    text = (element.findtext(path, default) or "").strip()
    if not text:
        raise LookupError(f"{path.rsplit('/', 1)[-1]} is missing")
    return text


def _number(
    element: ElementTree.Element, path: str, least: float, most: float, default: str = ""
) -> float:
    """The number at a path, see `_text` and `_within`."""
    return _within(_text(element, path, default), path.rsplit("/", 1)[-1], least, most)


def _within(text: str, name: str, least: float, most: float) -> float:
    """A text as a number; ValueError if it is no number, or not within limits. NaN is not."""
    try:
        if least <= (value := float(text)) <= most:
            return value
    except ValueError:
        pass
    expected = f"{least:g}" if least == most else f"a number from {least:g} to {most:g}"
    raise ValueError(f"{name} is {text.strip()[:20] or 'empty'}, expected {expected}")
