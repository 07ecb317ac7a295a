"""The figure by which epochs are compared: unet/training/monitor.py."""

import math

import pytest

from unet.training.monitor import MONITORS


@pytest.mark.parametrize(("name", "good", "bad"), [("macro_dice", 0.9, 0.1), ("loss", 0.1, 0.9)])
def test_the_better_of_two_values(name, good, bad):
    monitor = MONITORS[name]
    assert monitor.better(good, bad) and not monitor.better(bad, good)
    assert not monitor.better(good, good)
    assert monitor.better(bad, monitor.worst)


@pytest.mark.parametrize("monitor", MONITORS.values())
def test_a_value_that_is_not_a_number_is_never_better(monitor):
    assert not monitor.better(math.nan, monitor.worst) and not monitor.better(math.nan, 0.5)


def test_an_epoch_in_words():
    assert MONITORS["loss"].in_words(7, 0.12345) == "epoch 7, validation loss 0.1235"
    assert MONITORS["macro_dice"].in_words(7, 0.5) == "epoch 7, validation macro Dice 0.5000"
