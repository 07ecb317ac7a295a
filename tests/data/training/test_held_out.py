"""Windows held out by images, at random, and the record of the split."""

import itertools
import shutil
from functools import cache, partial

import numpy as np
import pyproj
import pytest
import small
import torch
from small import scene

import train
from data.files import InputError
from data.training.held_out import at_random, held_out_scenes, of_scenes, others, record
from data.training.places import located, same_masks
from data.training.windows import all_windows
from unet.training import split_record

WORDS = ["--validation"]


def test_a_share_is_a_number_and_paths_are_a_list():
    assert train.parse([]).validation == 0.2
    assert train.parse([*WORDS, "0.5"]).validation == 0.5
    assert train.parse([*WORDS, "cities", "0.tif"]).validation == ["cities", "0.tif"]
    assert train.parse([]).split == "blocks"


@pytest.mark.parametrize(
    "words, message",
    [
        (["0.2", "0.3"], "--validation: give one share, or paths"),
        (["0.2", "a.tif"], "--validation: give one share, or paths"),
        (["0"], "--validation: 0 must be a number above 0 and below 1"),
        (["7"], r"--validation: 7 must be .*; for the folder of that name, give ./7"),
        (["nan"], "--validation: nan must be a number above 0"),
    ],
)
def test_shares_and_paths_are_not_mixed(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7").mkdir()
    with pytest.raises(InputError, match=message):
        train.parse([*WORDS, *words])


transformer = cache(partial(pyproj.Transformer.from_crs, always_xy=True))


def shares_ground(scenes, one, other) -> bool:
    """Whether a point of a lattice in one window lies inside the other, by pyproj."""
    (number, window, _), (other_number, there, _) = one, other
    grid, other_grid = scenes[number].grid, scenes[other_number].grid
    at = np.array([*itertools.product(np.linspace(0.002, 0.998, 25), repeat=2)]).T
    x, y = grid.xy(window.row + at[0] * window.height, window.col + at[1] * window.width)
    row, col = other_grid.rowcol(*transformer(grid.crs, other_grid.crs).transform(x, y))
    down = (row > there.row) & (row < there.row + there.height)
    return bool((down & (col > there.col) & (col < there.col + there.width)).any())


def three_scenes() -> list:
    """Two overlapping scenes, and one on the same ground in another zone."""
    zone = pyproj.Transformer.from_crs(32631, 32632, always_xy=True)
    x, y = zone.transform(740400, 4620000)
    return [
        scene(61, 70, transform=(10, 0, 740000, 0, -10, 4620300), mask="0"),
        scene(50, 43, transform=(10, 0, 740455, 0, -10, 4620100), mask="1"),
        scene(40, 40, pyproj.CRS(32632), (12, 0, x, 0, -12, y), mask="2"),
    ]


@pytest.mark.parametrize("held", [[0], [1], [2]])
def test_all_windows_of_an_image_validate_and_no_training_window_shares_their_ground(held):
    scenes = three_scenes()
    items, spots = all_windows(scenes, 18), located(scenes, [])
    chosen = np.isin(np.arange(3), held)
    training, validation, left_out = of_scenes(chosen, items, spots)
    assert validation == [n for n, item in enumerate(items) if item.scene in held]
    near = [any(shares_ground(scenes, items[v], item) for v in validation) for item in items]
    expected = [n for n, item in enumerate(items) if item.scene not in held and not near[n]]
    assert training == expected and 0 < left_out == len(items) - len(training) - len(validation)


def test_a_place_that_a_validation_image_shows_does_not_train():
    scenes = [scene(crs=None, transform=(1, 0, 0, 0, 1, 0), mask=f"{n}") for n in range(4)]
    spots = [spot._replace(place=n % 2) for n, spot in enumerate(located(scenes, []))]
    training, validation, left_out = of_scenes(np.arange(4) == 3, all_windows(scenes, 64), spots)
    assert (training, validation, left_out) == ([0, 2], [3], 1)


def test_an_error_says_when_no_window_is_left_for_one_side():
    scenes = [scene(mask="0"), scene(mask="1")]
    items, spots = all_windows(scenes, 64), located(scenes, [])
    with pytest.raises(InputError, match="1 of 2 windows are held out, and 1 share ground"):
        of_scenes(np.array([True, False]), items, spots)
    with pytest.raises(InputError, match="no window of these images has a label"):
        of_scenes(np.array([True, False]), items[1:], spots)
    with pytest.raises(InputError, match="1 windows: none is left for training"):
        at_random(items[:1], 0.2, 0, spots)


def test_a_random_split_counts_the_validation_windows_on_ground_and_images_of_the_training():
    far = [(10, 0, 800000 + 900 * n, 0, -10, 4700000) for n in range(6)]  # a window each
    scenes = [*three_scenes(), *(scene(18, 18, transform=t, mask=f"{t}") for t in far)]
    items, spots = all_windows(scenes, 18), located(scenes, [])
    training, validation, shared = at_random(items, 0.7, 1, spots)
    assert sorted(training + validation) == [*range(len(items))]
    assert len(validation) == round(0.7 * len(items))

    def near(one, other) -> bool:
        return one.scene == other.scene or shares_ground(scenes, one, other)

    beside = [any(near(items[t], items[v]) for t in training) for v in validation]
    assert shared == sum(beside) and 0 < shared < len(validation)
    assert at_random(items, 0.7, 1, spots)[1] == validation != at_random(items, 0.7, 2, spots)[1]


def test_images_are_named_by_file_and_by_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scenes = [scene() for _ in range(3)]
    for number, one in enumerate(scenes):
        object.__setattr__(one, "image_path", tmp_path / f"d{number}/a.tif")
    object.__setattr__(scenes[2], "later_dates", (tmp_path / "d9/b.tif",))
    for paths, expected in (
        (["d0/a.tif"], [0]),
        ([str(tmp_path / "d1"), "./d0/../d0/"], [0, 1]),
        (["d9"], [2]),
    ):
        assert np.flatnonzero(held_out_scenes(scenes, paths)).tolist() == expected
    assert others(scenes, ["d9/b.tif"]) == scenes[:2] and others(scenes, 0.2) == scenes
    with pytest.raises(InputError, match="--validation d5: none of the images"):
        held_out_scenes(scenes, ["d0", "d5"])


def test_the_record_has_every_window_once_and_of_overfitting_twice():
    scenes = three_scenes()[:2] + [scene(20, 10, None, (1, 0, 0, 0, 1, 0), mask="0")]
    items = all_windows(scenes, 30)
    split = record(scenes, items, located(scenes, same_masks(scenes)), [0, 0, 2], [2, 3])
    split_record.FORM(split | {"pixels": ["a", "b", "c"]}, "split")
    rows = [(i.scene, *i.window) for i in items]
    parts = {number: [2] for number in range(len(items))} | {0: [0], 2: [0, 1], 3: [1]}
    expected = [[*rows[n], part] for n, those in parts.items() for part in those]
    assert split["windows"].tolist() == expected
    assert pyproj.CRS.from_wkt(*split["crs"]) == scenes[0].grid.crs
    assert split["places"][:, 0].tolist() == [0, 0, 0]  # the third shares a mask with the first
    assert split["places"][:, 2:].tolist() == [[61, 70], [50, 43], [20, 10]]
    assert torch.equal(split["transforms"][1], torch.tensor(scenes[1].grid.transform).double())


# With files.


def test_images_of_other_places_validate_beside_or_among_the_images(tmp_path):
    args = small.options(tmp_path)
    images, masks = tmp_path / "in/images", tmp_path / "in/masks"
    among, said = small.load(small.options(tmp_path, validation=[str(images / "s_3.tif")]))
    line = "3 for training, 1 for validation, 0 left out because they share ground with the images"
    assert f"{line} of --validation, 1 of 4" in said
    (tmp_path / "cities").mkdir()
    shutil.move(images / "s_3.tif", tmp_path / "cities/s_3.tif")
    beside, said = small.load(small.options(tmp_path, validation=[str(tmp_path / "cities")]))
    assert line in said and "4 scenes, 4 windows" in said
    for data in (among, beside):
        assert [data.validation.scene_of(0).name, len(data.validation)] == ["s_3", 1]
        assert data.counts.sum() == 3 * 48 * 48
    assert among.checkpoint["scaling"] == beside.checkpoint["scaling"]
    # The scaling and the classes are those of the other three alone.
    (masks / "m_3.tif").rename(tmp_path / "m_3.tif")
    alone, _ = small.load(small.options(tmp_path, overfit=3))
    assert alone.checkpoint["scaling"] == beside.checkpoint["scaling"]
    assert np.array_equal(np.sort(alone.counts[:3], 0), np.sort(beside.counts, 0))
    with pytest.raises(InputError, match="1 images without a mask"):
        small.load(small.options(tmp_path, validation=[str(tmp_path / "cities")]))
    assert args.validation == 0.25


def test_a_copy_of_a_validation_image_under_another_name_does_not_train(tmp_path):
    for crs in (32631, None):
        folder = tmp_path / f"{crs}"
        images, masks, table = small.write(folder, count=3, crs=crs)
        shutil.copy(images / "s_2.tif", images / "s_7.tif")
        shutil.copy(masks / "m_2.tif", masks / "m_7.tif")
        places = {"images": [images], "masks": [masks], "classes": table}
        args = small.options(folder, **places, validation=[str(images / "s_2.tif")])
        _, said = small.load(args)
        assert "2 for training, 1 for validation, 1 left out because they share ground" in said


def test_a_random_split_says_how_many_windows_share_ground(tmp_path):
    args = small.options(tmp_path, size=32, split="random")  # 4 windows an image, which overlap
    _, said = small.load(args)
    line = (
        "12 for training, 4 for validation, drawn at random; 4 of these 4 share ground or an image"
    )
    assert f"{line} with training windows, so scores are too high for other ground" in said
    # Windows side by side share no ground, but one image. One window an image shares neither.
    _, said = small.load(small.options(tmp_path, size=24, split="random"))
    assert "4 of these 4 share ground or an image with training windows, so" in said
    _, said = small.load(small.options(tmp_path, size=48, split="random"))
    assert "drawn at random; 0 of these 1 share ground or an image with training windows\n" in said


def test_overfitting_is_recorded(tmp_path):
    split = small.load(small.options(tmp_path, overfit=2))[0].checkpoint["split"]
    parts = split["windows"][:, 5].tolist()
    assert sorted(parts) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"split": "random"}, "--split random: draws windows of all images; leave it or"),
        ({"images": None}, "--validation a b: give --images and --masks, too"),
        ({"overfit": 3}, "--overfit: validates on its own windows; leave it or"),
        ({"validation": [0.2]}, "--validation 0.2: give one share"),
        ({"validation": []}, "give one share"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        small.load(small.options(tmp_path, **{"validation": ["a", "b"], **changes}))
    assert not (tmp_path / "cache").exists()
