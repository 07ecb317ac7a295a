"""The files of a prepared scene: how image.npy, labels.npy and scene.json are made and read.

data/training/scenes.py says what they hold and when they are made. Arrays are written strip by
strip, so that memory does not depend on the size of a scene.

Read beside it: tests/data/training/test_scenes.py.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError, read_bytes, replacing_folder
from data.input.image import Image
from data.input.stack import Stack
from data.raster.covered import Ground
from data.scaling import valid_pixels
from data.training import npy
from data.training.mask import Mask, class_areas, labels_on, on_grid, row_windows


def cache_size(cache: Path) -> str:
    """Describe the size of all scenes in a cache, also of those that this run does not use."""
    total = 0
    for folder, _, names in os.walk(cache):  # passes over folders that another process has removed
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # or a file
                total += os.path.getsize(os.path.join(folder, name))
    return _size(total)


def _size(count: int) -> str:
    """Describe a number of bytes."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def make(
    folder: Path,
    raster: Image | Stack,
    mask_path: Path,
    table: ClassTable,
    method: str,
    hidden: Sequence[int] = (),
) -> None:
    """Write the arrays and scene.json into a new folder.

    Args:
        folder: The folder of the scene, in the cache.
        raster: The image, or its dates.
        mask_path: The mask.
        table: Class table of the mask.
        method: "nearest" or "mode": how masks are resampled.
        hidden: Positions of bands that are no bands of the image, such as SCL.

    Raises:
        InputError: The files do not fit each other or the class table, or the disk is full.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_room(folder.parent, raster)
    with replacing_folder(folder) as half_made, Mask(mask_path, table) as mask:
        labels_path, image_path = (half_made / f"{name}.npy" for name in ("labels", "image"))
        with open(labels_path, "w+b") as labels, open(image_path, "wb") as image:
            labels.write(npy.header(*_labels_form(raster)))
            areas = _write_labels(labels, mask, raster, method)
            digest, pixels = _write_image(image, labels, raster, hidden)
        remarks = [*raster.remarks, *((mask_path, text) for text in mask.remarks)]
        content = {
            "digest": digest,
            "pixels": pixels,
            "remarks": [[str(file), text] for file, text in remarks],
            "rounded": [mask.tally.rounded, mask.tally.pixels],
            "areas": areas,
        }
        (half_made / "scene.json").write_text(json.dumps(content), encoding="utf-8")


def _write_labels(
    labels: BinaryIO, mask: Mask, raster: Image | Stack, method: str
) -> list[list[float]] | None:
    """Write the labels of a mask on the grid of its image; return `Scene.areas`."""
    other, areas, row = f"the image {raster.path}", Counter[int](), 0
    ground = None if on_grid(mask, raster.grid, other) else Ground(raster.grid)
    for strip in labels_on(mask, raster.grid, method, other):
        labels.write(np.ascontiguousarray(strip, np.uint8).data)
        if ground:
            areas.update(ground.areas(strip, row))
        row += len(strip)
    if ground is None:
        return None
    return [
        class_areas(mask, raster.grid),
        [areas[label] for label in range(len(mask.table.names))],
    ]


def _write_image(
    image: BinaryIO, labels: BinaryIO, raster: Image | Stack, hidden: Sequence[int]
) -> tuple[str, str]:
    """Write image.npy, and IGNORE into labels.npy where the image has no data.

    Args:
        image: The empty file.
        labels: The file with the labels of all pixels.
        raster: The image.
        hidden: Positions of bands that do not say whether a pixel has data.

    Returns:
        The hash of both arrays, and that of the image alone.
    """
    dtype, shape = _image_form(raster)
    digest, pixels_alone = _new_digest(raster), _new_digest(raster)
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
        pixels_alone.update(by_pixel.data)
        start += size
    return digest.hexdigest(), pixels_alone.hexdigest()


def pixel_digest(raster: Image | Stack) -> str:
    """Return the hash of the pixels of an image: `Scene.pixels` of its copies."""
    digest = _new_digest(raster)
    for window in row_windows(raster.grid):
        by_pixel = raster.read(window).transpose(1, 2, 0)
        digest.update(np.ascontiguousarray(by_pixel, _image_form(raster)[0]).data)
    return digest.hexdigest()


def _new_digest(raster: Image | Stack):
    """Return a hash that has dtype and shape of an image, but no pixels yet."""
    described = repr((raster.dtype, _image_form(raster)[1]))
    return hashlib.blake2b(described.encode(), digest_size=16)


def _image_form(raster: Image | Stack) -> tuple[np.dtype, tuple[int, ...]]:
    """Return dtype and shape of image.npy."""
    shape = raster.grid.height, raster.grid.width, raster.count
    return raster.dtype.newbyteorder("="), shape


def _labels_form(raster: Image | Stack) -> tuple[np.dtype, tuple[int, ...]]:
    """Return dtype and shape of labels.npy."""
    return np.dtype(np.uint8), (raster.grid.height, raster.grid.width)


def about(folder: Path, raster: Image | Stack) -> dict | None:
    """Read scene.json. Return None if it is missing or damaged, or an array has another size."""
    whole = npy.is_whole(folder / "image.npy", *_image_form(raster))
    if not whole or not npy.is_whole(folder / "labels.npy", *_labels_form(raster)):
        return None
    try:
        content = json.loads(read_bytes(folder / "scene.json"))
        rounded, pixels = map(int, content["rounded"])
        areas = content["areas"]
        if areas is not None:
            areas = before, after = tuple(tuple(map(float, one)) for one in areas)
            if len(before) != len(after):
                return None
        return {
            "digest": str(content["digest"]),
            "pixels": str(content["pixels"]),
            "remarks": tuple((str(file), str(text)) for file, text in content["remarks"]),
            "rounded": (rounded, pixels),
            "areas": areas,
        }
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def check_room(cache: Path, raster: Image | Stack) -> None:
    """Raise InputError if the disk is too small, before hours of work."""
    grid = raster.grid
    needed = grid.height * grid.width * (raster.count * raster.dtype.itemsize + 1)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise InputError(
            f"{cache}: the scene {raster.path} needs {_size(needed)} here and {_size(free)} are "
            "free; make room, or give --output a folder on another disk"
        )
