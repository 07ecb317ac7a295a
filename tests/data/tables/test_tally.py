"""Counts of unknown codes and rounded colours, and whole numbers."""

from collections import Counter

import numpy as np
import pytest

from data.files import InputError
from data.tables.tally import Tally, count, require_whole


def test_the_remark_has_the_number_and_the_share_of_rounded_pixels():
    assert Tally(pixels=100).remark() is None
    assert Tally(rounded=7, pixels=100).remark().startswith("7 pixels (7.00 %) were not pure")


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float64])
def test_codes_are_counted_as_whole_numbers(dtype):
    assert count(np.array([3, 100, 3], dtype)) == Counter({3: 2, 100: 1})


def test_codes_beyond_the_precision_of_floats_are_exact():
    codes = np.array([2**53 + 1, 2**64 - 1], np.uint64)
    assert count(codes) == {2**53 + 1: 1, 2**64 - 1: 1}


@pytest.mark.parametrize("value", [0.5, np.inf, -np.inf, np.nan])
def test_other_numbers_are_named(value):
    with pytest.raises(InputError, match=rf"fractions or infinity \({value}\); class codes are"):
        require_whole(np.array([1, value]))
    require_whole(np.array([1.0, -3e9]))
