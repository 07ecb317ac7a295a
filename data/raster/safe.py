"""Sentinel-2 products as ESA delivers them: a folder whose name ends in .SAFE.

    S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE/
        MTD_MSIL2A.xml                       quantification value, offset of each band
        GRANULE/L2A_.../MTD_TL.xml           CRS, corner and size at 10, 20 and 60 m
        GRANULE/L2A_.../IMG_DATA/R10m/..._B02_10m.jp2    JPEG 2000, a file for band and resolution
        GRANULE/L2A_.../IMG_DATA/R20m/..._SCL_20m.jp2    scene classification: clouds, snow, ...

Level-2A is reflectance at the ground. Level-1C is reflectance at the top of the atmosphere. Its
product file is MTD_MSIL1C.xml, and each band has one file, IMG_DATA/..._B02.jp2.

A file holds digital numbers; the number 0 is no data. Since processing baseline 04.00 (January
2022) the numbers have an offset, so that the noise of dark pixels is not cut off at 0:

    reflectance = (number + offset) / quantification value

The offset is BOA_ADD_OFFSET in Level-2A and RADIO_ADD_OFFSET in Level-1C.

`Safe.read` returns reflectance x 10,000. Older products and the harmonized collection of Earth
Engine have the same unit, so images of all years can be used together. Each band is read at its
finest resolution. Pixels of 20 and 60 m are repeated on the 10 m grid.

JPEG 2000 is decoded in tiles of 1024 x 1024 pixels, which is slow. So a band is decoded only once,
when it is first read. The result is written to a file without a name, which the system deletes when
the process ends, and mapped from there.

Specification: S2 Products Specification Document, S2-PDGS-TAS-DI-PSD, version 15 (2024), section 3.
Read tests/data/raster/test_safe.py beside this file.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np

from data import bands
from data.files import InputError, naming_full_disk, read_bytes
from data.grid import Window
from data.raster import claims, codedsize, georeference
from data.raster.geotiff import requested
from data.raster.safexml import LARGEST_NUMBER, Calibration, read_calibration, read_tile

PRODUCT = re.compile(r"MTD_MSI(L1C|L2A)\.xml", re.IGNORECASE)
# ESA's layout first; some archives leave out GRANULE, or put all files into one folder.
TILES = ("GRANULE/*/MTD_TL.xml", "*/MTD_TL.xml", "MTD_TL.xml")
# A file of a band: ..._B02_10m.jp2 in Level-2A, ..._B02.jp2 in Level-1C. QI_DATA/MSK_DETFOO_B02.jp2
# is a mask. Hidden files are those of macOS.
BAND = re.compile(r"(?!MSK_|\.).*_(B\d[\dA]|SCL)(?:_(10|20|60)m)?\.jp2", re.IGNORECASE)
LEVEL_1C = "Level-1C, reflectance at the top of the atmosphere; Level-2A has other values"
# Sensing time and tile in the name of a product, or of a file named after one.
NAME = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_(\d{8}T\d{6})_N\d{4}_R\d{3}_(T\d\d[A-Z]{3})_\d{8}T\d{6}")
REFLECTANCE = 10_000
# Metres of a pixel of each band.
RESOLUTIONS = {name: 20 for name in bands.ALIASES}
RESOLUTIONS |= {"Blue": 10, "Green": 10, "Red": 10, "NIR": 10}
RESOLUTIONS |= {"Coastal": 60, "WV": 60, "Cirrus": 60}
SCL = "SCL"  # scene classification: a class of 1 to 11 for each pixel, 0 without data
ROWS = 512  # converted at a time
HEAD = 2**16  # bytes of a JPEG 2000 file that contain its header


def is_safe(path: Path) -> bool:
    """Return whether a path is the folder of a product, judged by its name or its content."""
    return path.is_dir() and (path.suffix.upper() == ".SAFE" or product_file(path) is not None)


def product_file(path: Path) -> Path | None:
    """Return the file MTD_MSIL2A.xml or MTD_MSIL1C.xml of a product; None if it has none."""
    return next((file for file in sorted(path.iterdir()) if PRODUCT.fullmatch(file.name)), None)


class Safe:
    """A product opened for reading and used like `Raster`; its bands are ordered by wavelength.

    Args:
        path: The folder of the product.
        folder: The folder for decoded bands, of 240 MB each at 10 m; by default the folder of the
            system for temporary files. While a band is decoded, it takes 0.9 GB of memory.
        scl: Whether the scene classification is the last band, if the product has one.

    Raises:
        InputError: The folder is not a Sentinel-2 product, or it is incomplete.
    """

    dtype, nodata, colormap, block_shape = np.dtype(np.uint16), 0, None, (1024, 1024)
    alpha, masked, scales = None, False, ()

    def __init__(self, path: Path, folder: Path | None = None, scl: bool = False) -> None:
        self.path, self._folder, self._lock = Path(path), folder, threading.Lock()
        product_path, tile_path, files = _files(self.path, scl)
        self.remarks = [LEVEL_1C] if "L1C" in product_path.name.upper() else []
        finest = min(resolution for resolution, _ in files.values())
        self.grid = read_tile(tile_path, finest)
        self._calibration = read_calibration(product_path)
        order = [*bands.ALIASES, SCL]
        self._files = sorted(files.items(), key=lambda item: order.index(bands.canonical(item[0])))
        self._decoded: dict[int, np.ndarray] = {}
        self._factors = [resolution // finest for _, (resolution, _) in self._files]
        self.descriptions = tuple(bands.canonical(band) for band, _ in self._files)
        self.count = len(self._files)
        self.geo_tags = georeference.encode(self.grid.crs, self.grid.transform)
        for number, (_, (_, file)) in enumerate(self._files):
            _require_size(file, self._shape(number))
        offsets = self._calibration.offsets
        known = {*offsets, SCL}
        if missing := [name for name in self.descriptions if offsets and name not in known]:
            raise InputError(
                f"{product_path}: has no offset of the band {missing[0]}; download it again"
            )

    def _shape(self, number: int) -> tuple[int, int]:
        """The height and width of a band at its own resolution."""
        factor = self._factors[number]
        return -(-self.grid.height // factor), -(-self.grid.width // factor)

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
        shape = self._shape(number)
        folder = self._folder or Path(tempfile.gettempdir())
        advice = "make room" if self._folder else "make room, or name another folder by TMPDIR"
        free = shutil.disk_usage(folder).free
        if free < self.dtype.itemsize * shape[0] * shape[1]:
            raise InputError(
                f"{folder}: {free / 1e9:.1f} GB are free, but {file.name} needs more; {advice}"
            )
        numbers = _decode_jpeg2000(file, shape)
        classes = Calibration(REFLECTANCE, {}, 0)  # leaves the numbers as they are
        quantification, offsets, nodata = classes if band == SCL else self._calibration
        offset = np.float32(offsets.get(bands.canonical(band), 0))
        scale = np.float32(REFLECTANCE / quantification)
        # A write to a map of a full disk would end the process, so the file is written first.
        with naming_full_disk(folder, advice), tempfile.TemporaryFile(dir=folder) as unnamed:
            for start in range(0, shape[0], ROWS):
                part = numbers[start : start + ROWS]
                reflectance = ((part + offset) * scale).round()
                # In shadows the reflectance can be 0 or below. It becomes 1, as 0 is no data.
                reflectance = reflectance.clip(1, LARGEST_NUMBER)
                values = np.where(part == nodata, 0, reflectance).astype(self.dtype)
                unnamed.write(values.data)
            unnamed.flush()
            return np.memmap(unnamed, self.dtype, "r", shape=shape)  # stays valid without the file


def product_files(path: Path, scl: bool = False) -> list[Path]:
    """List the files of a product that are read: the metadata and one file for each band."""
    product, tile, files = _files(path, scl)
    return [product, tile, *(file for _, file in files.values())]


def _files(path: Path, scl: bool) -> tuple[Path, Path, dict[str, tuple[int, Path]]]:
    """Find the files of a product: its metadata, those of its tile, and `_finest_files`."""
    product = product_file(path)
    if product is None:
        raise InputError(
            f"{path}: has no MTD_MSIL2A.xml or MTD_MSIL1C.xml; give the folder of a Sentinel-2 "
            "product"
        )
    others = [file.name for file in path.iterdir() if PRODUCT.fullmatch(file.name)]
    if len(others) > 1:
        raise InputError(f"{path}: holds {' and '.join(sorted(others))}; download it again")
    tiles = next(filter(None, (sorted(path.glob(pattern)) for pattern in TILES)), [])
    if len(tiles) != 1:
        raise InputError(
            f"{path}: has {len(tiles)} files {TILES[0]}, expected one; download the product again"
        )
    files = _finest_files(tiles[0].parent)
    if not files:
        raise InputError(
            f"{path}: has no bands such as IMG_DATA/R10m/*_B02_10m.jp2; download it again"
        )
    if scl:  # of the bands' resolution, or coarser
        finest = min(resolution for resolution, _ in files.values())
        files |= _finest_files(tiles[0].parent, {SCL: 20}, finest)
    return product, tiles[0], files


def _finest_files(
    granule: Path, usual: dict[str, int] = RESOLUTIONS, least: int = 10
) -> dict[str, tuple[int, Path]]:
    """Find the file of the finest resolution of each band: {band: (resolution, file)}.

    Args:
        granule: The folder.
        usual: {name of a band to find: its resolution in metres, if the file does not name one}.
        least: Metres; files of a finer resolution are left out.
    """
    files: dict[str, tuple[int, Path]] = {}
    for file in sorted(granule.rglob("*")):
        found = BAND.fullmatch(file.name)
        band = found[1].upper() if found else ""
        if not found or bands.canonical(band) not in usual:
            continue
        resolution = int(found[2] or usual[bands.canonical(band)])
        if resolution >= least and (band not in files or resolution < files[band][0]):
            files[band] = resolution, file
    return files


def _decode_jpeg2000(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The digital numbers of a file; InputError if it is damaged or has another shape."""
    _require_size(file, shape)  # it may have been replaced
    data = read_bytes(file, 4 * math.prod(shape) + HEAD)  # noise has two bytes for a pixel
    try:
        threads = min(8, os.cpu_count() or 1)
        numbers = claims.call(imagecodecs.jpeg2k_decode, data, numthreads=threads)
    except claims.Damaged as error:
        raise InputError(
            f"{file}: cannot be decoded ({error}); download the product again"
        ) from error
    _require_equal(file, numbers.shape, shape)
    return numbers


def _require_size(file: Path, shape: tuple[int, ...]) -> None:
    """Raise InputError unless the header of a file has this shape and one band of up to 16 bits."""
    head = read_bytes(file, HEAD)
    try:
        height, width, pixel_bytes = codedsize.of_jpeg2000(head, file.stat().st_size)
        _require_equal(file, (height, width), shape)
        if pixel_bytes > 2:
            raise claims.Damaged("it has several bands")
        claims.require_picture(height, width, pixel_bytes)
    except claims.Damaged as error:
        raise InputError(
            f"{file}: cannot be decoded ({error}); download the product again"
        ) from error


def _require_equal(file: Path, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise InputError unless the shape of a band is the expected one."""
    if found != expected:
        pixels, said = (" x ".join(map(str, sizes)) for sizes in (found, expected))
        raise InputError(
            f"{file}: {pixels} pixels where the metadata say {said}; download the product again"
        )
