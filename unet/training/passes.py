"""The two loops over batches: one that learns, and one that looks how well.

    learn       for each batch: forward, loss, backward, step
    evaluate    for each batch: forward, loss, one confusion matrix over all of them

A batch is (images (N, C, S, S) float32, targets (N, S, S) uint8, numbers (N,) of the windows); in
one of several processes it is this one's share, which may be empty, and what is returned is that of
all together.

The test beside this file is tests/unet/training/test_passes.py.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from unet.metrics import ConfusionMatrix
from unet.training import processes
from unet.training.device import autocast
from unet.training.optimizer import Optimizer

EVERY = 20  # steps of a GPU between two looks at the loss: it computes ahead, and would have to stop for each


class NotFinite(ArithmeticError):
    """A loss is infinite or not a number: `loss`, and the `numbers` of the windows in its batch."""

    def __init__(self, loss: float, numbers: list[int]):
        super().__init__(f"the loss became {loss}")
        self.loss, self.numbers = loss, numbers


def start_of_epoch() -> dict:
    """Where an epoch begins, for `learn`: the batches behind it, their windows and the sum of the
    windows' losses.
    """
    return {"batch": 0, "windows": 0, "loss": 0.0}


def learn(
    model: nn.Module,
    loader: DataLoader,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    device: torch.device,
    precision: torch.dtype,
    position: dict,
    check: Callable[[float, float], None],
) -> float:
    """The epoch from `position` on; returns the mean loss of all its windows. Raises NotFinite.

    model: in training mode, or as much of it as shall learn. loader: with a `data.dataset.Batches`,
    and a generator of its own, or it would draw from dropout's random numbers. position: moved
    along, and right whenever `check` is called with the share of the epoch that is done and the
    mean loss so far: `check` may raise to leave, and save before.
    """
    batches, recent = loader.batch_sampler, []
    batches.begin = position["batch"]
    every = EVERY if device.type == "cuda" else 1
    for batch, (images, targets, numbers) in enumerate(loader, start=batches.begin + 1):
        images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        with autocast(device, precision):
            loss = loss_function(model(images), targets.to(device, non_blocking=True))
        moved = optimizer.step(loss, last=batch == len(batches))
        recent.append((batch, loss.detach(), numbers))
        if not moved or (len(recent) < every and batch < len(batches)):
            continue
        values = torch.stack([loss for _, loss, _ in recent])
        for (number, _, numbers), value in zip(recent, values.tolist()):
            if abs(value) == float("inf") or value != value:
                raise NotFinite(value, sum(processes.gather(numbers.tolist()), []))
            position["windows"] += batches.windows(number)
            position["loss"] += value * batches.windows(number)
        position["batch"], recent = batch, []
        check(batch / len(batches), position["loss"] / position["windows"])
    return position["loss"] / position["windows"]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DataLoader,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    num_classes: int,
    device: torch.device,
    precision: torch.dtype,
    check: Callable[[], None],
) -> tuple[float, ConfusionMatrix]:
    """(mean loss, confusion matrix) over all windows. `check` is called after each batch, and may
    raise.
    """
    model.eval()
    batches, confusion = loader.batch_sampler, ConfusionMatrix(num_classes)
    sums = []  # of the windows' losses, batch by batch
    for batch, (images, targets, _) in enumerate(loader, start=1):
        images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        targets = targets.to(device, non_blocking=True)
        with autocast(device, precision):
            logits = model(images)
            loss = loss_function(logits, targets)
        sums.append(loss * batches.windows(batch))
        confusion.update(logits.argmax(1), targets)
        check()
    confusion.matrix = processes.total(confusion.matrix.to(device))
    return sum(torch.stack(sums).tolist()) / len(batches.order), confusion


@torch.no_grad()
def predict(
    model: nn.Module, loader: DataLoader, device: torch.device, precision: torch.dtype
) -> Tensor:
    """Labels (n, S, S) uint8, on the CPU, of all windows of this process."""
    model.eval()
    labels = []
    for images, _, _ in loader:
        with autocast(device, precision):
            logits = model(images.to(device, memory_format=torch.channels_last))
        labels.append(logits.argmax(1).to("cpu", torch.uint8))
    return torch.cat(labels)
