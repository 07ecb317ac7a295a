"""Read the header of a TIFF file with tifffile, and check it before any pixel is read.

A header can be damaged, or can describe pixels that are not supported. `open_page` then raises an
InputError with advice. So other code can trust the header: the types of its tags, the size of the
image, and the place and size of each block.

Specification: TIFF 6.0 (1992). Read tests/data/raster/test_tiffpage.py beside this file.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from data.files import InputError
from data.raster import claims, gdaltags, georeference
from data.raster.claims import Damaged

# Tags of the layout of the pixels: size, type, compression, strips or tiles.
PIXEL_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339)
LAYOUT = (  # properties of a page that are one number each
    *("imagelength", "imagewidth", "imagedepth", "samplesperpixel", "planarconfig", "rowsperstrip"),
    *("tilelength", "tilewidth", "compression", "predictor", "photometric", "subfiletype"),
)
STRIP_BYTES = 2**18
MOST_BANDS = 2**16 - 1  # the tag SamplesPerPixel has 16 bits

# The types that the values of a tag may have, by their numbers in the file.
INTEGERS = {3, 4, 8, 9, 13, 16, 17, 18}  # of 16, 32 and 64 bits
NUMBERS = INTEGERS | {11, 12}  # and float, double
ASCII, BYTES = {2}, {1, 2, 7}
TYPES = {
    **dict.fromkeys((*PIXEL_TAGS, georeference.DIRECTORY), INTEGERS),
    **dict.fromkeys((georeference.SCALE, georeference.TIEPOINT), NUMBERS),
    **dict.fromkeys((georeference.MATRIX, georeference.DOUBLES), NUMBERS),
    **dict.fromkeys((gdaltags.METADATA, gdaltags.NODATA), ASCII),
    georeference.TEXTS: BYTES,
}


def open_page(file: BinaryIO, path: Path) -> tuple[tifffile.TiffPage, dict]:
    """Read the header of the first image in a TIFF file.

    Returns:
        The page, and {tag: value} of the tags in `georeference.TAGS` and `gdaltags.TAGS` that the
        file has.

    Raises:
        InputError: The header is damaged, or the kind of pixels is not supported.
    """
    try:
        tif = claims.call(tifffile.TiffFile, file)
        page = claims.call(lambda: tif.pages.first)
        tags = _tags(page)
    except Damaged as error:
        raise _unreadable(path, error) from error
    check_page(page, path)
    return page, tags


def check_page(page: tifffile.TiffPage, path: Path) -> None:
    """Check the layout of a page, and divide large strips.

    Raises:
        InputError: The header is damaged, or the kind of pixels is not supported.
    """
    try:
        _require_types(page)
        _require_sizes(page)
        _require_supported(page, path)
        _check_blocks(page)
    except Damaged as error:
        raise _unreadable(path, error) from error
    rows, cols = block_shape(page)
    block_bytes = rows * cols * page.samplesperpixel // planes(page) * page.dtype.itemsize
    if block_bytes > claims.LARGEST_BLOCK:
        raise InputError(
            f"{path}: a block of {cols:,} x {rows:,} pixels is more than the "
            f"{claims.LARGEST_BLOCK >> 30} GiB that are decoded at once; rewrite it with tiles"
        )
    try:
        # Without a block, tifffile only checks that it has a decoder.
        claims.call(lambda: page.decode(None, 0))
    except Damaged as error:
        raise InputError(
            f"{path}: cannot be decoded ({error}); rewrite it with DEFLATE compression"
        ) from error


def _unreadable(path: Path, error: Damaged) -> InputError:
    return InputError(f"{path}: not a readable TIFF ({error}); copy or download it again")


def block_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return (height, width) of a tile, or of a strip of full rows."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return page.rowsperstrip, page.imagewidth


def planes(page: tifffile.TiffPage) -> int:
    """Return the number of bands if each band has blocks of its own, else 1."""
    return page.samplesperpixel if page.planarconfig == 2 else 1


def _tags(page: tifffile.TiffPage) -> dict:
    """The values of georeference.TAGS and gdaltags.TAGS; Damaged if a value is cut off.

    tifffile leaves out a tag whose value lies beyond the end of the file. Without the check, a file
    that is cut short there would be read as a file without a CRS.
    """
    _require_types(page)
    codes = (*georeference.TAGS, *gdaltags.TAGS)
    values = {code: claims.call(page.tags.valueof, code) for code in codes if code in page.tags}
    for code in georeference.TAGS:
        if code == georeference.TEXTS and code in values:
            # GeoKeys count bytes; a decoded text with an accent has fewer characters than bytes.
            handle = page.parent.filehandle
            handle.seek(page.tags[code].valueoffset)
            values[code] = handle.read(page.tags[code].count)
        elif code in values:
            values[code] = tuple(np.ravel(values[code]).tolist())
    return values


def _require_types(page: tifffile.TiffPage) -> None:
    """Raise Damaged if a tag that is used is cut off, or has values of a wrong type."""
    handle, tiff = page.parent.filehandle, page.parent.tiff
    handle.seek(page.offset)
    (count,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    entries = handle.read(count * tiff.tagsize)
    listed = {
        struct.unpack_from(f"{tiff.byteorder}H", entries, at)[0]
        for at in range(0, len(entries), tiff.tagsize)
    }
    for code in (*PIXEL_TAGS, *georeference.TAGS, *gdaltags.TAGS):
        tag = page.tags.get(code)
        if code in listed and tag is None:
            raise Damaged(f"tag {code} is damaged")
        if tag is not None and tag.dtype not in TYPES.get(code, {tag.dtype}):
            raise Damaged(f"tag {code} has values of the wrong type {tag.dtype_name}")


def _require_sizes(page: tifffile.TiffPage) -> None:
    """Raise Damaged unless each property of the layout is one number, and sizes are above 0."""
    for name in LAYOUT:
        if not isinstance(getattr(page, name), int):
            raise Damaged(f"its {name} is not one number")
    rows, cols = block_shape(page)
    if min(page.imagelength, page.imagewidth, rows, cols) < 1:
        raise Damaged(f"{page.imagewidth} x {page.imagelength} pixels in blocks of {cols} x {rows}")
    if not 1 <= page.samplesperpixel <= MOST_BANDS or page.planarconfig not in (1, 2):
        raise Damaged(f"{page.samplesperpixel} bands in layout {page.planarconfig}")


def _require_supported(page: tifffile.TiffPage, path: Path) -> None:
    """Raise InputError unless the pixels are flat and are integers or floats."""
    integers_or_floats = page.dtype is not None and page.dtype.kind in "buif"
    if not integers_or_floats or isinstance(page.bitspersample, tuple):
        kind = page.dtype or f"{page.bitspersample}-bit"
        raise InputError(f"{path}: {kind} pixels are not supported; convert to integers or floats")
    if page.imagedepth != 1:
        raise InputError(f"{path}: not a flat image ({page.shape}); write one image to a GeoTIFF")


def _check_blocks(page: tifffile.TiffPage) -> None:
    """Check the table of blocks against the length of the file, and divide large strips.

    Raises:
        Damaged: The table has too few blocks, or one of them cannot hold its pixels.
    """
    rows, cols = block_shape(page)
    down, across = -(-page.imagelength // rows), -(-page.imagewidth // cols)
    blocks = down * across * planes(page)
    if min(len(page.dataoffsets), len(page.databytecounts)) < blocks:
        raise Damaged(f"its table of blocks has not all {blocks:,}")
    table = page.dataoffsets[:blocks], page.databytecounts[:blocks]
    if min(map(min, table)) < 0:
        raise Damaged("an offset in its table of blocks is negative")
    offsets, sizes = (np.array(column, np.uint64) for column in table)
    heights = np.minimum(rows, page.imagelength - rows * np.arange(down, dtype=float))
    widths = np.minimum(cols, page.imagewidth - cols * np.arange(across, dtype=float))
    bits = page.samplesperpixel // planes(page) * page.bitspersample
    pixel_bytes = np.tile(np.outer(heights, np.ceil(widths * bits / 8)).ravel(), planes(page))
    if page.compression == 1 and not page.is_tiled:
        # Some writers give a wrong size. GDAL ignores it, unless 0 marks one of several as missing.
        known = (offsets != 0) & ((sizes != 0) | (down == 1))
        sizes = np.where(known, np.minimum(pixel_bytes, 2.0**63), sizes).astype(np.uint64)
        page.databytecounts = tuple(sizes.tolist())
    ratio, length = claims.RATIOS.get(page.compression), page.parent.filehandle.size
    claims.require_blocks(offsets, sizes, pixel_bytes, ratio, length)
    row_bytes = int(page.imagewidth * bits // 8)
    if not page.is_tiled and row_bytes * rows > STRIP_BYTES:
        _divide_strips(page, row_bytes, down)


def _divide_strips(page: tifffile.TiffPage, row_bytes: int, down: int) -> None:
    """Divide strips of many rows, as libtiff does. A window then needs only its own rows.

    Simple writers make uncompressed files of one strip. In a sparse file that holds no pixels yet,
    all offsets are 0, and blocks of any size may be assumed.
    """
    empty = not any(page.dataoffsets) or not any(page.databytecounts)
    uncompressed = page.compression == 1 and page.bitspersample % 8 == 0 and down == 1
    rows = max(1, STRIP_BYTES // row_bytes)
    starts = range(0, page.imagelength, rows)
    if empty and row_bytes * page.rowsperstrip <= claims.LARGEST_BLOCK:
        page.dataoffsets = page.databytecounts = (0,) * len(starts) * planes(page)
    elif uncompressed and min(page.dataoffsets) > 0:
        sizes = [min(rows, page.imagelength - row) * row_bytes for row in starts]
        page.databytecounts = tuple(sizes) * planes(page)
        page.dataoffsets = tuple(
            offset + row * row_bytes for offset in page.dataoffsets for row in starts
        )
    else:
        return
    page.rowsperstrip = rows
