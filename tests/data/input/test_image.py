"""The door of images: alpha, dataset masks, scale and offset, and no cost where a file has none."""

from pathlib import Path

import numpy as np
import pytest
import small
import tifffile

import predict
from data.grid import IDENTITY, Grid, Window
from data.input import image, inputs
from data.input.image import Image
from data.raster import Raster, cog
from data.scaling import valid_pixels

NUMBERS = np.arange(1, 25, dtype=np.uint8).reshape(4, 2, 3)
HOLE = np.array([[False, True, True], [True, True, False]])  # the pixels that a mask leaves


def written(path: Path, numbers=NUMBERS, nodata=None, names=None) -> Path:
    grid = Grid(None, IDENTITY, *numbers.shape[1:])
    cog.write(path, numbers, grid, nodata=nodata, descriptions=names)
    return path


def holding(monkeypatch, alpha=None, mask=None, scales=()) -> None:
    """Let every file hold an alpha band, a dataset mask, or scales."""

    class Holding(Raster):
        def __init__(self, path):
            super().__init__(path)
            self.alpha, self.scales = alpha, tuple(scales)
            self.masked = alpha is not None or mask is not None

        def valid(self, window=None, pixels=None):
            valid = valid_pixels(pixels, self.nodata)
            if self.alpha:
                valid &= self.read(window, [self.alpha])[0] != 0
            if mask is not None:
                row, col, height, width = window or (0, 0, 2, 3)
                valid &= mask[row : row + height, col : col + width]
            return valid

    monkeypatch.setattr(image, "Raster", Holding)


def test_an_ordinary_file_is_read_as_it_is(tmp_path):
    path = written(tmp_path / "a.tif", nodata=7)
    with Image(path) as found, Raster(path) as raster:
        assert (found.dtype, found.nodata, found.count) == (np.uint8, 7, 4)
        assert found.remarks == [] and found.descriptions == raster.descriptions
        for arguments in ((), (Window(1, 0, 1, 2),), (None, [3, 1])):
            assert np.array_equal(found.read(*arguments), raster.read(*arguments))
    with Image(path, nodata=5) as found:
        assert found.nodata == 5


# Validity.


def test_pixels_that_a_mask_leaves_out_get_the_declared_value(tmp_path, monkeypatch):
    holding(monkeypatch, mask=HOLE)
    with Image(written(tmp_path / "a.tif", nodata=0)) as found:
        assert (found.dtype, found.nodata) == (np.uint8, 0)
        assert np.array_equal(found.read(), np.where(HOLE, NUMBERS, 0))
        assert found.read(Window(1, 1, 1, 2), [2]).tolist() == [[[11, 0]]]


@pytest.mark.parametrize("nodata", [None, -9999, np.nan])
def test_without_a_value_of_the_type_they_are_nan(tmp_path, monkeypatch, nodata):
    holding(monkeypatch, mask=HOLE)
    with Image(written(tmp_path / "a.tif"), nodata) as found:
        assert (found.dtype, found.nodata) == (np.float32, None)
        expected = np.where(HOLE, NUMBERS, np.nan)
        np.testing.assert_array_equal(found.read(), expected.astype(np.float32))
    with Image(written(tmp_path / "b.tif", NUMBERS.astype(np.float64))) as found:
        assert found.dtype == np.float64 and np.isnan(found.read()[:, ~HOLE]).all()


def test_a_value_given_by_hand_replaces_the_declared_one_beside_a_mask(tmp_path, monkeypatch):
    holding(monkeypatch, mask=HOLE)
    numbers = np.full((1, 2, 3), 9, np.uint8)
    numbers[0, 0] = 0, 0, 5
    with Image(written(tmp_path / "a.tif", numbers, nodata=0), nodata=5) as found:
        assert found.read().tolist() == [[[5, 0, 5], [9, 9, 5]]]  # 0 has become a number


# Alpha.

TRANSPARENT = np.concatenate([NUMBERS[:3], np.where(HOLE, 255, 0)[None].astype(np.uint8)])


def test_an_alpha_band_marks_pixels_and_is_no_band(tmp_path, monkeypatch):
    holding(monkeypatch, alpha=4)
    path = written(tmp_path / "a.tif", TRANSPARENT)
    for asked in (None, ["Red", "Green", "Blue"]):
        with Image(path, asked=asked) as found:
            assert found.count == 3 and len(found.descriptions) == 3
            np.testing.assert_array_equal(found.read(), np.where(HOLE, NUMBERS[:3], np.nan))
            ((file, text),) = found.remarks
            assert file == path and text.startswith("band 4 is alpha (opacity): it marks pixels")
            assert "give --bands for all 4" in text


@pytest.mark.parametrize("asked", [["Red", "Green", "Blue", "NIR"], [4, 2, 1]])
def test_an_alpha_band_that_bands_asks_for_is_a_band_and_marks_nothing(
    tmp_path, monkeypatch, asked
):
    holding(monkeypatch, alpha=4)
    with Image(written(tmp_path / "a.tif", TRANSPARENT), asked=asked) as found:
        assert found.count == 4 and np.array_equal(found.read(), TRANSPARENT)
        assert "used as a band" in found.remarks[0][1]


def test_an_alpha_band_with_the_name_of_a_band_is_a_band(tmp_path, monkeypatch):
    holding(monkeypatch, alpha=4)
    path = written(tmp_path / "a.tif", TRANSPARENT, names=["B4", "B3", "B2", "B8"])
    with Image(path) as found:
        assert found.count == 4 and "used as a band" in found.remarks[0][1]
    path = written(tmp_path / "b.tif", TRANSPARENT, names=["B4", "B3", "B2", "Alpha"])
    with Image(path) as found:
        assert found.count == 3


def test_numbers_of_bands_are_those_of_the_file_and_alpha_still_marks(tmp_path, monkeypatch):
    holding(monkeypatch, alpha=2)
    numbers = NUMBERS.copy()
    numbers[1] = HOLE
    with Image(written(tmp_path / "a.tif", numbers), asked=[4, 1]) as found:
        expected = np.where(HOLE, numbers[[3, 0]], np.nan)
        np.testing.assert_array_equal(found.read(None, [4, 1]), expected)


# Quantities.


def test_scale_and_offset_make_quantities_and_no_data_is_taken_before(tmp_path, monkeypatch):
    holding(monkeypatch, scales=[(1e-4, -0.1), None])
    numbers = np.array([[[0, 1000, 65535]], [[0, 7, 0]]], np.uint16)
    with Image(written(tmp_path / "a.tif", numbers, nodata=0)) as found:
        assert (found.dtype, found.nodata) == (np.float32, None)
        expected = [[[np.nan, 0, 6.4535]], [[np.nan, 7, 0]]]
        np.testing.assert_allclose(found.read(), expected, atol=1e-7)
        np.testing.assert_allclose(found.read(None, [2]), [[[np.nan, 7, np.nan]]])
    holding(monkeypatch, scales=[(1, 0), None])
    with Image(written(tmp_path / "b.tif", numbers, nodata=0)) as found:
        assert found.dtype == np.uint16 and np.array_equal(found.read(), numbers)


def test_files_of_other_scales_are_equal_behind_the_door(tmp_path, monkeypatch):
    """Two products of one ground: with and without an offset of 1000."""
    numbers = np.random.default_rng(0).integers(1, 5000, (2, 9, 8)).astype(np.uint16)
    found = []
    for high, offset in ((0, 0.0), (1000, -0.1)):
        holding(monkeypatch, scales=[(1e-4, offset)] * 2)
        with Image(written(tmp_path / f"{high}.tif", numbers + np.uint16(high))) as one:
            found.append(one.read())
    np.testing.assert_allclose(found[0], found[1], atol=1e-7)
    np.testing.assert_allclose(found[0], numbers / 1e4, rtol=1e-5)


# As files hold them.


def test_a_crs_without_a_transform_gives_no_place(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=4, width=5, dtype="uint8", crs="EPSG:32631"
    ) as file:
        file.write(np.ones((1, 4, 5), np.uint8))
    with Image(path) as image:
        assert image.grid.crs is None
        assert "has a CRS but no transform" in dict(image.remarks)[path]


@pytest.mark.parametrize("kind", ["inside", "beside", "alpha"])
def test_masks_of_files_are_no_data_in_the_map_and_in_the_areas(tmp_path, kind, capsys):
    rasterio = pytest.importorskip("rasterio")
    numbers = np.random.default_rng(1).integers(1, 3000, (4, 32, 32)).astype(np.uint16)
    valid = np.ones((32, 32), bool)
    valid[:, :12] = False
    path = tmp_path / "a.tif"
    if kind == "alpha":
        opacity = np.where(valid, 65535, 0)[None].astype(np.uint16)
        pixels = np.concatenate([numbers, opacity]).transpose(1, 2, 0)
        extra = [0, 0, 0, 2]  # bands 2 to 4 are unspecified, band 5 is unassociated alpha
        tifffile.imwrite(path, pixels, photometric="minisblack", extrasamples=extra)
    else:
        options = {"driver": "GTiff", "count": 4, "height": 32, "width": 32, "dtype": "uint16"}
        options |= {"transform": rasterio.transform.from_origin(4e5, 5e6, 10, 10)}
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "inside"):
            with rasterio.open(path, "w", crs="EPSG:32631", **options) as file:
                file.write(numbers)
                file.write_mask(valid)
    with Raster(path) as raster:
        if not raster.masked:
            pytest.skip("Raster does not read masks")
    network = small.untrained(tmp_path / "net.pt", size=32)
    predict.main([str(path), "--checkpoint", str(network), "--output", str(tmp_path / "maps")])
    with Raster(tmp_path / "maps/a_landcover.tif") as raster:
        assert np.array_equal(raster.read()[0] == raster.nodata, ~valid)
    assert "384 pixels" in capsys.readouterr().out  # no data, and no area


def test_remarks_of_a_file_reach_the_one_who_maps_it(tmp_path, monkeypatch):
    class Remarking(Raster):
        def __init__(self, path):
            super().__init__(path)
            self.remarks.append("its pages 2 to 3 are not used")

    monkeypatch.setattr(image, "Raster", Remarking)
    path = written(tmp_path / "a.tif", names=["Green", "Red", "NIR", "SWIR1"])
    scaling = {"method": "image", "offset": [], "scale": []}
    checkpoint = {"bands": small.BANDS, "indices": [], "scaling": scaling}
    with inputs.Input([path], inputs.Expected.of(checkpoint)) as found:
        assert found.remarks == [f"{path}: its pages 2 to 3 are not used"]
