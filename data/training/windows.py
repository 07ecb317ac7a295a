"""The windows of the scenes, the classes in them, and the reasons why a window is left out.

Scenes are cut into windows of one size. Each window owns a part of its scene (data/tiling.py).
Pixels are counted in that part only, so that no pixel counts twice. A window is left out of
training and validation for one of four reasons:

    no label         No pixel that it owns has a label.           `useful`, here
    skipped classes  All labelled pixels that it owns are of      `useful`, here
                     classes that --skip-only names, such as sea.
    shares           The share of some classes is too low or      `share_rules.keep`
                     too high, by --keep-share.
    shared ground    It shares ground with a validation window.   `split`, data/training/split.py

A run prints how many windows are left out for each reason. The windows left out for the first
two reasons own no labels outside the skipped classes. So no such label is lost for these reasons.

--stride adds windows that overlap the others. They are for training only, and own no part. All
their pixels are counted. So a pixel counts once for each added training window that holds it, in
the printed shares of the classes and in the class weights.

Read beside it: tests/data/training/test_windows.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data import tiling
from data.grid import Window
from data.training.scenes import Scene

# Pixels. In the same time, many small steps teach more than few large ones, down to this side
# (tests/bench/README.md, "What helps").
AUTOMATIC = 128  # side of all windows if a scene is larger than WHOLE
WHOLE = 192  # scenes up to this side are tiles: small images, each on one side of a split by blocks


class Item(NamedTuple):
    """A window of a scene."""

    scene: int  # number of the scene
    window: Window
    own: Window | None  # the part whose pixels are counted for it; None: --stride added it


def automatic_size(scenes: Sequence[Scene]) -> int:
    """Choose the windows' side: the longest side of any scene if at most WHOLE, else AUTOMATIC."""
    largest = max(max(scene.grid.height, scene.grid.width) for scene in scenes)
    return largest if largest <= WHOLE else AUTOMATIC


def all_windows(scenes: Sequence[Scene], size: int, stride: int = 0) -> list[Item]:
    """Cover every scene with windows of size x size pixels. In a smaller scene they are smaller.

    With `stride`, windows that begin every `stride` pixels are added behind all others.
    """
    shapes = [(scene.grid.height, scene.grid.width) for scene in scenes]
    items = [
        Item(number, window, own)
        for number, (height, width) in enumerate(shapes)
        for window, own in zip(
            tiling.windows(height, width, size), tiling.owned(height, width, size)
        )
    ]
    if not stride:
        return items
    taken = {(item.scene, item.window) for item in items}
    added = [
        Item(number, window, None)
        for number, (height, width) in enumerate(shapes)
        for window in tiling.windows(height, width, size, stride)
    ]
    return items + [item for item in added if (item.scene, item.window) not in taken]


def class_counts(scenes: Sequence[Scene], items: Sequence[Item], num_classes: int) -> np.ndarray:
    """Count the labelled pixels of each class in the part that each window owns.

    An added window owns no part, so all its pixels are counted.

    Returns:
        (windows, K) int64. Over all windows of a scene that own a part, the sum is the histogram of
        its labels.
    """
    counts = np.empty((len(items), num_classes), np.int64)
    for row, item in enumerate(items):
        labels = scenes[item.scene].read_labels(item.own or item.window)
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
