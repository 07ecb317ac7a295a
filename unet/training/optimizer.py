"""The way downhill: optimizer, schedule of the learning rate, gradient scaling, accumulation.

They are torch's own. Here they become one thing with one state, because a run that is continued
needs all of it: AdamW without its moments starts anew, and so does a schedule that has forgotten
where it was.

    AdamW       Loshchilov and Hutter 2019 (https://arxiv.org/abs/1711.05101)
    cosine      lr (1 + cos(pi epoch / epochs)) / 2; Loshchilov and Hutter 2017 (https://arxiv.org/abs/1608.03983)
    plateau     half of it after three epochs without a better macro Dice

Only float16 needs its gradients scaled: bfloat16 reaches as far down as float32.

The test beside this file is tests/unet/training/test_optimizer.py.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import lr_scheduler

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
SCHEDULES = {
    "cosine": lambda optimizer, epochs: lr_scheduler.CosineAnnealingLR(optimizer, epochs),
    "plateau": lambda optimizer, epochs: lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", factor=0.5, patience=3
    ),
    "constant": lambda optimizer, epochs: lr_scheduler.ConstantLR(optimizer, 1.0),
}


class Optimizer:
    """Optimizer, schedule and gradient scaler. `step` takes losses, `end_epoch` moves the learning
    rate.

    parameters: of the network, or groups of them as torch.optim takes. epochs: over which a cosine
    falls. accumulate: losses whose mean gradient makes one step; more than fit into memory at once.
    """

    def __init__(
        self,
        parameters: Iterable,
        name: str,
        lr: float,
        weight_decay: float,
        schedule: str,
        epochs: int,
        accumulate: int = 1,
        scaler: torch.amp.GradScaler | None = None,
    ):
        # One pass over the memory of all weights, instead of one for each operation of the update.
        self.optimizer = OPTIMIZERS[name](parameters, lr, weight_decay=weight_decay, fused=True)
        self.epochs, self.accumulate, self.losses = epochs, accumulate, 0
        self.scheduler = SCHEDULES[schedule](self.optimizer, epochs)
        self.scaler = scaler or torch.amp.GradScaler(enabled=False)

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, loss: Tensor, last: bool = False) -> bool:
        """Add the gradient of a loss; with the `accumulate`-th, or the `last` of an epoch, move the
        weights.

        Returns whether they moved. Where the last group of an epoch is smaller, its gradient is
        too.
        """
        self.scaler.scale(loss / self.accumulate).backward()
        self.losses += 1
        if self.losses < self.accumulate and not last:
            return False
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses = 0
        return True

    def end_epoch(self, metric: float) -> None:
        """Move the schedule on; `metric`, the higher the better, is what `plateau` watches."""
        plateau = isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau)
        self.scheduler.step(*([metric] if plateau else []))

    def state_dict(self) -> dict:
        """All of it, plain values and tensors. There is no half-accumulated gradient in it: save
        after a step.
        """
        parts = {"optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": self.scaler}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state`. A cosine that led to another epoch goes on as if it had always led
        to this one's.
        """
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        if (
            isinstance(self.scheduler, lr_scheduler.CosineAnnealingLR)
            and self.scheduler.T_max != self.epochs
        ):
            self.scheduler.T_max = self.epochs
            # torch goes from one rate to the next by their ratio, and nothing leads away from the 0
            # of an old end.
            share = (1 + math.cos(math.pi * self.scheduler.last_epoch / self.epochs)) / 2
            for group, lr in zip(self.optimizer.param_groups, self.scheduler.base_lrs):
                group["lr"] = lr * share
