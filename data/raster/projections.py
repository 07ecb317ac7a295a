"""The map projections that GeoKeys describe: method, parameters, and the keys that hold them.

The key ProjCoordTrans (3075) holds the number of a method. Other keys hold the parameters, such as
the latitude of the natural origin (3081). The specification has three keys for most parameters: of
the natural origin, of the false origin, and of the centre. Writers disagree about the one that
belongs to a method. So all of them are looked up, in a fixed order.

Specification: OGC 19-008r4, GeoTIFF 1.1, annex C. Methods and parameters have the names of the EPSG
register, or those of PROJ where EPSG has none. The order of the keys and the choice of the variants
are those of GDAL and libgeotiff. Read tests/data/raster/test_projections.py beside this file.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tifffile.geodb import CT
from tifffile.geodb import GeoKeys as Key

from data.raster.epsg import NotUnderstood


class Role(NamedTuple):
    """Where a parameter is stored.

    Args:
        kind: "angle", "length" or "scale".
        keys: The first of these keys that a file has counts.
        default: The value if a file has none of them. None if the parameter is necessary.
    """

    kind: str
    keys: tuple[int, ...]
    default: float | None


LATITUDE = Role(
    "angle",
    (Key.ProjNatOriginLatGeoKey, Key.ProjFalseOriginLatGeoKey, Key.ProjCenterLatGeoKey),
    0.0,
)
LONGITUDE = Role(
    "angle",
    (Key.ProjNatOriginLongGeoKey, Key.ProjFalseOriginLongGeoKey, Key.ProjCenterLongGeoKey),
    0.0,
)
POLAR_LONGITUDE = Role("angle", (Key.ProjStraightVertPoleLongGeoKey, *LONGITUDE.keys), 0.0)
EASTING = Role(
    "length",
    (Key.ProjFalseEastingGeoKey, Key.ProjCenterEastingGeoKey, Key.ProjFalseOriginEastingGeoKey),
    0.0,
)
NORTHING = Role(
    "length",
    (Key.ProjFalseNorthingGeoKey, Key.ProjCenterNorthingGeoKey, Key.ProjFalseOriginNorthingGeoKey),
    0.0,
)
SCALE = Role("scale", (Key.ProjScaleAtNatOriginGeoKey, Key.ProjScaleAtCenterGeoKey), 1.0)
SCALE_AT_ORIGIN = Role("scale", (Key.ProjScaleAtNatOriginGeoKey,), 1.0)
PARALLEL_1 = Role("angle", (Key.ProjStdParallel1GeoKey,), None)
PARALLEL_2 = Role("angle", (Key.ProjStdParallel2GeoKey,), None)
TRUE_SCALE = Role("angle", (Key.ProjStdParallel1GeoKey,), 0.0)
AZIMUTH = Role("angle", (Key.ProjAzimuthAngleGeoKey,), None)
SKEW = Role("angle", (Key.ProjRectifiedGridAngleGeoKey,), None)

# Groups of parameters that several methods share.
FALSE = {"False easting": EASTING, "False northing": NORTHING}
MERIDIAN = {"Longitude of natural origin": LONGITUDE, **FALSE}
ORIGIN = {"Latitude of natural origin": LATITUDE, **MERIDIAN}
SCALED = {**ORIGIN, "Scale factor at natural origin": SCALE}
SCALED_AT_ORIGIN = {**ORIGIN, "Scale factor at natural origin": SCALE_AT_ORIGIN}
CYLINDER = {"Latitude of 1st standard parallel": TRUE_SCALE, **MERIDIAN}
CONE = {
    "Latitude of false origin": LATITUDE,
    "Longitude of false origin": LONGITUDE,
    "Latitude of 1st standard parallel": PARALLEL_1,
    "Latitude of 2nd standard parallel": PARALLEL_2,
    "Easting at false origin": EASTING,
    "Northing at false origin": NORTHING,
}
OBLIQUE = {
    "Latitude of projection centre": LATITUDE,
    "Longitude of projection centre": LONGITUDE,
    "Azimuth at projection centre": AZIMUTH,
    "Scale factor at projection centre": SCALE,
}
SKEWED = {**OBLIQUE, "Angle from Rectified to Skew Grid": SKEW}
CENTRED = {"Easting at projection centre": EASTING, "Northing at projection centre": NORTHING}

MERCATOR, POLAR_STEREOGRAPHIC = 7, 15  # the methods that have two variants under one number
Method = tuple[str, dict[str, Role]]
METHODS: dict[int, Method] = {
    1: ("Transverse Mercator", SCALED),
    3: ("Hotine Oblique Mercator (variant A)", {**SKEWED, **FALSE}),
    4: ("Laborde Oblique Mercator", {**OBLIQUE, **FALSE}),
    MERCATOR: ("Mercator (variant A)", SCALED_AT_ORIGIN),
    8: ("Lambert Conic Conformal (2SP)", CONE),
    9: ("Lambert Conic Conformal (1SP)", SCALED),
    10: ("Lambert Azimuthal Equal Area", ORIGIN),
    11: ("Albers Equal Area", CONE),
    12: ("Azimuthal Equidistant", ORIGIN),
    13: ("Equidistant Conic", CONE),
    14: ("Stereographic", SCALED_AT_ORIGIN),
    POLAR_STEREOGRAPHIC: (
        "Polar Stereographic (variant A)",
        {**SCALED, "Longitude of natural origin": POLAR_LONGITUDE},
    ),
    16: ("Oblique Stereographic", SCALED),
    17: ("Equidistant Cylindrical", {**CYLINDER, "Latitude of natural origin": LATITUDE}),
    18: ("Cassini-Soldner", ORIGIN),
    19: ("Gnomonic", ORIGIN),
    20: ("Miller Cylindrical", MERIDIAN),
    21: ("Orthographic", ORIGIN),
    22: ("American Polyconic", ORIGIN),
    23: ("Robinson", MERIDIAN),
    24: ("Sinusoidal", MERIDIAN),
    25: ("Van Der Grinten", MERIDIAN),
    26: ("New Zealand Map Grid", ORIGIN),
    27: ("Transverse Mercator (South Orientated)", SCALED),
    28: ("Lambert Cylindrical Equal Area", CYLINDER),
    9815: ("Hotine Oblique Mercator (variant B)", {**SKEWED, **CENTRED}),
}
MERCATOR_B: Method = ("Mercator (variant B)", CYLINDER)
MERCATOR_AT_LATITUDE: Method = (
    "Mercator (variant B)",
    {"Latitude of 1st standard parallel": LATITUDE, **MERIDIAN},
)
POLAR_B: Method = (
    "Polar Stereographic (variant B)",
    {"Latitude of standard parallel": LATITUDE, "Longitude of origin": POLAR_LONGITUDE, **FALSE},
)


def conversion(keys: dict, angle: dict, length: dict) -> dict:
    """Make the map projection of the keys 3075 to 3096.

    Args:
        keys: {number: value}.
        angle: PROJJSON of the unit of the angles.
        length: PROJJSON of the unit of the lengths.

    Returns:
        PROJJSON of a conversion.

    Raises:
        NotUnderstood: The method is unknown, or a parameter is missing.
    """
    right_angle = math.pi / 2 / angle["conversion_factor"]
    name, roles = _method(keys, right_angle)
    units = {"angle": angle, "length": length, "scale": "unity"}
    parameters = []
    for parameter, role in roles.items():
        value = _value(keys, role)
        if value is None:
            raise NotUnderstood(f'{name} without "{parameter}"')
        parameters.append({"name": parameter, "value": value, "unit": units[role.kind]})
    if AZIMUTH in roles.values() and not math.isclose(right_angle, 90):
        raise NotUnderstood(f"{name} with an azimuth that is not in degrees")  # GDAL: in degrees
    return {"name": "unknown", "method": {"name": name}, "parameters": parameters}


def _value(keys: dict, role: Role) -> float | None:
    """The value of a parameter in the file, or its default."""
    return next((keys[key] for key in role.keys if key in keys), role.default)


def _method(keys: dict, right_angle: float) -> Method:
    """Choose the method. Variants A have a scale at the equator or pole, variants B a parallel."""
    if Key.ProjCoordTransGeoKey not in keys:
        raise NotUnderstood("a projected CRS without projection method")
    number = keys[Key.ProjCoordTransGeoKey]
    if number not in METHODS:
        names = {int(method): method.name for method in CT}
        raise NotUnderstood(f"projection method {number} ({names.get(number, 'unknown')})")
    latitude, scale = (_value(keys, role) or 0.0 for role in (LATITUDE, SCALE))
    if number == MERCATOR and PARALLEL_1.keys[0] in keys:
        if latitude == 0:
            return MERCATOR_B
        raise NotUnderstood("Mercator with a standard parallel and a latitude of origin")
    if number == MERCATOR and latitude != 0:
        if scale == 1:
            return MERCATOR_AT_LATITUDE
        raise NotUnderstood("Mercator with a latitude of origin and a scale")
    if number == POLAR_STEREOGRAPHIC and not math.isclose(abs(latitude), right_angle):
        if scale == 1 and latitude != 0:
            return POLAR_B
        raise NotUnderstood("polar stereographic with an origin that is no pole")
    return METHODS[number]
