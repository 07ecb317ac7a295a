"""What TensorBoard shows of a run: scalars, the confusion matrix and maps, epoch by epoch.

TensorBoard is another package, which nothing else here needs; `pip install tensorboard`, then
`tensorboard --logdir runs`. The test beside this file is tests/unet/training/test_tensorboard.py.
"""

import math
from pathlib import Path

import numpy as np
import torch

SIDE = 24  # pixels of a cell of the confusion matrix


class BoardError(ValueError):
    """TensorBoard is not there: one line, what to do."""


class Board:
    """Writes into the folder of a run. Raises BoardError where the package is missing.

    done: epochs that the run has behind it; what an earlier process wrote of later ones is taken
    back.
    """

    def __init__(self, run: Path, done: int):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise BoardError(
                "--tensorboard needs another package: pip install tensorboard"
            ) from None
        self.writer = SummaryWriter(str(run), purge_step=done + 1)

    def epoch(
        self, row: dict, confusion: torch.Tensor, pictures: list[tuple[str, np.ndarray]]
    ) -> None:
        """A row of log.csv, the confusion matrix (K, K) of the epoch, and named pictures (H, W, 3)
        uint8.
        """
        step = row["epoch"]
        for name, value in row.items():
            if name != "epoch" and math.isfinite(value):
                group = "iou" if name.startswith("iou_") else "epoch"
                self.writer.add_scalar(f"{group}/{name.removeprefix('iou_')}", value, step)
        self.writer.add_image(
            "confusion, rows truth, columns prediction",
            matrix_picture(confusion),
            step,
            dataformats="HWC",
        )
        for name, picture in pictures:
            self.writer.add_image(name, picture, step, dataformats="HWC")
        self.writer.flush()


def matrix_picture(confusion: torch.Tensor) -> np.ndarray:
    """A confusion matrix (K, K) as (K SIDE, K SIDE, 3) uint8: white is none of a row's pixels, dark
    blue all.
    """
    share = (confusion / confusion.sum(1, keepdim=True).clamp_min(1)).double().cpu().numpy()
    share = share.repeat(SIDE, axis=0).repeat(SIDE, axis=1)[..., None]
    return (255 - share * (255 - np.array([8, 48, 107]))).round().astype(np.uint8)
