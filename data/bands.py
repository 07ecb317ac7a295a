"""Band names, and the spectral indices that are made of bands.

A normalised difference index contrasts two bands whose ratio tells a material:

    index = (a - b) / (a + b), 0 where a + b = 0

    NDVI    NIR, Red     vegetation     Rouse and others 1974
    NDTI    SWIR1, SWIR2 tillage, bare  Van Deventer and others 1997
    NDVIre  RE1, Red     vegetation     Gitelson and Merzlyak 1994
    MNDWI   Green, SWIR1 open water     Xu 2006

A network could learn such ratios, but division is costly to imitate with convolutions and a few
hundred images do not teach it.

Where several dates of one place are stacked (data/stack.py), the bands of the second are named `Red@2`, and
so are its indices: `NDVI@2` is made of `NIR@2` and `Red@2`. Read beside it: tests/test_bands.py.
"""

import re
from collections.abc import Sequence

import numpy as np

from data import InputError

INDICES = {
    "NDVI": ("NIR", "Red"),
    "NDTI": ("SWIR1", "SWIR2"),
    "NDVIre": ("RE1", "Red"),
    "MNDWI": ("Green", "SWIR1"),
}

# Sentinel-2's bands: the name used here, the number in ESA's products, other spellings seen in files.
ALIASES = {
    "Coastal": ("B1", "B01", "coastal aerosol", "aerosols"),
    "Blue": ("B2", "B02", "B"),
    "Green": ("B3", "B03", "G"),
    "Red": ("B4", "B04", "R"),
    "RE1": ("B5", "B05", "red edge 1", "vegetation red edge 1"),
    "RE2": ("B6", "B06", "red edge 2", "vegetation red edge 2"),
    "RE3": ("B7", "B07", "red edge 3", "vegetation red edge 3"),
    "NIR": ("B8", "B08", "near infrared"),
    "RE4": ("B8A", "red edge 4", "narrow NIR", "vegetation red edge 4"),
    "WV": ("B9", "B09", "water vapour", "water vapor"),
    "Cirrus": ("B10",),
    "SWIR1": ("B11", "SWIR 1", "short wave infrared 1"),
    "SWIR2": ("B12", "SWIR 2", "short wave infrared 2"),
}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_CANONICAL = {_plain(alias): name for name, aliases in ALIASES.items() for alias in (name, *aliases)}


def canonical(name: str) -> str:
    """The name this project uses for a band: 'B08' and 'nir' are 'NIR'; a strange name stays as it is."""
    name, at, date = name.strip().partition("@")  # 'B1@2' is Coastal of date 2, and not B12
    return _CANONICAL.get(_plain(name), name) + at + date


def dated(names: Sequence[str], dates: int) -> list[str]:
    """The names of all bands of so many stacked dates.

    >>> dated(["Red", "NIR"], 2)
    ['Red', 'NIR', 'Red@2', 'NIR@2']
    """
    return [name + (f"@{date}" if date > 1 else "") for date in range(1, dates + 1) for name in names]


def dates(names: Sequence[str]) -> list[str]:
    """The endings of names: '' and, for each further date, '@2', '@3'."""
    return list(dict.fromkeys("".join(name.partition("@")[1:]) for name in names))


def names(descriptions: Sequence[str | None], given: Sequence[str] | None = None, path: object = "image") -> list[str]:
    """Name of each band: the user's list, else the file's descriptions, else '1', '2', ...

    Raises InputError where the list has another length than the file, or a name stands twice.
    """
    if given and len(given) != len(descriptions):
        raise InputError(f"{path}: {len(descriptions)} bands, but --bands names {len(given)} ({', '.join(given)})")
    named = [canonical(name or "") or str(i) for i, name in enumerate(given or descriptions, start=1)]
    if len(set(named)) < len(named):
        if given:
            raise InputError(f"--bands: a name stands twice in {', '.join(named)}; each band has a name of its own")
        return [str(i) for i in range(1, len(named) + 1)]  # descriptions such as 'Layer', 'Layer': no names at all
    return named


def pair(index: str) -> tuple[str, str]:
    """The two bands of an index; those of 'NDVI@2' are 'NIR@2' and 'Red@2'."""
    name, at, date = index.partition("@")
    a, b = INDICES[name]
    return a + at + date, b + at + date


def available(bands: Sequence[str]) -> list[str]:
    """The indices whose two bands are both there, date by date, in the order of INDICES."""
    return [name + date for date in dates(bands) for name in INDICES if set(pair(name + date)) <= set(bands)]


def order(wanted: Sequence[str], found: Sequence[str], path: object = "image") -> list[int]:
    """Band numbers (from 1) in `found` that give the bands `wanted`, matched by name where the file names them.

    Raises InputError where the counts differ, naming both, or where named bands are not the wanted ones.
    """
    if len(found) != len(wanted):
        raise InputError(
            f"{path}: {len(found)} bands ({', '.join(found)}), but the checkpoint was trained on "
            f"{len(wanted)} ({', '.join(wanted)}); give an image with these bands"
        )
    if set(found) == set(wanted):
        return [found.index(name) + 1 for name in wanted]
    if any(name in ALIASES for name in found) and any(name in ALIASES for name in wanted):
        strange = ", ".join(name for name in found if name not in wanted)
        raise InputError(
            f"{path}: has the bands {', '.join(found)}, but the checkpoint was trained on {', '.join(wanted)}; "
            f"{strange} cannot stand in for another band"
        )
    return list(range(1, len(wanted) + 1))  # unnamed on one side: trust the order


def normalized_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a - b) / (a + b) in float32, 0 where the denominator is 0; integers are widened first (no overflow)."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    total = a + b
    return np.divide(a - b, total, out=np.zeros_like(total), where=total != 0)


def stack(image: np.ndarray, bands: Sequence[str], indices: Sequence[str]) -> np.ndarray:
    """Bands (C, H, W) of any number type to (C + indices, H, W) float32, the indices behind the bands.

    In memory a pixel's channels lie together, as in prepared scenes, and as convolutions want them.
    """
    stacked = np.moveaxis(np.empty((*image.shape[1:], len(bands) + len(indices)), np.float32), -1, 0)
    stacked[: len(bands)] = image
    for plane, (a, b) in zip(stacked[len(bands) :], map(pair, indices)):
        plane[:] = normalized_difference(stacked[bands.index(a)], stacked[bands.index(b)])
    return stacked


def rgb(bands: Sequence[str]) -> list[int]:
    """Positions (from 0) of the bands to show as red, green and blue."""
    if {"Red", "Green", "Blue"} <= set(bands):
        return [list(bands).index(name) for name in ("Red", "Green", "Blue")]
    return [min(i, len(bands) - 1) for i in range(3)]
