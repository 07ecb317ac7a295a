"""Windows for training, what each owns, and windows for maps: by hand, and for every length."""

import doctest
from itertools import product

import numpy as np
import pytest

from data import tiling
from data.grid import Window
from data.tiling import RAMP, STRIDE, Tiling, axis, layout, own_parts, owned, starts, windows

LENGTHS = [1, 2, 5, 31, 255, 256, 257, 300, 511, 700, 1023]
LAYOUTS = [(256, 0), (256, 32), (256, 64), (256, 128), (256, 224), (320, 96)]

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


# Windows over a scene that is mapped.


def test_one_window_fades_into_the_next_over_the_middle_of_their_overlap():
    # Windows at -32 and 160 share the pixels 160 to 223; the outer 28 of each count for nothing.
    first, second, _ = axis(500, 256, 64).weights
    assert (first[32 + 160 : 32 + 188] == 1).all() and (second[:28] == 0).all()
    ramp = [1 / 16, 3 / 16, 5 / 16, 7 / 16, 9 / 16, 11 / 16, 13 / 16, 15 / 16]
    assert second[28:36].tolist() == ramp and first[32 + 188 : 32 + 196].tolist() == ramp[::-1]
    assert (first[32 + 196 :] == 0).all() and (second[36:156] == 1).all()


def test_a_scene_that_fits_a_window_gets_one_and_a_larger_one_as_few_as_cover_it():
    assert [len(axis(length, 256, 64).starts) for length in (1, 256, 257, 384, 385)] == [
        1,
        1,
        2,
        2,
        3,
    ]


@pytest.mark.parametrize("length, of", [*product(LENGTHS, LAYOUTS)])
def test_weights_sum_to_one_everywhere_also_at_the_ends(length, of):
    starts, size, weights = axis(length, *of)
    total = np.zeros(length + 2 * size)
    for start, weight in zip(starts, weights):
        total[start + size : start + 2 * size] += weight
    np.testing.assert_allclose(total[size:-size], 1, rtol=1e-6)
    assert not total[:size].any() and not total[-size:].any()
    assert all(start % STRIDE == 0 for start in starts) and weights.any(axis=1).all()


@pytest.mark.parametrize("length, of", [*product([330, 500, 700, 1023], LAYOUTS)])
def test_what_counts_has_half_of_the_overlap_around_it_and_at_the_ends_a_mirror(length, of):
    starts, size, weights = axis(length, *of)
    rim = (of[1] - min(RAMP, of[1])) // 2
    assert not weights[:, :rim].any() and not weights[:, size - rim :].any()
    assert starts[0] <= -STRIDE and starts[-1] + size >= length + STRIDE
    assert all(b - a <= size - of[1] for a, b in zip(starts, starts[1:]))


def test_layouts_are_multiples_of_the_stride_and_cover_what_was_asked_for():
    for size, overlap in product([1, 100, 256, 300, 612], [0, 1, 64, 100, 254]):
        found = layout(size, overlap)
        assert found[0] >= size and found[0] % STRIDE == found[1] % STRIDE == 0
        assert overlap <= found[1] < found[0] or found[1] == found[0] - STRIDE


@pytest.mark.parametrize("length, of", [*product(LENGTHS, LAYOUTS)])
def test_strips_follow_each_other_and_share_rows_with_the_next_row_of_windows(length, of):
    tiling = Tiling(length, 90, *of)
    ends = [strip.row + strip.height for strip in tiling.strips]
    assert [strip.row for strip in tiling.strips] == [0, *ends[:-1]] and ends[-1] == length
    for row, (start, weights) in enumerate(zip(tiling.rows.starts, tiling.rows.weights)):
        counts = start + np.flatnonzero(weights)
        assert tiling.blended_rows(row) == (counts[0], counts[-1] + 1)
        assert counts[0] == tiling.strips[row].row
        if row + 1 < len(tiling.strips):
            assert tiling.shared_rows(row + 1) == counts[-1] + 1 - ends[row]
    assert tiling.shared_rows(0) == 0
