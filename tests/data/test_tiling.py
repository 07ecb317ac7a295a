"""Windows for training and what each owns: by hand, and for every length with every size."""

import doctest

import numpy as np
import pytest

from data import tiling
from data.grid import Window
from data.tiling import own_parts, owned, starts, windows

# By hand.


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(tiling).failed == 0


def test_the_last_window_is_moved_back_inside():
    assert starts(9, 3) == [0, 3, 6]
    assert starts(11, 3) == [0, 3, 6, 8]
    assert starts(4, 4) == starts(3, 4) == [0]


def test_an_overlap_is_divided_in_its_middle():
    assert own_parts(8, 4) == [(0, 4), (4, 8)]
    assert own_parts(6, 4) == [(0, 3), (3, 6)]  # windows 0..3 and 2..5
    assert own_parts(7, 4) == [(0, 3), (3, 7)]  # pixel 3 is in both
    assert own_parts(3, 4) == [(0, 3)]


def test_windows_cover_a_raster_row_by_row():
    assert windows(4, 10, 4) == [Window(0, 0, 4, 4), Window(0, 4, 4, 4), Window(0, 6, 4, 4)]
    assert owned(4, 10, 4) == [Window(0, 0, 4, 4), Window(0, 4, 4, 3), Window(0, 7, 4, 3)]
    assert windows(3, 2, 4) == owned(3, 2, 4) == [Window(0, 0, 3, 2)]


# For every size.


@pytest.mark.parametrize("size", range(1, 9))
def test_every_pixel_of_every_length_lies_in_a_window_and_no_window_is_needless(size):
    for length in range(1, 3 * size + 2):
        found = starts(length, size)
        covered = {pixel for first in found for pixel in range(first, min(first + size, length))}
        assert covered == set(range(length))
        assert found == sorted(set(found)) and found[-1] + min(size, length) == length
        assert len(found) == -(-length // size)


@pytest.mark.parametrize("size", range(1, 9))
def test_every_pixel_is_owned_by_one_window_that_holds_it(size):
    for height in range(1, 3 * size + 2):
        for width in (1, size, 2 * size - 1, height):
            owners = np.zeros((height, width), int)
            pairs = list(zip(windows(height, width, size), owned(height, width, size), strict=True))
            for window, own in pairs:
                owners[own.row : own.row + own.height, own.col : own.col + own.width] += 1
                assert own.height > 0 and own.width > 0
                assert window.row <= own.row and window.col <= own.col
                assert own.row + own.height <= window.row + window.height
                assert own.col + own.width <= window.col + window.width
            assert (owners == 1).all()


@pytest.mark.parametrize("size", range(1, 9))
def test_no_owned_pixel_lies_nearer_to_the_rim_than_in_the_other_window(size):
    for length in range(size + 1, 2 * size):
        (_, border), _ = own_parts(length, size)
        from_rim = size - border, border - (length - size)  # of the first window, of the second
        assert 0 <= from_rim[0] - from_rim[1] <= 1
