"""Sentinel-2 Level-2A products as ESA delivers them: a folder whose name ends in .SAFE.

    S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE/
        MTD_MSIL2A.xml                       quantification value, offset of each band
        GRANULE/L2A_.../MTD_TL.xml           CRS, corner and size at 10, 20 and 60 m
        GRANULE/L2A_.../IMG_DATA/R10m/..._B02_10m.jp2    one JPEG 2000 file a band and resolution

A file holds digital numbers. Since processing baseline 04.00 (January 2022) they have an offset, so
that the noise of dark pixels is not cut off at 0:

    reflectance = (number + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE,   0 is no data

`Safe.read` returns reflectance x 10,000, as older products and Earth Engine's harmonized collection
have it, so that images of all years go together. Each band is read at its finest resolution, and
20 and 60 m pixels are repeated on the 10 m grid.

JPEG 2000 is decoded in tiles of 1024 x 1024 pixels, which is slow. So a band is decoded once, when
it is first read, into a memory-mapped file without a name, which disappears with the process.

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
    """Return whether a path is a product's folder, by its name or its content."""
    return path.is_dir() and (path.suffix.upper() == ".SAFE" or (path / PRODUCT).exists())


class Safe:
    """A product opened for reading, used like `Raster`; its bands have names, by wavelength.

    Args:
        path: The folder of the product.
        folder: Where decoded bands are kept, 240 MB each at 10 m; by default the system's folder
            for temporary files. Decoding takes 0.9 GB of memory for a while.

    Raises:
        InputError: The folder is no Level-2A product, has another structure, or is incomplete.
    """

    dtype, nodata, colormap, block_shape = np.dtype(np.uint16), 0, None, (1024, 1024)

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
                f"{path}: has no IMG_DATA/R10m/*_B02_10m.jp2 nor other bands; download it again"
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
        """Forget the decoded bands."""
        self._decoded.clear()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read reflectance x 10,000 (bands, height, width) uint16, 0 without data; see
        `Raster.read`.
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
        """One band at its own resolution, memory-mapped; it is decoded when it is first read."""
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
                f"{folder}: {free / 1e9:.1f} GB are free, {file.name} needs more; make room there"
            )
        numbers = _decode_jpeg2000(file, shape)
        with tempfile.TemporaryFile(dir=folder) as unnamed:  # the mapping outlives it
            values = np.memmap(unnamed, self.dtype, "w+", shape=shape)
        offset = np.float32(self._offsets.get(bands.canonical(band), 0))
        for start in range(0, shape[0], ROWS):
            part = numbers[start : start + ROWS]
            reflectance = ((part + offset) * np.float32(self._scale)).round()
            # At least 1: a shadow can be darker than the model of the atmosphere, and 0 is no data.
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
    """The digital numbers of a file; InputError where it is damaged or has another shape."""
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
    """The root of an XML file; InputError where it is damaged."""
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: damaged ({error}); download the product again") from error


def _text(element: ElementTree.Element, path: str, default: str | None = None) -> str:
    """The text at a path such as './/ULX'; LookupError without a default."""
    found = element.findtext(path, default)
    if not (found or "").strip():
        raise LookupError(f"{path.rsplit('/', 1)[-1]} is missing")
    return found.strip()


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
    """(quantification value, {band: offset}) of MTD_MSIL2A.xml; baselines before 04.00 have no
    offsets.
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
