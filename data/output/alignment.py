"""What alignment changed: the share of each class in a mask before and after it was resampled.

A mask on another grid than its image is resampled (data/resample.py). Let area_k be the ground of
class k, without no-data: before, in the part of the mask file that the grid of the image covers;
after, in the aligned mask. In both, the share of class k is area_k / sum of all areas.

`report` collects the shares of a training, and `of_files` those of one run of reproject.py, for
unet.evaluation.alignment.

Read beside it: tests/data/output/test_alignment.py.
"""

import colorsys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError, write_csv
from data.grid import Window
from data.input.image import Image
from data.output import aligned_pictures
from data.output.aligned_pictures import Labels
from data.output.preview import rgb
from data.raster import Raster
from data.raster.cache import block_reader, block_size
from data.raster.classsource import ClassFile, class_file
from data.raster.covered import covered_areas
from data.raster.placed import placed
from data.terminal import note
from data.training.dataset import Windows
from data.training.mask import Mask
from data.training.scenes import Scene

PICTURES = 4  # images with the largest change that are shown
HEADING = "Masks before and after alignment"
MOST_CODES = 100  # of a raster without a class table; the rarer ones are left out of the report


class Aligned(NamedTuple):
    """The shares (K,) of the classes in a mask before and after alignment; NaN without classes."""

    image: str
    before: np.ndarray
    after: np.ndarray

    @property
    def changes(self) -> np.ndarray:
        """How much each share changed (K,)."""
        return np.nan_to_num(abs(self.after - self.before))

    @property
    def change(self) -> float:
        """The largest change of a share."""
        return float(self.changes.max())

    def in_words(self, names: Sequence[str]) -> str:
        """Describe the largest change of a share."""
        label = int(self.changes.round(9).argmax())  # of equal changes the first
        points = f"largest change of a share {100 * self.change:.2f} percentage points"
        shares = f"{100 * self.before[label]:.2f} % before, {100 * self.after[label]:.2f} % after"
        return f"{points}, {names[label]} in {self.image} ({shares})"


def of_scenes(scenes: Sequence[Scene]) -> list[tuple[Scene, Aligned]]:
    """List the scenes whose masks were resampled, with their shares, the largest change first."""
    names = [scene.image_path.name for scene in scenes]
    found = []
    for scene, name in zip(scenes, names):
        if scene.areas:
            unique = name if names.count(name) == 1 else str(scene.image_path)
            found.append((scene, Aligned(unique, *map(_shares, scene.areas))))
    return sorted(found, key=lambda pair: -pair[1].change)


def lines(scenes: Sequence[Scene], table: ClassTable, method: str) -> list[str]:
    """Return the line to print about the alignment of a training; none if no mask was resampled."""
    found = of_scenes(scenes)
    return [_largest([one for _, one in found], table, method)] if found else []


def report(windows: Windows, table: ClassTable, method: str, path: Path) -> dict:
    """Write alignment.csv, and make the values for the report of a training.

    Args:
        windows: Windows of the scenes.
        table: The class table.
        method: The method of resampling.
        path: The CSV file: image, class, share before, share after.

    Returns:
        {"alignment": values for unet.evaluation.alignment.section}, or {} and no file if no mask
        was resampled. A mask that cannot be read any more is left out of the pictures, and told.
    """
    found = of_scenes(windows.scenes)
    if not found:
        return {}
    rows = [
        (one.image, name, before, after)
        for _, one in found
        for name, before, after in zip(table.names, one.before.tolist(), one.after.tolist())
    ]
    write_csv(path, [("image", "class", "share before", "share after"), *rows])
    shown, missing = [], []
    for scene, one in found[:PICTURES]:
        image = partial(_picture, scene.read, windows.names, scene.nodata)
        try:
            with Mask(scene.mask_path, table) as mask:
                read = block_reader(mask.raster, mask.read, np.dtype(np.uint8))
                grid = placed(mask.grid, scene.grid, mask.path)
                masks = (read, grid), (scene.read_labels, scene.grid)
                shown.append(_sample(one, table, scene.mask_path, masks, image))
        except (InputError, OSError) as error:
            missing.append(error)
    if missing:
        note(f"no picture of {len(missing)} of {len(found[:PICTURES])} masks: {missing[0]}")
    return {"alignment": _values([one for _, one in found], table, method, shown)}


def of_files(
    source: str | Path, aligned: str | Path, like: str | None, method: str, nodata: int | None
) -> dict:
    """Make the values for a report on a raster of classes and on its resampled copy.

    Args:
        source: The raster of classes.
        aligned: The result of reproject.py.
        like: The raster whose grid the result has, to be shown beside it.
        method: The method of resampling.
        nodata: The option --nodata.
    """
    with Raster(source) as before, Raster(aligned) as after:
        files = class_file(before, after.grid, nodata), class_file(after, after.grid)
        sums = [
            covered_areas(file.read, file.grid, after.grid, block_size(raster))
            for file, raster in zip(files, (before, after))
        ]
        for areas, file in zip(sums, files):
            areas.pop(file.nodata, None)
        codes = sorted(code for code, _ in (sums[0] | sums[1]).most_common(MOST_CODES))
        table = _table(codes, before.colormap)
        shares = [_shares([areas[code] for code in codes], areas.total()) for areas in sums]
        one = Aligned(Path(source).name, *shares)
        source_mask, result = ((_labels(file, codes), file.grid) for file in files)
        shown = []
        if codes and like:
            with Image(Path(like)) as image:
                names = [name or "" for name in image.descriptions]
                drawn = partial(_picture, image.read, names, image.nodata)
                shown.append(_sample(one, table, Path(source), (source_mask, result), drawn))
        elif codes:
            shown.append(_sample(one, table, Path(source), (source_mask, result)))
    values, different = _values([one], table, method, shown), len(sums[0] | sums[1])
    if different > len(codes):
        values["text"] += f"; the {len(codes)} commonest of {different:,} codes are listed"
    return values


def _shares(areas: Sequence[float], total: float | None = None) -> np.ndarray:
    """Convert areas (K,) to shares (K,) of a total, by default of their sum."""
    total = sum(areas) if total is None else total
    return np.array(areas) / total if total else np.full(len(areas), np.nan)


def _largest(found: Sequence[Aligned], table: ClassTable, method: str) -> str:
    """Describe the largest change of a share in a line."""
    count = f"{len(found)} mask{'s' * (len(found) > 1)} aligned by {method}"
    worst = max(found, key=lambda one: one.change)
    if not worst.change:
        return f"{count}: the shares of the classes are the same as before"
    return f"{count}: {worst.in_words(table.names)}"


def _values(found: Sequence[Aligned], table: ClassTable, method: str, shown: list[dict]) -> dict:
    """Make the values for unet.evaluation.alignment.section."""
    return {
        "text": _largest(found, table, method) if table.names else "no pixel has a class",
        "classes": list(zip(table.names, table.colors)),
        "images": [one._asdict() for one in found],
        "samples": shown,
    }


def _sample(
    one: Aligned,
    table: ClassTable,
    path: Path,
    masks: tuple[Labels, Labels],
    image: Callable[[Window], np.ndarray] | None = None,
) -> dict:
    """Draw the masks of an image, for unet.evaluation.markup.samples."""
    window, pictures = aligned_pictures.draw(*masks, table, image)
    title = path.name
    grid = masks[1][1]
    if (window.height, window.width) != (grid.height, grid.width):
        title += f", rows from {window.row}, columns from {window.col}"
    if one.change:
        title += f": {one.in_words(table.names)}"
    return {"title": title, "group": HEADING, "pictures": pictures}


def _picture(read: Callable, names: Sequence[str], nodata: float | None, window: Window):
    """Draw a window of an image as (h, w, 3) uint8."""
    return rgb(read(window), names, nodata)


def _table(codes: Sequence[int], colormap: dict | None) -> ClassTable:
    """Make a class table of codes, in the colours of the raster or in colours of its own."""
    rows = []
    for number, code in enumerate(codes):
        hue = colorsys.hsv_to_rgb(0.61803 * number % 1, 0.55, 0.85)  # far from the hues before it
        color = (colormap or {}).get(code) or [round(255 * part) for part in hue]
        red, green, blue = color[:3]
        rows.append((code, f"code {code}", (red, green, blue), False))
    return ClassTable("codes", tuple(rows))


def _labels(file: ClassFile, codes: Sequence[int]) -> Callable[[Window], np.ndarray]:
    """Make a function that reads a window (h, w) of a file as numbers of its codes."""
    known = np.array(codes)

    def read(window: Window) -> np.ndarray:
        found = file.read(window)
        number = np.searchsorted(known, found).clip(max=len(known) - 1)
        return np.where(known[number] == found, number, IGNORE).astype(np.uint8)

    return read
