"""An image and its mask on one grid: prepared once, memory-mapped from then on.

Decompression, resampling and the conversion of classes take time only once, when a scene is
prepared. Training then reads two plain arrays from disk. The operating system keeps the used parts
in memory, so reading a window takes one copy:

    image.npy   (H, W, bands), dtype of the image  the bands of a pixel lie side by side
    labels.npy  (H, W) uint8                       IGNORE where the image has no data
    scene.json                                     what is to be told, hashes of the arrays, and
                                                   the areas of the classes before and after the
                                                   mask was resampled

Each scene has a folder in the cache. The name of the folder has a hash of the paths, sizes and
dates of the files, and of all options that change the arrays. So a scene of changed files is
prepared again, in another folder. The earlier folder is not removed; `make clean` removes the cache
with all runs. A damaged scene is made anew. For this, headers and sizes of the arrays are checked
at each start. The hash of the arrays is not computed again.

Read beside it: tests/data/training/test_scenes.py.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.files import InputError
from data.grid import Grid, Window
from data.input.stack import open_image
from data.input.units import Unit
from data.raster.safe import is_safe, product_files
from data.terminal import note
from data.training import scene_files, scl
from data.training.npy import MemoryMap

LAYOUT = 4  # version of the cache; raise it when the meaning of the arrays changes


@dataclass(frozen=True)
class Scene:
    """One image with its labels."""

    name: str
    image_path: Path
    mask_path: Path
    grid: Grid
    image: np.ndarray | MemoryMap  # (bands, H, W)
    labels: np.ndarray | MemoryMap  # (H, W) uint8
    descriptions: tuple[str | None, ...]
    nodata: float | None
    later_dates: tuple[Path, ...] = ()  # files whose bands follow those of image_path
    digest: str = ""  # hash of both arrays, by which --resume knows the data after they were moved
    pixels: str = ""  # hash of `image` alone, by which predict.py knows a copy of the image
    unit: Unit | None = None  # the conversion of the numbers in `image`, if any
    remarks: tuple[tuple[str, str], ...] = ()  # pairs (file, sentence for the user)
    rounded: tuple[int, int] = (0, 0)  # pixels of the mask that were no pure colours, and all
    # Area of each class in m2, (K,) in the part of the mask file that the image covers and (K,) on
    # the grid of the image. None: the mask lies on this grid.
    areas: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    scl: tuple[int, ...] = ()  # positions of bands in `image` that `read` leaves out: SCL

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the image: one, or one for each date."""
        return self.image_path, *self.later_dates

    def read(self, window: Window) -> np.ndarray:
        """Return the pixels (bands, h, w) of a window, unscaled."""
        row, col, height, width = window
        stored = self.image[:, row : row + height, col : col + width]
        stored = np.delete(stored, self.scl, axis=0) if self.scl else stored
        return self.unit.apply(stored) if self.unit else stored

    def in_unit(self, offset: float, gains: Sequence[float]) -> "Scene":
        """Return the scene with its numbers converted to (number + offset) * gain of the band."""
        unit = Unit(offset, tuple(gains), self.nodata)
        return self if unit.unchanged else replace(self, unit=unit, nodata=None)

    def read_labels(self, window: Window) -> np.ndarray:
        """Return the labels (h, w) uint8 of a window."""
        row, col, height, width = window
        return self.labels[row : row + height, col : col + width]

    def read_scl(self, window: Window) -> np.ndarray:
        """Return the scene classification (dates, h, w) uint8 of a window, 0 where not known."""
        row, col, height, width = window
        stored = self.image[:, row : row + height, col : col + width][list(self.scl)]
        nodata = self.unit.nodata if self.unit else self.nodata
        return scl.classes(stored, nodata, self.image_path)


def prepare(
    images: Path | Sequence[Path],
    mask_path: Path,
    table: ClassTable,
    cache: Path,
    method: str,
    nodata: float | None = None,
    named: Sequence[str] | None = None,
    with_scl: bool = False,
) -> Scene:
    """Take a scene from the cache, or make it and put it there.

    Args:
        images: The image, or the dates of one place, whose bands are stacked.
        mask_path: The mask.
        table: Class table of the mask.
        cache: Folder for prepared scenes.
        method: "nearest" or "mode": how masks are resampled (data/resample.py).
        nodata: Value of pixels without data; by default the value that the image declares.
        named: The option --bands. An alpha band is read only if it is named.
        with_scl: Whether the scene classification of products is read.

    Raises:
        InputError: The files do not fit each other or the class table, or the disk is full.
    """
    image_path, *later = images = [images] if isinstance(images, Path) else images
    with open_image(images, nodata, named, cache, with_scl) as raster:
        hidden = scl.positions(raster.descriptions, named, len(images))
        options = method, nodata, raster.count, *([hidden] if hidden else [])
        key = _key(images, mask_path, table, *options, with_scl=with_scl)
        folder = cache / f"{image_path.stem}-{key}"
        was_there = folder.is_dir()  # not asked later, when another process may have made it
        about = scene_files.about(folder, raster)
        if about is None:
            if was_there:
                note(f"{folder}: is damaged; it is made anew")
                shutil.rmtree(folder, ignore_errors=True)
            scene_files.make(folder, raster, mask_path, table, method, hidden)
            about = scene_files.about(folder, raster)
        if about is None:
            raise InputError(f"{folder}: is damaged and cannot be replaced; remove it")
        if hidden and not with_scl:
            about["remarks"] += ((image_path, scl.REMARK),)
        return Scene(
            name=image_path.stem,
            image_path=image_path,
            mask_path=mask_path,
            grid=raster.grid,
            image=MemoryMap(folder / "image.npy", (2, 0, 1)),
            labels=MemoryMap(folder / "labels.npy", (0, 1)),
            descriptions=tuple(
                name for n, name in enumerate(raster.descriptions) if n not in hidden
            ),
            nodata=raster.nodata,
            later_dates=tuple(later),
            scl=hidden,
            **about,
        )


def _key(
    images: Sequence[Path], mask: Path, table: ClassTable, *options, with_scl: bool = False
) -> str:
    """Return a hash of everything that changes the arrays of a scene.

    Offset and gain are no part of it, because they are applied when the arrays are read.
    """
    paths = [
        file
        for path in (*images, mask)
        for file in (product_files(path, with_scl) if is_safe(path) else [path])
    ]
    rasters = [path for path in (*images, mask) if not is_safe(path)]
    paths += [beside for path in rasters for beside in _sidecars(path) if beside.exists()]
    files = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    described = json.dumps([LAYOUT, files, table.records, options])
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _sidecars(path: Path) -> list[Path]:
    """List the files beside a raster that may hold its mask, metadata or georeference."""
    suffix = path.suffix
    world = (".wld", f"{suffix}w", f"{suffix[:2]}{suffix[-1:]}w")
    beside = [path.with_name(path.name + ending) for ending in (".msk", ".aux.xml")]
    return beside + [path.with_suffix(ending) for ending in world]
