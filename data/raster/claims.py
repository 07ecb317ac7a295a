"""Compare what the header of a file claims with what the file holds.

A damaged or hostile header can claim any size, offset or count. Whoever allocates memory for a claim
can run out of it. So each claim is compared first:

    a block of a TIFF   lies inside the file, and is long enough for its pixels
    a decoded block     has at most LARGEST_BLOCK bytes, because it is decoded as a whole
    a picture           has at most LARGEST_PICTURE bytes, and no more pixels than its bytes can hold

How many pixels a byte can hold follows from the code. A match of DEFLATE gives 258 bytes for two
bits at least, which is 1032 bytes for one. Baseline and progressive JPEG spend a bit at least on a
square of 64 pixels. ZSTD, LERC, WebP and JPEG 2000 store an image of one value in a few bytes, so
that only the limit in bytes holds for them.

Specifications: TIFF 6.0 (1992), RFC 1951 (DEFLATE), PNG (W3C 2003), ITU-T T.81 (JPEG), T.800 (JPEG
2000). Read tests/data/raster/test_claims.py beside this file.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

LARGEST_BLOCK, LARGEST_PICTURE = 2**31, 2**32
DEFLATE_RATIO, JPEG_RATIO = 1032, 1024
# TIFF compression: decoded bytes that a stored byte can become at most. An LZW code of 12 bits stands
# for fewer than 3,900 bytes. Two bytes of PackBits are 128 equal ones.
RATIOS = {1: 1, 5: 2600, 8: DEFLATE_RATIO, 32773: 64, 32946: DEFLATE_RATIO}
JPEG = 7  # TIFF compression
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG markers that give the size of the image
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNG_SIDE = 1_000_000  # the limit of libpng

# These libraries log the oddities of a file on standard error. Those that matter are Damaged here.
for library in ("tifffile", "imagecodecs"):
    logging.getLogger(library).setLevel(logging.CRITICAL)


class Damaged(ValueError):
    """What a file claims is impossible, or a library cannot decode it; the text is one line."""


def call(function: Callable, *arguments, **options) -> Any:
    """Call a function of tifffile or imagecodecs on the content of a file.

    The two have no common exception for damaged files. So any exception of the call is Damaged, and
    nothing else may be done inside the function: an exception of this program is a bug.

    Raises:
        Damaged: The function has raised an exception.
    """
    try:
        return function(*arguments, **options)
    except MemoryError:
        raise Damaged("it needs more memory than there is") from None
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise Damaged(text or type(error).__name__) from error


def require_blocks(
    offsets: np.ndarray, sizes: np.ndarray, pixel_bytes: np.ndarray, ratio: int | None, length: int
) -> None:
    """Check the stored blocks of a TIFF.

    Args:
        offsets: First byte of each block.
        sizes: Stored bytes of each block. Blocks whose offset or size is 0 are not stored.
        pixel_bytes: Bytes of the pixels of the image in each block.
        ratio: Decoded bytes that a stored byte can become at most, or None.
        length: Bytes of the file.

    Raises:
        Damaged: A block is outside the file, or has too few bytes.
    """
    stored = (offsets != 0) & (sizes != 0)
    # Compared without a sum, which could be more than 64 bits.
    outside = stored & ((offsets > length) | (sizes > length) | (sizes > length - offsets))
    if outside.any():
        raise Damaged(f"block {outside.argmax()} lies beyond the end of the file")
    short = stored & (pixel_bytes > sizes * (ratio or 0)) if ratio else stored & False
    if short.any():
        first = int(short.argmax())
        raise Damaged(
            f"block {first} has {sizes[first]:,} bytes, too few for {pixel_bytes[first]:,}"
            " bytes of pixels"
        )


def require_jpeg_block(data: bytes, rows: int, cols: int) -> None:
    """Check that a JPEG in a TIFF is no larger than its block of rows x cols pixels."""
    height, width, _ = jpeg_size(data)
    if height > rows + 15 or width > cols + 15:  # a writer may fill the last squares
        raise Damaged(f"a JPEG of {height} x {width} pixels in a block of {rows} x {cols}")


def require_picture(height: int, width: int, pixel_bytes: float, most: float) -> None:
    """Check the size of a picture.

    Args:
        pixel_bytes: Bytes of a pixel.
        most: Pixels that the file can hold at most.
    """
    size = f"{width:,} x {height:,} pixels"
    if height < 1 or width < 1 or height * width > most:
        raise Damaged(f"its header claims {size}, which the file cannot hold")
    if height * width * pixel_bytes > LARGEST_PICTURE:
        raise Damaged(f"{size} are too many to decode at once; convert it to a GeoTIFF with tiles")


def require_png(header: bytes, compressed: int) -> None:
    """Check the 13 bytes of a PNG's IHDR against the number of bytes in its IDAT chunks."""
    if len(header) != 13:
        raise Damaged("its header is cut short")
    width, height, depth, color, *methods, interlace = struct.unpack(">IIBBBBB", header)
    if depth not in PNG_DEPTHS.get(color, ()) or any(methods) or interlace > 1:
        raise Damaged("its header is no PNG header")
    bits = depth * PNG_CHANNELS[color]
    if max(height, width) > PNG_SIDE:
        raise Damaged(f"its header claims {width:,} x {height:,} pixels")
    require_picture(height, width, max(8, bits) / 8, DEFLATE_RATIO * compressed * 8 / bits)


def jpeg_size(data: bytes) -> tuple[int, int, int]:
    """Find (height, width, bytes of a pixel) in the frame header of a JPEG."""
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            break
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        if data[at + 1] in FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            return height, width, channels * (1 + (bits > 8))
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise Damaged("it has no frame header")


def require_jpeg(data: bytes) -> None:
    """Check the frame header of a JPEG."""
    require_picture(*jpeg_size(data), JPEG_RATIO * len(data))


def require_jpeg2000(data: bytes) -> None:
    """Check the marker SIZ of a JPEG 2000 codestream: its size, and its number of tiles."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 45 > len(data):
        raise Damaged("it has no image header")
    fields = struct.unpack_from(">8IHB", data, at + 8)
    right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top, bands, depth = fields
    if min(tile_width, tile_height) < 1 or right <= left or bottom <= top:
        raise Damaged("its header claims tiles or an image without pixels")
    require_picture(bottom - top, right - left, bands * (1 + ((depth & 127) > 7)), float("inf"))
    tiles = -(-(right - tiles_left) // tile_width) * -(-(bottom - tiles_top) // tile_height)
    if tiles * 14 > len(data):  # the header of a tile has 14 bytes
        raise Damaged(f"its header claims {tiles:,} tiles, which the file cannot hold")
