"""Find the size of a coded image in its first bytes, before a codec allocates memory for it.

JPEG, PNG, JPEG 2000, WebP and LERC have headers of their own, also inside a block of a TIFF. A
damaged header can claim any size.

    PNG, JPEG   The bytes bound the pixels: a byte of DEFLATE becomes at most 1032, and JPEG spends
                a bit at least on a square of 64 pixels.
    others      An image of one value has a few bytes, whatever its size. So only the limits of
                claims.py hold.

Specifications: ITU-T T.81 (JPEG), PNG (W3C 2003), ITU-T T.800 (JPEG 2000), RFC 9649 (WebP), Esri's
Lerc2.h. Read tests/data/raster/test_codedsize.py beside this file.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from data.raster.claims import DEFLATE_RATIO, Damaged

JPEG_RATIO = 1024  # pixels for a byte; 512 are possible
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that give the size of the image
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNG_SIDE = 1_000_000  # the limit of libpng
TILE_HEADER = 14  # bytes of the shortest tile of a JPEG 2000


class Size(NamedTuple):
    """The size of an image, in pixels, and the bytes of a decoded pixel."""

    height: int
    width: int
    pixel_bytes: int


def of_jpeg(data: bytes) -> Size:
    """Read the frame header of a JPEG."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in JPEG_FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            return Size(height, width, channels * (1 + (bits > 8)))
        # A marker may follow a fill byte. Other segments begin with their length.
        fill = data[at + 1] == 0xFF
        at += 1 if fill else 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise Damaged("it has no frame header")


def of_png(data: bytes) -> Size:
    """Read the first chunk of a PNG."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise Damaged("it has no header")
    width, height, depth, color, *methods, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if depth not in PNG_DEPTHS.get(color, ()) or any(methods) or interlace > 1:
        raise Damaged("its header has values that PNG does not have")
    if max(height, width) > PNG_SIDE:
        raise Damaged(f"its header claims {width:,} x {height:,} pixels")
    return Size(height, width, -(-depth * PNG_CHANNELS[color] // 8))


def of_jpeg2000(data: bytes, length: int = 0) -> Size:
    """Read the marker SIZ of a JPEG 2000 codestream, and check its number of tiles.

    Args:
        length: Bytes of the file, if `data` is only its beginning.
    """
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 45 > len(data):
        raise Damaged("it has no image header")
    right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top, bands, depth = (
        struct.unpack_from(">8IHB", data, at + 8)
    )
    if min(tile_width, tile_height) < 1:
        raise Damaged("its header claims tiles without pixels")
    tiles = -(-(right - tiles_left) // tile_width) * -(-(bottom - tiles_top) // tile_height)
    if tiles * TILE_HEADER > max(length, len(data)):
        raise Damaged(f"its header claims {tiles:,} tiles, which the file cannot hold")
    return Size(bottom - top, right - left, bands * (1 + ((depth & 127) > 7)))


def of_webp(data: bytes) -> Size:
    """Read the first chunk of a WebP: extended, lossless or lossy."""
    if len(data) < 30:
        raise Damaged("it has no header")
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return Size(height, width, 4)


def of_lerc(data: bytes) -> Size | None:
    """Read the header of a LERC 2 blob; None if the blob is of another kind."""
    if len(data) < 26 or not data.startswith(b"Lerc2 "):
        return None
    (version,) = struct.unpack_from("<i", data, 6)
    rows, cols = struct.unpack_from("<ii", data, 14 if version >= 3 else 10)
    return Size(rows, cols, 8)


# TIFF compression: the coded image in a block.
IN_TIFF = {
    7: of_jpeg,
    33003: of_jpeg2000,
    33005: of_jpeg2000,
    34712: of_jpeg2000,
    34887: of_lerc,
    34933: of_png,
    50001: of_webp,
}


def require_fitting(data: bytes, compression: int, rows: int, cols: int) -> None:
    """Raise Damaged if the coded image in a block of a TIFF is larger than the block."""
    size = IN_TIFF[compression](data) if compression in IN_TIFF else None
    # A writer may fill the last squares of 16 x 16 pixels.
    if size and (size.height > rows + 15 or size.width > cols + 15):
        raise Damaged(
            f"it claims {size.width:,} x {size.height:,} pixels in a block of {cols:,} x {rows:,}"
        )


def most_png_pixels(data: bytes, compressed: int) -> int:
    """Compute how many pixels the compressed bytes of a PNG can hold at most."""
    bits = data[24] * PNG_CHANNELS[data[25]]
    return DEFLATE_RATIO * compressed * 8 // bits
