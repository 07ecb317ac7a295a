"""Band names, and the spectral indices that are made of bands.

A normalised difference index contrasts two bands whose ratio tells a material:

    index = (a - b) / (a + b), 0 where a + b = 0

    NDVI    NIR, Red     vegetation     Rouse and others 1974
    NDTI    SWIR1, SWIR2 tillage, bare  Van Deventer and others 1997
    NDVIre  RE1, Red     vegetation     Gitelson and Merzlyak 1994
    MNDWI   Green, SWIR1 open water     Xu 2006

A network could learn such ratios, but division is costly to imitate with convolutions and a few
hundred images do not teach it.

Where several dates of one place are stacked (data/input/stack.py), the bands of the second are
named `Red@2`, and so are its indices: `NDVI@2` is made of `NIR@2` and `Red@2`. Read beside it:
tests/data/test_bands.py.
"""

import re
from collections.abc import Sequence

import numpy as np

from data.files import InputError

INDICES = {
    "NDVI": ("NIR", "Red"),
    "NDTI": ("SWIR1", "SWIR2"),
    "NDVIre": ("RE1", "Red"),
    "MNDWI": ("Green", "SWIR1"),
}

# Sentinel-2's bands: the name used here, the number in ESA's products, other spellings seen in
# files.
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


_CANONICAL = {
    _plain(alias): name for name, aliases in ALIASES.items() for alias in (name, *aliases)
}


def canonical(name: str) -> str:
    """The name this project uses for a band: 'B08' and 'nir' are 'NIR'; a strange name stays as it
    is.
    """
    name, at, date = name.strip().partition("@")  # 'B1@2' is Coastal of date 2, and not B12
    return _CANONICAL.get(_plain(name), name) + at + date


def dated(names: Sequence[str], dates: int) -> list[str]:
    """The names of all bands of so many stacked dates.

    >>> dated(["Red", "NIR"], 2)
    ['Red', 'NIR', 'Red@2', 'NIR@2']
    """
    return [
        name + (f"@{date}" if date > 1 else "") for date in range(1, dates + 1) for name in names
    ]


def dates(names: Sequence[str]) -> list[str]:
    """The endings of names: '' and, for each further date, '@2', '@3'."""
    return list(dict.fromkeys("".join(name.partition("@")[1:]) for name in names))


def names(
    descriptions: Sequence[str | None], given: Sequence[str] | None = None, path: object = "image"
) -> list[str]:
    """Name of each band: the user's list, else the file's descriptions, else '1', '2', ...

    Raises InputError where the list has another length than the file, or a name stands twice.
    """
    if given and len(given) != len(descriptions):
        raise InputError(
            f"{path}: {len(descriptions)} bands, but --bands names {len(given)} ({', '.join(given)})"
        )
    named = [
        canonical(name or "") or str(i) for i, name in enumerate(given or descriptions, start=1)
    ]
    if len(set(named)) < len(named):
        if given:
            raise InputError(
                f"--bands: a name stands twice in {', '.join(named)}; each band has a name of its own"
            )
        return [
            str(i) for i in range(1, len(named) + 1)
        ]  # descriptions such as 'Layer', 'Layer': no names at all
    return named


def pair(index: str) -> tuple[str, str]:
    """The two bands of an index; those of 'NDVI@2' are 'NIR@2' and 'Red@2'."""
    name, at, date = index.partition("@")
    a, b = INDICES[name]
    return a + at + date, b + at + date


def available(bands: Sequence[str]) -> list[str]:
    """The indices whose two bands are both there, date by date, in the order of INDICES."""
    return [
        name + date
        for date in dates(bands)
        for name in INDICES
        if set(pair(name + date)) <= set(bands)
    ]


def order(wanted: Sequence[str], found: Sequence[str], path: object = "image") -> list[int]:
    """Band numbers (from 1) in `found` that give the bands `wanted`, matched by name where the file
    names them.

    A file may have more bands than are wanted if it names these. Raises InputError where the counts
    differ, naming both, or where named bands are not the wanted ones.
    """
    numbered = all(name.partition("@")[0].isdecimal() for name in wanted)
    if set(wanted) <= set(found) and (len(found) == len(wanted) or not numbered):
        return [found.index(name) + 1 for name in wanted]
    if len(found) != len(wanted):
        missing = [name for name in wanted if name not in found]
        named = any(name in found for name in wanted) and not numbered
        raise InputError(
            f"{path}: {len(found)} bands ({', '.join(found)}), but the checkpoint was trained on "
            f"{len(wanted)} ({', '.join(wanted)}); "
            + (
                f"{', '.join(missing)} cannot be done without"
                if named
                else "give an image with these bands, or --bands"
            )
        )
    if any(name in ALIASES for name in found) and any(name in ALIASES for name in wanted):
        strange = ", ".join(name for name in found if name not in wanted)
        raise InputError(
            f"{path}: has the bands {', '.join(found)}, but the checkpoint was trained on {', '.join(wanted)}; "
            f"{strange} cannot stand in for another band; if the names are wrong, give --bands as numbers"
        )
    return list(range(1, len(wanted) + 1))  # unnamed on one side: trust the order


def contradictions(found: Sequence[str], called: Sequence[str]) -> list[tuple[int, str, str]]:
    """(number from 1, name, other name) of the bands that two lists call by different names of
    known bands.
    """
    return [
        (number, one, other)
        for number, (one, other) in enumerate(zip(found, called), start=1)
        if one != other and {one.partition("@")[0], other.partition("@")[0]} <= ALIASES.keys()
    ]


def select(
    wanted: Sequence[str],
    descriptions: Sequence[str | None],
    path: object = "image",
    given: Sequence[str] | None = None,
    dates: int = 1,
    by_hand: bool = False,
) -> list[int]:
    """Band numbers (from 1) of an image that give the bands `wanted`, of which `given` may tell the
    names or numbers.

    `given` counts the bands of one date; `by_hand` says that `wanted` too was named by hand, in
    training. Raises InputError as `order` does, and where names contradict each other: none is
    believed more than another, for bands that change places leave no trace but a bad map.
    """
    found = names(descriptions, path=path)
    each = len(descriptions) // dates
    if given and all(text.isdecimal() for text in given):
        numbers = [int(text) for text in given]
        if len(numbers) * dates != len(wanted) or not all(
            1 <= number <= each for number in numbers
        ):
            raise InputError(
                f"{path}: --bands {' '.join(given)}: give {len(wanted) // dates} numbers from 1 to {each}, for "
                f"{', '.join(wanted[: len(wanted) // dates])}"
            )
        return [number + each * date for date in range(dates) for number in numbers]
    advice = (
        "if the file is wrong, give --bands as numbers: the file's band for each of "
        + ", ".join(wanted)
    )
    if given:
        called = names(descriptions, dated(given, dates), path)
        for number, theirs, ours in contradictions(found, called):
            raise InputError(
                f"{path}: band {number} is {ours} by --bands, but {theirs} by the file; {advice}"
            )
        return order(wanted, called, path)
    numbers = order(wanted, found, path)
    if by_hand and numbers != sorted(numbers):
        raise InputError(
            f"{path}: its bands are named {', '.join(found)}, but --bands in training named them {', '.join(wanted)}; "
            f"give --bands; {advice}"
        )
    return numbers


def normalized_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a - b) / (a + b) in float32, 0 where the denominator is 0; integers are widened first (no
    overflow).
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    total = a + b
    return np.divide(a - b, total, out=np.zeros_like(total), where=total != 0)


def stack(image: np.ndarray, bands: Sequence[str], indices: Sequence[str]) -> np.ndarray:
    """Bands (C, H, W) of any number type to (C + indices, H, W) float32, the indices behind the
    bands.

    In memory a pixel's channels lie together, as in prepared scenes, and as convolutions want them.
    """
    stacked = np.moveaxis(
        np.empty((*image.shape[1:], len(bands) + len(indices)), np.float32), -1, 0
    )
    stacked[: len(bands)] = image
    for plane, (a, b) in zip(stacked[len(bands) :], map(pair, indices)):
        plane[:] = normalized_difference(stacked[bands.index(a)], stacked[bands.index(b)])
    return stacked


def rgb(bands: Sequence[str]) -> list[int]:
    """Positions (from 0) of the bands to show as red, green and blue."""
    if {"Red", "Green", "Blue"} <= set(bands):
        return [list(bands).index(name) for name in ("Red", "Green", "Blue")]
    return [min(i, len(bands) - 1) for i in range(3)]
