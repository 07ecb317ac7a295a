"""data/raster/classfile.py: what a raster of classes may be, and where it has no class."""

import imagecodecs
import numpy as np
import pytest
from landcover import plain

from data.files import InputError
from data.grid import Window
from data.raster import Raster, classfile, write

CODES = np.array([[0, 1, 7], [250, 2, 255]], np.uint8)
WHOLE = Window(0, 0, 2, 3)


class Masked(Raster):
    """A raster whose last column is masked, as by a dataset mask, and whose alpha band is known."""

    def __init__(self, path, alpha=None):
        super().__init__(path)
        self.masked, self.alpha = True, alpha

    def valid(self, window=None, pixels=None):
        valid = super().valid(window, pixels)
        valid[:, self.grid.width - 1 - window.col :] = False
        return valid


@pytest.fixture
def made(tmp_path):
    def make(pixels, nodata=None, kind=Raster, **options):
        write(tmp_path / "mask.tif", pixels, plain(*pixels.shape[-2:]), nodata)
        return kind(tmp_path / "mask.tif", **options)

    return make


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.float32, np.float64])
def test_one_band_of_whole_numbers_in_any_type(made, dtype):
    pixels = np.array([[0, 1, 7], [100, 2, 127]], dtype)
    with made(pixels) as raster:
        codes, valid = classfile.read_codes(raster, WHOLE)
        assert codes.dtype == dtype and np.array_equal(codes, pixels) and valid.all()
        assert classfile.read_codes(raster, Window(1, 1, 1, 2))[0].tolist() == [[2, 127]]
        assert classfile.remarks(raster) == []


def test_three_equal_channels_are_one_and_that_is_said(made):
    with made(np.stack([CODES] * 3)) as raster:
        assert np.array_equal(classfile.read_codes(raster, WHOLE)[0], CODES)
        assert classfile.remarks(raster) == ["its three channels are equal; one of them is used"]
        assert classfile.remarks(raster, by_color=True) == []


def test_channels_that_differ_are_colours_and_the_error_says_how_to_read_them(made):
    pixels = np.stack([CODES] * 3)
    pixels[2, 1, 1] += 1
    with made(pixels) as raster:
        with pytest.raises(InputError, match="mask.tif: its three channels differ.*--classes"):
            classfile.read_codes(raster, WHOLE)
        assert np.array_equal(classfile.read_colors(raster, WHOLE)[0], pixels)


@pytest.mark.parametrize("bands", [2, 4])
def test_other_numbers_of_bands_are_no_classes(made, bands):
    with made(np.stack([CODES] * bands)) as raster:
        with pytest.raises(InputError, match=f"mask.tif: has {bands} bands of uint8, and classes"):
            classfile.read_codes(raster, WHOLE)


@pytest.mark.parametrize("channels", [1, 3])
def test_beside_an_alpha_band_there_are_classes_where_alpha_is_not_0(made, channels):
    alpha = np.array([[255, 0, 1], [255, 255, 255]], np.uint8)
    with made(np.stack([CODES] * channels + [alpha])) as raster:
        raster.alpha, raster.masked = channels + 1, True
        codes, valid = classfile.read_codes(raster, WHOLE)
        assert np.array_equal(codes, CODES) and np.array_equal(valid, alpha > 0)
        colors, valid = classfile.read_colors(raster, WHOLE)
        assert len(colors) == channels and np.array_equal(valid, alpha > 0)
        assert "pixels with alpha 0 have no class" in classfile.remarks(raster)


@pytest.mark.parametrize("nodata", [None, 0, 1])
def test_a_dataset_mask_excludes_pixels_and_the_declared_value_does_not(made, nodata):
    with made(CODES, nodata, Masked) as raster:
        valid = classfile.read_codes(raster, WHOLE)[1]
        assert valid.tolist() == [[True, True, False]] * 2
        assert classfile.remarks(raster) == ["pixels with 0 in its dataset mask have no class"]


def test_a_float_that_is_nan_or_an_odd_declared_value_has_no_class(made):
    low = np.finfo(np.float32).min
    with made(np.array([[1, np.nan, low]], np.float32), float(low)) as raster:
        assert classfile.read_codes(raster, Window(0, 0, 1, 3))[1].tolist() == [
            [True, False, False]
        ]
    with made(np.array([[1, -9999]], np.float32), -9999) as raster:  # may be a code of the table
        assert classfile.read_codes(raster, Window(0, 0, 1, 2))[1].all()


@pytest.mark.parametrize("value", [2.5, np.inf])
def test_fractions_are_an_error_that_names_the_value_unless_they_are_masked(made, value):
    with made(np.array([[1, value, 3]])) as raster:
        with pytest.raises(InputError, match=rf"mask.tif: holds fractions or infinity \({value}\)"):
            classfile.read_codes(raster, Window(0, 0, 1, 3))
    with made(np.array([[1, 2, value]]), kind=Masked) as raster:
        assert classfile.read_codes(raster, Window(0, 0, 1, 3))[0][0, :2].tolist() == [1, 2]


def test_jpeg_is_told_in_pictures_and_in_tiff(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    grey = np.full((16, 16), 9, np.uint8)
    (tmp_path / "m.jpg").write_bytes(imagecodecs.jpeg_encode(grey))
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(grey))
    for name, compress in (("jpeg.tif", "jpeg"), ("deflate.tif", "deflate")):
        profile = dict(driver="GTiff", count=1, height=16, width=16, dtype="uint8")
        with rasterio.open(tmp_path / name, "w", compress=compress, **profile) as dataset:
            dataset.write(grey, 1)
    said = {}
    for name in ("m.jpg", "m.png", "jpeg.tif", "deflate.tif"):
        with Raster(tmp_path / name) as raster:
            said[name] = any("JPEG" in remark for remark in classfile.remarks(raster))
    assert said == {"m.jpg": True, "m.png": False, "jpeg.tif": True, "deflate.tif": False}
