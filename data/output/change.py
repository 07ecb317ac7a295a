"""Change between two maps of one place: a matrix in km2, and a map of it.

    python -m data.output.change map_2018.tif map_2021.tif
    python -m data.output.change cover_20.tif cover_21.tif --classes worldcover.csv -o change.tif

A row of the matrix is a class before, a column is a class after. The diagonal is unchanged ground:

    loss of a class = sum of its row - diagonal       gain = sum of its column - diagonal

The map has a code for each pair of classes, before * K + after + 1, and 0 where one of the maps has
no data. Unchanged ground has a pale colour of its class. Changed ground has the full colour of the
class after.

If each map is right in 90 % of the pixels, change can be wrong in 20 % of them. So small changes in
the matrix may come from errors of the maps.

Read beside it: tests/data/output/test_change.py.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from data import files
from data.classes import ClassTable, table_file
from data.files import IGNORE, InputError, refuse_input
from data.grid import Grid, Window
from data.input.filenames import dates_of
from data.input.finding import MAP
from data.output import maps
from data.raster.geotiff import Raster
from data.raster.ground import pixel_areas
from data.raster.sidecars import named_after, with_sidecars
from data.terminal import Parser, note, one_line_errors, say
from data.training.mask import Mask, labels_on, tell

PALE = 0.75  # share of white in the colour of unchanged ground


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

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """Count the labels (h, W) of the next rows of both maps.

        A pixel that is IGNORE in one of the maps does not count.
        """
        known, classes = (before != IGNORE) & (after != IGNORE), len(self.matrix)
        pairs = before[known].astype(np.int64) * classes + after[known]
        km2 = None
        if self._grid.crs:
            strip = self._grid.window(Window(self._row, 0, *before.shape))
            km2 = pixel_areas(strip)[known] / 1e6
        self.matrix += np.bincount(pairs, km2, minlength=classes**2).reshape(classes, classes)
        self._row += len(before)

    @property
    def losses(self) -> np.ndarray:
        """Ground of each class that became another class (K,)."""
        return self.matrix.sum(1) - self.matrix.diagonal()

    @property
    def gains(self) -> np.ndarray:
        """Ground of each class that was another class before (K,)."""
        return self.matrix.sum(0) - self.matrix.diagonal()


def rows(table: ClassTable, changes: Changes) -> list[list]:
    """Return the matrix as rows: a header, a row for each class before, totals, gains, losses."""
    matrix, names = changes.matrix, table.names
    lines = [[f"before \\ after, {changes.unit}", *names, "total before", "loss"]]
    for name, row, loss in zip(names, matrix, changes.losses):
        lines.append([name, *row, row.sum(), loss])
    lines.append(["total after", *matrix.sum(0), matrix.sum(), ""])
    lines.append(["gain", *changes.gains, "", changes.gains.sum()])
    lines.append(["gain - loss", *(changes.gains - changes.losses), "", ""])
    return lines


def write_csv(path: Path, table: ClassTable, changes: Changes) -> None:
    """Write `rows` as a CSV file. Numbers have six decimals, in km2 a square metre."""
    files.write_csv(path, [[_cell(value, ".6f") for value in row] for row in rows(table, changes)])


def change_table(table: ClassTable, changes: Changes) -> str:
    """Format `rows` for the terminal, without classes that are in neither map.

    The header shows the codes of the classes.
    """
    present = changes.matrix.any(0) | changes.matrix.any(1)
    labels = np.flatnonzero(present).tolist()
    head, *lines = rows(table, changes)
    of_classes, totals = lines[: len(table.codes)], lines[len(table.codes) :]
    for code, line in zip(table.codes, of_classes):
        line[0] = f"{line[0]} ({code})"
    head[1:-2] = table.codes
    form = ".4f" if changes.unit == "km2" else ".0f"
    shown = []
    for line in (head, *(of_classes[k] for k in labels), *totals):
        kept = [line[0], *(line[1 + k] for k in labels), *line[-2:]]
        shown.append([_cell(value, form) for value in kept])
    width = max(len(line[0]) for line in shown)
    return "\n".join(
        f"  {line[0]:{width}}" + "".join(f"  {cell:>12}" for cell in line[1:]) for line in shown
    )


def _cell(value, form: str):
    """Format a float in the given form. Other values stay as they are."""
    return f"{value:{form}}" if isinstance(value, float) else value


@contextlib.contextmanager
def change_map(
    path: str | os.PathLike, grid: Grid, table: ClassTable, geo_tags: dict | None = None
) -> Iterator[Callable[[np.ndarray, np.ndarray], None]]:
    """Write the map of changes.

    Args:
        path: The file.
        grid: The grid of both maps.
        table: The classes of both maps.
        geo_tags: The geo tags of the image, or None.

    Yields:
        A function that writes the next rows, from labels (any h, width) of both maps.
    """
    classes = len(table.names)
    names, colors = {}, {}
    for before, old in enumerate(table.names):
        for after, new in enumerate(table.names):
            code = before * classes + after + 1
            names[code] = f"{old}: unchanged" if before == after else f"{old} to {new}"
            colors[code] = _paler(table.colors[after]) if before == after else table.colors[after]
    dtype = np.dtype(np.uint8 if classes**2 < 256 else np.uint16)
    with maps.coded(path, grid, dtype, 0, names, colors, "change of land cover", geo_tags) as add:

        def add_both(before: np.ndarray, after: np.ndarray) -> None:
            known = (before != IGNORE) & (after != IGNORE)
            add(np.where(known, before.astype(np.uint16) * classes + after + 1, 0).astype(dtype))

        yield add_both


def _paler(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Mix a colour with white."""
    red, green, blue = (round(value + PALE * (255 - value)) for value in color)
    return red, green, blue


def labels_of_both(
    table: ClassTable, before: Path, after: Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield labels (h, W) of two maps on the grid of the first, strip by strip from the top."""
    with Mask(before, table) as first, Mask(after, table) as second:
        row = 0
        for labels in labels_on(second, first.grid, "nearest", "the earlier map"):
            yield first.read(Window(row, 0, *labels.shape)), labels
            row += len(labels)
        first.check()
        tell(first)
        tell(second)


def write_changes(table: ClassTable, before: Path, after: Path, path: Path) -> Changes:
    """Write the change map from one map to a later one of the same place, and its matrix.

    Args:
        table: The classes of both maps.
        before: The earlier map.
        after: The later map, on any grid.
        path: The change map, on the grid of the earlier map. The matrix is a CSV file beside it.

    Raises:
        InputError: The maps have no pixel in common.
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


def main(arguments: list[str] | None = None) -> None:
    """Compare the two maps that the options name."""
    parser = Parser(__doc__)
    parser.prog = "python -m data.output.change"
    add = parser.add_argument
    add("before", type=Path, help="the earlier map, or any raster of classes")
    add("after", type=Path, help="the later map of the same place, on any grid")
    add("-o", "--output", type=Path, help="change map; none: BEFORE_to_AFTER.tif beside BEFORE")
    add("--classes", help="class table of both maps; none: the one inside a map of predict.py")
    args = parser.parse_args(arguments)
    before, after = args.before, args.after
    table = ClassTable.load(args.classes) if args.classes else maps.class_table(before)
    path = args.output or before.with_name(f"{before.stem}_to_{after.stem.removesuffix(MAP)}.tif")
    inputs = [*with_sidecars(before), *with_sidecars(after)]
    inputs += [table_file(args.classes)] if args.classes else []
    refuse_input([*named_after(path), path.with_suffix(".csv")], inputs)
    changes = write_changes(table, before, after, path)
    dates = dates_of([before, after])
    if dates is None:
        note("the names hold no two dates to compare; the maps are taken in the order given")
    elif dates[0] > dates[1]:
        note(f"by the dates in the names {after.name} is the earlier map, but it is given second")
    say(f"from {before} to {after}", path, path.with_suffix(".csv"))
    say(*change_table(table, changes).split("\n"))


if __name__ == "__main__":
    with one_line_errors("data.output.change"):
        main()
