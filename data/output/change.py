"""What became what between two maps of one place: a matrix in km2, and a map of it.

A row of the matrix is what the ground was, a column what it has become; the diagonal stayed. So

    loss of a class = its row without the diagonal       gain = its column without the diagonal

The map has a code for each pair, before * K + after + 1, and 0 where either map has no data. What
stayed has its class's colour, paled; what changed has the full colour of what it has become.

Two maps that are each 90 % right can be wrong about change in a fifth of all pixels: small changes
in the matrix may be nothing but the errors of both. Read beside it:
tests/data/output/test_change.py.
"""

import contextlib
import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError, replacing
from data.grid import Grid, Window
from data.output import maps
from data.output.areas import pixel_areas
from data.output.jobs import Job
from data.output.mapfiles import beside
from data.output.tables import date_in
from data.raster.geotiff import Raster
from data.training.mask import Mask, labels_on

PALE = 0.75  # how far towards white the colour of what stayed is moved


class Changes:
    """Sums of the ground that went from one class to another, on a grid whose rows stream by.

    matrix  (K, K) float64: rows before, columns after; km2 where the grid has a CRS, else pixels
    unit    "km2" or "pixels"
    """

    def __init__(self, grid: Grid, num_classes: int):
        self._grid, self._row = grid, 0
        self.matrix, self.unit = (
            np.zeros((num_classes, num_classes)),
            "km2" if grid.crs else "pixels",
        )

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """Labels (h, W) of both maps: the next rows, from the top. What either does not know does
        not count.
        """
        known, classes = (before != IGNORE) & (after != IGNORE), len(self.matrix)
        pairs = before[known].astype(np.int64) * classes + after[known]
        ground = None
        if self._grid.crs:
            ground = (
                pixel_areas(self._grid.window(Window(self._row, 0, *before.shape)))[known] / 1e6
            )
        self.matrix += np.bincount(pairs, ground, minlength=classes**2).reshape(classes, classes)
        self._row += len(before)

    @property
    def losses(self) -> np.ndarray:
        """(K,) of each class, what has become another."""
        return self.matrix.sum(1) - self.matrix.diagonal()

    @property
    def gains(self) -> np.ndarray:
        """(K,) of each class, what was another."""
        return self.matrix.sum(0) - self.matrix.diagonal()


def rows(table: ClassTable, changes: Changes) -> list[list]:
    """The matrix as a table: a header, a row for each class before, and the totals, gains and
    losses.
    """
    matrix, names = changes.matrix, table.names
    lines = [[f"before \\ after, {changes.unit}", *names, "total before", "loss"]]
    lines += [
        [name, *row, row.sum(), loss] for name, row, loss in zip(names, matrix, changes.losses)
    ]
    lines.append(["total after", *matrix.sum(0), matrix.sum(), ""])
    lines.append(["gain", *changes.gains, "", changes.gains.sum()])
    lines.append(["gain - loss", *(changes.gains - changes.losses), "", ""])
    return lines


def write_csv(path: Path, table: ClassTable, changes: Changes) -> None:
    """The table of `rows`; six decimals of a km2 are square metres."""
    lines = [
        [f"{x:.6f}" if isinstance(x, float) else x for x in line] for line in rows(table, changes)
    ]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def text(table: ClassTable, changes: Changes) -> str:
    """The same for the terminal, without classes that neither map has; columns are headed by the
    codes.
    """
    there = np.flatnonzero(changes.matrix.any(0) | changes.matrix.any(1)).tolist()
    head, *lines = rows(table, changes)
    head = [head[0], *table.codes, *head[-2:]]
    lines = [[f"{line[0]} ({code})", *line[1:]] for code, line in zip(table.codes, lines)] + lines[
        len(table.codes) :
    ]
    rest = range(len(table.codes), len(lines))
    shown = [
        [line[0], *(line[1 + k] for k in there), *line[-2:]]
        for line in (head, *(lines[n] for n in (*there, *rest)))
    ]
    width, form = max(len(line[0]) for line in shown), ".4f" if changes.unit == "km2" else ".0f"
    cells = [[f"{x:{form}}" if isinstance(x, float) else x for x in line] for line in shown]
    return "\n".join(
        f"  {line[0]:{width}}" + "".join(f"  {cell:>12}" for cell in line[1:]) for line in cells
    )


@contextlib.contextmanager
def change_map(
    path: str | os.PathLike, grid: Grid, table: ClassTable, geo_tags: dict | None = None
) -> Iterator[Callable[[np.ndarray, np.ndarray], None]]:
    """A function that takes strips of labels (any h, width) of both maps from the top."""
    classes = len(table.names)
    names, colors = {}, {}
    for before, was in enumerate(table.names):
        for after, name in enumerate(table.names):
            code, color = before * classes + after + 1, np.array(table.colors[after])
            names[code] = f"{was}: unchanged" if before == after else f"{was} to {name}"
            colors[code] = tuple(
                (color + PALE * (255 - color) * (before == after)).round().astype(int).tolist()
            )
    dtype = np.dtype(np.uint8 if classes**2 < 256 else np.uint16)
    with maps.coded(path, grid, dtype, 0, names, colors, "change of land cover", geo_tags) as add:

        def add_both(before: np.ndarray, after: np.ndarray) -> None:
            known = (before != IGNORE) & (after != IGNORE)
            add(np.where(known, before.astype(np.uint16) * classes + after + 1, 0).astype(dtype))

        yield add_both


def labels_of_both(
    table: ClassTable, before: Path, after: Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield labels (h, W) of two maps on the grid of the first, strip by strip from the top."""
    with Mask(before, table) as first, Mask(after, table) as second:
        row = 0
        for labels in labels_on(second, first.grid, "nearest"):
            yield first.read(Window(row, 0, *labels.shape)), labels
            row += len(labels)


def write_changes(table: ClassTable, before: Path, after: Path, path: Path) -> Changes:
    """Write the change map from one map to a later one of the same place, and its matrix.

    Args:
        table: The classes of both maps.
        before: The earlier map.
        after: The later map, on any grid.
        path: The change map, on the grid of the earlier map; the matrix is a CSV file beside it.

    Raises:
        InputError: If the maps have no pixel in common.
    """
    with Raster(before) as raster:
        grid, geo_tags = raster.grid, raster.geo_tags
    changes = Changes(grid, len(table.names))
    with change_map(path, grid, table, geo_tags) as add:
        for old, new in labels_of_both(table, before, after):
            changes.add(old, new)
            add(old, new)
        if not changes.matrix.any():
            raise InputError(
                f"{after}: no pixel in common with {before}; compare two dates of one place"
            )
    write_csv(path.with_suffix(".csv"), table, changes)
    return changes


def compare(table: ClassTable, jobs: Sequence[Job]) -> str:
    """Write the changes between the maps of two images, and return them as text.

    The earlier map is that whose image has the earlier date in its name; the first one where a name
    has no date.
    """
    days = {job: date_in(job.image.name) for job in jobs}
    before, after = sorted(jobs, key=days.get) if all(days.values()) else jobs
    path = beside(before.target, f"to_{after.image.stem}.tif")
    changes = write_changes(table, before.target, after.target, path)
    return f"{path}\n{text(table, changes)}"
