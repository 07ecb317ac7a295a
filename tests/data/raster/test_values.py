"""data/raster/values.py: the values of a raster of classes, numbered and counted."""

from collections import Counter

import numpy as np
import pytest

from data.files import InputError
from data.grid import Window
from data.raster import values
from data.raster.values import count_values, numbered, require_classes, tally

TYPES = ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64"]


def test_classes_above_no_data_are_numbered_from_no_data():
    found, numbers = numbered(np.array([[255, 0], [2, 1]], np.uint8), 255)
    assert found.tolist() == [255, 0, 1, 2]
    assert numbers.tolist() == [[0, 1], [3, 2]]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("nodata", ["none", "lowest", "largest"])
def test_the_value_of_a_number_is_the_pixel(dtype, nodata):
    info, random = np.iinfo(dtype), np.random.default_rng(0)
    nodata = {"none": None, "lowest": info.min, "largest": info.max}[nodata]
    few = np.array([info.min, info.max, 0, 1, 7], dtype)
    for codes in (few, few[2:], random.integers(info.min, info.max, 200, dtype=dtype)):
        block = random.choice(codes, (20, 30))
        found, numbers = numbered(block, nodata)
        assert found.dtype == block.dtype and len(set(found.tolist())) == len(found)
        assert (found[numbers] == block).all()


@pytest.mark.parametrize("nodata", [None, 200])
def test_pixels_are_counted_in_pieces_of_the_window(nodata, monkeypatch):
    monkeypatch.setattr(values, "ROWS", 16)
    monkeypatch.setattr(values, "COLUMNS", 32)
    pixels = np.random.default_rng(0).choice(np.array([0, 3, 200], np.uint8), (60, 80))
    seen = []

    def read(window):
        seen.append(window.height * window.width)
        row, col, height, width = window
        return pixels[row : row + height, col : col + width]

    counts = count_values(read, Window(5, 7, 50, 70), nodata, threads=2)
    part = pixels[5:55, 7:77]
    assert counts == {value: int((part == value).sum()) for value in (0, 3, 200)}
    assert max(seen) <= 16 * 32 and sum(seen) == 50 * 70


def test_a_type_holds_classes_and_the_no_data_value():
    require_classes(np.dtype("int16"), -32768)
    with pytest.raises(InputError, match="pixels of type float32 are not classes"):
        require_classes(np.dtype("float32"), None)
    for nodata in (-1, 256):
        with pytest.raises(InputError, match=f"no-data {nodata} is not a value of uint8"):
            require_classes(np.dtype("uint8"), nodata)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "uint32", "int64"])
@pytest.mark.parametrize("repeated", [1, 17])
def test_the_tally_is_that_of_single_pixels_in_short_and_in_long_runs(dtype, repeated):
    random, info = np.random.default_rng(3), np.iinfo(dtype)
    some = [info.min, info.max, 0, 3, 40]
    codes = np.array(some, dtype)[random.integers(0, 5, (30, 12))].repeat(repeated, axis=1)
    index = random.integers(0, 6, (30, 6), dtype=np.int32).repeat(2 * repeated, axis=1)
    values, counts = tally(codes, index, 3, 6)
    expected = Counter(zip(codes.ravel().tolist(), index.ravel().tolist()))
    found = {
        (value, place): count
        for value, row in zip(values.tolist(), counts.tolist())
        for place, count in enumerate(row)
        if count
    }
    assert counts.shape == (len(values), 6) and found == expected


def test_more_codes_than_a_byte_holds_are_tallied():
    codes = np.arange(1000, dtype=np.int32).repeat(4).reshape(40, 100)
    values, counts = tally(codes, np.zeros((40, 100), np.int32), None, 1)
    assert values.tolist() == list(range(1000)) and (counts == 4).all()
