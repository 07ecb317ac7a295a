"""data/raster/tiles.py: windows cut into tiles, and tiles made in threads."""

import threading
import time

import numpy as np
import pytest
import torch

from data.grid import Window
from data.raster.tiles import clip, halving, parts, strip_by_strip


def test_a_window_is_cut_at_the_multiples_of_height_and_width():
    assert list(parts(Window(3, 10, 6, 7), 4, 8)) == [
        Window(3, 10, 1, 6),
        Window(3, 16, 1, 1),
        Window(4, 10, 4, 6),
        Window(4, 16, 4, 1),
        Window(8, 10, 1, 6),
        Window(8, 16, 1, 1),
    ]


def test_the_parts_of_a_window_cover_each_pixel_once():
    random = np.random.default_rng(0)
    for _ in range(50):
        row, col, height, width, rows, cols = random.integers(1, 40, 6).tolist()
        seen = np.zeros((90, 90), int)
        for part in parts(Window(row, col, height, width), rows, cols):
            assert part.height > 0 and part.width > 0
            assert part.row // rows == (part.row + part.height - 1) // rows
            seen[part.row : part.row + part.height, part.col : part.col + part.width] += 1
        assert (seen[row : row + height, col : col + width] == 1).all()
        assert seen.sum() == height * width


def test_clip_takes_the_pixels_from_one_coordinate_to_another():
    limits = Window(2, 0, 5, 5)

    def clipped(top, left, bottom, right):
        return clip(np.array([top, left]), np.array([bottom, right]), limits)

    assert clipped(3.2, 1.9, 3.4, 2.0) == Window(3, 1, 1, 2)
    assert clipped(-9, -9, 99, 99) == limits
    assert clipped(6.99, 4.99, 8, 8) == Window(6, 4, 1, 1)
    assert clipped(7, 0, 8, 1) is None and clipped(0, 0, 1.99, 1) is None
    assert clipped(np.nan, 0, np.nan, 1) is None


def test_a_tile_that_is_too_large_is_made_from_its_halves():
    made = []

    @halving
    def make(job, tile):
        if tile.height * tile.width > job:
            return None
        made.append(tile)
        rows, cols = np.indices((tile.height, tile.width))
        return (tile.row + rows) * 100 + tile.col + cols

    expected = (10 + np.arange(7))[:, None] * 100 + 20 + np.arange(9)
    assert (make(6, Window(10, 20, 7, 9)) == expected).all()
    assert max(tile.height * tile.width for tile in made) <= 6
    assert sum(tile.height * tile.width for tile in made) == 7 * 9
    assert make(1, Window(10, 20, 2, 2)).tolist() == [[1020, 1021], [1120, 1121]]


def test_strips_come_from_the_top_whatever_thread_is_first():
    prepared = []

    def make(tile):
        assert tile in prepared
        time.sleep(0.02 if tile.col == 0 else 0)  # the first tile of each strip is the last to end
        return np.full((tile.height, tile.width), tile.row * 100 + tile.col)

    for threads in (1, 3):
        strips = strip_by_strip(make, prepared.append, Window(0, 0, 10, 7), 4, 3, threads)
        strips = list(strips)
        assert [strip.shape for strip in strips] == [(4, 7), (4, 7), (2, 7)]
        expected = [0, 0, 0, 3, 3, 3, 6]
        for number, strip in enumerate(strips):
            assert (strip == np.array(expected) + 400 * number).all()


def test_few_tiles_are_begun_ahead():
    begun = []

    def make(tile):
        begun.append(tile)
        return np.zeros((1, 1))

    strips = strip_by_strip(make, lambda tile: None, Window(0, 0, 1000, 1), 1, 1, threads=2)
    for _ in range(10):
        next(strips)
    time.sleep(0.05)
    assert 10 <= len(begun) <= 18
    strips.close()


def test_the_threads_compute_with_one_thread_of_torch_and_restore_its_number():
    before = torch.get_num_threads()

    def make(tile):
        return np.array([[torch.get_num_threads()]])

    try:
        torch.set_num_threads(3)
        strips = strip_by_strip(make, lambda tile: None, Window(0, 0, 9, 1), 1, 1, threads=2)
        assert next(strips).item() == 1
        strips.close()
        seen = [torch.get_num_threads()]
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [3, 3]
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_tile_comes_out_and_ends_the_threads():
    def make(tile):
        raise OSError("the disk is gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        list(strip_by_strip(make, lambda tile: None, Window(0, 0, 9, 1), 1, 1, threads=2))
    assert threading.active_count() == before
