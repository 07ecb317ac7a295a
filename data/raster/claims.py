"""Compare what the header of a file claims with what the file holds, before memory is allocated.

A damaged or hostile header can claim any size, offset or count. These limits hold:

    a block of a TIFF   lies inside the file, and is long enough for its pixels
    a decoded block     has at most LARGEST_BLOCK bytes, because it is decoded as a whole
    a picture           has at most LARGEST_PICTURE bytes, for the same reason

How long a block must be follows from its compression. In DEFLATE, two bits at least become 258
bytes at most, so that a byte becomes 1032. ZSTD, LZMA and others compress an image of one value to
a few bytes. So only the limit of a decoded block holds for them.

Specifications: TIFF 6.0 (1992), RFC 1951 (DEFLATE). Read tests/data/raster/test_claims.py beside
this file.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

LARGEST_BLOCK, LARGEST_PICTURE = 2**31, 2**32
DEFLATE_RATIO = 1032
# TIFF compression: decoded bytes that a stored byte can become at most. An LZW code of 12 bits
# stands for fewer than 3,900 bytes. JPEG spends a bit at least on a square of 64 pixels, which have
# several bands. Two bytes of PackBits are 128 equal ones.
RATIOS = {1: 1, 5: 2600, 7: 4096, 8: DEFLATE_RATIO, 32773: 64, 32946: DEFLATE_RATIO}

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
        if isinstance(error, (LookupError, AttributeError, TypeError)):  # its text is no sentence
            raise Damaged("a part of it is missing or has another type") from error
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
    short = stored & (pixel_bytes > (sizes * ratio if ratio else np.inf))
    if short.any():
        first = int(short.argmax())
        raise Damaged(
            f"block {first} has {sizes[first]:,} bytes, too few for {pixel_bytes[first]:,.0f}"
            " bytes of pixels"
        )


def require_picture(height: int, width: int, pixel_bytes: int, most: float = math.inf) -> None:
    """Check the size of a picture, which is decoded as a whole.

    Args:
        pixel_bytes: Bytes of a decoded pixel.
        most: Pixels that the file can hold at most.

    Raises:
        Damaged: The picture has no pixels, or more than the file can hold, or too many to decode.
    """
    size = f"{width:,} x {height:,} pixels"
    if height < 1 or width < 1 or height * width > most:
        raise Damaged(f"its header claims {size}, which the file cannot hold")
    if height * width * pixel_bytes > LARGEST_PICTURE:
        gib = LARGEST_PICTURE >> 30
        raise Damaged(f"{size} are more than the {gib} GiB that are decoded at once")
