"""The scene classification (SCL) of Sentinel-2 Level-2A: a class of 0 to 11 for each pixel.

    0 no data            3 cloud shadow    6 water                        9 cloud, high probability
    1 saturated          4 vegetation      7 unclassified                10 thin cirrus
    2 dark, shadow       5 no vegetation   8 cloud, medium probability   11 snow or ice

It is a file of a product (data/raster/safe.py), or a band named SCL of another image, such as those
of Earth Engine. Its numbers are names of classes, and no measurements. So it is no input of the
network. --keep-share and --oversample-share choose windows by it (data/training/share_rules.py).

Source: Sentinel-2 Level-2A Algorithm Theoretical Basis Document, S2-PDGS-MPC-ATBD-L2A, section 3.
Read beside it: tests/data/training/test_scl.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.files import InputError
from data.raster.safe import SCL
from data.scaling import valid_pixels

LAST = 11
REMARK = f"the band {SCL} holds classes, so it is no input band; --keep-share can use it"


def _is_scl(name: str | None) -> bool:
    """Return whether this is the name of SCL, also of a later date: SCL@2."""
    return (name or "").partition("@")[0].strip().upper() == SCL


def without(names: Sequence[str]) -> list[str]:
    """Return the names of the other bands.

    >>> without(["Red", "NIR", "SCL"])
    ['Red', 'NIR']
    """
    return [name for name in names if not _is_scl(name)]


def positions(
    descriptions: Sequence[str | None], named: Sequence[str] | None, dates: int
) -> tuple[int, ...]:
    """Find the bands that are SCL. An image with no other bands has none.

    Args:
        descriptions: The names of the bands of all dates in the file.
        named: The option --bands. If it names all bands of a date, its names count.
        dates: Number of stacked dates.

    >>> positions(["Red", "SCL", "Red@2", "SCL@2"], None, 2)
    (1, 3)
    """
    names = list(named) * dates if named and len(named) * dates == len(descriptions) else None
    found = [_is_scl(name) for name in names or descriptions]
    return () if all(found) else tuple(np.flatnonzero(found).tolist())


def classes(stored: np.ndarray, nodata: float | None, path: Path) -> np.ndarray:
    """Convert the numbers of SCL in an image to uint8.

    Args:
        stored: (dates, h, w).
        nodata: The no-data value of the image; pixels of it become 0, as NaN does.
        path: The image, for the error.

    Raises:
        InputError: A number is no class.
    """
    known = np.stack([valid_pixels(plane[None], nodata) for plane in stored])
    codes = np.where(known, stored, 0)
    strange = codes[~np.isin(codes, range(LAST + 1))]
    if strange.size:
        raise InputError(
            f"{path}: the band {SCL} holds {strange.flat[0]:g}, expected a class of 0 to {LAST}; "
            "give the band as it was delivered, with no scale"
        )
    return codes.astype(np.uint8)
