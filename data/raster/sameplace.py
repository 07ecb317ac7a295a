"""Whether two CRSs place the same coordinates at the same point of the ellipsoid.

Two descriptions of one CRS are rarely equal: names and rounded numbers differ, and one map
projection has several forms (Mercator with a scale, or with the parallel of that scale). So a few
points are computed.

Read beside it: tests/data/raster/test_sameplace.py.
"""

from __future__ import annotations

import math

import numpy as np
from pyproj import CRS, Transformer
from pyproj.crs import Ellipsoid, PrimeMeridian
from pyproj.exceptions import ProjError

MILLIMETRE = 1e-3
GREENWICH = 0.0
OFFSETS = (-3e5, -1e5, 1e5, 3e5)  # metres from the false origin, where points are compared


def same_size(one: Ellipsoid, other: Ellipsoid) -> bool:
    """Return whether the axes of two ellipsoids differ by less than a millimetre."""
    major = one.semi_major_metre - other.semi_major_metre
    minor = one.semi_minor_metre - other.semi_minor_metre
    return max(abs(major), abs(minor)) < MILLIMETRE


def longitude(meridian: PrimeMeridian | None) -> float:
    """Return the longitude of a prime meridian in radians, rounded to a millimetre on the ground.

    pyproj returns None for the Greenwich meridian of a datum ensemble.
    """
    if meridian is None:
        return GREENWICH
    return round(meridian.longitude * float(meridian.unit_conversion_factor), 10)


def same_earth(one: CRS, other: CRS) -> bool:
    """Return whether two CRSs have the same ellipsoid and prime meridian."""
    assert one.ellipsoid and other.ellipsoid  # every projected or geographic CRS has one
    meridians = longitude(one.prime_meridian), longitude(other.prime_meridian)
    return same_size(one.ellipsoid, other.ellipsoid) and meridians[0] == meridians[1]


def same_place(one: CRS, other: CRS) -> bool:
    """Return whether two CRSs place the same coordinates within a millimetre of each other."""
    if not same_earth(one, other):
        return False
    if one.is_projected:
        return distance(one, other) < MILLIMETRE
    if one.is_derived:  # such as rotated poles
        return one.equals(other, ignore_axis_order=True)
    units = [crs.axis_info[0].unit_conversion_factor for crs in (one, other)]
    return other.is_geographic and not other.is_derived and math.isclose(*units)


def distance(one: CRS, other: CRS) -> float:
    """Return how far apart two projected CRSs place the same coordinates.

    Returns:
        The largest distance in metres on the ellipsoid, of 16 points within 300 km of the false
        origin of `one`; infinity if a point has no place in one of them.
    """
    if not (one.is_projected and other.is_projected):
        return np.inf
    unit = one.axis_info[0].unit_conversion_factor
    x, y = (origin + np.array(OFFSETS) / unit for origin in _false_origin(one))
    x, y = (values.ravel() for values in np.meshgrid(x, y))
    radius = one.ellipsoid.semi_major_metre
    try:
        (east, north), (other_east, other_north) = _angles(one, x, y), _angles(other, x, y)
    except ProjError:
        return np.inf
    with np.errstate(invalid="ignore"):  # points without a place are infinite
        across = (east - other_east + np.pi) % (2 * np.pi) - np.pi
        apart = radius * np.hypot(across * np.cos(north), north - other_north)
    return float(apart.max()) if np.isfinite(apart).all() else np.inf


def _false_origin(crs: CRS) -> tuple[float, float]:
    """False easting and northing in the unit of the CRS."""
    unit = crs.axis_info[0].unit_conversion_factor
    values = {"easting": 0.0, "northing": 0.0}
    plain = crs.source_crs if crs.is_bound else crs
    for parameter in plain.coordinate_operation.params:
        for word in values:
            if word in parameter.name.lower():
                values[word] = float(parameter.value) * parameter.unit_conversion_factor / unit
    return values["easting"], values["northing"]


def _angles(crs: CRS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude from Greenwich and latitude of points, in radians."""
    base = crs.geodetic_crs
    to_base = Transformer.from_crs(crs, base, always_xy=True)
    unit = base.axis_info[0].unit_conversion_factor
    east, north = (unit * angle for angle in to_base.transform(x, y))
    return east + longitude(base.prime_meridian), north
