"""An image as it comes, made like those that the network was trained on.

A network has learned what numbers of a certain unit and pixels of a certain size look like. Four
things make a good image a strange one, and nothing in the map tells why it is bad:

    bands       in another order, or under other names: matched by name, else given by --bands (data/bands.py)
    offset      Sentinel-2 numbers since processing baseline 04.00 (January 2022) are 1000 too high: --offset -1000
    unit        reflectance 0.07 in one file is 700 in another: a factor of 10,000 is noticed, applied and said
    resolution  a house of 2 pixels is not one of 20: said where it is off by more than a quarter

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
from data.input.stack import Stack, open_image
from data.output.areas import pixel_areas
from data.raster import Raster
from data.raster.safe import Safe, is_safe
from data.scaling import LIMITS, Scaling, sample_pixels, valid_pixels

REFLECTANCE = 10_000
FAR = 100  # no scene is so much brighter than another, and no unit so near: half way to 10,000
COLOURS = 255  # of uint8: neither unit
TOLERANCE = 0.25
SIDE, ACROSS = 32, 8  # a lattice of windows that is looked at for the unit


def ground_resolution(grid: Grid) -> float | None:
    """Side in metres of the square on the ground that is as large as the middle pixel; None without
    CRS.
    """
    if grid.crs is None:
        return None
    return float(
        np.sqrt(pixel_areas(grid.window(Window(grid.height // 2, grid.width // 2, 1, 1)))[0, 0])
    )


class Wanted(NamedTuple):
    """What a network wants to see: the part of its checkpoint that an image has to meet."""

    bands: list[str]
    dates: int
    nodata: float | None
    scaling: Scaling
    resolution: float | None
    named_by_hand: bool

    @classmethod
    def of(cls, checkpoint: dict) -> Wanted:
        """That of a loaded checkpoint; older ones know neither dates nor resolution."""
        by_hand = bool((checkpoint.get("settings") or {}).get("bands"))
        scaling, nodata = Scaling.from_state(checkpoint["scaling"]), checkpoint.get("nodata")
        return cls(
            checkpoint["bands"],
            checkpoint.get("dates", 1),
            nodata,
            scaling,
            checkpoint.get("resolution"),
            by_hand,
        )


class Input:
    """The image of one place as a network wants it, read like `geotiff.Raster`: its bands, order,
    names and unit.

    Numbers are (number + offset) * gain; where that changes any, they are float32, and NaN without
    data. Of whole numbers the sum with an offset is held at 1 or above: they stand for
    reflectances, which are positive, and an index of negative ones means nothing. `given` is
    --bands; `nodata` goes before what the training and the image say. `remarks` are lines for the
    user. Raises InputError for an image that is not what is wanted.
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
                f"{paths[0]}: --offset {offset:g}: a SAFE folder tells its offset itself; leave it out"
            )
        by_hand = wanted.nodata if nodata is None else nodata
        with ExitStack() as opened:
            raster = self._raster = opened.enter_context(open_image(paths, by_hand))
            self._nodata = raster.nodata if by_hand is None else by_hand
            self._numbers = bands.select(
                wanted.bands,
                raster.descriptions,
                raster.path,
                given,
                wanted.dates,
                wanted.named_by_hand,
            )
            self._offset, self._gain = (
                offset,
                gain_to(raster, self._numbers, self._nodata, wanted.scaling),
            )
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags, self.colormap = (
            raster.path,
            raster.grid,
            raster.geo_tags,
            None,
        )
        self.count, self.descriptions, self.block_shape = (
            len(wanted.bands),
            tuple(wanted.bands),
            raster.block_shape,
        )
        self._as_it_is = self._gain == 1 and not offset
        self.dtype = raster.dtype if self._as_it_is else np.dtype(np.float32)
        self.nodata = self._nodata if self._as_it_is else None
        together = f"{' + '.join(path.name for path in paths)}: dates of one place, in this order"
        self.remarks = [together] if len(paths) > 1 else []
        if self._gain != 1:
            unit, other = ("reflectance", "ten thousandths")[:: 1 if self._gain > 1 else -1]
            self.remarks.append(
                f"{self.path}: holds {unit}, the training {other}: multiplied by {self._gain:g}"
            )
        found = ground_resolution(self.grid)
        if found and wanted.resolution and abs(found / wanted.resolution - 1) > TOLERANCE:
            self.remarks.append(
                f"{self.path}: pixels of {found:.3g} m on the ground, and the network learned from "
                f"{wanted.resolution:.3g} m; the map will be poor, better resample the image"
            )

    def __enter__(self) -> Input:
        return self

    def __exit__(self, *error) -> None:
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Pixels (bands, height, width) of a window, or of all; bands are numbered from 1, as the
        network's are.
        """
        numbers = self._raster.read(
            window, self._numbers if bands is None else [self._numbers[b - 1] for b in bands]
        )
        if self._as_it_is:
            return numbers
        values = numbers.astype(np.float32) + np.float32(self._offset)
        if self._offset and numbers.dtype.kind in "iu":
            values = np.maximum(values, 1)
        return np.where(
            valid_pixels(numbers, self._nodata), values * np.float32(self._gain), np.float32(np.nan)
        )


def gain_to(
    raster: Raster | Stack | Safe, numbers: list[int], nodata: float | None, scaling: Scaling
) -> float:
    """10,000 or 1 / 10,000 where the image is in reflectance and the training was in ten
    thousandths, or so; else 1.

    `numbers` are the image's bands in the network's order, `scaling` is that of the training. Looks
    at pixels only where the image's type and the training's range let it be thought of.
    """
    if scaling.method == "image":  # it takes each image by itself, in whatever unit
        return 1.0
    high = np.array(scaling.offset) + np.array(scaling.scale) * (
        2 if scaling.method == "standard" else 1
    )
    trained = float(np.median(high[: len(numbers)]))
    in_floats = raster.dtype.kind == "f"
    if not (
        trained > COLOURS if in_floats else trained < COLOURS / FAR and raster.dtype.itemsize > 1
    ):
        return 1.0
    height, width = min(SIDE, raster.grid.height), min(SIDE, raster.grid.width)
    rows = np.linspace(0, raster.grid.height - height, ACROSS).astype(int).tolist()
    cols = np.linspace(0, raster.grid.width - width, ACROSS).astype(int).tolist()
    windows = dict.fromkeys(Window(row, col, height, width) for row in rows for col in cols)
    names = [str(number) for number in numbers]
    pixels = sample_pixels(
        [(lambda w: raster.read(w, numbers), w) for w in windows], names, [], nodata
    )
    if not pixels.size:
        return 1.0
    found = float(np.median(np.percentile(pixels, 99, axis=1)))
    if in_floats:
        return float(REFLECTANCE) if found < trained / FAR else 1.0
    return 1 / REFLECTANCE if found > trained * FAR else 1.0


def recipe(checkpoint: dict, table: ClassTable) -> dict:
    """How the network's input is made and what its output means, as plain values that need no
    program to be read.
    """
    scaling, indices = checkpoint["scaling"], checkpoint["indices"]
    return {
        "bands": checkpoint["bands"],
        "dates": checkpoint.get("dates", 1),
        "resolution_metres": checkpoint.get("resolution"),
        "indices": {index: bands.pair(index) for index in indices},
        "index": "(a - b) / (a + b) of its two bands, 0 where the sum is 0; indices follow the bands",
        "scaling": {**scaling, "limits": LIMITS[scaling["method"]]},
        "scale": "(number - offset) / scale of each band and index, held in the limits",
        "nodata": "pixels without data are 0 in every band and index after scaling",
        "classes": [
            {"label": label, "name": name, "code": code, "color": "#%02X%02X%02X" % tuple(color)}
            for label, (name, code, color) in enumerate(zip(table.names, table.codes, table.colors))
        ],
    }
