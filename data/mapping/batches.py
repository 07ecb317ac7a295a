"""The windows of a scene as batches of a network's input, row by row.

The source is read one row of windows ahead. A window without any data is left out: the network
does not run on it. A batch never holds windows of two rows. So the prediction of a row does not
depend on the rows that a process has mapped before.

Read beside it: tests/data/mapping/test_batches.py.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from data.grid import Window
from data.mapping.source import ReadAhead, Source
from data.tiling import Tiling

WORKERS = min(4, os.cpu_count() or 1)  # threads that decode; as many others prepare the input


class Batch(NamedTuple):
    """Some windows of one row of windows."""

    row: int
    columns: list[int]
    arrays: np.ndarray  # (n, C, S, S) inputs; later (n, layers, S, S) probabilities


class RowEnd(NamedTuple):
    """The end of a row of windows, with the parts of the image that its strip needs."""

    row: int
    valid: np.ndarray  # (h, W) bool: which pixels of the strip hold data
    thumbnail: np.ndarray  # (bands, rows, cols)


def batches(source: Source, tiling: Tiling, rows: range, size: int) -> Iterator[Batch | RowEnd]:
    """Yield the batches of each row of windows, and after them the end of the row.

    Args:
        source: The image.
        tiling: The windows on it.
        rows: Numbers of the rows of windows.
        size: Windows in a batch.
    """
    ahead = ReadAhead(source)
    reading, preparing = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(WORKERS)
    try:
        for row in rows:
            ahead.release(tiling.rows.inside(row, source.height)[0])
            # The next row is read while the network maps this one.
            for number in (row, row + rows.step):
                if number in rows:
                    ahead.request(*tiling.rows.inside(number, source.height), reading)
            yield from _row(source, ahead, tiling, row, size, preparing)
            yield _row_end(source, ahead, tiling, row)
    finally:
        reading.shutdown(cancel_futures=True)
        preparing.shutdown(cancel_futures=True)


def _row(
    source: Source,
    ahead: ReadAhead,
    tiling: Tiling,
    row: int,
    size: int,
    pool: ThreadPoolExecutor,
) -> Iterator[Batch]:
    """Yield the windows of a row that have data, in full batches; the last one may be smaller."""

    def cut(col: int) -> np.ndarray | None:
        return window_input(source, ahead, tiling, row, col)

    columns = range(len(tiling.cols.starts))
    waiting: list[tuple[int, np.ndarray]] = []  # (column, input) of a batch that is not full yet
    for first in columns[::size]:
        some = columns[first : first + size]
        waiting += [(col, x) for col, x in zip(some, pool.map(cut, some)) if x is not None]
        if len(waiting) >= size:
            yield _stacked(row, waiting[:size])
            waiting = waiting[size:]
    if waiting:
        yield _stacked(row, waiting)


def _row_end(source: Source, ahead: ReadAhead, tiling: Tiling, row: int) -> RowEnd:
    """Reduce the pixels of a strip to a mask of valid pixels and a thumbnail."""
    strip = tiling.strips[row]
    pixels = ahead.pixels(strip)
    return RowEnd(row, source.valid(pixels), source.thumbnail(pixels, strip.row))


def _stacked(row: int, windows: list[tuple[int, np.ndarray]]) -> Batch:
    """Make a batch of (column, input) pairs, with the channels of a pixel side by side."""
    channels_last = [np.moveaxis(x, 0, -1) for _, x in windows]  # the layout of the inputs
    stacked = np.stack(channels_last)  # (n, S, S, C)
    return Batch(row, [col for col, _ in windows], np.moveaxis(stacked, -1, 1))


def window_input(
    source: Source, ahead: ReadAhead, tiling: Tiling, row: int, col: int
) -> np.ndarray | None:
    """Make the network's input for a window. Beyond the scene the input is mirrored.

    Args:
        row, col: Numbers of the window's row and column in `tiling`.

    Returns:
        (C, S, S) float32, or None if no pixel of the part that the window adds to the map has data.
    """
    rows, cols = tiling.rows, tiling.cols
    (top, bottom), (left, right) = rows.inside(row, source.height), cols.inside(col, source.width)
    inputs, valid = source.prepare(ahead.pixels(Window(top, left, bottom - top, right - left)))
    (first, last), (west, east) = rows.support(row), cols.support(col)
    if not valid[first - top : last - top, west - left : east - left].any():
        return None
    above, before = top - rows.starts[row], left - cols.starts[col]
    below, behind = rows.size - above - (bottom - top), cols.size - before - (right - left)
    if not (above or below or before or behind):
        return inputs
    # The channels of a pixel stay side by side. np.pad would separate them.
    channels_last = np.moveaxis(inputs, 0, -1)
    padded = np.pad(channels_last, ((above, below), (before, behind), (0, 0)), mode="reflect")
    return np.moveaxis(padded, -1, 0)
