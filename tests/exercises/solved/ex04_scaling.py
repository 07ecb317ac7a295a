"""Answers to station 4."""

import numpy as np


def normalized_difference(a, b):
    a, b = a.astype(np.float32), b.astype(np.float32)
    total = a + b
    return np.where(total == 0, 0, (a - b) / np.where(total == 0, 1, total))


def _with_data(band, nodata):
    return np.isfinite(band) & (band != nodata if nodata is not None else True)


def fit(band, nodata):
    low, high = np.percentile(band[_with_data(band, nodata)], (1, 99))
    return low, high


def scale(band, limits, nodata):
    low, high = limits
    scaled = np.clip((band - low) / (high - low), -1, 2)
    return np.where(_with_data(band, nodata), scaled, 0)


def scaled_three_times(value, first, second):
    both = np.concatenate([first.ravel(), second.ravel()])
    found = []
    for pixels in (first, second, both):
        low, high = fit(pixels, None)
        found.append((value - low) / (high - low))
    return tuple(found)
