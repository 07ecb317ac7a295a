"""GeoKeys: the numbered values of a GeoTIFF that name or describe its CRS.

There are three forms. All are read. A CRS is written in the first form, or in the third:

    1. A key holds a code of the EPSG register: 3072 (ProjectedCSType) = 32633 is "WGS 84 / UTM zone
       33N".
    2. The key holds 32767, "user-defined". Other keys describe the CRS: the method of the
       projection, its parameters and unit, and the geographic CRS with its datum and ellipsoid
       (userdefined.py).
    3. A citation, which is a key with a text, holds the CRS as WKT (well-known text).

A file can hold several forms. If they place a point differently, the CRS is not understood. Two
deviations from an EPSG code are taken over, as GDAL does: another linear unit, and another
geographic CRS of the same ellipsoid.

Specification: OGC 19-008r4, GeoTIFF 1.1, section 7 and annex B. Read
tests/data/raster/test_geokeys.py beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from pyproj import CRS
from pyproj.exceptions import CRSError
from tifffile.geodb import GeoKeys as Key

from data.files import InputError
from data.raster import userdefined
from data.raster.epsg import (
    METRE,
    USER_DEFINED,
    NotUnderstood,
    has_code,
    horizontal,
    linear_unit,
    registered,
)
from data.raster.sameplace import distance, same_earth, same_place

PROJECTED, GEOGRAPHIC, GEOCENTRIC = 1, 2, 3  # values of GTModelTypeGeoKey
ROUNDED = 1.0  # m; some writers round the parameters of a projection
MERCATOR = 7  # value of ProjCoordTransGeoKey
CITATIONS = (Key.PCSCitationGeoKey, Key.GTCitationGeoKey, Key.GeogCitationGeoKey)
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
# EPSG:3857, the pseudo-Mercator of web maps, has no method in GeoTIFF. Some writers store the keys
# of the true Mercator, which is up to 40 km away, and one of these names.
WEB_MERCATOR = ("google maps global mercator", "pseudo-mercator", "web_mercator")
WEB_MERCATOR_PROJECTIONS = (3856, 19847)  # values of ProjectionGeoKey
PERHAPS_WEB_MERCATOR = ("google", "web mercator", "webmercator", "popular visualisation")


def decode(keys: dict) -> CRS | None:
    """Decode the CRS of GeoKeys {number: value}; None if there is none, or none can be decoded."""
    try:
        return understand(keys)
    except NotUnderstood:
        return None


def understand(keys: dict) -> CRS | None:
    """Decode the CRS of GeoKeys.

    Args:
        keys: {number: value}.

    Returns:
        The CRS; None if the keys hold none.

    Raises:
        NotUnderstood: The CRS cannot be decoded. The text says what is not understood.
    """
    if not any(key >= Key.GeographicTypeGeoKey or key == Key.GTCitationGeoKey for key in keys):
        if keys.get(Key.GTModelTypeGeoKey) != GEOCENTRIC:
            return None
    citations = [str(keys[key]) for key in CITATIONS if key in keys]
    name = f' (named "{" ".join(citations[0].split())[:60]}")' if citations else ""
    try:
        crs = _decoded(keys)
        if crs.geodetic_crs.axis_info[0].unit_conversion_factor == 1:
            raise NotUnderstood("angles in radians")
        plain = crs.source_crs if crs.is_bound else crs
        if plain.is_projected and not plain.coordinate_operation.is_instantiable:
            raise NotUnderstood(f"projection method {plain.coordinate_operation.method_name}")
    except NotUnderstood as error:
        raise NotUnderstood(f"{error}{name}") from None
    except (CRSError, TypeError, ValueError):
        raise NotUnderstood(f"its keys contradict each other{name}") from None
    return crs


def _decoded(keys: dict) -> CRS:
    """Decode the CRS from the form in which the keys hold it."""
    model = keys.get(Key.GTModelTypeGeoKey, USER_DEFINED)
    if model == USER_DEFINED and has_code(keys, Key.ProjectedCSTypeGeoKey):
        model = PROJECTED
    if model == GEOCENTRIC:
        raise NotUnderstood("geocentric coordinates")
    if model == PROJECTED and has_code(keys, Key.ProjectedCSTypeGeoKey):
        return _coded(keys)
    from_wkt = _from_wkt(keys)
    if model not in (PROJECTED, GEOGRAPHIC):
        if from_wkt is None:
            raise NotUnderstood("local coordinates")
        return from_wkt
    try:
        crs = userdefined.decode(keys, model == PROJECTED)
        if model == PROJECTED and _is_web_mercator(keys, crs):
            crs = CRS.from_epsg(3857)
    except NotUnderstood:
        if from_wkt is None:
            raise
        return from_wkt
    if from_wkt is not None and model == PROJECTED and distance(crs, from_wkt) > ROUNDED:
        raise NotUnderstood("keys and WKT of different CRSs")
    return crs


def _coded(keys: dict) -> CRS:
    """The projected CRS of an EPSG code, in the unit and on the geographic CRS of the keys."""
    crs = registered(keys, Key.ProjectedCSTypeGeoKey, horizontal, "CRS")
    if not crs.is_projected:
        return crs
    code = f"EPSG:{keys[Key.ProjectedCSTypeGeoKey]}"
    base = _base(keys)
    if base is not None and not same_earth(base, crs):
        raise NotUnderstood(f"{code} on another ellipsoid or prime meridian, {base.name}")
    coded = base is not None and has_code(keys, Key.GeographicTypeGeoKey)
    if coded and not base.equals(crs.geodetic_crs, ignore_axis_order=True):
        crs = userdefined.changed(crs, base_crs=base.to_json_dict())
    own = METRE | {"name": "unknown", "conversion_factor": crs.axis_info[0].unit_conversion_factor}
    unit = own
    if has_code(keys, Key.ProjLinearUnitsGeoKey) or Key.ProjLinearUnitSizeGeoKey in keys:
        unit = linear_unit(keys)
    if not math.isclose(unit["conversion_factor"], own["conversion_factor"]):
        crs = userdefined.in_unit(crs, unit)
    if Key.ProjCoordTransGeoKey in keys:
        described = userdefined.projected(keys, crs.geodetic_crs, unit)
        if distance(crs, described) > ROUNDED:
            raise NotUnderstood(f"{code} with the parameters of another projection")
    return crs


def _base(keys: dict) -> CRS | None:
    """The geographic CRS of the keys, in degrees; None if they hold none that is understood."""
    parts = (Key.GeographicTypeGeoKey, Key.GeogGeodeticDatumGeoKey, Key.GeogEllipsoidGeoKey)
    if not any(part in keys for part in parts):
        return None
    units = (Key.GeogAngularUnitsGeoKey, Key.GeogAngularUnitsSizeGeoKey)
    try:
        return userdefined.geographic({k: keys[k] for k in keys if k not in units})
    except NotUnderstood:
        return None


def _is_web_mercator(keys: dict, crs: CRS) -> bool:
    """Return whether the keys are those of Mercator with a name of web maps.

    Raises:
        NotUnderstood: It may be, but the name or the parameters are others.
    """
    if keys.get(Key.ProjCoordTransGeoKey) != MERCATOR:
        return False
    names = " ".join(str(keys.get(key, "")) for key in CITATIONS).lower()
    surely = any(name in names for name in WEB_MERCATOR)
    surely |= keys.get(Key.ProjectionGeoKey) in WEB_MERCATOR_PROJECTIONS
    if not surely and not any(name in names for name in PERHAPS_WEB_MERCATOR):
        return False
    if surely and distance(crs, CRS("+proj=merc +datum=WGS84")) < ROUNDED:
        return True
    raise NotUnderstood("Mercator that may be that of web maps")


def _from_wkt(keys: dict) -> CRS | None:
    """The CRS of a WKT in a citation; None if no citation has one that is whole."""
    for key in CITATIONS:
        text = str(keys.get(key, "")).removeprefix(PE_STRING)
        if not text.startswith(WKT_NAMES):
            continue
        try:
            crs = CRS.from_wkt(text)
        except CRSError:
            continue
        crs = crs.sub_crs_list[0] if crs.is_compound else crs
        if crs.is_projected or crs.is_geographic:
            return crs
    return None


def encode(crs: CRS) -> dict:
    """Encode a CRS as GeoKeys: its EPSG code, or a citation with WKT that GDAL and ESRI read.

    Args:
        crs: A projected or geographic CRS. Its heights are left out.

    Raises:
        InputError: No form of the GeoKeys is read as this CRS again.
    """
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if len(crs.axis_info) == 3:
        crs = crs.to_2d()
    for keys, alike in _forms(crs):
        again = decode(keys)
        if again is not None and alike(again, crs):
            return keys
    raise InputError(f"a GeoTIFF cannot hold the CRS {crs.name}; choose another")


def _forms(crs: CRS) -> Iterator[tuple[dict, Callable[[CRS, CRS], bool]]]:
    """Yield the GeoKeys that may hold a CRS, and how to compare it with the CRS read from them."""
    code = _epsg(crs)
    if code is not None and code < USER_DEFINED:
        if crs.is_projected:
            yield {Key.GTModelTypeGeoKey: PROJECTED, Key.ProjectedCSTypeGeoKey: code}, same_place
        else:
            yield {Key.GTModelTypeGeoKey: GEOGRAPHIC, Key.GeographicTypeGeoKey: code}, same_place
    citation = {Key.GTModelTypeGeoKey: USER_DEFINED, Key.GTCitationGeoKey: crs.name}
    try:
        text = PE_STRING + crs.to_wkt("WKT1_ESRI")
    except CRSError:
        pass
    else:
        # ESRI's dialect of WKT lacks some properties (a shift to WGS 84, for one); WKT 2 has them.
        yield (
            citation | {Key.PCSCitationGeoKey: text},
            lambda a, b: a.equals(b, ignore_axis_order=True),
        )
    yield citation | {Key.PCSCitationGeoKey: PE_STRING + crs.to_wkt()}, same_place


def _epsg(crs: CRS) -> int | None:
    """The EPSG code that a CRS declares; else the code that pyproj finds with high confidence; else
    the code of an equal CRS; else None.
    """
    declared = crs.to_json_dict().get("id", {})
    if declared.get("authority") == "EPSG":
        return int(declared["code"])
    confident = crs.to_epsg(min_confidence=90)
    if confident is not None:
        return confident
    # With its default confidence pyproj also proposes a similar CRS, such as one with another datum
    # on the same ellipsoid. OGC:CRS84 has no EPSG code, but is 4326 with x before y as in a raster.
    for candidate in (crs.to_epsg(), 4326):
        if candidate and CRS.from_epsg(candidate).equals(crs, ignore_axis_order=True):
            return candidate
    return None
