"""Overviews: the raster at half the size. Four pixels become one.

    mode      classes: the most frequent of the four codes; on ties the lower code
    average   quantities: the mean of the four, rounded where pixels are integers

No-data pixels do not count. A pixel of the overview is no-data only if all four pixels are.

Read tests/data/raster/test_overviews.py beside this file.
"""

import numpy as np


def mode(tile: np.ndarray, nodata: float | None) -> np.ndarray:
    """Halve a tile of class codes.

    Args:
        tile: (height, width, bands) integers. An odd last row or column counts twice.
        nodata: The code that does not count, or None. In 64-bit integers, the largest code does not
            count either.

    Returns:
        (ceil(height / 2), ceil(width / 2), bands) of the same dtype.
    """
    wide = np.int16 if tile.dtype.itemsize == 1 else np.int64
    last = np.iinfo(wide).max  # stands for no-data: sorted, it comes after all codes
    a, b, c, d = (np.where(part == nodata, last, part.astype(wide)) for part in _quarters(tile))
    # A sorting network of five comparisons makes equal codes neighbours.
    a, b, c, d = np.minimum(a, b), np.maximum(a, b), np.minimum(c, d), np.maximum(c, d)
    a, b, c, d = np.minimum(a, c), np.minimum(b, d), np.maximum(a, c), np.maximum(b, d)
    b, c = np.minimum(b, c), np.maximum(b, c)
    frequent = np.where((c == d) & (a != b) & (c != last), c, a)
    frequent = np.where((b == c) & (b != last), b, frequent)
    return np.where(a == last, nodata or 0, frequent).astype(tile.dtype)


def average(tile: np.ndarray, nodata: float | None) -> np.ndarray:
    """Halve a tile of quantities of any dtype; arguments and result as in `mode`.

    If all four pixels are no-data, the mean is `nodata`, or NaN if `nodata` is None.
    """
    exact = np.float32 if tile.dtype.itemsize < 4 else np.float64  # holds a sum of four exactly
    quarters = _quarters(tile)
    total, count = np.zeros(quarters[0].shape, exact), np.zeros(quarters[0].shape, np.uint8)
    for part in quarters:
        known = np.isfinite(part) & (part != nodata)
        # Quarters of the values are added, so that the sum of the largest numbers is finite.
        total = total + np.where(known, part, exact(0)) * exact(0.25)
        count = count + known
    mean = total / np.maximum(count, 1) * exact(4)
    empty = np.nan if nodata is None else nodata
    mean = np.where(count == 0, empty, mean if tile.dtype.kind == "f" else np.rint(mean))
    return mean.astype(tile.dtype)


def _quarters(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The upper left, upper right, lower left and lower right pixel of each square of four."""
    height, width = tile.shape[:2]
    if height % 2 or width % 2:
        tile = np.pad(tile, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    return tile[::2, ::2], tile[::2, 1::2], tile[1::2, ::2], tile[1::2, 1::2]
