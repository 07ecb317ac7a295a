"""An image for prediction, converted to the bands and the unit that the network was trained on.

A network learns from pixel values of one unit and from pixels of one size. An image that differs in
one of four properties would get a poor map without any error:

    bands       Bands in another order are matched by name. Other names are given by --bands
                (selection.py).
    offset      Sentinel-2 values since processing baseline 04.00 (January 2022) are 1000 too high.
                --offset -1000 corrects them.
    unit        Reflectance 0.07 in one file is 700 in another. A factor of 10,000 is detected,
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
from data.input.stack import Image, open_image
from data.raster.ground import pixel_areas
from data.raster.safe import is_safe
from data.scaling import LIMITS, Scaling, sample_pixels, valid_pixels

REFLECTANCE = 10_000
# Images differ in unit if their values differ by more than this factor. Scenes of one unit differ
# by less. On a log scale it is half way to 10,000.
FAR = 100
COLOURS = 255  # largest value of 8-bit colours, which are in neither unit
TOLERANCE = 0.25  # largest relative difference in resolution that is not reported
SIDE, ACROSS = 32, 8  # the unit is detected in 8 x 8 windows of 32 x 32 pixels


def ground_resolution(grid: Grid) -> float | None:
    """Return the square root of the middle pixel's area in metres; None without a CRS."""
    if grid.crs is None:
        return None
    middle = grid.window(Window(grid.height // 2, grid.width // 2, 1, 1))
    return float(np.sqrt(pixel_areas(middle)[0, 0]))


class Expected(NamedTuple):
    """The input that a network expects, from its checkpoint."""

    bands: list[str]
    dates: int
    nodata: float | None
    scaling: Scaling
    resolution: float | None  # in metres
    named_by_user: bool  # whether --bands named the bands in training

    @classmethod
    def of(cls, checkpoint: dict) -> Expected:
        """Read it from a loaded checkpoint; older checkpoints have neither dates nor resolution."""
        return cls(
            bands=checkpoint["bands"],
            dates=checkpoint.get("dates", 1),
            nodata=checkpoint.get("nodata"),
            scaling=Scaling.from_state(checkpoint["scaling"]),
            resolution=checkpoint.get("resolution"),
            named_by_user=bool((checkpoint.get("settings") or {}).get("bands")),
        )


class Input:
    """The image of one place with the bands, order and unit that a network expects.

    It is read like `Raster`. A value of the file becomes (value + offset) * gain. Values that this
    changes are float32, and no-data is then NaN. An integer plus an offset is at least 1, since it
    stands for a reflectance. Reflectances are positive, and a spectral index of negative values has
    no meaning.

    Args:
        paths: The image, or one image for each date.
        expected: The input that the network expects.
        given: The option --bands.
        offset: The option --offset, added to every value.
        nodata: The option --nodata. It replaces the no-data values of the training and the image.

    Attributes:
        remarks: Lines for the user.

    Raises:
        InputError: The image cannot be converted.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        expected: Expected,
        given: Sequence[str] | None = None,
        offset: float = 0,
        nodata: float | None = None,
    ) -> None:
        if offset and any(map(is_safe, paths)):
            raise InputError(
                f"{paths[0]}: --offset {offset:g}: a SAFE folder has its own offset; leave it out"
            )
        nodata = expected.nodata if nodata is None else nodata
        with ExitStack() as opened:
            raster = self._raster = open_image(paths, nodata)
            opened.enter_context(raster)
            self._nodata = raster.nodata if nodata is None else nodata
            self._numbers = selection.select(
                expected.bands,
                raster.descriptions,
                raster.path,
                given,
                expected.dates,
                expected.named_by_user,
            )
            self._offset = offset
            self._gain = gain_to(raster, self._numbers, self._nodata, expected.scaling)
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags = raster.path, raster.grid, raster.geo_tags
        self.count, self.descriptions = len(expected.bands), tuple(expected.bands)
        self.block_shape, self.colormap = raster.block_shape, None
        self._unchanged = self._gain == 1 and not offset
        self.dtype = raster.dtype if self._unchanged else np.dtype(np.float32)
        self.nodata = self._nodata if self._unchanged else None
        self.remarks = self._remarks(paths, expected)

    def _remarks(self, paths: Sequence[Path], expected: Expected) -> list[str]:
        """Return lines for the user: stacked dates, a changed unit, another resolution."""
        remarks = []
        if len(paths) > 1:
            names = " + ".join(path.name for path in paths)
            remarks.append(f"{names}: dates of one place, in this order")
        if self._gain != 1:
            units = "reflectance", "reflectance x 10,000"
            own, other = units if self._gain > 1 else reversed(units)
            remarks.append(
                f"{self.path}: is in {own}, the training images are in {other}: multiplied by "
                f"{self._gain:g}"
            )
        own_size, size = ground_resolution(self.grid), expected.resolution
        if own_size and size and abs(own_size / size - 1) > TOLERANCE:
            remarks.append(
                f"{self.path}: pixels of {own_size:.3g} m on the ground, but the network was "
                f"trained on {size:.3g} m; resample the image for a better map"
            )
        return remarks

    def __enter__(self) -> Input:
        return self

    def __exit__(self, *error) -> None:
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window (bands, height, width) like `Raster.read`, by the network's band order."""
        chosen = self._numbers if bands is None else [self._numbers[band - 1] for band in bands]
        stored = self._raster.read(window, chosen)
        if self._unchanged:
            return stored
        values = stored.astype(np.float32) + np.float32(self._offset)
        if self._offset and stored.dtype.kind in "iu":
            values = np.maximum(values, 1)
        valid = valid_pixels(stored, self._nodata)
        return np.where(valid, values * np.float32(self._gain), np.float32(np.nan))


def gain_to(raster: Image, numbers: list[int], nodata: float | None, scaling: Scaling) -> float:
    """Compute the factor from the unit of an image to the unit of the training.

    One may be in reflectance and the other in reflectance x 10,000. Pixels are read only if the
    dtype of the image and the range of the training allow different units.

    Args:
        raster: The image.
        numbers: The image's bands from 1, in the network's order.
        nodata: The image's no-data value, or None.
        scaling: The scaling of the training.

    Returns:
        10,000, 1 / 10,000, or 1.
    """
    # This method scales each image by itself, in any unit.
    if scaling.method == "image":
        return 1.0
    deviations = 2 if scaling.method == "standard" else 1
    high = np.array(scaling.offset) + np.array(scaling.scale) * deviations
    trained = float(np.median(high[: len(numbers)]))
    in_floats = raster.dtype.kind == "f"
    if in_floats and trained <= COLOURS:
        return 1.0
    if not in_floats and (trained >= COLOURS / FAR or raster.dtype.itemsize == 1):
        return 1.0
    typical = _high_percentile(raster, numbers, nodata)
    if typical is None:
        return 1.0
    if in_floats:
        return float(REFLECTANCE) if typical < trained / FAR else 1.0
    return 1 / REFLECTANCE if typical > trained * FAR else 1.0


def _high_percentile(raster: Image, numbers: list[int], nodata: float | None) -> float | None:
    """Return the median over the bands of a sample's 99th percentile; None without valid pixels."""
    height, width = min(SIDE, raster.grid.height), min(SIDE, raster.grid.width)
    rows = np.linspace(0, raster.grid.height - height, ACROSS).astype(int).tolist()
    cols = np.linspace(0, raster.grid.width - width, ACROSS).astype(int).tolist()
    windows = dict.fromkeys(Window(row, col, height, width) for row in rows for col in cols)
    names = [str(number) for number in numbers]
    readers = [(lambda w: raster.read(w, numbers), w) for w in windows]
    pixels = sample_pixels(readers, names, [], nodata)
    return float(np.median(np.percentile(pixels, 99, axis=1))) if pixels.size else None


def recipe(checkpoint: dict, table: ClassTable) -> dict:
    """Describe a network's input and output as plain values, for other programs."""
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
