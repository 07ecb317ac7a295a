"""Scores on held-out ground, by hand."""

import numpy as np
import pytest

from data.files import IGNORE
from unet.evaluation.scores import page, score_table, score_tables
from unet.evaluation.unseen import MapConfusion, facts, sentence
from unet.metrics import ConfusionMatrix

NAMES, CLASSES = ["land", "water"], [("land", (0, 0, 0)), ("water", (0, 0, 255))]


def compared(target, prediction, trained) -> MapConfusion:
    scores, target = MapConfusion(2), np.array(target, np.uint8)
    held_out = np.where(np.array(trained, bool), IGNORE, target).astype(np.uint8)
    scores.count(np.array(prediction, np.uint8), target, held_out)
    return scores


HALF = compared([0, 0, 1, IGNORE, 1, 0], [0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1])


def test_pixels_that_were_not_trained_on_are_counted_twice():
    assert HALF.matrix.tolist() == [[2, 1], [1, 1]]
    assert HALF.held_out.matrix.tolist() == [[0, 0], [1, 1]]
    total = HALF + HALF
    assert total.matrix.tolist() == [[4, 2], [2, 2]]
    assert total.held_out.matrix.tolist() == [[0, 0], [2, 2]]


def test_a_sum_is_known_if_both_parts_are():
    unknown = MapConfusion(2)
    unknown.count(np.array([1]), np.array([1]), None)
    assert unknown.held_out is None and unknown.matrix.sum() == 1
    for total in (HALF + unknown, unknown + HALF, HALF + ConfusionMatrix(2)):
        assert total.held_out is None


ALL = compared([0, 1], [0, 1], [1, 1])
NONE = compared([0, 1], [0, 0], [0, 0])
FEW = compared([0] * 5000, [0] * 5000, [1] + [0] * 4999)
MOST = compared([0] * 5000, [0] * 5000, [0] + [1] * 4999)


@pytest.mark.parametrize(
    "scores, expected, tables",
    [
        (HALF, "60.0 % of a.tif was trained on; the rest, held-out ground, has a table too", 2),
        (ALL, "all of a.tif was trained on: these scores do not hold for other ground", 1),
        (NONE, "none of a.tif was trained on", 1),
        (FEW, "0.1 % of a.tif was trained on", 2),
        (MOST, "99.9 % of a.tif was trained on", 2),
        (MapConfusion(2), "", 1),
        (MapConfusion(2, None, ConfusionMatrix(2)), "", 1),
    ],
)
def test_the_share_that_was_trained_on_is_said_and_the_rest_has_a_table(scores, expected, tables):
    assert sentence(scores, "a.tif").startswith(expected) and bool(expected) == bool(
        sentence(scores, "a.tif")
    )
    text = score_tables(NAMES, scores, "a.tif")
    assert text.startswith(expected) and text.count("macro Dice") == tables
    assert score_table(NAMES, scores) in text
    if tables == 2:
        assert text.endswith(score_table(NAMES, scores.held_out, "held-out ground"))


def test_the_report_has_the_macro_dice_of_the_held_out_ground():
    """Land: 0 of 0 + 1 predicted. Water: 2 * 1 of 2 + 1. Dice 0 and 0.6667."""
    fact = ("macro Dice on held-out ground", "0.3333")
    assert facts(HALF) == [fact] and fact in page("t", CLASSES, [HALF], {})["summary"]
    assert fact in page("t", CLASSES, [HALF, HALF], {})["summary"]
    assert facts(ALL) == [("macro Dice on held-out ground", "all was trained on")]
    assert facts(MapConfusion(2)) == facts(ConfusionMatrix(2)) == []
