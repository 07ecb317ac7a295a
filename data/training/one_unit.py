"""The numbers of all scenes of a training in one unit.

Some scenes may be in reflectance and others in reflectance x 10,000. Those of the rarer unit are
converted, as predict.py converts an image to the unit of the training (data/input/units.py). A
sample of each scene is read for this. It also shows values that stand for no data without being
declared.

Read beside it: tests/data/training/test_one_unit.py.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.files import InputError
from data.grid import Window
from data.input.units import (
    APART,
    BRIGHT,
    FAR,
    fill_values,
    filled,
    gain_between,
    in_other_unit,
    take_sample,
    typical,
    usual,
)
from data.terminal import grouped
from data.training.scenes import Scene


def in_one_unit(scenes: Sequence[Scene], offset: float, method: str, say: Callable) -> list[Scene]:
    """Convert scenes to the unit that most of them have.

    Args:
        scenes: The scenes.
        offset: The option --offset, added to all numbers.
        method: The option --scaling. With "image", the unit of each scene is of no account.
        say: Prints a line.

    Raises:
        InputError: The offset is far larger than the numbers.
    """
    highs, dtypes, fills = [], [], defaultdict(list)
    for scene in scenes:
        sample = take_sample(scene, None, scene.nodata)
        for value, share in fill_values(sample).items():
            fills[value].append((scene.image_path, share))
        highs.append([typical(date) for date in np.split(sample, len(scene.paths))])
        dtypes.append(scene.read(Window(0, 0, 1, 1)).dtype)
    _report_fills(fills, say)
    every = [(high, dtype) for dates, dtype in zip(highs, dtypes) for high in dates]
    reference = None if method == "image" else usual(every)
    converted, changed, sizes, largest = [], [], [], 0.0
    for scene, dates, dtype in zip(scenes, highs, dtypes):
        gains = [gain_between(high, reference, dtype) if reference else 1.0 for high in dates]
        for path, high, gain in zip(scene.paths, dates, gains):
            if gain != 1:
                changed.append((path, in_other_unit(gain)))
            if high is not None:
                sizes.append((high * gain, path))
                largest = max(largest, abs(high) * max(gain, 1))
        each = len(scene.descriptions) // len(dates)
        converted.append(scene.in_unit(offset, np.repeat(gains, each).tolist()))
    for line in grouped(changed):
        say(line)
    if method != "image":
        _report_apart(sizes, say)
    if sizes and abs(offset) >= BRIGHT and largest < abs(offset) / FAR:
        raise InputError(
            f"{sizes[0][1]}: --offset {offset:g}: the numbers of the images are about "
            f"{largest:.2g}; give the offset in their unit"
        )
    return converted


def _report_apart(sizes: Sequence[tuple[float, Path]], say: Callable) -> None:
    """Say that images have numbers of different sizes: (typical number, file) of each date."""
    (low, first), (high, last) = min(sizes, default=(0, "")), max(sizes, default=(0, ""))
    if high > 0 and (low < 0 or high > APART * low):
        say(
            f"the numbers of the images differ much: typically {low:.4g} in {first}, and "
            f"{high:.4g} in {last}; are all in one unit?"
        )


def _report_fills(fills: Mapping[float, Sequence[tuple[Path, float]]], say: Callable) -> None:
    """Say in which files each undeclared fill value {value: [(file, share)]} was found."""
    for value, found in fills.items():
        mean = float(np.mean([share for _, share in found]))
        for line in grouped((path, text) for path, _ in found for text in filled({value: mean})):
            say(line)
