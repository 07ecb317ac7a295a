"""Checks of station 8, against unet/metrics.py and unet/evaluation/area_estimation.py."""

import numpy as np
import torch
from answers import same

from unet.evaluation.area_estimation import Estimator
from unet.metrics import ConfusionMatrix

MATRIX = np.array([[900, 60, 40], [30, 20, 50], [10, 5, 85]])
# Windows of a rare class: two with much of it, well mapped, and six with a few pixels of it.
WINDOWS = [np.array([[500, 20], [20, 460]]), np.array([[600, 10], [30, 360]])]
WINDOWS += [np.array([[990, n], [9 - n, 1]]) for n in range(3, 9)]


def test_macro_dice(ex):
    expected = ConfusionMatrix(3, torch.from_numpy(MATRIX)).macro_dice()
    same("macro Dice", ex.macro_dice(MATRIX), expected)
    absent = np.zeros((4, 4), int)
    absent[:3, :3] = MATRIX
    same("macro Dice with a class that does not occur", ex.macro_dice(absent), expected)


def test_who_pays(ex):
    before = MATRIX.copy()
    same("victim and taker", ex.who_pays(MATRIX), (1, 2))  # recall 0.9, 0.2, 0.85; 50 above 30
    same("victim and taker of the transposed matrix", ex.who_pays(MATRIX.T.copy()), (1, 0))
    assert (before == MATRIX).all(), "victim and taker: the argument was changed"


def mean_of_batches(batches) -> float:
    """Return the mean of the macro Dice of batches of WINDOWS, by the product's matrix."""
    sums = [sum(WINDOWS[number] for number in batch) for batch in batches]
    return float(np.mean([ConfusionMatrix(2, torch.from_numpy(s)).macro_dice() for s in sums]))


def test_a_mean_over_batches_misleads(ex):
    found = ex.two_batchings(WINDOWS)
    for name, batches in zip(("first", "second"), found):
        numbers = sorted(number for batch in batches for number in batch)
        assert numbers == list(range(8)), f"{name} batching: holds {numbers}, not each of 0..7 once"
        assert {len(batch) for batch in batches} == {2}, f"{name} batching: batches are no pairs"
    one, two = map(mean_of_batches, found)
    assert abs(one - two) >= 0.05, f"means of the batchings: {one:.3f} and {two:.3f} are too near"


def test_adjusted_shares(ex):
    mapped = np.array([0.7, 0.1, 0.2])
    windows, places = torch.from_numpy(MATRIX)[None], torch.zeros(1, dtype=torch.int64)
    expected = Estimator(windows, places).rates.corrected(torch.from_numpy(mapped))
    found = ex.adjusted_shares(MATRIX, mapped)
    same("adjusted shares", found, expected)
    same("sum of the adjusted shares", np.sum(found), 1)
