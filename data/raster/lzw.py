"""Decode a block of LZW with libtiff.

The LZW decoder of libtiff takes half the time of the one that tifffile calls. imagecodecs holds
libtiff, but hands it whole files only. So a block becomes a file in memory: a header, one directory
that describes the block as an image of one strip, and the bytes of the block as they are.

Specification: TIFF 6.0 (1992), section 2. Read tests/data/raster/test_lzw.py beside this file.
"""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import tifffile

from data.raster.tiffpage import block_shape, planes

LZW = 5
SHORT, LONG = 3, 4  # types of a tag's value


def takes(page: tifffile.TiffPage) -> bool:
    """Whether the blocks of a page are LZW of whole bytes in their usual order."""
    whole = page.bitspersample in (8, 16, 32, 64) and page.dtype.kind in "uif"
    return page.compression == LZW and page.fillorder == 1 and whole


def decode(page: tifffile.TiffPage, data: bytes, number: int) -> np.ndarray:
    """Decode a block of a page that `takes` accepts.

    Args:
        page: The page.
        data: The bytes of the block in the file.
        number: The number of the block in the page.

    Returns:
        (height, width, bands of the block), without the rows and columns beyond the image.

    Raises:
        imagecodecs.TiffError: libtiff cannot decode the block.
    """
    (_, _, row, col, _), _ = page.decode(None, number)[1:]
    rows, cols = block_shape(page)
    height, width = min(rows, page.imagelength - row), min(cols, page.imagewidth - col)
    stored = rows if page.is_tiled else height  # a tile is stored whole, the last strip is not
    bands = page.samplesperpixel // planes(page)
    block = imagecodecs.tiff_decode(_file(page, data, stored, cols, bands))
    return block.reshape(stored, cols, bands)[:height, :width]


def _file(page: tifffile.TiffPage, data: bytes, rows: int, cols: int, bands: int) -> bytes:
    """Make a TIFF file of one strip."""
    order = page.parent.byteorder  # also that of the numbers in the block
    shorts = struct.Struct(f"{order}{bands}H")
    bits = shorts.pack(*[page.bitspersample] * bands)
    formats = shorts.pack(*[{"u": 1, "i": 2, "f": 3}[page.dtype.kind]] * bands)
    tags: dict[int, int | bytes] = {
        256: cols,
        257: rows,
        258: bits,
        259: LZW,
        262: 1,  # grey: the numbers are not converted
        273: 0,  # where the strip begins, which is known below
        277: bands,
        278: rows,
        279: len(data),
        317: page.predictor,
        339: formats,
    }
    end = 8 + 2 + 12 * len(tags) + 4  # of the directory; values that do not fit in it follow
    tags[273] = end + (len(bits) + len(formats)) * (bands > 2)
    directory, values = struct.pack(f"{order}H", len(tags)), b""
    for tag, value in tags.items():
        if isinstance(value, int):
            directory += struct.pack(f"{order}HHII", tag, LONG, 1, value)
        elif bands <= 2:  # four bytes at most
            directory += struct.pack(f"{order}HHI4s", tag, SHORT, bands, value)
        else:
            directory += struct.pack(f"{order}HHII", tag, SHORT, bands, end + len(values))
            values += value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + directory + bytes(4) + values + data
