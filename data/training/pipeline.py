"""From the options of a training to its batches, step by step.

    files -> pairs -> scenes on one grid -> windows -> chosen ones -> split -> scaling -> samples

Each step prints what it found and what it left out. Without these lines nobody would notice a
training on the wrong half of the data.

Read beside it: tests/data/training/test_pipeline.py.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from data.classes import ClassTable
from data.files import InputError
from data.grid import Grid, Window
from data.input import inputs
from data.terminal import listed
from data.training import defaults, held_out, share_rules
from data.training.augment import Augment
from data.training.channels import chosen_indices, common_bands, described
from data.training.dataset import Batches, EpochSampler, Windows, fit_scalings
from data.training.loading import content, load_scenes
from data.training.one_unit import in_one_unit
from data.training.places import find_spots, located, numbers, same_masks
from data.training.scenes import Scene
from data.training.windows import WHOLE, Item, all_windows, automatic_size, class_counts, useful
from data.training.workers import Loader, start_worker


class Data(NamedTuple):
    """What a run trains on."""

    training: Windows
    validation: Windows
    counts: np.ndarray  # (training windows, K) labelled pixels of each class
    factors: np.ndarray | None  # (training windows,) how often each is drawn; None: once an epoch
    checkpoint: dict  # the part of a checkpoint from which predict.py makes the network's input


def load(
    args: Namespace,
    table: ClassTable,
    cache: Path,
    say: Callable,
    progress: Callable,
    outputs: Sequence[Path] = (),
) -> Data:
    """Make the training and validation windows that the options name.

    Args:
        args: The options of train.py. `defaults.complete` sets those that were not given.
        table: The class table of the masks.
        cache: Folder for prepared scenes.
        say: Prints a line.
        progress: Prints a line that the next one replaces.
        outputs: The files that the run will write. None of them may be an input.

    Raises:
        InputError, OSError: An option or a file is wrong.
    """
    held_out.require_one_split(args)
    skip_only = [share_rules.label(name, table, "--skip-only") for name in args.skip_only]
    keep = share_rules.rules("--keep-share", args.keep_share, table)
    often = share_rules.rules("--oversample-share", args.oversample_share, table)
    scl = any(rule.scl for rule in keep + often)
    scenes = load_scenes(args, table, cache, say, progress, outputs, scl)
    defaults.complete(args, scenes, say)
    scenes = in_one_unit(scenes, args.offset, args.scaling, say)
    names = common_bands(args.bands, scenes, say)
    indices = chosen_indices(args.indices, names)
    size = args.size or automatic_size(scenes)
    if args.stride and args.stride > size:
        raise InputError(
            f"--stride {args.stride}: is above the side of the windows, {size}; give --size"
        )
    stride = args.stride or 0
    if stride and args.overfit:
        say("--overfit: the windows of --stride are not added")
        stride = 0
    items, counts = useful_windows(scenes, size, table, skip_only, say, stride)
    items, counts = share_rules.keep(scenes, items, counts, keep, say)
    training, validation, record, places = training_and_validation(args, scenes, items, counts, say)
    describe(table, counts[training].sum(0), scenes[0], say)
    say(described(names, indices, args.indices))
    chosen = [items[number] for number in training]
    factors = share_rules.draw_factors(
        scenes, chosen, counts[training], args.oversample, often, say
    )
    learned_from = [items[number] for number in sorted(set(training))]
    scaling, scalings = fit_scalings(scenes, learned_from, names, indices, args.scaling)

    def windows(numbers: Sequence[int], **options) -> Windows:
        chosen = [items[number] for number in numbers]
        return Windows(scenes, chosen, names, indices, scalings, size, **options)

    held = windows(validation, each_pixel_once=True, places=places)
    if not (skip_only or keep):
        held = in_whole_tiles(held, training, items)
    if held.size > size:
        say(f"the validation maps its {len(held)} tiles whole, as predict.py does")
    trained = held_out.others(scenes, args.validation)
    checkpoint = {
        "classes": table.records,
        "class_table": table.name,
        "bands": names,
        "dates": dates_of(scenes[0]),
        "resolution": usual_resolution(trained),
        "indices": indices,
        "scaling": scaling.state(),
        "size": size,
        "nodata": args.nodata,
        "content": content(scenes),
        "split": record,
    }
    checkpoint["recipe"] = {
        **inputs.recipe(checkpoint, table),
        "crs_resolution_metres": usual_resolution(trained, inputs.crs_resolution),
        "nodata_value": common_nodata(trained),
    }
    return Data(
        windows(training, augment=None if args.overfit else Augment.of(args.augment)),
        held,
        counts[training],
        factors,
        checkpoint,
    )


def in_whole_tiles(held: Windows, training: Sequence[int], items: Sequence[Item]) -> Windows:
    """Return validation windows as whole scenes, if these are small tiles in which none trains.

    predict.py maps such a tile in one window. In smaller ones, the network sees less around pixels.
    So scores would be too low, and the errors not those of the map.
    """
    grids = {item.scene: held.scenes[item.scene].grid for item in held.items}
    whole = {number: Window(0, 0, grid.height, grid.width) for number, grid in grids.items()}
    longest = max(max(window.height, window.width) for window in whole.values())
    if longest > WHOLE or not {items[n].scene for n in training}.isdisjoint(whole):
        return held
    tiled = copy(held)
    tiled.size = max(held.size, longest)
    tiled.items = [Item(number, window, window) for number, window in sorted(whole.items())]
    return tiled


def dates_of(scene: Scene) -> int:
    """Return the number of dates that are stacked in a scene."""
    return 1 + len(scene.later_dates)


def useful_windows(
    scenes: Sequence[Scene],
    size: int,
    table: ClassTable,
    skip_only: Sequence[int],
    say: Callable,
    stride: int = 0,
) -> tuple[list[Item], np.ndarray]:
    """Return the windows with labels to learn, and their pixels of each class (windows, K).

    Raises:
        InputError: No window has a label to learn.
    """
    items = all_windows(scenes, size, stride)
    counts = class_counts(scenes, items, len(table.names))
    absent = [name for name, count in zip(table.names, counts.sum(0)) if not count]
    if absent and len(absent) < len(table.names):
        say(
            f"no mask has a pixel of: {listed(absent)} ({len(absent)} of {len(table.names)} "
            f"classes); is {table.name} the table of these masks?"
        )
    keep, unlabelled, skipped = useful(counts, skip_only)
    items, counts = [item for item, kept in zip(items, keep) if kept], counts[keep]
    if not items:
        raise InputError(
            "no window has a label to learn; check that masks and images show the same ground"
        )
    skipped_names = ", ".join(table.names[label] for label in skip_only)
    added = sum(item.own is None for item in items)
    say(
        f"{len(scenes)} scenes, {len(items)} windows of {size} x {size}"
        + (f" ({added} added by --stride {stride}, for training only)" if stride else "")
        + f"; left out: {unlabelled} without labels"
        + (f", {skipped} with only {skipped_names}" if skip_only else "")
    )
    return items, counts


def training_and_validation(
    args: Namespace,
    scenes: Sequence[Scene],
    items: Sequence[Item],
    counts: np.ndarray,
    say: Callable,
) -> tuple[list[int], list[int], dict, list[int]]:
    """Return the numbers of the windows for training and for validation, and their record.

    The last list has the number of the place of each scene, from `places.numbers`.

    With --overfit both are the windows with the most classes. For training they are repeated, so
    that an epoch has at least ten batches.
    """
    if args.overfit:
        most = np.argsort(-(counts > 0).sum(1), kind="stable")[: args.overfit].tolist()
        say(
            f"overfitting: training and validation on the {len(most)} windows with the most "
            "classes, without augmentation"
        )
        spots = located(scenes, same_masks(scenes))
        record = held_out.record(scenes, items, spots, most, most)
        repeated = most * max(1, 10 * args.batch // len(most))
        return repeated, most, record, numbers(spots)
    spots, found = find_spots(scenes, args.places)
    for line in found:
        say(line)
    training, validation, line = held_out.choose(args, scenes, items, spots)
    say(line)
    record = held_out.record(scenes, items, spots, training, validation)
    return training, validation, record, numbers(spots)


def describe(
    table: ClassTable,
    total: np.ndarray,
    first: Scene,
    say: Callable,
) -> None:
    """Print the share of each class in the training labels (K,), and the dates."""
    shares = [f"{name} {count / total.sum():.2%}" for name, count in zip(table.names, total)]
    say(f"training labels: {', '.join(shares)}")
    if np.count_nonzero(total) == 1:
        say(
            f"all training labels are {table.names[int(total.argmax())]}: one class teaches "
            "nothing; add masks with other classes"
        )
    if first.later_dates:
        files = " + ".join(path.name for path in (first.image_path, *first.later_dates))
        say(f"{dates_of(first)} dates of each place are stacked, such as {files}")


def usual_resolution(
    scenes: Sequence[Scene], size: Callable[[Grid], float | None] = inputs.ground_resolution
) -> float | None:
    """Return the median pixel size of scenes in metres; None if no scene has a CRS."""
    known = [found for scene in scenes if (found := size(scene.grid))]
    return float(np.median(known)) if known else None


def common_nodata(scenes: Sequence[Scene]) -> float | None:
    """Return the no-data value in the files of all scenes; None if they differ or have none."""
    values = {(scene.unit or scene).nodata for scene in scenes}
    value = values.pop() if len(values) == 1 else None
    return None if value is None or not np.isfinite(value) else float(value)


def loaders(
    args: Namespace, data: Data, gpu: bool, rank: int, world: int
) -> tuple[EpochSampler, DataLoader, DataLoader]:
    """Make the loaders of training and validation batches, for one of several processes.

    Args:
        args: The options of train.py.
        data: The data that `load` returned.
        gpu: Whether the batches go to a GPU. If so, worker processes load them into pinned memory,
            from which a GPU copies faster. --workers sets the number of these processes.
        rank: Number of this process. Each process gets its share of every batch.
        world: Number of processes.

    Returns:
        The order of the training windows, the loader of the training batches, and the loader of the
        validation batches. Set `epoch` of the order before each epoch.
    """
    workers = (4 if gpu else 0) if args.workers is None else args.workers
    order = EpochSampler(len(data.training), args.seed, data.factors)
    # The loaders draw from a generator of their own, so dropout's random numbers do not change.
    generator = torch.Generator()

    def batches(windows: Windows, numbers: EpochSampler | range) -> DataLoader:
        size = max(1, args.batch * data.training.size**2 // windows.size**2)  # as many pixels
        return Loader(
            windows,
            batch_sampler=Batches(numbers, size, rank, world),
            collate_fn=windows.collate,
            num_workers=workers,
            worker_init_fn=start_worker,
            persistent_workers=workers > 0,
            pin_memory=gpu,
            generator=generator,
        )

    training = batches(data.training, order)
    return order, training, batches(data.validation, range(len(data.validation)))
