"""Sentinel-2 Level-2A products as ESA delivers them: a folder whose name ends in .SAFE.

    S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE/
        MTD_MSIL2A.xml                       quantification value, offset of each band
        GRANULE/L2A_.../MTD_TL.xml           CRS, corner and size at 10, 20 and 60 m
        GRANULE/L2A_.../IMG_DATA/R10m/..._B02_10m.jp2    JPEG 2000, a file for band and resolution

A file holds digital numbers; the number 0 is no data. Since processing baseline 04.00 (January
2022) the numbers have an offset, so that the noise of dark pixels is not cut off at 0:

    reflectance = (number + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE

`Safe.read` returns reflectance x 10,000. Older products and the harmonized collection of Earth
Engine have the same unit, so images of all years can be used together. Each band is read at its
finest resolution. Pixels of 20 and 60 m are repeated on the 10 m grid.

JPEG 2000 is decoded in tiles of 1024 x 1024 pixels, which is slow. So a band is decoded only once,
when it is first read. The result is kept in a memory-mapped file without a name, which the system
deletes when the process ends.

Specification: S2 Products Specification Document, S2-PDGS-TAS-DI-PSD, version 15 (2024), section 3.
Read tests/data/raster/test_safe.py beside this file.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import imagecodecs
import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError

from data import bands
from data.files import InputError
from data.grid import Grid, Window
from data.raster import georeference
from data.raster.geotiff import requested

PRODUCT, GRANULES = "MTD_MSIL2A.xml", "GRANULE/*/MTD_TL.xml"
NODATA_INDEX = ".//Special_Values[SPECIAL_VALUE_TEXT='NODATA']/SPECIAL_VALUE_INDEX"
# Sensing time and tile in the name of a product, or of a file named after one.
NAME = re.compile(r"S2[A-D]_MSIL2A_(\d{8}T\d{6})_N\d{4}_R\d{3}_(T\d\d[A-Z]{3})_\d{8}T\d{6}")
REFLECTANCE = 10_000
ROWS = 512  # converted at a time


def is_safe(path: Path) -> bool:
    """Return whether a path is the folder of a product, judged by its name or its content."""
    return path.is_dir() and (path.suffix.upper() == ".SAFE" or (path / PRODUCT).exists())


class Safe:
    """A product opened for reading and used like `Raster`; its bands are ordered by wavelength.

    Args:
        path: The folder of the product.
        folder: The folder for decoded bands, of 240 MB each at 10 m; by default the folder of the
            system for temporary files. While a band is decoded, it takes 0.9 GB of memory.

    Raises:
        InputError: The folder is not a Level-2A product, or it is incomplete.
    """

    dtype, nodata, colormap, block_shape = np.dtype(np.uint16), 0, None, (1024, 1024)
    alpha, masked, scales, remarks = None, False, (), ()

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.path, self._folder, self._lock = Path(path), folder, threading.Lock()
        if not (self.path / PRODUCT).exists():
            raise InputError(
                f"{path}: has no {PRODUCT}; give the folder of a Sentinel-2 Level-2A product"
            )
        granules = sorted(self.path.glob(GRANULES))
        if len(granules) != 1:
            raise InputError(
                f"{path}: has {len(granules)} {GRANULES}, expected one; download the product again"
            )
        files = _finest_files(granules[0].parent)
        if not files:
            raise InputError(
                f"{path}: has no bands such as IMG_DATA/R10m/*_B02_10m.jp2; download it again"
            )
        finest = min(resolution for resolution, _ in files.values())
        product, tile = _xml(self.path / PRODUCT), _xml(granules[0])
        try:
            self.grid = _grid(tile, finest)
            scale, self._offsets = _calibration(product)
            self._zero = int(_text(product, NODATA_INDEX, "0"))
        except (LookupError, ValueError, CRSError) as error:
            raise InputError(
                f"{path}: its metadata are not those of a Level-2A product: {error}"
            ) from error
        self._scale = REFLECTANCE / scale
        order = list(bands.ALIASES)
        self._files = sorted(files.items(), key=lambda item: order.index(bands.canonical(item[0])))
        self._decoded: dict[int, np.ndarray] = {}
        self._factors = [resolution // finest for _, (resolution, _) in self._files]
        self.descriptions = tuple(bands.canonical(band) for band, _ in self._files)
        self.count = len(self._files)
        self.geo_tags = georeference.encode(self.grid.crs, self.grid.transform)

    def __enter__(self) -> Safe:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Release the decoded bands."""
        self._decoded.clear()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read reflectance x 10,000 (bands, height, width) uint16, which is 0 without data.

        The arguments are those of `Raster.read`.
        """
        (row, col, height, width), chosen = requested(self, window, bands)
        out = np.empty((len(chosen), height, width), self.dtype)
        for plane, band in zip(out, chosen):
            factor = self._factors[band]
            rows = np.arange(row, row + height) // factor
            cols = np.arange(col, col + width) // factor
            part = self._band(band)[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
            plane[...] = part if factor == 1 else part[rows - rows[0]][:, cols - cols[0]]
        return out

    def _band(self, number: int) -> np.ndarray:
        """One band at its own resolution, memory-mapped; the first call decodes it."""
        with self._lock:
            if number not in self._decoded:
                self._decoded[number] = self._decode(number)
            return self._decoded[number]

    def _decode(self, number: int) -> np.ndarray:
        """Decode a band, convert it to reflectance x 10,000, and map it from a temporary file."""
        band, (_, file) = self._files[number]
        shape = tuple(-(-n // self._factors[number]) for n in (self.grid.height, self.grid.width))
        folder = self._folder or Path(tempfile.gettempdir())
        free = shutil.disk_usage(folder).free
        if free < self.dtype.itemsize * shape[0] * shape[1]:
            raise InputError(
                f"{folder}: {free / 1e9:.1f} GB are free, but {file.name} needs more; make room"
            )
        numbers = _decode_jpeg2000(file, shape)
        with tempfile.TemporaryFile(dir=folder) as unnamed:  # the mapping stays valid without it
            values = np.memmap(unnamed, self.dtype, "w+", shape=shape)
        offset = np.float32(self._offsets.get(bands.canonical(band), 0))
        for start in range(0, shape[0], ROWS):
            part = numbers[start : start + ROWS]
            reflectance = ((part + offset) * np.float32(self._scale)).round()
            # In shadows the reflectance can be 0 or below. It becomes 1, because 0 is no data.
            reflectance = reflectance.clip(1, 65535)
            values[start : start + ROWS] = np.where(part == self._zero, 0, reflectance)
        return values


def _finest_files(granule: Path) -> dict[str, tuple[int, Path]]:
    """{band: (resolution in metres, file)} of the finest resolution that each band has."""
    files: dict[str, tuple[int, Path]] = {}
    for file in granule.glob("IMG_DATA/R??m/*_B??_??m.jp2"):
        band, resolution = file.stem.split("_")[-2:]
        if band not in files or int(resolution[:2]) < files[band][0]:
            files[band] = int(resolution[:2]), file
    return files


def _decode_jpeg2000(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The digital numbers of a file; InputError if it is damaged or has another shape."""
    try:
        threads = min(8, os.cpu_count() or 1)
        numbers = imagecodecs.jpeg2k_decode(file.read_bytes(), numthreads=threads)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{file}: cannot be decoded ({error}); download the product again"
        ) from error
    if numbers.shape != shape:
        found, expected = (" x ".join(map(str, sizes)) for sizes in (numbers.shape, shape))
        raise InputError(
            f"{file}: {found} pixels where the metadata say {expected}; download the product again"
        )
    return numbers


def _xml(path: Path) -> ElementTree.Element:
    """The root of an XML file; InputError if it is damaged."""
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: damaged ({error}); download the product again") from error


def _text(element: ElementTree.Element, path: str, default: str | None = None) -> str:
    """The text at a path such as './/ULX', else the default; LookupError if both are missing."""
    text = (element.findtext(path, default) or "").strip()
    if not text:
        raise LookupError(f"{path.rsplit('/', 1)[-1]} is missing")
    return text


def _grid(tile: ElementTree.Element, resolution: int) -> Grid:
    """The grid of MTD_TL.xml at 10, 20 or 60 m."""
    at = f"[@resolution='{resolution}']/"
    left, top, dx, dy = (
        float(_text(tile, f".//Geoposition{at}{name}")) for name in ("ULX", "ULY", "XDIM", "YDIM")
    )
    rows, cols = (int(_text(tile, f".//Size{at}{name}")) for name in ("NROWS", "NCOLS"))
    crs = CRS(_text(tile, ".//HORIZONTAL_CS_CODE"))
    return Grid(crs, (dx, 0, left, 0, dy, top), rows, cols)


def _calibration(product: ElementTree.Element) -> tuple[float, dict[str, float]]:
    """(quantification value, {band: offset}) of MTD_MSIL2A.xml.

    Products of baselines before 04.00 have no offsets.
    """
    names = {
        element.get("bandId"): bands.canonical(element.get("physicalBand", ""))
        for element in product.iterfind(".//Spectral_Information")
    }
    offsets = {
        names[element.get("band_id")]: float(element.text or "")
        for element in product.iterfind(".//BOA_ADD_OFFSET")
    }
    return float(_text(product, ".//BOA_QUANTIFICATION_VALUE")), offsets
