"""The way downhill: unet/training/optimizer.py. Cosines and accumulated gradients by hand, then
what a saved state must keep.
"""

import math

import pytest
import torch
from torch import nn

from unet.training.optimizer import OPTIMIZERS, SCHEDULES, Optimizer


def make(
    schedule: str = "constant", epochs: int = 4, lr: float = 0.1, decay: float = 0.0, **options
):
    """(a layer with weight 1, its Optimizer)."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    return layer, Optimizer(layer.parameters(), "adamw", lr, decay, schedule, epochs, **options)


def rates(optimizer: Optimizer, epochs: int, metrics=None) -> list[float]:
    """Learning rates of the next epochs."""
    found = []
    for epoch in range(epochs):
        found.append(optimizer.lr)
        optimizer.optimizer.step()
        optimizer.end_epoch(metrics[epoch] if metrics else 0.0)
    return found


# By hand.


def test_a_cosine_over_four_epochs():
    cosines = [1, math.sqrt(0.5), 0, -math.sqrt(0.5), -1]  # of 0, 45, 90, 135 and 180 degrees
    found = rates(make("cosine", 4)[1], 5)
    assert found == pytest.approx([0.1 * (1 + cosine) / 2 for cosine in cosines])


def test_plateau_halves_after_more_than_three_epochs_without_a_better_metric():
    metrics = [
        0.5,
        0.6,
        0.6,
        0.55,
        0.6,
        0.6,
        0.7,
        0.7,
    ]  # the best is that of the second epoch, until the seventh
    assert rates(make("plateau")[1], 8, metrics) == pytest.approx([0.1] * 6 + [0.05] * 2)


def test_constant_is_constant():
    assert rates(make("constant")[1], 9) == [0.1] * 9


def test_decay_shrinks_a_weight_without_gradient_by_lr_times_decay():
    layer, optimizer = make(decay=0.5)
    optimizer.step(0 * layer.weight.sum())
    assert layer.weight.item() == pytest.approx(1 - 0.1 * 0.5)


def test_weights_move_with_every_second_loss_and_with_the_last():
    layer, optimizer = make(accumulate=2)
    moved, weights = [], []
    for number in range(1, 6):
        moved.append(optimizer.step(layer.weight.sum(), last=number == 5))
        weights.append(layer.weight.item())
    assert moved == [False, True, False, True, True]
    # Adam's step is lr where all gradients are alike; the last, of one loss of two, is half of the
    # others.
    assert (
        weights[:4] == pytest.approx([1, 0.9, 0.9, 0.8])
        and weights[3] - 0.1 < weights[4] < weights[3]
    )


def test_a_gradient_of_a_half_group_is_half():
    """Without momentum and with one step, m = g and v = g^2 whatever g is: so look at Adam's first
    moment, 0.1 g.
    """
    layer, optimizer = make(accumulate=4)
    optimizer.step(layer.weight.sum())
    optimizer.step(layer.weight.sum(), last=True)
    assert optimizer.optimizer.state[layer.weight]["exp_avg"].item() == pytest.approx(0.1 * 2 / 4)


# What must hold.


def batch(number: int) -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def train(model: nn.Module, optimizer: Optimizer, epochs: range) -> None:
    for epoch in epochs:
        for number in range(3):
            optimizer.step((model(batch(10 * epoch + number)) ** 2).mean())
        optimizer.end_epoch(-epoch)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("parts", [2, 3, 6])
def test_accumulated_parts_step_as_their_batch_does(name, parts):
    whole, split = network(), network()
    one = Optimizer(whole.parameters(), name, 0.01, 1e-2, "constant", 1)
    more = Optimizer(split.parameters(), name, 0.01, 1e-2, "constant", 1, accumulate=parts)
    for number in range(5):
        one.step((whole(batch(number)) ** 2).mean())
        moved = [more.step((split(part) ** 2).mean()) for part in batch(number).chunk(parts)]
        assert moved == [False] * (parts - 1) + [True]
    for a, b in zip(whole.parameters(), split.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_two_epochs_saved_and_two_more_are_four_to_the_last_bit(name, schedule, tmp_path):
    def start():
        model = network()
        return model, Optimizer(model.parameters(), name, 0.01, 1e-2, schedule, 4)

    through, optimizer = start()
    train(through, optimizer, range(4))

    first, optimizer = start()
    train(first, optimizer, range(2))
    torch.save([first.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
    second, optimizer = start()
    weights, state = torch.load(
        tmp_path / "state.pt", weights_only=True
    )  # plain values, as a checkpoint has
    second.load_state_dict(weights)
    optimizer.load_state_dict(state)
    train(second, optimizer, range(2, 4))
    assert all(a.equal(b) for a, b in zip(through.parameters(), second.parameters()))
    assert not all(a.equal(b) for a, b in zip(through.parameters(), first.parameters()))


@pytest.mark.parametrize("done", [1, 4, 6])
@pytest.mark.parametrize("epochs", [8, 12])
def test_a_cosine_that_is_continued_to_another_epoch_goes_on_as_if_it_had_always_led_there(
    done, epochs
):
    """Also from its very end, where the learning rate was 0: any multiple of that would be 0 for
    ever.
    """
    _, before = make("cosine", 6)
    rates(before, done)
    _, after = make("cosine", epochs)
    after.load_state_dict(before.state_dict())
    assert rates(after, epochs - done + 1) == pytest.approx(
        rates(make("cosine", epochs)[1], epochs + 1)[done:]
    )


def test_a_shorter_cosine_ends_at_its_end():
    _, before = make("cosine", 6)
    rates(before, 3)
    _, after = make("cosine", 4)
    after.load_state_dict(before.state_dict())
    assert rates(after, 2) == pytest.approx([0.1 * (1 - math.sqrt(0.5)) / 2, 0])


def test_gradients_that_are_scaled_for_float16_move_weights_as_others_and_infinite_ones_do_not():
    layer, plain = make()
    other, scaled = make(scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10))
    for optimizer, one in ((plain, layer), (scaled, other)):
        optimizer.step((one.weight * 3).sum())
    assert other.weight.item() == layer.weight.item() != 1
    scaled.step((other.weight * math.inf).sum())
    assert other.weight.item() == layer.weight.item()
    assert scaled.state_dict()["scaler"]["scale"] == 2.0**9
    _, again = make(scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10))
    again.load_state_dict(scaled.state_dict())
    assert again.scaler.get_scale() == 2.0**9
    assert plain.state_dict()["scaler"] == {}
