"""An image and its mask on one grid: prepared once, memory-mapped from then on.

Decompression, resampling and the conversion of classes take time only once, when a scene is
prepared. Training then reads two plain arrays from disk. The operating system keeps the used parts
in memory, so reading a window takes one copy:

    image.npy   (H, W, bands), dtype of the image  the bands of a pixel lie side by side
    labels.npy  (H, W) uint8                       IGNORE where the image has no data
    scene.json                                     what is to be told, and a hash of both arrays

Each scene has a folder in the cache. The name of the folder has a hash of the paths, sizes and
dates of the files, and of all options that change the arrays. So a scene of changed files is
prepared again, in another folder. The earlier folder is not removed; `make clean` removes the cache
with all runs. A damaged scene is made anew. For this, headers and sizes of the arrays are checked
at each start. The hash of the arrays is not computed again.

Read beside it: tests/data/training/test_scenes.py.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError, read_bytes, replacing_folder
from data.grid import Grid, Window
from data.input.image import Image
from data.input.stack import Stack, open_image
from data.input.units import Unit
from data.raster.safe import is_safe, product_files
from data.scaling import valid_pixels
from data.terminal import note
from data.training import npy, scl
from data.training.mask import Mask, labels_on, row_windows
from data.training.npy import MemoryMap

LAYOUT = 3  # version of the cache; raise it when the meaning of the arrays changes


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
        about = _about(folder, raster)
        if about is None:
            if was_there:
                note(f"{folder}: is damaged; it is made anew")
                shutil.rmtree(folder, ignore_errors=True)
            _make(folder, raster, mask_path, table, method, hidden)
            about = _about(folder, raster)
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


def cache_size(cache: Path) -> str:
    """Describe the size of all scenes in a cache, also of those that this run does not use."""
    total = 0
    for file in cache.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # another process has removed it
            total += file.stat().st_size
    return _size(total)


def _size(count: int) -> str:
    """Describe a number of bytes."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


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


def _make(
    folder: Path,
    raster: Image | Stack,
    mask_path: Path,
    table: ClassTable,
    method: str,
    hidden: Sequence[int] = (),
) -> None:
    """Write the arrays and remarks into a new folder; `hidden` are no bands of the image."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_room(folder.parent, raster)
    with replacing_folder(folder) as half_made, Mask(mask_path, table) as mask:
        labels_path, image_path = (half_made / f"{name}.npy" for name in ("labels", "image"))
        with open(labels_path, "w+b") as labels, open(image_path, "wb") as image:
            labels.write(npy.header(*_labels_form(raster)))
            for strip in labels_on(mask, raster.grid, method, f"the image {raster.path}"):
                labels.write(np.ascontiguousarray(strip, np.uint8).data)
            digest = _write_image(image, labels, raster, hidden)
        remarks = [*raster.remarks, *((mask_path, text) for text in mask.remarks)]
        about = {
            "digest": digest,
            "remarks": [[str(file), text] for file, text in remarks],
            "rounded": [mask.tally.rounded, mask.tally.pixels],
        }
        (half_made / "scene.json").write_text(json.dumps(about), encoding="utf-8")


def _write_image(
    image: BinaryIO, labels: BinaryIO, raster: Image | Stack, hidden: Sequence[int]
) -> str:
    """Write image.npy, and IGNORE into labels.npy where the image has no data; return their hash.

    Args:
        image: The empty file.
        labels: The file with the labels of all pixels.
        raster: The image.
        hidden: Positions of bands that do not say whether a pixel has data.
    """
    dtype, shape = _image_form(raster)
    digest = hashlib.blake2b(repr((raster.dtype, shape)).encode(), digest_size=16)
    image.write(npy.header(dtype, shape))
    start = len(npy.header(*_labels_form(raster)))
    for window in row_windows(raster.grid):
        pixels = raster.read(window)
        size = window.height * window.width
        labels.seek(start)
        known = np.frombuffer(bytearray(labels.read(size)), np.uint8)
        shown = np.delete(pixels, hidden, axis=0) if hidden else pixels
        known[~valid_pixels(shown, raster.nodata).ravel()] = IGNORE
        labels.seek(start)
        labels.write(known.data)
        by_pixel = np.ascontiguousarray(pixels.transpose(1, 2, 0), dtype)
        image.write(by_pixel.data)
        digest.update(by_pixel.data)
        digest.update(known.data)
        start += size
    return digest.hexdigest()


def _image_form(raster: Image | Stack) -> tuple[np.dtype, tuple[int, ...]]:
    """Return dtype and shape of image.npy."""
    shape = raster.grid.height, raster.grid.width, raster.count
    return raster.dtype.newbyteorder("="), shape


def _labels_form(raster: Image | Stack) -> tuple[np.dtype, tuple[int, ...]]:
    """Return dtype and shape of labels.npy."""
    return np.dtype(np.uint8), (raster.grid.height, raster.grid.width)


def _about(folder: Path, raster: Image | Stack) -> dict | None:
    """Read scene.json. Return None if it or an array is missing or damaged."""
    whole = npy.is_whole(folder / "image.npy", *_image_form(raster))
    if not whole or not npy.is_whole(folder / "labels.npy", *_labels_form(raster)):
        return None
    try:
        about = json.loads(read_bytes(folder / "scene.json"))
        rounded, pixels = map(int, about["rounded"])
        return {
            "digest": str(about["digest"]),
            "remarks": tuple((str(file), str(text)) for file, text in about["remarks"]),
            "rounded": (rounded, pixels),
        }
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _check_room(cache: Path, raster: Image | Stack) -> None:
    """Raise InputError if the disk is too small, before hours of work."""
    grid = raster.grid
    needed = grid.height * grid.width * (raster.count * raster.dtype.itemsize + 1)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise InputError(
            f"{cache}: the scene {raster.path} needs {_size(needed)} here and {_size(free)} are "
            "free; make room, or give --output a folder on another disk"
        )
