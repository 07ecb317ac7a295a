"""data/raster/warp.py and patch.py: in which pixel of another grid a pixel's centre lies."""

import numpy as np
import pytest
from pyproj import CRS, Transformer

from data.grid import Grid, Window
from data.raster.warp import CELL, Coordinates, between


def grid(crs, left, top, pixel, height, width, turn=0.0):
    """A grid of square pixels, turned clockwise by `turn` degrees about its upper-left corner."""
    cos, sin = np.cos(np.radians(turn)) * pixel, np.sin(np.radians(turn)) * pixel
    crs = None if crs is None else CRS.from_user_input(crs)
    return Grid(crs, (cos, -sin, left, -sin, -cos, top), height, width)


def whole(grid):
    return Window(0, 0, grid.height, grid.width)


def continuous(coordinates, window):
    """(2, h, w) of a window of one cell, as its patch defines them."""
    patch = coordinates.patch(window)
    out = (
        (patch.lines[:, :, :-1] + patch.share * patch.slopes)
        .flatten(2)[:, :, patch.columns]
        .double()
        .numpy()
    )
    out[:, patch.pixels[0], patch.pixels[1]] = patch.known
    return out + patch.origin[:, None, None]


def centres(window):
    return np.meshgrid(
        np.arange(window.row, window.row + window.height) + 0.5,
        np.arange(window.col, window.col + window.width) + 0.5,
        indexing="ij",
    )


def pixels(coordinates, window, limits):
    """(2, h, w) absolute row and column of each centre, and which lie within `limits`."""
    part, index = coordinates.patch(window).locate(limits)
    row, col = np.divmod(index.numpy(), part.width + 2)
    inside = (row > 0) & (row <= part.height) & (col > 0) & (col <= part.width)
    return np.stack([row + part.row - 1, col + part.col - 1]), inside


def test_a_grid_shifted_by_one_row_and_two_columns_by_hand():
    here, there = grid("EPSG:3857", 20, 90, 10, 2, 3), grid("EPSG:3857", 0, 100, 10, 4, 4)
    backward, _ = between(there, here, 0.125)
    part, index = backward.patch(whole(here)).locate(whole(there))
    assert part == Window(1, 2, 2, 2)  # the third column of `here` lies beyond the last of `there`
    # A rim of one pixel around 2 x 2 pixels: rows of four, the first pixel is number 5, and column
    # 3 is the rim.
    assert index.tolist() == [[5, 6, 7], [9, 10, 11]]


def test_a_pixel_of_another_size_knows_where_it_lies_by_hand():
    here, there = grid("EPSG:3857", 0, 100, 20, 1, 2), grid("EPSG:3857", 0, 100, 10, 2, 4)
    backward, forward = between(there, here, 0.125)
    assert continuous(backward, whole(here)) == pytest.approx(
        np.array([[[1, 1]], [[1, 3]]]), abs=2e-6
    )
    assert continuous(forward, whole(there))[1] == pytest.approx(
        np.array([[0.25, 0.75, 1.25, 1.75]] * 2), abs=2e-6
    )


def test_a_centre_on_an_edge_belongs_to_the_pixel_behind_it():
    here, there = grid("EPSG:3857", 5, 95, 10, 2, 2), grid("EPSG:3857", 0, 100, 10, 4, 4)
    for nudge in (0, -2e-6, 2e-6):  # less than EDGE of a pixel: what rounding leaves of an edge
        moved = Grid(here.crs, (10, 0, 5 + nudge, 0, -10, 95 - nudge), 2, 2)
        found, _ = pixels(between(there, moved, 0.125)[0], whole(here), whole(there))
        assert found.tolist() == [[[1, 1], [2, 2]], [[1, 2], [1, 2]]]


def test_nothing_is_met_outside():
    here, there = grid("EPSG:3857", 1000, 100, 10, 2, 2), grid("EPSG:3857", 0, 100, 10, 4, 4)
    assert between(there, here, 0.125)[0].patch(whole(here)).locate(whole(there)) is None


PAIRS = {
    "3035 to 3857": (
        grid("EPSG:3857", 230_000, 5_100_000, 10, 700, 900),
        grid("EPSG:3035", 3.6e6, 2.1e6, 10, 9, 9),
    ),
    "coarse UTM to 3857": (
        grid("EPSG:32631", 4e5, 5e6, 500, 900, 900),
        grid("EPSG:3857", 0, 6.5e6, 500, 9, 9),
    ),
    "degrees to 3857": (
        grid("EPSG:4326", -10, 60, 0.02, 1000, 1000),
        grid("EPSG:3857", -2e6, 9e6, 2000, 9, 9),
    ),
    "turned LAEA to UTM": (
        grid("EPSG:3035", 3.6e6, 2.1e6, 10, 800, 800, 30),
        grid("EPSG:32631", 2e5, 5e6, 10, 9, 9),
    ),
    "a continent": (
        grid("EPSG:3035", 2.6e6, 5e6, 4000, 750, 850),
        grid("EPSG:4326", -40, 80, 0.04, 9, 9),
    ),
    "4 km onto 4 degrees": (
        grid("EPSG:3035", 2.6e6, 5e6, 4000, 750, 850),
        grid("EPSG:4326", -40, 80, 4, 9, 9),
    ),
    "4 degrees onto 10 km": (
        grid("EPSG:4326", -160, 80, 4, 40, 80),
        grid("EPSG:3857", -2e7, 2e7, 10_000, 9, 9),
    ),
}


THRESHOLDS = {
    "3035 to 3857": 1.0,
    "coarse UTM to 3857": 0.125,
    "degrees to 3857": 0.01,
    "turned LAEA to UTM": 1.0,
    "a continent": 0.125,
    "4 km onto 4 degrees": 0.01,
    "4 degrees onto 10 km": 0.125,
}


@pytest.mark.parametrize("pair, threshold", THRESHOLDS.items())
def test_the_error_stays_below_the_threshold_in_pixels_of_the_finer_grid(pair, threshold):
    here, there = PAIRS[pair]
    coordinates = between(there, here, threshold)[0]
    exact = coordinates.exact(*centres(whole(here)))
    assert np.isfinite(exact).all()
    finer = min(1.0, np.hypot(*np.diff(exact, axis=2)).min())
    error = np.hypot(*(continuous(coordinates, whole(here)) - exact)).max()
    assert error < threshold * finer
    if threshold == 1.0:
        assert error > 1e-9  # it is an approximation


@pytest.mark.parametrize("pair", PAIRS)
def test_the_pixels_are_those_of_the_exact_transform_but_for_the_threshold(pair):
    here, there = PAIRS[pair]
    there = Grid(there.crs, there.transform, 10**6, 10**6)
    coordinates = between(there, here, 0.125)[0]
    found, inside = pixels(coordinates, whole(here), whole(there))
    exact = coordinates.exact(*centres(whole(here)))
    assert inside.any()
    # Distance of the centre from the pixel, if it is outside.
    outside = np.maximum(found - exact, exact - found - 1).max(0)[inside]
    assert outside.max() < 0.125


def test_threshold_0_is_exact_for_every_pixel():
    here, there = PAIRS["a continent"]
    here = Grid(here.crs, here.transform, 60, 70)
    coordinates = between(there, here, 0)[0]
    assert (continuous(coordinates, whole(here)) == coordinates.exact(*centres(whole(here)))).all()


def test_pyproj_sees_a_few_thousandths_of_the_pixels():
    here, there = grid("EPSG:32631", 4e5, 5e6, 10, CELL, CELL), grid("EPSG:3857", 0, 6e6, 10, 9, 9)
    seen = []
    transform = Transformer.from_crs(here.crs, there.crs, always_xy=True).transform

    def counting(x, y, **options):
        seen.append(np.size(x))
        return transform(x, y, **options)

    coordinates = Coordinates(
        here, there, 0.125, counting, lambda x, y: counting(x, y, direction="INVERSE")
    )
    for row in range(0, CELL, 256):
        coordinates.patch(Window(row, 0, 256, CELL))
    assert 0 < sum(seen) < CELL * CELL / 300


def test_coordinates_do_not_depend_on_the_requested_window():
    here, there = PAIRS["a continent"]
    there = Grid(there.crs, there.transform, 10**6, 10**6)
    coordinates = between(there, here, 0.125)[0]
    limits = Window(300, 800, 400, 500)
    expected, expected_inside = pixels(coordinates, whole(here), limits)
    generator = np.random.default_rng(0)
    for _ in range(20):
        row, col = generator.integers(0, here.height - 1), generator.integers(0, here.width - 1)
        height, width = (
            generator.integers(1, here.height - row),
            generator.integers(1, here.width - col),
        )
        window = Window(int(row), int(col), int(height), int(width))
        own = tuple(np.s_[row : row + height, col : col + width])
        if coordinates.patch(window).locate(limits) is None:
            assert not expected_inside[own].any()
            continue
        found, inside = pixels(coordinates, window, limits)
        assert (inside == expected_inside[own]).all()
        assert (found[:, inside] == expected[(slice(None), *own)][:, inside]).all()


def test_the_span_holds_every_pixel_of_the_window_and_of_its_neighbours():
    here, there = PAIRS["turned LAEA to UTM"]
    coordinates = between(there, here, 0.125)[0]
    low, high = coordinates.patch(Window(100, 200, 50, 60), pad=1).span()
    around = coordinates.exact(*centres(Window(99, 199, 52, 62)))
    assert (low <= around.min((1, 2)) + 0.125).all() and (high >= around.max((1, 2)) - 0.125).all()
    assert (high - low < np.ptp(around, axis=(1, 2)) + 0.25).all()


def test_behind_the_globe_is_nothing():
    # The projection is Europe's equal-area projection. It has coordinates for the Pacific, too, but
    # they are meaningless.
    world = grid("EPSG:4326", -180, 90, 1, 180, 360)
    europe = grid("EPSG:3035", 2.5e6, 5.5e6, 1e4, 450, 400)
    there, inside = pixels(between(world, europe, 0.125)[1], whole(world), whole(europe))
    longitude, latitude = np.meshgrid(np.arange(360) - 179.5, 89.5 - np.arange(180))
    near = (abs(longitude - 10) < 60) & (latitude > 15)
    assert inside[near].sum() == inside.sum() > 1000
    x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(longitude, latitude)
    expected = np.floor(np.stack(europe.rowcol(x, y)))[:, inside]
    assert (abs(there[:, inside] - expected) <= 1).all() and (
        there[:, inside] == expected
    ).mean() > 0.99


def test_a_map_beyond_180_degrees_does_not_begin_again():
    wide = grid("EPSG:3857", -3e7, 1e6, 1e5, 20, 600)  # the world is 4e7 wide
    world = grid("EPSG:4326", -180, 90, 0.5, 360, 720)
    _, inside = pixels(between(world, wide, 0.125)[0], whole(wide), whole(world))
    x = wide.xy(0, np.arange(600) + 0.5)[0]
    assert (inside == (abs(x) < 20_037_508)).all()


def test_the_antimeridian_may_cross_a_map_of_the_pacific():
    pacific = grid("EPSG:3832", -2e6, 1e6, 1e4, 200, 800)  # Mercator about 150 degrees east
    world = grid("EPSG:4326", -180, 90, 0.1, 1800, 3600)
    coordinates = between(world, pacific, 0.125)[0]
    found, inside = pixels(coordinates, whole(pacific), whole(world))
    longitude, latitude = Transformer.from_crs(3832, 4326, always_xy=True).transform(
        *pacific.xy(*centres(whole(pacific)))
    )
    row, col = world.rowcol(longitude, latitude)
    assert inside.all() and (longitude < -170).any() and (longitude > 170).any()
    assert (abs(found[0] - np.floor(row)) <= 1).all() and (abs(found[1] - np.floor(col)) <= 1).all()


def test_a_pole_within_the_map():
    arctic = grid("EPSG:3413", -1e6, 1e6, 1e4, 200, 200)
    world = grid("EPSG:4326", -180, 90, 0.25, 720, 1440)
    found, inside = pixels(between(world, arctic, 0.125)[0], whole(arctic), whole(world))
    x, y = Transformer.from_crs(3413, 4326, always_xy=True).transform(
        *arctic.xy(*centres(whole(arctic)))
    )
    row, col = world.rowcol(x, y)
    assert inside.all() and abs(found[0] - np.floor(row)).max() <= 1
    away = abs(y) < 89
    around = abs(found[1] - np.floor(col))[away]
    assert np.minimum(around, 1440 - around).max() <= 1
