"""data/raster/targetgrid.py: the grid in another CRS that holds a raster; rasters without CRS."""

import re

import numpy as np
import pytest
from landcover import grid, plain
from pyproj import CRS, Transformer

from data.files import InputError
from data.grid import IDENTITY, Grid
from data.raster.targetgrid import covers, doubts, require_places, target_grid_for


def test_the_grid_that_holds_a_source_has_multiples_of_the_resolution_as_edges():
    source = grid("EPSG:3035", 3_600_000, 2_100_000, 10, 500, 400)
    target = target_grid_for(source, "EPSG:32631", 25)
    left, bottom, right, top = target.bounds
    assert target.crs == CRS.from_epsg(32631) and target.resolution == (25, 25)
    assert all(edge % 25 == 0 for edge in target.bounds)
    rim = np.linspace(0, 1, 400)
    rows = np.concatenate([rim * 500, rim * 500, rim * 0, rim * 0 + 500])
    cols = np.concatenate([rim * 0, rim * 0 + 400, rim * 400, rim * 400])
    x, y = Transformer.from_crs(3035, 32631, always_xy=True).transform(*source.xy(rows, cols))
    assert left <= x.min() < left + 25 and right - 25 < x.max() <= right
    assert bottom <= y.min() < bottom + 25 and top - 25 < y.max() <= top


def test_longitudes_beyond_180_are_named():
    source = Grid(CRS.from_epsg(4326), (0.01, 0, 190, 0, -0.01, 60), 20, 20)
    with pytest.raises(InputError, match="subtract 360 from its longitudes"):
        target_grid_for(source, "EPSG:32603")


def test_edges_that_are_multiples_but_for_rounding_do_not_get_another_pixel():
    source = grid("EPSG:3857", 0.1 + 0.2, 0.9, 0.3, 3, 3)  # 0.30000000000000004 to 1.2, 0 to 0.9
    assert (
        target_grid_for(source, "EPSG:3857", 0.3).height
        == target_grid_for(source, "EPSG:3857", 0.3).width
        == 3
    )


def test_the_edges_between_the_corners_count():
    # In LAEA a parallel is an arc. The y of its middle differs from that of its ends.
    parallel = grid("EPSG:4326", -60, 60, 0.5, 20, 240)
    target = target_grid_for(parallel, "EPSG:3035", 10_000)
    middle = Transformer.from_crs(4326, 3035, always_xy=True).transform(10, 50)
    assert target.bounds[1] <= middle[1] <= target.bounds[3]
    corners = [
        Transformer.from_crs(4326, 3035, always_xy=True).transform(x, y)
        for x in (-60, 60)
        for y in (50, 60)
    ]
    assert min(y for _, y in corners) > target.bounds[1]


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32631", "EPSG:4326"])
def test_without_a_resolution_the_pixels_are_as_gdal_chooses_them(crs):
    warp = pytest.importorskip("rasterio.warp")
    source = grid("EPSG:3035", 3_600_000, 2_100_000, 10, 500, 400)
    target = target_grid_for(source, crs)
    transform, width, height = warp.calculate_default_transform(
        "EPSG:3035", crs, 400, 500, *source.bounds
    )
    assert target.resolution[0] == pytest.approx(transform.a, rel=1e-3)
    assert abs(target.width - width) <= 1 and abs(target.height - height) <= 1
    assert target.transform[2] == pytest.approx(transform.c, abs=transform.a / 2)


@pytest.mark.parametrize(
    "crs, resolution, message",
    [
        ("EPSG:3857", 0, "resolution of 0 is not above 0"),
        ("EPSG:3857", -10, "resolution of -10"),
        ("EPSG:3857", float("nan"), "resolution of nan"),
        ("EPSG:999999", 10, "is not a CRS"),
        ("nonsense", 10, "is not a CRS"),
    ],
)
def test_a_grid_that_cannot_be_is_an_input_error(crs, resolution, message):
    with pytest.raises(InputError, match=message):
        target_grid_for(grid("EPSG:3035", 3.6e6, 2.1e6, 10, 50, 40), crs, resolution)


def test_a_source_without_crs_or_place_is_an_input_error():
    with pytest.raises(InputError, match="no CRS"):
        target_grid_for(grid(None, 0, 0, 1, 5, 5), "EPSG:3857", 10)
    with pytest.raises(InputError, match="no point of the source"):
        target_grid_for(
            grid("EPSG:4326", 170, -40, 0.1, 5, 5), "+proj=ortho +lat_0=50 +lon_0=10", 10
        )


def test_a_grid_covers_another_that_lies_inside_but_for_half_a_pixel():
    source = plain(10, 10)
    assert covers(source, source)
    assert covers(source, plain(12, 12, left=-0.4, top=0.4, pixel=0.9))
    for left, top in ((-0.6, 0), (0.6, 0), (0, 0.6), (0, -0.6)):
        assert not covers(source, plain(10, 10, left=left, top=top))
        assert covers(source, plain(10, 10, left=left / 2, top=top / 2))


def test_a_side_that_bulges_out_of_the_source_is_not_covered():
    # A parallel is an arc in LAEA: the corners of the target lie inside, its lower side outside.
    target = grid("EPSG:4326", -60, 60, 0.5, 20, 240)
    fitting = target_grid_for(target, "EPSG:3035", 10_000)
    assert covers(fitting, target)
    a, b, c, d, e, f = fitting.transform
    assert not covers(
        Grid(fitting.crs, (a, b, c, d, e, f), fitting.height - 9, fitting.width), target
    )


def test_two_grids_without_crs_lie_in_one_plane_but_two_pictures_do_not():
    picture = Grid(None, IDENTITY, 4, 4)
    require_places(grid(None, 0, 0, 1, 4, 4), grid(None, 0, 0, 2, 2, 2))
    require_places(picture, picture)
    with pytest.raises(InputError, match="neither raster has a CRS"):
        require_places(picture, Grid(None, IDENTITY, 2, 2))
    with pytest.raises(InputError, match="the target has no CRS"):
        require_places(plain(4, 4), picture)


# What may be wrong with a grid.

ACROSS = grid("EPSG:32701", 170_000, 8_000_000, 1000, 200, 200)  # 179.9 degrees east to 178.2 west


def test_a_grid_that_is_too_large_is_refused_with_its_size():
    source = grid("EPSG:32631", 400_000, 5_000_000, 10, 48, 48)
    with pytest.raises(
        InputError, match=r"would have 6\d,\d{3},\d{3} x 6\d,.* pixels of 1e-05; give"
    ):
        target_grid_for(source, "EPSG:3857", 1e-5)
    assert target_grid_for(source, "EPSG:3857", 0.01).width > 60_000


def test_a_resolution_in_the_wrong_unit_is_told_with_the_size():
    source = grid("EPSG:32631", 400_000, 5_000_000, 10, 48, 48)
    (said,) = doubts(source, target_grid_for(source, "EPSG:4326", 10))
    assert said.startswith("the output has 1 x 1 pixels of 10 degree, 9e+04 times as wide as those")
    (said,) = doubts(source, target_grid_for(source, "EPSG:3857", 0.001))
    assert "pixels of 0.001 metre, " in said


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:3035", "EPSG:32632"])
def test_of_an_ordinary_grid_nothing_is_told(crs):
    source = grid("EPSG:32631", 400_000, 5_000_000, 10, 480, 300, turn=30)
    assert doubts(source, target_grid_for(source, crs)) == []
    assert doubts(source, source) == []


def test_a_source_across_a_cut_is_told_unless_the_target_lies_on_one_side():
    for crs, name in (("EPSG:4326", "WGS 84"), ("EPSG:3857", "WGS 84 / Pseudo-Mercator")):
        (said,) = doubts(ACROSS, target_grid_for(ACROSS, crs))
        assert said.startswith(f"the source crosses a cut of {name} (for example 180 degrees)")
        assert re.search("fills about 0.[3-7] % of the output", said)  # 40,000 of 7.6 million
    assert doubts(ACROSS, target_grid_for(ACROSS, "EPSG:3832")) == []
    assert doubts(ACROSS, grid("EPSG:4326", -180, -18.5, 0.01, 50, 50)) == []


def test_longitudes_beyond_180_degrees_are_told():
    said = doubts(ACROSS, grid("EPSG:4326", 178, -18, 0.01, 200, 400))
    assert any(text.startswith("longitudes beyond 180 degrees stay empty") for text in said)
    globe = grid("EPSG:4326", 0, 90, 1, 180, 360)
    assert doubts(globe, globe) == []


def test_a_source_around_a_pole_fills_its_grid_and_is_not_told():
    arctic = grid("EPSG:3413", -2e6, 2e6, 10_000, 400, 400)
    assert doubts(arctic, target_grid_for(arctic, "EPSG:4326", 0.1)) == []


def test_the_part_of_a_source_without_coordinates_is_told():
    half = grid("EPSG:4326", -90, 30, 0.5, 120, 360)  # 90 west to 90 east of the cut globe
    target = target_grid_for(half, "+proj=ortho +lat_0=0 +lon_0=90", 50_000)
    said = doubts(half, target)
    assert said[0].startswith("50") or said[0].startswith("49")
    assert " % of the source has no coordinates in unknown and is left out" in said[0]
