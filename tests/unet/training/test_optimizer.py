"""Optimizers and schedules: unet/training/optimizer.py. By hand, then saved states."""

import math

import pytest
import torch
from torch import nn

from unet.training.optimizer import OPTIMIZERS, SCHEDULES, change_epochs, end_epoch


def make(schedule: str = "constant", epochs: int = 4, monitor: str = "macro_dice"):
    """Return (a layer with weight 1, its optimizer with a rate of 0.1, its schedule)."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer = OPTIMIZERS["adamw"](layer.parameters(), 0.1, weight_decay=0.0, fused=True)
    return layer, optimizer, SCHEDULES[schedule](optimizer, epochs, monitor)


def rates(optimizer, schedule, epochs: int, metrics=None) -> list[float]:
    """Return the learning rates of the next epochs."""
    found = []
    for epoch in range(epochs):
        found.append(schedule.get_last_lr()[0])
        assert optimizer.param_groups[0]["lr"] == found[-1]
        optimizer.step()
        end_epoch(schedule, metrics[epoch] if metrics else 0.0)
    return found


# By hand.


def test_a_cosine_over_four_epochs():
    cosines = [1, math.sqrt(0.5), 0, -math.sqrt(0.5), -1]  # of 0, 45, 90, 135 and 180 degrees
    found = rates(*make("cosine", 4)[1:], 5)
    assert found == pytest.approx([0.1 * (1 + cosine) / 2 for cosine in cosines])


def test_plateau_halves_after_more_than_three_epochs_without_a_better_metric():
    # The best is that of the second epoch, until the seventh.
    metrics = [0.5, 0.6, 0.6, 0.55, 0.6, 0.6, 0.7, 0.7]
    assert rates(*make("plateau")[1:], 8, metrics) == pytest.approx([0.1] * 6 + [0.05] * 2)


def test_plateau_of_the_loss_halves_after_more_than_three_epochs_without_a_lower_one():
    """The best loss is that of the second epoch. A loss that is not a number is not lower."""
    losses = [0.9, 0.5, 0.5, 0.6, math.nan, 0.5, 0.4, 0.4]
    found = rates(*make("plateau", monitor="loss")[1:], 8, losses)
    assert found == pytest.approx([0.1] * 6 + [0.05] * 2)


def test_constant_is_constant():
    assert rates(*make("constant")[1:], 9) == [0.1] * 9


# Saved and continued states.


def batch(number: int) -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def start(name: str, schedule: str):
    """Return (a small network, its optimizer, its schedule over four epochs)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    optimizer = OPTIMIZERS[name](model.parameters(), 0.01, weight_decay=1e-2, fused=True)
    return model, optimizer, SCHEDULES[schedule](optimizer, 4, "macro_dice")


def train(model: nn.Module, optimizer, schedule, epochs: range) -> None:
    for epoch in epochs:
        for number in range(3):
            (model(batch(10 * epoch + number)) ** 2).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        end_epoch(schedule, -epoch)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_two_epochs_saved_and_two_more_are_four_to_the_last_bit(name, schedule, tmp_path):
    through = start(name, schedule)
    train(*through, range(4))

    first = start(name, schedule)
    train(*first, range(2))
    torch.save([part.state_dict() for part in first], tmp_path / "state.pt")
    second = start(name, schedule)
    # Plain values and tensors, as a checkpoint has them.
    for part, state in zip(second, torch.load(tmp_path / "state.pt", weights_only=True)):
        part.load_state_dict(state)
    train(*second, range(2, 4))
    weights = [list(model.parameters()) for model in (through[0], first[0], second[0])]
    assert all(a.equal(b) for a, b in zip(weights[0], weights[2]))
    assert not all(a.equal(b) for a, b in zip(weights[0], weights[1]))


def continued(epochs_before: int, done: int, epochs: int) -> tuple:
    """Return the optimizer and schedule of a cosine that is continued to another last epoch."""
    _, optimizer, schedule = make("cosine", epochs_before)
    rates(optimizer, schedule, done)
    _, later, later_schedule = make("cosine", epochs)
    later.load_state_dict(optimizer.state_dict())
    later_schedule.load_state_dict(schedule.state_dict())
    change_epochs(later_schedule, later, epochs)
    return later, later_schedule


@pytest.mark.parametrize("done", [1, 4, 6])
@pytest.mark.parametrize("epochs", [8, 12])
def test_a_cosine_with_more_epochs_goes_on_as_if_it_had_always_had_them(done, epochs):
    """Also from its very end, where the learning rate was 0: any multiple of that is 0."""
    optimizer, schedule = continued(6, done, epochs)
    expected = rates(*make("cosine", epochs)[1:], epochs + 1)[done:]
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(epochs - done):
        optimizer.step()
        end_epoch(schedule, 0.0)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx(expected)


def test_a_shorter_cosine_ends_at_its_end():
    optimizer, schedule = continued(6, 3, 4)
    found = [optimizer.param_groups[0]["lr"]]
    optimizer.step()
    end_epoch(schedule, 0.0)
    found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.1 * (1 - math.sqrt(0.5)) / 2, 0])
