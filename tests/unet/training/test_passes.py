"""The passes over batches: unet/training/passes.py. Means are counted by hand."""

import math
from pathlib import Path

import pytest
import torch
from gpu import GPU, exact, needs_gpu
from torch import nn
from torch.utils.data import DataLoader

import unet
from data.files import InputError
from data.grid import Window
from data.training.dataset import Batches
from unet.evaluation.calibration import LOWEST
from unet.losses import cross_entropy, dice_cross_entropy
from unet.training import passes
from unet.training.device import autocast, to_device
from unet.training.passes import NotFinite, RunningLoss

CPU = torch.device("cpu")


def loader(images: torch.Tensor, targets: torch.Tensor, size: int) -> DataLoader:
    samples = Windows(
        (image, target, number) for number, (image, target) in enumerate(zip(images, targets))
    )
    return DataLoader(
        samples, batch_sampler=Batches(range(len(samples)), size), generator=torch.Generator()
    )


def mean(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss to count by hand."""
    return logits.mean()


class Still(nn.Module):
    """A network that returns its input: 5 windows of one pixel, logits (0, 2 n) with mean n."""

    images = torch.tensor([[0.0, 2 * n] for n in range(5)]).reshape(5, 2, 1, 1)
    targets = torch.tensor([0, 1, 1, 255, 0], dtype=torch.uint8).reshape(5, 1, 1)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.scale


class Windows(list):
    """A list of samples with the place of each one."""

    channels = 2

    @property
    def places_of_windows(self) -> list[int]:
        return [number // 2 for number in range(len(self))]

    def place(self, number: int) -> tuple[str, Window]:
        return f"image_{number}.tif", Window(number, 0, 1, 1)


def epoch(batches, losses, position=None, every=None, folder=Path()) -> tuple[RunningLoss, list]:
    """Count the `losses` of an epoch; returns the running loss and the positions that were read."""
    running = RunningLoss(position or passes.start_of_epoch(), batches, CPU, folder)
    running.every = every or running.every
    seen = []
    for batch, (_, _, numbers) in enumerate(batches, start=running.first_batch):
        running.add(batch, torch.tensor(losses[batch - 1]), numbers)
        if running.read():
            seen.append({**running.position, "mean": running.mean})
    return running, seen


# By hand.


def test_the_mean_loss_is_that_of_windows_and_not_of_batches():
    """Batches of 2, 2 and 1 windows: (0.5 * 2 + 2.5 * 2 + 4 * 1) / 5 = 2, not 7 / 3."""
    batches = loader(Still.images, Still.targets, 2)
    running, seen = epoch(batches, [0.5, 2.5, 4.0])
    assert running.mean == 2.0 and running.windows_read == 5
    assert seen == [
        {"batch": 1, "windows": 2, "loss": 1.0, "mean": 0.5},
        {"batch": 2, "windows": 4, "loss": 6.0, "mean": 1.5},
        {"batch": 3, "windows": 5, "loss": 10.0, "mean": 2.0},
    ]
    loss = passes.evaluate(Still(), batches, mean, 2, CPU, torch.float32).loss
    assert loss == pytest.approx(2)


def test_an_epoch_goes_on_behind_its_position():
    batches = loader(Still.images, Still.targets, 2)
    running, seen = epoch(batches, [0.5, 2.5, 4.0], {"batch": 2, "windows": 4, "loss": 6.0})
    assert seen == [{"batch": 3, "windows": 5, "loss": 10.0, "mean": 2.0}]
    assert running.windows_read == 1
    # If the epoch was stopped during validation, there is no further batch.
    running, seen = epoch(batches, [], {"batch": 3, "windows": 5, "loss": 10.0})
    assert running.mean == 2.0 and seen == []


@pytest.mark.parametrize(("batch", "windows"), [(4, 5), (0, 5), (2, 3), (2**53, 5), (3, 6)])
def test_a_position_that_the_epoch_does_not_have_is_refused(batch, windows):
    """Five windows in batches of two: 2, 4 and 5 windows are finished after 1, 2 and 3 batches."""
    batches = loader(Still.images, Still.targets, 2)
    for at, finished in enumerate([0, 2, 4, 5]):
        RunningLoss({"batch": at, "windows": finished, "loss": 0.0}, batches, CPU, Path())
    with pytest.raises(InputError, match="last.pt claims .* batches of an epoch"):
        RunningLoss({"batch": batch, "windows": windows, "loss": 0.0}, batches, CPU, Path())


@pytest.mark.parametrize("name", ["scale", "unused"])
def test_a_weight_that_is_not_finite_ends_the_run_also_where_no_pixel_needs_it(name):
    still = Still()
    still.register_buffer("unused", torch.ones(()))
    evaluate = (loader(Still.images, Still.targets, 2), mean, 2, CPU, torch.float32)
    passes.evaluate(still, *evaluate)
    getattr(still, name).data.fill_(math.nan)
    with pytest.raises(NotFinite, match="weights or the validation loss .*; try a lower --lr"):
        passes.evaluate(still, *evaluate)


def test_several_losses_are_read_together_on_a_gpu_and_the_rest_at_the_end():
    images, targets = torch.zeros(7, 2, 1, 1), torch.zeros(7, 1, 1, dtype=torch.uint8)
    running, seen = epoch(loader(images, targets, 1), [float(n) for n in range(7)], every=3)
    assert [(one["batch"], one["mean"]) for one in seen] == [(3, 1.0), (6, 2.5), (7, 3.0)]
    assert (
        RunningLoss(
            passes.start_of_epoch(), loader(images, targets, 1), torch.device("cuda"), Path()
        ).every
        == passes.EVERY
    )


def test_evaluate_counts_each_labelled_pixel_once_and_calls_check_after_each_batch():
    calls = []
    batches = loader(Still.images, Still.targets, 2)
    found = passes.evaluate(Still(), batches, mean, 2, CPU, torch.float32, lambda: calls.append(1))
    confusion = found.confusion
    # Predicted: 0 (both logits are 0), 1, 1, 1, 1. True: 0, 1, 1, none, 0.
    assert confusion.matrix.tolist() == [[1, 1], [0, 2]] and len(calls) == 3


def test_evaluate_keeps_the_mean_input_of_the_labelled_pixels_of_each_window():
    images = torch.tensor([[[[1.0, 2.0]], [[3.0, 9.0]]], [[[5.0, 6.0]], [[7.0, 8.0]]]])
    targets = torch.tensor([[[0, 255]], [[255, 255]]], dtype=torch.uint8)
    found = passes.evaluate(Still(), loader(images, targets, 1), mean, 2, CPU, torch.float32)
    assert found.metrics["inputs"].tolist() == [[1, 3], [0, 0]]


def test_evaluate_changes_nothing_and_predict_gives_its_labels():
    model = unet.build("unet", 2, 3, base=2, dropout=0.5).train()
    images = torch.randn(5, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(5, 16, 16, dtype=torch.uint8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = loader(images, targets, 2)
    confusion = passes.evaluate(model, batches, cross_entropy, 3, CPU, torch.float32).confusion
    labels, matrices, _ = passes.predict(model, batches, 3, CPU, torch.float32)
    assert labels.shape == (5, 16, 16) and labels.dtype == torch.uint8
    assert [int(one.matrix.sum()) for one in matrices] == [256] * 5
    assert sum(one.matrix for one in matrices).equal(confusion.matrix)
    assert (
        confusion.matrix[0].tolist() == torch.bincount(labels.ravel().long(), minlength=3).tolist()
    )
    assert not model.training and all(
        value.equal(before[name]) for name, value in model.state_dict().items()
    )


def test_the_checkpoint_gets_the_matrix_and_the_place_of_each_window_and_the_temperature():
    """The network gives the logits (0, 0), (0, 2), (0, 4), (0, 6) and (0, 8).

    Three places are not enough for a temperature. Six places where the network is right are.
    """
    batches = loader(Still.images, Still.targets, 2)
    metrics = passes.evaluate(Still(), batches, mean, 2, CPU, torch.float32).metrics
    one = [[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]], [[0, 1], [0, 0]]
    assert metrics["windows"].tolist() == [*one] and metrics["windows"].dtype == torch.int32
    assert metrics["confusion"].tolist() == [[1, 1], [0, 2]]
    assert metrics["confusion"].dtype == torch.int64
    assert metrics["scenes"].tolist() == [0, 0, 1, 1, 2]
    assert metrics["temperature"] == 1
    images, targets = Still.images[1:2].expand(12, 2, 1, 1), Still.targets[1:2].expand(12, 1, 1)
    metrics = passes.evaluate(Still(), loader(images, targets, 5), mean, 2, CPU, torch.float32)[2]
    assert metrics["scenes"].max() == 5
    assert LOWEST <= metrics["temperature"] < 1.3 * LOWEST  # where the slopes become 0


def test_predict_compares_the_confidence_with_the_truth_at_each_temperature():
    """Labelled are the logits (0, 0), (0, 2), (0, 4), (0, 8); the last is wrong."""
    batches = loader(Still.images, Still.targets, 2)
    _, _, bins = passes.predict(Still(), batches, 2, CPU, torch.float32, [1.0, 2.0])
    for temperature, counts in bins.items():
        expected = [1 / (1 + math.exp(-z / temperature)) for z in (0, 2, 4, 8)]
        assert counts.sum(1).tolist() == pytest.approx([4, sum(expected), 3])
        for confidence in expected:
            assert counts[0, int(confidence * 15)] >= 1
    assert [*bins] == [1.0, 2.0]
    assert passes.predict(Still(), batches, 2, CPU, torch.float32).calibration == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("every", [1, 2])
def test_a_loss_that_is_not_finite_names_its_windows(tmp_path, value, every):
    position = passes.start_of_epoch()
    with pytest.raises(passes.NotFinite) as error:
        epoch(loader(Still.images, Still.targets, 2), [1.0, value, 1.0], position, every, tmp_path)
    path = tmp_path / "not_finite.txt"
    assert str(error.value) == (
        f"the loss became {value} on image_2.tif, image_3.tif (windows in {path}); look at them, "
        "or try a lower --lr"
    )
    assert path.read_text() == "image_2.tif: row 2, column 0\nimage_3.tif: row 3, column 0\n"
    assert position["batch"] == (1 if every == 1 else 0)


# On a GPU.


def step_on(device: torch.device, precision: torch.dtype, scale: float = 1.0) -> tuple:
    """Make a training step as train.py does. Returns (loss, gradients, changes, scale after it).

    `scale` multiplies the loss.
    """
    torch.manual_seed(0)
    model = to_device(unet.build("unet", 3, 4, base=4), device).train()
    before = {name: weights.detach().clone() for name, weights in model.named_parameters()}
    images, targets = torch.randn(4, 3, 32, 32), torch.randint(0, 4, (4, 32, 32)).byte()
    targets[0, :9] = 255
    images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
    with autocast(device, precision):
        loss = dice_cross_entropy(model(images), targets.to(device))
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    scaler.scale(loss * scale).backward()
    scaler.step(optimizer)
    whole = {name: weights.grad.cpu() for name, weights in model.named_parameters()}
    scaler.update()
    changes = {name: (w.detach() - before[name]).cpu() for name, w in model.named_parameters()}
    return loss.item(), whole, changes, scaler.get_scale()


@needs_gpu
def test_a_training_step_on_a_gpu_is_that_of_the_cpu():
    with exact():
        loss, gradients, changes, _ = step_on(GPU, torch.float32)
    expected, on_cpu, _, _ = step_on(CPU, torch.float32)
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, gradient in on_cpu.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-4, msg=name)
    # The first step of Adam moves each weight by the learning rate.
    moved = torch.cat([change.flatten() for change in changes.values()]).abs()
    assert 0.0099 < moved.median() < 0.0101


@needs_gpu
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_a_training_step_in_16_bits_on_a_gpu_has_nearly_the_loss_of_the_cpu(precision):
    loss, gradients, changes, scale = step_on(GPU, precision)
    assert loss == pytest.approx(step_on(CPU, torch.float32)[0], rel=0.02)
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert any(change.any() for change in changes.values())
    assert scale == (65536 if precision is torch.float16 else 1)


@needs_gpu
def test_a_step_whose_gradients_overflow_float16_on_a_gpu_is_left_out_and_the_scale_is_halved():
    _, gradients, changes, scale = step_on(GPU, torch.float16, scale=1e30)
    assert not all(gradient.isfinite().all() for gradient in gradients.values())
    assert not any(change.any() for change in changes.values()) and scale == 32768


@needs_gpu
def test_evaluation_on_a_gpu_is_that_of_the_cpu():
    torch.manual_seed(0)
    model = unet.build("unet", Windows.channels, 4, base=4)
    images = torch.randn(5, Windows.channels, 32, 32)
    targets = torch.randint(0, 4, (5, 32, 32)).byte()
    targets[0, :9] = 255
    batches = loader(images, targets, 2)
    options = cross_entropy, 4
    loss, confusion, *_ = passes.evaluate(model, batches, *options, CPU, torch.float32)
    labels = passes.predict(model, batches, 4, CPU, torch.float32)[0]
    with exact():
        there = to_device(model, GPU)
        found, counted, *_ = passes.evaluate(there, batches, *options, GPU, torch.float32)
        same = passes.predict(there, batches, 4, GPU, torch.float32)[0] == labels
    assert found == pytest.approx(loss, rel=1e-5) and same.double().mean() >= 0.999
    assert counted.matrix.sum() == confusion.matrix.sum() == 5 * 32 * 32 - 9 * 32
    assert (counted.matrix.cpu() - confusion.matrix).abs().sum() <= 10
