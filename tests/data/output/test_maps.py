"""The files of a map: what rasterio, and GDAL by way of its VRT, read of names, colours, scales and
no-data.
"""

import re

import numpy as np
import pytest
from pyproj import CRS

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Grid, Window
from data.output import maps
from data.raster import geotiff
from data.training.mask import Mask

GRID = Grid(CRS.from_epsg(3857), (10.0, 0.0, 2.6e5, 0.0, -10.0, 6.2e6), 40, 60)
LABELS = np.random.default_rng(0).integers(0, 3, (40, 60)).astype(np.uint8)
LABELS[:3] = IGNORE


def write_classes(path, table: ClassTable) -> None:
    with maps.classes(path, GRID, table) as add:
        add(LABELS[:7])
        add(LABELS[7:])


def test_bytes_keep_the_surest_pixel_apart_from_no_data():
    values = np.array([0.0, 0.001, 0.5, 0.999, 1.0, np.nan, -1e-7, 1 + 1e-7])
    assert maps.to_bytes(values).tolist() == [0, 0, 127, 254, 254, 255, 0, 254]


def test_bytes_are_within_half_a_step_of_the_numbers():
    values = np.random.default_rng(0).random(1000)
    assert np.abs(maps.to_bytes(values) / 254 - values).max() <= 0.5 / 254 + 1e-12


def test_labels_are_written_as_codes_with_colours_names_and_no_data(tmp_path):
    table, path = ClassTable.load("esm"), tmp_path / "map.tif"
    write_classes(path, table)
    with geotiff.Raster(path) as raster:
        codes = raster.read()[0]
        assert raster.nodata == 254 and raster.colormap[255] == (0xD7, 0x2D, 0x27)
    assert np.array_equal(codes, table.decode(LABELS)) and set(codes.ravel()) == {1, 250, 255, 254}


TABLES = {
    **{name: ClassTable.load(name).records for name in ("esm", "catalonia", "deepglobe")},
    "colours displayed in other colours": [
        {"code": "#FF0000", "name": "a", "color": "#FFA000"},
        {"code": "#00FF00", "name": "b", "color": "#00A0FF"},
        {"code": "#0000FF", "name": "c", "color": "#A000FF"},
    ],
    "colours displayed in each other's colours": [
        {"code": "#FF0000", "name": "a", "color": "#00FF00"},
        {"code": "#00FF00", "name": "b", "color": "#0000FF"},
        {"code": "#0000FF", "name": "c", "color": "#FF0000"},
    ],
    "integers displayed in one colour": [
        {"code": str(code), "name": str(code), "color": "#000000"} for code in (3, 2, 0)
    ],
    "integers beyond a byte": [
        {"code": str(code), "name": str(code), "color": "#000000"} for code in (3, -2, 4000)
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_a_map_is_read_back_as_a_mask(tmp_path, name):
    table, path = ClassTable.from_records(name, TABLES[name]), tmp_path / "map.tif"
    write_classes(path, table)
    with Mask(path, table) as mask:
        assert np.array_equal(mask.read(Window(0, 0, 40, 60)), LABELS)
        mask.check()


def test_gdal_reads_the_names_of_the_classes(tmp_path):
    """From inside the file as metadata, and from the file beside it as categories, which QGIS puts
    into the legend.
    """
    rasterio, shutil = pytest.importorskip("rasterio"), pytest.importorskip("rasterio.shutil")
    path = tmp_path / "map.tif"
    write_classes(path, ClassTable.load("esm"))
    with rasterio.open(path) as dataset:
        found = {name: text for name, text in dataset.tags().items() if name.startswith("class_")}
        assert found == {
            "class_1": "other",
            "class_250": "non-residential",
            "class_255": "residential",
        }
        shutil.copy(
            dataset, tmp_path / "map.vrt", driver="VRT"
        )  # rasterio itself does not show categories
    categories = re.findall(
        r"<Category(?:>([^<]*)</Category)?/?>", (tmp_path / "map.vrt").read_text()
    )
    assert len(categories) == 256
    named = {code: name for code, name in enumerate(categories) if name}
    assert named == {1: "other", 250: "non-residential", 254: "no data", 255: "residential"}


def test_names_with_marks_of_xml_survive(tmp_path):
    rasterio, shutil = pytest.importorskip("rasterio"), pytest.importorskip("rasterio.shutil")
    name = 'grass & <"wood">, forêt'
    records = [
        {"code": "3", "name": name, "color": "#010203"},
        {"code": "4", "name": "b", "color": "#040506"},
    ]
    table, path = ClassTable.from_records("x", records), tmp_path / "map.tif"
    with maps.classes(path, GRID, table) as add:
        add(LABELS % 2)
    with rasterio.open(path) as dataset:
        assert dataset.tags()["class_3"] == name
        shutil.copy(dataset, tmp_path / "map.vrt", driver="VRT")
    assert "grass &amp; &lt;" in (tmp_path / "map.vrt").read_text()


def test_a_table_whose_codes_fit_no_palette_leaves_no_sidecar_not_even_an_earlier_one(tmp_path):
    path = tmp_path / "map.tif"
    write_classes(path, ClassTable.load("esm"))
    assert (tmp_path / "map.tif.aux.xml").exists()
    records = [
        {"code": str(code), "name": str(code), "color": "#000001"} for code in (10, 2000, -1)
    ]
    write_classes(path, ClassTable.from_records("x", records))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["map.qml", "map.tif"]
    assert 'value="2000"' in (tmp_path / "map.qml").read_text()


def test_the_style_has_the_classes_in_their_display_colours_and_no_row_for_no_data(tmp_path):
    table = ClassTable.from_records("x", TABLES["colours displayed in each other's colours"])
    write_classes(tmp_path / "map.tif", table)
    found = re.findall(
        r'value="(\d+)" color="(\S+)" .* label="(.*)"', (tmp_path / "map.qml").read_text()
    )
    assert found == [("0", "#00ff00", "a"), ("1", "#0000ff", "b"), ("2", "#ff0000", "c")]


def test_a_raster_without_names_leaves_no_sidecar_and_no_style_of_an_earlier_one(tmp_path):
    path = tmp_path / "map.tif"
    write_classes(path, ClassTable.load("esm"))
    for names in {3: "no data"}, {300: "beyond a byte"}, {}:
        with maps.coded(path, GRID, np.dtype("uint8"), 3, names, {1: (1, 2, 3)}, None) as add:
            add(np.ones((40, 60), np.uint8))
        assert [*tmp_path.iterdir()] == [path]
        with geotiff.Raster(path) as raster:
            assert maps.class_names(raster) == {} and raster.nodata == 3


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_fractions_are_named_bands_that_read_as_0_to_1(tmp_path, dtype):
    rasterio = pytest.importorskip("rasterio")
    path, values = (
        tmp_path / "p.tif",
        np.random.default_rng(0).random((3, 40, 60)).astype(np.float32),
    )
    values[:, :5], values[:, 6, 7] = np.nan, (1, 0, 0)
    with maps.fractions(path, GRID, ["other", "town", "wood"], dtype=dtype) as add:
        add(values[:, :11])
        add(values[:, 11:])
    with rasterio.open(path) as dataset:
        read = dataset.read(masked=True) * np.reshape(dataset.scales, (3, 1, 1))
        assert dataset.descriptions == ("other", "town", "wood") and dataset.dtypes == (dtype,) * 3
    assert read.mask[:, :5].all() and not read.mask[:, 5:].any()
    assert np.abs(read[:, 5:] - values[:, 5:]).max() <= (
        0.5 / 254 + 1e-6 if dtype == "uint8" else 0
    )
    assert read[:, 6, 7].tolist() == [1, 0, 0]
