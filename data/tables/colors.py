"""Convert colours to integers 0xRRGGBB: a text #RRGGBB, RGB masks, and palette images.

A class table may have colours as codes. With an integer for each pixel, a coloured mask is a raster
of codes like any other. Read beside it: tests/data/tables/test_colors.py.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from data.files import InputError

Color = tuple[int, int, int]  # red, green, blue, 0..255

NO_DATA = -1  # for pixels of the value that the file declares as no-data
NO_COLOR = -2  # for values that the palette does not contain
NEAR = 15  # of 255; JPEG changes most pixels of a mask by less, and those of a photograph have more


def parse(text: str) -> Color:
    """Parse #RRGGBB. Raises ValueError for any other text.

    >>> parse("#FF8000")
    (255, 128, 0)
    """
    match = re.fullmatch(r"#([0-9a-fA-F]{6})", text.strip())
    if not match:
        raise ValueError(f"{text.strip()!r} is not a colour")
    return from_integer(int(match[1], 16))


def integer(color: Sequence[int]) -> int:
    """Convert (r, g, b) to 0xRRGGBB.

    >>> f"{integer((255, 128, 0)):06X}"
    'FF8000'
    """
    return int.from_bytes(bytes(color), "big")


def from_integer(number: int) -> Color:
    """Convert 0xRRGGBB to (r, g, b).

    >>> from_integer(0xFF8000)
    (255, 128, 0)
    """
    red, green, blue = number.to_bytes(3, "big")
    return red, green, blue


def is_pure(number: int) -> bool:
    """Return whether each channel of a colour 0xRRGGBB is 0 or 255."""
    return set(from_integer(number)) <= {0, 255}


def rounded(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round each channel of colours 0xRRGGBB to 0 or 255; 128 is rounded up.

    Args:
        codes: (H, W) int32. Values below 0 (NO_DATA) stay as they are.

    Returns:
        The colours (H, W), and (H, W) bool: which of them are changed.
    """
    pure = np.where(codes < 0, codes, ((codes >> 7) & 0x010101) * 255)
    return pure, pure != codes


def are_far(codes: np.ndarray) -> np.ndarray:
    """Find which colours 0xRRGGBB have a channel of 16 to 239, more than NEAR from 0 and 255."""
    # The upper four bits of such a channel are not all equal.
    return (codes ^ (codes >> 1)) & 0x707070 != 0


def of_rgb(raster: np.ndarray) -> np.ndarray:
    """Convert 8-bit RGB (3 or more, H, W) to integers (H, W); a fourth band is left out."""
    red, green, blue = raster[:3].astype(np.int32)
    return (red << 16) | (green << 8) | blue


def of_palette(
    values: np.ndarray, colormap: Mapping[int, tuple[int, ...]], nodata: float | None = None
) -> np.ndarray:
    """Convert the values of a palette image to integers.

    Args:
        values: (H, W) unsigned, of 8 or 16 bits.
        colormap: {value: (red, green, blue)}, 0..255; a fourth number is left out.
        nodata: The value that becomes NO_DATA; its colour is not used.

    Returns:
        (H, W) int32.

    Raises:
        InputError: The image has a value without a colour.
    """
    color_of = np.full(1 << 16, NO_COLOR, np.int32)
    for value, color in colormap.items():
        color_of[value] = integer(color[:3])
    if nodata is not None and 0 <= nodata < len(color_of) and nodata == int(nodata):
        color_of[int(nodata)] = NO_DATA
    colors = color_of[values]
    missing = colors == NO_COLOR
    if missing.any():
        raise InputError(f"value {values[missing][0]} has no colour in the palette of the image")
    return colors
