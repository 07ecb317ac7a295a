"""Checks of station 1, against data/grid.py and data/raster/ground.py."""

import math

from answers import same
from pyproj import CRS, Transformer

from data.grid import Grid
from data.raster.ground import pixel_areas

NORTH_UP = (10, 0, 500000, 0, -10, 4600000)
TURNED = (8, 6, 1000, 6, -8, 2000)  # turned by 37 degrees


def test_centre_of_a_pixel(ex):
    same("centre of pixel (0, 0)", ex.centre(NORTH_UP, 0, 0), (500005, 4599995))
    for transform in (NORTH_UP, TURNED):
        expected = Grid(None, transform, 9, 9).xy(3.5, 5.5)
        same(f"centre of pixel (3, 5) of {transform}", ex.centre(transform, 3, 5), expected)


def test_there_and_back(ex):
    for transform in (NORTH_UP, TURNED):
        grid = Grid(None, transform, 9, 9)
        for row, col in ((0.01, 0.99), (3.5, 5.5), (8.9, 0.2), (-0.2, -0.7)):
            found = ex.pixel_at(transform, *grid.xy(row, col))
            expected = math.floor(row), math.floor(col)
            same(f"pixel at row {row}, col {col} of {transform}", found, expected)


def test_area_of_a_pixel_of_10_m_in_web_mercator(ex):
    mercator = CRS.from_epsg(3857)
    to_map = Transformer.from_crs("EPSG:4326", mercator, always_xy=True)
    for latitude in (0, 41.4, 60, 78):
        x, y = to_map.transform(2.0, latitude)
        truth = pixel_areas(Grid(mercator, (10, 0, x - 5, 0, -10, y + 5), 1, 1)).item()
        same(f"m2 of ground at {latitude} degrees", ex.true_area(latitude), truth, within=0.01)
