"""Colours as integers: a few by hand, and palettes against a dictionary, pixel by pixel."""

import numpy as np
import pytest

from data.files import InputError
from data.tables import colors


def test_red_green_and_blue_are_bytes_of_one_integer():
    raster = np.array([[[0, 255]], [[128, 255]], [[255, 0]], [[7, 7]]], np.uint8)
    assert colors.of_rgb(raster).tolist() == [[0x0080FF, 0xFFFF00]]
    assert colors.integer((0, 128, 255)) == 0x0080FF
    assert colors.parse(" #0080ff ") == (0, 128, 255)


@pytest.mark.parametrize("text", ["", "0080FF", "#0080F", "#0080FFF", "#0080FG", "blue"])
def test_other_texts_are_no_colours(text):
    with pytest.raises(ValueError, match="is not a colour"):
        colors.parse(text)


@pytest.mark.parametrize("dtype, count", [(np.uint8, 256), (np.uint16, 40_000)])
def test_palettes_are_read_as_a_dictionary_reads_them(dtype, count):
    random = np.random.default_rng(0)
    colormap = dict(enumerate(map(tuple, random.integers(0, 256, (count, 3)).tolist())))
    values = random.integers(0, count, (7, 9)).astype(dtype)
    nodata = int(values[3, 4])
    expected = [
        [-1 if value == nodata else colors.integer(colormap[value]) for value in row]
        for row in values.tolist()
    ]
    assert colors.of_palette(values, colormap, nodata).tolist() == expected


@pytest.mark.parametrize("nodata", [None, -9999.0, 1e20, 0.5, float("nan"), float("inf")])
def test_no_data_that_is_no_value_of_the_image_is_nowhere(nodata):
    assert colors.of_palette(np.array([[0]], np.uint8), {0: (0, 0, 1)}, nodata).tolist() == [[1]]


def test_a_value_without_a_colour_is_an_error_unless_it_is_no_data():
    values, colormap = np.array([[0, 3]], np.uint8), {0: (0, 0, 1)}
    assert colors.of_palette(values, colormap, nodata=3).tolist() == [[1, colors.NO_DATA]]
    with pytest.raises(InputError, match="value 3 has no colour in the palette"):
        colors.of_palette(values, colormap)


def test_colours_are_rounded_channel_by_channel_at_128():
    codes = np.array([[0x7F80FF, 0xFEFE01, 0x00FF00, colors.NO_DATA]], np.int32)
    pure, changed = colors.rounded(codes)
    assert pure.tolist() == [[0x00FFFF, 0xFFFF00, 0x00FF00, colors.NO_DATA]]
    assert changed.tolist() == [[True, True, False, False]]
    assert [colors.is_pure(code) for code in (0x00FFFF, 0x000000, 0xFE0000)] == [True, True, False]


def test_rounding_is_that_of_a_comparison():
    raster = np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8)
    expected = np.where(raster >= 128, 255, 0).astype(np.uint8)
    assert np.array_equal(colors.rounded(colors.of_rgb(raster))[0], colors.of_rgb(expected))


def test_a_colour_is_far_from_the_pure_ones_if_one_channel_is():
    codes = np.array([0xFFFFFF, 0x0FF001, 0x00EFFF, 0x100000, 0xF000F0, colors.NO_DATA], np.int32)
    assert colors.are_far(codes).tolist() == [False, False, True, True, False, False]
    for shift in (0, 8, 16):
        channel = np.arange(256)
        far = np.minimum(channel, 255 - channel) > colors.NEAR
        assert (colors.are_far(channel << shift) == far).all()
