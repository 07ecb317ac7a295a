"""data/raster/classsource.py: a file of classes for resampling: its type and its no-data value."""

import numpy as np
import pytest
from landcover import grid, plain
from test_classfile import Masked

from data.files import InputError
from data.grid import IDENTITY, Grid, Window
from data.raster import Raster, write
from data.raster.classsource import class_file, told

WHOLE = Window(0, 0, 4, 4)
INSIDE, BESIDE = plain(4, 4), plain(4, 4, left=1)


@pytest.fixture
def made(tmp_path):
    def make(pixels, nodata=None, where=None, kind=Raster):
        write(tmp_path / "mask.tif", pixels, where or INSIDE, nodata)
        return kind(tmp_path / "mask.tif")

    return make


def test_the_declared_value_is_no_data_unless_another_is_given(made):
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    with made(pixels, nodata=3) as raster:
        for given, expected in ((None, 3), (0, 0)):
            source = class_file(raster, plain(4, 4, left=9), given)
            assert source.nodata == expected and source.dtype == np.uint8
            assert (source.read(WHOLE) == pixels).all()


def test_without_a_declared_value_the_largest_one_is_taken_if_the_target_reaches_outside(made):
    pixels = np.array([[0] * 4] * 3 + [[255] * 4], np.uint8)
    with made(pixels) as raster:
        source = class_file(raster, INSIDE)
        assert source.nodata is None and (source.read(WHOLE) == pixels).all()
        source = class_file(raster, BESIDE)
        assert source.nodata == 255
        with pytest.raises(InputError, match="255 is a class; give one with --nodata"):
            source.read(WHOLE)


def test_masked_pixels_become_no_data(made):
    pixels = np.full((4, 4), 5, np.uint8)
    for declared, given, expected in ((None, None, 255), (9, None, 9), (9, 5, 5), (0, None, 0)):
        with made(pixels, declared, kind=Masked) as raster:
            source = class_file(raster, INSIDE, given)
            assert source.nodata == expected
            assert source.read(WHOLE).tolist() == [[5, 5, 5, expected]] * 4
    pixels[0, 3] = 255  # masked, so it is no class
    with made(pixels, kind=Masked) as raster:
        assert class_file(raster, INSIDE).read(WHOLE).tolist() == [[5, 5, 5, 255]] * 4
    pixels[0, 0] = 255
    with made(pixels, kind=Masked) as raster:
        with pytest.raises(InputError, match="255 is a class; give one with --nodata"):
            class_file(raster, INSIDE).read(WHOLE)
        assert class_file(raster, INSIDE, 0).read(WHOLE)[0].tolist() == [255, 5, 5, 0]


@pytest.mark.parametrize(
    "values, declared, target, dtype, nodata",
    [
        ([0, 9], None, INSIDE, np.uint8, None),
        ([0, 9, np.nan], None, INSIDE, np.uint8, 255),
        ([0, 255], None, BESIDE, np.uint16, 65535),  # 255 is a class
        ([-1, 9], None, BESIDE, np.int16, 32767),
        ([0, 9], -9999, INSIDE, np.int16, -9999),
        ([0, 9, -3.4028234663852886e38], -3.4028234663852886e38, INSIDE, np.uint8, 255),
        ([0, 2**24], None, INSIDE, np.uint32, None),
        ([0, 2.0**40], None, BESIDE, np.int64, 2**53),
    ],
)
def test_floats_become_the_smallest_integers_that_hold_their_codes(
    made, values, declared, target, dtype, nodata
):
    pixels = np.resize(np.array(values, np.float64), (4, 4))
    with made(pixels, declared) as raster:
        source = class_file(raster, target)
        assert (source.dtype, source.nodata) == (dtype, nodata)
        expected = [[nodata if not abs(v) < 1e30 else int(v) for v in row] for row in pixels]
        found = source.read(WHOLE)
        assert found.dtype == dtype and found.tolist() == expected


def test_floats_beyond_all_integers_are_refused(made):
    with made(np.full((4, 4), 1e30)) as raster:
        with pytest.raises(InputError, match=r"mask.tif: no integer type holds .* to 1e\+30"):
            class_file(raster, INSIDE)


def test_every_block_of_a_float_raster_is_looked_at(made):
    pixels = np.ones((1300, 1100), np.float32)
    pixels[1290, 1090] = 300
    with made(pixels, where=plain(1300, 1100)) as raster:
        assert class_file(raster, plain(1300, 1100)).dtype == np.uint16
    pixels[1290, 1090] = 0.5
    with made(pixels, where=plain(1300, 1100)) as raster:
        with pytest.raises(InputError, match=r"mask.tif: holds fractions or infinity \(0.5\)"):
            class_file(raster, plain(1300, 1100))


def test_a_picture_of_the_size_of_the_target_lies_on_it(made):
    with made(np.eye(4, dtype=np.uint8), where=Grid(None, IDENTITY, 4, 4)) as raster:
        assert class_file(raster, BESIDE).grid is BESIDE
        with pytest.raises(InputError, match="mask.tif: has 4 x 4 pixels and the target 5 x 4"):
            class_file(raster, plain(4, 5))


def test_a_result_with_hardly_any_class_is_told_with_its_number(made, capsys):
    result = np.full((100, 101), 9, np.uint8)
    result[0, :100] = 1
    with made(np.zeros((4, 4), np.uint8)) as raster:
        for nodata, said in ((9, True), (1, False), (None, False)):
            halves = np.split(result, 2)
            passed = list(told(halves, raster, INSIDE, plain(100, 101), nodata))
            assert np.array_equal(np.concatenate(passed), result)
            error = capsys.readouterr().err
            assert ("mask.tif: 100 of 10,100 pixels of the output have a class" in error) == said


def test_what_is_odd_about_source_and_target_is_told(made, capsys):
    where = grid("EPSG:32701", 170_000, 8_000_000, 1000, 200, 200)  # across 180 degrees
    with made(np.zeros((200, 200), np.uint8), where=where) as raster:
        raster.remarks.append("has a rusty nail")
        wide = grid("EPSG:4326", -180, -18, 0.1, 20, 3600)
        list(told([], raster, where, wide, None))
    error = capsys.readouterr().err
    assert "mask.tif: has a rusty nail" in error and "mask.tif: the source crosses a cut" in error


def test_the_no_data_of_64_bits_is_one_that_gdal_reads_back(made, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    with made(np.full((4, 4), 5, np.int64)) as raster:
        source = class_file(raster, BESIDE)
        write(tmp_path / "out.tif", source.read(WHOLE), BESIDE, source.nodata)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.nodata == source.nodata == 2**53
