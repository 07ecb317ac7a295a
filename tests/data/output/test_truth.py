"""Truth row by row: in the heights of strips, on another grid, and of a mask that is wrong."""

import numpy as np
import pytest
import small
from pyproj import CRS

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid
from data.output.truth import Truth
from data.raster import cog, geotiff

GRID = Grid(CRS.from_epsg(32631), (10, 0, 4e5, 0, -10, 5e6), 700, 30)
HEIGHTS = [1, 188, 192, 3, 316]


@pytest.fixture
def table(tmp_path) -> ClassTable:
    (tmp_path / "table.csv").write_text(small.TABLE)
    return ClassTable.load(tmp_path / "table.csv")


def codes(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).choice([0, 10, 20], (height, width)).astype(np.uint8)


def labels_of(truth: Truth, heights: list[int], width: int = 30) -> np.ndarray:
    rows = [truth.next_rows(np.zeros((height, width), np.uint8)) for height in heights]
    assert [len(part) for part in rows] == heights
    return np.concatenate(rows)


@pytest.mark.parametrize("heights", [HEIGHTS, [700], [1] * 700])
def test_rows_are_those_of_the_mask_whatever_the_heights(tmp_path, table, heights):
    mask = codes(700, 30)
    cog.write(tmp_path / "m.tif", mask, GRID)
    truth = Truth(tmp_path / "m.tif", table, GRID)
    assert np.array_equal(labels_of(truth, heights), np.choose(mask // 10, [IGNORE, 0, 1]))
    truth.check()
    assert np.array_equal(truth.picture(), np.choose(mask // 10, [IGNORE, 0, 1])[::2, ::2])


def test_a_mask_of_finer_pixels_comes_on_the_grid_of_the_map(tmp_path, table):
    mask = codes(700, 30)
    fine = Grid(GRID.crs, (5, 0, 4e5, 0, -5, 5e6), 1400, 60)
    cog.write(tmp_path / "m.tif", np.kron(mask, np.ones((2, 2), np.uint8)), fine)
    truth = Truth(tmp_path / "m.tif", table, GRID)
    assert np.array_equal(labels_of(truth, HEIGHTS), np.choose(mask // 10, [IGNORE, 0, 1]))
    truth.check()


def test_pixels_that_the_map_does_not_know_have_no_truth(tmp_path, table):
    cog.write(tmp_path / "m.tif", np.full((700, 30), 20, np.uint8), GRID)
    labels = np.random.default_rng(1).choice([0, 1, IGNORE], (700, 30)).astype(np.uint8)
    found = Truth(tmp_path / "m.tif", table, GRID).next_rows(labels)
    assert np.array_equal(found, np.where(labels == IGNORE, IGNORE, 1)) and found.dtype == np.uint8


@pytest.mark.parametrize("what", ["far away", "unknown code", "damaged", "no raster"])
def test_what_is_wrong_with_the_mask_is_said_when_the_map_is_there(tmp_path, table, what):
    mask, grid = codes(700, 30), GRID
    if what == "unknown code":
        mask[600, 7] = 99
    if what == "far away":
        grid = Grid(GRID.crs, (10, 0, 9e5, 0, -10, 5e6), 700, 30)
    path = tmp_path / "m.tif"
    cog.write(path, mask, grid)
    if what == "damaged":
        with geotiff.Raster(path) as raster:
            offset = raster._pages[0]._page.dataoffsets[-1]
        damaged = bytearray(path.read_bytes())
        damaged[offset : offset + 100] = bytes(100)
        path.write_bytes(damaged)
    if what == "no raster":
        path.write_text("text")
    truth = Truth(path, table, GRID)
    found = labels_of(truth, HEIGHTS)
    if what in ("far away", "no raster"):
        assert (found == IGNORE).all()
    with pytest.raises((InputError, OSError), match="m.tif"):
        truth.check()


def test_what_is_told_of_the_mask_follows_when_it_is_read(tmp_path, capsys):
    grid = Grid(GRID.crs, GRID.transform, 20, 30)
    mask = np.full((3, 20, 30), 255, np.uint8)
    mask[0] = 0
    mask[1, 5] = 254
    cog.write(tmp_path / "m.tif", mask, grid)
    truth = Truth(tmp_path / "m.tif", ClassTable.load("deepglobe"), grid)
    assert (labels_of(truth, [20]) == 0).all()
    truth.check()
    said = "m.tif: 30 pixels (5.00 %) were not pure colours; each channel was rounded to 0 or 255"
    assert said in capsys.readouterr().err
