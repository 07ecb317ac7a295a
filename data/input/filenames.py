"""What the names of files say: the place of an image, and the order of its dates.

    april_07.tif, august_07.tif         place 07, two dates
    p_2019-06-01.tif, p_20210601.tif    two dates in order of time

Dates have the year first or last, and `_`, `-`, `.` or nothing between the numbers. 03_04_2019 is
read as day, month, year. The date of a Sentinel-2 or Landsat product is that of sensing.

Read beside it: tests/data/input/test_filenames.py.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from data.files import InputError
from data.raster.safe import NAME

# Years of satellites that map land: 2048 is the side of a tile.
YEAR, MONTH, DAY = r"(?P<y>19[789]\d|20[0-3]\d)", r"(?P<m>0[1-9]|1[0-2])", r"(?P<d>[0-2]\d|3[01])"
# The forms of a date, the most exact first. (?P=s) repeats the mark between year and month.
FORMS = {
    "year-month-day": rf"{YEAR}(?P<s>[-_.]?){MONTH}(?P=s){DAY}(?:T?(?P<time>\d{{6}}))?",
    "day-month-year": rf"{DAY}(?P<s>[-_.]?){MONTH}(?P=s){YEAR}",
    "year-month": rf"{YEAR}(?P<s>[-_.]?){MONTH}",
    "month-year": rf"{MONTH}(?P<s>[-_.]?){YEAR}",
    "year": YEAR,
}
LANDSAT = re.compile(r"L[COTEM]\d{7}(\d{4})(\d{3})[A-Z]{3}\d\d")  # sensor, path, row, year, day


class Dated(NamedTuple):
    """A date in a name."""

    form: str  # of FORMS
    numbers: tuple[int, ...]  # year, month, day, time; 0 where the name has none


def words(stem: str) -> list[str]:
    """Split a name into words and numbers.

    >>> words("town-07_maskB.v2")
    ['town', '07', 'maskB', 'v', '2']
    >>> words("tile_-1_2")
    ['tile', '-1', '2']
    """
    return re.findall(r"[^\W\d_]+|(?:(?:^|(?<=[-_(,]))-)?\d+", stem)


def is_number(word: str) -> bool:
    """Return whether one of `words` is a number."""
    return word[-1:].isdigit()


def place_numbers(path: Path) -> list[str]:
    """Return the numbers in a file's name that are no date and no pixel size: those of its place.

    Year and month are a date if another number follows. The number behind a year may be the place.

    >>> place_numbers(Path("esm_10m_2012_4.tif"))
    ['4']
    >>> place_numbers(Path("tile_3_2019_06_7.tif")), place_numbers(Path("2019_07.tif"))
    (['3', '7'], ['07'])
    """
    stem = token(path) if NAME.fullmatch(path.stem) else path.stem
    stem = re.sub(r"(?<!\d)\d+(?:cm|k?m)(?![^\W\d_])", "_", stem)
    for form, pattern in FORMS.items():
        follows = r"(?=.*\d)" if form in ("year-month", "month-year") else ""
        stem = re.sub(rf"(?<!\d){pattern}(?!\d){follows}", "_", stem)
    return [word for word in words(stem) if is_number(word)]


def token(path: Path) -> str:
    """Return the part of a file's name that identifies the place.

    It is the tile of a Sentinel-2 product, and the part behind the last `_` of any other name.

    >>> token(Path("april_07.tif"))
    '07'
    >>> token(Path("S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE"))
    'T32TPS'
    """
    product = NAME.fullmatch(path.stem)
    return product[2] if product else path.stem.rsplit("_", 1)[-1]


def date_of(path: Path) -> Dated | None:
    """Find the date in a file's name. If there are several, the most exact and then first counts.

    >>> date_of(Path("p_01.06.2019.tif"))
    Dated(form='day-month-year', numbers=(2019, 6, 1, 0))
    """
    if landsat := LANDSAT.match(path.stem):
        taken = date(int(landsat[1]), 1, 1) + timedelta(int(landsat[2]) - 1)
        return Dated("year-month-day", (taken.year, taken.month, taken.day, 0))
    for form, pattern in FORMS.items():
        for match in re.finditer(rf"(?<!\d){pattern}(?!\d)", path.stem):
            found = match.groupdict(default="0")
            year, month, day, time = (int(found.get(key, 0)) for key in ("y", "m", "d", "time"))
            try:
                date(year, month or 1, day or 1)
            except ValueError:  # 31 February
                continue
            return Dated(form, (year, month, day, time))
    return None


def dates_of(paths: Sequence[Path]) -> list[tuple[int, ...]] | None:
    """Return the dates in the names of files, comparable with each other.

    03_04_2019 may be in April or in March. So dates of several forms are compared by year alone.

    Returns:
        One date for each file; None if a name has no date, or two names have equal dates.
    """
    found = [dated for path in paths if (dated := date_of(path))]
    one_form = len({dated.form for dated in found}) == 1
    dates = [dated.numbers if one_form else dated.numbers[:1] for dated in found]
    return dates if len(set(dates)) == len(paths) else None


def in_order(dates: Sequence[Path]) -> tuple[Path, ...]:
    """Sort the images of one place by the dates in their names.

    Without dates they are sorted by name, and by folder where the names are equal. The order of the
    command line does not count, so that training and prediction have the same order.
    """
    by_name = sorted(dates, key=lambda path: (path.name, str(path)))
    known = dates_of(by_name)
    return tuple(path for _, path in sorted(zip(known, by_name))) if known else tuple(by_name)


def by_place(images: Sequence[Path], dates: int) -> list[tuple[Path, ...]]:
    """Group images by place, with the dates of each place in order.

    Args:
        images: Images of any number of places.
        dates: Number of dates that the network was trained on. With 1, each image is a place.
            Exactly `dates` images are one place. Other numbers of images are grouped by `token`.

    Raises:
        InputError: The number of images of a place is not `dates`, or they are of one day.
    """
    if dates == 1:
        return [(image,) for image in images]
    places = defaultdict(list)
    for image in images:
        places[None if len(images) == dates else token(image)].append(image)
    for name, group in places.items():
        if len(group) != dates:
            several = f"s ({', '.join(path.name for path in group)})" if len(group) > 1 else ""
            raise InputError(
                f"{group[0]}: {len(group)} image{several} of the place '{name}', but the "
                f"checkpoint was trained on {dates} dates of each; give {dates} images that share "
                "the part of the name behind the last '_'"
            )
        # north_2019_06_01.tif and south_2019_06_01.tif end alike, and are no two dates.
        days = [found.numbers for path in group if (found := date_of(path)) and found.numbers[2]]
        if len(days) == dates > len(set(days)):
            raise InputError(
                f"{group[0]}: has the date of another image of the same place by its name "
                f"({', '.join(path.name for path in group)}); map the dates of one place at a time"
            )
    return [in_order(group) for group in places.values()]


def by_mask(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[tuple[Path, ...], Path]]:
    """Group pairs (image, mask) by mask, with the dates of each mask in order.

    Raises:
        InputError: Masks differ in their number of dates, or each has only one.
    """
    places = defaultdict(list)
    for image, mask in pairs:
        places[mask].append(image)
    counts = [len(dates) for dates in places.values()]
    usual = max(counts, key=counts.count)
    odd = [f"{mask.name} has {len(dates)}" for mask, dates in places.items() if len(dates) != usual]
    if odd:
        raise InputError(
            f"--stack-dates: every mask needs the same number of dates; most have {usual}, but "
            f"{', '.join(odd)}"
        )
    if usual == 1:
        raise InputError(
            "--stack-dates: every mask has one image; dates of one place share a mask by the part "
            "of the name behind the last '_' (april_07.tif, august_07.tif, mask_07.tif)"
        )
    return [(in_order(dates), mask) for mask, dates in places.items()]
