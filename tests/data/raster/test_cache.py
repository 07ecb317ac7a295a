"""data/raster/cache.py: overlapping windows of a file, each block of which is decoded once."""

import numpy as np
import pytest
from landcover import plain

from data.grid import Grid, Window
from data.raster.cache import block_reader, rows_that_fit


class File:
    """An array that counts how often each of its blocks is read."""

    def __init__(self, pixels: np.ndarray, block_shape: tuple[int, int], grid: Grid | None = None):
        self.pixels, self.block_shape, self.dtype = pixels, block_shape, pixels.dtype
        self.grid = grid or plain(*pixels.shape)
        self.windows = []

    def read(self, window: Window) -> np.ndarray:
        self.windows.append(window)
        row, col, height, width = window
        return self.pixels[row : row + height, col : col + width]


@pytest.mark.parametrize("block_shape", [(1, 700), (16, 700), (256, 256), (512, 512), (900, 700)])
def test_a_window_is_what_the_file_has_and_each_block_is_read_once(block_shape):
    pixels = np.random.default_rng(0).integers(0, 99, (900, 700), dtype=np.uint8)
    file = File(pixels, block_shape)
    read = block_reader(file, file.read, file.dtype)
    random = np.random.default_rng(1)
    for _ in range(40):
        row, col = random.integers(0, 900), random.integers(0, 700)
        height, width = random.integers(1, 901 - row), random.integers(1, 701 - col)
        window = Window(*map(int, (row, col, height, width)))
        expected = pixels[row : row + height, col : col + width]
        assert (read(window) == expected).all()
    assert len(file.windows) == len(set(file.windows)) <= 4
    for window in file.windows:
        # Whole blocks of the file, so that none is decoded for two entries of the cache.
        for start, size, side, end in zip(window[:2], window[2:], block_shape, (900, 700)):
            assert start % side == 0 and (size % side == 0 or start + size == end)


def test_small_blocks_are_read_several_at_a_time():
    file = File(np.zeros((2000, 3000), np.uint8), (1, 3000))
    block_reader(file, file.read, file.dtype)(Window(0, 0, 1, 1))
    assert file.windows == [Window(0, 0, 349, 3000)]  # 2**20 pixels
    file = File(np.zeros((2000, 3000), np.uint8), (128, 128))
    block_reader(file, file.read, file.dtype)(Window(0, 0, 1, 1))
    assert file.windows == [Window(0, 0, 512, 512)]


def test_the_rows_whose_source_rows_fit_in_half_of_the_cache():
    source = plain(100_000, 100_000)
    file = File(np.zeros((1, 1), np.uint8), (1, 100_000), source)
    # 2**26 bytes are 671 rows. A target row of 10 pixels' height spans 10 of them.
    assert rows_that_fit(file, source, plain(10_000, 10_000, 10), 256) == 64
    assert rows_that_fit(file, source, plain(50, 100, 2000), 256) == 1
    assert rows_that_fit(file, source, plain(10_000, 10_000, 1), 256) == 256
    file.block_shape = 256, 256
    assert rows_that_fit(file, source, plain(10_000, 10_000, 10), 256) == 256
