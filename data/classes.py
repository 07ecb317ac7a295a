"""Class tables: what a raster's codes or colours mean, and which label 0..K-1 each becomes.

The one place that knows raster codes. Everywhere else a pixel's class is a *label*, 0..K-1 in the
order of the table, or `IGNORE` (255): nothing is known here, it counts in no loss and no metric.
A table is a CSV file with the columns code, name, color and, optionally, ignore:

    code,name,color,ignore
    1,other,#C8C8C8,
    0,other,#C8C8C8,
    250,non-residential,#8250C8,
    255,residential,#D72D27,

Rows of one name are one class (0 and 1 above); a prediction is written with the code that stands
first. A code is an integer, or a colour such as #00FFFF for masks that are RGB pictures. A row
whose ignore column says true is no class. A code that stands in no row is an error, never guessed.

Read beside it: tests/data/test_classes.py.
"""

import csv
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data.files import IGNORE, InputError

UNKNOWN = 254  # only inside `encode`: no row names this code
TABLES = Path(__file__).with_name("classes")
SPAN = 1 << 24  # between the smallest and the largest code: all colours, and a lookup of 16 MB


@dataclass(frozen=True)
class ClassTable:
    """Rows of (code, name, (r, g, b), ignore); code is an int, for colour-coded masks 0xRRGGBB."""

    name: str
    rows: tuple[tuple[int, str, tuple[int, int, int], bool], ...]
    coded_by_color: bool = False

    @staticmethod
    def load(name: str | Path) -> "ClassTable":
        """A table that comes along (esm, catalonia, deepglobe) or the user's CSV file.

        Raises InputError for a missing file, a missing column, a code or colour that cannot be
        read, a code that stands twice, a class without a name, no class at all, or more than 254.
        """
        path = TABLES / f"{name}.csv" if re.fullmatch(r"\w+", str(name)) else Path(name)
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in TABLES.glob("*.csv")))
            raise InputError(f"{name}: no such class table; give a CSV file or one of {known}")
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                records = list(csv.DictReader(file, restval=""))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None
        return ClassTable.from_records(path.stem, records, path)

    @staticmethod
    def from_records(
        name: str, records: list[dict[str, str]], path: str | Path = "class table"
    ) -> "ClassTable":
        """Check and parse records as csv.DictReader gives them (and as `records` gives them back)."""
        rows, colored = [], set()
        for number, record in enumerate(records, start=2):  # line 1 is the header
            missing = {"code", "name", "color"} - set(record)
            if missing:
                raise InputError(
                    f"{path}: no column {', '.join(sorted(missing))}; wanted code, name, color and optionally ignore"
                )
            code, ignore = record["code"].strip(), (record.get("ignore") or "").strip().lower()
            try:
                color = _parse_color(record["color"])
                value = (
                    int.from_bytes(_parse_color(code), "big") if code.startswith("#") else int(code)
                )
            except ValueError as error:
                raise InputError(
                    f"{path}, line {number}: {error}; write an integer or #RRGGBB"
                ) from None
            if ignore not in ("", "0", "1", "true", "false", "yes", "no"):
                raise InputError(
                    f"{path}, line {number}: ignore is {ignore!r}; write true or leave it empty"
                )
            colored.add(code.startswith("#"))
            rows.append((value, record["name"].strip(), color, ignore in ("1", "true", "yes")))
            if not rows[-1][1]:
                raise InputError(
                    f"{path}, line {number}: code {code} has no name; write one, rows of one name are merged"
                )
        if len(colored) > 1:
            raise InputError(f"{path}: mixes integer codes and colours; use one kind")
        twice = [code for code, count in Counter(row[0] for row in rows).items() if count > 1]
        if twice:
            raise InputError(f"{path}: code {twice[0]} stands twice; give each code one row")
        table = ClassTable(name, tuple(rows), colored == {True})
        if not 1 <= len(table.names) <= UNKNOWN:
            raise InputError(f"{path}: {len(table.names)} classes; a table has 1 to {UNKNOWN}")
        low, high = min(row[0] for row in rows), max(row[0] for row in rows)
        if low < -(1 << 31) or high >= 1 << 32 or high - low >= SPAN:
            raise InputError(
                f"{path}: codes from {low} to {high}; they fit into 32 bits and lie within {SPAN:,}"
            )
        return table

    @property
    def records(self) -> list[dict[str, str]]:
        """The table as plain strings: what a checkpoint keeps, and `from_records` reads."""
        return [
            {
                "code": f"#{code:06X}" if self.coded_by_color else str(code),
                "name": name,
                "color": "#%02X%02X%02X" % color,
                "ignore": "true" if ignore else "",
            }
            for code, name, color, ignore in self.rows
        ]

    @cached_property
    def names(self) -> list[str]:
        """Name of each label 0..K-1."""
        return list(dict.fromkeys(name for _, name, _, ignore in self.rows if not ignore))

    @cached_property
    def colors(self) -> list[tuple[int, int, int]]:
        """(r, g, b) of each label, of the row that stands first."""
        return [
            next(color for _, n, color, ignore in self.rows if n == name and not ignore)
            for name in self.names
        ]

    @cached_property
    def codes(self) -> list[int]:
        """The raster code that a prediction of each label is written as.

        Of a table of colours the labels themselves: the map is then a palette picture, which shows
        the colours and is read back through them.
        """
        if self.coded_by_color:
            return list(range(len(self.names)))
        return [
            next(code for code, n, _, ignore in self.rows if n == name and not ignore)
            for name in self.names
        ]

    @cached_property
    def nodata(self) -> int:
        """The code of no-data in a map: an ignored code that fits a byte, else the first of 0, 255,
        254, ... in no row.

        In no row, because a code that is merged into a class (ESM's 0 into "other") would be read
        back as that class.
        """
        rows = {} if self.coded_by_color else {code: ignore for code, _, _, ignore in self.rows}
        ignored = [code for code, ignore in rows.items() if ignore and 0 <= code < 256]
        unused = (
            code
            for code in (0, *range(255, 0, -1), *range(256, 1 << 16))
            if code not in {*rows, *self.codes}
        )
        return ignored[0] if ignored else next(unused)

    @cached_property
    def dtype(self) -> np.dtype:
        """The smallest integer type that holds every code of a map."""
        low, high = min(*self.codes, self.nodata), max(*self.codes, self.nodata)
        types = [
            np.iinfo(kind)
            for kind in (np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
        ]
        return next(kind.dtype for kind in types if kind.min <= low and high <= kind.max)

    @cached_property
    def colormap(self) -> dict[int, tuple[int, int, int]] | None:
        """Raster code -> (r, g, b), or None where the codes do not fit a palette of bytes."""
        return dict(zip(self.codes, self.colors)) if self.dtype == np.uint8 else None

    @cached_property
    def _lookup(self) -> tuple[int, np.ndarray]:
        """(smallest code, table of labels by code - smallest): one indexing encodes a raster."""
        low, high = min(row[0] for row in self.rows), max(row[0] for row in self.rows)
        lookup = np.full(high - low + 1, UNKNOWN, np.uint8)
        for code, name, _, ignore in self.rows:
            lookup[code - low] = IGNORE if ignore else self.names.index(name)
        return low, lookup

    def encode(self, raster: np.ndarray, nodata=None, unknown: Counter | None = None) -> np.ndarray:
        """Raster codes (H, W), or colours (3 or 4, H, W), to labels (H, W) uint8.

        A pixel that is `nodata` (the file's declared value) and stands in no row, or NaN, is
        IGNORE. Codes in no row raise InputError; with a `Counter` given they are counted there and
        become IGNORE, so that a caller who reads in blocks can `complain` once about all of them.
        """
        if raster.ndim == 3 and self.coded_by_color:
            if raster.shape[0] not in (3, 4) or raster.dtype != np.uint8:
                raise InputError(
                    f"the class table {self.name} has colours, so the mask must be 8-bit RGB, "
                    f"not {raster.shape[0]} bands of {raster.dtype}"
                )
            red, green, blue = raster[:3].astype(np.int32)
            raster = (red << 16) | (green << 8) | blue
        elif raster.ndim == 3 and raster.shape[0] == 1:
            raster = raster[0]
        if raster.ndim != 2:
            raise InputError(
                f"the class table {self.name} has integer codes, so the mask must have one band, not {raster.shape[0]}"
            )
        low, lookup = self._lookup
        inside = (raster >= low) & (raster < low + len(lookup))
        if raster.dtype.kind == "f":
            inside &= raster == np.floor(raster)
        labels = np.full(raster.shape, UNKNOWN, np.uint8)
        labels[inside] = lookup[raster[inside].astype(np.int64) - low]
        strange = labels == UNKNOWN
        if not self.coded_by_color and strange.any():
            labels[strange & np.isnan(raster)] = IGNORE
            if nodata is not None:
                labels[strange & (raster == nodata)] = IGNORE
            strange = labels == UNKNOWN
        if strange.any():
            codes, counts = np.unique(raster[strange], return_counts=True)
            if (
                codes.dtype.kind == "f"
                and not (np.isfinite(codes) & (codes == np.floor(codes))).all()
            ):
                raise InputError("the mask holds fractions or infinity; class codes are integers")
            found = Counter(dict(zip(map(int, codes), counts.tolist())))
            if unknown is None:
                self.complain(found, "mask")
            unknown.update(found)
            labels[strange] = IGNORE
        return labels

    def numbers(self, text: str, otherwise: str) -> list[float]:
        """'1,4,2.5', a number from 0 for each class, not all 0. Else an InputError that begins with
        `otherwise`.
        """
        try:
            values = [float(value) for value in text.split(",")]
        except ValueError:
            values = []
        if len(values) != len(self.names) or min(values) < 0 or not 0 < sum(values) < math.inf:
            raise InputError(
                f"{otherwise}, or {len(self.names)} numbers such as 1,4,2.5 for {', '.join(self.names)}"
            )
        return values

    def complain(self, unknown: Counter, path: str | Path) -> None:
        """Raise InputError that names codes, their pixel counts and the file; nothing if none is
        unknown.
        """
        if not unknown:
            return
        form = "#{:06X}".format if self.coded_by_color else str
        listed = ", ".join(
            f"{form(code)} ({count:,} pixels)" for code, count in unknown.most_common(5)
        )
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise InputError(
            f"{path}: code {listed}{more} not in the class table {self.name}; add a row for each "
            "(ignore=true if it is no class) and give the table by --classes"
        )

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Labels (H, W) to raster codes (H, W) of type `dtype`; IGNORE becomes `nodata`."""
        lookup = np.full(256, self.nodata, self.dtype)
        lookup[: len(self.codes)] = self.codes
        return lookup[labels]


def _parse_color(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"#([0-9a-fA-F]{6})", text.strip())
    if not match:
        raise ValueError(f"{text.strip()!r} is no colour")
    return tuple(bytes.fromhex(match[1]))
