"""An image for prediction, converted to the bands and the unit that the network was trained on.

A network has learned from numbers of a certain unit and pixels of a certain size. Four differences
spoil the map without an error:

    bands       In another order or under other names: matched by name, else given by --bands
                (selection.py).
    offset      Sentinel-2 numbers since processing baseline 04.00 (January 2022) are 1000 too high:
                corrected by --offset -1000.
    unit        Reflectance 0.07 in one file is 700 in another: a factor of 10,000 is detected,
                applied and reported.
    resolution  A difference of more than a quarter is reported.

Read beside it: tests/data/input/test_inputs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import bands
from data.classes import ClassTable
from data.files import InputError
from data.grid import Grid, Window
from data.input import selection
from data.input.stack import Stack, open_image
from data.raster import Raster
from data.raster.ground import pixel_areas
from data.raster.safe import Safe, is_safe
from data.scaling import LIMITS, Scaling, sample_pixels, valid_pixels

REFLECTANCE = 10_000
FAR = 100  # scenes differ by less, and the two units by more: half way to 10,000 on a log scale
COLOURS = 255  # largest number of uint8 colours, which are in neither unit
TOLERANCE = 0.25
SIDE, ACROSS = 32, 8  # the unit is detected in 8 x 8 windows of 32 x 32 pixels


def ground_resolution(grid: Grid) -> float | None:
    """Return the square root of the middle pixel's area in metres; None without a CRS."""
    if grid.crs is None:
        return None
    middle = grid.window(Window(grid.height // 2, grid.width // 2, 1, 1))
    return float(np.sqrt(pixel_areas(middle)[0, 0]))


class Wanted(NamedTuple):
    """The input that a network expects, from its checkpoint."""

    bands: list[str]
    dates: int
    nodata: float | None
    scaling: Scaling
    resolution: float | None
    named_by_hand: bool

    @classmethod
    def of(cls, checkpoint: dict) -> Wanted:
        """Read it from a loaded checkpoint; older checkpoints have neither dates nor resolution."""
        return cls(
            bands=checkpoint["bands"],
            dates=checkpoint.get("dates", 1),
            nodata=checkpoint.get("nodata"),
            scaling=Scaling.from_state(checkpoint["scaling"]),
            resolution=checkpoint.get("resolution"),
            named_by_hand=bool((checkpoint.get("settings") or {}).get("bands")),
        )


class Input:
    """The image of one place with the bands, order and unit that a network expects.

    It is read like `Raster`. Its numbers are (number + offset) * gain; where that changes them,
    they are float32, and NaN without data. The sum of an integer and an offset is at least 1: it
    stands for a reflectance, which is positive, and an index of negative numbers has no meaning.

    Args:
        paths: The image, or one image for each date.
        wanted: The input that the network expects.
        given: --bands.
        offset: --offset, added to every number.
        nodata: --nodata; goes before the values of the training and of the image.

    Attributes:
        remarks: Lines for the user.

    Raises:
        InputError: The image cannot be converted.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        wanted: Wanted,
        given: Sequence[str] | None = None,
        offset: float = 0,
        nodata: float | None = None,
    ) -> None:
        if offset and any(map(is_safe, paths)):
            raise InputError(
                f"{paths[0]}: --offset {offset:g}: a SAFE folder has its own offset; leave it out"
            )
        by_hand = wanted.nodata if nodata is None else nodata
        with ExitStack() as opened:
            raster = self._raster = opened.enter_context(open_image(paths, by_hand))
            self._nodata = raster.nodata if by_hand is None else by_hand
            self._numbers = selection.select(
                wanted.bands,
                raster.descriptions,
                raster.path,
                given,
                wanted.dates,
                wanted.named_by_hand,
            )
            self._offset = offset
            self._gain = gain_to(raster, self._numbers, self._nodata, wanted.scaling)
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags = raster.path, raster.grid, raster.geo_tags
        self.count, self.descriptions = len(wanted.bands), tuple(wanted.bands)
        self.block_shape, self.colormap = raster.block_shape, None
        self._unchanged = self._gain == 1 and not offset
        self.dtype = raster.dtype if self._unchanged else np.dtype(np.float32)
        self.nodata = self._nodata if self._unchanged else None
        self.remarks = self._remarks(paths, wanted)

    def _remarks(self, paths: Sequence[Path], wanted: Wanted) -> list[str]:
        """Lines for the user: stacked dates, a changed unit, another resolution."""
        remarks = []
        if len(paths) > 1:
            names = " + ".join(path.name for path in paths)
            remarks.append(f"{names}: dates of one place, in this order")
        if self._gain != 1:
            unit, other = ("reflectance", "ten thousandths")[:: 1 if self._gain > 1 else -1]
            remarks.append(
                f"{self.path}: holds {unit}, the training {other}: multiplied by {self._gain:g}"
            )
        found = ground_resolution(self.grid)
        if found and wanted.resolution and abs(found / wanted.resolution - 1) > TOLERANCE:
            remarks.append(
                f"{self.path}: pixels of {found:.3g} m on the ground, and the network learned from "
                f"{wanted.resolution:.3g} m; the map will be poor, better resample the image"
            )
        return remarks

    def __enter__(self) -> Input:
        return self

    def __exit__(self, *error) -> None:
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window (bands, height, width), see `Raster.read`; bands are the network's."""
        chosen = self._numbers if bands is None else [self._numbers[band - 1] for band in bands]
        numbers = self._raster.read(window, chosen)
        if self._unchanged:
            return numbers
        values = numbers.astype(np.float32) + np.float32(self._offset)
        if self._offset and numbers.dtype.kind in "iu":
            values = np.maximum(values, 1)
        valid = valid_pixels(numbers, self._nodata)
        return np.where(valid, values * np.float32(self._gain), np.float32(np.nan))


def gain_to(
    raster: Raster | Stack | Safe, numbers: list[int], nodata: float | None, scaling: Scaling
) -> float:
    """Detect an image in reflectance where the training was in ten thousandths, or the reverse.

    Pixels are read only where the image's dtype and the training's range make it possible.

    Args:
        raster: The image.
        numbers: The image's bands from 1, in the network's order.
        nodata: The image's no-data value, or None.
        scaling: The scaling of the training.

    Returns:
        10,000, 1 / 10,000, or 1.
    """
    if scaling.method == "image":  # it scales each image by itself, in any unit
        return 1.0
    deviations = 2 if scaling.method == "standard" else 1
    high = np.array(scaling.offset) + np.array(scaling.scale) * deviations
    trained = float(np.median(high[: len(numbers)]))
    in_floats = raster.dtype.kind == "f"
    if in_floats and trained <= COLOURS:
        return 1.0
    if not in_floats and (trained >= COLOURS / FAR or raster.dtype.itemsize == 1):
        return 1.0
    found = _high_percentile(raster, numbers, nodata)
    if found is None:
        return 1.0
    if in_floats:
        return float(REFLECTANCE) if found < trained / FAR else 1.0
    return 1 / REFLECTANCE if found > trained * FAR else 1.0


def _high_percentile(
    raster: Raster | Stack | Safe, numbers: list[int], nodata: float | None
) -> float | None:
    """The median over the bands of the 99th percentile of a sample; None without a valid pixel."""
    height, width = min(SIDE, raster.grid.height), min(SIDE, raster.grid.width)
    rows = np.linspace(0, raster.grid.height - height, ACROSS).astype(int).tolist()
    cols = np.linspace(0, raster.grid.width - width, ACROSS).astype(int).tolist()
    windows = dict.fromkeys(Window(row, col, height, width) for row in rows for col in cols)
    names = [str(number) for number in numbers]
    readers = [(lambda w: raster.read(w, numbers), w) for w in windows]
    pixels = sample_pixels(readers, names, [], nodata)
    return float(np.median(np.percentile(pixels, 99, axis=1))) if pixels.size else None


def recipe(checkpoint: dict, table: ClassTable) -> dict:
    """Describe a network's input and output as plain values, for programs other than this one."""
    scaling, indices = checkpoint["scaling"], checkpoint["indices"]
    return {
        "bands": checkpoint["bands"],
        "dates": checkpoint.get("dates", 1),
        "resolution_metres": checkpoint.get("resolution"),
        "indices": {index: bands.pair(index) for index in indices},
        "index": "(a - b) / (a + b) of its two bands, 0 where the sum is 0; "
        "indices follow the bands",
        "scaling": {**scaling, "limits": LIMITS[scaling["method"]]},
        "scale": "(number - offset) / scale of each band and index, held in the limits",
        "nodata": "pixels without data are 0 in every band and index after scaling",
        "classes": [
            {"label": label, "name": name, "code": code, "color": "#%02X%02X%02X" % tuple(color)}
            for label, (name, code, color) in enumerate(zip(table.names, table.codes, table.colors))
        ],
    }
