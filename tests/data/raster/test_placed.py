"""data/raster/placed.py: where a raster lies on another one, with and without CRSs."""

import dataclasses

import pytest
from landcover import grid

from data.files import InputError
from data.grid import IDENTITY, Grid
from data.raster.placed import placed

IMAGE = grid("EPSG:32631", 400_000, 5_000_000, 10, 6, 8)
MASK = grid("EPSG:32631", 400_200, 5_000_000, 10, 6, 8)
PICTURE = Grid(None, IDENTITY, 6, 8)


def bare(where: Grid) -> Grid:
    return dataclasses.replace(where, crs=None)


def test_two_crss_leave_a_raster_where_it_says_it_is():
    assert placed(MASK, IMAGE, "m.tif") is MASK


@pytest.mark.parametrize("source", [IMAGE, bare(IMAGE), PICTURE])
@pytest.mark.parametrize("target", [bare(IMAGE), PICTURE])
def test_without_a_crs_equal_transforms_and_pictures_of_equal_size_lie_pixel_by_pixel(
    source, target
):
    assert placed(source, target, "m.tif") is target
    assert placed(target, source, "m.tif") is (target if source.crs and target.crs else source)


@pytest.mark.parametrize(
    "source, target, missing",
    [
        (bare(MASK), IMAGE, "it has no CRS"),
        (MASK, bare(IMAGE), "the image has no CRS"),
        (bare(MASK), bare(IMAGE), "neither it nor the image has a CRS"),
        (bare(grid("EPSG:3857", 4e5, 5e6, 20, 3, 4)), IMAGE, "it has no CRS"),  # another pixel size
        (bare(grid("EPSG:3857", 4e5 + 5, 5e6 - 5, 10, 6, 8)), IMAGE, "it has no CRS"),  # half one
        (bare(grid("EPSG:3857", 0, 6, 1, 6, 8)), IMAGE, "it has no CRS"),  # pixels as metres
    ],
)
def test_transforms_that_differ_are_an_error_that_names_both_and_the_missing_crs(
    source, target, missing
):
    with pytest.raises(InputError) as error:
        placed(source, target, "m.tif")
    x, y = source.xy(0, 0)
    start = f"m.tif: its transform differs from that of the image (x from {x:.10g}, y from {y:.10g}"
    assert str(error.value).startswith(start)
    assert f"), and {missing}; assign it with gdal_edit.py -a_srs" in str(error.value)
    assert "but x from 400000, y from 5000000, pixels of 10)" in str(error.value)


@pytest.mark.parametrize("shift, together", [(1e-7, True), (0.05, True), (0.2, False), (5, False)])
def test_transforms_that_differ_by_rounding_are_equal(shift, together):
    near = bare(grid("EPSG:3857", 400_000 + shift, 5_000_000, 10, 6, 8))  # a pixel has 10 metres
    if together:
        assert placed(near, IMAGE, "m.tif") is IMAGE
    else:
        with pytest.raises(InputError, match="its transform differs"):
            placed(near, IMAGE, "m.tif")


@pytest.mark.parametrize(
    "source", [Grid(None, IDENTITY, 5, 8), bare(grid("EPSG:3857", 4e5, 5e6, 10, 5, 8))]
)
def test_other_sizes_are_an_error(source):
    message = "m.tif: has 8 x 5 pixels and the map 8 x 6, and it has no CRS to align them by; give"
    with pytest.raises(InputError, match=message):
        placed(source, IMAGE, "m.tif", "the map")
