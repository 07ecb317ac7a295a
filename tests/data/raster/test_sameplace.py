"""Whether two CRSs place points alike: distances that one can compute by hand."""

import numpy as np
import pytest
from pyproj import CRS

from data.raster.sameplace import distance, same_earth, same_place


def test_a_shift_of_the_origin_is_the_distance():
    base = "+proj=tmerc +lon_0=9 +x_0=500000 +datum=WGS84"
    north = CRS("+proj=tmerc +lon_0=9 +x_0=500000 +y_0=100 +datum=WGS84")
    assert distance(CRS(base), CRS(base)) == 0
    assert distance(CRS(base), north) == pytest.approx(100, rel=0.01)
    # A second of longitude at the equator is 1/3600 of 111,320 m.
    east = CRS(f"+proj=tmerc +lon_0={9 + 1 / 3600} +x_0=500000 +datum=WGS84")
    assert distance(CRS(base), east) == pytest.approx(111_320 / 3600, rel=0.01)


def test_forms_of_one_projection_are_the_same_place():
    equator = 1 / np.sqrt(1 - 0.00669437999014 * np.sin(np.radians(30)) ** 2)
    scale = np.cos(np.radians(30)) * equator
    by_scale = CRS(f"+proj=merc +k={scale:.15f} +datum=WGS84")
    assert same_place(by_scale, CRS("+proj=merc +lat_ts=30 +datum=WGS84"))
    assert not same_place(by_scale, CRS("+proj=merc +lat_ts=30.001 +datum=WGS84"))


def test_names_and_axis_orders_do_not_matter_but_units_and_kinds_do():
    assert same_place(CRS("EPSG:4326"), CRS("OGC:CRS84"))
    assert same_place(CRS("EPSG:32633"), CRS("+proj=utm +zone=33 +ellps=WGS84"))
    assert not same_place(CRS("EPSG:4326"), CRS("EPSG:32633"))
    assert not same_place(CRS("EPSG:32633"), CRS("EPSG:4326"))
    assert not same_place(CRS("EPSG:32633"), CRS("+proj=utm +zone=33 +datum=WGS84 +units=ft"))
    grads = CRS("EPSG:4807")
    assert not same_place(grads, CRS("+proj=longlat +a=6378249.2 +b=6356515 +pm=paris"))


def test_rotated_poles_are_compared_whole():
    rotated = [
        CRS(f"+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p={lat} +lon_0=10 +datum=WGS84")
        for lat in (30, 31)
    ]
    assert same_place(rotated[0], rotated[0]) and not same_place(*rotated)
    assert not same_place(CRS("EPSG:4326"), rotated[0])


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("EPSG:4258", True),  # GRS 80 is 0.1 mm smaller at the poles
        ("EPSG:4267", False),
        ("+proj=longlat +datum=WGS84 +pm=paris", False),
        ("EPSG:25833", True),
    ],
)
def test_the_earth_is_the_ellipsoid_and_the_prime_meridian(other, same):
    assert same_earth(CRS("EPSG:4326"), CRS(other)) == same


def test_points_without_a_place_are_infinitely_far():
    # The orthographic projection ends at the radius of the earth.
    far = CRS("+proj=ortho +x_0=7000000 +datum=WGS84")
    assert distance(CRS("+proj=ortho +datum=WGS84"), far) == np.inf
