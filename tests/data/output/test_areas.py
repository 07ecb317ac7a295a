"""What a map holds: pixels and km2 counted by hand, and km2 of rows by a closed formula."""

import numpy as np
import pytest
from pyproj import CRS
from zones import DEGREES, MERCATOR, km2_of_rows

from data.files import IGNORE
from data.grid import Grid
from data.output.areas import Areas

EQUAL_AREA = Grid(CRS.from_epsg(3035), (1000, 0, 4e6, 0, -1000, 3e6), 4, 5)  # a pixel is 1 km2
TOWN = [[0, 0, 0, 0, 0], [0, 0, 0, 1, 2], [0, 0, 2, 2, 2], [IGNORE] * 5]


def areas(labels: list, grid: Grid) -> Areas:
    found = Areas(grid, 3)
    for row in labels:
        found.add(np.array([row], np.uint8))
    return found


def test_pixels_and_areas_of_a_map_that_streams_by():
    found = areas(TOWN, EQUAL_AREA)
    assert found.pixels.tolist() == [10, 1, 4] and found.no_data == 5
    np.testing.assert_allclose(found.km2, [10, 1, 4], rtol=1e-6)
    np.testing.assert_allclose(found.shares, [10 / 15, 1 / 15, 4 / 15])
    assert np.isnan(areas([[IGNORE] * 5] * 4, EQUAL_AREA).shares).all()


@pytest.mark.parametrize("grid", [DEGREES, MERCATOR], ids=["4326", "3857"])
@pytest.mark.parametrize("heights", [[4], [1, 1, 1, 1], [3, 1]])
def test_km2_of_a_strip_are_those_of_its_own_rows(grid, heights):
    found, labels = Areas(grid, 4), np.arange(4, dtype=np.uint8)[:, None]
    for strip in np.split(labels, np.cumsum(heights)[:-1]):
        found.add(strip)
    np.testing.assert_allclose(found.km2, km2_of_rows(grid), rtol=3e-5)
