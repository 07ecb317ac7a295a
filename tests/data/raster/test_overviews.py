"""Overviews: four pixels become one, by hand and by a naive loop."""

from collections import Counter

import numpy as np
import pytest

from data.raster.overviews import average, mode


def halved(rows: list, by=mode, nodata=None, dtype="uint8") -> list:
    return by(np.array(rows, dtype)[..., None], nodata)[..., 0].tolist()


def test_mode_takes_the_most_frequent_and_on_ties_the_lower_code():
    assert halved([[7, 7], [7, 2]]) == [[7]]
    assert halved([[7, 2], [2, 7]]) == [[2]]
    assert halved([[9, 3], [5, 5]]) == [[5]]
    assert halved([[9, 3], [5, 7]]) == [[3]]


def test_no_data_does_not_vote_and_stays_where_nothing_else_is():
    assert halved([[0, 0], [0, 9]], nodata=0) == [[9]]
    assert halved([[0, 0], [9, 4]], nodata=0) == [[4]]
    assert halved([[0, 0], [0, 0]], nodata=0) == [[0]]
    assert halved([[254, 254], [255, 1]], nodata=254) == [[1]]  # though 255 comes behind 254
    assert halved([[255, 255], [1, 254]], nodata=254) == [[255]]
    assert halved([[0, 0], [0, 9]]) == [[0]]  # not declared, 0 is a code like others


def test_an_odd_edge_counts_twice():
    assert halved([[1, 2, 3]]) == [[1, 3]]
    assert halved([[1], [1], [5]]) == [[1], [5]]


def test_average_is_the_mean_of_those_that_have_data():
    assert halved([[1, 2], [4, 5]], average, dtype="float32") == [[3.0]]
    assert halved([[10, 255], [20, 255]], average, nodata=255) == [[15]]
    assert halved([[255, 255], [255, 255]], average, nodata=255) == [[255]]
    assert halved([[np.nan, 2], [4, np.nan]], average, np.nan, "float32") == [[3.0]]
    assert np.isnan(halved([[np.nan] * 2] * 2, average, np.nan, "float32")).all()
    assert np.isnan(halved([[np.nan] * 2] * 2, average, None, "float32")).all()


@pytest.mark.parametrize("nodata", [None, 0, 2, 4])
def test_mode_is_that_of_a_naive_loop(nodata):
    tile = np.random.default_rng(0).integers(0, 5, (20, 30))
    expected = np.empty((10, 15), np.uint8)
    for row in range(10):
        for col in range(15):
            votes = Counter(tile[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist())
            del votes[nodata]
            winner = min(votes, key=lambda code: (-votes[code], code), default=nodata)
            expected[row, col] = winner
    assert halved(tile.tolist(), nodata=nodata) == expected.tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64", "float16", "float64"])
def test_the_largest_numbers_of_a_dtype_do_not_overflow(dtype):
    if np.dtype(dtype).kind == "f":
        largest = float(np.finfo(dtype).max)
        assert halved([[largest] * 2] * 2, average, dtype=dtype) == [[largest]]
    else:
        codes = [np.iinfo(dtype).max - 1, np.iinfo(dtype).min]
        assert halved([codes[:1] * 2] * 2, dtype=dtype) == [codes[:1]]
        assert halved([codes[1:] * 2] * 2, dtype=dtype) == [codes[1:]]
