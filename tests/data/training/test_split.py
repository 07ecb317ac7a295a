"""The split into training and validation, checked on the ground by points and polygons."""

from functools import cache, partial
from itertools import product

import numpy as np
import pyproj
import pytest
from small import UTM31, random_scenes, scene, whole

from data.files import InputError
from data.grid import IDENTITY, Window
from data.training.overlap import overlapping
from data.training.places import located, same_masks
from data.training.scenes import Scene
from data.training.split import blocks_of_ground, draw, footprints, on_globe, split
from data.training.windows import all_windows

# By hand.


def test_one_of_four_images_is_held_out():
    scenes = random_scenes(4)
    training, validation, left_out = split(scenes, all_windows(scenes, 20), 0.25, 0)
    assert (len(training), len(validation), left_out) == (3, 1, 0)
    assert sorted(training + validation) == [0, 1, 2, 3]


def test_a_small_scene_stays_whole_wherever_it_lies_on_the_ground():
    scenes = [
        scene(40, 40, transform=(10, 0, 4e5 + 2700.0 * n, 0, -10, 4.6e6)) for n in range(30)
    ]  # 2 x 2 windows
    items = all_windows(scenes, 20)
    training, validation, left_out = split(scenes, items, 0.2, 0)
    assert {items[i][0] for i in training}.isdisjoint(
        items[i][0] for i in validation
    ) and left_out == 0
    assert len(validation) % 4 == 0


@pytest.mark.parametrize("crs", [None, UTM31])
@pytest.mark.parametrize(("count", "side"), [(5, 128), (15, 128), (30, 160), (60, 192)])
def test_tiles_are_not_cut_by_small_windows(count, side, crs):
    places = [(10, 0, 4e5 + 1e5 * (n % 6), 0, -10, 4.6e6 - 1e5 * (n // 6)) for n in range(count)]
    tiles = [
        scene(side, side, transform=place, crs=crs, mask=f"{n}") for n, place in enumerate(places)
    ]
    whole = split(tiles, all_windows(tiles, side), 0.2, 0)
    items = all_windows(tiles, 32)
    training, validation, left_out = split(tiles, items, 0.2, 0)
    scene_of = [item.scene for item in items]
    assert {scene_of[n] for n in training} == set(whole[0])
    assert {scene_of[n] for n in validation} == set(whole[1]) and left_out == 0
    assert len(whole[1]) == round(0.2 * count)


def test_dates_of_one_place_stay_together():
    places = [(10, 0, 4e5 + 1e5 * n, 0, -10, 4.6e6) for n in range(5)]
    scenes = [
        scene(transform=places[n % 5], mask=f"{n}") for n in range(15)
    ]  # three dates of five places
    for seed in range(10):
        training, validation, left_out = split(scenes, all_windows(scenes, 64), 0.2, seed)
        assert (len(training), len(validation), left_out) == (12, 3, 0)
        assert len({n % 5 for n in validation}) == 1


def test_dates_without_crs_are_one_place_where_they_share_a_mask():
    scenes = [scene(8, 8, None, IDENTITY, mask=f"{n // 2}") for n in range(10)]
    for seed in range(10):
        training, validation, left_out = split(scenes, all_windows(scenes, 8), 0.2, seed)
        assert (len(training), len(validation), left_out) == (8, 2, 0)
        assert validation[0] // 2 == validation[1] // 2


@pytest.mark.parametrize("rows, cols, count", [(13, 20, 20), (13, 16, 7 * 8), (3, 6, 18)])
def test_blocks_are_of_4_x_4_windows_unless_there_would_be_fewer_than_20(rows, cols, count):
    """Blocks are counted from the lower edge of the first row, which lies in blocks of its own."""
    scenes = [scene(rows * 10, cols * 10)]
    planes, outlines = footprints(located(scenes, []), all_windows(scenes, 10))
    blocks = blocks_of_ground(planes, outlines, np.zeros(rows * cols), np.full(rows * cols, -1))
    assert {*blocks.tolist()} == {*range(count)}


def test_a_sheet_of_up_to_4_x_4_windows_is_one_block_wherever_its_first_tile_lies():
    tiles = [scene(40, 40, None, (1, 0, x, 0, 1, y)) for y, x in [(60, 50), (0, 0), (110, 119)]]
    tiles += [scene(40, 40, None, IDENTITY, mask=f"{n}") for n in range(20)]
    planes, outlines = footprints(located(tiles, same_masks(tiles)), all_windows(tiles, 40))
    blocks = blocks_of_ground(planes, outlines, np.arange(23), np.full(23, -1))
    assert blocks[0] == blocks[1] == blocks[2] and blocks.max() == 20


def test_tiles_with_equal_labels_are_not_cut_between_two_cells():
    """A cell ends at 160 pixels. 17 tiles of 40 begin at 120 to 152, and so lie on both sides."""
    tiles = [scene(40, 40, None, (1, 0, x, 0, 1, 0)) for x in [0, *range(120, 154, 2)]]
    tiles += [scene(40, 40, None, IDENTITY, mask=f"{n}") for n in range(20)]
    planes, outlines = footprints(located(tiles, same_masks(tiles)), all_windows(tiles, 40))
    ground = np.array([0] + [1] * 17 + [*range(2, 22)])
    blocks = blocks_of_ground(planes, outlines, ground, np.full(38, -1))
    assert len({*blocks[1:18]}) == 1


@pytest.mark.parametrize(
    ("sizes", "count", "least", "most"),
    [
        ([1] * 50, 10, 10, 10),
        ([4] * 20, 16, 16, 20),
        ([60] + [1] * 40, 20, 20, 20),
        ([60, 50, 70], 36, 50, 50),
        ([1, 60, 60], 24, 61, 61),
        ([9], 2, 9, 9),
    ],
)
def test_about_the_asked_number_is_drawn_in_whole_blocks(sizes, count, least, most):
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(10):
        drawn = draw(blocks, count, seed)
        assert least <= drawn.sum() <= most
        assert all(len({*drawn[blocks == n]}) == 1 for n in range(len(sizes)))


def test_one_window_of_ground_cannot_be_split():
    for scenes in ([scene()], [scene(mask="a"), scene(mask="b")]):
        with pytest.raises(InputError, match="none is left for training.*--size"):
            split(scenes, all_windows(scenes, 64), 0.2, 0)
    with pytest.raises(
        InputError, match="4 windows"
    ):  # four windows of 64 in 70 x 70 pixels all overlap
        split([scene(70, 70)], all_windows([scene(70, 70)], 64), 0.2, 0)


def test_neighbours_that_share_an_edge_are_not_left_out():
    scenes = [scene(640, 640)]
    training, validation, left_out = split(scenes, all_windows(scenes, 64), 0.2, 0)
    assert left_out == 0 and len(training) + len(validation) == 100


def test_neighbours_in_another_zone_stand_askew_and_are_not_left_out_either():
    east = scene(3200, 3200, pyproj.CRS("EPSG:32632"))
    scenes = [scene(64, 64), east]  # the first scene's CRS is the one they are compared in
    training, validation, left_out = split(scenes, all_windows(scenes, 64), 0.2, 0)
    assert left_out == 0 and len(training) + len(validation) == 1 + 50**2


@pytest.mark.parametrize(
    "count, fraction, expected", [(700, 0.1, 70), (700, 0.2, 140), (10, 0.01, 1), (10, 0.5, 5)]
)
def test_separate_images_are_held_out_one_by_one(count, fraction, expected):
    scenes = [
        scene(300, 300, transform=(10, 0, 4e5 + 2e4 * n, 0, -10, 4.6e6)) for n in range(count)
    ]
    training, validation, left_out = split(scenes, all_windows(scenes, 300), fraction, 3)
    assert (len(training), len(validation), left_out) == (count - expected, expected, 0)


def test_the_seed_decides_and_nothing_else():
    scenes = [scene(1000, 1000)]
    items = all_windows(scenes, 50)
    first, again, other = (split(scenes, items, 0.2, seed) for seed in (1, 1, 2))
    assert first == again and first[1] != other[1]


# On the ground, by points.


transformer = cache(partial(pyproj.Transformer.from_crs, always_xy=True))


def assert_apart(scenes, items, training, validation):
    """No point of a validation window lies in a training window; neighbours may share an edge."""
    inside = 0.5 + np.array(list(product(np.linspace(-0.498, 0.498, 9), repeat=2)))
    for v in validation:
        number, window, _ = items[v]
        grid = scenes[number].grid
        x, y = grid.xy(
            window.row + window.height * inside[:, 0], window.col + window.width * inside[:, 1]
        )
        for other in range(len(scenes)):
            there = scenes[other].grid
            row, col = there.rowcol(*transformer(grid.crs, there.crs).transform(x, y))
            for t in training:
                if items[t][0] == other:
                    w = items[t][1]
                    hit = (
                        (row > w.row)
                        & (row < w.row + w.height)
                        & (col > w.col)
                        & (col < w.col + w.width)
                    )
                    assert not hit.any(), (items[v], items[t])


LON, LAT = 5.9, 41.7  # where zones 31 and 32 both reach


def around(
    crs: str, pixel: float, height: int, width: int, turn: float = 0, lon=LON, lat=LAT
) -> Scene:
    """A scene of pixels of that size, turned by that angle in radians, about the place above."""
    crs = pyproj.CRS(crs)
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    a, b = pixel * np.cos(turn), pixel * np.sin(turn)
    transform = (a, b, x - (a * width + b * height) / 2, b, -a, y - (b * width - a * height) / 2)
    return scene(height, width, crs, transform, mask=f"{crs}{pixel}{turn}")


TWO_DATES = {
    "the same grid": [("EPSG:32631", 10, 320, 320), ("EPSG:32631", 10, 320, 320)],
    "a shifted grid": [("EPSG:32631", 10, 320, 320), ("EPSG:32631", 10, 301, 333)],
    "another resolution": [("EPSG:32631", 10, 320, 320), ("EPSG:32631", 7, 400, 400)],
    "another zone": [("EPSG:32631", 10, 320, 320), ("EPSG:32632", 10, 320, 320)],
    "web mercator": [("EPSG:32631", 10, 320, 320), ("EPSG:3857", 13.4, 310, 320)],
    "degrees": [("EPSG:4326", 1e-4, 320, 320), ("EPSG:32631", 10, 350, 320)],
    "turned": [("EPSG:32631", 10, 320, 320), ("EPSG:32631", 10, 320, 320, 0.6)],
    "turned first": [
        ("EPSG:3035", 10, 320, 320, -1),
        ("EPSG:32632", 10, 320, 320),
        ("EPSG:32631", 10, 64, 64),
    ],
    "a thin scene": [("EPSG:32631", 10, 40, 900), ("EPSG:32632", 10, 900, 40)],
}


@pytest.mark.parametrize("dates", TWO_DATES.values(), ids=TWO_DATES.keys())
def test_validation_never_lies_on_training_ground_also_through_another_date(dates):
    scenes = [around(*date) for date in dates]
    items = all_windows(scenes, 40)
    for seed in range(4):
        training, validation, left_out = split(scenes, items, 0.2, seed)
        assert_apart(scenes, items, training, validation)
        assert (
            len({*training, *validation})
            == len(training) + len(validation)
            == len(items) - left_out
        )
        assert 0.15 < len(validation) / len(items) < 0.35 and len(training) > len(items) / 3


def test_dates_on_either_side_of_the_antimeridian_are_one_place():
    scenes = [around(crs, 10, 200, 200, lon=180.0, lat=-17) for crs in ("EPSG:32760", "EPSG:32701")]
    items = all_windows(scenes, 40)
    for seed in range(4):
        training, validation, _ = split(scenes, items, 0.2, seed)
        assert_apart(scenes, items, training, validation)


def assert_apart_without_the_first(scenes, items, training, validation):
    """`assert_apart` for all scenes but the first, whose CRS does not reach the others."""
    shifted = [(number - 1, window, own) for number, window, own in items]
    training, validation = ([n for n in side if items[n][0]] for side in (training, validation))
    assert_apart(scenes[1:], shifted, training, validation)


def test_dates_beyond_the_reach_of_the_first_crs_are_still_one_place():
    half = "+proj=ortho +lat_0=41 +lon_0=2 +datum=WGS84"  # shows one side of the globe
    scenes = [scene(crs=pyproj.CRS(half), transform=(10, 0, 0, 0, -10, 0))]
    scenes += [
        around("EPSG:2193", 10, 200, 200, lon=172, lat=-43),
        around("EPSG:3857", 13, 210, 200, lon=172, lat=-43),
    ]
    items = all_windows(scenes, 40)
    planes, _ = footprints(located(scenes, []), items)
    assert [*np.unique(planes)] == [-1, 0]
    for seed in range(4):
        training, validation, _ = split(scenes, items, 0.2, seed)
        assert_apart_without_the_first(scenes, items, training, validation)


@pytest.mark.parametrize("crs, lon, lat", [("EPSG:2193", 172, -43), ("EPSG:32760", 180, -17)])
def test_neighbours_beyond_the_reach_of_the_first_crs_are_not_left_out(crs, lon, lat):
    """The second scene lies across the antimeridian."""
    half = scene(crs=pyproj.CRS("+proj=ortho +lat_0=41 +lon_0=2"), transform=(10, 0, 0, 0, -10, 0))
    scenes = [half, around(crs, 10, 400, 400, lon=lon, lat=lat)]
    training, validation, left_out = split(scenes, all_windows(scenes, 40), 0.2, 0)
    assert left_out == 0 and len(training) + len(validation) == 4 + 100


def test_points_on_the_globe_by_hand():
    degrees = pyproj.CRS("EPSG:4326")
    places = {
        (0, 0): (1, 0, 0),
        (90, 0): (0, 1, 0),
        (180, 0): (-1, 0, 0),
        (0, 45): (0.5**0.5, 0, 0.5**0.5),
    }
    for (lon, lat), vector in places.items():
        there = scene(2, 2, degrees, (1e-6, 0, lon - 1e-6, 0, -1e-6, lat + 1e-6))
        found = on_globe(
            [there, scene(crs=None)], [whole(0, Window(0, 0, 2, 2)), whole(1, Window(0, 0, 2, 2))]
        )
        np.testing.assert_allclose(found[0], np.tile(vector, (8, 1)), atol=1e-7)
        assert np.isnan(found[1]).all()


def test_two_dates_of_which_the_first_crs_reaches_some_windows_and_not_others_are_one_place():
    """UTM zone 31 ends in the middle of both dates, 81 degrees east of its meridian."""
    end = {"lon": 84.33463, "lat": 2}
    scenes = [scene(), around("EPSG:32645", 10, 200, 200, **end)]
    scenes.append(around("EPSG:3857", 9, 210, 230, turn=0.3, **end))
    items = all_windows(scenes, 40)
    planes, _ = footprints(located(scenes, []), items)
    number = np.array([item.scene for item in items])
    assert [{*planes[number == n]} for n in range(3)] == [{0}, {-1, 0}, {-1, 0}]
    for seed in range(20):
        training, validation, left_out = split(scenes, items, 0.2, seed)
        assert_apart_without_the_first(scenes, items, training, validation)
        assert len(training) > len(items) / 5 and left_out < len(items) * 2 / 3


@pytest.mark.parametrize("seed", range(6))
def test_pixels_of_one_scene_are_on_one_side(seed):
    random = np.random.default_rng(seed)
    height, width, size = random.integers(40, 200), random.integers(40, 200), random.integers(5, 20)
    scenes = [scene(int(height), int(width))]
    items = all_windows(scenes, int(size))
    training, validation, left_out = split(scenes, items, 0.2, seed)
    side = np.zeros((2, height, width), bool)
    for which, numbers in enumerate((training, validation)):
        for number in numbers:
            w = items[number][1]
            side[which, w.row : w.row + w.height, w.col : w.col + w.width] = True
    assert side.any(axis=(1, 2)).all() and not side.all(axis=0).any()
    assert left_out < len(items) / 3


@pytest.mark.parametrize("seed", range(6))
def test_windows_of_a_stride_are_trained_on_away_from_the_same_validation_windows(seed):
    """Two dates of one place, shifted by parts of a window, and a small scene elsewhere."""
    random = np.random.default_rng(seed)
    size, shift = int(random.integers(8, 20)), int(random.integers(1, 8))
    stride = int(random.integers(2, size))
    places = [(10, 0, 4e5 + 10 * n * shift, 0, -10, 4.6e6) for n in range(2)]
    scenes = [scene(90, 110, transform=place, mask=str(place)) for place in places]
    scenes.append(scene(5, 5, transform=(10, 0, 9e5, 0, -10, 4.6e6), mask="small"))
    plain, items = all_windows(scenes, size), all_windows(scenes, size, stride)
    gone = [number for number in range(len(plain)) if random.random() < 0.2]  # by another rule
    items = [item for number, item in enumerate(items) if number not in gone]
    plain = [item for number, item in enumerate(plain) if number not in gone]
    training, validation, left_out = split(scenes, items, 0.2, seed)
    assert validation == split(scenes, plain, 0.2, seed)[1]
    assert len(training) + len(validation) + left_out == len(items)
    side = np.zeros((2, 90, 110 + shift), bool)
    for which, numbers in enumerate((training, validation)):
        for scene_number, (row, col, height, width), _ in (items[n] for n in numbers):
            left = col + scene_number % 2 * shift
            if scene_number < 2:
                side[which, row : row + height, left : left + width] = True
    assert not side.all(axis=0).any() and side.any(axis=(1, 2)).all()
    added = [number for number in training if items[number].own is None]
    assert len(added) > left_out / 4 and set(range(len(plain))).isdisjoint(added)


def test_windows_of_a_stride_in_a_place_that_is_held_out_are_left_out():
    scenes = [scene(20, 30, transform=(10, 0, 4e5 + 1e4 * n, 0, -10, 4.6e6)) for n in range(6)]
    items = [
        item for item in all_windows(scenes, 10, 5) if item.own is None or item.window.row == 0
    ]
    spots = [s._replace(place=n // 2) for n, s in enumerate(located(scenes, same_masks(scenes)))]
    training, validation, _ = split(scenes, items, 0.3, 0, spots)
    held_out = {items[number].scene // 2 for number in validation}
    assert len(held_out) == 1 and {items[number].scene // 2 for number in training} == (
        {0, 1, 2} - held_out
    )


# Overlap of two outlines.


def outline(*corners) -> np.ndarray:
    """(8, 2): four corners, and the middles of the sides between."""
    corners = np.array(corners, float)
    return np.stack([corners, (corners + np.roll(corners, -1, axis=0)) / 2], axis=1).reshape(8, 2)


def test_overlap_of_squares_and_a_diamond():
    square = outline((0, 0), (1, 0), (1, 1), (0, 1))
    diamond = outline((1.6, 0.8), (2.4, 1.6), (1.6, 2.4), (0.8, 1.6))

    def overlaps(*others) -> list[bool]:
        return overlapping(square, np.stack(others)).tolist()

    assert overlaps(square, square + 0.5, square / 3 + 0.1, square * 5 - 2) == [True] * 4
    assert overlaps(square + (1, 0), square + (0, -1)) == [False] * 2  # share a side
    assert overlaps(square + (1, 1), square + 2) == [False] * 2  # share a corner, nothing
    assert overlaps(diamond, diamond - 0.3) == [False, True]  # the boxes of both overlap
    assert overlapping(square, square[None][:0]).tolist() == []


def common_area(a: np.ndarray, b: np.ndarray) -> float:
    """Area that two convex polygons share, by clipping one with each side of the other (Sutherland
    and Hodgman).
    """
    for start, end in zip(b, np.roll(b, -1, axis=0)):
        side = [np.cross(np.append(end - start, 0), np.append(p - start, 0))[2] for p in a]
        kept = []
        for i in range(len(a)):
            j = (i + 1) % len(a)
            if side[i] >= 0:
                kept.append(a[i])
            if side[i] * side[j] < 0:
                kept.append(a[i] + (a[j] - a[i]) * side[i] / (side[i] - side[j]))
        if len(kept) < 3:
            return 0.0
        a = np.array(kept)
    x, y = a.T
    return abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2


@pytest.mark.parametrize("seed", range(5))
def test_overlap_agrees_with_clipping_polygons(seed):
    random = np.random.default_rng(seed)
    shapes = []
    for _ in range(80):
        turn, width, height = random.uniform(0, 6), *random.uniform(0.2, 1.5, 2)
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
        rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
        shapes.append(corners @ rotation.T + random.uniform(-1, 1, 2))
    found = overlapping(outline(*shapes[0]), np.stack([outline(*s) for s in shapes]))
    shared = np.array([common_area(shapes[0], s) for s in shapes])
    clear = (shared == 0) | (shared > 0.01)  # slivers within the rounding may fall either way
    assert clear.sum() > 70 and np.array_equal(found[clear], shared[clear] > 0)
    assert 5 < found.sum() < 75


@pytest.mark.parametrize("first", [0, 1])
def test_windows_of_a_geostationary_image_that_show_space_are_split_as_others(first, recwarn):
    geos = pyproj.CRS("+proj=geos +h=35785831 +lon_0=0 +a=6378169 +b=6356583.8 +sweep=y")
    disk = scene(256, 256, geos, (43400, 0, -5555200, 0, -43400, 5555200), "a")
    others = [
        scene(128, 128, pyproj.CRS.from_epsg(epsg), mask=str(epsg)) for epsg in (32631, 32660)
    ]
    scenes = [disk, *others] if first == 0 else [*others, disk]
    items = all_windows(scenes, 32)
    for seed in range(3):
        training, validation, _ = split(scenes, items, 0.2, seed)
        assert len(training) > 40 and 10 < len(validation) < 40
    assert not recwarn.list
