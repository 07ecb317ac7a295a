"""Where scenes lie without a CRS: named by --places, or found by mask, labels and pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import UTM31, load, options, scene, write
from test_shared_ground import landscape

from data.files import InputError
from data.grid import IDENTITY, Window
from data.training.places import find_spots, located, named, numbers, same_masks
from data.training.shared_ground import PATCH, Link
from data.training.split import split
from data.training.windows import all_windows


def images(*names: str):
    return [replace(scene(), image_path=Path(name)) for name in names]


# --places.


def test_a_file_names_the_place_of_each_image(tmp_path):
    file = tmp_path / "places.csv"
    file.write_text("image,place\na,north\nb.tif,south\nmay/c,west\n\nd,\n")
    scenes = images("in/a.tif", "in/b.tif", "in/may/c.png", "other/a.jpg")
    assert named(scenes, str(file)) == ["north", "south", "west", "north"]
    file.write_text("tile,place\n1,7\n2,7\n")
    assert named(images("1.tif", "2.tif"), str(file)) == ["7", "7"]


def test_a_pattern_finds_the_place_in_the_name():
    scenes = images("a/bern_2_1.tif", "a/bern_2_2.tif", "a/chur_1.png")
    assert named(scenes, r"(.*)_\d+") == ["bern_2", "bern_2", "chur"]
    assert named(scenes, r"(\w)\w+") == ["b", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,place\na,1\n", r"2 images without a place \(b.tif, c.tif\)"),
        ("image,place\na,1\nb,1\nc.tif,2\nc,3\n", r"1 images with several places \(c.tif\)"),
        ("image,town\na,1\n", "columns are image, town; write image,place"),
        ("", "write image,place"),
    ],
)
def test_a_file_that_leaves_a_doubt_is_an_error(tmp_path, text, message):
    file = tmp_path / "places.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        named(images("a.tif", "b.tif", "c.tif"), str(file))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(.*)_\d", r"1 images without a place \(b_x.tif\)"),
        (r"(.)", r"2 images without a place \(a_1.tif, b_x.tif\)"),
        (r".*", "no group for the place"),
        (r"(", "neither a file nor a regular expression"),
        ("nothing.csv", "no such file"),
        ("(b)?.*", r"1 images without a place \(a_1.tif\)"),
    ],
)
def test_a_pattern_that_leaves_a_doubt_is_an_error(pattern, message):
    with pytest.raises(InputError, match=message):
        named(images("a_1.tif", "b_x.tif"), pattern)


def test_scenes_of_one_place_have_one_number():
    """The second is another date of the first, and the fourth shares the mask of the third."""
    east = {"transform": (10, 0, 5e5, 0, -10, 4.6e6)}
    placed = [scene(), scene(mask="b"), scene(**east)]
    loose = [scene(crs=None, transform=IDENTITY, mask=mask) for mask in ("c", "c", "d")]
    scenes = placed + loose
    assert numbers(located(scenes, same_masks(scenes))) == [0, 0, 1, 2, 2, 3]
    by_name = [replace(one, image_path=Path(f"{n % 2}_{n}.tif")) for n, one in enumerate(scenes)]
    spots, _ = find_spots(by_name, "(.)_.")
    assert numbers(spots) == [0, 1, 0, 1, 0, 1]


def test_many_names_are_cut_short():
    with pytest.raises(InputError, match="8 images without.*and 3 more"):
        named(images(*(f"{n}.tif" for n in range(8))), "x(.*)")


def test_a_named_place_goes_to_one_side_with_and_without_a_crs():
    scenes = [scene(60, 60, transform=(10, 0, 4e5 + 1e4 * n, 0, -10, 4.6e6)) for n in range(12)]
    scenes += [scene(60, 60, None, IDENTITY, mask=f"{n}") for n in range(12)]
    scenes = [replace(s, image_path=Path(f"p{n % 6}_{n}.tif")) for n, s in enumerate(scenes)]
    items = all_windows(scenes, 20)
    spots, lines = find_spots(scenes, "(p.)_.*")
    assert lines == ["6 places from (p.)_.*"]
    for seed in range(6):
        training, validation, left_out = split(scenes, items, 0.2, seed, spots)
        sides = [{items[n].scene % 6 for n in side} for side in (training, validation)]
        assert not sides[0] & sides[1] and left_out == 0 and len(sides[1]) == 1


def test_the_option_reaches_the_split_and_the_log(tmp_path):
    write(tmp_path / "in", count=8, crs=None)
    data, text = load(options(tmp_path, places=r"s_(\d).*"))
    assert r"8 places from s_(\d).*" in text and len(data.validation) == 2
    with pytest.raises(InputError, match="none is left for training"):
        load(options(tmp_path, places="(s)_.*"))


# Spots.


def test_a_chain_of_shifts_lies_in_the_coordinates_of_the_first():
    scenes = [scene(9, 9, None, IDENTITY, mask=f"{n}") for n in range(4)]
    spots = located(scenes, [Link(2, 1, -1, 5), Link(0, 1, 3, 4)])  # 2 -> 1 <- 0
    assert [spot.grid.xy(0, 0) for spot in spots] == [(0, 0), (4, 3), (-1, 4), (0, 0)]
    assert len({spot.sheet for spot in spots[:3]}) == 1 and spots[3].sheet != spots[0].sheet


def test_a_scene_takes_over_the_crs_of_another_date():
    scenes = [scene(9, 9, None, IDENTITY, mask="a"), scene(9, 9, mask="b")]
    spots = located(scenes, [Link(0, 1, 2, 3)])  # the first begins 2 rows up and 3 columns left
    assert spots[1].grid == scenes[1].grid
    assert spots[0].grid == scenes[1].grid.window(Window(-2, -3, 9, 9))


def test_scenes_that_share_a_mask_lie_on_each_other():
    png = scene(9, 9, None, IDENTITY)
    assert same_masks([png, scene(9, 9)]) == [Link(1, 0, 0, 0)]
    moved = scene(9, 9, None, (1, 0, 4, 0, 1, 2))
    assert same_masks([png, moved]) == [Link(0, 1, 2, 4)]
    assert same_masks([scene(), scene()]) == same_masks([png, scene(mask="b")]) == []


def test_what_is_found_is_said():
    ground = landscape(140, 140)
    tiles = [ground[:96, :96], ground[40:136, 20:116], landscape(96, 96, 7), landscape(96, 96, 8)]
    scenes = [scene(96, 96, None, IDENTITY, mask=f"{n}", labels=t) for n, t in enumerate(tiles)]
    _, lines = find_spots(scenes, None)
    assert lines == [
        "2 of 4 images show ground of another image (equal masks, also shifted, or equal pixels): "
        "they are taken for one place"
    ]
    assert find_spots(scenes[1:], None)[1] == []
    fine = landscape(420, 420, scale=3)
    near = [fine[:288:3, :288:3], fine[31 : 31 + 288 : 3, 60 : 60 + 288 : 3]]
    scenes = [scene(96, 96, None, IDENTITY, mask=f"{n}", labels=t) for n, t in enumerate(near)]
    (line,) = find_spots(scenes, None)[1]
    assert line.startswith("2 of 2 images share ground with other places (masks that agree")


# The split never puts the same ground on both sides.


def widest_overlap(items, origin, training, validation) -> int:
    """Return the largest shorter side of the ground that a window of either side shares."""

    def boxes(numbers):
        """(n, 5): map, first row, first column, last row + 1, last column + 1 of windows."""
        found = []
        for number in numbers:
            which, row, col = origin[items[number].scene]
            window = items[number].window
            row, col = row + window.row, col + window.col
            found.append((which, row, col, row + window.height, col + window.width))
        return np.array(found)

    a, b = boxes(training)[:, None], boxes(validation)[None]
    sides = np.minimum(a[..., 3:], b[..., 3:]) - np.maximum(a[..., 1:3], b[..., 1:3])
    return int((sides.min(-1) * (a[..., 0] == b[..., 0])).max())


@pytest.mark.parametrize("seed", range(6))
def test_ground_of_tiles_without_a_crs_is_on_one_side(seed):
    """Tiles of several sizes, cut anywhere from maps; some of them with a CRS.

    A strip of less than a patch cannot be seen.
    """
    random = np.random.default_rng(seed)
    maps = [landscape(260, 260, seed=100 * seed + n) for n in range(4)]
    origin, scenes = [], []
    for number in range(30):
        size, which = int(random.choice([64, 96, 128])), int(random.integers(4))
        row, col = random.integers(0, 260 - size, 2).tolist()
        crs = UTM31 if which == 0 and random.random() < 0.5 else None
        place = (10, 0, 4e5 + 10 * col, 0, -10, 4.6e6 - 10 * row) if crs else IDENTITY
        labels = maps[which][row : row + size, col : col + size]
        scenes.append(scene(size, size, crs, place, mask=f"{number}", labels=labels))
        origin.append((which, row, col))
    items = all_windows(scenes, 32)
    spots, _ = find_spots(scenes, None)
    training, validation, left_out = split(scenes, items, 0.2, seed, spots)
    known = np.bincount([spot.sheet for spot in spots if spot.grid.crs is None])
    assert known.max() > 3
    assert widest_overlap(items, origin, training, validation) < PATCH
    assert widest_overlap(items, origin, *split(scenes, items, 0.2, seed)[:2]) > PATCH
    assert 0.1 < len(validation) / len(items) < 0.4 and len(training) > len(items) / 4


def test_many_tiles_of_one_place_stay_together():
    """Twenty tiles within two and a half windows, and thirty tiles elsewhere."""
    random = np.random.default_rng(0)
    ground = landscape(240, 240)
    cuts = [ground[r : r + 96, c : c + 96] for r, c in random.integers(0, 144, (20, 2))]
    cuts += [landscape(96, 96, seed) for seed in range(1, 31)]
    scenes = [scene(96, 96, None, IDENTITY, mask=f"{n}", labels=t) for n, t in enumerate(cuts)]
    spots, _ = find_spots(scenes, None)
    for seed in range(5):
        *numbers, left_out = split(scenes, all_windows(scenes, 96), 0.4, seed, spots)
        assert left_out == 0 and {*range(20)} <= {*numbers[0]} or {*range(20)} <= {*numbers[1]}


def test_two_dates_of_a_large_scene_are_split_by_blocks():
    ground = landscape(640, 640)
    dates = [scene(640, 640, None, IDENTITY, mask=m, labels=ground) for m in "ab"]
    items = all_windows(dates, 64)
    training, validation, left_out = split(dates, items, 0.2, 0, find_spots(dates, None)[0])
    assert left_out == 0 and len(training) + len(validation) == 200
    assert {n % 100 for n in training}.isdisjoint(n % 100 for n in validation)
    assert 0.15 < len(validation) / 200 < 0.3
