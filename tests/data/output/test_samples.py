"""Samples of image, truth and prediction: which windows are chosen, and how they are drawn."""

import math
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import IDENTITY, Grid
from data.output import samples
from data.output.preview import GAP
from data.output.samples import (
    BEST,
    RIGHT,
    WORST,
    WRONG,
    forget_others,
    gallery,
    of_extreme_windows,
    of_windows,
    side_by_side,
    worst_and_best,
)
from data.training.dataset import Windows
from data.training.scenes import Scene
from data.training.windows import all_windows

ESM = ClassTable.load("esm")
GREY, PURPLE, RED, BLACK = *map(list, ESM.colors), [0, 0, 0]


def held_out(heights: list[int]) -> Windows:
    """One window of 4 x 4 for each scene; scene n is n everywhere, image and labels."""
    scenes = []
    for n, height in enumerate(heights):
        image, labels = np.full((3, height, 4), n, np.uint8), np.full((height, 4), n, np.uint8)
        grid, files = Grid(None, IDENTITY, height, 4), (Path(f"s{n}.png"), Path("m.png"))
        scenes.append(Scene(f"s{n}", *files, grid, image, labels, (None,) * 3, None))
    return Windows(scenes, all_windows(scenes, 4), ["1", "2", "3"], [], [], 4)


@pytest.mark.parametrize(
    "windows, count, shown", [(9, 3, [0, 4, 8]), (2, 6, [0, 1]), (1, 6, [0]), (5, 5, range(5))]
)
def test_samples_are_evenly_spread_and_none_comes_twice(windows, count, shown):
    found = of_windows(held_out([4] * windows), np.zeros((windows, 4, 4), np.uint8), count)
    assert [int(sample["truth"][0, 0]) for sample in found] == [*shown]
    assert [sample["title"] for sample in found] == [f"s{n}.png, row 0, column 0" for n in shown]


def test_a_sample_shows_image_truth_and_prediction_of_one_window_without_its_padding():
    predictions = np.stack([np.full((4, 4), n + 5, np.uint8) for n in range(3)])
    for n, sample in enumerate(of_windows(held_out([4, 2, 3]), predictions, 3)):
        height = (4, 2, 3)[n]
        assert sample["rgb"].shape == (height, 4, 3) and (sample["rgb"] == n).all()
        assert sample["truth"].shape == sample["prediction"].shape == (height, 4)
        assert (sample["truth"] == n).all() and (sample["prediction"] == n + 5).all()


def of_accuracy(*accuracies: float) -> list[dict]:
    return [{"title": f"s{n}", "accuracy": value} for n, value in enumerate(accuracies)]


@pytest.mark.parametrize(
    "accuracies, worst, best",
    [
        ([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.6], [1, 5, 3], [2, 6, 4]),
        ([0.5, 0.1, 0.9, 0.3, 0.7], [1, 3, 0], [2, 4]),
        ([0.5, 0.1], [1], [0]),
        ([math.nan, 0.1, math.nan, 0.2], [1], [3]),
        ([0.5] * 8, [0, 1, 2], [7, 6, 5]),
    ],
)
def test_the_worst_come_first_and_then_the_best(accuracies, worst, best):
    found = worst_and_best(of_accuracy(*accuracies))
    assert [(one["title"], one["group"]) for one in found] == [
        *((f"s{n}", WORST) for n in worst),
        *((f"s{n}", BEST) for n in best),
    ]


@pytest.mark.parametrize("accuracies", [[0.5], [math.nan], [math.nan] * 7, [math.nan, 0.5]])
def test_a_single_sample_and_samples_without_accuracy_are_neither_worst_nor_best(accuracies):
    found = worst_and_best([{}, *of_accuracy(*accuracies)])
    known = [value for value in accuracies if value == value]
    assert len(found) == (len(known) or min(len(accuracies), 6))
    assert all("group" not in one for one in found)


def test_few_samples_are_kept_and_the_choice_is_that_from_all():
    for seed in range(20):
        random = np.random.default_rng(seed)
        every = of_accuracy(*random.choice([0.1, 0.2, 0.5, 0.7, math.nan], 30))
        kept = []
        for part in every[:11], every[11:17], every[17:]:  # as three processes do
            here = []
            for one in part:
                here.append(dict(one))
                forget_others(here)
                assert sum(map(bool, here)) <= samples.SHOWN
            kept += here
        assert worst_and_best(kept) == worst_and_best(every)


def test_windows_with_the_lowest_and_the_highest_accuracy_are_chosen():
    windows = held_out([4] * 9)
    predictions = np.stack([np.full((4, 4), n, np.uint8) for n in range(9)])
    for n, wrong in enumerate([3, 0, 9, 5, 1, 7, 2, 8, 4]):
        predictions[n].flat[:wrong] = 99
    windows.scenes[2].labels[:] = IGNORE  # no label, and one label: too few to judge
    windows.scenes[7].labels[:] = IGNORE
    windows.scenes[7].labels[0, 0] = 7
    found = of_extreme_windows(windows, predictions)
    assert [one["group"] for one in found] == [WORST] * 3 + [BEST] * 3
    assert [one["title"][:2] for one in found] == ["s5", "s3", "s8", "s1", "s4", "s6"]
    assert found[0]["accuracy"] == pytest.approx(9 / 16) and found[0]["rgb"].shape == (4, 4, 3)
    assert (found[0]["prediction"] == predictions[5]).all() and (found[0]["truth"] == 5).all()


def test_figures_and_group_of_a_sample_are_those_of_the_gallery():
    (found,) = gallery([sample(text="t", group=WORST, accuracy=0.8)], ESM)["samples"]
    assert (found["text"], found["group"]) == ("t", WORST)
    assert list(found["pictures"]) == ["image", "truth", "prediction", "errors; 80.0 % right"]


def sample(**changes) -> dict:
    """Two rows of three pixels, one of them wrong."""
    truth = np.array([[0, 0, 0], [0, 1, 2]], np.uint8)
    prediction = np.array([[0, 0, 0], [1, 1, 2]], np.uint8)
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    return {"title": "s", "rgb": image, "truth": truth, "prediction": prediction, **changes}


def drawn(shown: dict) -> dict:
    """{caption: picture} of the only sample of a gallery."""
    (only,) = gallery([shown], ESM)["samples"]
    return {
        caption: imagecodecs.png_decode(picture) for caption, picture in only["pictures"].items()
    }


def test_a_sample_is_drawn_as_image_truth_prediction_and_errors():
    shown = sample()
    shown["truth"][0, 0] = IGNORE  # without a label the prediction is neither right nor wrong
    found = drawn(shown)
    right, wrong = list(RIGHT), list(WRONG)
    assert list(found) == ["image", "truth", "prediction", "errors; 80.0 % right"]  # 4 of 5
    image, truth, prediction, errors = found.values()
    np.testing.assert_array_equal(image, shown["rgb"])
    assert truth.tolist() == [[BLACK, GREY, GREY], [GREY, PURPLE, RED]]
    assert prediction.tolist() == [[GREY, GREY, GREY], [PURPLE, PURPLE, RED]]
    assert errors.tolist() == [[BLACK, right, right], [wrong, right, right]]


def test_a_sample_without_a_label_has_no_share_of_right_pixels():
    shown = sample(truth=np.full((2, 3), IGNORE, np.uint8))
    assert list(drawn(shown))[3] == "errors; – % right"


def test_the_legend_names_every_colour_of_a_gallery():
    found = gallery([sample(title="a"), sample(title="b")], ESM)
    assert [one["title"] for one in found["samples"]] == ["a", "b"]
    assert found["legend"][:3] == list(zip(ESM.names, ESM.colors))
    assert dict(found["legend"][3:]) == {
        "no label": (0, 0, 0),
        "error map: right": RIGHT,
        "error map: wrong": WRONG,
    }


def test_image_truth_and_prediction_stand_side_by_side():
    ((title, found),) = side_by_side([sample()], ESM)
    assert title == "s" and found.shape == (2, 3 + GAP + 3 + GAP + 3, 3)
    np.testing.assert_array_equal(found[:, :3], sample()["rgb"])
    assert found[1, 3 + GAP :][:3].tolist() == [GREY, PURPLE, RED]
    assert found[1, -3:].tolist() == [PURPLE, PURPLE, RED]
