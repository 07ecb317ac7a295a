"""Build a user-defined CRS from GeoKeys, by way of PROJJSON.

If a GeoTIFF names no EPSG code, its keys describe the parts of the CRS:

    2048-2061   geographic CRS: datum, ellipsoid, prime meridian, angular unit
    2062        shift to WGS 84
    3074-3095   projection: method (3075), parameters, linear unit

Each part may have an EPSG code of its own. PROJJSON is a form of WKT 2 in JSON that PROJ reads
(proj.org/specifications/projjson.html).

Specification: OGC 19-008r4, GeoTIFF 1.1, section 7.5 and annex C. Read
tests/data/raster/test_geokeys.py beside this file.
"""

from __future__ import annotations

from functools import cache

from pyproj import CRS
from pyproj.crs import BoundCRS, CoordinateOperation, Datum, Ellipsoid, PrimeMeridian
from pyproj.crs.coordinate_operation import ToWGS84Transformation
from pyproj.database import get_units_map
from tifffile.geodb import GeoKeys as Key

UNDEFINED, USER_DEFINED = 0, 32767  # values of a key that holds a code

# EPSG's name of each parameter: its kind, and the GeoKeys in which files store it.
_LATITUDE = (
    "angle",
    (Key.ProjNatOriginLatGeoKey, Key.ProjFalseOriginLatGeoKey, Key.ProjCenterLatGeoKey),
)
_LONGITUDE = (
    "angle",
    (Key.ProjNatOriginLongGeoKey, Key.ProjFalseOriginLongGeoKey, Key.ProjCenterLongGeoKey),
)
_EASTING = (
    "length",
    (Key.ProjFalseEastingGeoKey, Key.ProjFalseOriginEastingGeoKey, Key.ProjCenterEastingGeoKey),
)
_NORTHING = (
    "length",
    (Key.ProjFalseNorthingGeoKey, Key.ProjFalseOriginNorthingGeoKey, Key.ProjCenterNorthingGeoKey),
)
PARAMETERS = {
    "Latitude of natural origin": _LATITUDE,
    "Longitude of natural origin": _LONGITUDE,
    "Scale factor at natural origin": (
        "scale",
        (Key.ProjScaleAtNatOriginGeoKey, Key.ProjScaleAtCenterGeoKey),
    ),
    "False easting": _EASTING,
    "False northing": _NORTHING,
    "Latitude of false origin": _LATITUDE,
    "Longitude of false origin": _LONGITUDE,
    "Latitude of 1st standard parallel": ("parallel", (Key.ProjStdParallel1GeoKey,)),
    "Latitude of 2nd standard parallel": ("parallel", (Key.ProjStdParallel2GeoKey,)),
    "Easting at false origin": _EASTING,
    "Northing at false origin": _NORTHING,
}
_NATURAL = ("Latitude of natural origin", "Longitude of natural origin")
_SCALE = ("Scale factor at natural origin",)
_FALSE = ("False easting", "False northing")
_CONIC = (
    "Latitude of false origin",
    "Longitude of false origin",
    "Latitude of 1st standard parallel",
    "Latitude of 2nd standard parallel",
    "Easting at false origin",
    "Northing at false origin",
)

# Value of ProjCoordTransGeoKey, EPSG's name of the method, and its parameters. Mercator has two
# entries, with a standard parallel (B) and with a scale at the equator (A). The first entry is used
# whose parallels are in the file.
METHODS = (
    (1, "Transverse Mercator", (*_NATURAL, *_SCALE, *_FALSE)),
    (
        7,
        "Mercator (variant B)",
        ("Latitude of 1st standard parallel", "Longitude of natural origin", *_FALSE),
    ),
    (7, "Mercator (variant A)", (*_NATURAL, *_SCALE, *_FALSE)),
    (8, "Lambert Conic Conformal (2SP)", _CONIC),
    (9, "Lambert Conic Conformal (1SP)", (*_NATURAL, *_SCALE, *_FALSE)),
    (10, "Lambert Azimuthal Equal Area", (*_NATURAL, *_FALSE)),
    (11, "Albers Equal Area", _CONIC),
    (24, "Sinusoidal", ("Longitude of natural origin", *_FALSE)),
)


def decode(keys: dict, projected: bool) -> CRS:
    """Build the CRS that the keys describe. Raises KeyError if a necessary key is missing."""
    base = _geographic(keys)
    crs = CRS.from_json_dict(_projected(keys, base) if projected else base)
    shift = keys.get(Key.GeogTOWGS84GeoKey)
    if shift is None or "id" in base:
        return crs
    return BoundCRS(crs, "EPSG:4326", ToWGS84Transformation(crs.geodetic_crs, *shift))


def epsg_code(keys: dict, key: int) -> int:
    """Return the EPSG code that a key holds. Raises KeyError if it holds none."""
    if keys.get(key, UNDEFINED) in (UNDEFINED, USER_DEFINED):
        raise KeyError(key)
    return keys[key]


def _geographic(keys: dict) -> dict:
    """PROJJSON of the geographic CRS of the keys 2048 to 2061."""
    try:
        return CRS.from_epsg(epsg_code(keys, Key.GeographicTypeGeoKey)).to_json_dict()
    except KeyError:
        pass
    # GDAL writes names into the citation: "GCS Name = ...|Datum = ...|Ellipsoid = ...|Primem = ..."
    parts = str(keys.get(Key.GeogCitationGeoKey, "")).split("|")
    names = dict(part.split(" = ", 1) for part in parts if " = " in part)
    datum, unit = _datum(keys, names), _angular_unit(keys)
    return {
        "type": "GeographicCRS",
        "name": names.get("GCS Name", "unknown"),
        "datum_ensemble" if datum["type"] == "DatumEnsemble" else "datum": datum,
        "coordinate_system": {
            "subtype": "ellipsoidal",
            "axis": [
                {"name": "Longitude", "abbreviation": "lon", "direction": "east", "unit": unit},
                {"name": "Latitude", "abbreviation": "lat", "direction": "north", "unit": unit},
            ],
        },
    }


def _datum(keys: dict, names: dict[str, str]) -> dict:
    """PROJJSON of the datum. A prime meridian in the keys replaces that of an EPSG datum."""
    meridian = _prime_meridian(keys, names.get("Primem", "unknown"))
    try:
        datum = Datum.from_epsg(epsg_code(keys, Key.GeogGeodeticDatumGeoKey))
    except KeyError:
        name = names.get("Datum", "unknown")
        ellipsoid = _ellipsoid(keys, names.get("Ellipsoid", "unknown"))
    else:
        if meridian is None or _radians(meridian) == _radians(datum.prime_meridian):
            return datum.to_json_dict()
        name, ellipsoid = datum.name, datum.ellipsoid.to_json_dict()
    frame = {"type": "GeodeticReferenceFrame", "name": name, "ellipsoid": ellipsoid}
    return frame if meridian is None else frame | {"prime_meridian": meridian.to_json_dict()}


def _prime_meridian(keys: dict, name: str) -> PrimeMeridian | None:
    """The prime meridian of the keys, from its code or longitude; None if they have neither."""
    try:
        return PrimeMeridian.from_epsg(epsg_code(keys, Key.GeogPrimeMeridianGeoKey))
    except KeyError:
        pass
    if Key.GeogPrimeMeridianLongGeoKey not in keys:
        return None
    longitude = {"value": keys[Key.GeogPrimeMeridianLongGeoKey], "unit": _angular_unit(keys)}
    return PrimeMeridian.from_json_dict(
        {"type": "PrimeMeridian", "name": name, "longitude": longitude}
    )


def _radians(meridian: PrimeMeridian | None) -> float:
    """Longitude of a prime meridian in radians, rounded to a millimetre on the ground.

    pyproj returns None for the Greenwich meridian of a datum ensemble.
    """
    if meridian is None:
        return 0.0
    return round(meridian.longitude * float(meridian.unit_conversion_factor), 10)


def _ellipsoid(keys: dict, name: str) -> dict:
    """PROJJSON of the ellipsoid, from its code, or its major axis and flattening or minor axis."""
    try:
        return Ellipsoid.from_epsg(epsg_code(keys, Key.GeogEllipsoidGeoKey)).to_json_dict()
    except KeyError:
        pass
    ellipsoid = {"name": name, "semi_major_axis": keys[Key.GeogSemiMajorAxisGeoKey]}
    inverse_flattening = keys.get(Key.GeogInvFlatteningGeoKey)
    if inverse_flattening:
        return ellipsoid | {"inverse_flattening": inverse_flattening}
    return ellipsoid | {"semi_minor_axis": keys[Key.GeogSemiMinorAxisGeoKey]}


def _projected(keys: dict, base: dict) -> dict:
    """PROJJSON of the projected CRS of the keys 3074 to 3093 on a geographic CRS."""
    unit = _unit(
        keys.get(Key.ProjLinearUnitsGeoKey), "linear", keys.get(Key.ProjLinearUnitSizeGeoKey)
    )
    try:
        conversion = CoordinateOperation.from_epsg(
            epsg_code(keys, Key.ProjectionGeoKey)
        ).to_json_dict()
    except KeyError:
        conversion = _conversion(keys, unit)
    return {
        "type": "ProjectedCRS",
        "name": keys.get(Key.GTCitationGeoKey) or "unknown",
        "base_crs": base,
        "conversion": conversion,
        "coordinate_system": {
            "subtype": "Cartesian",
            "axis": [
                {"name": "Easting", "abbreviation": "E", "direction": "east", "unit": unit},
                {"name": "Northing", "abbreviation": "N", "direction": "north", "unit": unit},
            ],
        },
    }


def _conversion(keys: dict, unit: str | dict) -> dict:
    """PROJJSON of a map projection; KeyError for an unknown method or a missing parallel."""
    angle = _angular_unit(keys)
    units = {"angle": angle, "parallel": angle, "length": unit, "scale": "unity"}
    defaults = {"angle": 0.0, "length": 0.0, "scale": 1.0}
    for number, method, names in METHODS:
        if number != keys[Key.ProjCoordTransGeoKey]:
            continue
        parameters = []
        for name in names:
            kind, places = PARAMETERS[name]
            value = next((keys[place] for place in places if place in keys), defaults.get(kind))
            parameters.append({"name": name, "value": value, "unit": units[kind]})
        if all(parameter["value"] is not None for parameter in parameters):
            return {"name": "unknown", "method": {"name": method}, "parameters": parameters}
    raise KeyError(Key.ProjCoordTransGeoKey)


@cache
def _epsg_units(category: str) -> dict:
    """EPSG's units of a category by code; deprecated ones too, such as 9106 gon."""
    units = get_units_map(auth_name="EPSG", category=category, allow_deprecated=True)
    return {int(unit.code): unit for unit in units.values()}


def _angular_unit(keys: dict) -> str | dict:
    """PROJJSON of the unit of all angles in the keys."""
    return _unit(
        keys.get(Key.GeogAngularUnitsGeoKey), "angular", keys.get(Key.GeogAngularUnitsSizeGeoKey)
    )


def _unit(code: int | None, category: str, size: float | None = None) -> str | dict:
    """PROJJSON of the unit with an EPSG code, or of a unit of `size` metres or radians.

    Raises KeyError for an unknown code, and for angles in which the digits of a number are degrees,
    minutes and seconds ("sexagesimal DMS").
    """
    kind, default = ("LinearUnit", "metre") if category == "linear" else ("AngularUnit", "degree")
    if code in (None, UNDEFINED, USER_DEFINED) and size:
        return {"type": kind, "name": "unknown", "conversion_factor": size}
    if code in (None, UNDEFINED):
        return default
    unit = _epsg_units(category)[code]
    if unit.name.startswith("sexagesimal"):
        raise KeyError(code)
    # Several codes without a factor are degrees in another notation ("degree minute second").
    if unit.name == default or unit.conv_factor == 0:
        return default
    return {"type": kind, "name": unit.name, "conversion_factor": unit.conv_factor}
