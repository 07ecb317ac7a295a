"""Names of bands (channels of an image), and spectral indices that are computed from them.

A normalised difference index contrasts two bands whose ratio is typical of a material:

    index = (a - b) / (a + b), 0 where a + b = 0

    NDVI    NIR, Red     vegetation     Rouse and others 1974
    NDTI    SWIR1, SWIR2 tillage, soil  Van Deventer and others 1997
    NDVIre  RE1, Red     vegetation     as Gitelson and Merzlyak 1994, who take 750 and 705 nm
    MNDWI   Green, SWIR1 open water     Xu 2006

Convolutions can only approximate such ratios. Whether they help a network must be tried
(tests/exercises/experiments.py). NIR is the near infrared, SWIR the short-wave infrared, RE the red
edge between Red and NIR.

Images of several dates of one place can be stacked (data/input/stack.py). The red band of the
second date is then named `Red@2`. The index `NDVI@2` is computed from `NIR@2` and `Red@2`.

Read beside it: tests/data/test_bands.py.
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

# Sentinel-2's bands: the name used here, the numbers in ESA's products, other names in files.
ALIASES = {
    "Coastal": ("B1", "B01", "coastal aerosol", "aerosols"),
    "Blue": ("B2", "B02", "B"),
    "Green": ("B3", "B03", "G"),
    "Red": ("B4", "B04", "R"),
    "RE1": ("B5", "B05", "red edge 1", "vegetation red edge 1"),
    "RE2": ("B6", "B06", "red edge 2", "vegetation red edge 2"),
    "RE3": ("B7", "B07", "red edge 3", "vegetation red edge 3"),
    "NIR": ("B8", "B08", "near infrared"),
    "RE4": ("B8A", "red edge 4", "narrow NIR", "nir08", "B8A NIR", "vegetation red edge 4"),
    "WV": ("B9", "B09", "water vapour", "water vapor", "nir09"),
    "Cirrus": ("B10",),
    "SWIR1": ("B11", "SWIR 1", "short wave infrared 1", "swir16"),
    "SWIR2": ("B12", "SWIR 2", "short wave infrared 2", "swir22"),
}


def _plain(name: str) -> str:
    """Remove case, spaces and punctuation from a name: 'SWIR_1' and 'swir 1' become 'swir1'."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


_CANONICAL = {
    _plain(alias): name for name, aliases in ALIASES.items() for alias in (name, *aliases)
}


# A word with the number of the band in its file: 'B4_Red_Edge_1', '04 - Red', 'Red (B4)'. The word
# counts, because authors number their own bands. 'SR_B4' of Landsat is no such name.
_NUMBERED = re.compile(
    r"(?:b|band)?[\W_]*\d\d?a?[\W_]+([a-z].*)|([a-z].*?)[\W_]+(?:b|band)[\W_]*\d+a?\W*", re.I
)
_WORDS = {plain for plain in _CANONICAL if not re.fullmatch(r"[a-z]|b\d+a?", plain)}


def canonical(name: str) -> str:
    """Return the name that this project uses for a band; an unknown name is returned unchanged.

    >>> canonical("B08"), canonical("swir-1"), canonical("B7_NIR"), canonical("VV")
    ('NIR', 'SWIR1', 'NIR', 'VV')
    """
    name, at, date = name.strip().partition("@")  # 'B1@2' is Coastal of date 2, and is not B12
    plain, numbered = _plain(name), _NUMBERED.fullmatch(name)
    if plain not in _CANONICAL and numbered:
        plain = _plain(numbered[1] or numbered[2])
        plain = plain if plain in _WORDS else ""
    return _CANONICAL.get(plain, name) + at + date


def dated(names: Sequence[str], dates: int) -> list[str]:
    """Return the names of all bands of several stacked dates.

    >>> dated(["Red", "NIR"], 2)
    ['Red', 'NIR', 'Red@2', 'NIR@2']
    """
    endings = ["", *(f"@{date}" for date in range(2, dates + 1))]
    return [name + ending for ending in endings for name in names]


def dates(names: Sequence[str]) -> list[str]:
    """Return the ending of band names for each date: '' for date 1, '@2' for date 2, ..."""
    return list(dict.fromkeys("".join(name.partition("@")[1:]) for name in names))


def names(
    descriptions: Sequence[str | None], given: Sequence[str] | None = None, path: object = "image"
) -> list[str]:
    """Return the name of each band: from the user, else from the file, else '1', '2', ...

    Args:
        descriptions: The name of each band in the file, or None.
        given: The user's names (--bands), or None.
        path: The file, for messages.

    Raises:
        InputError: `given` and the file have different numbers of bands, or a name occurs twice.
    """
    if given and len(given) != len(descriptions):
        raise InputError(
            f"{path}: {len(descriptions)} bands, but --bands names {len(given)} "
            f"({', '.join(given)})"
        )
    own = [(name or "").strip() for name in given or descriptions]
    named = [canonical(name) or str(i) for i, name in enumerate(own, start=1)]
    # Of 'B1_Red' and 'B2_Red' neither is renamed.
    clash = [_NUMBERED.fullmatch(text) and named.count(name) > 1 for text, name in zip(own, named)]
    named = [text if same else name for text, name, same in zip(own, named, clash)]
    if len(set(named)) < len(named):
        if given:
            raise InputError(
                f"--bands: a name occurs twice in {', '.join(named)}; "
                "give each band a name of its own"
            )
        # Descriptions such as 'Layer', 'Layer' do not identify a band.
        return [str(i) for i in range(1, len(named) + 1)]
    return named


def contradictions(names: Sequence[str], others: Sequence[str]) -> list[tuple[int, str, str]]:
    """Return (number from 1, name, other name) of each band that two lists name differently.

    Only the names in ALIASES are compared.
    """
    return [
        (number, one, other)
        for number, (one, other) in enumerate(zip(names, others), start=1)
        if one != other and {one.partition("@")[0], other.partition("@")[0]} <= ALIASES.keys()
    ]


def pair(index: str) -> tuple[str, str]:
    """Return the two bands of an index; for 'NDVI@2' they are 'NIR@2' and 'Red@2'."""
    name, at, date = index.partition("@")
    a, b = INDICES[name]
    return a + at + date, b + at + date


def available(bands: Sequence[str]) -> list[str]:
    """Return the indices whose two bands are in `bands`, date by date in the order of INDICES."""
    return [
        name + date
        for date in dates(bands)
        for name in INDICES
        if set(pair(name + date)) <= set(bands)
    ]


def normalized_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return (a - b) / (a + b) in float32, and 0 where a + b is 0.

    Integers are converted first, so that they do not overflow.
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    total = a + b
    # A division with `where` takes three times as long as one of all pixels.
    with np.errstate(divide="ignore", invalid="ignore"):
        index = (a - b) / total
    return np.where(total == 0, np.float32(0), index)


def stack(image: np.ndarray, bands: Sequence[str], indices: Sequence[str]) -> np.ndarray:
    """Append spectral indices to the bands of an image.

    Args:
        image: (bands, height, width) of any dtype.
        bands: Names of the bands.
        indices: Names of the indices to append.

    Returns:
        (bands + indices, height, width) float32. The channels of a pixel are neighbours in memory
        (channels last). Prepared scenes have this layout, and convolutions are fastest with it.
    """
    stacked = np.moveaxis(
        np.empty((*image.shape[1:], len(bands) + len(indices)), np.float32), -1, 0
    )
    stacked[: len(bands)] = image
    for plane, (a, b) in zip(stacked[len(bands) :], map(pair, indices)):
        plane[:] = normalized_difference(image[bands.index(a)], image[bands.index(b)])
    return stacked


def rgb(bands: Sequence[str]) -> list[int]:
    """Return the positions (from 0) of the bands to show as red, green and blue.

    If the image has no bands of these names, return the first three bands.
    """
    if {"Red", "Green", "Blue"} <= set(bands):
        return [list(bands).index(name) for name in ("Red", "Green", "Blue")]
    return [min(i, len(bands) - 1) for i in range(3)]
