"""Which windows train and which validate, as --validation and --split say, and the record of it.

    --validation 0.2           Blocks of ground are drawn (data/training/split.py).
      with --split random      Windows are drawn at random, also beside or on the ground of others.
                               The scores are too high for other ground. It shows by how much.
    --validation PATH ...      All windows of these images validate, such as those of other cities.
                               Training windows that share ground with them are left out, and so
                               are those of a place (--places) that they show.

The record is in the checkpoint. unet/training/split_record.py has its form, and writes split.csv.
data/output/trained.py finds the ground of the training in other images with it.

Read beside it: tests/data/training/test_held_out.py.
"""

import os
from argparse import Namespace
from collections.abc import Sequence

import numpy as np
import pyproj
import torch

from data.files import InputError
from data.training.places import Spot
from data.training.scenes import Scene
from data.training.split import drawable, footprints, sharing_ground, split
from data.training.windows import Item

TRAINING, VALIDATION, LEFT_OUT = range(3)  # the last column of the record's windows


def require_one_split(args: Namespace) -> None:
    """Raise InputError unless the options agree on how windows are held out."""
    if isinstance(args.validation, list):
        what = f"--validation {' '.join(map(str, args.validation))}"
        if not args.validation or not all(isinstance(path, str) for path in args.validation):
            raise InputError(f"{what}: give one share, or paths of images")
        if args.split == "random":
            raise InputError(f"--split random: draws windows of all images; leave it or {what} out")
        if args.images is None:
            raise InputError(f"{what}: give --images and --masks, too; --masks has its masks")
        if args.overfit:
            raise InputError(f"--overfit: validates on its own windows; leave it or {what} out")


def choose(
    args: Namespace, scenes: Sequence[Scene], items: Sequence[Item], spots: Sequence[Spot]
) -> tuple[list[int], list[int], str]:
    """Divide the windows into training and validation.

    Args:
        args: The options of train.py.
        scenes: The scenes.
        items: Their windows.
        spots: Where the scenes lie, from `places.find_spots`.

    Returns:
        The numbers of the training windows, those of the validation windows, and a line about them.

    Raises:
        InputError: No window remains for training or for validation.
    """
    if isinstance(args.validation, list):
        held_out = held_out_scenes(scenes, args.validation)
        training, validation, left_out = of_scenes(held_out, items, spots)
        images = f"the images of --validation, {held_out.sum()} of {len(scenes)}"
        why = f"left out because they share ground with {images}"
    elif args.split == "random":
        training, validation, shared = at_random(items, args.validation, args.seed, spots)
        flattered = ", so scores are too high for other ground" if shared else ""
        line = (
            f"{len(training)} for training, {len(validation)} for validation, drawn at random; "
            f"{shared} of these {len(validation)} share ground or an image with training windows"
            f"{flattered}"
        )
        return training, validation, line
    else:
        training, validation, left_out = split(scenes, items, args.validation, args.seed, spots)
        why = "left out because they overlap validation windows"
    line = f"{len(training)} for training, {len(validation)} for validation, {left_out} {why}"
    return training, validation, line


def held_out_scenes(scenes: Sequence[Scene], paths: Sequence[str]) -> np.ndarray:
    """Find the scenes (n,) bool with an image, or one of their dates, among the paths.

    Args:
        scenes: The scenes.
        paths: Files, or folders with them.

    Raises:
        InputError: A path has no image of any scene.
    """
    unused, found = {os.path.abspath(path): path for path in paths}, np.zeros(len(scenes), bool)
    given = set(unused)
    for number, scene in enumerate(scenes):
        for path in map(os.path.abspath, scene.paths):
            own = {path, os.path.dirname(path)} & given
            found[number] |= bool(own)
            for one in own:
                unused.pop(one, None)
    if unused:
        raise InputError(
            f"--validation {next(iter(unused.values()))}: none of the images that are used is in "
            "it; see the notes about files that are left out"
        )
    return found


def others(scenes: Sequence[Scene], validation: float | list[str]) -> Sequence[Scene]:
    """Return the scenes of which some windows may train."""
    if not isinstance(validation, list):
        return scenes
    return [s for s, out in zip(scenes, held_out_scenes(scenes, validation)) if not out]


def of_scenes(
    held_out: np.ndarray, items: Sequence[Item], spots: Sequence[Spot]
) -> tuple[list[int], list[int], int]:
    """Hold out all windows of some scenes.

    Args:
        held_out: (scenes,) bool.
        items: The windows.
        spots: Where the scenes lie.

    Returns:
        As `split.split`.

    Raises:
        InputError: No window remains for training, or none is held out.
    """
    scene_of = np.array([item.scene for item in items])
    place = np.array([spot.place for spot in spots])
    validation = held_out[scene_of] & drawable(items)
    if not validation.any():
        raise InputError("--validation: no window of these images has a label to compare with")
    left_out = sharing_ground(spots, items, *footprints(spots, items), validation)
    left_out |= np.isin(place, place[held_out & (place >= 0)])[scene_of]
    left_out |= held_out[scene_of]  # windows that --stride added there
    left_out &= ~validation
    training = ~validation & ~left_out
    if not training.any():
        raise InputError(
            f"--validation: {validation.sum()} of {len(items)} windows are held out, and "
            f"{left_out.sum()} share ground with them: none is left for training; give more images"
        )
    count = int(left_out.sum())
    return np.flatnonzero(training).tolist(), np.flatnonzero(validation).tolist(), count


def at_random(
    items: Sequence[Item], fraction: float, seed: int, spots: Sequence[Spot]
) -> tuple[list[int], list[int], int]:
    """Hold out windows at random, whatever ground they share with others.

    Args:
        items: The windows.
        fraction: Share of the windows to hold out.
        seed: Decides which windows are drawn.
        spots: Where the scenes lie.

    Returns:
        The numbers of the training windows, those of the validation windows, and how many of these
        share ground or an image with a training window.

    Raises:
        InputError: There is only one window.
    """
    numbers = np.flatnonzero(drawable(items))
    count = max(1, round(fraction * len(numbers)))
    if count == len(items):
        raise InputError(
            f"{len(items)} windows: none is left for training; give more images, a lower "
            "--validation, or a smaller --size"
        )
    training = np.ones(len(items), bool)
    training[np.random.default_rng(seed).permutation(numbers)[:count]] = False
    scene_of = np.array([item.scene for item in items])
    shared = sharing_ground(spots, items, *footprints(spots, items), training)
    shared |= ~training & np.isin(scene_of, scene_of[training])
    return np.flatnonzero(training).tolist(), np.flatnonzero(~training).tolist(), int(shared.sum())


def record(
    scenes: Sequence[Scene],
    items: Sequence[Item],
    spots: Sequence[Spot],
    training: Sequence[int],
    validation: Sequence[int],
) -> dict:
    """Describe a split with plain values and tensors, for a checkpoint.

    Returns:
        images      the path of each image, of the first date where several are stacked
        pixels      the hash of the pixels of each image, see `Scene.pixels`
        crs         the WKT of each CRS
        places      (images, 4) int32: number of the CRS or -1, sheet (see `Spot`), height, width
        transforms  (images, 6) float64 of the grids, where there is no CRS, on the sheet
        windows     (n, 6) int32: image, row, column, height, width, and TRAINING, VALIDATION or
                    LEFT_OUT. A window that trains and validates (--overfit) has two rows.
    """
    numbers: dict[pyproj.CRS, int] = {}
    places, windows = [], []
    for spot in spots:
        crs, height, width = spot.grid.crs, spot.grid.height, spot.grid.width
        number = numbers.setdefault(crs, len(numbers)) if crs else -1
        places.append((number, spot.sheet, height, width))
    trains, validates = set(training), set(validation)
    for number, item in enumerate(items):
        parts = [TRAINING] * (number in trains) + [VALIDATION] * (number in validates)
        windows += [(item.scene, *item.window, part) for part in parts or [LEFT_OUT]]
    return {
        "images": [str(scene.image_path) for scene in scenes],
        "pixels": [scene.pixels for scene in scenes],
        "crs": [crs.to_wkt() for crs in numbers],
        "places": torch.tensor(places, dtype=torch.int32),
        "transforms": torch.tensor([spot.grid.transform for spot in spots], dtype=torch.float64),
        "windows": torch.tensor(windows, dtype=torch.int32),
    }
