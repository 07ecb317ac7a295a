"""TensorBoard files of a run: scalars, the confusion matrix and sample maps of each epoch.

Only this file needs the package TensorBoard: `pip install tensorboard`, then
`tensorboard --logdir runs`.

Read beside it: tests/unet/training/test_tensorboard.py.
"""

import math
import threading
from pathlib import Path

import numpy as np
import torch

from data.files import InputError, naming_full_disk

SIDE = 24  # pixels of a cell of the confusion matrix


class BoardError(InputError):
    """TensorBoard is not installed."""


class Board:
    """A writer of TensorBoard files in the folder of a run.

    Args:
        run: The folder.
        done: The number of epochs that the run has finished. TensorBoard hides what an earlier
            process wrote about later epochs.

    Raises:
        BoardError: The package is not installed.
        OSError: The disk is full.
    """

    def __init__(self, run: Path, done: int):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise BoardError(
                "--tensorboard needs another package: pip install tensorboard"
            ) from None
        threading.excepthook = _all_but_file_errors
        self.run = run
        with naming_full_disk(run):
            self.writer = SummaryWriter(str(run), purge_step=done + 1)

    def epoch(
        self, row: dict, confusion: torch.Tensor, pictures: list[tuple[str, np.ndarray]]
    ) -> None:
        """Write the scalars and pictures of an epoch.

        Args:
            row: The row of log.csv.
            confusion: (K, K), rows truth, columns prediction.
            pictures: (name, (H, W, 3) uint8) of each sample.

        Raises:
            OSError: The disk is full.
        """
        with naming_full_disk(self.run):
            self._write(row, confusion, pictures)

    def _write(
        self, row: dict, confusion: torch.Tensor, pictures: list[tuple[str, np.ndarray]]
    ) -> None:
        step = row["epoch"]
        for name, value in row.items():
            if name != "epoch" and math.isfinite(value):
                self.writer.add_scalar(tag_of(name), value, step)
        self.writer.add_image(
            "confusion, rows truth, columns prediction",
            matrix_picture(confusion),
            step,
            dataformats="HWC",
        )
        for name, picture in pictures:
            self.writer.add_image(name, picture, step, dataformats="HWC")
        self.writer.flush()


def tag_of(column: str) -> str:
    """Return the tag of a column of log.csv: iou/water for iou_water, else epoch/<column>."""
    measure, _, name = column.partition("_")
    of_class = name and measure in ("iou", "dice", "accuracy")
    return f"{measure}/{name}" if of_class else f"epoch/{column}"


def _all_but_file_errors(failed: threading.ExceptHookArgs) -> None:
    """Print the exception that ended a thread, unless it is an OSError.

    TensorBoard writes in a thread, and raises the OSError of the thread in the main thread again.
    """
    if not issubclass(failed.exc_type, OSError):
        threading.__excepthook__(failed)


def matrix_picture(confusion: torch.Tensor) -> np.ndarray:
    """Draw a confusion matrix (K, K). White is 0 %, dark blue 100 % of the pixels of a row.

    Returns:
        (K SIDE, K SIDE, 3) uint8.
    """
    share = (confusion / confusion.sum(1, keepdim=True).clamp_min(1)).double().cpu().numpy()
    share = share.repeat(SIDE, axis=0).repeat(SIDE, axis=1)[..., None]
    return (255 - share * (255 - np.array([8, 48, 107]))).round().astype(np.uint8)
