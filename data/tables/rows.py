"""Read the rows of a class table from a CSV file, and check every code, name and colour.

data/classes.py describes the columns. Read beside it: tests/data/tables/test_rows.py.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.files import CONTROL, InputError, printable
from data.tables import colors
from data.tables.colors import Color

Row = tuple[int, str, Color, bool]  # code (a colour as 0xRRGGBB), name, display colour, ignore

UNKNOWN = 254  # a label that no class has: classes are 0..253
SPAN = 1 << 24  # codes from smallest to largest: holds all colours, and costs 16 MB of lookup
EARLIER = {"esm": "other"}  # table: background, where the records do not have the column
WORDS = {
    "": False,
    "0": False,
    "false": False,
    "no": False,
    "1": True,
    "true": True,
    "yes": True,
}


def read(path: Path) -> list[dict[str, str]]:
    """Read the records of a CSV file. Raises InputError if it is not a CSV file in UTF-8."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def parse(
    records: list[dict[str, str]], path: str | Path
) -> tuple[tuple[Row, ...], bool, tuple[str, ...]]:
    """Parse and check the records of a class table.

    Args:
        records: The records that csv.DictReader returns. Line 1 of the file is the header.
        path: The file, for error messages.

    Returns:
        The rows, whether their codes are colours, and the names of the classes that are background.

    Raises:
        InputError: A column is missing, a code or colour cannot be parsed, a code occurs twice, a
            class has no name or one with control characters, there are no classes or more than 254,
            or all classes, or an ignored code, are background.
    """
    rows = [_row(record, path, line) for line, record in enumerate(records, start=2)]
    by_color = {record["code"].strip().startswith("#") for record in records}
    if len(by_color) > 1:
        raise InputError(f"{path}: mixes integer codes and colours; use one kind")
    codes = [code for code, *_ in rows]
    twice = [code for code, count in Counter(codes).items() if count > 1]
    if twice:
        raise InputError(f"{path}: code {twice[0]} occurs twice; give each code one row")
    classes = {name for _, name, _, ignore in rows if not ignore}
    if not 1 <= len(classes) <= UNKNOWN:
        raise InputError(f"{path}: {len(classes)} classes; a table has 1 to {UNKNOWN}")
    low, high = min(codes), max(codes)
    if low < -(1 << 31) or high >= 1 << 32 or high - low >= SPAN:
        raise InputError(
            f"{path}: codes from {low} to {high}; give 32-bit codes that span less than {SPAN:,}"
        )
    return tuple(rows), by_color == {True}, _background(rows, records, path)


def _background(
    rows: list[Row], records: list[dict[str, str]], path: str | Path
) -> tuple[str, ...]:
    """Return the names of the classes of which a row says that they are background."""
    found: dict[str, None] = {}  # in the order of the table
    for line, ((code, name, _, ignore), record) in enumerate(zip(rows, records), start=2):
        if _truth(record, "background", f"{path}, line {line}"):
            if ignore:
                raise InputError(
                    f"{path}, line {line}: code {code} is ignored and background; an ignored code "
                    "is no class; leave one of the two empty"
                )
            found[name] = None
    if len(found) == len({name for _, name, _, ignore in rows if not ignore}):
        raise InputError(f"{path}: all classes are background; leave the column empty for some")
    return tuple(found)


def records(
    rows: Iterable[Row], by_color: bool, background: Sequence[str] = ()
) -> list[dict[str, str]]:
    """Return the records that `parse` converts to these rows.

    A table without a background has no column background, as in earlier versions.
    """
    found = []
    for code, name, color, ignore in rows:
        record = {
            "code": f"#{code:06X}" if by_color else str(code),
            "name": name,
            "color": "#%02X%02X%02X" % color,
            "ignore": "true" if ignore else "",
        }
        if background:
            record["background"] = "true" if name in background and not ignore else ""
        found.append(record)
    return found


def with_background(table: str, records: list[dict[str, str]]) -> list[dict[str, str]]:
    """Add the column background to the records of a checkpoint of an earlier version."""
    if table not in EARLIER or any("background" in record for record in records):
        return records
    name = EARLIER[table]
    return [{**r, "background": "true" * (r.get("name") == name)} for r in records]


def _row(record: dict[str, str], path: str | Path, line: int) -> Row:
    """Parse one record."""
    missing = {"code", "name", "color"} - set(record)
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(sorted(missing))}; "
            "the columns are code, name, color and optionally ignore and background"
        )
    where = f"{path}, line {line}"
    code, name = record["code"].strip(), record["name"].strip()
    try:
        color = colors.parse(record["color"])
        value = colors.integer(colors.parse(code)) if code.startswith("#") else int(code)
    except ValueError as error:
        raise InputError(f"{where}: {error}; write an integer or #RRGGBB") from None
    ignore = _truth(record, "ignore", where)
    if not name:
        raise InputError(
            f"{where}: code {code} has no name; write one (rows with the same name are one class)"
        )
    if CONTROL.search(name):
        raise InputError(f"{where}: the name {printable(name)} has control characters; write none")
    return value, name, color, ignore


def _truth(record: dict[str, str], column: str, where: str) -> bool:
    """Read a column of true or nothing."""
    word = (record.get(column) or "").strip().lower()
    if word not in WORDS:
        raise InputError(f"{where}: {column} is {word!r}; write true or leave it empty")
    return WORDS[word]
