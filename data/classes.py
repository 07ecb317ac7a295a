"""Class tables: pixel values (codes) or colours of a mask (image of classes), and their labels.

A class table converts between raster codes and labels. All other code uses labels: 0..K-1 in the
order of the table, or `IGNORE` (255) for a pixel without a class. A table is a CSV file with the
columns code, name, color and, optionally, ignore and background:

    code,name,color,ignore,background
    1,other,#C8C8C8,,true
    0,other,#C8C8C8,,true
    250,non-residential,#8250C8,,
    255,residential,#D72D27,,

Rows with the same name are one class (codes 0 and 1 above). A map (prediction) is written with the
code of the first row of each class. A code is an integer, or a colour such as #00FFFF for masks
that are RGB pictures. With colours as codes, the map is a palette image. `color` is the colour in
which the class is displayed. Pixels with the code of an ignore=true row have no class. A code of
the mask that is missing from the table is an error. Classes with background=true (none, one or
several) are learned as all others. Accuracy and share of the foreground leave them out.

If all colours that are codes are pure, made of 0 and 255 only, each channel of a mask is rounded to
0 or 255 at 128. The description of DeepGlobe asks for this, because its masks hold 254 for 255.

data/tables/__init__.py describes the tables of this package: esm is the European Settlement Map.
Read beside it: tests/data/test_classes.py.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data.files import IGNORE, InputError, WrongTable
from data.tables import colors, listed, rows
from data.tables.colors import Color
from data.tables.rows import UNKNOWN, Row
from data.tables.tally import Tally, count

TABLES = Path(__file__).with_name("tables")


def table_file(name: str | Path) -> Path:
    """Return the file of a class table: one of this package by its name, or a CSV file."""
    return TABLES / f"{name}.csv" if re.fullmatch(r"\w+", str(name)) else Path(name)


@dataclass(frozen=True)
class ClassTable:
    """Rows (code, name, (r, g, b), ignore). A code is an int: 0xRRGGBB for colour-coded masks."""

    name: str
    rows: tuple[Row, ...]
    coded_by_color: bool = False
    background: tuple[str, ...] = ()  # names of the classes that are background

    @staticmethod
    def load(name: str | Path) -> "ClassTable":
        """Load a table of this package by its name, such as esm, or a CSV file.

        Raises:
            InputError: The file is missing or is not a class table.
        """
        path = table_file(name)
        if not path.is_file():
            raise InputError(f"{name}: no such class table; give a CSV file or one of {listed()}")
        return ClassTable.from_records(path.stem, rows.read(path), path)

    @staticmethod
    def from_records(
        name: str, records: list[dict[str, str]], path: str | Path = "class table"
    ) -> "ClassTable":
        """Parse and check records {column: text}, as csv.DictReader and `records` return them.

        Raises:
            InputError: The records are not a class table. The message begins with `path`.
        """
        return ClassTable(name, *rows.parse(rows.with_background(name, records), path))

    @property
    def records(self) -> list[dict[str, str]]:
        """The table as plain strings, for checkpoints; `from_records` reads them."""
        return rows.records(self.rows, self.coded_by_color, self.background)

    @cached_property
    def names(self) -> list[str]:
        """Name of each label 0..K-1."""
        return list(self._first_rows)

    @cached_property
    def foreground(self) -> list[int]:
        """Labels of the classes that are not background; none if the table has no background."""
        named = enumerate(self.names) if self.background else ()
        return [label for label, name in named if name not in self.background]

    @cached_property
    def colors(self) -> list[Color]:
        """Display colour (r, g, b) of each label."""
        return [color for _, color in self._first_rows.values()]

    @cached_property
    def codes(self) -> list[int]:
        """Raster code of each label in a map.

        If the codes of the table are colours, the map is a palette image of the labels themselves.
        """
        return list(range(len(self.names))) if self.coded_by_color else self._first_codes

    @cached_property
    def nodata(self) -> int:
        """Raster code of no-data in a map.

        It is an ignored code that fits in a byte, else the first of 0, 255, 254, ..., 1, 256, ...
        that has no row. A code with a row would be read back as the class of the row. For example,
        0 is "other" in the table esm.
        """
        rows = {} if self.coded_by_color else {code: ignore for code, _, _, ignore in self.rows}
        ignored = [code for code, ignore in rows.items() if ignore and 0 <= code < 256]
        if ignored:
            return ignored[0]
        taken = {*rows, *self.codes}
        order = (0, *range(255, 0, -1), *range(256, 1 << 16))
        return next(code for code in order if code not in taken)

    @cached_property
    def dtype(self) -> np.dtype:
        """The smallest integer type that holds every code of a map."""
        low, high = min(*self.codes, self.nodata), max(*self.codes, self.nodata)
        kinds = (np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
        types = [np.iinfo(kind) for kind in kinds]
        return next(kind.dtype for kind in types if kind.min <= low and high <= kind.max)

    @cached_property
    def colormap(self) -> dict[int, Color] | None:
        """Raster code -> (r, g, b) in a map, or None if the codes do not fit in a byte.

        The colours are the display colours, with one exception. A table with colours as codes
        reads its map back by these colours. If a display colour is the code of another class or of
        an ignored row, or belongs to two classes, the map has the code colours instead.
        """
        if self.dtype != np.uint8:
            return None
        return dict(zip(self.codes, self._map_colors))

    @cached_property
    def _map_colors(self) -> list[Color]:
        """Colour of each label in the colour map of a map."""
        if not self.coded_by_color:
            return self.colors
        label_of = dict(self._labels)
        displayed = [colors.integer(color) for color in self.colors]
        unique = len(set(displayed)) == len(displayed)
        if unique and all(label_of.get(color, k) == k for k, color in enumerate(displayed)):
            return self.colors
        return self._code_colors

    @cached_property
    def pure(self) -> bool:
        """Whether the codes are colours of 0 and 255 only, those of ignored rows too."""
        return self.coded_by_color and all(colors.is_pure(code) for code, *_ in self.rows)

    @property
    def _code_colors(self) -> list[Color]:
        """Colour that is the code of each label, for a colour-coded table."""
        return [colors.from_integer(code) for code in self._first_codes]

    @cached_property
    def _first_rows(self) -> dict[str, tuple[int, Color]]:
        """Name -> (code, colour) of the first row of each class."""
        found: dict[str, tuple[int, Color]] = {}
        for code, name, color, ignore in self.rows:
            if not ignore:
                found.setdefault(name, (code, color))
        return found

    @cached_property
    def _first_codes(self) -> list[int]:
        """Code of each label, or 0xRRGGBB, in the first row of its class."""
        return [code for code, _ in self._first_rows.values()]

    @cached_property
    def _labels(self) -> list[tuple[int, int]]:
        """(code, label) of each row."""
        return [
            (code, IGNORE if ignore else self.names.index(name))
            for code, name, _, ignore in self.rows
        ]

    @cached_property
    def _lookup(self) -> tuple[int, np.ndarray]:
        """(smallest code, label of each code - smallest), so that one indexing encodes a raster."""
        low, high = min(row[0] for row in self.rows), max(row[0] for row in self.rows)
        lookup = np.full(high - low + 1, UNKNOWN, np.uint8)
        for code, label in self._labels:
            lookup[code - low] = label
        return low, lookup

    def encode(
        self,
        raster: np.ndarray,
        nodata: float | None = None,
        tally: Tally | None = None,
        colormap: Mapping[int, tuple[int, ...]] | None = None,
        valid: np.ndarray | None = None,
    ) -> np.ndarray:
        """Convert the values of a mask to labels.

        With integer codes, the values of a palette image are the codes. With colours as codes, its
        colours are. A colour of the table's own `colormap` also counts as the code of its class,
        so that a map can be read back.

        Args:
            raster: Raster codes (H, W) or (1, H, W), or 8-bit RGB (3 or 4, H, W) for a
                colour-coded table. A fourth band is left out.
            nodata: The value that the file declares as no-data. A pixel of that value becomes
                IGNORE, unless the value is an integer code of the table. NaN becomes IGNORE, too.
            tally: If given, codes that are missing from the table are counted in it and become
                IGNORE. `complain` then reports the codes of all blocks of a file together.
            colormap: {value: (r, g, b)} of a file that is a palette image.
            valid: (H, W) bool, False for pixels that become IGNORE whatever their value.

        Returns:
            Labels (H, W) uint8.

        Raises:
            InputError: The number of bands or the type is wrong, a value is a fraction, or a code
                is missing from the table and `tally` is None.
        """
        met = tally or Tally()
        codes, nodata = self._codes_of(raster, nodata, colormap)
        if self.pure:
            given, (codes, rounded) = codes, colors.rounded(codes)
            counted = given[rounded if valid is None else rounded & valid]
            met.rounded += counted.size
            met.far += int(np.count_nonzero(colors.are_far(counted)))
        met.pixels += codes.size if valid is None else int(np.count_nonzero(valid))
        low, lookup = self._lookup
        inside = (codes >= low) & (codes < low + len(lookup))
        if codes.dtype.kind == "f":
            inside &= codes == np.floor(codes)
        labels = np.full(codes.shape, UNKNOWN, np.uint8)
        labels[inside] = lookup[codes[inside].astype(np.int64) - low]
        if valid is not None:
            labels[~valid] = IGNORE
        missing = labels == UNKNOWN
        if missing.any():
            labels[missing & (np.isnan(codes) | (codes == nodata))] = IGNORE
            missing = labels == UNKNOWN
        if missing.any():
            met.unknown.update(count(codes[missing]))
            labels[missing] = IGNORE
        if tally is None:
            self.complain(met.unknown, "mask")
        return labels

    def _codes_of(
        self, raster: np.ndarray, nodata: float | None, colormap: Mapping | None
    ) -> tuple[np.ndarray, float | None]:
        """Codes (H, W) of a mask, and the code that is no-data."""
        if self.coded_by_color and raster.ndim == 3 and not colormap:
            if len(raster) not in (3, 4) or raster.dtype != np.uint8:
                raise InputError(
                    f"the class table {self.name} has colours, so the mask must be 8-bit RGB, "
                    f"not {len(raster)} bands of {raster.dtype}"
                )
            return colors.of_rgb(raster), None
        codes = raster[0] if raster.ndim == 3 and len(raster) == 1 else raster
        if codes.ndim != 2:
            raise InputError(
                f"the class table {self.name} has integer codes, so the mask must have one band, "
                f"not {len(codes)}"
            )
        if not self.coded_by_color or not colormap:
            return codes, nodata
        coded = dict(zip(self._map_colors, self._code_colors))
        colormap = {value: coded.get(tuple(color[:3]), color) for value, color in colormap.items()}
        return colors.of_palette(codes, colormap, nodata), colors.NO_DATA

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Convert labels (H, W) to raster codes (H, W) of type `dtype`; IGNORE becomes `nodata`."""
        lookup = np.full(256, self.nodata, self.dtype)
        lookup[: len(self.codes)] = self.codes
        return lookup[labels]

    def complain(self, unknown: Counter, path: str | Path, hint: str = "") -> None:
        """Raise InputError if there are unknown codes; the message names them and the file."""
        if not unknown:
            return
        form = "#{:06X}".format if self.coded_by_color else str
        listed = ", ".join(
            f"{form(code)} ({count:,} pixels)" for code, count in unknown.most_common(5)
        )
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise WrongTable(
            f"{path}: code {listed}{more} not in the class table {self.name}; add a row for each "
            f"(ignore=true if it is no class) and name the table with --classes{hint}"
        )
