"""Samples of image, truth and prediction: which windows are chosen, and how they are drawn."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import IDENTITY, Grid
from data.output.preview import GAP
from data.output.samples import RIGHT, WRONG, gallery, of_windows, side_by_side
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
