"""Cut windows into tiles, and process the tiles in threads.

    parts             cuts a window at the multiples of a height and a width
    clip              finds the pixels between two continuous coordinates
    halving           makes a tile that needs too much memory from its two halves
    strip_by_strip    makes tiles in threads, and yields them as strips from the top

Read beside it: tests/data/raster/test_tiles.py.
"""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from data.grid import Window


def parts(window: Window, height: int, width: int) -> Iterator[Window]:
    """Cut a window at the multiples of `height` and `width`, and yield the parts row by row."""
    bottom, right = window.row + window.height, window.col + window.width
    for top in range(window.row // height * height, bottom, height):
        for left in range(window.col // width * width, right, width):
            row, col = max(top, window.row), max(left, window.col)
            yield Window(row, col, min(top + height, bottom) - row, min(left + width, right) - col)


def clip(low: np.ndarray, high: np.ndarray, limits: Window) -> Window | None:
    """Find the pixels of a window that lie between two continuous coordinates.

    Args:
        low: (2,) lowest row and column; NaN for a range without coordinates.
        high: (2,) highest row and column.
        limits: The window.

    Returns:
        The pixels of `limits` from the one that holds `low` to the one that holds `high`, or None
        if there are none.
    """
    if not (low <= high).all():  # NaN
        return None
    ends = limits.row + limits.height, limits.col + limits.width
    row, col = np.maximum(np.floor(low), limits[:2]).astype(int).tolist()
    bottom, right = np.minimum(np.floor(high) + 1, ends).astype(int).tolist()
    return Window(row, col, bottom - row, right - col) if row < bottom and col < right else None


def halving(
    make: Callable[[Any, Window], np.ndarray | None],
) -> Callable[[Any, Window], np.ndarray]:
    """Decorate a function make(job, tile) that returns None for a tile that is too large.

    The decorated function then makes the two halves of the tile, along its longer side, and joins
    them.
    """

    @functools.wraps(make)
    def whole(job: Any, tile: Window) -> np.ndarray:
        made = make(job, tile)
        if made is not None:
            return made
        row, col, height, width = tile
        if height >= width:
            half = height // 2
            halves = Window(row, col, half, width), Window(row + half, col, height - half, width)
        else:
            half = width // 2
            halves = Window(row, col, height, half), Window(row, col + half, height, width - half)
        joined = [whole(job, part) for part in halves]
        return np.concatenate(joined, axis=0 if height >= width else 1)

    return whole


@contextlib.contextmanager
def thread_pool(threads: int) -> Iterator[Executor]:
    """Yield a pool of threads. torch uses a single thread in each of them.

    When the block ends, tasks that have not begun are cancelled.
    """
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # A new thread gets the number that was last set in any thread: set that of this one again.
        torch.set_num_threads(torch.get_num_threads())


def strip_by_strip(
    make: Callable[[Window], np.ndarray],
    prepare: Callable[[Window], None],
    window: Window,
    rows: int,
    columns: int,
    threads: int,
) -> Iterator[np.ndarray]:
    """Make the pixels of a window tile by tile in threads; yield strips from the top.

    Args:
        make: Makes a tile (h, w). It is called from several threads.
        prepare: Is called with each tile, in the thread of the caller, before the tile is begun.
        window: The pixels to make, from row 0 and column 0.
        rows: Height of a tile and of a strip.
        columns: Width of a tile.
        threads: Number of threads. The tiles of two strips, and at least four tiles for each
            thread, are begun ahead.
    """
    started: deque[list[Future]] = deque()
    with thread_pool(threads) as pool:
        for strip in parts(window, rows, window.width):
            started.append([])
            for tile in parts(strip, rows, columns):
                prepare(tile)
                started[-1].append(pool.submit(make, tile))
            while len(started) > 1 and sum(map(len, started)) >= 4 * threads:
                yield _joined(started.popleft())
        while started:
            yield _joined(started.popleft())


def _joined(tiles: list[Future]) -> np.ndarray:
    """Wait for tiles, and join them to a strip."""
    return np.concatenate([tile.result() for tile in tiles], axis=1)
