"""areas.csv: the area of each class in each image, one row for each image and class.

    image, date        the file, and the first date in its name: 20180412, or 2018-04-12
    class, code        from the class table
    pixels, km2        counted in the map; km2 are geodesic, and empty for an image without CRS
    share              share of the mapped pixels
    share_of_built_up  residential and non-residential as shares of their sum; else empty
    adjusted_*         km2 and share, adjusted for the errors of the network in validation, and the
                       half width of the 95 % confidence interval
                       (unet/evaluation/area_estimation.py)

The adjusted columns assume that errors are as frequent as in the validation set. This can hold for
the sum of many images of the same kind. It does not hold for a single image of another kind, such
as an image that is mostly forest.

A table of several images ends with the image "all", the sum of all images. It is left out if only
some of the images have a CRS.

Read beside it: tests/data/output/test_area_tables.py.
"""

import datetime
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.files import write_csv
from data.output.areas import Areas

COLUMNS = ["image", "date", "class", "code", "pixels", "km2", "share", "share_of_built_up"]
ADJUSTED = ["adjusted_share", "adjusted_share_ci95", "adjusted_km2", "adjusted_km2_ci95"]
BUILT_UP = "residential", "non-residential"  # classes of the table esm
ALL = "all"
DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:-(?=\d\d-))?(\d\d)-?(\d\d)(?!\d)")

# Areas (K,) in any unit -> adjusted areas and half widths of their intervals, in the same unit.
Adjust = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def date_in(name: str) -> str:
    """Find the first valid date in a name, written as YYYYMMDD or YYYY-MM-DD.

    Returns:
        The date as 2018-04-12, or "" if there is none.

    >>> date_in("T31UDQ_20180412T105031_B02.tif"), date_in("tile_12345678.tif")
    ('2018-04-12', '')
    """
    for year, month, day in DATE.findall(name):
        try:
            return datetime.date(int(year), int(month), int(day)).isoformat()
        except ValueError:
            continue
    return ""


def built_up(names: Sequence[str]) -> list[int]:
    """Return the labels of BUILT_UP, or [] if one of these classes is missing."""
    return [names.index(name) for name in BUILT_UP] if set(BUILT_UP) <= set(names) else []


def groups(table: ClassTable) -> dict[str, list[int]]:
    """Group the labels whose shares are compared: all but the background together, else each class.

    A single class has no group, because its share is always 100 %.

    >>> groups(ClassTable.load("esm"))
    {'built-up': [1, 2]}
    """
    names, foreground = table.names, table.foreground
    if not foreground:
        return {name: [label] for label, name in enumerate(names)} if len(names) > 1 else {}
    if sorted(foreground) == sorted(built_up(names)):
        return {"built-up": foreground}
    few = len(foreground) <= 3
    name = [names[label] for label in foreground] if few else table.background
    return {"all but " * (not few) + " + ".join(name): foreground}


def rows(
    image: str, table: ClassTable, pixels: np.ndarray, km2: np.ndarray | None, adjust: Adjust | None
) -> list[list]:
    """Compute the rows of one image.

    Args:
        image: Its name.
        table: The K classes.
        pixels: (K,) pixels of each class.
        km2: (K,) area of each class in km2, or None.
        adjust: The adjustment of areas, or None.

    Returns:
        A row for each class, in the order of COLUMNS and, with `adjust`, ADJUSTED.
    """
    measured = pixels.astype(float) if km2 is None else km2
    towns = built_up(table.names)
    town_area = measured[towns].sum()
    if adjust:
        adjusted, half = adjust(measured)
        total = measured.sum() or np.nan
    lines = []
    for k, (name, code) in enumerate(zip(table.names, table.codes)):
        share = pixels[k] / pixels.sum() if pixels.any() else np.nan
        of_towns = measured[k] / town_area if k in towns and town_area else np.nan
        row = [image, date_in(Path(image).name), name, code, pixels[k]]
        row += [_number(np.nan if km2 is None else km2[k]), _number(share), _number(of_towns)]
        if adjust:
            row += [_number(adjusted[k] / total), _number(half[k] / total)]
            row += ["", ""] if km2 is None else [_number(adjusted[k]), _number(half[k])]
        lines.append(row)
    return lines


def write(
    path: Path, table: ClassTable, maps: Sequence[tuple[Path, Areas]], adjust: Adjust | None = None
) -> None:
    """Write areas.csv.

    Args:
        path: The file.
        table: The K classes.
        maps: The image and the areas of each map.
        adjust: The adjustment of areas, or None.
    """
    lines = [COLUMNS + (ADJUSTED if adjust else [])]
    for image, areas in maps:
        lines += rows(str(image), table, areas.pixels, areas.km2, adjust)
    known = [areas.km2 for _, areas in maps if areas.km2 is not None]
    if len(maps) > 1 and len(known) in (0, len(maps)):
        pixels = np.sum([areas.pixels for _, areas in maps], axis=0)
        km2 = np.sum(known, axis=0) if known else None
        lines += rows(ALL, table, pixels, km2, adjust)
    write_csv(path, lines)


def area_table(table: ClassTable, areas: Areas, adjust: Adjust | None = None) -> str:
    """Format class, code, share, area and adjusted area for the terminal."""
    if areas.km2 is None:
        measured, unit, form = areas.pixels, "pixels", ",.0f"
    else:
        measured, unit, form = areas.km2, "km2", ",.4f"
    adjusted = half = np.full(len(measured), np.nan)
    if adjust and areas.pixels.any():
        adjusted, half = adjust(measured.astype(float))
    width = max(map(len, [*table.names, "no data"]))
    head = f"  {'class':{width}}  {'code':>5}  {'share':>7}  {unit:>12}"
    lines = [head + "      adjusted, 95 %" if adjust and areas.pixels.any() else head]
    for k, name in enumerate(table.names):
        share = f"{areas.shares[k]:.2%}" if areas.pixels.any() else "-"
        line = f"  {name:{width}}  {table.codes[k]:5}  {share:>7}  {measured[k]:12{form}}"
        if not np.isnan(half[k]):
            line += f"  {adjusted[k]:12{form}} +- {half[k]:{form}}"
        lines.append(line)
    if areas.no_data:
        lines.append(f"  {'no data':{width}}  {table.nodata:5}  {'':7}  {areas.no_data:12,} pixels")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Format a number with six decimals (square metres of km2), and NaN as an empty cell."""
    return "" if np.isnan(value) else f"{value:.6f}"
