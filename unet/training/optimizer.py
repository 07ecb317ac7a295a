"""Optimizers and schedules of the learning rate from torch, by the names of train.py's options.

    AdamW       Loshchilov and Hutter 2019 (https://arxiv.org/abs/1711.05101)
    Adam        Kingma and Ba 2015 (https://arxiv.org/abs/1412.6980)
    cosine      lr (1 + cos(pi epoch / epochs)) / 2
                Loshchilov and Hutter 2017 (https://arxiv.org/abs/1608.03983)
    plateau     lr is halved after more than three epochs without a better figure (--monitor)
    constant    lr does not change

Read beside it: tests/unet/training/test_optimizer.py.
"""

import math
from collections.abc import Callable

import torch
from torch.optim import Optimizer, lr_scheduler

from unet.training.monitor import MONITORS

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
}
# Each takes an optimizer, the number of epochs, and a name of MONITORS.
SCHEDULES: dict[str, Callable[..., lr_scheduler.LRScheduler]] = {
    "cosine": lambda optimizer, epochs, monitor: lr_scheduler.CosineAnnealingLR(optimizer, epochs),
    "plateau": lambda optimizer, epochs, monitor: lr_scheduler.ReduceLROnPlateau(
        optimizer, MONITORS[monitor].mode, factor=0.5, patience=3
    ),
    "constant": lambda optimizer, epochs, monitor: lr_scheduler.ConstantLR(optimizer, 1.0),
}


def end_epoch(schedule: lr_scheduler.LRScheduler, value: float) -> None:
    """Move a schedule to the next epoch.

    Args:
        schedule: one of SCHEDULES.
        value: value of the monitored figure. Only `plateau` uses it. NaN counts as no better.
    """
    if isinstance(schedule, lr_scheduler.ReduceLROnPlateau):
        schedule.step(value)
    else:
        schedule.step()


def change_epochs(schedule: lr_scheduler.LRScheduler, optimizer: Optimizer, epochs: int) -> None:
    """Change the last epoch of a schedule that was loaded from a checkpoint.

    A cosine continues as if `epochs` had been its number of epochs from the beginning. torch
    multiplies the rate of each epoch by a factor, so a rate of 0 would stay 0. Therefore this
    function sets the rate by the formula.
    """
    if not isinstance(schedule, lr_scheduler.CosineAnnealingLR) or schedule.T_max == epochs:
        return
    schedule.T_max = epochs
    share = (1 + math.cos(math.pi * schedule.last_epoch / epochs)) / 2
    for group, lr in zip(optimizer.param_groups, schedule.base_lrs):
        group["lr"] = lr * share
