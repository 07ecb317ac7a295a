"""The six tags that place a GeoTIFF on the ground, and the CRS and transform they stand for.

    33550 ModelPixelScale       (width, height, depth) of a pixel
    33922 ModelTiepoint         (col, row, 0, x, y, z) of one known point, or of several
    34264 ModelTransformation   4 x 4 matrix, instead of the two above, for rotated and south-up rasters
    34735 GeoKeyDirectory       16-bit entries (key, where, count, value) after a header of four numbers
    34736 GeoDoubleParams       the numbers that entries of the directory point into
    34737 GeoAsciiParams        the texts likewise

A key is either a code of the EPSG register (ProjectedCSType = 32633 is "WGS 84 / UTM zone 33N") or,
where it is 32767 ("user-defined"), other keys say what it is made of: the projection's method, its
parameters and unit, and the geographic CRS beneath it with its datum and ellipsoid. What even these
cannot say stands as a WKT text in a citation. Here all of them are read; written is a code or,
where a CRS has none, a WKT.

Specification: OGC 19-008r4, GeoTIFF 1.1. Read tests/data/raster/test_geokeys.py beside this file.
"""

from __future__ import annotations

from functools import cache

from pyproj import CRS
from pyproj.crs import BoundCRS, CoordinateOperation, Datum, Ellipsoid, PrimeMeridian
from pyproj.crs.coordinate_operation import ToWGS84Transformation
from pyproj.database import get_units_map
from pyproj.exceptions import CRSError
from tifffile.geodb import GeoKeys as Key

from data.grid import IDENTITY, Transform

SCALE, TIEPOINT, MATRIX, DIRECTORY, DOUBLES, TEXTS = TAGS = (
    33550,
    33922,
    34264,
    34735,
    34736,
    34737,
)

PROJECTED, GEOGRAPHIC = 1, 2  # values of GTModelTypeGeoKey
AREA, POINT = 1, 2  # values of GTRasterTypeGeoKey
UNDEFINED, USER_DEFINED = 0, 32767  # values of any key that holds a code
PE_STRING = "ESRI PE String = "
WKT_NAMES = (
    "PROJCS[",
    "GEOGCS[",
    "COMPD_CS[",
    "PROJCRS[",
    "GEOGCRS[",
    "GEODCRS[",
    "BOUNDCRS[",
    "COMPOUNDCRS[",
)

# EPSG's name of each parameter: its kind, and the GeoKeys under which software has been seen to
# store it.
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
_NATURAL, _SCALE, _FALSE = tuple(PARAMETERS)[:2], tuple(PARAMETERS)[2:3], tuple(PARAMETERS)[3:5]
_CONIC = tuple(PARAMETERS)[5:]

# Values of ProjCoordTransGeoKey: EPSG's name of the method and its parameters. Mercator stands
# twice, with a standard parallel (B) and with a scale at the equator (A): the first whose parallels
# the file has is taken.
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


def decode(tags: dict) -> tuple[CRS | None, Transform, dict]:
    """CRS, transform and the tags themselves, with PixelIsPoint turned into PixelIsArea in the last
    two.

    `tags` maps each of TAGS that the file has to a tuple of numbers, or to bytes for the texts. The
    CRS is None where there is none or where it cannot be told, the transform the identity where
    there is none.
    """
    keys = _keys(tags)
    transform = _transform(tags)
    if transform is None:
        # Tie points without a scale are ground control points: their CRS is not that of the pixels.
        return None if TIEPOINT in tags else _crs(keys), IDENTITY, dict(tags)
    if keys.get(Key.GTRasterTypeGeoKey) != POINT:
        return _crs(keys), transform, dict(tags)
    a, b, c, d, e, f = transform
    transform = (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
    directory = list(tags[DIRECTORY])
    for at in range(4, len(directory) - 3, 4):
        if directory[at] == Key.GTRasterTypeGeoKey:
            directory[at + 3] = AREA
    params = {tag: tags[tag] for tag in (DOUBLES, TEXTS) if tag in tags}
    return (
        _crs(keys),
        transform,
        {**_transform_tags(transform), DIRECTORY: tuple(directory), **params},
    )


def encode(crs: CRS | None, transform: Transform) -> dict:
    """The tags of a CRS and a transform: an empty dict where there is no georeference at all."""
    tags = {} if transform == IDENTITY else _transform_tags(transform)
    if crs is None:
        return tags
    entries, texts = [], b""
    for key, value in sorted({Key.GTRasterTypeGeoKey: AREA, **_crs_keys(crs)}.items()):
        if isinstance(value, str):
            text = value.encode() + b"|"
            entries += [int(key), TEXTS, len(text), len(texts)]
            texts += text
        else:
            entries += [int(key), 0, 1, value]
    tags[DIRECTORY] = (1, 1, 0, len(entries) // 4, *entries)
    if texts:
        tags[TEXTS] = texts
    return tags


def _transform(tags: dict) -> Transform | None:
    scale, tiepoint, matrix = (tags.get(tag, ()) for tag in (SCALE, TIEPOINT, MATRIX))
    if len(scale) >= 2 and scale[0] and scale[1] and len(tiepoint) >= 6:
        col, row, _, x, y, _ = tiepoint[:6]
        # A negative height should mean south-up, but is in fact the e of a north-up transform that
        # somebody wrote into the tag as it was: GDAL ignores the sign, so every map of such a file
        # is north-up.
        a, e = scale[0], -abs(scale[1])
        return (a, 0.0, x - col * a, 0.0, e, y - row * e)
    if len(matrix) == 16 and matrix[0] * matrix[5] != matrix[1] * matrix[4]:
        return (matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7])
    return None


def _transform_tags(transform: Transform) -> dict:
    a, b, c, d, e, f = transform
    if b == 0 and d == 0 and a > 0 and e < 0:
        return {SCALE: (a, -e, 0.0), TIEPOINT: (0.0, 0.0, 0.0, c, f, 0.0)}
    return {MATRIX: (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)}


def _keys(tags: dict) -> dict[int, int | float | str | tuple]:
    """The GeoKeys by number; an entry that points outside the tag it points into is left out."""
    directory, keys = tags.get(DIRECTORY, ()), {}
    for at in range(4, len(directory) - 3, 4):
        key, where, count, value = directory[at : at + 4]
        content = tags.get(where, ())[value : value + count]
        if where == 0:
            keys[key] = value
        elif where == TEXTS and content:
            keys[key] = content.rstrip(b"|\0 ").decode("utf-8", "replace")
        elif where == DOUBLES and content:
            keys[key] = content[0] if count == 1 else tuple(content)
    return keys


def _crs(keys: dict) -> CRS | None:
    """What the keys say; what is trusted most comes first: a code, a WKT, then the user-defined
    keys.
    """
    model = PROJECTED if Key.ProjectedCSTypeGeoKey in keys else GEOGRAPHIC
    projected = keys.get(Key.GTModelTypeGeoKey, model) != GEOGRAPHIC
    for attempt in (
        lambda: CRS.from_epsg(
            _code(keys, Key.ProjectedCSTypeGeoKey if projected else Key.GeographicTypeGeoKey)
        ),
        # GDAL's keys for the pseudo-Mercator of web maps say true Mercator, and only its WKT says
        # the truth.
        lambda: CRS.from_wkt(_wkt(keys)),
        lambda: _user_defined(keys, projected),
    ):
        try:
            return attempt()
        except (CRSError, LookupError, TypeError):
            continue
    return None


def _code(keys: dict, key: int) -> int:
    """The EPSG code that a key holds; KeyError if it holds none."""
    if keys.get(key, UNDEFINED) in (UNDEFINED, USER_DEFINED):
        raise KeyError(key)
    return keys[key]


def _wkt(keys: dict) -> str:
    for key in (Key.PCSCitationGeoKey, Key.GTCitationGeoKey, Key.GeogCitationGeoKey):
        text = str(keys.get(key, "")).removeprefix(PE_STRING)
        if text.startswith(WKT_NAMES):
            return text
    raise KeyError("no citation holds a WKT")


def _user_defined(keys: dict, projected: bool) -> CRS:
    """The CRS that is put together from keys, by way of PROJJSON; KeyError if one that matters is
    missing.
    """
    base = _geographic(keys)
    crs = CRS.from_json_dict(_projected(keys, base) if projected else base)
    shift = keys.get(Key.GeogTOWGS84GeoKey)
    if shift is None or "id" in base:
        return crs
    return BoundCRS(crs, "EPSG:4326", ToWGS84Transformation(crs.geodetic_crs, *shift))


def _geographic(keys: dict) -> dict:
    """PROJJSON of the geographic CRS of the keys 2048 to 2061."""
    try:
        return CRS.from_epsg(_code(keys, Key.GeographicTypeGeoKey)).to_json_dict()
    except KeyError:
        pass
    # GDAL keeps the names in the citation: "GCS Name = unknown|Datum = ...|Ellipsoid = ...|Primem =
    # ..."
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
    """PROJJSON of the datum; a prime meridian among the keys replaces that of an EPSG datum."""
    meridian = _prime_meridian(keys, names.get("Primem", "unknown"))
    try:
        datum = Datum.from_epsg(_code(keys, Key.GeogGeodeticDatumGeoKey))
    except KeyError:
        name = names.get("Datum", "unknown")
        ellipsoid = _ellipsoid(keys, names.get("Ellipsoid", "unknown"))
    else:
        if meridian is None or _radians(meridian) == _radians(datum.prime_meridian):
            return datum.to_json_dict()
        name, ellipsoid = datum.name, datum.ellipsoid.to_json_dict()
    datum = {"type": "GeodeticReferenceFrame", "name": name, "ellipsoid": ellipsoid}
    return datum if meridian is None else datum | {"prime_meridian": meridian.to_json_dict()}


def _prime_meridian(keys: dict, name: str) -> PrimeMeridian | None:
    """The prime meridian of the keys; None where they have none, and it is Greenwich or the
    datum's.
    """
    try:
        return PrimeMeridian.from_epsg(_code(keys, Key.GeogPrimeMeridianGeoKey))
    except KeyError:
        pass
    if Key.GeogPrimeMeridianLongGeoKey not in keys:
        return None
    longitude = {"value": keys[Key.GeogPrimeMeridianLongGeoKey], "unit": _angular_unit(keys)}
    return PrimeMeridian.from_json_dict(
        {"type": "PrimeMeridian", "name": name, "longitude": longitude}
    )


def _radians(meridian: PrimeMeridian | None) -> float:
    """Longitude of a prime meridian, rounded to a millimetre on the ground.

    pyproj has None for the Greenwich meridian of a datum ensemble.
    """
    return 0.0 if meridian is None else round(meridian.longitude * meridian.unit_conversion_factor, 10)


def _ellipsoid(keys: dict, name: str) -> dict:
    try:
        return Ellipsoid.from_epsg(_code(keys, Key.GeogEllipsoidGeoKey)).to_json_dict()
    except KeyError:
        pass
    semi_major = keys[Key.GeogSemiMajorAxisGeoKey]
    if inverse_flattening := keys.get(Key.GeogInvFlatteningGeoKey):
        return {
            "name": name,
            "semi_major_axis": semi_major,
            "inverse_flattening": inverse_flattening,
        }
    return {
        "name": name,
        "semi_major_axis": semi_major,
        "semi_minor_axis": keys[Key.GeogSemiMinorAxisGeoKey],
    }


def _projected(keys: dict, base: dict) -> dict:
    """PROJJSON of the projected CRS of the keys 3074 to 3093 on a geographic CRS."""
    unit = _unit(
        keys.get(Key.ProjLinearUnitsGeoKey), "linear", keys.get(Key.ProjLinearUnitSizeGeoKey)
    )
    try:
        conversion = CoordinateOperation.from_epsg(_code(keys, Key.ProjectionGeoKey)).to_json_dict()
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
    """PROJJSON of a map projection; KeyError for a method that is not in METHODS or lacks a
    parallel.
    """
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
    units = get_units_map(auth_name="EPSG", category=category, allow_deprecated=True)
    return {int(unit.code): unit for unit in units.values()}


def _angular_unit(keys: dict) -> str | dict:
    return _unit(
        keys.get(Key.GeogAngularUnitsGeoKey), "angular", keys.get(Key.GeogAngularUnitsSizeGeoKey)
    )


def _unit(code: int | None, category: str, size: float | None = None) -> str | dict:
    """PROJJSON of EPSG's unit of that code, or of one that is `size` metres or radians large.

    Raises KeyError for an unknown code, and for angles that pack minutes and seconds into the
    digits of a number ("sexagesimal DMS").
    """
    kind, default = ("LinearUnit", "metre") if category == "linear" else ("AngularUnit", "degree")
    if code in (None, UNDEFINED, USER_DEFINED) and size:
        return {"type": kind, "name": "unknown", "conversion_factor": size}
    if code in (None, UNDEFINED):
        return default
    unit = _epsg_units(category)[code]
    if unit.name.startswith("sexagesimal"):
        raise KeyError(code)
    # Several codes stand for degrees in another notation ("degree minute second").
    if unit.name == default or unit.conv_factor == 0:
        return default
    return {"type": kind, "name": unit.name, "conversion_factor": unit.conv_factor}


def _crs_keys(crs: CRS) -> dict:
    """The GeoKeys of a CRS: its EPSG code, or its WKT in a citation in the form that GDAL and ESRI
    read.
    """
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if len(crs.axis_info) == 3:
        crs = crs.to_2d()
    if (code := _epsg(crs)) is not None:
        if crs.is_projected:
            return {Key.GTModelTypeGeoKey: PROJECTED, Key.ProjectedCSTypeGeoKey: code}
        return {Key.GTModelTypeGeoKey: GEOGRAPHIC, Key.GeographicTypeGeoKey: code}
    # ESRI's dialect cannot say everything (a shift to WGS 84, for one); WKT 2 can.
    try:
        wkt = crs.to_wkt("WKT1_ESRI")
        lossless = CRS.from_wkt(wkt).equals(crs, ignore_axis_order=True)
    except CRSError:
        lossless = False
    text = PE_STRING + (wkt if lossless else crs.to_wkt())
    return {
        Key.GTModelTypeGeoKey: USER_DEFINED,
        Key.GTCitationGeoKey: crs.name,
        Key.PCSCitationGeoKey: text,
    }


def _epsg(crs: CRS) -> int | None:
    """The EPSG code that a CRS declares, else the one of which pyproj is sure, else one that is
    equal.
    """
    declared = crs.to_json_dict().get("id", {})
    if declared.get("authority") == "EPSG":
        return int(declared["code"])
    if (sure := crs.to_epsg(min_confidence=90)) is not None:
        return sure
    # At its usual confidence pyproj also proposes near misses, such as another datum on the same
    # ellipsoid. OGC:CRS84 has no EPSG code, but is 4326 with its axes in the order of every raster.
    for code in (crs.to_epsg(), 4326):
        if code is not None and CRS.from_epsg(code).equals(crs, ignore_axis_order=True):
            return code
    return None
