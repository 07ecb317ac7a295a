"""Read the header of a TIFF file with tifffile, and check it before any pixel is read.

A header can be damaged, or can describe pixels that are not supported. `open_page` then raises an
InputError with advice. So other code can trust the header.

Specification: TIFF 6.0 (1992). Read tests/data/raster/test_geotiff.py beside this file.
"""

from __future__ import annotations

import logging
import struct
from operator import index
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from data.files import InputError
from data.raster import gdaltags, georeference

# Tags of the layout of the pixels: size, type, compression, strips or tiles.
PIXEL_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339)
STRIP_BYTES = 2**18

# tifffile logs oddities of a header. Those that matter raise an InputError here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def open_page(file: BinaryIO, path: Path) -> tuple[tifffile.TiffPage, dict]:
    """Read the header of the first image in a TIFF file.

    Returns:
        The page, and {tag: value} of the tags in `georeference.TAGS` and `gdaltags.TAGS` that the
        file has.

    Raises:
        InputError: The header is damaged, or the kind of pixels is not supported.
    """
    try:
        tif = tifffile.TiffFile(file)
        page = tif.pages.first
        tags = _tags(tif, page)
    except OSError:
        raise
    except Exception as error:  # tifffile has no common exception for damaged headers
        raise _unreadable(path, error) from error
    check_page(page, path)
    return page, tags


def check_page(page: tifffile.TiffPage, path: Path) -> None:
    """Check the layout of a page. Divide a single large strip.

    Raises:
        InputError: The header is damaged, or the kind of pixels is not supported.
    """
    try:
        rows, cols = map(index, block_shape(page))
        height, width, _ = map(index, (page.imagelength, page.imagewidth, page.samplesperpixel))
    except Exception as error:
        raise _unreadable(path, error) from error
    integers_or_floats = page.dtype is not None and page.dtype.kind in "buif"
    if not integers_or_floats or isinstance(page.bitspersample, tuple):
        kind = page.dtype or f"{page.bitspersample}-bit"
        raise InputError(f"{path}: {kind} pixels are not supported; convert to integers or floats")
    if min(height, width, rows, cols) < 1 or page.imagedepth != 1:
        raise InputError(f"{path}: not a flat image ({page.shape}); write one image to a GeoTIFF")
    blocks = -(-height // rows) * -(-width // cols) * planes(page)
    if min(len(page.dataoffsets), len(page.databytecounts)) < blocks:
        raise InputError(f"{path}: its table of blocks is damaged; copy or download the file again")
    _chop_strip(page)
    try:
        page.decode(None, 0)  # without a block, tifffile only checks that it has a decoder
    except Exception as error:
        raise InputError(
            f"{path}: cannot be decoded ({error}); rewrite it with DEFLATE compression"
        ) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable TIFF ({error}); is the file cut short?")


def block_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return (height, width) of a tile, or of a strip of full rows."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return page.rowsperstrip, page.imagewidth


def planes(page: tifffile.TiffPage) -> int:
    """Return the number of bands if each band has blocks of its own, else 1."""
    return page.samplesperpixel if page.planarconfig == 2 else 1


def _tags(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> dict:
    """The values of georeference.TAGS and gdaltags.TAGS; ValueError if a value is cut off.

    tifffile leaves out a tag whose value lies beyond the end of the file. Without the check, a file
    that is cut short there would be read as a file without a CRS.
    """
    handle, tiff = tif.filehandle, tif.tiff
    handle.seek(page.offset)
    (count,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    entries = handle.read(count * tiff.tagsize)
    listed = {
        struct.unpack_from(f"{tiff.byteorder}H", entries, at)[0]
        for at in range(0, len(entries), tiff.tagsize)
    }
    codes = (*georeference.TAGS, *gdaltags.TAGS)
    lost = [code for code in (*PIXEL_TAGS, *codes) if code in listed and code not in page.tags]
    if lost:
        raise ValueError(f"tag {lost[0]} is damaged")
    values = {code: page.tags.valueof(code) for code in codes if code in page.tags}
    for code in georeference.TAGS:
        if code == georeference.TEXTS and code in values:
            # GeoKeys count bytes; a decoded text with an accent has fewer characters than bytes.
            handle.seek(page.tags[code].valueoffset)
            values[code] = handle.read(page.tags[code].count)
        elif code in values:
            values[code] = tuple(np.ravel(values[code]).tolist())
    return values


def _chop_strip(page: tifffile.TiffPage) -> None:
    """Divide an uncompressed strip that holds the whole image into many, as libtiff does.

    Simple writers make such files. A window then needs only its own rows, and not the whole image.
    """
    row_bytes = page.imagewidth * page.samplesperpixel // planes(page) * page.bitspersample // 8
    one_strip = not page.is_tiled and page.rowsperstrip >= page.imagelength
    if not one_strip or page.compression != 1 or page.bitspersample % 8:
        return
    if min(page.dataoffsets) == 0 or min(page.databytecounts) < page.imagelength * row_bytes:
        return
    rows = max(1, STRIP_BYTES // row_bytes)
    starts = range(0, page.imagelength, rows)
    sizes = [min(rows, page.imagelength - row) * row_bytes for row in starts]
    page.dataoffsets = tuple(
        offset + row * row_bytes for offset in page.dataoffsets for row in starts
    )
    page.databytecounts = tuple(sizes) * planes(page)
    page.rowsperstrip = rows
