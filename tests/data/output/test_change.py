"""Change between two maps: a matrix counted by hand, its sums, and the map's codes, names and
colours.
"""

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS
from zones import DEGREES, MERCATOR, km2_of_rows

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import IDENTITY, Grid, Window
from data.output import change, maps
from data.output.change import Changes
from data.raster import cog, geotiff

ROOT = Path(__file__).parents[3]
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
    style = (tmp_path / "c.qml").read_text()
    assert style.count("<paletteEntry ") == 9
    assert 'value="3" color="#d72d27" alpha="255" label="other to residential"/>' in style


def test_more_classes_than_pairs_of_a_byte_take_two_bytes(tmp_path):
    records = [{"code": str(n), "name": f"c{n}", "color": f"#0000{n:02X}"} for n in range(16)]
    table, grid = ClassTable.from_records("x", records), Grid(None, IDENTITY, 1, 2)
    with change.change_map(tmp_path / "c.tif", grid, table) as add:
        add(np.array([[15, 15]], np.uint8), np.array([[15, 0]], np.uint8))
    with geotiff.Raster(tmp_path / "c.tif") as raster:
        assert raster.read().tolist() == [[[256, 241]]] and raster.colormap[241] == (0, 0, 0)
        assert raster.colormap[255] == (0, 0, 14)


# The command.


def write_map(path, labels, grid: Grid = EQUAL_AREA) -> None:
    with maps.classes(path, grid, ESM) as add:
        add(labels)


def test_two_maps_are_compared_by_the_classes_that_they_hold(tmp_path, capsys):
    write_map(tmp_path / "a.tif", BEFORE)
    write_map(tmp_path / "b.tif", AFTER)
    change.main([str(tmp_path / "a.tif"), str(tmp_path / "b.tif")])
    printed = capsys.readouterr().out
    assert str(tmp_path / "a_to_b.tif") in printed and "before \\ after, km2" in printed
    assert f"\n{tmp_path / 'a_to_b.qml'}\n" in printed
    with open(tmp_path / "a_to_b.csv", newline="") as file:
        lines = {line[0]: line[1:] for line in csv.reader(file)}
    # 2 of other and 1 of non-residential have become residential.
    assert [float(value) for value in lines["gain"][:3]] == pytest.approx([0, 0, 3], abs=1e-5)
    with geotiff.Raster(tmp_path / "a_to_b.tif") as raster:
        assert raster.read()[0].tolist() == [[1, 1, 3, 3], [6, 9, 0, 0]]


def test_any_two_rasters_of_a_class_table_are_compared(tmp_path, capsys):
    finer = Grid(EQUAL_AREA.crs, (500, 0, 4e6, 0, -500, 3e6), 4, 8)
    nodata = ESM.nodata
    cog.write(tmp_path / "a.tif", ESM.decode(BEFORE), EQUAL_AREA, nodata)
    cog.write(tmp_path / "b.tif", ESM.decode(AFTER).repeat(2, 0).repeat(2, 1), finer, nodata)
    paths = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    with pytest.raises(InputError, match="a.tif: has no names of classes; give its class table"):
        change.main(paths)
    change.main([*paths, "--classes", "esm", "-o", str(tmp_path / "c.tif")])
    assert "c.csv" in capsys.readouterr().out
    with geotiff.Raster(tmp_path / "c.tif") as raster:
        assert raster.read()[0, 0].tolist() == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("p_2019_06_01", "p_2021_06_01", ""),
        ("p_2021_06_01", "p_2019_06_01", "p_2019_06_01.tif is the earlier map, but it is given"),
        ("01.06.2021_landcover", "01.05.2021_landcover", "01.05.2021_landcover.tif is the earlier"),
        ("b", "a", "no two dates to compare; the maps are taken in the order given"),
    ],
)
def test_the_order_given_counts_and_dates_in_the_names_that_contradict_it_are_told(
    tmp_path, capsys, before, after, said
):
    paths = [tmp_path / f"{name}.tif" for name in (before, after)]
    for path, labels in zip(paths, (BEFORE, AFTER)):
        write_map(path, labels)
    change.main([*map(str, paths), "-o", str(tmp_path / "c.tif")])
    printed = capsys.readouterr()
    assert f"from {paths[0]} to {paths[1]}\n" in printed.out
    assert said in printed.err and bool(said) == bool(printed.err)
    with geotiff.Raster(tmp_path / "c.tif") as raster:
        assert raster.read()[0].tolist() == [[1, 1, 3, 3], [6, 9, 0, 0]]


def test_maps_of_different_ground_and_outputs_over_inputs_are_refused(tmp_path):
    write_map(tmp_path / "a.tif", BEFORE)
    far = EQUAL_AREA.window(Window(10_000, 0, 2, 4))
    write_map(tmp_path / "far.tif", AFTER, far)
    a, far = str(tmp_path / "a.tif"), str(tmp_path / "far.tif")
    with pytest.raises(InputError, match="far.tif"):
        change.main([a, far])
    before = (tmp_path / "a.tif").read_bytes()
    with pytest.raises(InputError, match="a.tif: is an input"):
        change.main([a, a, "-o", a])
    assert (tmp_path / "a.tif").read_bytes() == before
    assert not list(tmp_path.glob("*_to_*"))


def test_unknown_codes_of_either_map_are_an_error(tmp_path):
    codes = ESM.decode(BEFORE)
    cog.write(tmp_path / "a.tif", codes, EQUAL_AREA, ESM.nodata)
    codes[0, 0] = 77
    cog.write(tmp_path / "b.tif", codes, EQUAL_AREA, ESM.nodata)
    for before, after in ("ab", "ba"):
        paths = [str(tmp_path / f"{name}.tif") for name in (before, after)]
        with pytest.raises(InputError, match=r"b\.tif: code 77 \(1 pixels\)"):
            change.main([*paths, "--classes", "esm", "-o", str(tmp_path / "c.tif")])
        assert not (tmp_path / "c.tif").exists()


def test_maps_without_a_crs_are_compared_where_their_transforms_are_equal(tmp_path, capsys):
    bare = dataclasses.replace(EQUAL_AREA, crs=None)
    aside = dataclasses.replace(bare, transform=(1000, 0, 4_002_000, 0, -1000, 3e6))
    cog.write(tmp_path / "a.tif", np.stack([ESM.decode(BEFORE)] * 3), EQUAL_AREA, ESM.nodata)
    arguments = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    arguments += ["--classes", "esm", "-o", str(tmp_path / "c.tif")]
    cog.write(tmp_path / "b.tif", ESM.decode(AFTER), aside, ESM.nodata)
    with pytest.raises(InputError, match=r"b\.tif: .* of the earlier map .* and it has no CRS"):
        change.main(arguments)
    cog.write(tmp_path / "b.tif", ESM.decode(AFTER), bare, ESM.nodata)
    change.main(arguments)
    with geotiff.Raster(tmp_path / "c.tif") as raster:
        assert raster.read()[0].tolist() == [[1, 1, 3, 3], [6, 9, 0, 0]]
    assert "note: " in (error := capsys.readouterr().err) and "a.tif: its three channels" in error


def test_the_command_ends_in_one_line(tmp_path):
    command = [sys.executable, "-m", "data.output.change", "no.tif", "b.tif"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert (
        done.stderr.startswith("data.output.change: error: no.tif") and done.stderr.count("\n") == 1
    )
