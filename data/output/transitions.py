"""The ground that changed from each class to each other, between two maps.

    loss of a class = sum of its row - diagonal       gain = sum of its column - diagonal

Read beside it: tests/data/output/test_change.py.
"""

import numpy as np

from data.files import IGNORE
from data.grid import Grid, Window
from data.raster.ground import pixel_areas


class Changes:
    """The ground that changed from each class to each other, summed strip by strip.

    Attributes:
        matrix: (K, K) float64, rows before, columns after; km2 where the grid has a CRS, else
            pixels.
        unit: "km2" or "pixels".
    """

    def __init__(self, grid: Grid, num_classes: int):
        self._grid, self._row = grid, 0
        self.matrix = np.zeros((num_classes, num_classes))
        self.unit = "km2" if grid.crs else "pixels"

    def add(self, before: np.ndarray, after: np.ndarray, km2: np.ndarray | None = None) -> None:
        """Count the labels (h, W) of the next rows of both maps.

        A pixel that is IGNORE in one of the maps does not count.

        Args:
            before: Labels of the earlier map.
            after: Labels of the later map.
            km2: (h, W), what `ground` returns for these rows, if it has been computed.
        """
        known, classes = (before != IGNORE) & (after != IGNORE), len(self.matrix)
        pairs = before[known].astype(np.int64) * classes + after[known]
        km2 = ground(self._grid, self._row, before.shape) if km2 is None else km2
        weights = None if km2 is None else km2[known]
        self.matrix += np.bincount(pairs, weights, classes**2).reshape(classes, classes)
        self._row += len(before)

    @property
    def _changed(self) -> np.ndarray:
        """The matrix without its diagonal."""
        return np.where(np.eye(len(self.matrix), dtype=bool), 0, self.matrix)

    @property
    def losses(self) -> np.ndarray:
        """Ground of each class that became another class (K,)."""
        return self._changed.sum(1)

    @property
    def gains(self) -> np.ndarray:
        """Ground of each class that was another class before (K,)."""
        return self._changed.sum(0)


def ground(grid: Grid, row: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """Compute the area of the pixels of a strip (h, W) from a row on, in km2.

    Returns:
        (h, W) float64; None for a grid without CRS.
    """
    return pixel_areas(grid.window(Window(row, 0, *shape))) / 1e6 if grid.crs else None
