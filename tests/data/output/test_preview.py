"""Pictures: one pixel in its colours, stretched bands against numpy, thinned previews of every odd
size.
"""

import imagecodecs
import numpy as np
import pytest

from data.classes import ClassTable
from data.files import IGNORE
from data.output import lettering
from data.output import preview as picture
from data.output.preview import GAP, SIDE, Thinned, beside, colored, rgb


def test_labels_take_the_tables_colours_and_ignored_ones_are_black():
    table = ClassTable.load("esm")
    found = colored(np.array([[0, 1], [2, IGNORE]], np.uint8), table)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[200, 200, 200], [130, 80, 200]], [[215, 45, 39], [0, 0, 0]]]


def test_a_label_without_a_colour_is_refused():
    with pytest.raises(ValueError, match="label 3, but there are 3 colours"):
        colored(np.array([[0, 3, IGNORE]], np.uint8), ClassTable.load("esm"))


def test_a_png_file_has_the_pixels_of_the_picture(tmp_path):
    drawn = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    pixel = np.zeros((3, 1, 1), np.uint8).transpose(1, 2, 0)  # one pixel with unusual strides
    for array in (drawn, drawn[::2, ::-1], drawn.transpose(1, 0, 2), pixel):
        np.testing.assert_array_equal(imagecodecs.png_decode(picture.png(array)), array)
    picture.write_png(tmp_path / "p.png", drawn)
    assert [file.name for file in tmp_path.iterdir()] == ["p.png"]
    np.testing.assert_array_equal(imagecodecs.imread(tmp_path / "p.png"), drawn)


def test_8_bit_rgb_stays_as_it_is():
    image = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    assert np.array_equal(rgb(image, ["1", "2", "3"]), image.transpose(1, 2, 0))


def test_red_green_and_blue_are_found_by_name():
    image = np.arange(1, 5, dtype=np.uint8).reshape(4, 1, 1)
    assert rgb(image, ["NIR", "Blue", "Green", "Red"])[0, 0].tolist() == [4, 3, 2]
    assert rgb(image[:1], ["1"])[0, 0].tolist() == [1, 1, 1]


def test_no_data_is_black_and_stretches_nothing():
    image = np.full((3, 10, 10), 60000, np.uint16)
    image[:, 0] = np.arange(1000, 1010)  # ten valid pixels
    found = rgb(image, ["1", "2", "3"], nodata=60000)
    assert not found[1:].any()
    assert found[0, 0].tolist() == [0, 0, 0] and found[0, 9].tolist() == [255, 255, 255]
    assert 100 < found[0, 5, 0] < 155
    assert not rgb(np.full((3, 2, 2), 7, np.uint8), ["1", "2", "3"], nodata=7).any()


@pytest.mark.parametrize("seed", range(4))
def test_each_band_is_stretched_from_its_2nd_to_its_98th_percentile(seed):
    image = (
        np.random.default_rng(seed)
        .gamma(2, [[[300]], [[900]], [[10]]], (3, 40, 50))
        .astype(np.float32)
    )
    image[:, 3, 4] = np.nan
    found = rgb(image, ["Red", "Green", "Blue"])
    low, high = np.nanpercentile(image, (2, 98), axis=(1, 2))[:, :, None, None]
    expected = np.nan_to_num(np.clip((image - low) / (high - low), 0, 1) * 255).transpose(1, 2, 0)
    assert np.abs(found - expected).max() <= 0.51
    assert found.dtype == np.uint8 and found[3, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize("image", [
    np.full((3, 4, 5), 1234, np.uint16),
    np.full((3, 4, 5), np.nan, np.float32),
    np.full((1, 1, 1), 7, np.int16),
    np.full((11, 1, 9), -1e300),
], ids=["constant", "nan", "one pixel", "beyond float32"])  # fmt: skip
def test_images_without_contrast_or_without_data_are_black_and_no_error(image):
    found = rgb(image, [str(n) for n in range(len(image))], nodata=None)
    assert found.shape == (*image.shape[1:], 3) and not found.any()


def test_pictures_stand_side_by_side_with_a_white_gap():
    left, right = np.zeros((4, 3, 3), np.uint8), np.full((4, 5, 3), 9, np.uint8)
    found = beside(left, right)
    assert found.shape == (4, 3 + GAP + 5, 3)
    assert (
        not found[:, :3].any()
        and (found[:, 3 : 3 + GAP] == 255).all()
        and (found[:, 3 + GAP :] == 9).all()
    )
    assert np.array_equal(beside(left), left)


def test_a_lower_picture_is_white_below():
    found = beside(np.zeros((4, 3, 3), np.uint8), np.zeros((2, 5, 3), np.uint8))
    assert (
        found.shape == (4, 3 + GAP + 5, 3)
        and not found[:2, 3 + GAP :].any()
        and (found[2:, 3 + GAP :] == 255).all()
    )


def test_an_overlay_is_half_picture_and_half_colour_and_leaves_no_data():
    table = ClassTable.load("esm")
    image = np.array([[[100, 0, 255], [10, 20, 30]]], np.uint8)
    found = picture.overlay(image, np.array([[2, IGNORE]], np.uint8), table)
    assert found.dtype == np.uint8
    assert found.tolist() == [
        [[158, 22, 147], [10, 20, 30]]
    ]  # half way to (215, 45, 39): 157.5, 22.5, 147


# Letters and legends.


def drawn(text: str) -> list[str]:
    return ["".join(".#"[int(dot)] for dot in row) for row in lettering.write(text, scale=1)]


def test_letters_by_eye():
    assert drawn("L1g") == [
        "#......#........",
        "#.....##........",
        "#......#...####.",
        "#......#..#...#.",
        "#......#..#...#.",
        "#......#...####.",
        "#####.###.....#.",
        "...........###..",
    ]


def test_accents_are_left_off_and_strange_letters_are_question_marks():
    assert (
        drawn("forêt") == drawn("foret")
        and drawn("城") == drawn("?")
        and drawn("a\n") == drawn("a?")
    )
    assert lettering.write("").shape == (16, 0) and lettering.write("ab", 3).shape[0] == 24


def test_every_letter_is_another():
    letters = [chr(code) for code in range(33, 127)]
    assert len({tuple(drawn(letter)) for letter in letters}) == len(letters)


def test_a_legend_has_the_classes_that_occur_and_no_others():
    table = ClassTable.load("esm")
    found = picture.legend(np.array([[0, 2], [2, IGNORE]], np.uint8), table, height=500)
    assert found.shape[0] == 3 * picture.LINE
    swatches = found[8 :: picture.LINE, 8].tolist()
    assert swatches == [list(table.colors[0]), list(table.colors[2]), [0, 0, 0]]
    word = lettering.write("residential")
    shown = found[picture.LINE + 1 :][: word.shape[0], picture.LINE :][:, : word.shape[1]]
    assert ((shown == picture.INK).all(-1) == word).all()


@pytest.mark.parametrize(
    "classes, height, columns", [(12, 1000, 1), (12, 1, 3), (12, 150, 2), (1, 1, 1)]
)
def test_a_long_legend_beside_a_low_picture_has_columns(classes, height, columns):
    labels = np.arange(classes, dtype=np.uint8)[None]
    found = picture.legend(labels, ClassTable.load("catalonia"), height)
    rows = -(-classes // columns)
    assert found.shape[0] == rows * picture.LINE
    corners = found[8, :]  # the row through the first line's swatches
    shown = [
        k
        for k in range(classes)
        if (corners == ClassTable.load("catalonia").colors[k]).all(-1).sum() >= 10
    ]
    assert shown == [*range(0, classes, rows)]


# Thinned as the scene streams by.


def strips(raster: np.ndarray, heights):
    """The rows of (..., H, W) in strips of the heights given, over and over."""
    top = 0
    while top < raster.shape[-2]:
        for height in heights:
            yield raster[..., top : top + height, :]
            top += height


@pytest.mark.parametrize(
    "height, width", [(1, 1), (1024, 3), (1025, 2), (2048, 1), (2049, 5), (5, 3001), (4097, 4)]
)
@pytest.mark.parametrize("heights", [[1], [2], [3, 5], [7, 1, 64], [256], [100_000]])
def test_every_nth_row_and_column_whatever_the_strips(height, width, heights):
    raster = np.arange(height * width, dtype=np.int32).reshape(height, width)
    thinned = Thinned(height, width)
    for strip in strips(raster, heights):
        thinned.add(strip)
    step = next(
        n for n in range(1, 99) if max(-(-height // n), -(-width // n)) <= SIDE
    )  # the least that will do
    assert np.array_equal(thinned.array(), raster[::step, ::step])


@pytest.mark.parametrize("height, width", [(1500, 40), (33, 2500), (1030, 1030)])
def test_image_and_map_are_thinned_alike_and_fit_the_side(height, width):
    labels = np.random.default_rng(0).integers(0, 4, (height, width)).astype(np.uint8)
    small, small_labels = Thinned(height, width), Thinned(height, width)
    for strip in strips(labels, [17]):
        small.add(np.stack([strip, strip + 10]))
        small_labels.add(strip)
    assert np.array_equal(small.array()[0], small_labels.array())
    assert np.array_equal(small.array()[1], small_labels.array() + 10)
    assert max(small.array().shape[1:]) <= SIDE


def test_a_thinned_strip_keeps_no_hold_of_the_strip_it_came_from():
    strip = np.ones((2, 2), np.uint8)
    thinned = Thinned(2, 2)
    thinned.add(strip)
    strip[:] = 9
    assert (thinned.array() == 1).all()


def test_black_stands_for_no_data_in_image_and_map_alike():
    table = ClassTable.load("catalonia")
    assert colored(np.full((1, 1), IGNORE, np.uint8), table)[0, 0].tolist() == list(picture.NO_DATA)
    assert picture.NO_DATA not in table.colors


def test_a_band_with_the_declared_value_does_not_change_the_stretch_of_the_others():
    image = np.random.default_rng(0).integers(100, 200, (3, 20, 20)).astype(np.uint16)
    spoilt = image.copy()
    spoilt[0, :5] = 65535  # no data in one band alone
    plain, drawn = (rgb(one, ["Red", "Green", "Blue"], 65535) for one in (image, spoilt))
    assert not drawn[:5, :, 0].any() and np.array_equal(drawn[..., 1:], plain[..., 1:])
    assert abs(drawn[5:].astype(int) - plain[5:]).max() <= 6
    spoilt[0] = 65535
    assert not rgb(spoilt, ["Red", "Green", "Blue"], 65535)[..., 0].any()
