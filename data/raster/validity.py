"""Which pixels of a raster hold data, as the file and the files beside it tell.

    no-data value     a number that stands for "no data", one for all bands (data/scaling.py)
    NODATA_VALUES     an item of GDAL's metadata with a number for each band: a pixel has no data
                      where all bands have theirs
    dataset mask      a page of the TIFF file, or the file `<name>.msk` beside the image: no data
                      where it is 0
    alpha band        the opacity of a pixel: no data where it is 0

`Raster.valid` takes them together: a pixel has data if none of them denies it. Only windows are
read, never a whole mask.

Specification: TIFF 6.0 (1992), sections 8 and 18; gdal.org, RFC 15 "Band Masks". Read
tests/data/raster/test_validity.py beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

VALUES = "NODATA_VALUES"
ALPHA_SAMPLES = (1, 2)  # values of ExtraSamples: opacity, with colours multiplied by it or not


def alpha_band(count: int, extra_samples: Sequence[int]) -> int | None:
    """Return the number of the alpha band of a TIFF page: its last band, if declared so.

    A page with nothing but alpha has no such band.
    """
    return count if count > 1 and extra_samples and extra_samples[-1] in ALPHA_SAMPLES else None


def sidecar(path: Path) -> Path | None:
    """Find the file with the mask beside an image."""
    candidates = (path.with_name(path.name + suffix) for suffix in (".msk", ".MSK"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def value_by_band(items: Mapping[str, str], count: int) -> tuple[np.ndarray | None, list[str]]:
    """Parse the item NODATA_VALUES.

    Returns:
        (count,) float, or None without the item; and a remark if it cannot be understood.
    """
    if VALUES not in items:
        return None, []
    try:
        values = np.array(items[VALUES].split(), float)
    except ValueError:
        values = np.empty(0)
    if len(values) == count:
        return values, []
    return None, [f"its item {VALUES} ({items[VALUES][:40]}) is not {count} numbers: not used"]


def differs(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: where pixels (C, H, W) do not all have the value (C,) of their band."""
    different = np.zeros(pixels.shape[1:], bool)
    for band, value in zip(pixels, values.tolist()):
        different |= (band != value) & ~(np.isnan(band) if np.isnan(value) else np.False_)
    return different
