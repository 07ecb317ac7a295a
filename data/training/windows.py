"""The windows of the scenes, the classes in them, and the reasons why a window is left out.

Scenes are cut into windows of one size. Each window owns a part of its scene (data/tiling.py).
Pixels are counted in that part only, so that no pixel counts twice. A window is left out of
training and validation for one of three reasons:

    no label         No pixel that it owns has a label.           `useful`, here
    skipped classes  All labelled pixels that it owns are of      `useful`, here
                     classes that --skip-only names, such as sea.
    shared ground    It shares ground with a validation window.   `split`, data/training/split.py

A run prints how many windows are left out for each reason. The windows left out for the first
two reasons own no labels outside the skipped classes. So no such label is lost for these reasons.

Read beside it: tests/data/training/test_windows.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data import tiling
from data.grid import Window
from data.training.scenes import Scene

AUTOMATIC = 256  # pixels: side of all windows if a scene is larger than WHOLE
WHOLE = 512  # pixels: scenes up to this side are one window each


class Item(NamedTuple):
    """A window of a scene."""

    scene: int  # number of the scene
    window: Window
    own: Window  # the part of `window` whose pixels are counted for it


def automatic_size(scenes: Sequence[Scene]) -> int:
    """Choose the windows' side: the longest side of any scene if at most WHOLE, else AUTOMATIC."""
    largest = max(max(scene.grid.height, scene.grid.width) for scene in scenes)
    return largest if largest <= WHOLE else AUTOMATIC


def all_windows(scenes: Sequence[Scene], size: int) -> list[Item]:
    """Cover every scene with windows of size x size pixels. In a smaller scene they are smaller."""
    return [
        Item(number, window, own)
        for number, scene in enumerate(scenes)
        for window, own in zip(
            tiling.windows(scene.grid.height, scene.grid.width, size),
            tiling.owned(scene.grid.height, scene.grid.width, size),
        )
    ]


def class_counts(scenes: Sequence[Scene], items: Sequence[Item], num_classes: int) -> np.ndarray:
    """Count the labelled pixels of each class in the part that each window owns.

    Returns:
        (windows, K) int64. Over all windows of a scene the sum is the histogram of its labels.
    """
    counts = np.empty((len(items), num_classes), np.int64)
    for row, item in enumerate(items):
        labels = scenes[item.scene].read_labels(item.own)
        counts[row] = np.bincount(labels.ravel(), minlength=256)[:num_classes]
    return counts


def useful(counts: np.ndarray, skip_only: Sequence[int] = ()) -> tuple[np.ndarray, int, int]:
    """Find the windows with labels to learn.

    Args:
        counts: (windows, K), from `class_counts`.
        skip_only: Labels of the classes that do not make a window useful.

    Returns:
        Which windows to keep, (windows,) bool; how many have no label; how many have labels only of
        `skip_only`.
    """
    labelled = counts.sum(1) > 0
    others = np.delete(counts, list(skip_only), axis=1).sum(1) > 0
    return labelled & others, int((~labelled).sum()), int((labelled & ~others).sum())
