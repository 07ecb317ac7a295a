"""Pixel and map coordinates: first by hand, then against rasterio on random grids."""

import numpy as np
import pytest
from pyproj import CRS

from data.grid import IDENTITY, Grid, Window

UTM33 = CRS.from_epsg(32633)
# 3 rows of 4 pixels of 10 m from the corner (500000, 6000000): x = 500000 + 10 col, y = 6000000 -
# 10 row
NORTH_UP = Grid(UTM33, (10, 0, 500_000, 0, -10, 6_000_000), height=3, width=4)


def random_grid(rng: np.random.Generator) -> Grid:
    """Any orientation: rotated, sheared, mirrored, south-up."""
    linear = rng.uniform(-20, 20, (2, 2))
    origin = rng.uniform(-1e6, 1e6, 2)
    transform = (*linear[0], origin[0], *linear[1], origin[1])
    return Grid(UTM33, transform, int(rng.integers(1, 300)), int(rng.integers(1, 300)))


def test_zero_zero_is_the_corner_of_the_first_pixel_and_a_half_its_centre():
    assert NORTH_UP.xy(0, 0) == (500_000, 6_000_000)
    assert NORTH_UP.xy(0.5, 0.5) == (500_005, 5_999_995)
    assert NORTH_UP.xy(3, 4) == (500_040, 5_999_970)


def test_rows_go_down_and_columns_to_the_right():
    assert NORTH_UP.rowcol(500_015, 5_999_975) == (2.5, 1.5)


def test_bounds_are_left_bottom_right_top():
    assert NORTH_UP.bounds == (500_000, 5_999_970, 500_040, 6_000_000)


def test_bounds_of_a_south_up_grid_are_those_of_the_same_pixels_north_up():
    south_up = Grid(UTM33, (10, 0, 500_000, 0, 10, 5_999_970), 3, 4)
    assert south_up.bounds == NORTH_UP.bounds


def test_bounds_of_a_rotated_grid_hold_all_four_corners():
    # A square of 2 x 2 pixels standing on its corner: 45 degrees, each pixel's diagonal is 2 long.
    diamond = Grid(None, (1, 1, 0, -1, 1, 0), 2, 2)
    assert diamond.bounds == (0, -2, 4, 2)


def test_resolution_is_the_length_of_the_pixel_sides_even_of_a_rotated_pixel():
    assert NORTH_UP.resolution == (10, 10)
    assert Grid(None, (3, -8, 0, 4, 6, 0), 1, 1).resolution == (5, 10)


def test_a_window_is_the_same_pixels_with_a_new_origin():
    window = NORTH_UP.window(Window(row=1, col=2, height=2, width=1))
    assert window == Grid(UTM33, (10, 0, 500_020, 0, -10, 5_999_990), height=2, width=1)


def test_a_window_of_a_window_adds_the_offsets_on_any_grid():
    rng = np.random.default_rng(0)
    for _ in range(50):
        grid = random_grid(rng)
        nested = grid.window(Window(3, 5, 40, 50)).window(Window(7, 11, 2, 3))
        assert nested.matches(grid.window(Window(10, 16, 2, 3)))


def test_rowcol_is_the_inverse_of_xy_for_scalars_and_arrays():
    rng = np.random.default_rng(1)
    for _ in range(50):
        grid = random_grid(rng)
        row, col = rng.uniform(-50, 350, (2, 6, 7))
        assert np.allclose(grid.rowcol(*grid.xy(row, col)), (row, col), rtol=0, atol=1e-6)
        assert np.allclose(
            grid.xy(row, col)[1][2, 3], grid.xy(row[2, 3], col[2, 3])[1], rtol=0, atol=1e-9
        )


def test_coordinates_and_bounds_are_those_of_rasterio():
    rasterio = pytest.importorskip("rasterio")
    rng = np.random.default_rng(2)
    for _ in range(20):
        grid = random_grid(rng)
        affine = rasterio.Affine(*grid.transform)
        corner = rasterio.transform.xy(affine, 17, 23, offset="ul")
        centre = rasterio.transform.xy(affine, 17, 23, offset="center")
        assert np.allclose(grid.xy(17, 23), corner, rtol=0, atol=1e-6)
        assert np.allclose(grid.xy(17.5, 23.5), centre, rtol=0, atol=1e-6)
    affine = rasterio.Affine(*NORTH_UP.transform)
    assert NORTH_UP.bounds == rasterio.transform.array_bounds(3, 4, affine)
    assert Grid(UTM33, affine, 3, 4) == NORTH_UP


def test_grids_match_up_to_a_millionth_of_a_pixel_at_every_corner():
    a, b, c, d, e, f = NORTH_UP.transform
    assert NORTH_UP.matches(Grid(UTM33, (a, b, c + 1e-6, d, e, f), 3, 4))
    assert not NORTH_UP.matches(Grid(UTM33, (a, b, c + 1e-4, d, e, f), 3, 4))
    # A scale that is off by 1e-5 of its size is invisible in the first pixel, not at the far end of
    # a scene.
    wide = Grid(UTM33, NORTH_UP.transform, 3, 30_000)
    assert not wide.matches(Grid(UTM33, (a * 1.00001, b, c, d, e, f), 3, 30_000))
    assert not NORTH_UP.matches(Grid(UTM33, NORTH_UP.transform, 3, 5))


def test_grids_match_only_in_the_same_crs_whatever_its_axis_order():
    transform = (0.1, 0, 10, 0, -0.1, 50)
    latitude_first, longitude_first = CRS("EPSG:4326"), CRS("OGC:CRS84")
    assert Grid(latitude_first, transform, 3, 4).matches(Grid(longitude_first, transform, 3, 4))
    assert not Grid(latitude_first, transform, 3, 4).matches(Grid(UTM33, transform, 3, 4))
    assert not Grid(latitude_first, transform, 3, 4).matches(Grid(None, transform, 3, 4))
    assert not Grid(None, transform, 3, 4).matches(Grid(latitude_first, transform, 3, 4))
    assert Grid(None, transform, 3, 4).matches(Grid(None, transform, 3, 4))


@pytest.mark.parametrize(
    ("transform", "height", "width", "words"),
    [
        ((1, 2, 3), 1, 1, "six finite coefficients"),
        ((1, 0, float("nan"), 0, 1, 0), 1, 1, "six finite coefficients"),
        ((1, 2, 0, 2, 4, 0), 1, 1, "cannot be inverted"),
        (IDENTITY, 0, 1, "at least one pixel"),
    ],
)
def test_impossible_grids_are_refused(transform, height, width, words):
    with pytest.raises(ValueError, match=words):
        Grid(None, transform, height, width)
