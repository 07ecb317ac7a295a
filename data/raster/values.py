"""The values of a raster of classes: check, number and count them, for data/resample.py.

A vote needs a counter for each class, and the codes of classes are any integers. `numbered` gives
the values of a block consecutive numbers; the ways are ordered by their time for a pixel.

Read beside it: tests/data/raster/test_values.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from data.files import InputError
from data.grid import Window
from data.raster.tiles import parts, thread_pool

NEAR = 32  # codes
ROWS, COLUMNS = 1024, 4096  # of a piece that is counted by itself


def require_classes(dtype: np.dtype, nodata: int | None) -> None:
    """Raise InputError if a type holds no classes, or not the no-data value."""
    if dtype.kind not in "iu":
        raise InputError(
            f"pixels of type {dtype} are not classes; convert them to an integer type first"
        )
    if nodata is not None and not np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max:
        raise InputError(f"no-data {nodata} is not a value of {dtype}; give another")


def numbered(block: np.ndarray, nodata: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Number the values of a block.

    Args:
        block: (h, w) of an integer type in native byte order.
        nodata: A value of this type, from which codes are counted; None for 0.

    Returns:
        The values (k,), and the number of each pixel's value (h, w). A value may have no pixel.
    """
    codes = block.view(f"u{block.itemsize}")
    first = codes.dtype.type((nodata or 0) % 2 ** (8 * block.itemsize))
    above = codes - first  # wraps around: the classes 0, 1, 2 ... follow no-data 255 of uint8
    count = int(above.max()) + 1
    if count <= NEAR:
        values = (first + np.arange(count, dtype=codes.dtype)).view(block.dtype)
        return values, above.astype(np.uint8, copy=False)
    if block.itemsize > 2:
        return np.unique(block, return_inverse=True)
    seen = np.zeros(2 ** (8 * block.itemsize), bool)
    seen[codes] = True
    values = np.flatnonzero(seen).astype(codes.dtype).view(block.dtype)
    return values, (np.cumsum(seen, dtype=np.int32) - 1).take(codes)


def count_values(
    read: Callable[[Window], np.ndarray], window: Window, nodata: int | None, threads: int
) -> dict[int, int]:
    """Count the pixels of each value in a window of any size.

    Args:
        read: Returns the pixels (h, w) of a window. It is called from several threads.
        window: The window.
        nodata: As for `numbered`; it is counted as well.
        threads: Number of threads.
    """

    def count(piece: Window) -> Counter:
        values, numbers = numbered(read(piece), nodata)
        return Counter(dict(zip(values.tolist(), np.bincount(numbers.reshape(-1)).tolist())))

    with thread_pool(threads) as pool:
        total = sum(pool.map(count, parts(window, ROWS, COLUMNS)), Counter())
    return {value: pixels for value, pixels in total.items() if pixels}
