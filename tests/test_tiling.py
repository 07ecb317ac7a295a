"""Windows and blending: two windows of one row by hand, every size and overlap, a naive sum over the whole raster."""

import doctest
from itertools import product

import numpy as np
import pytest

from data import tiling
from data.grid import Window
from data.tiling import blend_weights, starts, stitch, windows

SIZES = list(product([1, 3, 4, 9, 10, 17], [1, 2, 4, 5, 16, 40], [0, 1, 2, "most"]))


def overlap_of(size: int, overlap: int | str) -> int:
    return size - 1 if overlap == "most" else min(overlap, size - 1)


def cut(values: np.ndarray, places: list[Window]):
    """(window, its part of (K, H, W) values) for each window."""
    for w in places:
        yield w, values[:, w.row : w.row + w.height, w.col : w.col + w.width]


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


def test_weights_rise_from_the_rim_to_the_middle():
    assert blend_weights(1, 4).tolist() == [[1, 2, 2, 1]]
    assert blend_weights(3, 3).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_where_two_windows_overlap_each_counts_by_its_distance_from_its_border():
    places = windows(1, 6, 4, 2)
    assert places == [Window(0, 0, 1, 4), Window(0, 2, 1, 4)]
    strips = list(stitch(zip(places, np.array([[[[0.0] * 4]], [[[9.0] * 4]]])), 1, 6))
    # Weights 1 2 2 1 . . and . . 1 2 2 1: the third pixel is (2 * 0 + 1 * 9) / 3.
    assert np.concatenate(strips, axis=1).tolist() == [[[0, 0, 3, 6, 9, 9]]]


def test_four_windows_meet_in_a_corner():
    places = windows(3, 3, 2, 1)
    values = [np.full((1, 2, 2), v, float) for v in (0, 4, 8, 12)]
    found = np.concatenate(list(stitch(zip(places, values), 3, 3)), axis=1)
    assert found.tolist() == [[[0, 2, 4], [4, 6, 8], [8, 10, 12]]]


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


@pytest.mark.parametrize("length, size, overlap", SIZES)
def test_the_weights_sum_to_one_everywhere_also_at_borders_and_corners(length, size, overlap):
    for height, width in ((length, 13), (13, length)):
        places = windows(height, width, size, overlap_of(size, overlap))
        found = np.concatenate(list(stitch(cut(np.ones((1, height, width)), places), height, width)), axis=1)
        assert found.shape == (1, height, width)
        np.testing.assert_allclose(found, 1, rtol=1e-6)


@pytest.mark.parametrize("length, size, overlap", SIZES)
def test_what_does_not_depend_on_the_window_is_the_same_in_windows_as_whole(length, size, overlap):
    whole = np.random.default_rng(0).random((3, length, 11), np.float32)
    places = windows(length, 11, size, overlap_of(size, overlap))
    found = np.concatenate(list(stitch(cut(whole + 1, places), length, 11)), axis=1)
    np.testing.assert_allclose(found, whole + 1, rtol=1e-6)


def test_probabilities_still_sum_to_one():
    random = np.random.default_rng(1)
    places = windows(20, 30, 8, 3)
    predictions = [(w, random.dirichlet([1, 1, 1], (w.height, w.width)).transpose(2, 0, 1)) for w in places]
    found = np.concatenate(list(stitch(predictions, 20, 30)), axis=1)
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-5)
    assert found.min() >= 0


def test_no_window_leaves_an_edge_in_the_map():
    # Each window answers with its own number, the worst case: from pixel to pixel the blend steps by a small share.
    places = windows(64, 64, 32, 16)
    answers = [(w, np.full((1, 32, 32), number % 2, np.float32)) for number, w in enumerate(places)]
    found = np.concatenate(list(stitch(answers, 64, 64)), axis=1)[0]
    assert found.min() == 0 and found.max() > 0.9
    assert np.abs(np.diff(found, axis=1)).max() < 0.1 and np.abs(np.diff(found, axis=0)).max() < 0.1


# In strips.


def test_a_strip_leaves_before_the_next_row_of_windows_is_predicted_beyond_its_first():
    asked = []

    def predictions():
        for number, w in enumerate(windows(100, 20, 10, 5)):
            asked.append(number)
            yield w, np.zeros((2, w.height, w.width), np.float32)

    strips = stitch(predictions(), 100, 20)
    assert next(strips).shape == (2, 5, 20)
    assert len(asked) == 4  # three windows make a row; the fourth tells that the row is complete
    assert next(strips).shape == (2, 5, 20) and len(asked) == 7


@pytest.mark.parametrize("height, size, overlap", SIZES)
def test_strips_follow_each_other_and_add_up_to_the_height(height, size, overlap):
    rows = np.arange(height, dtype=np.float32)[None, :, None].repeat(5, axis=2)
    top = 0
    for strip in stitch(cut(rows, windows(height, 5, size, overlap_of(size, overlap))), height, 5):
        assert strip.shape[1] > 0
        np.testing.assert_allclose(strip, rows[:, top : top + strip.shape[1]], rtol=1e-5)
        top += strip.shape[1]
    assert top == height


@pytest.mark.parametrize(
    "places",
    [
        [],
        [Window(0, 0, 4, 4)],  # the right column and the bottom are missing
        [Window(0, 0, 4, 6)],
        [Window(0, 0, 4, 4), Window(4, 0, 4, 4)],
        [Window(0, 0, 4, 6), Window(5, 0, 3, 6)],  # row 4 is missing
        [Window(0, 0, 4, 6), Window(4, 2, 4, 4)],
    ],
)
def test_a_pixel_without_a_window_is_an_error_and_never_a_guess(places):
    with pytest.raises(ValueError, match="uncovered|before the raster does"):
        list(stitch(cut(np.ones((1, 8, 6), np.float32), places), 8, 6))


# Against a sum over the whole raster at once.


@pytest.mark.parametrize("seed", range(12))
def test_stitch_agrees_with_adding_up_the_whole_raster(seed):
    random = np.random.default_rng(seed)
    height, width, size = random.integers(1, 40, 3).tolist()
    places = windows(height, width, size, int(random.integers(0, size)))
    predictions = [(w, random.random((2, w.height, w.width), np.float32)) for w in places]
    total, weight = np.zeros((2, height, width)), np.zeros((height, width))
    for w, values in predictions:
        for row, col in product(range(w.height), range(w.width)):
            nearest = min(row + 1, w.height - row) * min(col + 1, w.width - col)
            total[:, w.row + row, w.col + col] += nearest * values[:, row, col]
            weight[w.row + row, w.col + col] += nearest
    found = np.concatenate(list(stitch(predictions, height, width)), axis=1)
    np.testing.assert_allclose(found, total / weight, rtol=1e-5)
