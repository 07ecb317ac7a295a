"""Scaling: the numbers 0 to 100 by hand, unusual input, and numpy's percentiles for comparison."""

import json

import numpy as np
import pytest

from data import scaling
from data.files import InputError
from data.grid import Window
from data.scaling import (
    METHODS,
    Scaling,
    network_input,
    sample_pixels,
    spread_windows,
    valid_pixels,
)

RAMP = np.arange(101, dtype=np.float32)[None]  # 1 % of it lies below 1, 99 % below 99


def apply(fitted: Scaling, *values: float) -> list[float]:
    """The scaled values of one channel."""
    return fitted.apply(np.array(values, np.float32).reshape(1, 1, -1)).ravel().tolist()


# By hand.


def test_minmax_takes_the_1st_to_99th_percentile_to_0_and_1():
    fitted = Scaling.fit(RAMP, "minmax")
    assert (fitted.offset, fitted.scale) == ((1.0,), (98.0,))
    assert apply(fitted, 1, 50, 99) == pytest.approx([0, 0.5, 1])


def test_standard_takes_mean_and_deviation_of_what_lies_between():
    fitted = Scaling.fit(RAMP, "standard")
    # The 99 numbers 1 to 99: mean 50, and the variance of n numbers in a row is (n^2 - 1) / 12.
    assert fitted.offset == pytest.approx((50,)) and fitted.scale == pytest.approx(
        (np.sqrt((99**2 - 1) / 12),)
    )
    assert apply(fitted, 50, 50 + fitted.scale[0]) == pytest.approx([0, 1])


def test_values_far_outside_are_held():
    assert apply(Scaling.fit(RAMP, "minmax"), -1e6, 1e6, np.inf) == [-1, 2, 2]
    assert apply(Scaling.fit(RAMP, "standard"), -1e6, 1e6, -np.inf) == [-10, 10, -10]


@pytest.mark.parametrize("method", METHODS)
def test_one_glint_moves_nothing(method):
    glint = RAMP.copy()
    glint[0, 100] = 1e30
    assert Scaling.fit(glint, method) == Scaling.fit(RAMP, method)


@pytest.mark.parametrize("method", METHODS)
def test_nan_and_infinity_are_left_out_channel_by_channel(method):
    spoilt = np.concatenate([RAMP, 2 * RAMP], axis=1).repeat(2, axis=0)
    spoilt[0, 101:], spoilt[1, :101] = np.nan, -np.inf
    both = Scaling.fit(spoilt, method)
    alone = [Scaling.fit(channel, method) for channel in (RAMP, 2 * RAMP)]
    assert both.offset == tuple(a.offset[0] for a in alone) and both.scale == tuple(
        a.scale[0] for a in alone
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0, 0.1, 1e-40, 10000, -3e38])
def test_a_constant_channel_becomes_0(method, value):
    fitted = Scaling.fit(np.full((1, 1000), value, np.float32), method)
    assert fitted.scale == (1,) and apply(fitted, value) == [0]


def test_numbers_beyond_any_quantity_are_an_error_that_names_the_remedy():
    wide = np.full((1, 1000), np.finfo(np.float32).min)
    wide[0, :900] = 7
    for method in ("minmax", "standard"):
        with pytest.raises(InputError, match=r"channel 1 .* from -3.4\S+ to 7 .* --nodata"):
            Scaling.fit(wide, method)


@pytest.mark.parametrize("method", METHODS)
def test_a_single_pixel_can_be_fitted(method):
    assert apply(Scaling.fit(np.array([[7.0]]), method), 7) == [0]


@pytest.mark.parametrize("pixels", [np.empty((2, 0)), np.full((2, 5), np.nan)])
def test_no_valid_pixel_is_an_error_for_the_set_and_nothing_to_scale_for_an_image(pixels):
    for method in ("minmax", "standard"):
        with pytest.raises(InputError, match="channel 1 .* no valid pixel"):
            Scaling.fit(pixels, method)
    assert Scaling.fit(pixels, "image") == Scaling("image", (0.0, 0.0), (1.0, 1.0))


def test_an_image_is_fitted_by_itself_and_only_where_that_is_the_method():
    fitted = Scaling.fit(RAMP, "minmax")
    assert fitted.for_image(lambda: pytest.fail("never looked at")) is fitted
    dark, bright = (Scaling("image").for_image(lambda k=k: RAMP * k) for k in (1, 3))
    assert apply(dark, 1, 99) == pytest.approx([0, 1]) == apply(bright, 3, 297)


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_keeps_plain_values_that_give_the_same_scaling(method):
    fitted = (
        Scaling("image") if method == "image" else Scaling.fit(np.vstack([RAMP, RAMP / 7]), method)
    )
    state = json.loads(json.dumps(fitted.state()))
    assert Scaling.from_state(state) == fitted


# No-data.


def test_no_data_is_the_declared_value_in_all_bands_and_0_in_one_is_a_dark_surface():
    image = np.array([[[0, 0, 5]], [[0, 7, 0]]], np.uint16)
    assert valid_pixels(image, 0).tolist() == [[False, True, True]]
    assert valid_pixels(image, None).all()


@pytest.mark.parametrize(
    ("dtype", "nodata", "measurable"),
    [
        (np.uint8, 0, True),
        (np.int16, 0, True),
        (np.float32, 0, True),
        (np.uint8, 255, True),
        (np.uint16, 65535, True),
        (np.uint16, 255, False),
        (np.int16, -9999, False),
        (np.int16, 32767, False),
        (np.float32, -3.4028234663852886e38, False),
        (np.float32, -3.4028235e38, False),
        (np.float32, 1e20, False),
    ],
)
def test_one_band_with_a_value_that_no_surface_has_is_enough(dtype, nodata, measurable):
    with np.errstate(over="ignore"):
        image = np.full((3, 1, 3), 100, dtype)
        image[:, 0, 0], image[1, 0, 1] = nodata, nodata
    assert valid_pixels(image, nodata).tolist() == [[False, measurable, True]]


def test_nan_in_any_band_is_no_data_whatever_is_declared():
    image = np.array([[[np.nan, 1, -9, np.inf, 3]], [[1, 2, -9, 3, -9]]], np.float32)
    for nodata, minus9 in ((-9, False), (None, True), (np.nan, True)):
        assert valid_pixels(image, nodata).tolist() == [[False, True, minus9, False, minus9]]


def test_what_float32_cannot_hold_is_no_data():
    image = np.array([[[-1.7976931348623157e308, 1.0]], [[-1.7976931348623157e308, 2.0]]])
    assert valid_pixels(image, None).tolist() == [[False, True]]
    values, _ = network_input(
        image, ["NIR", "Red"], ["NDVI"], Scaling("minmax", (0,) * 3, (1,) * 3), None
    )
    assert np.isfinite(values).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("nodata", [-9999.0, 1e20, 0.5, -1])
def test_a_declared_value_that_does_not_occur_or_cannot_leaves_all_valid(dtype, nodata):
    assert valid_pixels(np.ones((2, 3, 3), dtype), nodata).all()


def test_gdals_lowest_float_is_recognised_in_float32():
    lowest = float(np.finfo(np.float32).min)
    assert valid_pixels(np.array([[[lowest, 1]]], np.float32), lowest).tolist() == [[False, True]]


# The network's input.


def test_bands_and_indices_are_scaled_and_no_data_is_0_in_every_channel():
    image = np.array([[[3000, 0]], [[1000, 0]]], np.uint16)
    fitted = Scaling("minmax", (1000, 0, -1), (4000, 2000, 2))
    values, valid = network_input(image, ["NIR", "Red"], ["NDVI"], fitted, 0)
    assert valid.tolist() == [[True, False]]
    assert values.dtype == np.float32
    assert values[:, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.75])  # NDVI is 0.5
    assert values[:, 0, 1].tolist() == [0, 0, 0]


def test_a_declared_value_in_one_band_is_0_there_and_in_its_indices():
    image = np.array([[[3000, 0, 200]], [[1000, 1000, 0]], [[500, 500, 500]]], np.uint16)
    names, indices = ["NIR", "Red", "Blue"], ["NDVI"]
    fitted = Scaling("standard", (-100.0, -100.0, -100.0, -0.25), (100.0, 100.0, 100.0, 1.0))
    values, valid = network_input(image, names, indices, fitted, 0)
    assert valid.all()
    assert values[:, 0, 1].tolist() == [0, 10, 6, 0] and values[:, 0, 2].tolist() == [3, 0, 6, 0]
    plain, _ = network_input(image, names, indices, fitted, None)
    assert values[:, 0, 0].tolist() == plain[:, 0, 0].tolist() and plain[:, 0, 1].tolist()[0] == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int32, np.uint64, np.float16, np.float32, np.float64]
)
def test_whatever_a_file_holds_the_input_is_finite_and_held(method, dtype):
    random = np.random.default_rng(3)
    image = random.integers(0, 100, (4, 20, 30)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        strange = [
            np.nan,
            np.inf,
            -np.inf,
            np.finfo(dtype).max,
            np.finfo(dtype).min,
            np.finfo(dtype).tiny,
            0,
        ]
        image = np.where(
            random.random(image.shape) < 0.02, random.choice(strange, image.shape), image
        ).astype(dtype)
    names, indices = ["Green", "Red", "NIR", "SWIR1"], ["NDVI", "MNDWI"]
    with np.errstate(all="ignore"):
        sample = sample_pixels([(lambda w: image, Window(0, 0, 20, 30), 0)], names, indices)
        values, valid = network_input(image, names, indices, Scaling.fit(sample, method), 0)
    assert np.isfinite(values).all() and valid.any()
    low, high = scaling.LIMITS[method]
    assert values.min() >= low and values.max() <= high
    assert not values[:, ~valid].any()


def test_a_window_is_scaled_as_the_whole_is():
    image = np.random.default_rng(4).integers(0, 5000, (2, 30, 40)).astype(np.uint16)
    fitted = Scaling.fit(np.random.default_rng(5).random((3, 99)) * [[5000], [5000], [1]], "minmax")
    whole, _ = network_input(image, ["NIR", "Red"], ["NDVI"], fitted, 0)
    part, _ = network_input(image[:, 5:25, 7:19], ["NIR", "Red"], ["NDVI"], fitted, 0)
    assert np.array_equal(part, whole[:, 5:25, 7:19])


def test_the_image_may_be_read_only_and_in_any_layout():
    # (rows, columns, bands), the layout of prepared scenes.
    image = np.random.default_rng(6).integers(1, 5000, (30, 40, 2)).astype(np.uint16)
    image.flags.writeable = False
    fitted = Scaling("minmax", (0, 0, 0), (1, 1, 1))
    for view in (image.transpose(2, 0, 1), np.ascontiguousarray(image.transpose(2, 0, 1))):
        values, _ = network_input(view, ["NIR", "Red"], ["NDVI"], fitted, 0)
        places = [(lambda w, view=view: view, Window(0, 0, 30, 40), 0)]
        sample = sample_pixels(places, ["NIR", "Red"], ["NDVI"])
        assert values.shape == (3, 30, 40) and sample.shape == (3, 1200)
        assert sample[2, 41] == pytest.approx(
            (image[1, 1, 0] - 1.0 * image[1, 1, 1]) / image[1, 1].sum()
        )


# The pixels that a fit looks at.


def test_the_sample_holds_every_valid_pixel_of_a_small_set_with_its_indices():
    image = np.array([[[3000, 0], [1000, 0]], [[1000, 0], [0, 500]]], np.uint16)
    places = [(lambda w: image, Window(0, 0, 2, 2), 0)]
    nan = np.nan  # 0 is the declared value, and a number is missing where one band has it
    np.testing.assert_array_equal(
        sample_pixels(places, ["NIR", "Red"], ["NDVI"]).T,
        [[3000, 1000, 0.5], [1000, nan, nan], [nan, 500, nan]],
    )
    places = [(lambda w: image, Window(0, 0, 2, 2), None)]
    assert sample_pixels(places, ["NIR", "Red"], ["NDVI"]).T.tolist() == [
        [3000, 1000, 0.5],
        [0, 0, 0],
        [1000, 0, 1],
        [0, 500, -1],
    ]


def test_the_sample_of_a_large_set_is_thinned_evenly(monkeypatch):
    monkeypatch.setattr(scaling, "SAMPLE", 1000)
    read = []

    def reader(number: int):
        def pixels(window: Window) -> np.ndarray:
            read.append(number)
            return np.full((1, window.height, window.width), number, np.int32)

        return pixels

    places = [(reader(n), Window(0, 0, 10, 10), None) for n in range(1000)]
    found = sample_pixels(places, ["a"], [])
    # Few windows are read, and they are spread over the whole set.
    assert 256 < len(read) <= 512 and max(np.diff(read)) <= 2
    assert 1000 <= found.shape[1] <= 2000
    shares = np.bincount(found[0].astype(int), minlength=1000)[read]
    assert shares.max() - shares.min() <= 1


def test_percentiles_of_the_sample_are_those_of_all_pixels(monkeypatch):
    monkeypatch.setattr(scaling, "SAMPLE", 20_000)
    scene = (np.random.default_rng(7).gamma(2, 500, (1, 600, 500)) + np.arange(500) * 4).astype(
        np.float32
    )
    places = [
        Window(row, col, 100, 100) for row in range(0, 600, 100) for col in range(0, 500, 100)
    ]

    def read(window: Window) -> np.ndarray:
        return scene[
            :, window.row : window.row + window.height, window.col : window.col + window.width
        ]

    fitted = Scaling.fit(
        sample_pixels([(read, place, None) for place in places], ["a"], []), "minmax"
    )
    low, high = np.percentile(scene, (1, 99))
    found = fitted.offset[0], fitted.offset[0] + fitted.scale[0]
    assert found == pytest.approx((low, high), abs=0.02 * (high - low))


@pytest.mark.parametrize(
    "height, width", [(1, 1), (300, 300), (2000, 2000), (30_000, 30_000), (3, 9_000_000)]
)
def test_windows_for_one_image_lie_inside_it_and_reach_its_corners(height, width):
    places = spread_windows(height, width)
    assert all(
        0 <= w.row and w.row + w.height <= height and 0 <= w.col and w.col + w.width <= width
        for w in places
    )
    assert min(places)[:2] == (0, 0)
    assert max((w.row + w.height, w.col + w.width) for w in places) == (height, width)
    assert sum(w.height * w.width for w in places) <= 4 * scaling.SAMPLE
    assert (len(places) == 1) == (height * width <= 4 * scaling.SAMPLE)


# Against numpy, on random channels with gaps.


@pytest.mark.parametrize("seed", range(5))
def test_minmax_agrees_with_numpys_nanpercentile(seed):
    random = np.random.default_rng(seed)
    pixels = random.lognormal(6, 1, (5, 3000)) * 10.0 ** random.integers(-3, 4, (5, 1))
    pixels[random.random(pixels.shape) < 0.3] = np.nan
    low, high = np.nanpercentile(pixels, (1, 99), axis=1)
    fitted = Scaling.fit(pixels, "minmax")
    np.testing.assert_allclose(fitted.offset, low)
    np.testing.assert_allclose(fitted.scale, high - low)
    scaled = fitted.apply(pixels[:, None].astype(np.float32))[:, 0]
    expected = np.clip((pixels - low[:, None]) / (high - low)[:, None], -1, 2)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    assert np.nanmean((scaled >= 0) & (scaled <= 1) | np.isnan(pixels)) > 0.98
