"""data/raster/classfile.py: a file of classes, and its value that is no class."""

import numpy as np
import pytest
from landcover import plain

from data.files import InputError
from data.grid import IDENTITY, Grid, Window
from data.raster import Raster, write
from data.raster.classfile import class_reader

WHOLE = Window(0, 0, 4, 4)


@pytest.fixture
def made(tmp_path):
    def make(pixels, nodata=None, where=None):
        write(tmp_path / "mask.tif", pixels, where or plain(4, 4), nodata)
        return Raster(tmp_path / "mask.tif")

    return make


def test_the_declared_value_is_no_data_unless_another_is_given(made):
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    with made(pixels, nodata=3) as raster:
        for given, expected in ((None, 3), (0, 0)):
            read, nodata = class_reader(raster, plain(4, 4, left=9), given)
            assert nodata == expected and (read(WHOLE) == pixels).all()


def test_without_a_declared_value_the_largest_one_is_taken_if_the_target_reaches_outside(made):
    pixels = np.array([[0] * 4] * 3 + [[255] * 4], np.uint8)
    with made(pixels) as raster:
        read, nodata = class_reader(raster, plain(4, 4), None)
        assert nodata is None and (read(WHOLE) == pixels).all()
        read, nodata = class_reader(raster, plain(4, 4, left=1), None)
        assert nodata == 255 and (read(Window(0, 0, 3, 4)) == 0).all()
        with pytest.raises(InputError, match="255 is a class; give one with --nodata"):
            read(WHOLE)


def test_what_holds_no_classes_is_an_input_error(made):
    with made(np.zeros((3, 4, 4), np.uint8)) as raster:
        with pytest.raises(InputError, match="mask.tif: has 3 bands of uint8, and classes are one"):
            class_reader(raster, plain(4, 4), None)
    with made(np.zeros((4, 4), np.float32)) as raster:
        with pytest.raises(InputError, match="mask.tif: has 1 band of float32, and classes are"):
            class_reader(raster, plain(4, 4), None)
    with made(np.zeros((4, 4), np.uint8), where=Grid(None, IDENTITY, 4, 4)) as raster:
        with pytest.raises(InputError, match="mask.tif: CRS is missing; assign it"):
            class_reader(raster, plain(4, 4), None)
