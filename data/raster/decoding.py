"""Decode a block of a TIFF page: its bytes become numbers.

tifffile and imagecodecs decode nearly all blocks, and lzw.py those of LZW. In four cases the result
of tifffile differs from that of libtiff, which most programs use. Here it is that of libtiff:

    LERC      A block holds a mask besides its numbers. Masked floats are NaN. In images of bytes
              whose last band is alpha, the mask is that band: 255 or 0. libtiff swaps the bytes of
              a big-endian file.
    JPEG      Only pixels that are declared as YCbCr are converted to RGB. In a block of one band
              there is no colour to convert.
    24 bits   libtiff swaps three bytes of a big-endian file, not four.
    Surplus   A block may hold more than its rows, most often the last strip of an image. The
              surplus is ignored.

Specifications: TIFF 6.0 (1992); libtiff, tif_lerc.c and tif_jpeg.c. Read
tests/data/raster/test_decoding.py beside this file.
"""

from __future__ import annotations

import copy
from contextlib import suppress

import imagecodecs
import numpy as np
import tifffile

from data.raster import lzw
from data.raster.tiffpage import block_shape, planes

LERC, JPEG = 34887, 7
RGB, YCBCR = 2, 6
BYTE_CODECS = (5, 8, 32773, 32946, 34925, 50000)  # LZW, DEFLATE, PackBits, LZMA, Zstandard
GREY_JPEG, RGB_JPEG = 1, 2  # colour spaces of libjpeg
SURPLUS = 4  # a block may decode to this many times the bytes of its rows, ...
SURPLUS_BYTES = 2**20  # ... and to at least so many


def decode_block(page: tifffile.TiffPage, data: bytes, number: int) -> np.ndarray:
    """Decode a block.

    Args:
        page: The page that the block belongs to.
        data: The bytes of the block in the file.
        number: The number of the block in the page.

    Returns:
        (height, width, bands of the block). The last strip, or a tile at the border, may be smaller
        than the others.

    Raises:
        ValueError, RuntimeError, struct.error: The block is damaged.
    """
    if page.compression == LERC:
        return _decode_lerc(page, data)
    if page.compression == JPEG and page.samplesperpixel > 1:
        if page.planarconfig == 2:
            return _decode_jpeg(page, data, GREY_JPEG)
        if page.samplesperpixel == 3 and page.photometric not in (RGB, YCBCR):
            return _decode_jpeg(page, data, RGB_JPEG)
    if lzw.takes(page):
        with suppress(imagecodecs.TiffError):  # tifffile then says what is wrong
            return lzw.decode(page, data, number)
    try:
        block = page.decode(data, number, jpegtables=page.jpegtables)[0]
    except RuntimeError:  # an error of a codec in imagecodecs; it can be the surplus
        if page.compression not in BYTE_CODECS:
            raise
        block = _decode_surplus(page, data, number)
    assert block is not None  # tifffile returns None only for missing data
    if page.bitspersample == 24 and page.dtype.kind == "u" and page.parent.byteorder == ">":
        block = block >> 8  # tifffile swaps four bytes, of which the last is then empty
    return block[0]


def _decode_lerc(page: tifffile.TiffPage, data: bytes) -> np.ndarray:
    """Decode LERC, as in tif_lerc.c, also if it is compressed by DEFLATE or Zstandard on top.

    The numbers are (height, width, bands), or (bands, height, width) where the bands have masks of
    their own. The mask is (height, width), or (bands, height, width).
    """
    numbers, mask = imagecodecs.lerc_decode(data, masks=True)
    if numbers.dtype != page.dtype:
        raise ValueError(f"LERC of {numbers.dtype} in an image of {page.dtype}")
    bands = page.samplesperpixel // planes(page)
    by_band = numbers.ndim == 3 and np.ndim(mask) == 3
    block = np.moveaxis(numbers, 0, -1) if by_band else numbers.reshape(*numbers.shape[:2], -1)
    valid = mask if isinstance(mask, np.ndarray) else np.ones(block.shape[:2], bool)
    valid = np.moveaxis(valid, 0, -1) if valid.ndim == 3 else valid[..., None]
    if block.dtype.kind == "f":
        block = np.where(valid, block, block.dtype.type(np.nan))
    elif block.dtype == np.uint8 and block.shape[-1] == bands - 1 and page.extrasamples:
        block = np.concatenate([block, np.where(valid, np.uint8(255), np.uint8(0))], axis=-1)
    if block.shape[-1] != bands:
        raise ValueError(f"LERC of {block.shape[-1]} bands in a block of {bands}")
    return block.byteswap() if page.parent.byteorder == ">" else block  # as libtiff


def _decode_jpeg(page: tifffile.TiffPage, data: bytes, colors: int) -> np.ndarray:
    """Decode JPEG without a conversion: the colours of the file are those of the result."""
    block = imagecodecs.jpeg_decode(
        data,
        bitspersample=page.bitspersample,
        tables=page.jpegtables,
        colorspace=colors,
        outcolorspace=colors,
    )
    return block.reshape(*block.shape[:2], -1)


def _decode_surplus(page: tifffile.TiffPage, data: bytes, number: int) -> np.ndarray | None:
    """Decode a block that holds more bytes than its rows.

    The bytes are decompressed first. tifffile then decodes them like an uncompressed block, and
    ignores the surplus.
    """
    plain = copy.copy(page)
    plain.compression, plain.fillorder = 1, 1
    for cached in ("decode", "hash"):  # they are of the compressed page
        plain.__dict__.pop(cached, None)
    if page.fillorder == 2:
        data = bytes(imagecodecs.bitorder_decode(data))
    most = SURPLUS * _block_bytes(page) + SURPLUS_BYTES
    return plain.decode(tifffile.TIFF.DECOMPRESSORS[page.compression](data, out=most), number)[0]


def _block_bytes(page: tifffile.TiffPage) -> int:
    """Return an upper limit of the bytes of a decoded block."""
    rows, cols = block_shape(page)
    if not page.is_tiled:
        rows = min(rows, page.imagelength)
    return rows * cols * page.samplesperpixel // planes(page) * page.dtype.itemsize
