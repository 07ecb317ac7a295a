"""Find images and masks by name, and decide which mask belongs to which image.

A wrong pair trains without any error and gives a poor network. So a name decides, never the order
of the files, and a doubt is an error that lists all names in question:

    images/town_01.tif           masks/town_01.tif    the same stem
    images/town_01.tif           masks/esm_01.tif     the same last part of the stem, behind a `_`
    april_01.tif, august_01.tif  esm_01.tif           several dates of one place share a mask
    a/images/1.jpg               a/masks/1.png        of several masks the nearest by its folders

Read beside it: tests/data/input/test_pairing.py.
"""

import os
from collections import defaultdict
from pathlib import Path

from data.files import InputError
from data.input.stack import token
from data.raster.safe import is_safe

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2")
MAP = "_landcover"  # the name of a map that predict.py leaves is that of its image, with this end


def find(paths: list[str | Path], what: str) -> list[Path]:
    """List the rasters that files and folders name: those of a folder sorted, and each once.

    A SAFE folder is one image. A map beside its image is not taken from a folder, so that one may
    train there after a prediction.

    Args:
        paths: Files, and folders whose files count (but not those of folders in them).
        what: "images" or "masks", for the messages.

    Raises:
        FileNotFoundError: A path does not exist.
        InputError: No raster is found.
    """
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: no such file or folder; give {what} as files or folders"
            )
        found += _inside(path) if path.is_dir() and not is_safe(path) else [path]
    if not found:
        raise InputError(
            f"{', '.join(map(str, paths))}: no {what}; wanted files ending in {', '.join(SUFFIXES)}"
        )
    return list({path.resolve(): path for path in found}.values())


def _inside(folder: Path) -> list[Path]:
    """The rasters in a folder, sorted, without hidden files and without our own maps."""
    rasters = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and (is_safe(path) or (path.suffix.lower() in SUFFIXES and path.is_file()))
    ]
    # Beside a.tif, both a_landcover.tif and a_landcover_overlay.png are ours.
    stems = {path.stem for path in rasters}
    ours = [p for p in rasters if MAP in p.stem and p.stem.partition(MAP)[0] in stems]
    return sorted(set(rasters) - set(ours))


def pair(
    images: list[Path], masks: list[Path], spare_masks: bool = False
) -> list[tuple[Path, Path]]:
    """Pair each image with its mask.

    The mask of an image has the same stem, else the same last part of the stem (`token`). Of
    several such masks the nearest in the tree of folders is taken. A mask may serve several images.
    A single mask whose last part no image shares serves all images.

    Args:
        images: Paths of the images.
        masks: Paths of the masks.
        spare_masks: Whether a mask without an image is allowed.

    Raises:
        InputError: An image has no mask or several, or a mask has no image. The message lists all.
    """
    if len(masks) == 1 and token(masks[0]) not in map(token, images):
        return [(image, masks[0]) for image in images]
    by_stem, by_token = defaultdict(list), defaultdict(list)
    for mask in masks:
        by_stem[mask.stem].append(mask)
        by_token[token(mask)].append(mask)
    pairs, without, several = [], [], []
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
    found = [
        f"{len(paths)} {what} ({', '.join(path.name for path in paths)})"
        for what, paths in problems.items()
        if paths
    ]
    if found:
        raise InputError(
            f"{images[0].parent}: {'; '.join(found)}; an image and its mask have one name, or the "
            "same last part of it behind a '_'"
        )
    return pairs


def _nearest(image: Path, masks: list[Path]) -> list[Path]:
    """Those of the masks that share the longest path of folders with the image."""

    def shared_folders(mask: Path) -> int:
        return len(Path(os.path.commonpath([image.resolve(), mask.resolve()])).parts)

    most = max(map(shared_folders, masks), default=0)
    return [mask for mask in masks if shared_folders(mask) == most]
