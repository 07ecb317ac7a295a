"""Which scenes lie on the same ground: by georeference, mask, labels or pixels, or by --places.

A scene with a CRS has its place on the map. Other scenes get one like this:

    mask     Scenes that share a mask file lie on each other.
    look     Scenes whose labels or pixels agree (data/training/shared_ground.py) lie side by side,
             at the shift that was found. If one of them has a CRS, the others take it over.
    places   --places names the place of each scene. A named place is not cut into blocks. It goes
             to training or to validation as a whole.

Read beside it: tests/data/training/test_places.py.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.files import InputError
from data.grid import Grid
from data.tables import rows
from data.training.scenes import Scene
from data.training.shared_ground import Link, equal_images, equal_labels

LISTED = 5  # names in an error


class Spot(NamedTuple):
    """Where a scene lies."""

    grid: Grid  # the scene's grid; without a CRS, its grid in the coordinates of the sheet
    sheet: int  # scenes of one sheet have common coordinates; it has no meaning with a CRS
    ground: int  # scenes with equal labels have the same number
    place: int = -1  # number of the place that --places names


def find_spots(scenes: Sequence[Scene], option: str | None) -> tuple[list[Spot], list[str]]:
    """Find where the scenes lie.

    Args:
        scenes: The scenes.
        option: The option --places, see `named`.

    Returns:
        The spots of the scenes, and lines to print about what was found.

    Raises:
        InputError: --places is wrong.
    """
    lines = []
    places = named(scenes, option) if option else []
    if option:
        lines.append(f"{len({*places})} places from {option}")
    shared = same_masks(scenes)
    found = equal_images(scenes) + equal_labels(scenes)
    lines += told(len(scenes), shared, found)
    spots = located(scenes, shared + found)
    numbers = {place: number for number, place in enumerate(dict.fromkeys(places))}
    return [spot._replace(place=numbers[p]) for spot, p in zip(spots, places)] or spots, lines


def told(count: int, shared: Sequence[Link], found: Sequence[Link]) -> list[str]:
    """Describe the links that were found beyond those of scenes with a common mask."""
    equal = [*shared, *(link for link in found if link.equal)]
    nearly = [*shared, *found]
    known, same, alike = (joined(count, links)[0] for links in (shared, equal, nearly))
    lines = []
    if len({*same}) < len({*known}):
        sizes = np.bincount(same)
        sizes = sizes[sizes > 1]
        number = f"{len(sizes)} places" if len(sizes) > 1 else "one place"
        lines.append(
            f"{sizes.sum()} of {count} images show ground of another image (equal masks, also "
            f"shifted, or equal pixels): they are taken for {number}"
        )
    if len({*alike}) < len({*same}):
        images = sum(len({*same[alike == sheet]}) > 1 for sheet in alike)
        lines.append(
            f"{images} of {count} images share ground with other places (masks that agree, but "
            "are shifted by parts of a pixel): windows on shared ground are on one side, too"
        )
    return lines


def same_masks(scenes: Sequence[Scene]) -> list[Link]:
    """Link scenes without a CRS to the first scene of their mask, with a CRS if there is one."""
    first: dict[Path, int] = {}
    links = []
    for number in sorted(range(len(scenes)), key=lambda n: scenes[n].grid.crs is None):
        one = first.setdefault(scenes[number].mask_path, number)
        grid, other = scenes[one].grid, scenes[number].grid
        if one == number or other.crs is not None:
            continue
        (a, b, _, d, e, _), (*_, x, _, _, y) = grid.transform, other.transform
        parallel = other.transform[:2] + other.transform[3:5] == (a, b, d, e)
        row, col = grid.rowcol(x, y) if parallel else (0, 0)
        links.append(Link(one, number, row, col))
    return links


def joined(count: int, links: Sequence[Link]) -> tuple[np.ndarray, np.ndarray]:
    """Join linked scenes to sheets.

    Returns:
        The sheet of each scene (count,), and the row and column of each scene in its sheet
        (count, 2).
    """
    sheet, at = np.arange(count), np.zeros((count, 2))
    for one, other, row, col, _ in sorted(links, key=lambda link: not link.equal):
        if sheet[one] != sheet[other]:
            moved = sheet == sheet[other]
            at[moved] += at[one] + (row, col) - at[other]
            sheet[moved] = sheet[one]
    return sheet, at


def located(scenes: Sequence[Scene], links: Sequence[Link]) -> list[Spot]:
    """Place linked scenes side by side, on the grid of the first of them that has a CRS."""
    sheets, at = joined(len(scenes), links)
    grounds, _ = joined(len(scenes), [link for link in links if link.equal])
    anchors: dict[int, int] = {}
    for number in sorted(range(len(scenes)), key=lambda n: scenes[n].grid.crs is None):
        anchors.setdefault(sheets[number], number)
    spots = []
    for number, (scene, sheet) in enumerate(zip(scenes, sheets)):
        grid, anchor = scene.grid, anchors[sheet]
        if grid.crs is None and anchor != number:
            row, col = at[number] - at[anchor]
            a, b, _, d, e, _ = (first := scenes[anchor].grid).transform
            x, y = first.xy(row, col)
            grid = Grid(first.crs, (a, b, x, d, e, y), grid.height, grid.width)
        spots.append(Spot(grid, int(sheet), int(grounds[number])))
    return spots


def numbers(spots: Sequence[Spot]) -> list[int]:
    """Number the places on which the scenes lie, from 0: equal numbers are one place.

    Scenes of one place have the same name of --places. Without --places they have the same CRS and
    grid, as two dates of one tile have, or equal labels.
    """

    def place(spot: Spot) -> tuple:
        grid = spot.grid
        if spot.place >= 0:
            return (spot.place,)
        if grid.crs is None:
            return None, spot.ground
        return grid.crs, grid.transform, grid.height, grid.width

    found: dict[tuple, int] = {}
    return [found.setdefault(place(spot), len(found)) for spot in spots]


def named(scenes: Sequence[Scene], option: str) -> list[str]:
    """Return the place of each scene by --places.

    Args:
        scenes: The scenes.
        option: A CSV file with the columns image and place, or a regular expression that matches
            the whole name of an image without its ending. Its first group is the place.

    Raises:
        InputError: The option is wrong, or an image has no place or several.
    """
    if Path(option).is_file():
        found = by_file(scenes, Path(option))
    elif option.lower().endswith((".csv", ".txt")):
        raise InputError(f"--places {option}: no such file")
    else:
        found = by_pattern(scenes, option)
    for count, problem in ((0, "without a place"), (2, "with several places")):
        wrong = [s.image_path.name for s, p in zip(scenes, found) if min(len(p), 2) == count]
        if wrong:
            more = f" and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
            raise InputError(
                f"--places {option}: {len(wrong)} images {problem} "
                f"({', '.join(wrong[:LISTED])}{more}); every image needs one place"
            )
    return [place for (place,) in found]


def by_file(scenes: Sequence[Scene], path: Path) -> list[set[str]]:
    """Return the places that a CSV file names for each scene.

    An image is named with or without its ending and its folders. A file without a column `image`
    has the images in its first column.
    """
    records = rows.read(path)
    columns = list(records[0]) if records else []
    if "place" not in columns or len(columns) < 2:
        raise InputError(f"{path}: the columns are {', '.join(columns)}; write image,place")
    image = "image" if "image" in columns else next(c for c in columns if c != "place")
    places: dict[str, set[str]] = defaultdict(set)
    for record in records:
        places[record[image].strip()].add(record["place"].strip())
    found = []
    for scene in scenes:
        whole, bare = scene.image_path.parts, scene.image_path.with_suffix("").parts
        names = {"/".join(parts[n:]) for parts in (whole, bare) for n in range(len(parts))}
        found.append(set().union(*(places.get(name, set()) for name in names)) - {""})
    return found


def by_pattern(scenes: Sequence[Scene], pattern: str) -> list[set[str]]:
    """Return the places that a regular expression finds in the names of the images."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--places {pattern}: neither a file nor a regular expression ({error})"
        ) from None
    if not expression.groups:
        raise InputError(
            f"--places {pattern}: no such file, and no group for the place; give a CSV file, or "
            r"a pattern such as '(.*)_\d+'"
        )
    matches = (expression.fullmatch(scene.image_path.stem) for scene in scenes)
    return [{match[1]} - {"", None} if match else set() for match in matches]
