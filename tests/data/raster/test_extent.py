"""data/raster/extent.py: extents up to cuts and poles, and the usual pixel size."""

import numpy as np
import pytest
from landcover import grid
from pyproj import CRS, Transformer

from data.grid import Grid
from data.raster.extent import extent, jumps, lattice, usual_resolution

WGS84, ACROSS = CRS.from_epsg(4326), grid("EPSG:32701", 170_000, 8_000_000, 1000, 200, 200)


def measured(source, crs):
    return extent(source, crs, *lattice(source, crs))


def test_a_source_across_180_degrees_reaches_to_both_sides_of_the_cut():
    left, right, bottom, top = measured(ACROSS, WGS84)
    assert left == pytest.approx(-180, abs=1e-6) and right == pytest.approx(180, abs=1e-6)
    assert -20 < bottom < top < -18
    edge = CRS.from_epsg(3857)
    half = Transformer.from_crs(4326, 3857, always_xy=True).transform(180, 0)[0]
    assert measured(ACROSS, edge)[:2] == pytest.approx((-half, half), abs=0.1)


def test_only_neighbours_across_a_cut_are_a_jump():
    x, y = lattice(ACROSS, WGS84)
    cut = jumps(x, y, 1)
    assert cut.sum(1).tolist() == [1] * len(x)  # each row crosses once
    assert not jumps(*lattice(ACROSS, CRS.from_epsg(3832)), 1).any()


@pytest.mark.parametrize("shift", [0, 37_000, -23_000])
@pytest.mark.parametrize("epsg, sign", [(3413, 1), (3031, -1)])
def test_a_source_around_a_pole_reaches_to_the_pole(epsg, sign, shift):
    source = grid(f"EPSG:{epsg}", -2e6 + shift, 2e6 + shift, 10_000, 400, 400)
    left, right, bottom, top = measured(source, WGS84)
    assert (top if sign > 0 else bottom) == sign * 90
    assert left == pytest.approx(-180, abs=0.01) and right == pytest.approx(180, abs=0.01)


def test_a_pole_that_mercator_has_infinitely_far_is_left_out():
    source = grid("EPSG:3413", -2e6, 2.01e6, 10_000, 400, 400)
    assert measured(source, CRS.from_epsg(3857))[3] < 1e8


def test_the_pixel_size_across_a_cut_is_that_on_each_side():
    aside = grid("EPSG:32701", 370_000, 8_000_000, 1000, 200, 200)
    for crs in (WGS84, CRS.from_epsg(3857)):
        across, beside = (usual_resolution(at, *lattice(at, crs)) for at in (ACROSS, aside))
        assert across == pytest.approx(beside, rel=0.01)


def test_the_pixel_size_of_a_source_partly_without_coordinates_is_that_of_its_other_part():
    crs = CRS.from_user_input("+proj=ortho +lat_0=0 +lon_0=0")
    source = grid("EPSG:4326", -120, 60, 1, 120, 240)
    whole = grid("EPSG:4326", -30, 30, 1, 60, 60)
    found, expected = (usual_resolution(at, *lattice(at, crs)) for at in (source, whole))
    assert 0.4 < found / expected < 2.5
    assert not np.isnan(measured(source, crs)).any()


def test_the_poles_of_mercator_do_not_stretch_the_pixels():
    mercator = CRS.from_epsg(3857)
    world = grid("EPSG:4326", -180, 90, 1, 180, 360)
    without_poles = grid("EPSG:4326", -180, 60, 1, 120, 360)
    found, expected = (usual_resolution(w, *lattice(w, mercator)) for w in (world, without_poles))
    assert 0.5 < found / expected < 2


def test_a_crs_without_place_for_the_poles_is_measured_without_a_warning(recwarn):
    source = Grid(
        CRS("+proj=geos +h=35785831 +lon_0=0 +a=6378169 +b=6356583.8 +sweep=y"),
        (3000, 0, -1e5, 0, -3000, 5e6),
        30,
        30,
    )
    left, right, bottom, top = measured(source, CRS.from_epsg(4326))
    assert -3 < left < right < 3 and 45 < bottom < top < 70
    assert not recwarn.list
