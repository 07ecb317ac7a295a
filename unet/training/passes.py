"""Passes over the batches for train.py. An epoch is one pass over all training windows.

    RunningLoss   the mean loss of an epoch so far, and the position in the epoch
    evaluate      loss, confusion matrices and temperature over all validation windows
    predict       labels and a confusion matrix for each window, and how sure they are

A batch is (images (N, C, S, S) float32, targets (N, S, S) uint8, numbers (N,) of the windows). With
several processes, each has a share of the batch. A share may be empty. `RunningLoss` and `evaluate`
return values over all processes.

Read beside it: tests/unet/training/test_passes.py.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from data.files import BYTES, IGNORE, InputError, printable, replacing
from unet.evaluation import calibration
from unet.metrics import ConfusionMatrix, each_image
from unet.training import processes
from unet.training.device import autocast

EVERY = 20  # training steps on a GPU between two readings of the loss

Loss = Callable[[Tensor, Tensor], Tensor]


class NotFinite(InputError):
    """A loss or a weight is infinite or not a number."""


def start_of_epoch() -> dict:
    """Return the position at the beginning of an epoch, as a checkpoint keeps it.

    Returns:
        "batch": number of finished batches; "windows": number of windows in them; "loss": sum of
        the losses of these windows.
    """
    return {"batch": 0, "windows": 0, "loss": 0.0}


class RunningLoss:
    """Mean loss of the windows of an epoch so far.

    A GPU works while Python prepares the next steps. Reading a loss makes Python wait. So on a
    GPU, `EVERY` losses are collected and then read together. On a CPU each is read at once.

    Args:
        position: from `start_of_epoch` or a checkpoint. `read` changes it in place.
        loader: loader of the training windows. The batches before the position are skipped.
        device: device of the losses.
        folder: folder of the run, for not_finite.txt.
    """

    def __init__(self, position: dict, loader: DataLoader, device: torch.device, folder: Path):
        self.position, self.folder = position, folder
        self.first_batch, self._windows_before = position["batch"] + 1, position["windows"]
        # Windows and Batches of data.training.dataset, which unet does not import.
        self.windows: Any = loader.dataset
        self.batches: Any = loader.batch_sampler
        self.batches.begin = position["batch"]
        before = range(1, min(position["batch"], len(loader)) + 1)
        windows = sum(self.batches.windows(number) for number in before)
        if (position["batch"], position["windows"]) != (len(before), windows):
            raise InputError(
                f"{folder}: its last.pt claims {position['batch']} batches of an epoch with "
                f"{position['windows']} windows, which this run has not; begin another run"
            )
        self.every = EVERY if device.type == "cuda" else 1
        self.waiting: list[tuple[int, Tensor, Tensor]] = []

    @property
    def windows_read(self) -> int:
        """Number of windows whose losses were read since the initial position."""
        return self.position["windows"] - self._windows_before

    @property
    def mean(self) -> float:
        """Mean loss of the windows whose losses were read."""
        return self.position["loss"] / self.position["windows"]

    def add(self, batch: int, loss: Tensor, numbers: Tensor) -> None:
        """Add a batch: its number in the epoch from 1, its loss, the numbers of its windows."""
        self.waiting.append((batch, loss.detach(), numbers))

    def read(self) -> bool:
        """Read the losses that were added, if there are enough of them or the epoch ends.

        Call this just after an optimizer step (a change of the weights). Then the weights belong
        to the new position, and a run can continue from there.

        Returns:
            Whether the position has changed.

        Raises:
            NotFinite: a loss is not finite. The message names the files of the batch, and
                not_finite.txt lists its windows.
        """
        last = self.waiting[-1][0]
        if len(self.waiting) < self.every and last < len(self.batches):
            return False
        values = torch.stack([loss for _, loss, _ in self.waiting]).tolist()
        for (batch, _, numbers), value in zip(self.waiting, values):
            if not math.isfinite(value):
                self._refuse(value, sum(processes.gather(numbers.tolist()), []))
            self.position["windows"] += self.batches.windows(batch)
            self.position["loss"] += value * self.batches.windows(batch)
        self.position["batch"], self.waiting = last, []
        return True

    def _refuse(self, value: float, numbers: list[int]) -> None:
        """Write not_finite.txt and raise NotFinite."""
        places = [self.windows.place(number) for number in sorted(numbers)]
        path = self.folder / "not_finite.txt"
        if processes.rank() == 0:
            names = [(printable(file, keep=BYTES), window) for file, window in places]
            lines = [f"{file}: row {window.row}, column {window.col}" for file, window in names]
            with replacing(path) as temporary:
                temporary.write_text("\n".join(sorted(lines)) + "\n", "utf-8", "surrogateescape")
        files = ", ".join(sorted({str(file) for file, _ in places}))
        raise NotFinite(
            f"the loss became {value} on {files} (windows in {path}); look at them, or try a lower "
            "--lr"
        )


class Validation(NamedTuple):
    """Results of a validation.

    `metrics` is for the checkpoint:
        confusion    (K, K) int64, the matrix of all windows
        windows      (n, K, K) int32, the matrix of each window
        scenes       (n,) int64, the number of the place or image that each window lies in
        inputs       (n, C) float32, the mean of each input channel over each window's labelled
                     pixels
        temperature  float, from `calibration.fit_temperature`
    """

    loss: float
    confusion: ConfusionMatrix
    metrics: dict


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DataLoader,
    loss_function: Loss,
    num_classes: int,
    device: torch.device,
    precision: torch.dtype,
    after_batch: Callable[[], None] = lambda: None,
) -> Validation:
    """Compute the mean loss, the confusion matrices and the temperature of all windows.

    Args:
        model: the network. It is set to evaluation mode.
        loader: loader of `data.training.dataset.Windows`, whose batch sampler is a `Batches`.
        loss_function: (logits, targets) -> loss.
        num_classes: number of classes.
        device: device of the network.
        precision: type of the activations.
        after_batch: function that is called after each batch. It may raise an error.

    Raises:
        NotFinite: the mean loss or a weight is not finite. No map can be made of such weights.
    """
    model.eval()
    batches: Any = loader.batch_sampler
    windows: Any = loader.dataset
    count = len(windows)
    matrices = torch.zeros((count, num_classes, num_classes), dtype=torch.int32, device=device)
    inputs = torch.zeros((count, windows.channels), device=device)
    scenes = torch.tensor(windows.places_of_windows, dtype=torch.int64)
    sampled = calibration.Sample(count)
    sums = []  # sums of the losses over the windows of each batch
    for batch, (images, targets, numbers) in enumerate(loader, start=1):
        images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        targets = targets.to(device, non_blocking=True)
        with autocast(device, precision):
            logits = model(images)  # (N, K, S, S)
            loss = loss_function(logits, targets)
        sums.append(loss * batches.windows(batch))
        each = each_image(logits.argmax(1), targets, num_classes)
        matrices[numbers.to(device)] = each.to(device, torch.int32)
        inputs[numbers.to(device)] = _means(images, targets).float()
        sampled.add(logits, targets, scenes[numbers])
        after_batch()
    matrices = processes.total(matrices).cpu()
    parts = processes.gather(sampled.pixels())
    mean = sum(torch.stack(sums).tolist()) / len(batches.order)
    finite = all(bool(weights.isfinite().all()) for weights in model.state_dict().values())
    if not finite or not math.isfinite(mean):
        raise NotFinite(
            "weights or the validation loss became infinite or not a number; try a lower --lr, or "
            "a larger --size"
        )
    metrics = {
        "confusion": matrices.sum(0),
        "windows": matrices,
        "scenes": scenes,
        "inputs": processes.total(inputs).cpu(),
        "temperature": calibration.fit_temperature(*map(torch.cat, zip(*parts))),
    }
    return Validation(mean, ConfusionMatrix(num_classes, matrices.sum(0)), metrics)


def _means(images: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean (N, C) of images (N, C, S, S) over pixels whose target is not IGNORE."""
    labelled = (targets != IGNORE)[:, None]
    return (images * labelled).sum((2, 3)) / labelled.sum((2, 3)).clamp(min=1)


class Prediction(NamedTuple):
    """Labels of windows, and how good they are."""

    labels: Tensor  # (n, S, S) uint8 on the CPU
    matrices: list[ConfusionMatrix]  # of each window
    calibration: dict[float, Tensor]  # {T: counts of `calibration.reliability`}


@torch.no_grad()
def predict(
    model: nn.Module,
    loader: DataLoader,
    num_classes: int,
    device: torch.device,
    precision: torch.dtype,
    temperatures: Sequence[float] = (),
) -> Prediction:
    """Predict the labels of all windows of this process.

    Args:
        model, loader, num_classes, device, precision: as in `evaluate`.
        temperatures: values of T, to compare softmax(logits / T).
    """
    model.eval()
    labels, matrices, bins = [], [], {t: torch.zeros(3, calibration.BINS) for t in temperatures}
    for images, targets, _ in loader:
        with autocast(device, precision):
            logits = model(images.to(device, memory_format=torch.channels_last))
        for t in bins:
            probabilities = (logits.float() / t).softmax(1)
            bins[t] = bins[t] + calibration.reliability(probabilities, targets.to(device))
        labels.append(logits.argmax(1).to("cpu", torch.uint8))
        for prediction, target in zip(labels[-1], targets):
            matrices.append(ConfusionMatrix(num_classes))
            matrices[-1].update(prediction, target)
    return Prediction(torch.cat(labels), matrices, bins)
