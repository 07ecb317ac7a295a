"""Find the files that a command line names as images and as masks.

Folders are listed and not searched. The name that is given counts, not the file that a link leads
to. A file that would be used twice, or for something that it is not, is left out with a note:

    a_landcover.tif beside a.tif    A map that predict.py made of a.tif. It is left out, unless
                                    nothing but maps is given.
    x.png beside x.tif              One image in two files. The georeferenced one is taken.
    d/1_sat.jpg, d/1_mask.png       The folder d is given for images and for masks. The masks are
                                    the files that begin or end with one of MASK_WORDS. If d is
                                    given for images only, its masks are left out.

Read beside it: tests/data/input/test_finding.py.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.files import InputError
from data.grid import IDENTITY
from data.input.filenames import words
from data.raster import Raster
from data.raster.safe import is_safe
from data.terminal import note

# Suffixes of images, with the order of preference among files of one name.
SUFFIXES = {".tif": 0, ".tiff": 0, ".jp2": 1, ".png": 2, ".jpg": 3, ".jpeg": 3}
# Suffixes of images that cannot be read. A folder with such files is told.
UNREAD = set(".gif .bmp .webp .img .vrt .ecw .sid .bil .hdf .h5 .nc .npy".split())
# Words in the names of masks, where images lie in the same folder.
MASK_WORDS = set("mask masks label labels lbl gt truth seg segmentation annotation target".split())
MAP = "_landcover"  # predict.py adds this ending to the name of an image to name its map
MAP_FILE = re.compile(rf"(.+){MAP}(_overlay|_probabilities|_uncertainty|_to_.+)?\.(tif|png)")


def find(paths: Sequence[str | Path], what: str = "images") -> list[Path]:
    """List rasters: the given files, and the sorted files of the given folders, each once.

    A SAFE folder (a Sentinel-2 product) is one image.

    Args:
        paths: Files and folders. Folders inside a folder are not searched.
        what: "images" or "masks".

    Raises:
        FileNotFoundError: A path, or the target of a link, does not exist.
        InputError: No raster is found, an input is a pipe or a device, or it is not clear which of
            two files of one name is meant.
    """
    listed = _listed(paths, what)
    return _one_file_each(_without_masks(listed, paths) if what == "images" else listed, what)


def find_both(
    images: Sequence[str | Path], masks: Sequence[str | Path]
) -> tuple[list[Path], list[Path]]:
    """List images and masks, which may lie in one folder.

    If a file is given for both, the name of each file must show whether it is a mask.

    Raises:
        FileNotFoundError, InputError: As `find`, and names do not show which files are masks.
    """
    of_images, of_masks = _listed(images, "images"), _listed(masks, "masks")
    if both := set(map(os.path.abspath, of_images)) & set(map(os.path.abspath, of_masks)):
        of_images = [path for path in of_images if not _named_mask(path)]
        of_masks = [path for path in of_masks if _named_mask(path)]
        if not of_images or not of_masks:
            one = Path(min(both))
            raise InputError(
                f"{one.parent}: {len(both)} files are given both as images and as masks (such as "
                f"{one.name}), and no name shows which are masks; let the names of all masks end "
                "with _mask, or give two lists, such as folder/*.jpg and folder/*.png"
            )
    return _one_file_each(of_images, "images"), _one_file_each(of_masks, "masks")


def _named_mask(path: Path) -> bool:
    """Return whether the first or the last word of a name is one of MASK_WORDS."""
    found = words(path.stem.lower())
    return bool({*found[:1], *found[-1:]} & MASK_WORDS)


def _without_masks(rasters: list[Path], given: Sequence[str | Path]) -> list[Path]:
    """Leave out the masks of folders that also hold images. Files that are named are kept."""
    named = {os.path.abspath(path) for path in given}
    with_images = {path.parent for path in rasters if not _named_mask(path)}
    masks = {
        path: None
        for path in rasters
        if _named_mask(path) and path.parent in with_images and os.path.abspath(path) not in named
    }
    if masks:
        tell(
            f"{_first_of(list(masks))}: left out, because the name is that of a mask and images "
            "lie in the same folder; to map it, give the file itself"
        )
    return [path for path in rasters if path not in masks]


def _listed(paths: Sequence[str | Path], what: str) -> list[Path]:
    """List the rasters of files and folders. Maps of predict.py are left out."""
    rasters: list[Path] = []
    empty: list[str] = []
    for path in map(Path, paths):
        _check(path, what)
        if path.is_dir() and not is_safe(path):
            inside = _inside(path, what)
            rasters += inside
            empty += [] if inside else [_why_empty(path, what)]
        else:
            rasters.append(path)
    if not rasters:
        raise InputError("; ".join(empty))
    for text in empty:
        tell(text)
    # Paths are compared as they are written. Two links to one file are two files.
    return _without_maps(list({os.path.abspath(path): path for path in rasters}.values()))


def _check(path: Path, what: str) -> None:
    """Raise an error unless the path is a file or a folder, or a link to one."""
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(
            f"{path}: is a link to {os.readlink(path)}, which does not exist; mend or remove it"
        )
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give {what} as files or folders")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: is a pipe or a device; give {what} as files or folders")


def _inside(folder: Path, what: str) -> list[Path]:
    """List the rasters in a folder, sorted, without hidden files."""
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    rasters = [path for path in visible if _is_raster(path)]
    for path in rasters:
        _check(path, what)
    suffixes = (path.suffix.lower() for path in visible)
    unread = Counter(suffix for suffix in suffixes if suffix in UNREAD)
    if rasters and unread:
        tell(f"{folder}: {_counts(unread)} cannot be read, and are not used as {what}")
    return rasters


def _is_raster(path: Path) -> bool:
    return is_safe(path) or (path.suffix.lower() in SUFFIXES and not path.is_dir())


def _why_empty(folder: Path, what: str) -> str:
    """Say what a folder without rasters has: rasters further below, or files of other types."""
    below = [path for deep in ("*/*", "*/*/*") for path in folder.glob(deep) if _is_raster(path)]
    if below:
        folders = sorted({f"{path.parent.relative_to(folder)}/" for path in below})
        shown = ", ".join(folders[:4]) + ", ..." * (len(folders) > 4)
        return (
            f"{folder}: has no {what}, but its subfolders {shown} have "
            f"({len(below)} file{'s' * (len(below) > 1)}); name them"
        )
    others = Counter(path.suffix.lower() or path.name for path in folder.iterdir())
    holds = f" (it holds {_counts(others)})" if others else ""
    return f"{folder}: has no {what}{holds}; give files that end in {', '.join(SUFFIXES)}"


def _counts(suffixes: Counter[str]) -> str:
    """Describe counted suffixes: '12 .gif, 1 .txt'."""
    return ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(4))


def _without_maps(rasters: list[Path]) -> list[Path]:
    """Leave out the maps that predict.py made of these images. A list of maps alone is kept."""
    stems = {path.stem for path in rasters}
    maps = {path: None for path in rasters if _is_map(path, stems)}
    if not maps or len(maps) == len(rasters):
        return rasters
    tell(f"{_first_of(list(maps))}: left out, because predict.py made it of an image")
    return [path for path in rasters if path not in maps]


def _is_map(path: Path, stems: set[str]) -> bool:
    """Return whether a file is a map or picture that predict.py made of an image.

    The image is one of `stems`, or lies beside the file. The map holds the names of its classes.
    """
    match = MAP_FILE.fullmatch(path.name)
    if not match:
        return False
    suffixes = (*SUFFIXES, *map(str.upper, SUFFIXES), ".SAFE")
    beside = (path.with_name(match[1] + suffix) for suffix in suffixes)
    if match[1] not in stems and not any(image.exists() for image in beside):
        return False
    try:
        with Raster(path.with_name(f"{match[1]}{MAP}.tif")) as raster:
            return any(item.startswith("class_") for item in raster.items)
    except (InputError, OSError):
        return False


def same_image(path: Path, stems: set[str]) -> list[Path]:
    """List a file, and the files of the same name that `find` leaves out for it (x.png for x.tif).

    Maps that predict.py made of an image are not among them. `stems` are those of all images.
    """
    others = (path.with_suffix(suffix) for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)))
    return [path, *(other for other in others if other.is_file() and not _is_map(other, stems))]


def _one_file_each(rasters: list[Path], what: str) -> list[Path]:
    """Keep one of several files of one name in one folder, and print which."""
    same = defaultdict(list)
    for path in rasters:
        same[os.path.abspath(path.with_suffix(""))].append(path)
    taken = [_preferred(files, what) for files in same.values()]
    if len(taken) < len(rasters):
        kept = set(taken)
        left = [path for path in rasters if path not in kept]
        beside = next(path for path in taken if path.stem == left[0].stem)
        tell(
            f"{_first_of(left)}: left out, because {beside.name} beside it has the same name and "
            f"is taken (one with a georeference first, then {', '.join(SUFFIXES)})"
        )
    return taken


def _first_of(paths: list[Path]) -> str:
    """Name the first path, and count the others."""
    others = len(paths) - 1
    return f"{paths[0]}" + f" and {others} more file{'s' * (others > 1)}" * (others > 0)


def tell(text: str) -> None:
    """Print a note, and only once where torchrun starts several processes."""
    if os.environ.get("RANK", "0") == "0":
        note(text)


def _preferred(files: list[Path], what: str) -> Path:
    """Choose one of several files of one name: the georeferenced one, else by SUFFIXES.

    Masks are not chosen by suffix, because a wrong mask would not be noticed.
    """
    if len(files) == 1:
        return files[0]

    def rank(path: Path) -> tuple[bool, int]:
        return not _georeferenced(path), SUFFIXES.get(path.suffix.lower(), 9) * (what != "masks")

    first, second, *_ = sorted(files, key=rank)
    if rank(first) == rank(second):
        raise InputError(
            f"{first}: {second.name} beside it has the same name, and either may be meant; give "
            "one of the two"
        )
    return first


def _georeferenced(path: Path) -> bool:
    """Return whether a raster has a CRS or a transform. A file that cannot be read has none."""
    if is_safe(path):
        return True
    try:
        with Raster(path) as raster:
            return raster.grid.crs is not None or raster.grid.transform != IDENTITY
    except (InputError, OSError):
        return False
