"""areas.csv: the area of each class in each image, one row for each image and class.

    image, date        the file, and the first date in its name: 20180412, or 2018-04-12
    class, code        from the class table
    pixels, km2        counted in the map; km2 are geodesic, and empty for an image without CRS
    share              share of the mapped pixels
    share_of_built_up  residential and non-residential as shares of their sum; else empty
    adjusted_*         share and km2, adjusted for the errors of the network in validation, with
                       both ends of the 95 % interval (unet/evaluation/area_estimation.py)
    not_adjusted       why the adjusted columns are empty

The adjusted columns assume that errors are as frequent as in the validation set. So they are empty
if the image does not resemble the validation windows.

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
ADJUSTED = [f"adjusted_{unit}{end}" for unit in ("share", "km2") for end in ("", "_low", "_high")]
BUILT_UP = "residential", "non-residential"  # classes of the table esm
ALL = "all"
DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:-(?=\d\d-))?(\d\d)-?(\d\d)(?!\d)")

# Areas (K,) in any unit, number of pixels and of images -> adjusted shares, and the lower and upper
# ends of their intervals: (3, K).
Adjust = Callable[[np.ndarray, int, int], np.ndarray]


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
    image: str,
    table: ClassTable,
    pixels: np.ndarray,
    km2: np.ndarray | None,
    adjusted: np.ndarray | str,
) -> list[list]:
    """Compute the rows of one image.

    Args:
        image: Its name.
        table: The K classes.
        pixels: (K,) pixels of each class.
        km2: (K,) area of each class in km2, or None.
        adjusted: Adjusted shares and the ends of their intervals, (3, K); or why there are none.

    Returns:
        A row for each class, in the order of COLUMNS, ADJUSTED and the reason.
    """
    measured = pixels.astype(float) if km2 is None else km2
    towns = built_up(table.names)
    town_area = measured[towns].sum()
    why = adjusted if isinstance(adjusted, str) else ""
    shares = np.full((3, len(measured)), np.nan) if isinstance(adjusted, str) else adjusted
    ground = np.full_like(shares, np.nan) if km2 is None else shares * km2.sum()
    lines = []
    for k, (name, code) in enumerate(zip(table.names, table.codes)):
        share = pixels[k] / pixels.sum() if pixels.any() else np.nan
        of_towns = measured[k] / town_area if k in towns and town_area else np.nan
        row = [image, date_in(Path(image).name), name, code, pixels[k]]
        row += [_number(np.nan if km2 is None else km2[k]), _number(share), _number(of_towns)]
        lines.append([*row, *map(_number, [*shares[:, k], *ground[:, k]]), why])
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
    lines = [[*COLUMNS, *ADJUSTED, "not_adjusted"]]
    for image, areas in maps:
        lines += rows(str(image), table, areas.pixels, areas.km2, adjusted([areas], adjust))
    known = [areas.km2 for _, areas in maps if areas.km2 is not None]
    if len(maps) > 1 and len(known) in (0, len(maps)):
        pixels = np.sum([areas.pixels for _, areas in maps], axis=0)
        km2 = np.sum(known, axis=0) if known else None
        together = adjusted([areas for _, areas in maps], adjust)
        lines += rows(ALL, table, pixels, km2, together)
    write_csv(path, lines)


def adjusted(maps: Sequence[Areas], adjust: Adjust | None) -> np.ndarray | str:
    """Adjust the shares of the classes in all maps together.

    Returns:
        Shares and the ends of their intervals, (3, K); or why there are none.
    """
    mapped = [areas for areas in maps if areas.pixels.any()]
    objections = [areas.objection for areas in mapped if areas.objection]
    if adjust is None or not mapped:
        return "no pixel was mapped" if adjust else "the checkpoint has no validation windows"
    if objections:
        number = f"{len(objections)} of {len(maps)} images: " if len(maps) > 1 else ""
        return number + objections[0]
    measured = np.sum([areas.measured for areas in mapped], axis=0).astype(float)
    pixels = sum(int(areas.pixels.sum()) for areas in mapped)
    return adjust(measured, pixels, len(mapped))


def area_table(table: ClassTable, areas: Areas, adjust: Adjust | None = None) -> str:
    """Format class, code, share, area and adjusted area for the terminal."""
    unit, form = ("pixels", ",.0f") if areas.km2 is None else ("km2", ",.4f")
    measured, shares = areas.measured, adjusted([areas], adjust)
    width = max(map(len, [*table.names, "no data"]))
    head = f"  {'class':{width}}  {'code':>5}  {'share':>7}  {unit:>12}"
    lines = [head if isinstance(shares, str) else head + "      adjusted  (95 % interval)"]
    for k, name in enumerate(table.names):
        share = f"{areas.shares[k]:.2%}" if areas.pixels.any() else "-"
        line = f"  {name:{width}}  {table.codes[k]:5}  {share:>7}  {measured[k]:12{form}}"
        if not isinstance(shares, str):
            area, low, high = shares[:, k] * measured.sum()
            line += f"  {area:12{form}}  ({low:{form}} to {high:{form}})"
        lines.append(line)
    if areas.no_data:
        lines.append(f"  {'no data':{width}}  {table.nodata:5}  {'':7}  {areas.no_data:12,} pixels")
    if isinstance(shares, str) and areas.pixels.any():
        lines.append(f"  areas are not adjusted for errors: {shares}")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Format a number with six decimals (square metres of km2), and NaN as an empty cell."""
    return "" if np.isnan(value) else f"{value:.6f}"
