"""The one door through which every image of training and prediction comes in.

A file may hold more than numbers. What it says about them is applied here, in this order:

    alpha         The band of opacity is no input band, unless --bands asks for it.
    validity      Pixels that a dataset mask or the alpha band marks as empty have no data.
    scale, offset A file that declares them holds quantity = number * scale + offset.

A file without any of these is read as it is, in its own dtype. Otherwise pixels without data get
the no-data value of the file. Where it has none, and where numbers are converted to quantities,
they are NaN in float32. So the code behind the door looks at the no-data value and NaN only.

Read beside it: tests/data/input/test_image.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data import bands
from data.grid import IDENTITY, Grid, Window
from data.raster import Raster
from data.raster.safe import Safe, is_safe
from data.scaling import held_value, valid_pixels


class Image:
    """An image file or SAFE folder, opened and read like `Raster`.

    Args:
        path: The file or folder.
        nodata: The option --nodata. It replaces the value that the file declares.
        asked: The bands of --bands, or None. Names are those of all bands that are read. Integers
            are numbers of bands in the file.
        folder: Folder for the decoded bands of products, see `Safe`.
        scl: Whether the scene classification of a product is its last band, see `Safe`.

    Attributes:
        nodata: The value of pixels without data in what `read` returns, or None.
        remarks: Pairs (path, sentence for the user).

    The others are those of `Raster`.
    """

    def __init__(
        self,
        path: Path,
        nodata: float | None = None,
        asked: Sequence[str | int] | None = None,
        folder: Path | None = None,
        scl: bool = False,
    ) -> None:
        raster = self._raster = Safe(path, folder, scl) if is_safe(path) else Raster(path)
        self.path, self.grid, self.geo_tags = raster.path, raster.grid, raster.geo_tags
        self.block_shape, self.colormap = raster.block_shape, raster.colormap
        self.remarks = [(raster.path, remark) for remark in raster.remarks]
        if self.grid.crs and self.grid.transform == IDENTITY:
            self.grid = Grid(None, IDENTITY, self.grid.height, self.grid.width)
            text = "has a CRS but no transform, so its place is not known, and areas are in pixels"
            self.remarks.append((raster.path, text))
        self._numbers = list(range(1, raster.count + 1))
        if raster.alpha:
            self._separate_alpha(raster.alpha, asked)
        self.count = len(self._numbers)
        self.descriptions = tuple(raster.descriptions[number - 1] for number in self._numbers)
        identity = (1.0, 0.0)
        scales = [scale or identity for scale in raster.scales] or [identity] * raster.count
        self._scales = np.array(scales, np.float64)  # (bands of the file, 2)
        self._scaled = any(tuple(scale) != identity for scale in scales)
        self._stored_nodata = raster.nodata if nodata is None else nodata
        self.dtype, self.nodata = raster.dtype, self._stored_nodata
        self._unchanged = not raster.masked and not self._scaled
        if self._scaled:
            self.dtype, self.nodata = np.dtype(np.float32), None
        elif raster.masked and held_value(raster.dtype, self.nodata) is None:
            self.nodata = None
            self.dtype = raster.dtype if raster.dtype.kind == "f" else np.dtype(np.float32)

    def _separate_alpha(self, alpha: int, asked: Sequence[str | int] | None) -> None:
        """Decide whether the alpha band is a band, or marks pixels, and say so."""
        count = self._raster.count
        asked = asked or ()
        by_number = any(isinstance(one, int) for one in asked)
        name = bands.canonical(self._raster.descriptions[alpha - 1] or "")
        if name in bands.ALIASES or (alpha in asked if by_number else len(asked) == count):
            self._raster.alpha = None  # `valid` must not take its numbers for opacity
            text = f"band {alpha} is alpha (opacity) by the file; it is used as a band, and marks "
            text += "no pixel as empty"
        else:
            # Numbers count the bands of the file, so they stay as they are.
            self._numbers = [n for n in self._numbers if n != alpha or by_number]
            text = f"band {alpha} is alpha (opacity): it marks pixels without data and is no input "
            text += f"band; if it is a band like the others, give --bands for all {count}"
        self.remarks.append((self.path, text))

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._raster.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window (bands, height, width) of `dtype`. The arguments are those of `Raster`."""
        numbers = self._numbers if bands is None else [self._numbers[band - 1] for band in bands]
        if self._unchanged:
            whole = bands is None and len(numbers) == self._raster.count
            return self._raster.read(window, None if whole else numbers)
        pixels = self._raster.read(window, numbers)
        valid = self._marked(window, pixels.shape[1:])
        if self._scaled:
            valid &= valid_pixels(pixels, self._stored_nodata)
            scale, offset = self._scales[[number - 1 for number in numbers]].T[:, :, None, None]
            pixels = pixels * scale + offset
        pixels = pixels.astype(self.dtype)
        pixels[:, ~valid] = np.nan if self.nodata is None else self.nodata
        return pixels

    def _marked(self, window: Window | None, shape: tuple[int, ...]) -> np.ndarray:
        """Return (h, w) bool: the pixels that the dataset mask and the alpha band do not mark.

        No-data values do not count here, because --nodata may replace them.
        """
        if not self._raster.masked:
            return np.ones(shape, bool)
        other = 1 if self._raster.nodata == 0 else 0
        return self._raster.valid(window, np.full((1, *shape), other, np.uint8))
