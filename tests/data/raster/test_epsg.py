"""Codes of the EPSG register and units: small examples."""

import pytest
from pyproj import CRS
from pyproj.exceptions import CRSError

from data.raster.epsg import (
    DEGREE,
    METRE,
    NotUnderstood,
    angular_unit,
    has_code,
    horizontal,
    linear_unit,
    registered,
)


def test_0_and_32767_are_no_codes():
    assert [has_code({2048: code}, 2048) for code in (4326, 0, 32767)] == [True, False, False]
    assert not has_code({}, 2048)


@pytest.mark.parametrize(
    ("code", "same"),
    [
        (32633, 32633),
        (7405, 27700),  # with heights
        (4979, 4326),  # with ellipsoidal heights
        (2163, 9311),  # deprecated; the register names its successor
        (4172, 4172),  # deprecated, with two successors
    ],
)
def test_a_code_gives_the_crs_of_the_plane(code, same):
    assert horizontal(code) == CRS.from_epsg(same)


@pytest.mark.parametrize("code", [1, 4978, 5773])
def test_other_codes_are_refused(code):
    with pytest.raises(CRSError):
        horizontal(code)
    with pytest.raises(NotUnderstood, match=f"code {code}, which is no CRS of EPSG"):
        registered({3072: code}, 3072, horizontal, "CRS")


@pytest.mark.parametrize(
    ("keys", "metres"),
    [
        ({}, 1),
        ({3076: 9001}, 1),
        ({3076: 0}, 1),
        ({3076: 9002}, 0.3048),
        ({3076: 9003}, 1200 / 3937),
        ({3076: 9036}, 1000),
        ({2052: 9002}, 0.3048),
        ({3076: 9001, 2052: 9002}, 1),
        ({3076: 32767, 3077: 2.5}, 2.5),
        ({3077: 2.5}, 2.5),
    ],
)
def test_a_linear_unit_is_that_of_the_code_or_of_the_size(keys, metres):
    assert linear_unit(keys)["conversion_factor"] == pytest.approx(metres, rel=1e-12)


def test_units_without_a_code_are_metres_and_degrees():
    assert linear_unit({}) == METRE and angular_unit({}) == DEGREE


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({2054: 9101}, "angles in radians"),
        ({2054: 9110}, r"angular unit 9110 \(sexagesimal DMS\)"),
        ({2054: 12345}, r"angular unit 12345 \(unknown\)"),
    ],
)
def test_angles_that_are_no_multiple_of_a_degree_are_refused(keys, reason):
    with pytest.raises(NotUnderstood, match=reason):
        angular_unit(keys)
