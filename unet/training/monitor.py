"""The figure of the validation by which the epochs of a run are compared: --monitor of train.py.

It chooses the best checkpoint, lowers the learning rate of the schedule `plateau`, and ends a run
after `patience` epochs without a better one. A figure that is NaN is never the better one.

Read beside it: tests/unet/training/test_monitor.py.
"""

import math
from typing import Literal, NamedTuple


class Monitor(NamedTuple):
    """A column of log.csv, its name in texts, and whether the "min" or the "max" of it is best."""

    column: str
    text: str
    mode: Literal["min", "max"]

    @property
    def worst(self) -> float:
        """The value of a run without an epoch: every finite value is better."""
        return math.inf if self.mode == "min" else -math.inf

    def better(self, value: float, best: float) -> bool:
        """Whether a value is better than the best one so far."""
        return value < best if self.mode == "min" else value > best

    def in_words(self, epoch: int, value: float) -> str:
        """Name an epoch and its value."""
        return f"epoch {epoch}, validation {self.text} {value:.4f}"


MONITORS = {
    "macro_dice": Monitor("macro_dice", "macro Dice", "max"),
    "loss": Monitor("val_loss", "loss", "min"),
}
