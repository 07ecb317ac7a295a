"""The area of each class in a map, counted strip by strip.

Pixels are counted, and their areas on the ground are summed (data/raster/ground.py).

Read beside it: tests/data/output/test_areas.py.
"""

import numpy as np

from data.files import IGNORE
from data.grid import Grid, Window
from data.raster.ground import pixel_areas


class Areas:
    """Pixels of each class on a grid and, where the grid has a CRS, their area in km2.

    Attributes:
        objection: Why these areas cannot be adjusted for the errors of the network; "" if they can.
    """

    def __init__(self, grid: Grid, num_classes: int):
        self._grid, self._classes, self._row = grid, slice(num_classes), 0
        self._pixels, self._km2 = np.zeros(256, np.int64), np.zeros(256)
        self.objection = ""

    def add(self, labels: np.ndarray) -> None:
        """Count the labels (h, W) uint8 of the next rows of the map."""
        flat = labels.ravel()
        self._pixels += np.bincount(flat, minlength=256)
        if self._grid.crs:
            ground = pixel_areas(self._grid.window(Window(self._row, 0, *labels.shape)))
            self._km2 += np.bincount(flat, ground.ravel() / 1e6, minlength=256)
        self._row += len(labels)

    @property
    def pixels(self) -> np.ndarray:
        """Number of pixels of each class (K,) int64."""
        return self._pixels[self._classes]

    @property
    def no_data(self) -> int:
        """Number of pixels without a class."""
        return int(self._pixels[IGNORE])

    @property
    def km2(self) -> np.ndarray | None:
        """Area of each class in km2 (K,) float64; None for a grid without CRS."""
        return self._km2[self._classes] if self._grid.crs else None

    @property
    def measured(self) -> np.ndarray:
        """The areas in km2 or, without CRS, the numbers of pixels (K,)."""
        return self.pixels if self.km2 is None else self.km2

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in the mapped pixels (K,); NaN if no pixel was mapped."""
        mapped = self.pixels.sum()
        return self.pixels / mapped if mapped else np.full(len(self.pixels), np.nan)
