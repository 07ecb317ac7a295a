"""An image and its mask on one grid: prepared once, memory-mapped from then on.

Decompression, resampling and the conversion of classes take time only once, when a scene is
prepared. Training then reads two plain arrays from disk. The operating system keeps the used parts
in memory, so reading a window takes one copy:

    image.npy   (H, W, bands), dtype of the image  the bands of a pixel lie side by side
    labels.npy  (H, W) uint8                       IGNORE where the image has no data
    scene.json                                     what is to be told, and a hash of both arrays

The arrays lie in a cache folder. Its name is a hash of the paths, sizes and dates of the files, and
of all options that change the arrays. So a changed file is prepared again.

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
from data.files import IGNORE, InputError, replacing_folder
from data.grid import Grid, Window
from data.input.image import Image
from data.input.stack import Stack, open_image
from data.input.units import Unit
from data.raster.safe import is_safe, product_file
from data.scaling import valid_pixels
from data.training.mask import Mask, labels_on, row_windows

LAYOUT = 3  # version of the cache; raise it when the meaning of the arrays changes


@dataclass(frozen=True)
class MemoryMap:
    """The array in a .npy file, with its axes in the order `axes`. Indexing reads a part of it.

    The file is opened for each reading, because every map that stays open takes an open file. A
    process may have about a thousand of them, too few for 700 images. A pickle holds the path only.
    """

    path: Path
    axes: tuple[int, ...]

    def __getitem__(self, where) -> np.ndarray:
        return np.load(self.path, mmap_mode="r").transpose(self.axes)[where]


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
    unit: Unit | None = None  # the conversion of the numbers in `image`, if any
    remarks: tuple[tuple[str, str], ...] = ()  # pairs (file, sentence for the user)
    rounded: tuple[int, int] = (0, 0)  # pixels of the mask that were no pure colours, and all

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the image: one, or one for each date."""
        return self.image_path, *self.later_dates

    def read(self, window: Window) -> np.ndarray:
        """Return the pixels (bands, h, w) of a window, unscaled."""
        row, col, height, width = window
        stored = self.image[:, row : row + height, col : col + width]
        return self.unit.apply(stored) if self.unit else stored

    def in_unit(self, offset: float, gains: Sequence[float]) -> "Scene":
        """Return the scene with its numbers converted to (number + offset) * gain of the band."""
        unit = Unit(offset, tuple(gains), self.nodata)
        return self if unit.unchanged else replace(self, unit=unit, nodata=None)

    def read_labels(self, window: Window) -> np.ndarray:
        """Return the labels (h, w) uint8 of a window."""
        row, col, height, width = window
        return self.labels[row : row + height, col : col + width]


def prepare(
    images: Path | Sequence[Path],
    mask_path: Path,
    table: ClassTable,
    cache: Path,
    method: str,
    nodata: float | None = None,
    named: Sequence[str] | None = None,
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

    Raises:
        InputError: The files do not fit each other or the class table, or the disk is full.
    """
    image_path, *later = images = [images] if isinstance(images, Path) else images
    with open_image(images, nodata, named, cache) as raster:
        key = _key(images, mask_path, table, method, nodata, raster.count)
        folder = cache / f"{image_path.stem}-{key}"
        if not folder.is_dir():
            _make(folder, raster, mask_path, table, method)
        about = json.loads((folder / "scene.json").read_text(encoding="utf-8"))
        return Scene(
            name=image_path.stem,
            image_path=image_path,
            mask_path=mask_path,
            grid=raster.grid,
            image=MemoryMap(folder / "image.npy", (2, 0, 1)),
            labels=MemoryMap(folder / "labels.npy", (0, 1)),
            descriptions=raster.descriptions,
            nodata=raster.nodata,
            later_dates=tuple(later),
            digest=about["digest"],
            remarks=tuple((file, text) for file, text in about["remarks"]),
            rounded=tuple(about["rounded"]),
        )


def _key(images: Sequence[Path], mask: Path, table: ClassTable, *options) -> str:
    """Return a hash of everything that changes the arrays of a scene.

    Offset and gain are no part of it, because they are applied when the arrays are read.
    """
    paths = [is_safe(path) and product_file(path) or path for path in (*images, mask)]
    paths += [beside for path in paths for beside in _sidecars(path) if beside.exists()]
    files = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    described = json.dumps([LAYOUT, files, table.records, options])
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _sidecars(path: Path) -> list[Path]:
    """List the files beside a raster that may hold its mask, metadata or georeference."""
    suffix = path.suffix
    world = (".wld", f"{suffix}w", f"{suffix[:2]}{suffix[-1:]}w")
    beside = [path.with_name(path.name + ending) for ending in (".msk", ".aux.xml")]
    return beside + [path.with_suffix(ending) for ending in world]


def _make(
    folder: Path,
    raster: Image | Stack,
    mask_path: Path,
    table: ClassTable,
    method: str,
) -> None:
    """Write the arrays and remarks into a new folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_room(folder.parent, raster)
    height, width = raster.grid.height, raster.grid.width
    with replacing_folder(folder) as half_made, Mask(mask_path, table) as mask:
        labels = _new_array(half_made / "labels.npy", np.dtype(np.uint8), (height, width))
        row = 0
        for strip in labels_on(mask, raster.grid, method, f"the image {raster.path}"):
            labels[row : row + len(strip)] = strip
            row += len(strip)
        shape = (height, width, raster.count)
        digest = hashlib.blake2b(repr((raster.dtype, shape)).encode(), digest_size=16)
        image = _new_array(half_made / "image.npy", raster.dtype.newbyteorder("="), shape)
        for window in row_windows(raster.grid):
            rows = slice(window.row, window.row + window.height)
            pixels = raster.read(window)
            image[rows] = pixels.transpose(1, 2, 0)
            labels[rows][~valid_pixels(pixels, raster.nodata)] = IGNORE
            digest.update(image[rows].data)
            digest.update(labels[rows].data)
        image.flush()
        labels.flush()
        remarks = [*raster.remarks, *((mask_path, text) for text in mask.remarks)]
        about = {
            "digest": digest.hexdigest(),
            "remarks": [[str(file), text] for file, text in remarks],
            "rounded": [mask.tally.rounded, mask.tally.pixels],
        }
        (half_made / "scene.json").write_text(json.dumps(about), encoding="utf-8")


def _check_room(cache: Path, raster: Image | Stack) -> None:
    """Raise InputError if the disk is too small. Writing a memory map to a full disk is fatal."""
    grid = raster.grid
    needed = grid.height * grid.width * (raster.count * raster.dtype.itemsize + 1)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise InputError(
            f"{cache}: the scene {raster.path} needs {needed / 1e9:.1f} GB here and "
            f"{free / 1e9:.1f} GB are free; make room, or give --output a folder on another disk"
        )


def _new_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)
