"""Windows for training: by hand, and every length with every size and overlap."""

import doctest
from itertools import product

import pytest

from data import tiling
from data.grid import Window
from data.tiling import starts, windows

# By hand.


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(tiling).failed == 0


def test_the_last_window_is_moved_back_inside():
    assert starts(10, 4, 1) == [0, 3, 6]
    assert starts(11, 4, 1) == [0, 3, 6, 7]
    assert starts(4, 4, 3) == starts(3, 4, 3) == [0]


def test_windows_cover_a_raster_row_by_row():
    assert windows(4, 10, 4) == [Window(0, 0, 4, 4), Window(0, 4, 4, 4), Window(0, 6, 4, 4)]
    assert windows(3, 2, 4) == [Window(0, 0, 3, 2)]


@pytest.mark.parametrize("size, overlap", [(4, 4), (4, 5), (4, -1), (0, 0), (1, 1)])
def test_windows_that_would_never_advance_are_refused(size, overlap):
    with pytest.raises(ValueError, match="overlap"):
        windows(10, 10, size, overlap)


# For every size and overlap.


@pytest.mark.parametrize("size", range(1, 9))
def test_every_pixel_of_every_length_lies_in_a_window_and_no_window_is_needless(size):
    for length, overlap in product(range(1, 3 * size + 2), range(size)):
        found = starts(length, size, overlap)
        covered = {pixel for first in found for pixel in range(first, min(first + size, length))}
        assert covered == set(range(length))
        assert found == sorted(set(found)) and found[-1] + min(size, length) == length
        assert all(b - a <= size - overlap for a, b in zip(found, found[1:]))
        assert len(found) == 1 + -(-max(length - size, 0) // (size - overlap))
