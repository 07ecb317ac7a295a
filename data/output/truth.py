"""The true labels of a map, for the same rows as each strip of the map.

A mask is read in strips whose heights differ from those of the map. `Truth` returns exactly as many
rows as a strip of the map has.

Read beside it: tests/data/output/test_truth.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid
from data.output import preview
from data.terminal import note
from data.training.mask import Mask, labels_on, tell


class Truth:
    """The labels of a mask on the grid of a map.

    An error in the mask must not stop the map. It is kept in `error`, and `check` raises it later.
    Rows after the error have no label. `say` prints a remark on the mask.
    """

    def __init__(
        self, path: Path, table: ClassTable, grid: Grid, say: Callable[[str], None] = note
    ):
        self._strips = self._labels(path, table, grid, say)
        self._rest = np.empty((0, grid.width), np.uint8)  # rows that are read but not returned yet
        self._thinned = preview.Thinned(grid.height, grid.width)
        self.error: InputError | OSError | None = None

    @staticmethod
    def _labels(
        path: Path, table: ClassTable, grid: Grid, say: Callable[[str], None]
    ) -> Iterator[np.ndarray]:
        with Mask(path, table) as mask:
            yield from labels_on(mask, grid, "nearest")
            tell(mask, say)

    def next_rows(self, labels: np.ndarray) -> np.ndarray:
        """Return the true labels of the next rows of the map.

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
        """Return the next strip of the mask; None after its end or its first error."""
        try:
            return next(self._strips, None)
        except (InputError, OSError) as error:
            self.error = error
            return None

    def check(self) -> None:
        """Raise InputError or OSError if the mask cannot be read or has unknown codes."""
        while self._next() is not None:
            pass
        if self.error:
            raise self.error

    def picture(self) -> np.ndarray:
        """Return the labels as a small picture (h, w) uint8."""
        return preview.small(self._thinned.array())
