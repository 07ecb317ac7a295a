"""Band names and indices: each index for one pixel by hand, properties of all indices, and a
comparison with a loop in double precision.
"""

import numpy as np
import pytest

from data import bands
from data.files import InputError

ESM = "Blue Green Red RE1 RE2 RE3 NIR RE4 WV SWIR1 SWIR2".split()


def pixel(**values) -> tuple[np.ndarray, list[str]]:
    """One pixel (bands, 1, 1) uint16 of the bands named, and their names."""
    return np.array([*values.values()], np.uint16).reshape(-1, 1, 1), [*values]


# One pixel, by hand.


@pytest.mark.parametrize(
    "index, values, expected",
    [
        ("NDVI", {"NIR": 3000, "Red": 1000}, (3000 - 1000) / (3000 + 1000)),
        ("NDTI", {"SWIR1": 2000, "SWIR2": 3000}, (2000 - 3000) / (2000 + 3000)),
        ("NDVIre", {"RE1": 1500, "Red": 500}, (1500 - 500) / (1500 + 500)),
        ("MNDWI", {"Green": 900, "SWIR1": 100}, (900 - 100) / (900 + 100)),
    ],
)
def test_each_index_is_a_minus_b_over_a_plus_b_of_its_bands(index, values, expected):
    image, names = pixel(**values)
    assert bands.available(names) == [index]
    assert bands.stack(image, names, [index])[-1, 0, 0] == pytest.approx(expected)


def test_the_11_bands_of_esm_become_15_channels():
    assert bands.available(ESM) == ["NDVI", "NDTI", "NDVIre", "MNDWI"]
    image = np.arange(1, 12, dtype=np.uint16).reshape(11, 1, 1)
    stacked = bands.stack(image, ESM, bands.available(ESM))
    expected = [(7 - 3) / 10, (10 - 11) / 21, (4 - 3) / 7, (2 - 10) / 12]
    assert stacked.shape == (15, 1, 1) and stacked.dtype == np.float32
    assert stacked.ravel().tolist() == pytest.approx([*range(1, 12), *expected])


def test_0_where_the_denominator_is_0():
    a, b = np.array([0, 5.0, 0, 3]), np.array([0, -5.0, 2, 1])
    assert bands.normalized_difference(a, b).tolist() == [0, 0, -1, 0.5]


@pytest.mark.parametrize(
    "dtype, a, b",
    [(np.uint8, 10, 250), (np.uint16, 65535, 65535), (np.int16, 32767, 1), (np.int8, 127, 127)],
)
def test_integers_do_not_overflow(dtype, a, b):
    found = bands.normalized_difference(np.array([a], dtype), np.array([b], dtype))
    assert found.dtype == np.float32 and found[0] == pytest.approx((a - b) / (a + b))


def test_nan_stays_nan_and_spoils_no_neighbour():
    found = bands.normalized_difference(np.array([np.nan, 3, 1]), np.array([1, np.nan, 0]))
    assert np.isnan(found).tolist() == [True, True, False] and found[2] == 1


def test_indices_need_both_bands():
    assert bands.available(["Red", "Green", "Blue"]) == []
    assert bands.available(["NIR", "Red", "Green"]) == ["NDVI"]
    assert bands.available(["SWIR1", "Green", "Red", "NIR"]) == ["NDVI", "MNDWI"]
    assert bands.available(["1", "2", "3"]) == []


def test_without_indices_the_bands_are_only_widened():
    image = np.array([[[65535]], [[7]]], np.uint16)
    stacked = bands.stack(image, ["a", "b"], [])
    assert stacked.dtype == np.float32 and stacked.ravel().tolist() == [65535, 7]


def test_the_image_itself_is_not_changed():
    image = np.ones((11, 2, 2), np.float32)
    image.flags.writeable = False
    bands.stack(image, ESM, bands.available(ESM))[:] = 9
    bands.stack(image, ESM, [])[:] = 9
    assert (image == 1).all()


# Names.


@pytest.mark.parametrize(
    "written, meant",
    [
        ("B08", "NIR"),
        ("b8", "NIR"),
        ("nir", "NIR"),
        ("B8A", "RE4"),
        ("B8a", "RE4"),
        ("Red Edge 1", "RE1"),
    ]
    + [
        ("B05", "RE1"),
        ("SWIR 1", "SWIR1"),
        ("B11", "SWIR1"),
        ("B12", "SWIR2"),
        ("Water vapour", "WV"),
        ("B9", "WV"),
    ]
    + [
        ("SWIR_1", "SWIR1"),
        ("swir-2", "SWIR2"),
        ("red_edge-1", "RE1"),
        ("B_8A", "RE4"),
        ("narrow-nir", "RE4"),
        ("vegetation_red_edge_3", "RE3"),
        ("Coastal.Aerosol", "Coastal"),
        ("B-04@2", "Red@2"),
        ("VV_dB", "VV_dB"),
    ]
    + [("B2", "Blue"), ("G", "Green"), ("red", "Red"), ("B1", "Coastal"), (" VV ", "VV"), ("", "")],
)
def test_a_band_has_one_name_however_it_is_written(written, meant):
    assert bands.canonical(written) == meant
    assert bands.canonical(meant) == meant


@pytest.mark.parametrize(
    "written, meant",
    [
        ("B4_Red_Edge_1", "RE1"),
        ("B7_NIR", "NIR"),
        ("B1_Blue", "Blue"),
        ("B8 - NIR", "NIR"),
        ("Band 4: Red", "Red"),
        ("04_Red", "Red"),
        ("B10_SWIR1@2", "SWIR1@2"),
    ]
    + [("Red (B4)", "Red"), ("NIR_B8", "NIR"), ("Near Infrared - Band 8", "NIR")]
    + [("B8A - Narrow NIR", "RE4"), ("B8A_NIR", "RE4")]
    + [("nir08", "RE4"), ("nir09", "WV"), ("swir16", "SWIR1"), ("swir22", "SWIR2")]
    + [("rededge1", "RE1"), ("rededge3", "RE3")],
)
def test_a_number_before_or_behind_a_bands_name_does_not_count(written, meant):
    assert bands.canonical(written) == meant == bands.canonical(meant)


@pytest.mark.parametrize(
    "name", "20190601_Red SR_B4 SR_B5 ST_B10 L8_B5_NIR NIR_2 B1_B 0_B4 B4_B8 B4_VV".split()
)
def test_names_of_other_sensors_dates_and_codes_stay_as_they_are(name):
    assert bands.canonical(name) == name


def test_of_two_numbered_names_of_one_band_neither_is_renamed():
    assert bands.names(["B1_Red", "B2_Red", "B3_NIR"]) == ["B1_Red", "B2_Red", "NIR"]
    assert bands.names(["Red", "B4_Red", "B8"]) == ["Red", "B4_Red", "NIR"]
    authors = "B1_Blue B2_Green B3_Red B4_Red_Edge_1 B5_Red_Edge_2 B6_Red_Edge_3 B7_NIR B8_RE4"
    assert bands.names([*authors.split(), "B9_WV", "B10_SWIR1", "B11_SWIR2"]) == ESM


def test_every_spelling_means_one_band_and_the_same_in_capitals():
    for name, aliases in bands.ALIASES.items():
        for spelling in (name, *aliases):
            assert bands.canonical(spelling) == bands.canonical(spelling.upper()) == name


@pytest.mark.parametrize("index", bands.INDICES)
def test_every_index_is_the_normalised_difference_of_two_bands_that_have_names(index):
    first, second = bands.INDICES[index]
    assert {first, second} <= bands.ALIASES.keys() and index in (bands.__doc__ or "")
    assert index in bands.available([first, second])
    values = {first: 3000, second: 1000}
    image, names = pixel(**values)
    assert bands.stack(image, names, [index])[-1, 0, 0] == pytest.approx(0.5)


def test_earth_engines_names_are_the_11_bands():
    assert bands.names("B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12".split()) == ESM


def test_the_users_names_come_before_the_files_and_numbers_are_the_last_resort():
    assert bands.names([None, None], ["B4", "VV"]) == ["Red", "VV"]
    assert bands.names(["Red", "NIR"], ["Green", "Blue"]) == ["Green", "Blue"]
    assert bands.names([None, None, None]) == ["1", "2", "3"]
    assert bands.names(["Red", None, "  "]) == ["Red", "2", "3"]
    assert bands.names(["Layer", "Layer"]) == ["1", "2"]
    # Both are names of one band, so neither is used.
    assert bands.names(["B8", "NIR"]) == ["1", "2"]


def test_a_list_of_another_length_or_with_a_name_twice_is_an_error():
    with pytest.raises(InputError, match="img.tif: 3 bands, but --bands names 2 .Red, NIR."):
        bands.names([None] * 3, ["Red", "NIR"], "img.tif")
    with pytest.raises(InputError, match="twice"):
        bands.names([None] * 2, ["B08", "NIR"])


# Pictures.


def test_pictures_show_red_green_and_blue_wherever_they_stand():
    assert bands.rgb(ESM) == [2, 1, 0]
    assert bands.rgb(["1", "2", "3", "4"]) == [0, 1, 2]
    assert bands.rgb(["VV", "VH"]) == [0, 1, 1]
    assert bands.rgb(["1"]) == [0, 0, 0]


# Several dates, one behind the other.


def test_the_bands_of_later_dates_say_which_date():
    assert bands.dated(["Red", "NIR"], 1) == ["Red", "NIR"]
    assert bands.dated(["Red", "NIR"], 3) == ["Red", "NIR", "Red@2", "NIR@2", "Red@3", "NIR@3"]
    assert bands.dates(["Red", "NIR", "Red@2", "NIR@2"]) == ["", "@2"]
    assert bands.names(["B4", "B8", "b04@2", "B08@2"]) == ["Red", "NIR", "Red@2", "NIR@2"]
    assert bands.canonical("B1@2") == "Coastal@2"  # and not B12


def test_indices_are_made_date_by_date():
    assert bands.available(["Red", "NIR", "Red@2", "NIR@2", "Green", "SWIR1"]) == [
        "NDVI",
        "MNDWI",
        "NDVI@2",
    ]
    assert bands.available(["Red", "NIR@2"]) == []  # of two dates no index is made
    image, names = pixel(**{"Red": 1000, "NIR": 3000, "Red@2": 2000, "NIR@2": 3000})
    assert bands.stack(image, names, ["NDVI", "NDVI@2"])[-2:, 0, 0].tolist() == pytest.approx(
        [0.5, 0.2]
    )


def test_two_dates_stacked_give_the_indices_of_each_alone():
    random = np.random.default_rng(3)
    one, two = random.integers(1, 5000, (2, 11, 5, 6)).astype(np.uint16)
    names = bands.dated(ESM, 2)
    stacked = bands.stack(np.concatenate([one, two]), names, bands.available(names))
    alone = [bands.stack(date, ESM, bands.available(ESM)) for date in (one, two)]
    assert np.array_equal(
        stacked, np.concatenate([a[:11] for a in alone] + [a[11:] for a in alone])
    )


# For all, and against a loop in double precision.


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_an_index_is_bounded_antisymmetric_and_blind_to_brightness(dtype):
    a, b = np.random.default_rng(1).integers(0, 120, (2, 50, 40)).astype(dtype)
    found = bands.normalized_difference(a, b)
    assert found.min() == -1 and found.max() == 1
    assert np.array_equal(bands.normalized_difference(b, a), -found)
    np.testing.assert_allclose(
        bands.normalized_difference(a * dtype(2), b * dtype(2)), found, rtol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_stack_agrees_with_a_loop_over_pixels(dtype):
    random = np.random.default_rng(2)
    image = random.integers(0 if np.dtype(dtype).kind == "u" else -90, 250, (11, 6, 7)).astype(
        dtype
    )
    image[:, 0, 0] = 0
    indices = ["MNDWI", "NDVI"]
    expected = image.astype(float).tolist()
    for a, b in (("Green", "SWIR1"), ("NIR", "Red")):
        plane = []
        for row in range(6):
            plane.append([])
            for col in range(7):
                x, y = float(image[ESM.index(a), row, col]), float(image[ESM.index(b), row, col])
                plane[-1].append(0.0 if x + y == 0 else (x - y) / (x + y))
        expected.append(plane)
    np.testing.assert_allclose(bands.stack(image, ESM, indices), np.array(expected), rtol=1e-6)
