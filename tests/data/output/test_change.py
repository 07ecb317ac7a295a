"""Change between two maps: a matrix counted by hand, its sums, and the map's codes, names and
colours.
"""

import csv

import numpy as np
import pytest
from pyproj import CRS
from zones import DEGREES, MERCATOR, km2_of_rows

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import IDENTITY, Grid
from data.output import change
from data.output.change import Changes
from data.raster import geotiff

ESM = ClassTable.load("esm")  # other, non-residential, residential
EQUAL_AREA = Grid(CRS.from_epsg(3035), (1000, 0, 4e6, 0, -1000, 3e6), 2, 4)  # a pixel is 1 km2
BEFORE = np.array([[0, 0, 0, 0], [1, 2, 2, IGNORE]], np.uint8)
AFTER = np.array([[0, 0, 2, 2], [2, 2, IGNORE, 0]], np.uint8)


def changes(grid: Grid = EQUAL_AREA) -> Changes:
    found = Changes(grid, 3)
    for row in range(2):
        found.add(BEFORE[row : row + 1], AFTER[row : row + 1])
    return found


def test_ground_is_counted_by_what_it_was_and_what_it_is():
    found = changes()
    np.testing.assert_allclose(found.matrix, [[2, 0, 2], [0, 0, 1], [0, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(found.losses, [2, 1, 0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.gains, [0, 0, 3], rtol=1e-6, atol=1e-9)
    assert found.unit == "km2"
    plain = changes(Grid(None, IDENTITY, 2, 4))
    assert plain.unit == "pixels" and plain.matrix.tolist() == [[2, 0, 2], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("grid", [DEGREES, MERCATOR], ids=["4326", "3857"])
@pytest.mark.parametrize("heights", [[4], [1, 1, 1, 1], [3, 1]])
def test_km2_of_a_strip_are_those_of_its_own_rows(grid, heights):
    found = Changes(grid, 4)
    before = np.arange(4, dtype=np.uint8)[:, None]
    for strip in np.split(before, np.cumsum(heights)[:-1]):
        found.add(strip, np.zeros_like(strip))
    np.testing.assert_allclose(found.matrix[:, 0], km2_of_rows(grid), rtol=3e-5)


def test_gains_and_losses_are_equal_over_all_classes():
    random = np.random.default_rng(0)
    grid = Grid(CRS.from_epsg(3857), (10, 0, 2e5, 0, -10, 6e6), 30, 40)
    found = Changes(grid, 5)
    before, after = random.integers(0, 5, (2, 30, 40)).astype(np.uint8)
    found.add(before, after)
    assert found.gains.sum() == pytest.approx(found.losses.sum())
    turned = Changes(grid, 5)
    turned.add(after, before)
    np.testing.assert_allclose(turned.matrix, found.matrix.T)


def test_the_table_has_the_matrix_with_its_sums(tmp_path):
    change.write_csv(tmp_path / "c.csv", ESM, changes(Grid(None, IDENTITY, 2, 4)))
    with open(tmp_path / "c.csv", newline="", encoding="utf-8") as file:
        lines = [[cell.removesuffix(".000000") for cell in line] for line in csv.reader(file)]
    assert lines == [
        [
            "before \\ after, pixels",
            "other",
            "non-residential",
            "residential",
            "total before",
            "loss",
        ],
        ["other", "2", "0", "2", "4", "2"],
        ["non-residential", "0", "0", "1", "1", "1"],
        ["residential", "0", "0", "1", "1", "0"],
        ["total after", "2", "0", "4", "6", ""],
        ["gain", "0", "0", "3", "", "3"],
        ["gain - loss", "-2", "-1", "3", "", ""],
    ]


def test_the_terminal_shows_the_classes_that_either_map_has():
    found = Changes(Grid(None, IDENTITY, 1, 3), 3)
    found.add(np.array([[0, 0, 2]], np.uint8), np.array([[0, 2, 2]], np.uint8))
    assert [line.split() for line in change.change_table(ESM, found).splitlines()] == [
        ["before", "\\", "after,", "pixels", "1", "255", "total", "before", "loss"],
        ["other", "(1)", "1", "1", "2", "1"],
        ["residential", "(255)", "0", "1", "1", "0"],
        ["total", "after", "1", "2", "3"],
        ["gain", "0", "1", "1"],
        ["gain", "-", "loss", "-1", "1"],
    ]


def test_the_map_names_each_change_and_colours_what_has_become(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    with change.change_map(tmp_path / "c.tif", EQUAL_AREA, ESM) as add:
        add(BEFORE, AFTER)
    with rasterio.open(tmp_path / "c.tif") as dataset:
        # before * 3 + after + 1: 1 other, 3 other to residential, 6 non-residential to residential,
        # 9 residential
        assert dataset.read(1).tolist() == [[1, 1, 3, 3], [6, 9, 0, 0]] and dataset.nodata == 0
        tags, colors = dataset.tags(), dataset.colormap(1)
    assert (
        tags["class_1"] == "other: unchanged"
        and tags["class_6"] == "non-residential to residential"
    )
    assert colors[3][:3] == colors[6][:3] == ESM.colors[2]
    assert colors[9][:3] == (245, 202, 201)  # (215, 45, 39) three quarters of the way to white
    assert "<Category>other to residential</Category>" in (tmp_path / "c.tif.aux.xml").read_text()


def test_more_classes_than_pairs_of_a_byte_take_two_bytes(tmp_path):
    records = [{"code": str(n), "name": f"c{n}", "color": f"#0000{n:02X}"} for n in range(16)]
    table, grid = ClassTable.from_records("x", records), Grid(None, IDENTITY, 1, 2)
    with change.change_map(tmp_path / "c.tif", grid, table) as add:
        add(np.array([[15, 15]], np.uint8), np.array([[15, 0]], np.uint8))
    with geotiff.Raster(tmp_path / "c.tif") as raster:
        assert raster.read().tolist() == [[[256, 241]]] and raster.colormap[241] == (0, 0, 0)
        assert raster.colormap[255] == (0, 0, 14)
