"""Units, fill values and numbers outside the training, judged by a sample of an image."""

from pathlib import Path

import numpy as np
import pytest

from data.grid import IDENTITY, Grid, Window
from data.input import units
from data.input.image import Image
from data.raster import cog
from data.scaling import Scaling


def image(path: Path, pixels, nodata=None) -> Path:
    pixels = np.asarray(pixels)
    cog.write(path, pixels, Grid(None, IDENTITY, *pixels.shape[1:]), nodata)
    return path


# The sample.


class Lattice:
    """An image whose number is its row * 10,000 + column, and which remembers what was read."""

    def __init__(self, height, width, block_shape):
        self.grid, self.block_shape = Grid(None, IDENTITY, height, width), block_shape
        self.reads: list[Window] = []

    def read(self, window: Window, numbers=None) -> np.ndarray:
        self.reads.append(window)
        rows, cols = np.mgrid[: window.height, : window.width]
        return ((rows + window.row) * 10_000 + cols + window.col)[None]


@pytest.mark.parametrize("block_shape", [(256, 256), (1, 900)])
def test_a_sample_is_spread_over_the_image_and_the_same_from_tiles_and_strips(block_shape):
    found = Lattice(700, 900, block_shape)
    sample = units.take_sample(found, [1], None)
    assert sample.shape == (1, 64 * 256)
    assert sample.min() == 0 and sample.max() == 699 * 10_000 + 899
    assert len(found.reads) == (64 if block_shape[0] == 256 else 8)
    other = units.take_sample(Lattice(700, 900, (1, 900)), [1], None)
    assert np.array_equal(np.sort(sample), np.sort(other))


@pytest.mark.parametrize("height, width", [(1, 1), (100, 160), (3, 70_000), (129, 128)])
def test_a_small_image_is_sampled_whole_and_any_size_goes(height, width):
    sample = units.take_sample(Lattice(height, width, (64, 64)), [1], None)
    if height * width <= 128 * 128:
        assert np.array_equal(
            sample[0], Lattice(height, width, (1, 1)).read(Window(0, 0, height, width)).ravel()
        )
    assert 0 < sample.shape[1] <= 128 * 128


def test_a_small_image_in_blocks_is_read_once_and_sampled_at_the_same_places():
    sample = units.take_sample(found := Lattice(300, 400, (256, 256)), [1], None)
    rows, cols = (np.linspace(0, side - 16, 8).astype(int) for side in (300, 400))
    places = [
        (r + i) * 10_000 + c + j for r in rows for c in cols for i in range(16) for j in range(16)
    ]
    assert len(found.reads) == 1 and sample[0].tolist() == places


def test_a_sample_has_no_pixels_without_data_and_nan_for_a_band_without(tmp_path):
    pixels = np.array([[[0, 0, 5, 6]], [[0, 7, 8, 0]]], np.uint16)
    with Image(image(tmp_path / "a.tif", pixels, nodata=0)) as found:
        sample = units.take_sample(found, [2, 1], 0)
    np.testing.assert_array_equal(sample, [[7, 8, np.nan], [np.nan, 5, 6]])


# Units.

TEN_THOUSANDTHS, REFLECTANCE = (
    Scaling("minmax", (100, 200), (3000, 4000)),
    Scaling("minmax", (0.01, 0.02), (0.3, 0.4)),
)


def gain(tmp_path, pixels, scaling, nodata=None) -> float:
    with Image(image(tmp_path / "a.tif", pixels), nodata) as found:
        sample = units.take_sample(found, [1, 2], nodata)
        gains = units.date_gains(sample, 1, found.dtype, scaling)
    assert len(gains) == 2 and gains[0] == gains[1]
    return gains[0]


@pytest.mark.parametrize("method", ["minmax", "standard"])
def test_reflectance_and_ten_thousandths_are_told_apart(tmp_path, method):
    known = [Scaling(method, s.offset, s.scale) for s in (TEN_THOUSANDTHS, REFLECTANCE)]
    pixels = np.random.default_rng(0).uniform(200, 4000, (2, 50, 60))
    for factor in (1, 0.1, 3):  # a dark scene, and a bright one, are of the same unit still
        assert gain(tmp_path, (pixels * factor).astype(np.uint16), known[0]) == 1
        assert gain(tmp_path, (pixels * factor).astype(np.float32), known[0]) == 1
        assert gain(tmp_path, (pixels * factor / 10000).astype(np.float32), known[1]) == 1
        assert gain(tmp_path, (pixels * factor / 10000).astype(np.float32), known[0]) == 10000
        assert gain(tmp_path, (pixels * factor).astype(np.uint16), known[1]) == 1 / 10000
        assert gain(tmp_path, (pixels * factor).astype(np.float32), known[1]) == 1 / 10000


def test_colours_and_images_scaled_by_themselves_are_left_alone(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (2, 20, 20)).astype(np.uint8)
    for top in (255, 1):
        assert gain(tmp_path, photo, Scaling("minmax", (0, 0), (top, top))) == 1
        for colours in (photo, photo / 255):
            floats = colours.astype(np.float32)
            assert gain(tmp_path, floats, Scaling("minmax", (0, 0), (top, top))) == 1
    assert gain(tmp_path, np.full((2, 9, 9), 0.2, np.float32), Scaling("image")) == 1
    decibels = np.random.default_rng(0).uniform(-25, -5, (2, 20, 20)).astype(np.float32)
    assert gain(tmp_path, decibels + 30, TEN_THOUSANDTHS) == 1  # 5 to 25 is no reflectance


def test_no_data_says_nothing_about_the_unit(tmp_path):
    pixels = np.full((2, 30, 30), np.nan, np.float32)
    assert gain(tmp_path, pixels, TEN_THOUSANDTHS) == 1  # nothing to judge by
    pixels[:, :5] = 0.1
    pixels[:, 20:] = -9999
    assert gain(tmp_path, pixels, TEN_THOUSANDTHS, -9999) == 10000
    lone = np.full((2, 700, 700), np.nan, np.float32)
    lone[:, 340:420, 330:420] = 0.1  # a small patch in a large scene is found
    assert gain(tmp_path, lone, TEN_THOUSANDTHS) == 10000


def test_each_date_of_a_stack_has_a_unit_of_its_own():
    sample = np.random.default_rng(0).uniform(0.05, 0.4, (4, 500))
    sample[2:] *= 10_000
    scaling = Scaling("minmax", (100,) * 4, (3000,) * 4)
    gains = units.date_gains(sample, 2, np.dtype(np.float32), scaling)
    assert gains == (10_000, 10_000, 1, 1)


def test_the_unit_of_most_images_is_the_usual_one_and_of_equal_numbers_ten_thousandths():
    low, high = (0.3, np.dtype(np.float32)), (3000, np.dtype(np.uint16))
    assert units.usual([low, low, high]) == pytest.approx(0.3)
    assert units.usual([low, high]) == units.usual([high, (None, low[1]), low, high]) == 3000
    for one in ([low, low], [high, high], [low, (200, np.dtype(np.uint8))], [(None, low[1])], []):
        assert units.usual(one) is None


def test_a_number_becomes_number_plus_offset_times_gain_and_no_data_nan():
    stored = np.array([[[0, 900, 1001]], [[0, 5000, 1000]]], np.uint16)
    found = units.Unit(-1000, (1, 0.5), 0).apply(stored)
    assert found.dtype == np.float32  # whole numbers plus an offset are at least 1
    np.testing.assert_array_equal(found, [[[np.nan, 1, 1]], [[np.nan, 2000, 0.5]]])
    assert units.Unit(-1000, (1, 0.5), 0).apply(stored[1:], [1])[0, 0, 1] == 2000
    assert units.Unit(0, (1, 1), 0).apply(stored) is stored
    floats = np.array([[[0.05, np.nan]]], np.float32)
    np.testing.assert_allclose(units.Unit(-0.1, (1e4,), None).apply(floats), [[[-500, np.nan]]])
    # An offset that no reflectance has is in the unit x 10,000.
    np.testing.assert_allclose(units.Unit(-100, (1e4,), None).apply(floats), [[[400, np.nan]]])


# Fill values.


def reflectances(count=4000, bands=3) -> np.ndarray:
    return np.random.default_rng(0).gamma(4, 500, (bands, count)).astype(np.float32).round()


@pytest.mark.parametrize("value", [-9999, -32768, 1e20, 65535, -3.4028235e38, -1e30])
def test_a_repeated_number_far_from_all_others_is_found_told_and_taken_out(value):
    sample = reflectances()
    sample[1, :400] = value
    found = units.fill_values(sample)
    (text,) = units.filled(found)
    assert list(found) == [pytest.approx(value)]
    assert found.popitem()[1] == pytest.approx(400 / 12_000)
    assert np.isnan(sample[1, :400]).all() and np.isfinite(sample[[0, 2]]).all()
    written = text.rsplit("--nodata=", 1)[1]
    assert text.startswith("3.3% of the numbers are ") and np.float32(written) == np.float32(value)


def test_one_at_each_end_and_several_bands_are_found_together():
    sample = reflectances()
    sample[:, :500], sample[2, 500:600] = -9999, 65535
    assert units.fill_values(sample) == {-9999: 0.125, 65535: 100 / 12_000}


def test_collars_of_0_saturated_pixels_and_lone_numbers_are_no_fill_values():
    collar = np.random.default_rng(1).uniform(400, 4000, (1, 4000)).astype(np.float32)
    collar[:, :900] = 0
    saturated = np.minimum(reflectances() * 3, 10_000)
    photo = np.random.default_rng(2).normal(200, 60, (3, 4000)).clip(0, 255).round()
    lone = reflectances()
    lone[0, 7] = 65535
    mask = np.where(np.random.default_rng(3).random((1, 4000)) < 0.3, 255.0, 0)
    nothing = np.full((2, 50), np.nan)
    for sample in (collar, saturated, photo, lone, mask, nothing, np.empty((2, 0))):
        before = sample.copy()
        assert units.fill_values(sample) == {}
        np.testing.assert_array_equal(sample, before)


# Outside the training.

TRAINED = Scaling("minmax", (100, 200), (1000, 1000))  # 100 to 1100, and 200 to 1200


def test_numbers_outside_the_range_of_the_training_are_told_with_their_share():
    sample = np.random.default_rng(0).uniform(200, 1100, (2, 1000))
    assert units.outside(sample, ["Red", "NIR"], TRAINED) is None
    sample[1, :120] = 30_000  # 6 % of all numbers
    text = units.outside(sample, ["Red", "NIR"], TRAINED)
    assert text.startswith("6% of the numbers lie outside what the network was trained on (band ")
    assert "(band NIR: " in text and "trained on 200 to 1200); check unit, --bands" in text


def test_a_quarter_of_the_range_more_is_no_doubt_and_few_numbers_are_none():
    sample = np.full((2, 100), 500.0)
    for lowest, told in ((-49, False), (-151, True)):
        sample[0, :30] = lowest  # 100 - 250 = -150
        assert bool(units.outside(sample, ["a", "b"], TRAINED)) is told
    sample[0, 9:] = 500  # 9 of 200 numbers are left
    assert units.outside(sample, ["a", "b"], TRAINED) is None


def test_the_range_of_the_standard_scaling_is_4_5_deviations_and_image_has_none():
    sample = np.full((1, 100), 50.0 + 4.6 * 10)
    assert "30 to 70" in units.outside(sample, ["a"], Scaling("standard", (50,), (10,)))
    assert units.outside(sample - 2, ["a"], Scaling("standard", (50,), (10,))) is None
    assert units.outside(sample * 1e6, ["a"], Scaling("image")) is None
    assert units.outside(np.full((1, 9), np.nan), ["a"], TRAINED) is None


REAL = Path(__file__).parents[4] / "shared/realdata"


@pytest.mark.skipif(not REAL.is_dir(), reason="no real imagery beside the project")
def test_real_images_give_no_false_alarm():
    told = []
    for folder in ("hls-worldcover/images", "dubai-aerial/Tile 1/images", "s2-india/images"):
        samples = []
        for path in sorted((REAL / folder).iterdir())[::3]:
            with Image(path) as found:
                samples.append(units.take_sample(found, None, found.nodata))
                assert units.fill_values(samples[-1]) == {}, path
        names = [str(band) for band in range(len(samples[0]))]
        for method in ("minmax", "standard"):
            trained = Scaling.fit(np.concatenate(samples[::2], axis=1), method)
            told += [units.outside(sample, names, trained) for sample in samples[1::2]]
    assert sum(map(bool, told)) <= 0.05 * len(told)  # clouds and snow
