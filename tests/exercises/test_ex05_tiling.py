"""Checks of station 5, with a network of one layer, and against the weights of data/tiling.py."""

import numpy as np
from answers import same

from data import tiling

RADIUS, RAMP, SIZE = 5, 8, 64


def network(window: np.ndarray) -> np.ndarray:
    """A convolution with zeros beyond the rim: the mean of the 11 pixels around each."""
    return np.convolve(window, np.full(2 * RADIUS + 1, 1 / (2 * RADIUS + 1)), "same")


def largest_error(ex, overlap: int, weights: np.ndarray) -> float:
    """Predict a scene of ones in three windows. The true prediction is 1 away from its ends."""
    starts = [number * (SIZE - overlap) for number in range(3)]
    length = starts[-1] + SIZE
    made = ex.blend([network(np.ones(SIZE)) for _ in starts], starts, length, weights)
    assert np.shape(made) == (length,), f"blend: the shape is {np.shape(made)}, not ({length},)"
    middle = made[SIZE // 2 : -SIZE // 2]
    return float(np.abs(middle - 1).max())


def test_weight_of_a_window(ex):
    for size, overlap, ramp in ((256, 64, 8), (64, 18, 8), (32, 8, 8)):
        found = ex.weight(size, overlap, ramp)
        assert np.shape(found) == (size,), f"weight: the shape is {np.shape(found)}, not ({size},)"
        pair = found[-overlap:] + found[:overlap]
        what = f"sum of the weights of neighbours, size {size}, overlap {overlap}"
        same(what, pair, np.ones(overlap))
    axis = tiling.axis(1000, 256, 64)
    same("weight of an inner window", ex.weight(256, 64, tiling.RAMP), axis.weights[1])


def test_blend(ex):
    one, two = np.array([1.0, 1, 1, 1]), np.array([5.0, 5, 5, 5])
    weights = np.array([0.0, 0.25, 0.75, 1])
    # Pixel 2: (0.75 * 1 + 0 * 5) / 0.75; pixel 3: (1 * 1 + 0.25 * 5) / 1.25; pixel 0: no weight.
    expected = [np.nan, 1, 1, 1.8, 5, 5]
    same("blend of two windows", ex.blend([one, two], [0, 2], 6, weights), expected)


def test_seams_appear_and_disappear(ex):
    flat = np.ones(SIZE)
    seam = largest_error(ex, 0, flat)
    assert seam > 0.4, f"without overlap the seam is {seam:.2f}, and should be near 0.45"
    seam = largest_error(ex, 18, flat)
    assert seam > 0.1, f"with equal weights the seam is {seam:.2f}: overlap alone does not help"
    seam = largest_error(ex, 18, ex.weight(SIZE, 18, RAMP))
    assert seam < 1e-9, f"with an overlap of 18 and weights a seam of {seam:.1g} is left"


def test_least_overlap(ex):
    least = ex.least_overlap(RADIUS, RAMP)
    assert isinstance(least, int), f"least overlap: is {least!r}, and should be an int"
    seam = largest_error(ex, least, ex.weight(SIZE, least, RAMP))
    assert seam < 1e-9, f"least overlap: with {least} pixels a seam of {seam:.1g} is left"
    seam = largest_error(ex, least - 2, ex.weight(SIZE, least - 2, RAMP))
    assert seam > 1e-6, f"least overlap: {least - 2} pixels are enough for radius {RADIUS}"
