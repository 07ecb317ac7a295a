"""Change between two maps of one place and more: a matrix in km2, a map of it, shares by date.

    python -m data.output.change map_2018.tif map_2021.tif
    python -m data.output.change cover_20.tif cover_21.tif --classes worldcover -o change.tif
    python -m data.output.change map_2015.tif map_2018.tif map_2021.tif

A row of the matrix is a class before, a column is a class after. The diagonal is unchanged ground:

    loss of a class = sum of its row - diagonal       gain = sum of its column - diagonal

The map has a code for each pair of classes, before * K + after + 1, and 0 where one of the maps has
no data. Unchanged ground has a pale colour of its class. Changed ground has the full colour of the
class after.

With three maps and more, matrix and map are from the first date to the last, and series.py adds
shares by date and the gains and losses from each date to the next.

If each map is right in 90 % of the pixels, change can be wrong in 20 % of them. So small changes in
the matrix may come from errors of the maps.

Read beside it: tests/data/output/test_change.py.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data import files
from data.classes import ClassTable, table_file
from data.files import IGNORE, InputError, refuse_input, require_file
from data.grid import Grid, Window
from data.input.finding import MAP
from data.output import maps, series, shareplot, styles
from data.output.series import Timeline
from data.output.transitions import Changes
from data.raster.geotiff import Raster
from data.raster.sidecars import with_sidecars
from data.tables import listed
from data.terminal import Parser, note, one_line_errors, say
from data.training.mask import Mask, labels_on, tell

PALE = 0.75  # share of white in the colour of unchanged ground


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


def labels_of_all(table: ClassTable, paths: Sequence[Path]) -> Iterator[list[np.ndarray]]:
    """Yield labels (h, W) of each map on the grid of the first, strip by strip from the top."""
    with contextlib.ExitStack() as opened:
        first, *others = (opened.enter_context(Mask(path, table)) for path in paths)
        others_on = (labels_on(other, first.grid, "nearest", "the earlier map") for other in others)
        row = 0
        for strips in zip(*others_on, strict=True):  # strict: each reader comes to its checks
            yield [first.read(Window(row, 0, *strips[0].shape)), *strips]
            row += len(strips[0])
        first.check()
        for mask in (first, *others):
            tell(mask)


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
        for old, new in labels_of_all(table, (before, after)):
            changes.add(old, new)
            add(old, new)
        if not changes.matrix.any():
            raise InputError(
                f"{after}: no pixel in common with {before}; compare two dates of one place"
            )
    write_csv(path.with_suffix(".csv"), table, changes)
    return changes


def write_series(table: ClassTable, dated: Timeline, path: Path) -> series.Series:
    """Write the change over three maps and more of one place.

    Args:
        table: The classes of all maps.
        dated: The maps, in the order of time.
        path: The change map from the first to the last, on the grid of the first. Its matrix, the
            tables and the picture of `series` lie beside it.

    Raises:
        InputError: No pixel has a class in all maps.
    """
    with Raster(dated.paths[0]) as raster:
        grid, geo_tags = raster.grid, raster.geo_tags
    found = series.Series(grid, len(table.names), len(dated.paths))
    with change_map(path, grid, table, geo_tags) as add:
        for labels in labels_of_all(table, dated.paths):
            first, *_, last = found.add(labels)
            add(first, last)
        if not found.common:
            raise InputError(
                f"{dated.paths[0]}: has no pixel with a class in all of the {len(dated.paths)} "
                "maps; compare maps of one place, or leave out those with little data"
            )
    write_csv(path.with_suffix(".csv"), table, found.whole)
    shares, steps, picture = series.beside(path)
    files.write_csv(shares, series.share_rows(table, found, dated))
    files.write_csv(steps, series.step_rows(table, found, dated))
    shareplot.write(picture, table, found, dated)
    return found


def require_same_names(table: ClassTable, first: Path, others: Sequence[Path]) -> None:
    """Raise InputError if a map holds other names for the codes of the first map."""
    names = {code: name for code, name, *_ in table.rows}
    for path in others:
        try:
            own = maps.class_table(path)
        except InputError:
            continue  # a raster without names
        for code, name, _, ignore in own.rows:
            if not ignore and names.get(code, name) != name:
                raise InputError(
                    f"{path}: its code {code} is {name!r}, but {names[code]!r} in {first}; compare "
                    "maps of the same classes, or name the table of all of them with --classes"
                )


def refuse_twice(paths: Sequence[Path]) -> None:
    """Raise InputError if two paths are the same file."""
    for number, path in enumerate(paths):
        require_file(path)
        if any(os.path.samefile(path, other) for other in paths[:number]):
            raise InputError(f"{path}: is given twice; give each map once")


def main(arguments: list[str] | None = None) -> None:
    """Compare the maps that the options name."""
    parser = Parser(__doc__)
    parser.prog = "python -m data.output.change"
    add = parser.add_argument
    add("before", type=Path, help="the earlier map, or any raster of classes")
    add("after", type=Path, help="the later map of the same place, on any grid")
    add("more", type=Path, nargs="*", help="further maps; dates in the names give the order")
    add("-o", "--output", type=Path, help="change map (default: FIRST_to_LAST.tif beside FIRST)")
    own = "(default: the one inside a map of predict.py)"
    add("--classes", help=f"class table of all maps: a CSV file, or {listed()} {own}")
    args = parser.parse_intermixed_args(arguments)
    given = (args.before, args.after, *args.more)
    dated = series.timeline(given)
    first, *between, last = dated.paths
    table = ClassTable.load(args.classes) if args.classes else maps.class_table(first)
    path = args.output or first.with_name(f"{first.stem}_to_{last.stem.removesuffix(MAP)}.tif")
    written = [path, path.with_suffix(".csv"), *(series.beside(path) if between else [])]
    inputs = [file for each in given for file in (*with_sidecars(each), styles.beside(each))]
    inputs += [table_file(args.classes)] if args.classes else []
    refuse_input([*styles.outputs(path), *written], inputs)
    if between:
        refuse_twice(given)
    if not args.classes:
        require_same_names(table, first, [*between, last])
    shown: list[str] = []
    if between:
        found = write_series(table, dated, path)
        changes, remarks = found.whole, [*dated.remarks, *series.left_out(found, dated)]
        shown = series.lines(table, found, dated)
    else:
        changes, remarks = write_changes(table, first, last, path), dated.remarks
    for remark in remarks:
        note(remark)
    say(f"from {first} to {last}", *maps.files_of(path), *written[1:], *shown)
    say(*change_table(table, changes).split("\n"))


if __name__ == "__main__":
    with one_line_errors("data.output.change"):
        main()
