"""From the options of a training to its batches: the steps in the order in which data takes them.

    files -> pairs -> scenes on one grid -> windows -> useful ones -> split -> scaling -> samples

Each step prints what it found and what it left out: a training on the wrong half of the data looks
like any other. Read beside it: tests/data/training/test_pipeline.py.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from data import bands
from data.classes import ClassTable
from data.files import InputError
from data.input import inputs, pairing, stack
from data.sample import towns
from data.training.augment import Augment
from data.training.dataset import Batches, EpochSampler, Windows, fit_scalings, repeat_factors
from data.training.scenes import Scene, prepare
from data.training.split import split
from data.training.windows import Item, all_windows, automatic_size, class_counts, useful


class Data(NamedTuple):
    """What a run trains on."""

    training: Windows
    validation: Windows
    counts: np.ndarray  # (training windows, K) labelled pixels of each class
    checkpoint: dict  # the part of a checkpoint from which predict.py makes the network's input


def load(
    args: Namespace, table: ClassTable, cache: Path, say: Callable, progress: Callable
) -> Data:
    """Make the training and validation windows that the options name.

    Args:
        args: The options of train.py.
        table: The class table of the masks.
        cache: Folder for prepared scenes.
        say: Takes lines about what was found and left out.
        progress: Takes lines that the next one replaces.

    Raises:
        InputError, OSError: An option or a file is wrong.
    """
    skip_only = skipped_labels(args.skip_only, table)
    scenes = load_scenes(args, table, cache, say, progress)
    names = common_bands(args.bands, scenes, say)
    indices = chosen_indices(args.indices, names)
    size = args.size or automatic_size(scenes)
    items, counts = useful_windows(scenes, size, table, skip_only, say)
    training, validation = sides(args, scenes, items, counts, say)
    say_content(table, counts[training].sum(0), scenes[0], names, indices, say)
    learned_from = [items[number] for number in sorted(set(training))]
    scaling, scalings = fit_scalings(scenes, learned_from, names, indices, args.scaling)

    def windows(numbers: Sequence[int], **options) -> Windows:
        chosen = [items[number] for number in numbers]
        return Windows(scenes, chosen, names, indices, scalings, size, **options)

    checkpoint = {
        "classes": table.records,
        "class_table": table.name,
        "bands": names,
        "dates": dates_of(scenes[0]),
        "resolution": usual_resolution(scenes),
        "indices": indices,
        "scaling": scaling.state(),
        "size": size,
        "nodata": args.nodata,
    }
    checkpoint["recipe"] = inputs.recipe(checkpoint, table)
    return Data(
        windows(training, augment=None if args.overfit else Augment.of(args.augment)),
        windows(validation, each_pixel_once=True),
        counts[training],
        checkpoint,
    )


def skipped_labels(names: Sequence[str], table: ClassTable) -> list[int]:
    """Return the labels of the classes that --skip-only names. Raises InputError for no class."""
    for name in names:
        if name not in table.names:
            raise InputError(
                f"--skip-only {name}: no such class; there are {', '.join(table.names)}"
            )
    return [table.names.index(name) for name in names]


def load_scenes(
    args: Namespace, table: ClassTable, cache: Path, say: Callable, progress: Callable
) -> list[Scene]:
    """Prepare the scenes that the options name, or the synthetic ones where they name none."""
    if args.images is None:
        images, masks = towns.write(Path("runs/sample"))
        say(f"no images named: {len(images)} synthetic scenes, in runs/sample")
    else:
        images, masks = pairing.find(args.images, "images"), pairing.find(args.masks, "masks")
    pairs = pairing.pair(images, masks)
    places = (
        stack.by_mask(pairs) if args.stack_dates else [((image,), mask) for image, mask in pairs]
    )
    scenes = []
    for number, (dates, mask) in enumerate(places, start=1):
        progress(f"preparing scene {number} of {len(places)}: {dates[0].name}")
        scenes.append(prepare(dates, mask, table, cache, args.align, args.nodata))
    return scenes


def dates_of(scene: Scene) -> int:
    """Return how many dates are stacked in a scene."""
    return 1 + len(scene.later_dates)


def common_bands(named: Sequence[str] | None, scenes: Sequence[Scene], say: Callable) -> list[str]:
    """Return the names of the bands, which all scenes have in the same order.

    Args:
        named: The option --bands: names for the bands of one date, instead of the files' own.
        scenes: The scenes.
        say: Takes a line for each band that a file calls by the name of another band.

    Raises:
        InputError: A scene has other bands than the first.
    """
    first = scenes[0]
    given = named and bands.dated(named, dates_of(first))
    names, *others = (bands.names(scene.descriptions, given, scene.image_path) for scene in scenes)
    for number, theirs, ours in bands.contradictions(bands.names(first.descriptions), names):
        say(f"band {number} is {ours} by --bands, though {first.image_path} calls it {theirs}")
    for scene, found in zip(scenes[1:], others):
        if found != names:
            raise InputError(
                f"{scene.image_path}: {len(found)} bands ({', '.join(found)}), but "
                f"{first.image_path} has {len(names)} ({', '.join(names)}); all images of a run "
                "have the same bands in the same order"
            )
    return names


def chosen_indices(named: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    """Return the spectral indices of each date: those of --indices, else all that the bands allow.

    Raises InputError for an index whose bands are missing.
    """
    possible = bands.available(names)
    if named is None:
        return possible
    indices = [index + date for date in bands.dates(names) for index in named]
    if set(indices) - set(possible):
        raise InputError(
            f"--indices {' '.join(indices)}: needs bands that are not among {', '.join(names)}"
        )
    return indices


def useful_windows(
    scenes: Sequence[Scene], size: int, table: ClassTable, skip_only: Sequence[int], say: Callable
) -> tuple[list[Item], np.ndarray]:
    """Return the windows from which there is something to learn, and their counts (windows, K).

    Raises InputError where there is none.
    """
    items = all_windows(scenes, size)
    counts = class_counts(scenes, items, len(table.names))
    keep, unlabelled, skipped = useful(counts, skip_only)
    items, counts = [item for item, kept in zip(items, keep) if kept], counts[keep]
    if not items:
        raise InputError(
            "no window has a label to learn; check that masks and images show the same ground"
        )
    alone = ", ".join(table.names[label] for label in skip_only)
    say(
        f"{len(scenes)} scenes, {len(items)} windows of {size} x {size}; "
        f"left out: {unlabelled} without label" + (f", {skipped} of {alone} alone" if alone else "")
    )
    return items, counts


def sides(
    args: Namespace,
    scenes: Sequence[Scene],
    items: Sequence[Item],
    counts: np.ndarray,
    say: Callable,
) -> tuple[list[int], list[int]]:
    """Return the numbers of the windows for training and for validation.

    With --overfit both are the windows of most classes, repeated so that an epoch has some steps.
    """
    if args.overfit:
        most = np.argsort(-(counts > 0).sum(1), kind="stable")[: args.overfit].tolist()
        say(
            f"overfitting: the {len(most)} windows of most classes for training and validation, "
            "unaugmented"
        )
        return most * max(1, 10 * args.batch // len(most)), most
    training, validation, straddling = split(scenes, items, args.validation, args.seed)
    say(
        f"{len(training)} for training, {len(validation)} for validation, "
        f"{straddling} between them left out"
    )
    return training, validation


def say_content(
    table: ClassTable,
    total: np.ndarray,
    first: Scene,
    names: Sequence[str],
    indices: Sequence[str],
    say: Callable,
) -> None:
    """Print the share of each class in the training labels (K,), and what a scene consists of."""
    shares = [f"{name} {count / total.sum():.2%}" for name, count in zip(table.names, total)]
    say(f"training labels: {', '.join(shares)}")
    if first.later_dates:
        files = " + ".join(path.name for path in (first.image_path, *first.later_dates))
        say(f"{dates_of(first)} dates of each place stacked by name, such as {files}")
    say(f"bands: {', '.join(names)}" + (f"; indices: {', '.join(indices)}" if indices else ""))


def usual_resolution(scenes: Sequence[Scene]) -> float | None:
    """Return the median side of a pixel on the ground in metres; None where no scene has a CRS."""
    found = (inputs.ground_resolution(scene.grid) for scene in scenes)
    known = [resolution for resolution in found if resolution]
    return float(np.median(known)) if known else None


def loaders(
    args: Namespace, data: Data, gpu: bool, rank: int, world: int
) -> tuple[EpochSampler, DataLoader, DataLoader]:
    """Make the loaders of training and validation batches, for one of several processes.

    Args:
        args: The options of train.py.
        data: Of `load`.
        gpu: Whether the batches go to a GPU. Then processes load them, unless --workers is given,
            into memory from which a GPU copies faster.
        rank: Number of this process, which gets its share of each batch.
        world: Number of processes.

    Returns:
        The order of the training windows, whose `epoch` is to be set before each epoch; the loader
        of the training batches; that of the validation batches.
    """
    workers = (4 if gpu else 0) if args.workers is None else args.workers
    factors = repeat_factors(data.counts, args.oversample) if args.oversample else None
    order = EpochSampler(len(data.training), args.seed, factors)
    # A generator of its own: a loader draws from it, and dropout's random numbers stay the same.
    generator = torch.Generator()

    def batches(windows: Windows, numbers: Iterable) -> DataLoader:
        return DataLoader(
            windows,
            batch_sampler=Batches(numbers, args.batch, rank, world),
            collate_fn=windows.collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=gpu,
            generator=generator,
        )

    training = batches(data.training, order)
    return order, training, batches(data.validation, range(len(data.validation)))
