"""Several dates of one place as one image: the bands of all dates behind each other.

Wheat and meadow look alike in April and different in August. A network that sees both dates at once
can separate them by the change, and needs only more input bands:

    Red, NIR of April and Red, NIR of August   ->   Red, NIR, Red@2, NIR@2

The first date keeps its names. A network that was trained on all dates cannot classify a pixel of
which one is missing, so a pixel without data in any date has no data in the stack.

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
from data.grid import Grid, Window
from data.raster import Raster
from data.raster.safe import NAME, Safe, is_safe
from data.scaling import valid_pixels


class Stack:
    """Rasters of one grid and the same bands, read as one raster; used like `Raster`.

    `path` and the georeference are those of the first date.

    Args:
        paths: One image for each date, in order.
        nodata: The no-data value of all dates; by default the value that each date declares.
        folder: Where a product's decoded bands are kept, see `Safe`.

    Raises:
        InputError: Two dates differ in grid, bands or the names of bands.
    """

    def __init__(
        self, paths: Sequence[Path], nodata: float | None = None, folder: Path | None = None
    ) -> None:
        with ExitStack() as opened:
            self.rasters = [
                opened.enter_context(open_image([path], folder=folder)) for path in paths
            ]
            first, *others = self.rasters
            for raster in others:
                _check_same(first, raster)
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags = first.path, first.grid, first.geo_tags
        self.block_shape, self.colormap = first.block_shape, None
        self.count = len(paths) * first.count
        self.dtype = np.result_type(*(raster.dtype for raster in self.rasters))
        self.descriptions = tuple(bands.dated(bands.names(first.descriptions), len(paths)))
        self._nodata = [raster.nodata if nodata is None else nodata for raster in self.rasters]
        self.nodata = next((value for value in self._nodata if value is not None), None)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close all dates."""
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window (bands, height, width), see `Raster.read`; no-data is NaN in floats, else
        `nodata`.
        """
        dates = [raster.read(window) for raster in self.rasters]
        valid = np.logical_and.reduce(
            [valid_pixels(date, value) for date, value in zip(dates, self._nodata)]
        )
        pixels = np.concatenate(dates, dtype=self.dtype)
        # Integers without a declared no-data value are all valid.
        if not valid.all():
            pixels[:, ~valid] = np.nan if self.dtype.kind == "f" else self.nodata
        return pixels if bands is None else pixels[[band - 1 for band in bands]]


def _check_same(first: Raster | Safe, raster: Raster | Safe) -> None:
    """Raise InputError where two dates differ in grid or bands."""
    names, found = bands.names(first.descriptions), bands.names(raster.descriptions)
    grids = _described(first.grid), _described(raster.grid)
    for what, (one, other), same in (
        ("grid", grids, raster.grid.matches(first.grid)),
        ("bands", (", ".join(names), ", ".join(found)), found == names),
    ):
        if not same:
            raise InputError(
                f"{raster.path}: {what} {other}, but {first.path} has {one}; the dates of one "
                "place need one grid and the same bands in the same order"
            )


def _described(grid: Grid) -> str:
    """A grid in words: size, resolution, upper-left corner and CRS."""
    crs = grid.crs.to_string()[:60] if grid.crs else "no CRS"
    left, _, _, top = grid.bounds
    size = f"{grid.width} x {grid.height} pixels of {grid.resolution[0]:g}"
    return f"{size} from {left:.10g}, {top:.10g} in {crs}"


def open_image(
    paths: Sequence[Path], nodata: float | None = None, folder: Path | None = None
) -> Raster | Safe | Stack:
    """Open the image of one place: a file, a SAFE folder, or the stack of its dates.

    Args:
        paths: One path, or one for each date.
        nodata: The no-data value of all dates; by default the value that each date declares.
        folder: Where a product's decoded bands are kept, see `Safe`.

    Returns:
        A context manager, used like `Raster`.
    """
    if len(paths) > 1:
        return Stack(paths, nodata, folder)
    return Safe(paths[0], folder) if is_safe(paths[0]) else Raster(paths[0])


def token(path: Path) -> str:
    """Return the part of a file's name for the place: a product's tile, else the part behind the
    last `_`.

    >>> token(Path("april_07.tif"))
    '07'
    >>> token(Path("S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE"))
    'T32TPS'
    """
    product = NAME.fullmatch(path.stem)
    return product[2] if product else path.stem.rsplit("_", 1)[-1]


def by_place(images: Sequence[Path], dates: int) -> list[tuple[Path, ...]]:
    """Group images by place, the dates of each place in order.

    Args:
        images: Images of any number of places.
        dates: Number of dates that the network was trained on. With 1, each image is a place of its
            own; if there are exactly `dates` images, they are one place; else `token` groups them.

    Raises:
        InputError: A place has another number of images than `dates`.
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
                f"{found[0]}: {len(found)} image{several} of the place '{name}', but the "
                f"checkpoint was trained on {dates} dates of each; give {dates} images that share "
                "the part of the name behind the last '_'"
            )
    return [in_order(found) for found in places.values()]


def in_order(dates: Sequence[Path]) -> tuple[Path, ...]:
    """Sort dates by name, and by folder where the names are equal.

    Products are sorted by the sensing time in the name, so that S2B can come before S2A.
    """

    def when(path: Path) -> tuple[str, str]:
        product = NAME.fullmatch(path.stem)
        return product[1] if product else path.name, str(path)

    return tuple(sorted(dates, key=when))


def group(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[tuple[Path, ...], Path]]:
    """Group pairs (image, mask) by mask, the dates of each mask in order.

    Raises:
        InputError: Masks have different numbers of dates, or one date each.
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
