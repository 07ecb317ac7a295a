"""Find images and masks by name, and decide which mask belongs to which image.

Training on wrong pairs runs without any error and gives a poor network. So names decide, never
the order of the files. An unclear pair is an error, which lists the names:

    images/town_01.tif           masks/town_01.tif    the same stem
    images/town_01.tif           masks/esm_01.tif     the same last part of the stem, after a `_`
    april_01.tif, august_01.tif  esm_01.tif           several dates of one place share a mask
    a/images/1.jpg               a/masks/1.png        of several, the mask in the nearest folder

Read beside it: tests/data/input/test_pairing.py.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.files import InputError
from data.input.filenames import token
from data.raster.safe import is_safe

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2")
MAP = "_landcover"  # predict.py adds this ending to the name of an image to name its map


def find(paths: Sequence[str | Path], what: str) -> list[Path]:
    """List rasters: the given files, and the sorted files of the given folders, each once.

    A SAFE folder (a Sentinel-2 product) is one image. Maps that predict.py wrote beside their
    images are left out, so a folder of images can be used for training after a prediction.

    Args:
        paths: Files and folders. Folders inside a folder are not searched.
        what: "images" or "masks", for the messages.

    Raises:
        FileNotFoundError: A path does not exist.
        InputError: No raster is found.
    """
    rasters: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: no such file or folder; give {what} as files or folders"
            )
        rasters += _inside(path) if path.is_dir() and not is_safe(path) else [path]
    if not rasters:
        raise InputError(
            f"{', '.join(map(str, paths))}: no {what}; give files that end in {', '.join(SUFFIXES)}"
        )
    return list({path.resolve(): path for path in rasters}.values())


def _inside(folder: Path) -> list[Path]:
    """List the rasters in a folder, sorted, without hidden files and maps of predict.py."""
    rasters = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and (is_safe(path) or (path.suffix.lower() in SUFFIXES and path.is_file()))
    ]
    # Beside a.tif, predict.py wrote both a_landcover.tif and a_landcover_overlay.png.
    stems = {path.stem for path in rasters}
    maps = {
        path
        for path in rasters
        if MAP in path.stem and stems & {path.stem.partition(MAP)[0], path.stem.rpartition(MAP)[0]}
    }
    return sorted(set(rasters) - maps)


def pair(
    images: list[Path], masks: list[Path], spare_masks: bool = False
) -> list[tuple[Path, Path]]:
    """Pair each image with its mask.

    The mask of an image has the same stem, else the same last part of the stem (`token`). Of
    several such masks the nearest in the tree of folders is taken. Several images may share a mask.
    A single mask belongs to all images, unless an image has the same last part of the name.

    Args:
        images: Paths of the images.
        masks: Paths of the masks.
        spare_masks: Whether a mask without an image is allowed.

    Raises:
        InputError: An image has no mask or several, or a mask has no image. The message lists all.
    """
    if len(masks) == 1 and token(masks[0]) not in map(token, images):
        return [(image, masks[0]) for image in images]
    by_stem: dict[str, list[Path]] = defaultdict(list)
    by_token: dict[str, list[Path]] = defaultdict(list)
    for mask in masks:
        by_stem[mask.stem].append(mask)
        by_token[token(mask)].append(mask)
    pairs: list[tuple[Path, Path]] = []
    without: list[Path] = []
    several: list[Path] = []
    for image in images:
        nearest = _nearest(image, by_stem.get(image.stem) or by_token.get(token(image), []))
        if len(nearest) == 1:
            pairs.append((image, nearest[0]))
        else:
            (several if nearest else without).append(image)
    used = {mask for _, mask in pairs}
    unused = [] if spare_masks else [mask for mask in masks if mask not in used]
    problems = {
        "images without a mask": without,
        "images with several masks": several,
        "masks without an image": unused,
    }
    listed = [
        f"{len(paths)} {what} ({', '.join(path.name for path in paths)})"
        for what, paths in problems.items()
        if paths
    ]
    if listed:
        raise InputError(
            f"{images[0].parent}: {'; '.join(listed)}; give an image and its mask the "
            "same name, or names with the same last part after a '_'"
        )
    return pairs


def _nearest(image: Path, masks: list[Path]) -> list[Path]:
    """Return the masks that share the longest path of folders with the image."""

    def shared_folders(mask: Path) -> int:
        return len(Path(os.path.commonpath([image.resolve(), mask.resolve()])).parts)

    most = max(map(shared_folders, masks), default=0)
    return [mask for mask in masks if shared_folders(mask) == most]
