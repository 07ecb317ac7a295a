"""Build a user-defined CRS from GeoKeys, by way of PROJJSON.

If a GeoTIFF names no EPSG code, its keys describe the parts of the CRS:

    2048-2061   geographic CRS: datum, ellipsoid, prime meridian, angular unit
    2062        shift to WGS 84
    3074-3096   projection (projections.py) and linear unit

Each part may have an EPSG code of its own (epsg.py). PROJJSON is a form of WKT 2 in JSON that PROJ
reads (proj.org/specifications/projjson.html).

Specification: OGC 19-008r4, GeoTIFF 1.1, section 7.5. Read tests/data/raster/test_geokeys.py beside
this file.
"""

from __future__ import annotations

import math

from pyproj import CRS
from pyproj.crs import BoundCRS, CoordinateOperation, Datum, Ellipsoid, PrimeMeridian
from pyproj.crs.coordinate_operation import ToWGS84Transformation
from tifffile.geodb import GeoKeys as Key

from data.raster.epsg import (
    DEGREE,
    NotUnderstood,
    angular_unit,
    has_code,
    horizontal,
    linear_unit,
    registered,
)
from data.raster.projections import conversion
from data.raster.sameplace import GREENWICH, longitude, same_size


def decode(keys: dict, is_projected: bool) -> CRS:
    """Build the CRS that the keys describe.

    Args:
        keys: {number: value}.
        is_projected: Whether to build a projected CRS, or a geographic one.

    Raises:
        NotUnderstood: A necessary key is missing, or its value is not understood.
    """
    base = geographic(keys)
    crs = projected(keys, base, linear_unit(keys)) if is_projected else base
    shift = keys.get(Key.GeogTOWGS84GeoKey)
    if shift is None or has_code(keys, Key.GeographicTypeGeoKey):
        return crs
    if len(shift) not in (3, 7):
        raise NotUnderstood(f"a shift of {len(shift)} numbers to WGS 84")
    return BoundCRS(crs, "EPSG:4326", ToWGS84Transformation(crs.geodetic_crs, *shift))


def geographic(keys: dict) -> CRS:
    """Build the geographic CRS of the keys 2048 to 2061. Raises NotUnderstood."""
    if has_code(keys, Key.GeographicTypeGeoKey):
        return _in_unit(registered(keys, Key.GeographicTypeGeoKey, horizontal, "CRS"), keys)
    # GDAL writes names into the citation: "GCS Name = ...|Datum = ...|Ellipsoid = ...|Primem = ..."
    parts = str(keys.get(Key.GeogCitationGeoKey, "")).split("|")
    names = dict(part.split(" = ", 1) for part in parts if " = " in part)
    datum, unit = _datum(keys, names), angular_unit(keys)
    return CRS.from_json_dict(
        {
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
    )


def _in_unit(crs: CRS, keys: dict) -> CRS:
    """The CRS of an EPSG code with the angular unit of the keys, if they name one.

    Some files have degrees for a CRS that EPSG defines in grads. Other units contradict the code.
    """
    own = crs.axis_info[0].unit_conversion_factor
    if Key.GeogAngularUnitsGeoKey not in keys or not crs.is_geographic:
        return crs
    unit = angular_unit(keys)
    if math.isclose(unit["conversion_factor"], own):
        return crs
    if unit != DEGREE:
        raise NotUnderstood(f"{crs.to_string()} with angles in {unit['name']}")
    return in_unit(crs, unit)


def changed(crs: CRS, **parts) -> CRS:
    """Return a CRS with other parts of its PROJJSON. It has no EPSG code any more."""
    old = crs.to_json_dict()
    old.pop("id", None)
    return CRS.from_json_dict(old | parts)


def in_unit(crs: CRS, unit: dict) -> CRS:
    """Return a CRS with another unit of its axes."""
    system = crs.to_json_dict()["coordinate_system"]
    axes = [axis | {"unit": unit} for axis in system["axis"]]
    return changed(crs, coordinate_system=system | {"axis": axes})


def _datum(keys: dict, names: dict[str, str]) -> dict:
    """PROJJSON of the datum. Meridian and ellipsoid in the keys replace those of an EPSG datum."""
    meridian = _prime_meridian(keys, names.get("Primem", "unknown"))
    ellipsoid = _ellipsoid(keys, names.get("Ellipsoid", "unknown"))
    name = names.get("Datum", "unknown")
    if has_code(keys, Key.GeogGeodeticDatumGeoKey):
        datum = registered(keys, Key.GeogGeodeticDatumGeoKey, Datum.from_epsg, "datum")
        if meridian is None and longitude(datum.prime_meridian) != GREENWICH:
            raise NotUnderstood(f"the datum {datum.name} without its prime meridian")
        # pyproj has no attribute for the ellipsoid of an ensemble, such as that of WGS 84.
        own = Ellipsoid.from_json_dict({"type": "Ellipsoid"} | datum.to_json_dict()["ellipsoid"])
        if ellipsoid is None or same_size(ellipsoid, own):
            ellipsoid = own
            if longitude(meridian) == longitude(datum.prime_meridian):
                return datum.to_json_dict()
        name = datum.name
    if ellipsoid is None:
        raise NotUnderstood("a CRS without datum and ellipsoid")
    frame = {
        "type": "GeodeticReferenceFrame",
        "name": name,
        "ellipsoid": ellipsoid.to_json_dict(),
    }
    return frame if meridian is None else frame | {"prime_meridian": meridian.to_json_dict()}


def _prime_meridian(keys: dict, name: str) -> PrimeMeridian | None:
    """The prime meridian of the keys, from its code or longitude; None if they have neither."""
    if has_code(keys, Key.GeogPrimeMeridianGeoKey):
        find = PrimeMeridian.from_epsg
        return registered(keys, Key.GeogPrimeMeridianGeoKey, find, "prime meridian")
    if Key.GeogPrimeMeridianLongGeoKey not in keys:
        return None
    value, unit = keys[Key.GeogPrimeMeridianLongGeoKey], angular_unit(keys)
    if value != 0 and unit != DEGREE:
        # GDAL writes a wrong number here, and reads another one, if the unit is not the degree.
        raise NotUnderstood(f"a prime meridian at {value} {unit['name']}")
    east = {"value": value, "unit": unit}
    return PrimeMeridian.from_json_dict({"type": "PrimeMeridian", "name": name, "longitude": east})


def _ellipsoid(keys: dict, name: str) -> Ellipsoid | None:
    """The ellipsoid of the axes, else that of the code in the keys; None if they have neither."""
    coded = None
    if has_code(keys, Key.GeogEllipsoidGeoKey):
        coded = registered(keys, Key.GeogEllipsoidGeoKey, Ellipsoid.from_epsg, "ellipsoid")
    axes = {"type": "Ellipsoid", "name": name}
    if Key.GeogSemiMajorAxisGeoKey not in keys:
        return coded
    axes["semi_major_axis"] = axes["semi_minor_axis"] = keys[Key.GeogSemiMajorAxisGeoKey]
    if keys.get(Key.GeogInvFlatteningGeoKey):  # 0 stands for a sphere
        axes["inverse_flattening"] = keys[Key.GeogInvFlatteningGeoKey]
        del axes["semi_minor_axis"]
    elif Key.GeogSemiMinorAxisGeoKey in keys:
        axes["semi_minor_axis"] = keys[Key.GeogSemiMinorAxisGeoKey]
    given = Ellipsoid.from_json_dict(axes)
    return coded if coded is not None and same_size(given, coded) else given


def projected(keys: dict, base: CRS, unit: dict) -> CRS:
    """Build the projected CRS of the keys 3074 to 3096 on a geographic CRS.

    Args:
        keys: {number: value}.
        base: The geographic CRS.
        unit: PROJJSON of the unit of all lengths.

    Raises:
        NotUnderstood: The projection is not understood.
    """
    if has_code(keys, Key.ProjectionGeoKey) and Key.ProjCoordTransGeoKey not in keys:
        find = CoordinateOperation.from_epsg
        projection = registered(keys, Key.ProjectionGeoKey, find, "projection").to_json_dict()
    else:
        axis = base.axis_info[0]
        angle = DEGREE | {"name": axis.unit_name, "conversion_factor": axis.unit_conversion_factor}
        projection = conversion(keys, angle, unit)
    return CRS.from_json_dict(
        {
            "type": "ProjectedCRS",
            "name": keys.get(Key.GTCitationGeoKey) or "unknown",
            "base_crs": base.to_json_dict(),
            "conversion": projection,
            "coordinate_system": {
                "subtype": "Cartesian",
                "axis": [
                    {"name": "Easting", "abbreviation": "E", "direction": "east", "unit": unit},
                    {"name": "Northing", "abbreviation": "N", "direction": "north", "unit": unit},
                ],
            },
        }
    )
