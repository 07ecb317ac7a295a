"""Several dates of one place as one image: their bands behind each other.

Wheat and meadow look alike in April, and not in August. A network that sees both dates at once can
tell them apart by what changes, and all it takes is more bands:

    Red, NIR of April and Red, NIR of August   ->   Red, NIR, Red@2, NIR@2

The first date keeps its names. What one date does not show (a cloud cut out, a strip's edge) cannot
be told from the others alone, so a pixel without data in any date is without data in all.

Read beside it: tests/data/input/test_stack.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from data import bands
from data.files import InputError
from data.grid import Window
from data.raster import Raster
from data.raster.safe import NAME, Safe, is_safe
from data.scaling import valid_pixels


class Stack:
    """Rasters of one grid and the same bands, read as one raster of dates x bands; used like
    `geotiff.Raster`.

    `path` and the georeference are those of the first date, `nodata` is `nodata` if given, else the
    first that a date declares. Raises InputError naming two dates that differ in grid, bands or
    their names.
    """

    def __init__(
        self, paths: Sequence[Path], nodata: float | None = None, folder: Path | None = None
    ) -> None:
        with ExitStack() as opened:
            self.rasters = [
                opened.enter_context(open_image([path], folder=folder)) for path in paths
            ]
            first, *others = self.rasters
            names = bands.names(first.descriptions)
            for raster in others:
                found = bands.names(raster.descriptions)
                for what, one, other, same in (
                    ("grid", _said(first), _said(raster), raster.grid.matches(first.grid)),
                    ("bands", ", ".join(names), ", ".join(found), found == names),
                ):
                    if not same:
                        raise InputError(
                            f"{raster.path}: {what} {other}, but {first.path} has {one}; the dates of one place need "
                            "one grid and the same bands in the same order"
                        )
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags, self.colormap = (
            first.path,
            first.grid,
            first.geo_tags,
            None,
        )
        self.block_shape = first.block_shape
        self.count = len(paths) * first.count
        self.dtype = np.result_type(*(raster.dtype for raster in self.rasters))
        self.descriptions = tuple(bands.dated(names, len(paths)))
        self._nodata = [raster.nodata if nodata is None else nodata for raster in self.rasters]
        self.nodata = next((value for value in self._nodata if value is not None), None)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Pixels (bands, height, width) of a window, or of all; no-data is NaN in floats, else
        `nodata`.
        """
        dates = [raster.read(window) for raster in self.rasters]
        valid = np.logical_and.reduce(
            [valid_pixels(date, value) for date, value in zip(dates, self._nodata)]
        )
        pixels = np.concatenate(dates, dtype=self.dtype)
        if (
            not valid.all()
        ):  # where a date declares no value and has whole numbers, all its pixels are valid
            pixels[:, ~valid] = np.nan if self.dtype.kind == "f" else self.nodata
        return pixels if bands is None else pixels[[band - 1 for band in bands]]


def _said(raster: Raster | Safe) -> str:
    grid = raster.grid
    crs = grid.crs.to_string()[:60] if grid.crs else "no CRS"
    left, _, _, top = grid.bounds
    return f"{grid.width} x {grid.height} pixels of {grid.resolution[0]:g} from {left:.10g}, {top:.10g} in {crs}"


def open_image(
    paths: Sequence[Path], nodata: float | None = None, folder: Path | None = None
) -> Raster | Safe | Stack:
    """The image of one place: its one file or SAFE folder, or the stack of its dates. A context
    manager.

    `nodata` holds for all dates; `folder` is where a product's decoded bands may lie for the time
    being.
    """
    if len(paths) > 1:
        return Stack(paths, nodata, folder)
    return Safe(paths[0], folder) if is_safe(paths[0]) else Raster(paths[0])


def token(path: Path) -> str:
    """The part of a file's name that says which place it shows: a product's tile, else what follows
    the last `_`.

    >>> token(Path("april_07.tif"))
    '07'
    >>> token(Path("S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE"))
    'T32TPS'
    """
    product = NAME.fullmatch(path.stem)
    return product[2] if product else path.stem.rsplit("_", 1)[-1]


def by_place(images: Sequence[Path], dates: int) -> list[tuple[Path, ...]]:
    """The images of each place, sorted by name as in training: one each, all if there are `dates`,
    else by `token`.

    Raises InputError where a place has another number of images than `dates`.
    """
    if dates == 1:
        return [(image,) for image in images]
    places = defaultdict(list)
    for image in images:
        places[None if len(images) == dates else token(image)].append(image)
    for name, found in places.items():
        if len(found) != dates:
            several = f"s ({', '.join(path.name for path in found)})" if len(found) > 1 else ""
            raise InputError(
                f"{found[0]}: {len(found)} image{several} of the place '{name}', but the checkpoint was trained on "
                f"{dates} dates of each; give {dates} images that share the part of the name behind the last '_'"
            )
    return [in_order(found) for found in places.values()]


def in_order(dates: Sequence[Path]) -> tuple[Path, ...]:
    """Dates sorted by name (products by the time in it: S2B comes before S2A), else by folder."""

    def when(path: Path) -> tuple[str, str]:
        product = NAME.fullmatch(path.stem)
        return product[1] if product else path.name, str(path)

    return tuple(sorted(dates, key=when))


def group(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[tuple[Path, ...], Path]]:
    """Pairs (image, mask) to (the dates that share the mask, mask).

    Raises InputError where places have different numbers of dates, listing the odd ones, or one
    each.
    """
    places = defaultdict(list)
    for image, mask in pairs:
        places[mask].append(image)
    counts = [len(dates) for dates in places.values()]
    usual = max(counts, key=counts.count)
    odd = [f"{mask.name} has {len(dates)}" for mask, dates in places.items() if len(dates) != usual]
    if odd:
        raise InputError(
            f"--stack-dates: every mask needs the same number of dates; most have {usual}, but {', '.join(odd)}"
        )
    if usual == 1:
        raise InputError(
            "--stack-dates: every mask has one image; dates of one place share a mask by the part of the name "
            "behind the last '_' (april_07.tif, august_07.tif, mask_07.tif)"
        )
    return [(in_order(dates), mask) for mask, dates in places.items()]
