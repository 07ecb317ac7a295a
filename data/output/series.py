"""Change over three dates and more: which map is of which date, shares by date, gains and losses.

Ground counts that has a class in all maps. So the shares of all dates are of the same ground, and
the area of a class at two dates differs by its gain - loss between them. A share is that of the
area in km2, and of the pixels if the first map has no CRS.

    change_shares.csv   map, date, class, code, km2 (or pixels), share: a row for each map and class
    change_steps.csv    a row for each class of each step, from a date to the next, and of the step
                        from the first date to the last: before, after, loss, gain, gain - loss, and
                        what became of the class: a column for each class
    change_shares.png   the shares by date (shareplot.py)

The order of the maps is that of the dates in their names. 03_04_2021 may be 3 April or 4 March. If
no name of the series tells, by a day above 12, it is read as 3 April, with a remark. If the other
reading gives another order, the maps keep the order of the command line, and have no dates.

Read beside it: tests/data/output/test_series.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Grid
from data.input.filenames import Dated, date_of, dates_of
from data.output.transitions import Changes, ground

GIVEN = "the maps are taken in the order given"


class Timeline(NamedTuple):
    """Maps in the order of time.

    Attributes:
        paths: The maps.
        dates: The date of each, such as 2021-06-01, 2021-06 or 2021; None if they are not known.
        days: The date of each as a number of days; None if they are not known.
        remarks: What the user should know of the dates.
    """

    paths: tuple[Path, ...]
    dates: list[str] | None
    days: list[float] | None
    remarks: list[str]

    @property
    def labels(self) -> list[str]:
        """A short name for each map: its date, or `map 1`, `map 2`, and so on."""
        return self.dates or [f"map {number}" for number in range(1, 1 + len(self.paths))]

    @property
    def names(self) -> list[str]:
        """The file name of each map, or its path if two maps have one name."""
        names = [path.name for path in self.paths]
        return names if len(set(names)) == len(names) else [str(path) for path in self.paths]


def timeline(paths: Sequence[Path]) -> Timeline:
    """Sort three maps and more by the dates in their names. Two maps keep the order given."""
    known, given = dates_of(paths), [*range(len(paths))]
    if known is None:
        number = "two" if len(paths) == 2 else str(len(paths))
        told = f"the names hold no {number} dates to compare; {GIVEN}"
        return Timeline(tuple(paths), None, None, [told])
    found = [dated for path in paths if (dated := date_of(path))]
    order, doubtful, remarks = sorted(given, key=known.__getitem__), _doubtful(found), []
    if doubtful:
        at = doubtful[0]
        one, other = _text(found[at].numbers), _text(_turned(found[at].numbers))
        turned = [_turned(each) if k in doubtful else each for k, each in enumerate(known)]
        if sorted(given, key=turned.__getitem__) != order:
            told = f"{paths[at].name}: its date is {one} or {other}, and the order depends on it; "
            return Timeline(tuple(paths), None, None, [f"{told}{GIVEN}; write the year first"])
        more = f" (likewise in {len(doubtful) - 1} of the other names)" if doubtful[1:] else ""
        remarks.append(f"{paths[at].name}: its date is read as {one}, not as {other}{more}")
    if order != given and len(paths) == 2:
        earlier = f"by the dates in the names {paths[1].name} is the earlier map"
        remarks.append(f"{earlier}, but it is given second")
        order = given
    elif order != given:
        remarks.append("the maps are put in the order of the dates in their names")
    dates = [_text(dated.numbers) for dated in found]
    if len(set(dates)) < len(dates):
        dates = [f"{day} {_clock(dated)}" for day, dated in zip(dates, found)]
    days = [_day(numbers) for numbers in known]
    sorted_paths, sorted_days = tuple(paths[k] for k in order), [days[k] for k in order]
    return Timeline(sorted_paths, [dates[k] for k in order], sorted_days, remarks)


def _doubtful(found: list[Dated]) -> list[int]:
    """Which dates have a day that may be the month, if no date of this form tells."""
    form = [dated.numbers for dated in found if dated.form == "day-month-year"]
    if any(day > 12 for _, _, day, _ in form):
        return []
    return [
        k
        for k, (form, (_, month, day, _)) in enumerate(found)
        if form == "day-month-year" and day != month
    ]


def _turned(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Swap month and day, if there are any."""
    return (numbers[0], numbers[2], numbers[1], *numbers[3:]) if numbers[2:] else numbers


def _text(numbers: tuple[int, ...]) -> str:
    """Write a date as 2021-06-01, 2021-06 or 2021."""
    return "-".join(f"{number:02}" for number in numbers[:3] if number)


def _clock(dated: Dated) -> str:
    """Write the time of a date as 10:56:21."""
    digits = f"{dated.numbers[3]:06}"
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"


def _day(numbers: tuple[int, ...]) -> float:
    """Number the day of a date, which may lack month and day; the time is a part of a day."""
    year, month, day, time = (*numbers, 0, 0, 0)[:4]
    seconds = time // 10000 * 3600 + time // 100 % 100 * 60 + time % 100
    return date(year, month or 1, day or 1).toordinal() + seconds / 86400


class Series:
    """The classes of three maps and more of one place, counted strip by strip.

    Attributes:
        steps: The changes from each map to the next.
        whole: The changes from the first map to the last.
        mapped: Number of pixels of each map that have a class (N,).
        common: Number of pixels that have a class in all maps.
    """

    def __init__(self, grid: Grid, num_classes: int, num_maps: int):
        self._grid, self._row = grid, 0
        self.steps = [Changes(grid, num_classes) for _ in range(num_maps - 1)]
        self.whole = Changes(grid, num_classes)
        self.mapped, self.common = np.zeros(num_maps, np.int64), 0

    def add(self, labels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Count the labels (h, W) of the next rows of all maps.

        Returns:
            The labels of each map. A pixel that is IGNORE in one of the maps is so in all.
        """
        known = np.all([each != IGNORE for each in labels], axis=0)
        self.mapped += [np.count_nonzero(each != IGNORE) for each in labels]
        self.common += int(np.count_nonzero(known))
        shared = [np.where(known, each, IGNORE).astype(np.uint8) for each in labels]
        km2 = ground(self._grid, self._row, known.shape)
        for changes, before, after in zip(self.steps, shared, shared[1:]):
            changes.add(before, after, km2)
        self.whole.add(shared[0], shared[-1], km2)
        self._row += len(known)
        return shared

    @property
    def areas(self) -> np.ndarray:
        """Area of each class in each map (N, K), in km2 or pixels."""
        first, *_ = self.steps
        return np.array([first.matrix.sum(1), *(step.matrix.sum(0) for step in self.steps)])

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in each map (N, K)."""
        return self.areas / self.areas.sum(1, keepdims=True)


def beside(path: Path) -> list[Path]:
    """List the files beside a change map: shares, steps, picture."""
    endings = ("_shares.csv", "_steps.csv", "_shares.png")
    return [path.with_name(path.stem + ending) for ending in endings]


def left_out(series: Series, maps: Timeline) -> list[str]:
    """Say how much of each map has no class in another one, in no or one remark."""
    shares = [1 - series.common / mapped for mapped in series.mapped]
    lost = [
        f"{share:.2%}".replace("%", " %") + f" of {name}"
        for share, name in zip(shares, maps.names)
        if share
    ]
    told = "only pixels with a class in all maps count; left out are "
    return [told + ", ".join(lost)] if lost else []


def share_rows(table: ClassTable, series: Series, maps: Timeline) -> list[list]:
    """Return the rows of change_shares.csv."""
    lines: list[list] = [["map", "date", "class", "code", series.whole.unit, "share"]]
    dates = maps.dates or [""] * len(maps.paths)
    for path, day, areas, shares in zip(maps.paths, dates, series.areas, series.shares):
        for name, code, area, share in zip(table.names, table.codes, areas, shares):
            lines.append([str(path), day, name, code, f"{area:.6f}", f"{share:.6f}"])
    return lines


def step_rows(table: ClassTable, series: Series, maps: Timeline) -> list[list]:
    """Return the rows of change_steps.csv."""
    columns = ["from", "to", "class", "code", "unit", "before", "after", "loss", "gain"]
    lines: list[list] = [[*columns, "gain - loss", *(f"to {name}" for name in table.names)]]
    titles = maps.dates or [str(path) for path in maps.paths]
    spans = [*zip(titles, titles[1:], series.steps), (titles[0], titles[-1], series.whole)]
    for start, end, step in spans:
        matrix, gains, losses = step.matrix, step.gains, step.losses
        for k, (name, code) in enumerate(zip(table.names, table.codes)):
            sums = matrix[k].sum(), matrix[:, k].sum(), losses[k], gains[k], gains[k] - losses[k]
            numbers = [f"{value:.6f}" for value in (*sums, *matrix[k])]
            lines.append([start, end, name, code, step.unit, *numbers])
    return lines


def lines(table: ClassTable, series: Series, maps: Timeline) -> list[str]:
    """Format maps, shares, areas, gains and losses for the terminal, of the classes that occur."""
    unit, areas, steps = series.whole.unit, series.areas, [*series.steps, series.whole]
    form = ".4f" if unit == "km2" else ".0f"
    later = [*(f"to {label}" for label in maps.labels[1:]), "first to last"]
    parts = [
        (f"share of {areas[0].sum():,{form}} {unit}", maps.labels, series.shares, ".2%"),
        (f"area, {unit}", maps.labels, areas, form),
        (f"gain, {unit}", later, np.array([step.gains for step in steps]), form),
        (f"loss, {unit}", later, np.array([step.losses for step in steps]), form),
    ]
    rows = []
    for head, columns, values, shown in parts:
        rows.append([head, *columns])
        for k in np.flatnonzero(areas.any(0)):
            name = f"{table.names[k]} ({table.codes[k]})"
            rows.append([name, *(f"{value:{shown}}" for value in values[:, k])])
    first = max(len(row[0]) for row in rows)
    wide = max(len(cell) for row in rows for cell in row[1:])
    return [
        *(f"  {label}  {path}" for label, path in zip(maps.labels, maps.paths)),
        *(f"  {row[0]:{first}}" + "".join(f"  {cell:>{wide}}" for cell in row[1:]) for row in rows),
    ]
