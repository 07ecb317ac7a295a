"""From the options of a training to its batches: the rooms of this package, in the order data
passes through them.

    files -> pairs -> scenes on one grid -> windows -> useful ones -> split -> scaling -> samples

What is decided on the way is said in a few lines, because training on the wrong half of the data
looks just like training. Read beside it: tests/data/training/test_pipeline.py.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from data import bands, resample
from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.input import inputs, stack
from data.sample import towns
from data.training import dataset, scenes
from data.training.augment import Augment
from data.training.dataset import Batches, EpochSampler, Windows


def load_scenes(
    args: Namespace, table: ClassTable, cache: Path, say: Callable, progress: Callable
) -> list[scenes.Scene]:
    """The scenes that the options name, prepared; the synthetic ones where none is named."""
    if args.images is None:
        images, masks = towns.write(Path("runs/sample"))
        say(f"no images named: {len(images)} synthetic scenes, in runs/sample")
    else:
        images, masks = scenes.find(args.images, "images"), scenes.find(args.masks, "masks")
    pairs = scenes.pair(images, masks)
    places = stack.group(pairs) if args.stack_dates else [((image,), mask) for image, mask in pairs]

    def align(mask, grid):
        return resample.strips(mask.read, mask.grid, grid, args.align, IGNORE, np.uint8)

    prepared = []
    for dates, mask in places:
        progress(f"preparing scene {len(prepared) + 1} of {len(places)}: {dates[0].name}")
        prepared.append(scenes.prepare(dates, mask, table, cache, align, args.align, args.nodata))
    return prepared


class Data(NamedTuple):
    """What a run trains on."""

    training: Windows
    validation: Windows
    counts: np.ndarray  # (training windows, K) labelled pixels of each class
    checkpoint: (
        dict  # the part of a checkpoint that tells predict.py how to make the network's input
    )


def load(
    args: Namespace, table: ClassTable, cache: Path, say: Callable, progress: Callable
) -> Data:
    """Scenes to windows, split and scaled.

    `args` are train.py's options on data; `align(mask, grid)` puts a mask on an image's grid; `say`
    takes lines about what was found and left out, `progress` lines of passing interest. Raises
    InputError and OSError for what is wrong with the files.
    """
    augment = Augment.of(args.augment)
    unknown = [name for name in args.skip_only if name not in table.names]
    if unknown:
        raise InputError(
            f"--skip-only {unknown[0]}: no such class; there are {', '.join(table.names)}"
        )
    prepared = load_scenes(args, table, cache, say, progress)
    dates = 1 + len(prepared[0].later_dates)
    given = args.bands and bands.dated(args.bands, dates)  # --bands names those of one date
    names, *others = (
        bands.names(scene.descriptions, given, scene.image_path) for scene in prepared
    )
    for number, theirs, ours in bands.contradictions(bands.names(prepared[0].descriptions), names):
        say(
            f"band {number} is {ours} by --bands, though {prepared[0].image_path} calls it {theirs}"
        )
    for scene, found in zip(prepared[1:], others):
        if found != names:
            raise InputError(
                f"{scene.image_path}: {len(found)} bands ({', '.join(found)}), but {prepared[0].image_path} has "
                f"{len(names)} ({', '.join(names)}); all images of a run have the same bands in the same order"
            )
    possible = bands.available(names)
    indices = [index + date for date in bands.dates(names) for index in args.indices or ()]
    indices = possible if args.indices is None else indices
    if set(indices) - set(possible):
        raise InputError(
            f"--indices {' '.join(indices)}: needs bands that are not among {', '.join(names)}"
        )

    largest = max(max(scene.grid.height, scene.grid.width) for scene in prepared)
    size = args.size or (largest if largest <= 512 else 256)
    items = dataset.all_windows(prepared, size)
    counts = dataset.class_counts(prepared, items, len(table.names))
    keep, unlabelled, skipped = dataset.useful(
        counts, [table.names.index(name) for name in args.skip_only]
    )
    items, counts = [item for item, kept in zip(items, keep) if kept], counts[keep]
    if not items:
        raise InputError(
            "no window has a label to learn; check that masks and images show the same ground"
        )
    say(
        f"{len(prepared)} scenes, {len(items)} windows of {size} x {size}; left out: {unlabelled} without label"
        + (f", {skipped} of {', '.join(args.skip_only)} alone" if args.skip_only else "")
    )
    if args.overfit:
        validation = np.argsort(-(counts > 0).sum(1), kind="stable")[: args.overfit].tolist()
        training = validation * max(1, 10 * args.batch // len(validation))  # some steps to an epoch
        say(
            f"overfitting: the {len(validation)} windows of most classes for training and validation, unaugmented"
        )
    else:
        training, validation, straddling = dataset.split(
            prepared, items, args.validation, args.seed
        )
        say(
            f"{len(training)} for training, {len(validation)} for validation, {straddling} between them left out"
        )
    total = counts[training].sum(0)
    say(
        "training labels: "
        + ", ".join(f"{name} {n / total.sum():.2%}" for name, n in zip(table.names, total))
    )
    if dates > 1:
        files = [prepared[0].image_path, *prepared[0].later_dates]
        say(
            f"{dates} dates of each place stacked by name, such as {' + '.join(path.name for path in files)}"
        )
    say(f"bands: {', '.join(names)}" + (f"; indices: {', '.join(indices)}" if indices else ""))

    found = (inputs.ground_resolution(scene.grid) for scene in prepared)
    known = [resolution for resolution in found if resolution]

    scaling, scalings = dataset.fit_scalings(
        prepared, [items[n] for n in sorted(set(training))], names, indices, args.scaling
    )

    def windows(numbers: list[int], augment: Augment | None) -> Windows:
        return Windows(
            prepared, [items[n] for n in numbers], names, indices, scalings, size, augment
        )

    return Data(
        windows(training, None if args.overfit else augment),
        windows(validation, None),
        counts[training],
        {
            "classes": table.records,
            "class_table": table.name,
            "bands": names,
            "dates": dates,
            "resolution": float(np.median(known)) if known else None,
            "indices": indices,
            "scaling": scaling.state(),
            "size": size,
            "nodata": args.nodata,
        },
    )


def loaders(
    args: Namespace, data: Data, gpu: bool, rank: int, world: int
) -> tuple[EpochSampler, DataLoader, DataLoader]:
    """(order of the training windows, whose `epoch` is to be set; their batches; those of the
    validation).

    The batches are the share of process `rank` of `world`.
    """
    factors = dataset.repeat_factors(data.counts, args.oversample) if args.oversample else None
    order = EpochSampler(len(data.training), args.seed, factors)
    workers = (4 if gpu else 0) if args.workers is None else args.workers
    options = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": gpu}
    options["generator"] = (
        torch.Generator()
    )  # its own, so that loading draws nothing from dropout's random numbers

    def batches(windows: Windows, numbers: Iterable) -> DataLoader:
        share = Batches(numbers, args.batch, rank, world)
        return DataLoader(windows, batch_sampler=share, collate_fn=windows.collate, **options)

    return (
        order,
        batches(data.training, order),
        batches(data.validation, range(len(data.validation))),
    )
