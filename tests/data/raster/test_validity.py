"""Which pixels hold data: by hand, and as rasterio's dataset_mask says."""

import os

import numpy as np
import pytest
import tifffile

from data.grid import Window
from data.raster import Raster, validity

rasterio = pytest.importorskip("rasterio")
copy = pytest.importorskip("rasterio.shutil").copy
pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

HEIGHT, WIDTH = 40, 50
RGB = np.random.default_rng(0).integers(1, 255, (3, HEIGHT, WIDTH), np.uint8)
VALID = np.random.default_rng(1).random((HEIGHT, WIDTH)) > 0.3
VALID[:7] = False
ALPHA = np.where(VALID, 255, 0).astype(np.uint8)[None]
RGBA = np.concatenate([RGB, ALPHA])


def write(path, pixels, mask=None, inside=True, tags=None, **options) -> None:
    count, height, width = pixels.shape
    size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(path, "w", driver="GTiff", **size, **options) as dataset,
    ):
        dataset.write(pixels)
        dataset.update_tags(**(tags or {}))
        if mask is not None:
            dataset.write_mask(mask)


def assert_valid(path, expected: np.ndarray, theirs: bool = True) -> None:
    with Raster(path) as raster:
        assert raster.masked and np.array_equal(raster.valid(), expected)
        assert np.array_equal(raster.valid(Window(5, 9, 20, 40)), expected[5:25, 9:49])
        bands = [band for band in range(1, raster.count + 1) if band != raster.alpha]
        assert np.array_equal(raster.valid(None, raster.read(bands=bands)), expected)
    with rasterio.open(path) as dataset:
        assert not theirs or np.array_equal(dataset.dataset_mask() != 0, expected)


@pytest.mark.parametrize("codec", ["NONE", "DEFLATE", "LZW", "JPEG", "ZSTD"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_dataset_mask_inside_or_beside_the_file(tmp_path, codec, inside):
    for layout in ({}, {"tiled": True, "blockxsize": 16, "blockysize": 16}):
        path = tmp_path / f"{len(layout)}.tif"
        write(path, RGB, VALID, inside, compress=codec, **layout)
        assert (tmp_path / f"{path.name}.msk").exists() != inside
        assert_valid(path, VALID)


def test_the_bits_of_the_page_tell_that_it_is_a_mask(tmp_path):
    path = tmp_path / "mask.tif"
    for mask in (VALID, ALPHA[0]):  # of 1 bit and of 8 bits
        with tifffile.TiffWriter(path) as tif:
            tif.write(RGB.transpose(1, 2, 0).copy(), photometric="rgb", metadata=None)
            tif.write(mask, photometric="minisblack", metadata=None, subfiletype=2)
        with tifffile.TiffFile(path, mode="r+") as tif:
            tif.pages[1].tags[254].overwrite(4)
        assert_valid(path, VALID)
        with tifffile.TiffFile(path, mode="r+") as tif:  # by its photometric interpretation alone
            tif.pages[1].tags[254].overwrite(0)
            tif.pages[1].tags[262].overwrite(4)
        assert_valid(path, VALID, theirs=False)


def test_a_mask_of_another_size_is_not_used_and_told(tmp_path):
    path = tmp_path / "mask.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(RGB[0], photometric="minisblack", metadata=None)
        tif.write(VALID[:, :9].copy(), photometric="minisblack", metadata=None, subfiletype=2)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[1].tags[254].overwrite(4)
    with Raster(path) as raster:
        assert not raster.masked and raster.valid().all()
        assert raster.remarks == ["page 2 is a mask of another size (40 x 9 pixels): not used"]


@pytest.mark.parametrize("driver", ["PNG", "JP2OpenJPEG"])
@pytest.mark.parametrize("suffix", [".msk", ".MSK"])
def test_a_mask_beside_a_picture(tmp_path, driver, suffix):
    source, path = tmp_path / "source.tif", tmp_path / "image.picture"
    write(source, RGB, VALID)
    copy(source, path, driver=driver)
    (tmp_path / "image.picture.msk").rename(tmp_path / f"image.picture{suffix}")
    assert_valid(path, VALID)


@pytest.mark.parametrize("width", [50, 49])  # a row of the mask ends within a byte
def test_a_mask_at_the_end_of_a_jpeg(tmp_path, width):
    source, path = tmp_path / "source.tif", tmp_path / "image.jpg"
    write(source, RGB[:1, :, :width], VALID[:, :width])
    copy(source, path, driver="JPEG")
    assert not (tmp_path / "image.jpg.msk").exists()
    assert_valid(path, VALID[:, :width])


def test_the_suffix_of_a_mask_may_be_written_in_capitals(tmp_path):
    write(tmp_path / "IMAGE.TIF", RGB, VALID, inside=False)
    (tmp_path / "IMAGE.TIF.msk").rename(tmp_path / "IMAGE.TIF.MSK")
    assert_valid(tmp_path / "IMAGE.TIF", VALID)


def test_masks_of_single_bands_are_taken_together(tmp_path):
    bands = np.random.default_rng(2).random((3, HEIGHT, WIDTH)) > 0.2
    write(tmp_path / "image.tif", RGB)
    flags = {f"INTERNAL_MASK_FLAGS_{band}": "0" for band in (1, 2, 3)}
    write(tmp_path / "mask.tif", np.where(bands, 255, 0).astype(np.uint8), tags=flags)
    (tmp_path / "mask.tif").rename(tmp_path / "image.tif.msk")
    assert_valid(tmp_path / "image.tif", bands.all(axis=0), theirs=False)


def test_a_mask_beside_a_file_that_cannot_be_used_is_told(tmp_path):
    path, mask = tmp_path / "image.tif", tmp_path / "image.tif.msk"
    write(path, RGB)
    write(tmp_path / "small.tif", RGB[:1, :20])
    (tmp_path / "small.tif").rename(mask)
    for remark in (
        "its mask image.tif.msk has 20 x 50 pixels: not used",
        "its mask cannot be used",
    ):
        with Raster(path) as raster:
            assert not raster.masked and raster.valid().all()
            assert len(raster.remarks) == 1 and remark in raster.remarks[0]
        mask.write_bytes(b"no raster")


def test_the_file_of_a_mask_is_closed(tmp_path):
    write(tmp_path / "image.tif", RGB, VALID, inside=False)
    open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    Raster(tmp_path / "image.tif").close()
    assert open_files is None or len(os.listdir("/proc/self/fd")) == open_files


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("alpha", ["YES", "PREMULTIPLIED"])
def test_alpha_0_is_no_data(tmp_path, interleave, alpha):
    path = tmp_path / "alpha.tif"
    options = {"alpha": alpha, "interleave": interleave}
    for pixels, kind in (
        (RGBA, {"photometric": "RGB"}),
        (RGBA[2:], {}),
        ((RGBA // 255).astype("uint16"), {"photometric": "RGB"}),  # 1 of 65535 is not 0
    ):
        write(path, pixels, **options, **kind)
        assert_valid(path, VALID)
        with Raster(path) as raster:
            assert raster.alpha == len(pixels) and np.array_equal(raster.read(), pixels)


def test_a_fourth_band_that_is_not_declared_as_alpha_is_a_band(tmp_path):
    write(tmp_path / "four.tif", RGBA, photometric="MINISBLACK")
    with Raster(tmp_path / "four.tif") as raster:
        assert raster.alpha is None and not raster.masked and raster.valid().all()
    assert validity.alpha_band(4, (0,)) is None and validity.alpha_band(4, ()) is None
    assert validity.alpha_band(5, (2, 0)) is None and validity.alpha_band(5, (0, 2)) == 5
    assert validity.alpha_band(1, (2,)) is None  # opacity and nothing else


def test_each_evidence_can_deny_a_pixel(tmp_path):
    path, pixels = tmp_path / "all.tif", RGBA.copy()
    pixels[:3, 10:12] = 0
    inside = np.ones((HEIGHT, WIDTH), bool)
    beside = inside.copy()
    inside[20:22], beside[30:32] = False, False
    write(tmp_path / "beside.tif", RGB, beside, inside=False)
    write(path, pixels, inside, photometric="RGB", alpha="YES", nodata=0)
    (tmp_path / "beside.tif.msk").rename(tmp_path / "all.tif.msk")
    expected = VALID & inside & beside
    expected[10:12] = False
    assert_valid(path, expected, theirs=False)


@pytest.mark.parametrize(
    ("text", "dtype", "known"),
    [
        ("1 2 3", "uint8", True),
        ("1 2 3", "int16", True),
        ("1 2 3", "float32", True),
        ("1 2 300", "uint8", True),  # no pixel has the value
        ("1 2", "uint8", False),
        ("1 2 x", "uint8", False),
        ("", "uint8", False),
    ],
)
def test_a_value_for_each_band(tmp_path, text, dtype, known):
    path, pixels = tmp_path / "values.tif", RGB.astype(dtype)
    pixels[:, 3, 4], pixels[:, 3, 5] = (1, 2, 3), (1, 2, 4)
    write(path, pixels, tags={"NODATA_VALUES": text})
    expected = np.ones((HEIGHT, WIDTH), bool)
    if known:
        expected[(pixels == np.reshape([1, 2, 3], (3, 1, 1))).all(axis=0)] = "300" in text
        assert not expected[3, 4] or "300" in text
        assert_valid(path, expected)
    else:
        with Raster(path) as raster:
            assert raster.valid().all() and not raster.masked
            assert raster.remarks == (
                [f"its item NODATA_VALUES ({text}) is not 3 numbers: not used"]
            )


def test_a_value_for_each_band_may_be_nan():
    pixels = np.array([[[np.nan, np.nan, 1.0]], [[5.0, 6.0, 5.0]]])
    assert validity.differs(pixels, np.array([np.nan, 5])).tolist() == [[False, True, True]]


def test_a_window_needs_only_its_blocks_of_the_mask(tmp_path, monkeypatch):
    path = tmp_path / "large.tif"
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "DEFLATE"}
    valid, sizes, pread = np.tile(VALID, (20, 20)), [], os.pread
    monkeypatch.setattr(
        os, "pread", lambda file, size, at: sizes.append(size) or pread(file, size, at)
    )
    for inside in (True, False):
        write(path, np.tile(RGBA, (1, 20, 20)), valid, inside, alpha="YES", nodata=0, **tiles)
        with Raster(path) as raster:
            sizes.clear()
            window = raster.valid(Window(64, 128, 64, 64))
            assert np.array_equal(window, valid[64:128, 128:192])
        # One block of 64 x 64 for the colours, one for alpha, and a few of the mask's own.
        assert sum(sizes) < 3 * 64 * 64 * 4 and len(sizes) <= 4
