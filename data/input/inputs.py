"""An image for prediction, converted to the bands and the unit that the network was trained on.

A network learns from pixel values of one unit and from pixels of one size. An image that differs in
one of four properties would get a poor map without any error:

    bands       Bands in another order are matched by name. Other names are given by --bands
                (selection.py).
    offset      Sentinel-2 values since processing baseline 04.00 (January 2022) are 1000 too high.
                --offset -1000 corrects them.
    unit        Reflectance 0.07 in one file is 700 in another. A factor of 10,000 is detected,
                applied and reported. Other numbers outside the training are reported (units.py).
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
from data.input import selection, units
from data.input.stack import open_image
from data.raster.ground import pixel_areas
from data.raster.safe import is_safe
from data.scaling import LIMITS, Scaling

TOLERANCE = 0.25  # largest relative difference in resolution that is not reported
EQUATOR = 6_378_137  # metres: radius of the earth at the equator


def ground_resolution(grid: Grid) -> float | None:
    """Return the square root of the middle pixel's area in metres; None without a CRS."""
    if grid.crs is None:
        return None
    middle = grid.window(Window(grid.height // 2, grid.width // 2, 1, 1))
    return float(np.sqrt(pixel_areas(middle)[0, 0]))


def crs_resolution(grid: Grid) -> float | None:
    """Return the side of a pixel in metres as its CRS counts them; None without a CRS.

    A program such as QGIS measures so. On the ground, 10 m of EPSG:3857 may be 6.7 m. A degree of a
    geographic CRS is one of the equator.
    """
    if grid.crs is None:
        return None
    a, b, _, d, e, _ = grid.transform
    unit = grid.crs.axis_info[0].unit_conversion_factor  # to metres, or to radians
    return float(np.sqrt(abs(a * e - b * d)) * unit * (EQUATOR if grid.crs.is_geographic else 1))


class Expected(NamedTuple):
    """The input that a network expects, from its checkpoint."""

    bands: list[str]
    dates: int
    nodata: float | None
    scaling: Scaling
    resolution: float | None  # in metres
    named_by_user: bool  # whether --bands named the bands in training
    offset: float = 0  # the option --offset of the training

    @classmethod
    def of(cls, checkpoint: dict) -> Expected:
        """Read it from a loaded checkpoint; older checkpoints have neither dates nor resolution.

        Raises:
            InputError: An index is unknown, or a band of it is missing.
        """
        strange = set(checkpoint["indices"]) - set(bands.available(checkpoint["bands"]))
        if strange:
            raise InputError(
                f"the checkpoint has indices that cannot be computed from its bands: "
                f"{', '.join(map(repr, sorted(strange)))}; give another checkpoint, or update this "
                "program"
            )
        settings = checkpoint.get("settings") or {}
        return cls(
            bands=checkpoint["bands"],
            dates=checkpoint.get("dates", 1),
            nodata=checkpoint.get("nodata"),
            scaling=Scaling.from_state(checkpoint["scaling"]),
            resolution=checkpoint.get("resolution"),
            named_by_user=bool(settings.get("bands")),
            offset=settings.get("offset", 0),
        )


class Input:
    """The image of one place with the bands, order and unit that a network expects.

    It is read like `Raster`. `units.Unit` says how its numbers are converted.

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
        refuse_offset(offset, paths)
        nodata = expected.nodata if nodata is None else nodata
        each = expected.bands[: len(expected.bands) // expected.dates]
        asked = selection.asked(each, given)
        with ExitStack() as opened:
            raster = self._raster = open_image(paths, nodata, asked)
            opened.enter_context(raster)
            self._numbers = selection.select(
                expected.bands,
                raster.descriptions,
                raster.path,
                given,
                expected.dates,
                expected.named_by_user,
            )
            sample = units.take_sample(raster, self._numbers, raster.nodata)
            self._opened = opened.pop_all()
        fills = units.filled(units.fill_values(sample))
        gains = units.date_gains(sample, len(paths), raster.dtype, expected.scaling)
        self._unit = units.Unit(offset, gains, raster.nodata)
        self.path, self.grid, self.geo_tags = raster.path, raster.grid, raster.geo_tags
        self.count, self.descriptions = len(expected.bands), tuple(expected.bands)
        self.block_shape, self.colormap = raster.block_shape, None
        unchanged = self._unit.unchanged
        self.dtype = raster.dtype if unchanged else np.dtype(np.float32)
        self.nodata = raster.nodata if unchanged else None
        self.remarks = self._remarks(paths, expected)
        self.remarks += [f"{path}: {text}" for path, text in raster.remarks]
        self.remarks += [f"{self.path}: {text}" for text in fills]
        converted = self._unit.apply(sample[:, None])[:, 0]
        if away := units.outside(converted, expected.bands, expected.scaling):
            self.remarks.append(f"{self.path}: {away}")
        if not given:
            self.remarks += selection.assumed(expected.bands, raster.descriptions, self._numbers)

    def _remarks(self, paths: Sequence[Path], expected: Expected) -> list[str]:
        """Return lines for the user: stacked dates, another unit, offset or resolution."""
        remarks = []
        if len(paths) > 1:
            names = " + ".join(path.name for path in paths)
            remarks.append(f"{names}: dates of one place, in this order")
        for path, gain in zip(paths, self._unit.gains[:: self.count // len(paths)]):
            if gain != 1:
                remarks.append(f"{path}: {units.in_other_unit(gain)}")
        if expected.offset and not self._unit.offset and not any(map(is_safe, paths)):
            remarks.append(
                f"--offset {expected.offset:g} was given in training and is not given now; give it "
                "for images whose numbers are as high as those of the training"
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
        chosen = range(self.count) if bands is None else [band - 1 for band in bands]
        stored = self._raster.read(window, [self._numbers[position] for position in chosen])
        return self._unit.apply(stored, chosen)


def refuse_offset(offset: float, paths: Sequence[Path]) -> None:
    """Raise InputError where --offset is given for a SAFE folder."""
    for path in paths if offset else ():
        if is_safe(path):
            raise InputError(
                f"{path}: --offset {offset:g}: a SAFE folder has its own offset; leave it out"
            )


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
        "nodata": "pixels without data are 0 in every band and index after scaling; a declared "
        "no-data value in one band is 0 in that band and its indices",
        "classes": [
            {"label": label, "name": name, "code": code, "color": "#%02X%02X%02X" % tuple(color)}
            for label, (name, code, color) in enumerate(zip(table.names, table.codes, table.colors))
        ],
    }
