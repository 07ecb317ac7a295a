"""Scores on held-out ground: of the pixels of a map that the network was not trained on.

Scores on the ground of the training say how well a network remembers. So `predict.py --truth` says
which share of an image was trained on, and repeats the scores for the rest of it.

Read beside it: tests/unet/evaluation/test_unseen.py.
"""

import numpy as np
import torch

from unet.metrics import ConfusionMatrix


class MapConfusion(ConfusionMatrix):
    """The confusion matrix of a map, with a second one of its held-out ground.

    Attributes:
        held_out: the matrix of the held-out ground; None if it is not known.
    """

    def __init__(self, num_classes: int, matrix=None, held_out: ConfusionMatrix | None = None):
        super().__init__(num_classes, matrix)
        self.held_out = held_out

    def count(
        self, prediction: np.ndarray, target: np.ndarray, held_out: np.ndarray | None
    ) -> None:
        """Add pixels.

        Args:
            prediction: labels, integers of any shape.
            target: true labels of the same shape.
            held_out: true labels of the held-out ground, IGNORE elsewhere; None if not known.
        """
        labels = torch.from_numpy(prediction)
        self.update(labels, torch.from_numpy(target))
        if held_out is not None:
            self.held_out = self.held_out or ConfusionMatrix(self.num_classes)
            self.held_out.update(labels, torch.from_numpy(held_out))

    def __add__(self, other: ConfusionMatrix) -> "MapConfusion":
        """Add both matrices. The held-out ground of the sum is known if that of both is."""
        mine, others = self.held_out, getattr(other, "held_out", None)
        total = super().__add__(other).matrix
        return MapConfusion(self.num_classes, total, mine + others if mine and others else None)


def sentence(scores: ConfusionMatrix, ground: str) -> str:
    """Say which share of the compared pixels was trained on; "" if it is not known.

    Args:
        scores: the scores.
        ground: what was mapped, such as "a.tif".
    """
    total, held_out = int(scores.matrix.sum()), getattr(scores, "held_out", None)
    if held_out is None or not total:
        return ""
    unseen = int(held_out.matrix.sum())
    if unseen == total:
        return f"none of {ground} was trained on"
    if not unseen:
        return f"all of {ground} was trained on: these scores do not hold for other ground"
    percent = min(max(100 * (1 - unseen / total), 0.1), 99.9)  # rounded, it is not none or all
    return f"{percent:.1f} % of {ground} was trained on; the rest, held-out ground, has a table too"


def facts(scores: ConfusionMatrix) -> list[tuple[str, str]]:
    """Return the facts of a report about the held-out ground; none if it is not known."""
    held_out = getattr(scores, "held_out", None)
    if held_out is None:
        return []
    dice = f"{held_out.macro_dice():.4f}" if held_out.matrix.any() else "all was trained on"
    return [("macro Dice on held-out ground", dice)]
