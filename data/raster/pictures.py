"""PNG, JPEG and JPEG 2000 files as arrays, so that masks keep their codes.

In many data sets the images are pictures, and the masks are palette PNGs: each pixel is a code, and
a table gives its colour. Most image libraries return the colours. A segmentation needs the codes,
so this file returns the codes. imagecodecs (libpng, libjpeg, OpenJPEG) decodes the pixels.

Specification: PNG, W3C Recommendation (2003), chapter 11. Read tests/data/raster/test_pictures.py
beside this file.
"""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np

from data.raster import claims, codedsize
from data.raster.claims import Damaged

PALETTE_TYPE, GREY_TYPE = 3, 0
# The first bytes of a file in each format.
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
SIGNATURES = (PNG, JPEG, *JPEG2000)


class UnknownFormat(ValueError):
    """The bytes are in none of the three formats."""


def decode(data: bytes) -> tuple[np.ndarray, dict[int, tuple[int, int, int]] | None]:
    """Decode the bytes of a file.

    Returns:
        Pixels (bands, height, width), and the palette {code: (red, green, blue)} or None. A palette
        PNG has one band, which holds its codes. The pixels of an n-bit grey PNG are 0 to 2^n - 1.
        An alpha channel is the last band.

    Raises:
        UnknownFormat: The bytes are of another format.
        Damaged: The file is damaged.
    """
    palette = None
    if data.startswith(PNG):
        pixels, palette = _decode_png(data)
    elif data.startswith(JPEG):
        # libjpeg fills missing pixels with grey, without an error. So find the mark of the end.
        if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
            raise Damaged("its end is missing")
        most = codedsize.JPEG_RATIO * len(data)
        claims.require_picture(*codedsize.of_jpeg(data), most)
        pixels = claims.call(imagecodecs.jpeg_decode, data)
    elif data.startswith(JPEG2000):
        claims.require_picture(*codedsize.of_jpeg2000(data))
        pixels = claims.call(imagecodecs.jpeg2k_decode, data)
    else:
        raise UnknownFormat("neither PNG nor JPEG nor JPEG 2000")
    if not pixels.size:
        raise Damaged("it has no pixels")
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1), palette


def _decode_png(data: bytes) -> tuple[np.ndarray, dict | None]:
    """Decode a PNG to its codes, or to its greys of n bits.

    libpng converts codes to colours, and greys of n bits to 0..255. To avoid the first conversion,
    the header of a palette PNG is changed so that it declares the codes as greys. To undo the
    second, the greys are divided by 255 / (2^n - 1).
    """
    chunks, palette, at, compressed = [], None, 8, 0
    claimed = codedsize.of_png(data)
    depth, color_type = data[24], data[25]
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        if kind == b"IHDR" and color_type == PALETTE_TYPE:
            header = kind + body[:9] + bytes([GREY_TYPE]) + body[10:]
            chunks.append(struct.pack(">I", size) + header + struct.pack(">I", zlib.crc32(header)))
        elif kind == b"PLTE":
            colors = np.frombuffer(body[: len(body) // 3 * 3], np.uint8).reshape(-1, 3).tolist()
            palette = {code: tuple(color) for code, color in enumerate(colors)}
        elif kind in (b"IHDR", b"IDAT", b"IEND"):  # without tRNS, which would add an alpha band
            chunks.append(data[at : at + 12 + size])
            compressed += len(body) if kind == b"IDAT" else 0
        at += 12 + size
    claims.require_picture(*claimed, codedsize.most_png_pixels(data, compressed))
    pixels = claims.call(imagecodecs.png_decode, data[:8] + b"".join(chunks))
    if depth < 8:
        pixels = pixels // (255 // (2**depth - 1))
    return pixels, palette if color_type == PALETTE_TYPE else None
