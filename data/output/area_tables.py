"""areas.csv: how much of each class there is, with a row for each image and class.

    image, date        the file, and the first date in its name: 20180412, or 2018-04-12
    class, code        of the class table
    pixels, km2        counted in the map; km2 are geodesic, and empty for an image without CRS
    share              of the mapped pixels
    share_of_built_up  residential and non-residential as parts of their sum; empty for others
    adjusted_*         km2 and share without the known errors of the classifier, and the half width
                       of the 95 % confidence interval (unet/evaluation/area_estimation.py)

The adjusted columns take errors to be as frequent as in the validation set. That holds for many
images of its kind together rather than for a single one, least of all for an image that is mostly
forest. Several images of one table end with rows of the image "all", if all of them have a CRS or
none has. Read beside it: tests/data/output/test_area_tables.py.
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
BUILT_UP = "residential", "non-residential"  # names of classes of the table esm
ALL = "all"
DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:-(?=\d\d-))?(\d\d)-?(\d\d)(?!\d)")

# Areas (K,) in any unit -> adjusted areas and half widths of their intervals, in the same unit.
Adjust = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def date_in(name: str) -> str:
    """Find the first YYYYMMDD or YYYY-MM-DD of a name that is a day of the calendar.

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
    """The labels of residential and non-residential ground, or [] if either class is missing."""
    return [names.index(name) for name in BUILT_UP] if set(BUILT_UP) <= set(names) else []


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
    found = []
    for k, (name, code) in enumerate(zip(table.names, table.codes)):
        share = pixels[k] / pixels.sum() if pixels.any() else np.nan
        of_towns = measured[k] / town_area if k in towns and town_area else np.nan
        row = [image, date_in(Path(image).name), name, code, pixels[k]]
        row += [_number(np.nan if km2 is None else km2[k]), _number(share), _number(of_towns)]
        if adjust:
            row += [_number(adjusted[k] / total), _number(half[k] / total)]
            row += ["", ""] if km2 is None else [_number(adjusted[k]), _number(half[k])]
        found.append(row)
    return found


def write(
    path: Path, table: ClassTable, found: Sequence[tuple[Path, Areas]], adjust: Adjust | None = None
) -> None:
    """Write areas.csv of the images that were mapped, with the sum over several images."""
    lines = [COLUMNS + (ADJUSTED if adjust else [])]
    for image, areas in found:
        lines += rows(str(image), table, areas.pixels, areas.km2, adjust)
    with_crs = {areas.km2 is not None for _, areas in found}
    if len(found) > 1 and len(with_crs) == 1:
        km2 = sum(areas.km2 for _, areas in found) if with_crs == {True} else None
        lines += rows(ALL, table, sum(areas.pixels for _, areas in found), km2, adjust)
    write_csv(path, lines)


def area_table(table: ClassTable, found: Areas, adjust: Adjust | None = None) -> str:
    """Format class, code, share, area and adjusted area for the terminal."""
    if found.km2 is None:
        measured, unit, form = found.pixels, "pixels", ",.0f"
    else:
        measured, unit, form = found.km2, "km2", ",.4f"
    adjusted = half = np.full(len(measured), np.nan)
    if adjust and found.pixels.any():
        adjusted, half = adjust(measured.astype(float))
    width = max(map(len, [*table.names, "no data"]))
    head = f"  {'class':{width}}  {'code':>5}  {'share':>7}  {unit:>12}"
    lines = [head + "      adjusted, 95 %" if adjust and found.pixels.any() else head]
    for k, name in enumerate(table.names):
        share = f"{found.shares[k]:.2%}" if found.pixels.any() else "-"
        line = f"  {name:{width}}  {table.codes[k]:5}  {share:>7}  {measured[k]:12{form}}"
        if not np.isnan(half[k]):
            line += f"  {adjusted[k]:12{form}} +- {half[k]:{form}}"
        lines.append(line)
    if found.no_data:
        lines.append(f"  {'no data':{width}}  {table.nodata:5}  {'':7}  {found.no_data:12,} pixels")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Six decimals, which of km2 are square metres; an empty cell for NaN."""
    return "" if np.isnan(value) else f"{value:.6f}"
