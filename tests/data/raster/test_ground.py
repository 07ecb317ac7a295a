"""Ground area: pixels with a known formula, the whole earth, and a comparison with pyproj.Geod."""

import numpy as np
import pyproj
import pytest

from data.grid import Grid, Window
from data.raster.ground import pixel_areas

A, F = 6378137.0, 1 / 298.257223563  # WGS 84
E2 = F * (2 - F)


def grid(crs: str, transform: tuple, height: int, width: int) -> Grid:
    return Grid(pyproj.CRS(crs), transform, height, width)


def geodesic_area(of: Grid, row: int, col: int, points: int = 12) -> float:
    """m2 of one pixel: its outline as a polygon of geodesics on the CRS's ellipsoid."""
    along = np.linspace(0, 1, points, endpoint=False)
    zero, one = np.zeros(points), np.ones(points)
    rows = row + np.concatenate([zero, along, one, 1 - along])
    cols = col + np.concatenate([along, one, 1 - along, zero])
    base = of.crs.geodetic_crs
    lon, lat = pyproj.Transformer.from_crs(of.crs, base, always_xy=True).transform(
        *of.xy(rows, cols)
    )
    to_degrees = np.degrees(base.axis_info[0].unit_conversion_factor)
    return abs(of.crs.get_geod().polygon_area_perimeter(lon * to_degrees, lat * to_degrees)[0])


# By formula.


def test_100_m2_of_web_mercator_at_the_equator():
    # There the sphere's 10 m are 10 m eastwards, and northwards 10 m * M / a = 10 m * (1 - e2).
    areas = pixel_areas(grid("EPSG:3857", (10, 0, 0, 0, -10, 5), 1, 1))
    assert areas.shape == (1, 1) and areas.dtype == np.float64
    assert areas[0, 0] == pytest.approx(100 * (1 - E2), rel=1e-9)


def test_100_m2_of_web_mercator_at_60_degrees_are_a_quarter():
    _, north = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(0, 60)
    area = pixel_areas(grid("EPSG:3857", (10, 0, 0, 0, -10, north + 5), 1, 1))[0, 0]
    w2 = 1 - E2 * np.sin(np.radians(60)) ** 2
    assert area == pytest.approx(100 * np.cos(np.radians(60)) ** 2 * (1 - E2) / w2**2, rel=1e-8)
    assert 25 < area < 25.4


def test_a_pixel_of_utm_on_the_central_meridian_is_larger_by_its_scale_squared():
    area = pixel_areas(grid("EPSG:32631", (10, 0, 499995, 0, -10, 4.6e6), 1, 1))[0, 0]
    assert area == pytest.approx(100 / 0.9996**2, rel=1e-8)


def test_a_pixel_of_an_equal_area_crs_is_its_own_size():
    areas = pixel_areas(grid("EPSG:3035", (10, 0, 3.6e6, 0, -20, 2.1e6), 7, 9))
    np.testing.assert_allclose(areas, 200, rtol=1e-8)


def test_all_pixels_of_the_earth_are_the_earth():
    areas = pixel_areas(grid("EPSG:4326", (1, 0, -180, 0, -1, 90), 180, 360))
    assert areas.sum() == pytest.approx(510_065_621.724e6, rel=2e-5)
    assert areas.min() > 0
    np.testing.assert_allclose(areas, areas[::-1], rtol=1e-12)


def test_a_sphere_has_no_flattening():
    areas = pixel_areas(grid("+proj=longlat +R=1000 +no_defs", (1, 0, -180, 0, -1, 90), 180, 360))
    assert areas.sum() == pytest.approx(4 * np.pi * 1000**2, rel=2e-5)


def test_a_grid_without_crs_has_no_ground():
    with pytest.raises(ValueError, match="CRS"):
        pixel_areas(Grid(None, (10, 0, 0, 0, -10, 0), 2, 2))


# The same ground, however the grid lies.


def test_south_up_and_mirrored_grids_have_the_same_pixels_in_another_order():
    north_up = pixel_areas(grid("EPSG:3857", (500, 0, 1e5, 0, -500, 5e6), 30, 40))
    south_up = pixel_areas(grid("EPSG:3857", (500, 0, 1e5, 0, 500, 5e6 - 30 * 500), 30, 40))
    mirrored = pixel_areas(grid("EPSG:3857", (-500, 0, 1e5 + 40 * 500, 0, -500, 5e6), 30, 40))
    np.testing.assert_allclose(south_up[::-1], north_up, rtol=1e-9)
    np.testing.assert_allclose(mirrored[:, ::-1], north_up, rtol=1e-9)


def test_a_grid_turned_by_a_quarter_is_the_transposed_one():
    upright = pixel_areas(grid("EPSG:3857", (500, 0, 1e5, 0, -300, 5e6), 30, 40))
    turned = pixel_areas(grid("EPSG:3857", (0, 500, 1e5, -300, 0, 5e6), 40, 30))
    np.testing.assert_allclose(turned.T, upright, rtol=1e-9)


def test_a_window_has_the_areas_of_its_place():
    whole = grid("EPSG:4326", (0.01, 0.002, 5, 0.001, -0.01, 50), 60, 200)
    part = pixel_areas(whole.window(Window(20, 90, 30, 50)))
    np.testing.assert_allclose(part, pixel_areas(whole)[20:50, 90:140], rtol=1e-6)


@pytest.mark.parametrize(
    "crs, transform",
    [
        ("EPSG:4326", (0.01, 0, 179.7, 0, -0.01, -16)),
        ("EPSG:3857", (1000, 0, 20037508.34 - 30_500, 0, -1000, -1.8e6)),
        ("EPSG:32760", (1000, 0, 7.89e5, 0, -1000, 8.2e6)),
        ("EPSG:3832", (1000, 0, 3310_000, 0, -1000, -1.8e6)),
    ],
)
def test_nothing_happens_at_the_antimeridian(crs, transform):
    of = grid(crs, transform, 5, 60)
    lon, _ = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(
        *of.xy(2.5, np.arange(60) + 0.5)
    )
    assert {*np.sign(lon if lon.max() <= 180 else lon - 180)} == {-1, 1}  # the grid does cross it
    areas = pixel_areas(of)
    assert (np.abs(areas / areas.mean(axis=1, keepdims=True) - 1) < 0.01).all()
    expected = [geodesic_area(of, 2, col) for col in (0, 29, 30, 59)]
    np.testing.assert_allclose(areas[2, [0, 29, 30, 59]], expected, rtol=1e-5)


# Against geodesic polygons.

PLACES = {
    "web mercator": ("EPSG:3857", (10, 0, 230000, 0, -10, 5.07e6)),
    "degrees": ("EPSG:4326", (0.0001, 0, 2.1, 0, -0.0001, 41.5)),
    "degrees far north": ("EPSG:4326", (0.01, 0, 25, 0, -0.01, 80)),
    "utm": ("EPSG:32631", (10, 0, 166000, 0, -10, 4.6e6)),
    "utm south, south-up": ("EPSG:32733", (30, 0, 4e5, 0, 30, 6.2e6)),
    "europe's equal area": ("EPSG:3035", (10, 0, 6.1e6, 0, -10, 4.1e6)),
    "turned by 30 degrees": ("EPSG:3857", (8.66, 5, 1.2e6, 5, -8.66, 6e6)),
    "sheared": ("EPSG:25831", (10, 3, 4e5, -1, -8, 4.6e6)),
    "polar stereographic": ("EPSG:3413", (250, 0, -7e5, 0, -250, -9e5)),
    "lambert, in us feet": ("EPSG:2263", (30, 0, 9.8e5, 0, -30, 2e5)),
    "lambert, in grads from paris": ("EPSG:27572", (10, 0, 6e5, 0, -10, 2.2e6)),
    "grads from paris": ("EPSG:4807", (0.001, 0, 2, 0, -0.001, 50)),
    "with a height": ("EPSG:25831+5782", (10, 0, 4e5, 0, -10, 4.6e6)),
    "another datum": ("EPSG:31467", (10, 0, 3.5e6, 0, -10, 5.4e6)),
    "bound to wgs 84": (
        "+proj=tmerc +lon_0=10 +ellps=bessel +towgs84=598,73,418 +units=m",
        (10, 0, 1e4, 0, -10, 5e6),
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_areas_agree_with_geodesic_polygons(name):
    of = grid(*PLACES[name], 40, 500)
    areas = pixel_areas(of)
    assert areas.shape == (40, 500)
    for row, col in ((0, 0), (0, 499), (39, 0), (39, 499), (17, 203), (23, 8)):
        assert areas[row, col] == pytest.approx(geodesic_area(of, row, col), rel=1e-5), (row, col)


@pytest.mark.parametrize("width", [1, 2, 32, 33, 34, 10_980])
def test_interpolation_along_the_row_is_exact_enough_at_any_width(width):
    of = grid("EPSG:32631", (10, 0, 399_960, 0, -10, 4.6e6), 2, width)
    cols = sorted({0, width // 3, width // 2, width - 1})
    np.testing.assert_allclose(
        pixel_areas(of)[1, cols], [geodesic_area(of, 1, c) for c in cols], rtol=1e-6
    )


def test_columns_between_are_interpolated_within_a_ten_thousandth_of_the_exact(monkeypatch):
    # A row of 1,400 km, turned by 45 degrees.
    of = grid("EPSG:3857", (700, 700, 1e6, 700, -700, 6e6), 3, 2000)
    coarse = pixel_areas(of)
    monkeypatch.setattr("data.raster.ground.COLUMNS", 2000)
    np.testing.assert_allclose(coarse, pixel_areas(of), rtol=1e-4)


def test_a_pixel_that_shows_space_has_no_area_and_gives_no_warning(recwarn):
    areas = pixel_areas(
        grid(
            "+proj=geos +h=35785831 +lon_0=0 +a=6378169 +b=6356583.8 +sweep=y",
            (3e6, 0, -6e6, 0, -3e6, 1.5e6),
            1,
            4,
        )
    )
    assert np.isnan(areas).any() and not recwarn.list
