"""The true labels of a map, row by row as the map is made.

A mask may lie on another grid than the image, and then comes in strips of other heights than those
of the map. `Truth` returns exactly the rows that the map has just got. Read beside it:
tests/data/output/test_truth.py.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid
from data.output import preview
from data.training.mask import Mask, labels_on


class Truth:
    """A mask's labels on the grid of a map.

    The map must not be lost because its mask is wrong: what goes wrong with the mask is kept in
    `error` and raised by `check`, and the rows from there on have no label.
    """

    def __init__(self, path: Path, table: ClassTable, grid: Grid):
        self._strips = self._labels(path, table, grid)
        self._rest = np.empty((0, grid.width), np.uint8)  # read, but not returned yet
        self._thinned = preview.Thinned(grid.height, grid.width)
        self.error = None

    @staticmethod
    def _labels(path: Path, table: ClassTable, grid: Grid) -> Iterator[np.ndarray]:
        with Mask(path, table) as mask:
            yield from labels_on(mask, grid, "nearest")

    def next_rows(self, labels: np.ndarray) -> np.ndarray:
        """Return the true labels of the map's next rows.

        Args:
            labels: The rows of the map, (h, W) uint8.

        Returns:
            (h, W) uint8, IGNORE where the mask or the map has no label.
        """
        parts, missing = [self._rest], len(labels) - len(self._rest)
        while missing > 0:
            strip = self._next()
            if strip is None:
                strip = np.full((missing, labels.shape[1]), IGNORE, np.uint8)
            parts.append(strip)
            missing -= len(strip)
        rows = np.concatenate(parts)
        rows, self._rest = rows[: len(labels)], rows[len(labels) :].copy()
        self._thinned.add(rows)
        return np.where(labels == IGNORE, IGNORE, rows).astype(np.uint8)

    def _next(self) -> np.ndarray | None:
        """Return the mask's next strip; None after its end or its first error."""
        try:
            return next(self._strips, None)
        except (InputError, OSError) as error:
            self.error = error
            return None

    def check(self) -> None:
        """Raise InputError or OSError if the mask could not be read, or has unknown codes."""
        while self._next() is not None:
            pass
        if self.error:
            raise self.error

    def picture(self) -> np.ndarray:
        """Return the labels as a small picture (h, w) uint8."""
        return preview.small(self._thinned.array())
