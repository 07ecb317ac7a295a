"""GeoKeys: the numbered values of a GeoTIFF that name or describe its CRS.

There are three forms. All are read. A CRS is written in the first form, or in the third:

    1. A key holds a code of the EPSG register: 3072 (ProjectedCSType) = 32633 is "WGS 84 / UTM zone
       33N".
    2. The key holds 32767, "user-defined". Other keys describe the CRS: the method of the
       projection, its parameters and unit, and the geographic CRS with its datum and ellipsoid
       (userdefined.py).
    3. A citation, which is a key with a text, holds the CRS as WKT (well-known text).

Specification: OGC 19-008r4, GeoTIFF 1.1, section 7 and annex B. Read
tests/data/raster/test_geokeys.py beside this file.
"""

from __future__ import annotations

from pyproj import CRS
from pyproj.exceptions import CRSError
from tifffile.geodb import GeoKeys as Key

from data.raster import userdefined
from data.raster.userdefined import USER_DEFINED, epsg_code

PROJECTED, GEOGRAPHIC = 1, 2  # values of GTModelTypeGeoKey
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


def decode(keys: dict) -> CRS | None:
    """Decode the CRS of GeoKeys {number: value}; None if there is none, or none can be decoded.

    The EPSG code is tried first, then a WKT text, then the user-defined keys.
    """
    model = PROJECTED if Key.ProjectedCSTypeGeoKey in keys else GEOGRAPHIC
    projected = keys.get(Key.GTModelTypeGeoKey, model) != GEOGRAPHIC
    type_key = Key.ProjectedCSTypeGeoKey if projected else Key.GeographicTypeGeoKey
    for attempt in (
        lambda: CRS.from_epsg(epsg_code(keys, type_key)),
        # For the pseudo-Mercator of web maps, GDAL writes keys of true Mercator, but correct WKT.
        lambda: CRS.from_wkt(_wkt(keys)),
        lambda: userdefined.decode(keys, projected),
    ):
        try:
            return attempt()
        except (CRSError, LookupError, TypeError):
            continue
    return None


def _wkt(keys: dict) -> str:
    """The WKT text in a citation; KeyError if no citation has one."""
    for key in (Key.PCSCitationGeoKey, Key.GTCitationGeoKey, Key.GeogCitationGeoKey):
        text = str(keys.get(key, "")).removeprefix(PE_STRING)
        if text.startswith(WKT_NAMES):
            return text
    raise KeyError("no citation holds a WKT")


def encode(crs: CRS) -> dict:
    """Encode a CRS as GeoKeys: its EPSG code, or a citation with WKT that GDAL and ESRI read."""
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if len(crs.axis_info) == 3:
        crs = crs.to_2d()
    epsg = _epsg(crs)
    if epsg is not None:
        if crs.is_projected:
            return {Key.GTModelTypeGeoKey: PROJECTED, Key.ProjectedCSTypeGeoKey: epsg}
        return {Key.GTModelTypeGeoKey: GEOGRAPHIC, Key.GeographicTypeGeoKey: epsg}
    # ESRI's dialect of WKT lacks some properties (a shift to WGS 84, for one); WKT 2 has them.
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
