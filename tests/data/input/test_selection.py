"""The bands that a trained network expects, found among those of an image."""

import numpy as np
import pytest

from data.files import InputError
from data.input import selection

ESM = "Blue Green Red RE1 RE2 RE3 NIR RE4 WV SWIR1 SWIR2".split()


def test_bands_are_found_by_name():
    assert selection.order(["Red", "Green", "Blue"], ["Blue", "Green", "Red"]) == [3, 2, 1]
    assert selection.order(["a", "b"], ["b", "a"]) == [2, 1]


def test_bands_without_names_are_trusted_to_be_in_order():
    assert selection.order(["Red", "NIR"], ["1", "2"]) == [1, 2]
    assert selection.order(["1", "2"], ["NIR", "Red"]) == [1, 2]


def test_another_number_of_bands_names_both():
    with pytest.raises(
        InputError, match="a.tif: 3 bands .1, 2, 3., but the checkpoint was trained on 2 .Red, NIR."
    ):
        selection.order(["Red", "NIR"], ["1", "2", "3"], "a.tif")


def test_another_band_is_not_taken_for_the_wanted_one():
    with pytest.raises(InputError, match="a.tif: .*Blue cannot replace"):
        selection.order(["Red", "NIR"], ["Red", "Blue"], "a.tif")


@pytest.mark.parametrize(
    ("wanted", "found", "strange"),
    [
        (["Blue", "VV"], ["Red", "VV"], "Red"),
        (["Blue", "VV"], ["VV", "Red"], "Red"),
        (["VV", "Red"], ["Red", "1"], "1"),
        (["1", "Red"], ["Blue", "2"], "Blue, 2"),
    ],
)
def test_one_known_band_on_each_side_is_enough_to_refuse_another_order(wanted, found, strange):
    with pytest.raises(InputError, match=f"; {strange} cannot replace another band"):
        selection.order(wanted, found, "a.tif")


def test_unknown_names_are_trusted_to_be_in_order():
    assert selection.order(["VV", "Red"], ["VV", "1"]) == [1, 2]
    assert selection.order(["VV", "Red"], ["VH", "VV"]) == [1, 2]


def test_a_list_of_numbers_and_names_is_a_list_of_names():
    assert selection.order(["VV", "1"], ["1", "2", "VV"]) == [3, 1]  # by name, among further bands
    with pytest.raises(InputError, match="3 bands .1, 2, 3., but the checkpoint was trained on 2"):
        selection.order(["1", "2"], ["1", "2", "3"])  # numbers alone are no names
    assert selection.select(["Red", "2"], [None, None], given=["2", "Red"]) == [2, 1]
    assert selection.select(["Red", "NIR"], [None, None], given=["2", "1"]) == [2, 1]
    with pytest.raises(InputError, match="2 cannot replace"):
        selection.select(["Red", "NIR"], [None, None], given=["2", "Red"])


def test_missing_bands_are_named_where_some_are_there():
    with pytest.raises(InputError, match="NIR, VV must be in the image"):
        selection.order(["Red", "NIR", "VV"], ["Red", "Blue"])
    with pytest.raises(InputError, match="give an image with these bands, or --bands"):
        selection.order(["Red", "NIR", "VV"], ["VH", "Blue"])


def test_ordered_bands_make_the_network_s_input_the_same():
    random = np.random.default_rng(0)
    image, shuffled = random.integers(0, 9999, (11, 3, 4)), random.permutation(11)
    numbers = selection.order(ESM, [ESM[i] for i in shuffled])
    assert np.array_equal(image[shuffled][[n - 1 for n in numbers]], image)


def test_the_order_that_is_assumed_is_told():
    assert selection.assumed(["Red", "NIR"], [None, None], [1, 2]) == [
        "bands are taken in the file's order: 1, 2 as Red, NIR"
    ]
    assert selection.assumed(["1", "2"], ["B8", "B4"], [1, 2]) == [
        "bands are taken in the file's order: NIR, Red as 1, 2"
    ]
    assert selection.assumed(["1", "2"], [None, None], [1, 2]) == []
    assert selection.assumed(["Red", "NIR"], ["B8", "B4"], [2, 1]) == []


def test_bands_that_are_asked_for_are_numbers_or_the_names_of_all():
    assert selection.asked(["Red", "NIR"], ["4", "2"]) == [4, 2]
    assert selection.asked(["Red", "NIR"], ["4", "B8"]) == ["4", "B8"]
    assert selection.asked(["Red", "NIR"], None) == ["Red", "NIR"]
