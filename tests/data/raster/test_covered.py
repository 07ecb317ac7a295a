"""Ground of each class under another grid: by hand, and against every pixel's polygon."""

import numpy as np
import pytest
from landcover import NO, grid, naive, patches
from pyproj import Geod, Transformer

from data.grid import Grid, Window
from data.raster import covered
from data.raster.covered import Ground, covered_areas
from data.resample import reproject


def shares(source, source_grid, target_grid, block=(512, 512), **options) -> dict[int, float]:
    """The share of each code but NO under a target, in a raster that is an array."""

    def read(window: Window) -> np.ndarray:
        row, col, height, width = window
        return source[row : row + height, col : col + width]

    found = covered_areas(read, source_grid, target_grid, block, **options)
    found.pop(NO, None)
    return {code: area / found.total() for code, area in sorted(found.items())}


def by_polygons(source, source_grid, target_grid) -> dict[int, float]:
    """The same shares: area of each pixel as a geodesic polygon, times its points in the target."""
    to_target = Transformer.from_crs(source_grid.crs, target_grid.crs, always_xy=True)
    to_angles = Transformer.from_crs(source_grid.crs, "EPSG:4326", always_xy=True)
    side = 600 // source_grid.height
    points = (np.arange(side) + 0.5) / side
    rows = (np.arange(source_grid.height)[:, None] + points).ravel()
    cols = (np.arange(source_grid.width)[:, None] + points).ravel()
    x, y = source_grid.xy(*np.meshgrid(rows, cols, indexing="ij"))
    at_row, at_col = target_grid.rowcol(*to_target.transform(x, y))
    inside = (at_row >= 0) & (at_row < target_grid.height)
    inside &= (at_col >= 0) & (at_col < target_grid.width)
    inside = inside.reshape(source_grid.height, side, source_grid.width, side).mean((1, 3))
    geod, total = Geod(ellps="WGS84"), {}
    for (row, col), code in np.ndenumerate(source):
        if code != NO and inside[row, col]:
            corners = source_grid.xy(
                row + np.array([0, 0, 0, 0.5, 1, 1, 1, 0.5]),
                col + np.array([0, 0.5, 1, 1, 1, 0.5, 0, 0]),
            )
            area = abs(geod.polygon_area_perimeter(*to_angles.transform(*corners))[0])
            total[int(code)] = total.get(int(code), 0) + area * inside[row, col]
    return {code: area / sum(total.values()) for code, area in sorted(total.items())}


def metres(pixel, height, width, left=0.0, top=0.0, crs="EPSG:32631", **options) -> Grid:
    return grid(crs, 400_000 + left, 5_000_000 + top, pixel, height, width, **options)


def test_a_pixel_that_is_half_covered_counts_half():
    """A target of 15 x 10 m over the first and half of the second of three pixels of 10 m."""
    source = np.array([[1, 2, 3]], np.uint8)
    found = shares(source, metres(10, 1, 3), metres(5, 2, 3))
    assert found == pytest.approx({1: 2 / 3, 2: 1 / 3}, abs=1e-3)


def test_an_image_of_one_pixel_inside_a_large_pixel_of_the_mask_has_its_class():
    source = np.array([[1, 2]], np.uint8)
    assert shares(source, metres(1000, 1, 2), metres(10, 1, 1, 500, -500)) == {1: 1}
    across = shares(source, metres(1000, 1, 2), metres(10, 1, 1, 997.5, -500))
    assert across == pytest.approx({1: 0.25, 2: 0.75}, abs=0.002)


def test_pixels_of_longitude_and_latitude_count_by_their_ground():
    """On a sphere, the ground between two latitudes is the difference of their sines."""
    sphere = "+proj=longlat +R=6371000"
    source, where = np.array([[1], [2], [3]], np.uint8), grid(sphere, 0, 90, 30, 3, 1)
    sines = np.diff(np.sin(np.radians([0, 30, 60, 90])))[::-1]
    assert [*shares(source, where, where).values()] == pytest.approx(sines, abs=1e-4)


def test_where_nothing_is_covered_there_is_no_share():
    source = np.ones((3, 3), np.uint8)
    assert shares(source, metres(10, 3, 3), metres(10, 3, 3, 1000)) == {}
    assert shares(source * NO, metres(10, 3, 3), metres(10, 3, 3)) == {}


def test_without_a_crs_all_pixels_have_the_same_area():
    plane = grid(None, 0, 0, 1, 2, 2)
    assert shares(np.array([[1, 1], [2, NO]]), plane, plane) == pytest.approx({1: 2 / 3, 2: 1 / 3})


CASES = {
    "3035 to 3857": (
        grid("EPSG:3035", 4_321_040, 3_209_880, 10, 20, 18),
        grid("EPSG:3857", 1_113_300, 6_799_900, 10, 25, 20),
    ),
    "turned, target south-up": (
        metres(10, 30, 30, turn=35),
        metres(7, 25, 25, 80, -250, "EPSG:25831", up=True),
    ),
    "south-up source, turned target": (
        metres(4, 60, 50, up=True),
        metres(10, 8, 9, 60, 150, turn=-20),
    ),
    "source finer and smaller": (metres(1, 40, 40, 3, -4), metres(10, 9, 9, -30, 30)),
    "source coarser": (metres(300, 4, 5), metres(10, 70, 61, 130, -210)),
    "degrees to Lambert": (
        grid("EPSG:4326", 0, 72, 1, 35, 20),
        grid("EPSG:3035", 3_000_000, 5_200_000, 50_000, 60, 25),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shares_are_those_of_polygons_pixel_by_pixel(case):
    source_grid, target_grid = CASES[case]
    source = patches(source_grid.height, source_grid.width, classes=4)
    source[: source_grid.height // 3, ::2] = NO
    expected = by_polygons(source, source_grid, target_grid)
    assert 0 < len(expected) and sum(expected.values()) == pytest.approx(1)
    for block in ((512, 512), (7, 11)):
        found = shares(source, source_grid, target_grid, block, threads=2)
        assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_what_resampling_changed_is_the_difference_of_both_shares(method):
    """After: the pixels of an independent implementation, all of the same area within 0.1 %."""
    source_grid, target_grid = CASES["3035 to 3857"]
    source = patches(20, 18, classes=3)
    aligned = reproject(source, source_grid, target_grid, method, NO)
    found = shares(aligned, target_grid, target_grid)
    counted = np.bincount(naive(source, source_grid, target_grid, method).ravel()) / aligned.size
    assert [*found.values()] == pytest.approx(counted, abs=1e-3)


def test_areas_add_up_strip_by_strip():
    where = grid("EPSG:3857", 0, 8_000_000, 1000, 700, 300)
    codes = patches(700, 300)
    whole, ground = Ground(where).areas(codes, 0), Ground(where)
    parts = ground.areas(codes[:300], 0) + ground.areas(codes[300:], 300)
    assert parts == pytest.approx(whole) and len(whole) == 12
    half = ground.areas(codes, 0, inside=np.arange(300) < 150)
    assert half.total() == pytest.approx(whole.total() / 2)


def test_codes_of_any_integer_type_are_measured():
    where, codes = metres(10, 1, 3), np.array([[-5, 2**40, -5]], np.int64)
    assert shares(codes, where, where) == pytest.approx({-5: 2 / 3, 2**40: 1 / 3})


def test_only_pixels_of_a_small_raster_are_measured_at_several_points(monkeypatch):
    """The target covers 1.8 columns of class 1, with two centres, and 0.6 of class 2, with one."""
    source, where = np.array([[1, 1, 2, 2]] * 4, np.uint8), metres(10, 4, 4)
    small = metres(4, 10, 6, 2)
    assert shares(source, where, small) == pytest.approx({1: 0.75, 2: 0.25}, abs=1e-3)
    monkeypatch.setattr(covered, "POINTS", 3)
    assert shares(source, where, small) == pytest.approx({1: 2 / 3, 2: 1 / 3})
