"""Coordinates of the pixels of one window in another grid, and the pixels that hold them.

warp.py computes the coordinates, and explains quads and the grids `here` and `there`. Read
tests/data/raster/test_warp.py beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from data.grid import Window
from data.raster.tiles import clip

EDGE = 1e-6  # pixels; a centre this close to the next pixel belongs to it (rounding errors)
FAR = 2**30  # pixels; no raster has so many rows or columns


@dataclass
class Patch:
    """Coordinates (row, col) in `there` of the pixel centres of a window (h, w) of `here`.

    Along a row the coordinates are linear in each quad: `lines + share * slopes`, of shape (2, h,
    quads, size). The window is the slice `columns` of these. The coordinates of `pixels` are not
    interpolated: `known` holds their exact values. All coordinates are relative to `origin`.
    """

    origin: np.ndarray  # (2,)
    extremes: np.ndarray  # (2, h, quads + 1) coordinates, among them the extremes of each row
    lines: torch.Tensor  # (2, h, quads + 1, 1)
    slopes: torch.Tensor  # (2, h, quads, 1)
    share: torch.Tensor  # (size,) positions of the pixel centres in a quad, from 0 to 1
    columns: slice
    pixels: tuple[np.ndarray, np.ndarray]  # rows (k,) and columns (k,)
    known: np.ndarray  # (2, k), NaN for pixels without coordinates
    scratch: tuple[torch.Tensor, torch.Tensor] | None = None  # memory that `locate` reuses

    def span(self, top: int = 0, bottom: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return lowest and highest (row, col) of rows top .. bottom; NaN without coordinates."""
        extremes = self.extremes[:, top:bottom].reshape(2, -1)
        if self.known.size:
            extremes = np.hstack([extremes, self.known[:, self._among(top, bottom)]])
        lowest, highest = np.fmin.reduce(extremes, axis=1), np.fmax.reduce(extremes, axis=1)
        return lowest + self.origin, highest + self.origin

    def _among(self, top: int, bottom: int | None) -> slice:
        """The slice of `pixels` that lies in rows top .. bottom."""
        bottom = self.lines.shape[1] if bottom is None else bottom
        return slice(*np.searchsorted(self.pixels[0], (top, bottom)))

    def locate(
        self, limits: Window, top: int = 0, bottom: int | None = None
    ) -> tuple[Window, torch.Tensor] | None:
        """Find the pixels of `there` that hold the centres of rows top .. bottom.

        Returns:
            None if no centre lies in `limits`. Else the part of `limits` that holds the centres,
            and an int32 index (h, w) into the flattened part with a rim of one pixel around it.
            Centres outside `limits` get an index on the rim. The next call overwrites the index.
        """
        slack = 2e-3 if self.lines.dtype == torch.float32 else 2 * EDGE
        low, high = self.span(top, bottom)
        low, high = low - slack, high + slack
        part = clip(low, high, limits)
        if part is None:
            return None
        places = self._places(top, bottom)
        # The first pixel of the rim, relative to the origin.
        corner = part.row - 1 - int(self.origin[0]), part.col - 1 - int(self.origin[1])
        for axis, first in enumerate(corner):
            begin, size = part[axis], part[2 + axis]
            if self.known.size or low[axis] < begin or high[axis] >= begin + size:
                places[axis].clamp_(first, first + size + 1)
        (row, col), width = corner, part.width + 2
        rows, cols = places
        return part, cols.add_(rows, alpha=width).sub_(row * width + col)

    def _places(self, top: int, bottom: int | None) -> torch.Tensor:
        """Row and column (2, h, w) int32, relative to the origin, of the pixels of `there`."""
        slopes, lines = self.slopes[:, top:bottom], self.lines[:, top:bottom, :-1]
        height, width = slopes.shape[1], self.columns.stop - self.columns.start
        if self.scratch is None or self.scratch[0].shape[0] < height:
            floats = torch.empty(*slopes.shape[1:3], len(self.share), dtype=slopes.dtype)
            self.scratch = floats, torch.empty(2, height, width, dtype=torch.int32)
        floats, places = self.scratch[0][:height], self.scratch[1][:, :height]
        for axis in (0, 1):
            torch.mul(slopes[axis], self.share, out=floats).add_(lines[axis])
            # Conversion to int32 truncates. That is floor, because coordinates are not negative.
            places[axis].copy_(floats.flatten(1)[:, self.columns])
        if self.known.size:
            among = self._among(top, bottom)
            known = np.nan_to_num(self.known[:, among] + EDGE, nan=-np.inf)
            known = np.floor(known).clip(-FAR, FAR)
            places.numpy()[:, self.pixels[0][among] - top, self.pixels[1][among]] = known
        return places
