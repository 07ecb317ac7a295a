"""Scenes of the same ground: found by their labels, and never where only a pattern is the same."""

import csv
from pathlib import Path

import numpy as np
import pytest
from small import scene

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import IDENTITY, Window
from data.training import shared_ground
from data.training.mask import Mask
from data.training.shared_ground import (
    BORDERS,
    PATCH,
    agreement,
    equal_images,
    equal_labels,
    find_patches,
    over_patches,
    rich_patches,
)

HLS = Path(__file__).parents[4] / "shared/realdata/hls-worldcover"


def landscape(height: int, width: int, seed: int = 0, classes: int = 4, scale=1) -> np.ndarray:
    """Return labels (height, width) of smooth random fields, cut at quantiles."""
    random = np.random.default_rng(seed)
    field = np.zeros((height, width))
    for size in (32 * scale, 16 * scale, 8 * scale, 4 * scale):
        coarse = random.normal(size=(height // size + 2, width // size + 2))
        for axis, length in ((0, height), (1, width)):
            at = np.arange(length) / size
            low, part = at.astype(int), (at % 1).reshape((-1, 1) if axis == 0 else (1, -1))
            coarse = coarse.take(low, axis) * (1 - part) + coarse.take(low + 1, axis) * part
        field += size**0.7 * coarse
    return np.digitize(field, np.quantile(field, np.arange(1, classes) / classes)).astype(np.uint8)


def tile(labels: np.ndarray, crs=None, **changes):
    return scene(*labels.shape, crs, IDENTITY, labels=labels, **changes)


def cut(labels: np.ndarray, row: int, col: int, size: int = 96):
    return tile(labels[row : row + size, col : col + size])


# By hand.


def test_sums_over_patches_by_hand():
    values = np.arange(110, dtype=np.int64).reshape(10, 11)
    sums, hashes = over_patches(values), over_patches(values, (3, 5))
    assert sums.shape == hashes.shape == (3, 4)
    for row in range(3):
        for col in range(4):
            patch = values[row : row + PATCH, col : col + PATCH]
            powers = np.arange(PATCH)[::-1]
            assert sums[row, col] == patch.sum()
            assert hashes[row, col] == (patch * np.outer(3**powers, 5**powers)).sum()


def test_agreement_by_hand():
    one = tile(np.array([[0, 0, 1], [1, 1, 0]], np.uint8))
    other = tile(np.array([[0, 1, IGNORE], [1, 0, IGNORE]], np.uint8))
    assert agreement(one, other, 0, 1) == (4, 1.0, 1.0)
    # Of four pixels two agree: 0 0 / 1 1 against 0 1 / 1 0. Chance gives a half.
    assert agreement(one, other, 0, 0) == (4, 0.5, 0.0)
    assert agreement(one, other, 2, 0) == (0, 0.0, 0.0)
    assert agreement(tile(np.zeros((4, 4), np.uint8)), tile(np.zeros((4, 4), np.uint8)), 0, 0) == (
        16,
        1.0,
        0.0,
    )


def test_two_tiles_of_one_map_are_found_with_their_shift():
    ground = landscape(140, 140)
    assert equal_labels([cut(ground, 0, 0), cut(ground, 40, 25)]) == [(0, 1, 40, 25, True)]
    assert equal_labels([cut(ground, 30, 0), cut(ground, 0, 44)]) == [(0, 1, -30, 44, True)]
    assert equal_labels([cut(ground, 0, 0), cut(landscape(140, 140, seed=1), 0, 0)]) == []


def test_clouds_in_one_of_two_dates_do_not_count():
    ground = landscape(96, 96)
    cloudy = ground.copy()
    cloudy[20:60, 30:70] = IGNORE
    assert equal_labels([tile(ground), tile(cloudy)]) == [(0, 1, 0, 0, True)]


def test_labels_of_a_grid_shifted_by_a_third_of_a_pixel_agree_but_are_not_equal():
    fine = landscape(420, 420, scale=3)
    one, other = fine[:288:3, :288:3], fine[31 : 31 + 288 : 3, 60 : 60 + 288 : 3]
    (link,) = equal_labels([tile(one), tile(other)])
    assert link == (0, 1, 10, 20, False)


def test_scenes_with_a_crs_are_compared_only_with_scenes_without():
    ground = landscape(96, 96)
    with_crs = scene(96, 96, labels=ground)
    assert equal_labels([with_crs, with_crs]) == []
    assert equal_labels([with_crs, tile(ground), with_crs])[0] == (0, 1, 0, 0, True)
    assert equal_labels([with_crs, with_crs, tile(landscape(96, 96, 1))]) == []


def test_rich_patches_are_those_of_a_naive_search():
    labels = landscape(40, 50)
    labels[5:9, 20:24] = IGNORE
    hashes, rows, cols = rich_patches(labels, 2**32 - 1)
    found = set(zip(rows.tolist(), cols.tolist()))
    unlike = np.zeros(labels.shape, int)  # with the neighbours below and to the right
    unlike[:-1] += labels[1:] != labels[:-1]
    unlike[:, :-1] += labels[:, 1:] != labels[:, :-1]
    patches = {}
    for row in range(40 - PATCH + 1):
        for col in range(50 - PATCH + 1):
            square = slice(row, row + PATCH), slice(col, col + PATCH)
            if unlike[square].sum() >= BORDERS and not (labels[square] == IGNORE).any():
                patches[row, col] = labels[square].tobytes()
    assert found == patches.keys() and len(found) > 100
    assert len({*hashes.tolist()}) == len({*patches.values()})


def test_patches_that_repeat_in_a_scene_are_left_out():
    ground = landscape(64, 64)
    patches = find_patches([tile(np.hstack([ground, ground]))])
    assert len(patches.col) and patches.col.min() > 64 - PATCH - 1 and patches.col.max() < 64


@pytest.mark.parametrize("seed", range(3))
def test_tiles_of_three_maps_are_joined_map_by_map_at_their_true_shifts(seed):
    random = np.random.default_rng(seed)
    maps = [landscape(200, 200, seed=10 * seed + n) for n in range(3)]
    origin = [(n, *random.integers(0, 105, 2).tolist()) for n in [0, 1, 2] * 6]
    links = equal_labels([cut(maps[n], row, col) for n, row, col in origin])
    for one, other, row, col, equal in links:
        (a, *at), (b, *there) = origin[one], origin[other]
        assert a == b and equal and (there[0] - at[0], there[1] - at[1]) == (row, col)
    assert len(links) == 18 - 3


def test_strips_and_a_sample_of_patches_find_the_same(monkeypatch):
    ground = landscape(300, 300)
    scenes = [cut(ground, 0, 0, 200), cut(ground, 60, 70, 200)]
    in_one_strip = find_patches(scenes)
    monkeypatch.setattr(shared_ground, "STRIP", 200 * 20)
    whole = find_patches(scenes)
    assert all(map(np.array_equal, whole, in_one_strip))
    assert equal_labels(scenes) == [(0, 1, 60, 70, True)]
    monkeypatch.setattr(shared_ground, "SAMPLE", 2 * 200**2 / 4)
    part = find_patches(scenes)
    assert 0.15 < len(part.hashes) / len(whole.hashes) < 0.35
    assert equal_labels(scenes) == [(0, 1, 60, 70, True)]


# What must not be joined.

ROWS, COLS = np.mgrid[:128, :128]


def straight(seed: int) -> np.ndarray:
    """A coast line: land and sea on either side of a straight border."""
    turn, offset = np.random.default_rng(seed).uniform((0, -20), (6, 20))
    return (ROWS - 64) * np.sin(turn) + (COLS - 64) * np.cos(turn) > offset


def fields(seed: int) -> np.ndarray:
    """Rectangular fields of three crops."""
    random = np.random.default_rng(seed)
    rows, cols = (np.sort(random.choice(128, 6, replace=False)) for _ in range(2))
    return random.integers(0, 3, (7, 7))[np.searchsorted(rows, ROWS), np.searchsorted(cols, COLS)]


def pivots(seed: int) -> np.ndarray:
    """Round fields of one size on a regular grid, each with one of two crops, or empty."""
    random = np.random.default_rng(seed)
    inside = np.hypot(ROWS % 32 - 15.5, COLS % 32 - 15.5) < 14
    return inside * random.integers(0, 3, (4, 4))[ROWS // 32, COLS // 32]


def houses(seed: int) -> np.ndarray:
    """Houses of one shape in land, beside a road."""
    random = np.random.default_rng(seed)
    labels = np.zeros((128, 128), int)
    labels[:, 60:63] = 1
    for row, col in random.integers(0, 120, (10, 2)):
        labels[row : row + 6, col : col + 4] = 2
        labels[row + 2 : row + 4, col + 4 : col + 6] = 2
    return labels


PATTERNS = {
    "empty": lambda seed: np.full((128, 128), IGNORE),
    "one class": lambda seed: np.ones((128, 128)),
    "stripes": lambda seed: (COLS // 3) % 3,
    "thin stripes": lambda seed: (COLS + ROWS) % 3,
    "a chess board": lambda seed: (COLS // 2 + ROWS // 2) % 2,
    "coast lines": straight,
    "a corner": lambda seed: (ROWS < 64) & (COLS < 64 + seed),
    "four fields": lambda seed: (ROWS < 64 + seed) * 2 + (COLS < 64),
    "fields": fields,
    "pivots": pivots,
    "houses": houses,
    "land": lambda seed: landscape(128, 128, seed, classes=6),
    "land of two classes": lambda seed: landscape(128, 128, seed, classes=2),
    "mirrored land": lambda seed: np.rot90(landscape(128, 128, 5), seed)[:: 1 - 2 * (seed // 4)],
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_equal_patterns_are_not_the_same_ground(pattern):
    scenes = [tile(np.asarray(pattern(seed)).astype(np.uint8)) for seed in range(8)]
    assert equal_labels(scenes) == []


# Images.


def test_one_image_under_two_names_with_different_masks():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 9000, (2, 3, 40, 50)).astype(np.uint16)
    empty = np.zeros((3, 40, 50), np.uint16)
    scenes = [scene(40, 50, None, IDENTITY, image=i) for i in (a, b, a, empty, empty)]
    assert equal_images(scenes) == [(0, 2, 0, 0, True)]
    assert equal_images([*scenes[:2], scene(40, 50, image=a)]) == [(2, 0, 0, 0, True)]
    assert equal_images([scene(40, 50, image=a), scene(40, 50, image=a)]) == []


# Real tiles.


@pytest.mark.skipif(not HLS.is_dir(), reason="no real imagery beside the project")
def test_tiles_of_five_real_places():
    with open(HLS / "places.csv", newline="") as file:
        place = {row["tile"]: row["place"] for row in csv.DictReader(file)}
    table = ClassTable.load(HLS.parent / "worldcover.csv")
    wanted = ["3", "11", "13", "16", "25"]
    names = [name for name in sorted(place) if place[name] in wanted]
    scenes = []
    for name in names:
        with Mask(HLS / f"masks/{name}.tif", table) as mask:
            scenes.append(tile(mask.read(Window(0, 0, mask.grid.height, mask.grid.width))))
    ground = np.arange(len(scenes))
    for link in equal_labels(scenes):
        if link.equal:
            assert place[names[link.one]] == place[names[link.other]]
            ground[ground == ground[link.other]] = ground[link.one]
    assert len(names) > 40 and len({*ground}) <= 2 * len(wanted)
