"""How much of each class a map holds, counted while the map streams by.

Pixels are counted, and their ground areas summed (data/raster/ground.py). Read beside it:
tests/data/output/test_areas.py.
"""

import numpy as np

from data.files import IGNORE
from data.grid import Grid, Window
from data.raster.ground import pixel_areas


class Areas:
    """Pixels of each class on a grid and, where the grid has a CRS, their area in km2."""

    def __init__(self, grid: Grid, num_classes: int):
        self._grid, self._classes, self._row = grid, slice(num_classes), 0
        self._pixels, self._km2 = np.zeros(256, np.int64), np.zeros(256)

    def add(self, labels: np.ndarray) -> None:
        """Count labels (h, W) uint8, the next rows of the map from the top."""
        flat = labels.ravel()
        self._pixels += np.bincount(flat, minlength=256)
        if self._grid.crs:
            ground = pixel_areas(self._grid.window(Window(self._row, 0, *labels.shape)))
            self._km2 += np.bincount(flat, ground.ravel() / 1e6, minlength=256)
        self._row += len(labels)

    @property
    def pixels(self) -> np.ndarray:
        """(K,) int64 pixels of each class."""
        return self._pixels[self._classes]

    @property
    def no_data(self) -> int:
        """Pixels without a class."""
        return int(self._pixels[IGNORE])

    @property
    def km2(self) -> np.ndarray | None:
        """(K,) float64 area of each class in km2; None for a grid without CRS."""
        return self._km2[self._classes] if self._grid.crs else None

    @property
    def shares(self) -> np.ndarray:
        """(K,) share of each class in the mapped pixels; NaN where no pixel was mapped."""
        mapped = self.pixels.sum()
        return self.pixels / mapped if mapped else np.full(len(self.pixels), np.nan)
