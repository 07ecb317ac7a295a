"""Checks of station 4, against data/bands.py and data/scaling.py."""

import numpy as np
from answers import same

from data import bands
from data.scaling import Scaling, network_input

RANDOM = np.random.default_rng(0)
BAND = RANDOM.uniform(100, 4000, (40, 40)).astype(np.float32)
LAKES = np.where(RANDOM.random((30, 30)) < 0.3, 300, RANDOM.uniform(1500, 4000, (30, 30)))
FIELDS = RANDOM.uniform(300, 1200, (30, 30))  # dark fields, and no water


def test_an_index_of_16_bit_bands(ex):
    nir, red = RANDOM.integers(0, 65536, (2, 20, 20)).astype(np.uint16)
    nir[0], red[0] = 0, 0  # 0 / 0
    nir[1], red[1] = 1, 40000
    expected = bands.normalized_difference(nir, red)
    same("index of uint16 bands", ex.normalized_difference(nir, red), expected, within=1e-5)


def holes() -> np.ndarray:
    """A band with a tenth of its pixels declared as no-data, and some NaN."""
    band = BAND.copy()
    band[:4], band[7, :9] = -9999, np.nan
    return band


def test_percentiles_of_pixels_with_data(ex):
    for what, band, nodata in (("no holes", BAND, None), ("no-data and NaN", holes(), -9999)):
        known = band[np.isfinite(band) & (band != -9999)]
        found = Scaling.fit(known[None], "minmax")
        expected = found.offset[0], found.offset[0] + found.scale[0]
        same(f"percentiles of a band with {what}", ex.fit(band, nodata), expected, within=1e-4)


def test_scaled_band(ex):
    band, limits = holes(), (200.0, 1000.0)
    before = band.copy()
    scaling = Scaling("minmax", (200.0,), (800.0,))
    expected, _ = network_input(band[None], ["Red"], [], scaling, -9999)
    same("scaled band", ex.scale(band, limits, -9999), expected[0], within=1e-4)
    assert np.array_equal(band, before, equal_nan=True), "scaled band: the argument was changed"


def test_one_value_scaled_three_times(ex):
    expected = []
    for pixels in (LAKES, FIELDS, np.concatenate([LAKES, FIELDS])):
        found = Scaling.fit(pixels.reshape(1, -1), "image")
        expected.append((1000 - found.offset[0]) / found.scale[0])
    found = ex.scaled_three_times(1000, LAKES, FIELDS)
    same("1000 scaled three times", found, expected, within=1e-4)
    # The lesson: by itself, each image makes another number of one reflectance.
    assert abs(expected[0] - expected[1]) > 0.5, "the images are too similar to show anything"
