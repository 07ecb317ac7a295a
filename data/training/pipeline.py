"""From the options of a training to its batches: the rooms of this package, in the order data
passes through them.

    files -> pairs -> scenes on one grid -> windows -> useful ones -> split -> scaling -> samples

What is decided on the way is said in a few lines, because training on the wrong half of the data
looks just like training. Read beside it: tests/data/training/test_pipeline.py.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from data import bands
from data.classes import ClassTable
from data.console import within
from data.files import InputError
from data.input import inputs, stack
from data.sample import towns
from data.scaling import METHODS
from data.training import dataset, scenes
from data.training.augment import Augment
from data.training.dataset import Batches, EpochSampler, Windows


def add_options(parser: ArgumentParser) -> None:
    """The options on data, in train.py's `--help`."""
    # No machine has more than the upper limits, and nothing overflows below them.
    some, any_number, chance = (
        within(int, 1, 2**24),
        within(int, 0, 2**31),
        within(float, 0, below=1),
    )
    add = parser.add_argument_group("data").add_argument
    add(
        "--images", nargs="+", metavar="PATH", help="image files or folders; none: synthetic scenes"
    )
    add(
        "--masks",
        nargs="+",
        metavar="PATH",
        help="mask files or folders, matched to the images by name",
    )
    add("--classes", default="esm", help="class table: esm, catalonia, deepglobe or a CSV file")
    add(
        "--bands",
        nargs="+",
        metavar="NAME",
        help="names of the images' bands, instead of the files' own",
    )
    add(
        "--indices",
        nargs="*",
        choices=list(bands.INDICES),
        help="indices to add; none: all possible",
    )
    add(
        "--stack-dates",
        action="store_true",
        help="images that share a mask become one, of dates x bands",
    )
    add("--nodata", type=float, help="value of pixels without data, instead of the files' own")
    add(
        "--scaling",
        choices=METHODS,
        default="minmax",
        help="range over the training set, or of each image",
    )
    add(
        "--align",
        choices=("nearest", "mode"),
        default="nearest",
        help="how a mask gets on its image's grid",
    )
    add("--size", type=some, help="side of the windows; none: the images' own up to 512, else 256")
    add(
        "--skip-only",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="leave out windows of these classes alone",
    )
    add(
        "--oversample",
        type=chance,
        default=0,
        metavar="T",
        help="draw windows of classes in under T of all more",
    )
    held_out = within(float, above=0, below=1)
    add(
        "--validation",
        type=held_out,
        default=0.2,
        metavar="SHARE",
        help="share of the windows held out",
    )
    add("--cache", type=Path, default=Path("runs/cache"), help="folder for prepared scenes")
    add(
        "--overfit",
        type=any_number,
        default=0,
        metavar="N",
        help="train and validate on the same N windows",
    )

    add = parser.add_argument_group("augmentation").add_argument
    steps = {"flip": "a flip", "turn": "quarter turns", "crop": "a crop", "jitter": "colour jitter"}
    for name, what in steps.items():
        add(
            f"--{name}",
            type=float,
            default=getattr(Augment, name),
            metavar="P",
            help=f"probability of {what}",
        )
    add(
        "--crop-min",
        type=float,
        default=Augment.crop_min,
        help="shortest side, share of the window",
    )
    add("--strength", type=float, default=Augment.strength, help="of colour jitter, in gain")
    add(
        "--scales",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="S",
        help="sizes of things, one drawn for each window",
    )


def load_scenes(
    args: Namespace, table: ClassTable, align: scenes.Align, say: Callable, progress: Callable
) -> list[scenes.Scene]:
    """The scenes that the options name, prepared; the synthetic ones where none is named."""
    if args.images is None:
        images, masks = towns.write(Path("runs/sample"))
        say(f"no images named: {len(images)} synthetic scenes, in runs/sample")
    else:
        images, masks = scenes.find(args.images, "images"), scenes.find(args.masks, "masks")
    pairs = scenes.pair(images, masks)
    places = stack.group(pairs) if args.stack_dates else [((image,), mask) for image, mask in pairs]
    prepared = []
    for dates, mask in places:
        progress(f"preparing scene {len(prepared) + 1} of {len(places)}: {dates[0].name}")
        prepared.append(
            scenes.prepare(dates, mask, table, args.cache, align, args.align, args.nodata)
        )
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
    args: Namespace, table: ClassTable, align: scenes.Align, say: Callable, progress: Callable
) -> Data:
    """Scenes to windows, split and scaled.

    `args` are train.py's options on data; `align(mask, grid)` puts a mask on an image's grid; `say`
    takes lines about what was found and left out, `progress` lines of passing interest. Raises
    InputError and OSError for what is wrong with the files.
    """
    augment = Augment(
        args.flip,
        args.turn,
        args.crop,
        args.crop_min,
        args.jitter,
        args.strength,
        tuple(args.scales),
    )
    unknown = [name for name in args.skip_only if name not in table.names]
    if unknown:
        raise InputError(
            f"--skip-only {unknown[0]}: no such class; there are {', '.join(table.names)}"
        )
    prepared = load_scenes(args, table, align, say, progress)
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

    def windows(numbers: list[int], augment: Augment | None, once: bool) -> Windows:
        chosen = [items[n] for n in numbers]
        return Windows(prepared, chosen, names, indices, scalings, size, augment, once)

    return Data(
        windows(training, None if args.overfit else augment, False),
        windows(validation, None, True),
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
    args: Namespace, data: Data, workers: int, pin_memory: bool, rank: int, world: int
) -> tuple[EpochSampler, DataLoader, DataLoader]:
    """(order of the training windows, whose `epoch` is to be set; their batches; those of the
    validation).

    The batches are the share of process `rank` of `world`.
    """
    factors = dataset.repeat_factors(data.counts, args.oversample) if args.oversample else None
    order = EpochSampler(len(data.training), args.seed, factors)
    options = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": pin_memory}
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
