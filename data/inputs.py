"""An image as it comes, made like those that the network was trained on.

A network has learned what numbers of a certain unit and pixels of a certain size look like. Three things make
a good image a strange one, and nothing in the map tells why it is bad:

    offset      Sentinel-2 numbers since processing baseline 04.00 (January 2022) are 1000 too high: --offset -1000
    unit        reflectance 0.07 in one file is 700 in another: a factor of 10,000 is noticed, applied and said
    resolution  a house of 2 pixels is not one of 20: said where it is off by more than a quarter

Read beside it: tests/test_inputs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from data import bands
from data.areas import pixel_areas
from data.classes import ClassTable
from data.geotiff import Raster
from data.grid import Grid, Window
from data.scaling import LIMITS, Scaling, sample_pixels, valid_pixels

if TYPE_CHECKING:
    from data.safe import Safe
    from data.stack import Stack

REFLECTANCE = 10_000
FAR = 100  # no scene is so much brighter than another, and no unit so near: half way to 10,000
COLOURS = 255  # of uint8: neither unit
TOLERANCE = 0.25
SIDE, ACROSS = 32, 8  # a lattice of windows that is looked at for the unit


def ground_resolution(grid: Grid) -> float | None:
    """Side in metres of the square on the ground that is as large as the middle pixel; None without CRS."""
    if grid.crs is None:
        return None
    return float(np.sqrt(pixel_areas(grid.window(Window(grid.height // 2, grid.width // 2, 1, 1)))[0, 0]))


class Adjusted:
    """A raster whose numbers are (number + offset) * gain, as float32, and NaN where it has no data.

    Of whole numbers the sum is held at 1 or above: they stand for reflectances, which are positive, and an
    index of negative ones is a number without meaning. Used like `geotiff.Raster`.
    """

    def __init__(self, raster: Raster | Stack | Safe, nodata: float | None, offset: float, gain: float) -> None:
        self.raster, self._nodata, self.offset, self.gain = raster, nodata, offset, gain
        self.path, self.grid, self.count, self.descriptions = (
            raster.path,
            raster.grid,
            raster.count,
            raster.descriptions,
        )
        self.geo_tags, self.colormap, self.block_shape = raster.geo_tags, None, raster.block_shape
        self.dtype, self.nodata = np.dtype(np.float32), None

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Pixels (bands, height, width) float32."""
        numbers = self.raster.read(window, bands)
        values = numbers.astype(np.float32) + np.float32(self.offset)
        if self.offset and numbers.dtype.kind in "iu":
            values = np.maximum(values, 1)
        return np.where(valid_pixels(numbers, self._nodata), values * np.float32(self.gain), np.float32(np.nan))


def gain_to(raster: Raster | Stack | Safe, numbers: list[int], nodata: float | None, scaling: Scaling) -> float:
    """10,000 or 1 / 10,000 where the image is in reflectance and the training was in ten thousandths, or so; else 1.

    `numbers` are the image's bands in the network's order, `scaling` is that of the training. Looks at pixels only
    where the image's type and the training's range let it be thought of.
    """
    if scaling.method == "image":  # it takes each image by itself, in whatever unit
        return 1.0
    high = np.array(scaling.offset) + np.array(scaling.scale) * (2 if scaling.method == "standard" else 1)
    trained = float(np.median(high[: len(numbers)]))
    in_floats = raster.dtype.kind == "f"
    if not (trained > COLOURS if in_floats else trained < COLOURS / FAR and raster.dtype.itemsize > 1):
        return 1.0
    height, width = min(SIDE, raster.grid.height), min(SIDE, raster.grid.width)
    rows = np.linspace(0, raster.grid.height - height, ACROSS).astype(int).tolist()
    cols = np.linspace(0, raster.grid.width - width, ACROSS).astype(int).tolist()
    windows = dict.fromkeys(Window(row, col, height, width) for row in rows for col in cols)
    names = [str(number) for number in numbers]
    pixels = sample_pixels([(lambda w: raster.read(w, numbers), w) for w in windows], names, [], nodata)
    if not pixels.size:
        return 1.0
    found = float(np.median(np.percentile(pixels, 99, axis=1)))
    if in_floats:
        return float(REFLECTANCE) if found < trained / FAR else 1.0
    return 1 / REFLECTANCE if found > trained * FAR else 1.0


def recipe(checkpoint: dict, table: ClassTable) -> dict:
    """How the network's input is made and what its output means, as plain values that need no program to be read."""
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


def as_trained(
    raster: Raster | Stack | Safe,
    numbers: list[int],
    nodata: float | None,
    offset: float,
    scaling: Scaling,
    resolution: float | None,
) -> tuple[Raster | Stack | Safe | Adjusted, float | None, list[str]]:
    """(the image in the training's unit, its no-data value, remarks for the user).

    `offset` is added to the image's numbers; `resolution` is that of the training in ground metres, if known.
    """
    remarks = []
    gain = gain_to(raster, numbers, nodata, scaling)
    if gain != 1:
        unit, other = ("reflectance", "ten thousandths") if gain > 1 else ("ten thousandths", "reflectance")
        remarks.append(f"{raster.path}: holds {unit}, and the training was in {other}: multiplied by {gain:g}")
    found = ground_resolution(raster.grid)
    if found and resolution and abs(found / resolution - 1) > TOLERANCE:
        remarks.append(
            f"{raster.path}: pixels of {found:.3g} m on the ground, and the network learned from {resolution:.3g} m; "
            "the map will be poor, better resample the image"
        )
    if gain == 1 and not offset:
        return raster, nodata, remarks
    return Adjusted(raster, nodata, offset, gain), None, remarks
