"""Check, number and count the values of a raster of classes, for data/resample.py.

The method mode needs a counter for each class, and class codes can be any integers. So `numbered`
gives consecutive numbers to the values of a block. Of its three methods it uses the fastest that
is possible. `tally` counts the votes of a block.

Read beside it: tests/data/raster/test_values.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch

from data.files import InputError
from data.grid import Window
from data.raster.tiles import parts, thread_pool

FEWEST = 8  # pixels of a run on average; shorter runs are not worth their search, ...
EVERY = 16  # ... and one row of so many tells their length
NEAR = 32  # codes; blocks with so few codes from no-data on are numbered by a subtraction
ROWS, COLUMNS = 1024, 4096  # size of the pieces that threads count


def require_classes(dtype: np.dtype, nodata: int | None) -> None:
    """Raise InputError if a type is not an integer type, or cannot hold the no-data value."""
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
        nodata: The no-data value, or None. Numbers begin with it, or with 0.

    Returns:
        The values (k,), and the number 0..k-1 of the value of each pixel (h, w). Some values may
        have no pixel.
    """
    codes = block.view(f"u{block.itemsize}")
    first = codes.dtype.type((nodata or 0) % 2 ** (8 * block.itemsize))
    above = codes - first  # wraps around: in uint8, classes 0, 1, 2 ... follow no-data 255
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


def tally(
    codes: np.ndarray, index: np.ndarray, nodata: int | None, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count how often each code has each index.

    Pixels that follow each other often have the same code and index. Such a run is counted at once,
    by its length. So most pixels are only compared with the pixel before them:

        codes   7 7 7 7 7 9 9       runs of code 7 and index 0: 3 pixels, of 7 and 1: 2 pixels
        index   0 0 0 1 1 1 1               of code 9 and index 1: 2 pixels

    >>> codes, index = np.uint8([[7, 7, 7, 7, 7, 9, 9]]), np.array([[0, 0, 0, 1, 1, 1, 1]])
    >>> values, counts = tally(codes, index, nodata=7, size=2)
    >>> dict(zip(values.tolist(), counts.tolist()))
    {7: [3, 2], 8: [0, 0], 9: [0, 2]}

    Args:
        codes: (h, w) of an integer type in native byte order.
        index: (h, w) from 0 to size - 1.
        nodata: See `numbered`.
        size: Number of indices.

    Returns:
        The k different codes, and the counts (k, size). Some codes may have no pixel.
    """
    # Some rows show whether the search for runs is worth its time.
    if len(_beginnings(codes[::EVERY], index[::EVERY])) * FEWEST > index[::EVERY].size:
        values, numbers = numbered(codes, nodata)
        places = torch.from_numpy(index).add(torch.from_numpy(numbers), alpha=size).view(-1)
        counts = torch.bincount(places, minlength=len(values) * size).numpy()
    else:
        first = _beginnings(codes, index)
        values, numbers = numbered(codes.reshape(-1)[first], nodata)
        places = index.reshape(-1)[first] + numbers * np.int64(size)
        counts = np.bincount(places, np.diff(first, append=index.size), len(values) * size)
    return values, counts.reshape(-1, size).astype(np.int64, copy=False)


def _beginnings(codes: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Find the first pixels (n,) of the runs of one code and one index."""
    codes, index = codes.reshape(-1), index.reshape(-1)
    begins = np.empty(len(codes), bool)
    begins[0] = True
    np.not_equal(index[1:], index[:-1], out=begins[1:])
    begins[1:] |= codes[1:] != codes[:-1]
    return np.flatnonzero(begins)


def count_values(
    read: Callable[[Window], np.ndarray], window: Window, nodata: int | None, threads: int
) -> dict[int, int]:
    """Count the pixels of each value in a window of any size.

    Args:
        read: Returns the pixels (h, w) of a window. It is called from several threads.
        window: The window.
        nodata: The no-data value, or None. Its pixels are counted, too.
        threads: Number of threads.

    Returns:
        {value: number of pixels}.
    """

    def count(piece: Window) -> Counter:
        values, numbers = numbered(read(piece), nodata)
        return Counter(dict(zip(values.tolist(), np.bincount(numbers.reshape(-1)).tolist())))

    with thread_pool(threads) as pool:
        total = sum(pool.map(count, parts(window, ROWS, COLUMNS)), Counter())
    return {value: pixels for value, pixels in total.items() if pixels}
