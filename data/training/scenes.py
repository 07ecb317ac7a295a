"""Scenes: an image and its mask, made to share a grid once, memory-mapped ever after.

Compressed blocks, another CRS, colours for classes: all of that is paid for once, when a scene is
prepared. What training reads is two plain arrays on disk, of which the operating system keeps in
memory what is used, and a window costs a copy:

    image.npy   (H, W, bands) as in the file   a window's pixels lie together, band by band they would not
    labels.npy  (H, W) uint8                   labels on the image's grid, IGNORE where the image has no data

They lie in a cache folder, under a name made from the inputs' paths, sizes and dates and from all
that shapes the result; a changed input is prepared anew.

Read beside it: tests/data/training/test_scenes.py.
"""

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid, Window
from data.input.stack import Stack, open_image, token
from data.raster import Raster
from data.raster.safe import PRODUCT, Safe, is_safe
from data.scaling import valid_pixels

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2")
MAP = "_landcover"  # ends the name of a map that predict.py leaves beside its image
ROWS = 256  # rows read at a time while a scene is prepared
LAYOUT = 1  # of the cache; raise it when the arrays change their meaning


@dataclass(frozen=True)
class Mapped:
    """The array in a .npy file, its axes in the order `axes`: `mapped[window]` gives a
    memory-mapped part of it.

    Mapped anew each time, for a map that is kept costs an open file, and of those a process may
    have about a thousand: too few for 700 images. To another process goes the name alone.
    """

    path: Path
    axes: tuple[int, ...]

    def __getitem__(self, where) -> np.ndarray:
        return np.load(self.path, mmap_mode="r").transpose(self.axes)[where]


@dataclass(frozen=True)
class Scene:
    """One image with its labels; `image` (bands, H, W) and `labels` (H, W) are arrays, or `Mapped`."""

    name: str
    image_path: Path
    mask_path: Path
    grid: Grid
    image: np.ndarray | Mapped
    labels: np.ndarray | Mapped
    descriptions: tuple[str | None, ...]
    nodata: float | None
    later_dates: tuple[Path, ...] = ()  # files whose bands are stacked behind those of image_path

    def read(self, window: Window) -> np.ndarray:
        """(bands, h, w) of the image, as in the file."""
        return self.image[
            :, window.row : window.row + window.height, window.col : window.col + window.width
        ]

    def read_labels(self, window: Window) -> np.ndarray:
        """(h, w) uint8 labels."""
        return self.labels[
            window.row : window.row + window.height, window.col : window.col + window.width
        ]


class Mask:
    """A mask raster seen as labels: `grid`, and `read(window) -> (h, w)` uint8, whatever its codes
    or colours.

    Codes that the table does not know are counted while reading; `check` raises for all of them.
    """

    def __init__(self, path: str | Path, table: ClassTable):
        self.path, self.table, self.unknown = path, table, Counter()
        self.raster = Raster(path)
        self.grid = self.raster.grid

    def __enter__(self) -> "Mask":
        return self

    def __exit__(self, *exception) -> None:
        self.raster.__exit__(*exception)

    def read(self, window: Window) -> np.ndarray:
        """Labels (h, w) uint8 of a window."""
        codes = self.raster.read(window)
        try:
            if not (self.table.coded_by_color and self.raster.colormap):
                return self.table.encode(codes, self.raster.nodata, self.unknown)
            palette = np.zeros((3, 256), np.uint8)
            for code, color in self.raster.colormap.items():
                palette[:, code] = color[:3]
            known = codes[0] != self.raster.nodata
            labels = np.full(known.shape, IGNORE, np.uint8)
            labels[known] = self.table.encode(
                palette[:, codes[0][known]][:, None], None, self.unknown
            )[0]
            return labels
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def strips(self) -> Iterator[np.ndarray]:
        """All labels, top to bottom."""
        for row in range(0, self.grid.height, ROWS):
            yield self.read(Window(row, 0, min(ROWS, self.grid.height - row), self.grid.width))

    def check(self) -> None:
        """Raise InputError if a code was met that the class table does not know.

        Counted anew over the whole mask, because `read` may have met a pixel twice, or not at all.
        """
        if self.unknown:
            self.unknown.clear()
            for _ in self.strips():
                pass
            self.table.complain(self.unknown, self.path)


Align = Callable[[Mask, Grid], Iterator[np.ndarray]]


def labels_on(mask: Mask, grid: Grid, align: Align) -> Iterator[np.ndarray]:
    """The mask's labels on the image's grid, strip by strip: as they are where the grids agree,
    else through `align`.

    Without a CRS on both sides nothing can be aligned: the sizes must then be equal.
    """
    same_size = (mask.grid.height, mask.grid.width) == (grid.height, grid.width)
    if mask.grid.matches(grid) or (same_size and not (mask.grid.crs and grid.crs)):
        yield from mask.strips()
        mask.check()
    elif not (mask.grid.crs and grid.crs):
        missing = "it" if grid.crs else "the image" if mask.grid.crs else "neither it nor the image"
        raise InputError(
            f"{mask.path}: {mask.grid.width} x {mask.grid.height} pixels for an image of {grid.width} x {grid.height}, "
            f"and {missing} has {'no' if missing[0] != 'n' else 'a'} CRS to align them by; give both a CRS or one size"
        )
    else:
        try:
            yield from align(mask, grid)
        except InputError as error:
            raise (
                error if str(mask.path) in str(error) else InputError(f"{mask.path}: {error}")
            ) from None
        mask.check()


def find(paths: list[str | Path], what: str) -> list[Path]:
    """The files named, and those in the folders named (not deeper), sorted within a folder, each
    once.

    A SAFE folder is one image.

    A map beside its image is not taken from a folder, so that one may train and predict there
    again. Raises FileNotFoundError for a name that is not there and InputError where nothing is
    left.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir() and not is_safe(path):
            inside = [p for p in path.iterdir() if not p.name.startswith(".")]
            inside = [
                p for p in inside if is_safe(p) or (p.suffix.lower() in SUFFIXES and p.is_file())
            ]
            stems = {
                p.stem for p in inside
            }  # beside a.tif, a_landcover.tif and a_landcover_overlay.png are of ours
            found += sorted(
                p for p in inside if MAP not in p.stem or p.stem.rpartition(MAP)[0] not in stems
            )
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(
                f"{path}: no such file or folder; give {what} as files or folders"
            )
    if not found:
        raise InputError(
            f"{', '.join(map(str, paths))}: no {what}; wanted files ending in {', '.join(SUFFIXES)}"
        )
    return list({p.resolve(): p for p in found}.values())


def pair(
    images: list[Path], masks: list[Path], spare_masks: bool = False
) -> list[tuple[Path, Path]]:
    """Each image with its mask: of the same stem, else of the same last `_`-separated part of the
    stem.

    Where names repeat from folder to folder (`a/images/1.jpg`, `b/images/1.jpg`), the mask nearest
    in the tree is taken. A mask may serve several images (two dates of one place), and a single
    mask that no image has for its own serves all. Raises InputError listing every image without a
    mask, every image with several, and, unless `spare_masks`, every mask without an image.
    """

    def nearness(a: Path, b: Path) -> int:
        return len(Path(os.path.commonpath([a.resolve(), b.resolve()])).parts)

    by_stem, by_token = defaultdict(list), defaultdict(list)
    for mask in masks:
        by_stem[mask.stem].append(mask)
        by_token[token(mask)].append(mask)
    if len(masks) == 1 and token(masks[0]) not in map(token, images):
        return [(image, masks[0]) for image in images]
    pairs, problems = [], defaultdict(list)
    for image in images:
        candidates = by_stem.get(image.stem) or by_token.get(token(image), [])
        best = max((nearness(image, mask) for mask in candidates), default=0)
        nearest = [mask for mask in candidates if nearness(image, mask) == best]
        if len(nearest) == 1:
            pairs.append((image, nearest[0]))
        else:
            problems["images with several masks" if nearest else "images without a mask"].append(
                image
            )
    used = {mask for _, mask in pairs}
    if not spare_masks:
        problems["masks without an image"] = [mask for mask in masks if mask not in used]
    found = [
        f"{len(paths)} {what} ({', '.join(p.name for p in paths)})"
        for what, paths in problems.items()
        if paths
    ]
    if found:
        raise InputError(
            f"{images[0].parent}: {'; '.join(found)}; an image and its mask have one name, or the same last part "
            "of it behind a '_'"
        )
    return pairs


def prepare(
    images: Path | Sequence[Path],
    mask_path: Path,
    table: ClassTable,
    cache: Path,
    align: Align,
    method: str,
    nodata: float | None = None,
) -> Scene:
    """The scene of an image (or of the dates of one place) and its mask, from the cache, else made
    and put there.

    `align(mask, grid)` yields the mask's labels on another grid, strip by strip; `method` names how
    it does so, for the cache. `nodata` overrides what the image declares. Raises InputError for
    what is wrong with the files, and where the disk has no room.
    """
    image_path, *later = images = [images] if isinstance(images, Path) else images
    stamped = [(p, p / PRODUCT if is_safe(p) else p) for p in (*images, mask_path)]
    inputs = [(str(p.resolve()), s.stat().st_size, s.stat().st_mtime_ns) for p, s in stamped]
    key = hashlib.sha256(
        json.dumps([LAYOUT, inputs, table.records, method, nodata]).encode()
    ).hexdigest()[:16]
    folder = cache / f"{image_path.stem}-{key}"
    with open_image(images, nodata, cache) as raster:
        if not folder.is_dir():
            _make(raster, mask_path, table, folder, align, nodata)
        nodata = raster.nodata if nodata is None else nodata
        image, labels = (
            Mapped(folder / "image.npy", (2, 0, 1)),
            Mapped(folder / "labels.npy", (0, 1)),
        )
        names = raster.descriptions
        return Scene(
            image_path.stem,
            image_path,
            mask_path,
            raster.grid,
            image,
            labels,
            names,
            nodata,
            tuple(later),
        )


def _make(
    raster: Raster | Safe | Stack,
    mask_path: Path,
    table: ClassTable,
    folder: Path,
    align: Align,
    nodata: float | None,
) -> None:
    """Write image.npy and labels.npy into a folder of another name, and rename it when both are
    whole.
    """
    grid = raster.grid
    nodata = raster.nodata if nodata is None else nodata
    folder.parent.mkdir(parents=True, exist_ok=True)
    needed = grid.height * grid.width * (raster.count * raster.dtype.itemsize + 1)
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise InputError(
            f"{folder.parent}: the scene {raster.path} needs {needed / 1e9:.1f} GB here and {free / 1e9:.1f} GB "
            "are free; make room or name another folder by --cache"
        )
    half_made = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(
        half_made, ignore_errors=True
    )  # of a killed process; in a container numbers come again
    half_made.mkdir()
    try:
        with Mask(mask_path, table) as mask:
            image = np.lib.format.open_memmap(
                half_made / "image.npy",
                "w+",
                raster.dtype.newbyteorder("="),
                (grid.height, grid.width, raster.count),
            )
            labels = np.lib.format.open_memmap(
                half_made / "labels.npy", "w+", np.uint8, (grid.height, grid.width)
            )
            row = 0
            for strip in labels_on(mask, grid, align):
                labels[row : row + len(strip)] = strip
                row += len(strip)
            for row in range(0, grid.height, ROWS):
                rows = slice(row, min(row + ROWS, grid.height))
                pixels = raster.read(Window(row, 0, rows.stop - row, grid.width))
                image[rows] = pixels.transpose(1, 2, 0)
                labels[rows][~valid_pixels(pixels, nodata)] = IGNORE
            image.flush(), labels.flush()
        half_made.rename(folder)
    except BaseException as error:
        shutil.rmtree(half_made, ignore_errors=True)
        of_the_system = isinstance(error, OSError) and error.errno
        if of_the_system and folder.is_dir():
            return  # another process has made it meanwhile
        if of_the_system and not error.filename:
            raise OSError(error.errno, error.strerror, str(folder.parent)) from error
        raise
