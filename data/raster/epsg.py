"""Codes of the EPSG register in GeoKeys: which keys hold one, and what it stands for.

A key holds a code, or 0 (undefined), or 32767 (user-defined: other keys describe it). pyproj has
the register. Units are given as PROJJSON with their factor to metres or radians.

Read tests/data/raster/test_epsg.py beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pyproj import CRS
from pyproj.database import get_units_map
from pyproj.exceptions import CRSError
from tifffile.geodb import GeoKeys as Key

UNDEFINED, USER_DEFINED = 0, 32767  # values of a key that holds a code
Unit = dict[str, Any]
DEGREE: Unit = {"type": "AngularUnit", "name": "degree", "conversion_factor": 0.0174532925199433}
METRE: Unit = {"type": "LinearUnit", "name": "metre", "conversion_factor": 1.0}


class NotUnderstood(LookupError):
    """The keys hold a CRS that cannot be decoded. The text names what is not understood."""


def has_code(keys: dict, key: int) -> bool:
    """Return whether a key holds a code of the EPSG register."""
    return keys.get(key, UNDEFINED) not in (UNDEFINED, USER_DEFINED)


def registered(keys: dict, key: int, find: Callable, kind: str):
    """Look up the code that a key holds.

    Args:
        keys: {number: value}.
        key: A key that holds a code.
        find: Finds a code in the register, such as `pyproj.crs.Datum.from_epsg`.
        kind: What it finds, for the message.

    Raises:
        NotUnderstood: The register has no such code of this kind.
    """
    try:
        return find(keys[key])
    except CRSError:
        raise NotUnderstood(f"code {keys[key]}, which is no {kind} of EPSG") from None


def horizontal(code: int) -> CRS:
    """Return the projected or geographic CRS of a code, without heights.

    A deprecated code gives the CRS that the register names in its place, if it names one.

    Raises:
        CRSError: There is no such CRS.
    """
    crs = CRS.from_epsg(code)
    if crs.is_deprecated:
        successors = [CRS(other.to_wkt()) for other in crs.get_non_deprecated()]
        crs = successors[0] if len(successors) == 1 else crs
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if len(crs.axis_info) == 3:
        crs = crs.to_2d()
    if not (crs.is_projected or crs.is_geographic):
        raise CRSError(f"EPSG:{code} is neither projected nor geographic")
    return crs


def angular_unit(keys: dict) -> Unit:
    """Return the unit of all angles in the keys.

    Raises:
        NotUnderstood: The code is unknown, or the digits of a number are degrees, minutes and
            seconds ("sexagesimal DMS"), or the unit is the radian, which pyproj takes for degrees.
    """
    size = keys.get(Key.GeogAngularUnitsSizeGeoKey)
    unit = _unit(keys.get(Key.GeogAngularUnitsGeoKey), "angular", size)
    if unit["conversion_factor"] == 1:
        raise NotUnderstood("angles in radians")
    return unit


def linear_unit(keys: dict) -> Unit:
    """Return the unit of all lengths in the keys. Raises NotUnderstood if its code is unknown."""
    code = keys.get(Key.ProjLinearUnitsGeoKey, keys.get(Key.GeogLinearUnitsGeoKey))
    return _unit(code, "linear", keys.get(Key.ProjLinearUnitSizeGeoKey))


def _unit(code: int | None, category: str, size: float | None) -> Unit:
    """The unit with an EPSG code, or a unit of `size` metres or radians."""
    default = METRE if category == "linear" else DEGREE
    if code in (None, UNDEFINED, USER_DEFINED) and size:
        return default | {"name": "unknown", "conversion_factor": size}
    if code in (None, UNDEFINED, USER_DEFINED):
        return default
    unit = _units(category).get(code)
    if unit is None or unit.name.startswith("sexagesimal"):
        name = "unknown" if unit is None else unit.name
        raise NotUnderstood(f"{category} unit {code} ({name})")
    # Several codes without a factor are degrees in another notation ("degree minute second").
    if unit.name.startswith(default["name"]) or unit.conv_factor == 0:
        return default
    return default | {"name": unit.name, "conversion_factor": unit.conv_factor}


@cache
def _units(category: str) -> dict:
    """EPSG's units of a category by code; deprecated ones too, such as 9106 gon."""
    units = get_units_map(auth_name="EPSG", category=category, allow_deprecated=True)
    return {int(unit.code): unit for unit in units.values()}
