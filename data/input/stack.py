"""Several dates of one place as one image: the bands of all dates, one date after the other.

Wheat and meadow look alike in April and different in August. A network that gets both dates
can separate them by the change. It needs only more input bands:

    Red, NIR of April and Red, NIR of August   ->   Red, NIR, Red@2, NIR@2

The first date keeps its band names. A network that was trained on all dates needs all of them. So a
pixel without data at one date has no data in the stack.

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
from data.input.image import Image
from data.raster.safe import NAME
from data.scaling import valid_pixels


class Stack:
    """Rasters of one grid and the same bands, read as one raster; used like `Raster`.

    `path` and the georeference are those of the first date.

    Args:
        paths: One image for each date, in order.
        nodata: The no-data value of all dates; by default the value that each date declares.
        asked: The bands of --bands, or None, see `Image`.
        folder: Folder for the decoded bands of products, see `Safe`.

    Raises:
        InputError: Two dates differ in grid, bands or the names of bands.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        nodata: float | None = None,
        asked: Sequence[str | int] | None = None,
        folder: Path | None = None,
    ) -> None:
        with ExitStack() as opened:
            self.dates = [
                opened.enter_context(Image(path, nodata, asked, folder)) for path in paths
            ]
            first, *others = self.dates
            for date in others:
                _check_same(first, date)
            self._opened = opened.pop_all()
        self.path, self.grid, self.geo_tags = first.path, first.grid, first.geo_tags
        self.block_shape, self.colormap = first.block_shape, None
        self.remarks = [remark for date in self.dates for remark in date.remarks]
        self.count = len(paths) * first.count
        self.dtype = np.result_type(*(date.dtype for date in self.dates))
        self.descriptions = tuple(bands.dated(bands.names(first.descriptions), len(paths)))
        declared = {date.nodata for date in self.dates} - {None}
        # A value that one date declares may be a measurement at another date.
        if len(declared) > 1 and self.dtype.kind != "f":
            self.dtype = np.dtype(np.float32)
        self.nodata = next(iter(declared)) if len(declared) == 1 else None

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close all dates."""
        self._opened.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window (bands, height, width) like `Raster.read`.

        No-data is NaN in floats, and `nodata` in integers. A pixel without data at one date has
        none at all.
        """
        parts = [date.read(window) for date in self.dates]
        valid = np.logical_and.reduce(
            [valid_pixels(part, date.nodata) for part, date in zip(parts, self.dates)]
        )
        pixels = np.concatenate(parts, dtype=self.dtype, casting="unsafe")
        # Integers without a declared no-data value are all valid.
        if not valid.all():
            pixels[:, ~valid] = np.nan if self.dtype.kind == "f" else self.nodata
        return pixels if bands is None else pixels[[band - 1 for band in bands]]


def _check_same(first: Image, raster: Image) -> None:
    """Raise InputError where two dates differ in grid or bands."""
    names, others = bands.names(first.descriptions), bands.names(raster.descriptions)
    grids = _described(first.grid), _described(raster.grid)
    for what, (one, other), same in (
        ("grid", grids, raster.grid.matches(first.grid)),
        ("bands", (", ".join(names), ", ".join(others)), others == names),
    ):
        if not same:
            raise InputError(
                f"{raster.path}: {what} {other}, but {first.path} has {one}; the dates of one "
                "place need one grid and the same bands in the same order"
            )


def _described(grid: Grid) -> str:
    """Describe a grid: size, resolution, upper-left corner and CRS."""
    crs = grid.crs.to_string()[:60] if grid.crs else "no CRS"
    left, _, _, top = grid.bounds
    size = f"{grid.width} x {grid.height} pixels of {grid.resolution[0]:g}"
    return f"{size} from {left:.10g}, {top:.10g} in {crs}"


def open_image(
    paths: Sequence[Path],
    nodata: float | None = None,
    asked: Sequence[str | int] | None = None,
    folder: Path | None = None,
) -> Image | Stack:
    """Open the image of one place: a file, a SAFE folder, or a stack of dates.

    Args:
        paths: One path, or one for each date.
        nodata: The no-data value of all dates; by default the value that each date declares.
        asked: The bands of --bands, or None, see `Image`.
        folder: Folder for the decoded bands of products, see `Safe`.

    Returns:
        A context manager, used like `Raster`.
    """
    if len(paths) > 1:
        return Stack(paths, nodata, asked, folder)
    return Image(paths[0], nodata, asked, folder)


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


def by_place(images: Sequence[Path], dates: int) -> list[tuple[Path, ...]]:
    """Group images by place, with the dates of each place in order.

    Args:
        images: Images of any number of places.
        dates: Number of dates that the network was trained on. With 1, each image is a place.
            Exactly `dates` images are one place. Other numbers of images are grouped by `token`.

    Raises:
        InputError: The number of images of a place is not `dates`.
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
    return [in_order(group) for group in places.values()]


def in_order(dates: Sequence[Path]) -> tuple[Path, ...]:
    """Sort dates by name, and by folder where the names are equal.

    Products are sorted by the sensing time in the name, so S2B can come before S2A.
    """

    def sort_key(path: Path) -> tuple[str, str]:
        product = NAME.fullmatch(path.stem)
        return product[1] if product else path.name, str(path)

    return tuple(sorted(dates, key=sort_key))


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
