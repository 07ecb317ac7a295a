"""Georeference tags: by hand first, then every transform as rasterio writes and reads it."""

import numpy as np
import pytest
import tifffile
from pyproj import CRS

from data.grid import IDENTITY, Grid
from data.raster import cog, georeference, geotiff
from data.raster.georeference import DIRECTORY, DOUBLES, MATRIX, SCALE, TEXTS, TIEPOINT

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

# Two keys: GTModelType 1 (projected) and ProjectedCSType 32633.
UTM33 = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633)
NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 6_000_000.0)


def write_with_rasterio(path, crs, transform=NORTH_UP, **tags) -> None:
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "width": 5, "height": 4, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        path, "w", crs=crs, transform=rasterio.Affine(*transform), **profile
    ) as dataset:
        dataset.write(np.zeros((1, 4, 5), np.uint8))
        dataset.update_tags(**tags)


def test_a_code_and_a_tie_point_with_a_scale():
    tags = {
        SCALE: (10.0, 10.0, 0.0),
        TIEPOINT: (0, 0, 0, 500_000.0, 6_000_000.0, 0),
        DIRECTORY: UTM33,
    }
    crs, transform, kept = georeference.decode(tags)
    assert crs == CRS.from_epsg(32633) and transform == NORTH_UP and kept == tags


def test_a_tie_point_elsewhere_gives_the_same_transform():
    # Pixel (row 3, col 2) begins at x = 500000 + 2 * 10, y = 6000000 - 3 * 10.
    tags = {SCALE: (10.0, 10.0, 0.0), TIEPOINT: (2, 3, 0, 500_020.0, 5_999_970.0, 0)}
    assert georeference.decode(tags)[1] == NORTH_UP


def test_pixel_is_point_is_shifted_by_half_a_pixel_and_only_once():
    # The point (500005, 5999995) is the first pixel's centre: its corner lies 5 m further up and
    # left.
    tags = {
        SCALE: (10.0, 10.0, 0.0),
        TIEPOINT: (0, 0, 0, 500_005.0, 5_999_995.0, 0),
        DIRECTORY: (1, 1, 0, 2, 1025, 0, 1, 2, 3072, 0, 1, 32633),
    }
    crs, transform, shifted = georeference.decode(tags)
    assert transform == NORTH_UP
    assert shifted[DIRECTORY] == (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    assert georeference.decode(shifted) == (crs, NORTH_UP, shifted)
    assert tags[DIRECTORY][7] == 2  # the caller's tags are as they were


def test_a_matrix_is_read_by_rows():
    matrix = (1, 2, 0, 3, 4, 5, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1)
    assert georeference.decode({MATRIX: matrix})[1] == (1, 2, 3, 4, 5, 6)


def test_tags_that_place_nothing_give_the_identity():
    tiepoint = (0, 0, 0, 500_000.0, 6_000_000.0, 0)
    assert georeference.decode({}) == (None, IDENTITY, {})
    assert georeference.decode({SCALE: (0.0, 0.0, 0.0), TIEPOINT: tiepoint})[1] == IDENTITY
    assert georeference.decode({MATRIX: (0.0,) * 16})[1] == IDENTITY
    assert georeference.decode({SCALE: (10.0, 10.0, 0.0)})[1] == IDENTITY
    assert georeference.encode(None, IDENTITY) == {}


def test_ground_control_points_are_no_transform_and_their_crs_not_the_pixels():
    tags = {TIEPOINT: (0, 0, 0, 1, 2, 0, 5, 0, 0, 6, 2, 0, 0, 4, 0, 1, 9, 0), DIRECTORY: UTM33}
    assert georeference.decode(tags) == (None, IDENTITY, tags)


def test_numbers_and_texts_are_looked_up_in_their_tags():
    directory = (1, 1, 0, 3, 1026, TEXTS, 5, 2, 2057, DOUBLES, 1, 1, 2062, DOUBLES, 3, 0)
    keys = georeference.read_keys(
        {DIRECTORY: directory, DOUBLES: (1.5, 2.5, 3.5), TEXTS: "a|Ü4!|".encode()}
    )
    assert keys == {1026: "Ü4!", 2057: 2.5, 2062: (1.5, 2.5, 3.5)}


TRANSFORMS = {
    "north-up": NORTH_UP,
    "no square pixels": (10.0, 0.0, 500_000.0, 0.0, -2.5, 6_000_000.0),
    "degrees": (0.1 / 3, 0.0, -180.0, 0.0, -0.1 / 7, 90.0),
    "south-up": (10.0, 0.0, 500_000.0, 0.0, 10.0, 6_000_000.0),
    "mirrored": (-10.0, 0.0, 500_000.0, 0.0, -10.0, 6_000_000.0),
    "rotated": (7.0, 7.5, 500_000.0, -7.25, 7.125, 6_000_000.0),
    "quarter turn": (0.0, 10.0, 500_000.0, -10.0, 0.0, 6_000_000.0),
}


@pytest.mark.parametrize("interpretation", ["Area", "Point"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_of_rasterio_is_read_and_its_tags_written_again(tmp_path, name, interpretation):
    rasterio = pytest.importorskip("rasterio")
    theirs, ours = tmp_path / "theirs.tif", tmp_path / "ours.tif"
    write_with_rasterio(theirs, "EPSG:3857", TRANSFORMS[name], AREA_OR_POINT=interpretation)
    with geotiff.Raster(theirs) as raster:
        assert np.allclose(raster.grid.transform, TRANSFORMS[name], rtol=1e-14, atol=0)
        cog.write(ours, raster.read(), raster.grid, geo_tags=raster.geo_tags)
        with rasterio.open(ours) as dataset, geotiff.Raster(ours) as copy:
            assert dataset.tags()["AREA_OR_POINT"] == "Area"
            assert copy.grid.matches(raster.grid) and copy.geo_tags == raster.geo_tags
            assert np.allclose(dataset.transform[:6], TRANSFORMS[name], rtol=1e-14, atol=0)
            assert dataset.crs == rasterio.CRS.from_epsg(3857)


@pytest.mark.parametrize("crs", [None, CRS.from_epsg(3857)])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_written_transform_is_read_by_rasterio_and_by_us(tmp_path, name, crs):
    rasterio = pytest.importorskip("rasterio")
    path, grid = tmp_path / "ours.tif", Grid(crs, TRANSFORMS[name], 4, 5)
    cog.write(path, np.zeros((4, 5), np.uint8), grid)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert dataset.transform[:6] == raster.grid.transform == grid.transform
        assert raster.grid.crs == crs and (dataset.crs is None) == (crs is None)


def write_with_tags(path, tags: dict) -> None:
    types = {DIRECTORY: 3, TEXTS: 2}
    extratags = [(tag, types.get(tag, 12), len(value), value, True) for tag, value in tags.items()]
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), metadata=None, extratags=extratags)


@pytest.mark.parametrize(
    "tags",
    [
        {SCALE: (10.0, 10.0, 0.0), TIEPOINT: (2.5, 3.0, 0.0, 500_000.0, 6_000_000.0, 0.0)},
        {SCALE: (10.0, -10.0, 0.0), TIEPOINT: (0.0, 0.0, 0.0, 500_000.0, 6_000_000.0, 0.0)},
        {
            SCALE: (10.0, 10.0, 0.0),
            TIEPOINT: (0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 9.0, 9.0, 0.0, 91.0, -88.0, 0.0),
        },
        {
            SCALE: (10.0, 10.0, 0.0),
            TIEPOINT: (0.0, 0.0, 0.0, 1.0, 2.0, 0.0),
            MATRIX: tuple(range(16)),
        },
        {},
    ],
    ids=["tie point elsewhere", "negative scale", "two tie points", "scale and matrix", "nothing"],
)
def test_unusual_tags_are_read_as_rasterio_reads_them(tmp_path, tags):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "file.tif"
    write_with_tags(
        path, {key: tuple(map(float, value)) for key, value in tags.items()} | {DIRECTORY: UTM33}
    )
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert raster.grid.transform == dataset.transform[:6]
        assert raster.grid.crs == CRS.from_wkt(dataset.crs.to_wkt())


def test_a_crs_that_cannot_be_decoded_is_copied_from_file_to_file(tmp_path):
    # A text with two accents, an unknown method (999), and an unknown key (5000).
    text = "ünbekannte Projektiön|".encode()
    citation = 1026, TEXTS, len(text), 0
    method = 3075, 0, 1, 999
    unknown = 5000, DOUBLES, 1, 0
    directory = (1, 1, 0, 4, 1024, 0, 1, 1, *citation, *method, *unknown)
    tags = {
        SCALE: (10.0, 10.0, 1.0),
        TIEPOINT: (0.0, 0.0, 0.0, 1.0, 2.0, 3.0),
        DIRECTORY: directory,
    }
    tags |= {DOUBLES: (4.5,), TEXTS: text + b"\0"}
    first, second = tmp_path / "first.tif", tmp_path / "second.tif"
    write_with_tags(first, tags)
    with geotiff.Raster(first) as raster:
        assert raster.grid.crs is None
        assert raster.grid.transform == (10.0, 0.0, 1.0, 0.0, -10.0, 2.0)
        assert raster.geo_tags == tags
        cog.write(second, raster.read(), raster.grid, geo_tags=raster.geo_tags)
    with geotiff.Raster(second) as raster:
        assert raster.geo_tags == tags
