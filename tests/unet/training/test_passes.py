"""The two loops over batches: unet/training/passes.py. Means counted by hand, then what leaving
must not change.
"""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import unet
from data.training.dataset import Batches
from unet.losses import cross_entropy
from unet.training import passes
from unet.training.optimizer import Optimizer

CPU = torch.device("cpu")


def loader(images: torch.Tensor, targets: torch.Tensor, size: int) -> DataLoader:
    samples = [
        (image, target, number) for number, (image, target) in enumerate(zip(images, targets))
    ]
    return DataLoader(
        samples, batch_sampler=Batches(range(len(samples)), size), generator=torch.Generator()
    )


def mean(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss to count by hand."""
    return logits.mean()


class Still(nn.Module):
    """Gives back its input: 5 windows of one pixel and two classes, (0, 2 n), whose mean is n."""

    images = torch.tensor([[0.0, 2 * n] for n in range(5)]).reshape(5, 2, 1, 1)
    targets = torch.tensor([0, 1, 1, 255, 0], dtype=torch.uint8).reshape(5, 1, 1)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.scale


def learn(
    model,
    batches,
    loss=mean,
    accumulate=1,
    position=None,
    check=lambda share, loss: None,
    lr=0.0,
    every=None,
):
    optimizer = Optimizer(model.parameters(), "adamw", lr, 0.0, "constant", 1, accumulate)
    position = passes.start_of_epoch() if position is None else position
    return passes.learn(model, batches, loss, optimizer, CPU, torch.float32, position, check)


# By hand.


def test_the_mean_loss_is_that_of_windows_and_not_of_batches():
    """Batches of 2, 2 and 1 windows: (0.5 * 2 + 2.5 * 2 + 4 * 1) / 5 = 2, where the mean of batches
    is 7 / 3.
    """
    batches = loader(Still.images, Still.targets, 2)
    assert learn(Still(), batches) == pytest.approx(2)
    loss, _ = passes.evaluate(Still(), batches, mean, 2, CPU, torch.float32, lambda: None)
    assert loss == pytest.approx(2)


def test_check_is_told_the_share_that_is_done_and_the_mean_so_far_and_position_is_right():
    told, position = [], passes.start_of_epoch()
    batches = loader(Still.images, Still.targets, 2)
    learn(
        Still(), batches, position=position, check=lambda *now: told.append((*now, dict(position)))
    )
    assert told == [
        (pytest.approx(1 / 3), 0.5, {"batch": 1, "windows": 2, "loss": 1.0}),
        (pytest.approx(2 / 3), 1.5, {"batch": 2, "windows": 4, "loss": 6.0}),
        (1, 2.0, {"batch": 3, "windows": 5, "loss": 10.0}),
    ]


@pytest.mark.parametrize(
    ("accumulate", "expected"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (3, [3, 5]), (9, [5])]
)
def test_check_is_called_where_the_weights_have_moved_and_no_gradient_is_half_done(
    accumulate, expected
):
    seen, position = [], passes.start_of_epoch()
    check = lambda share, loss: seen.append(position["batch"])  # noqa: E731
    learn(
        Still(),
        loader(Still.images, Still.targets, 1),
        accumulate=accumulate,
        position=position,
        check=check,
    )
    assert seen == expected


def test_evaluate_counts_each_labelled_pixel_once_and_calls_check_after_each_batch():
    calls = []
    _, confusion = passes.evaluate(
        Still(),
        loader(Still.images, Still.targets, 2),
        mean,
        2,
        CPU,
        torch.float32,
        lambda: calls.append(1),
    )
    # Predicted: 0 (both logits are 0), 1, 1, 1, 1. True: 0, 1, 1, none, 0.
    assert confusion.matrix.tolist() == [[1, 1], [0, 2]] and len(calls) == 3


def test_evaluate_changes_nothing_and_predict_gives_its_labels():
    model = unet.build("unet", 2, 3, base=2, dropout=0.5).train()
    images = torch.randn(5, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(5, 16, 16, dtype=torch.uint8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = loader(images, targets, 2)
    _, confusion = passes.evaluate(
        model, batches, cross_entropy, 3, CPU, torch.float32, lambda: None
    )
    labels = passes.predict(model, batches, CPU, torch.float32)
    assert labels.shape == (5, 16, 16) and labels.dtype == torch.uint8
    assert (
        confusion.matrix[0].tolist() == torch.bincount(labels.ravel().long(), minlength=3).tolist()
    )
    assert not model.training and all(
        value.equal(before[name]) for name, value in model.state_dict().items()
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_names_its_windows_and_leaves_position_before_them(value):
    images = Still.images.clone()
    images[3] = value
    position = passes.start_of_epoch()
    with pytest.raises(passes.NotFinite, match=f"the loss became {value}") as error:
        learn(Still(), loader(images, Still.targets, 2), position=position)
    assert error.value.numbers == [2, 3] and str(error.value.loss) == str(value)
    assert position == {"batch": 1, "windows": 2, "loss": 1.0}


def test_looking_seldom_as_on_a_gpu_changes_no_mean_and_finds_the_first_that_is_no_number(
    monkeypatch,
):
    """CPU tensors on a device that calls itself a GPU: seven batches, looked at after three, six
    and seven.
    """
    monkeypatch.setattr(passes, "EVERY", 3)
    monkeypatch.setattr(
        passes, "autocast", lambda device, precision: torch.autocast("cpu", enabled=False)
    )
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    images, targets = (
        torch.arange(14.0).reshape(7, 2, 1, 1),
        torch.zeros(7, 1, 1, dtype=torch.uint8),
    )
    model, seen = Still(), []
    optimizer = Optimizer(model.parameters(), "adamw", 0.0, 0.0, "constant", 1)
    options = mean, optimizer, torch.device("cuda"), torch.float32
    position = passes.start_of_epoch()
    check = lambda share, loss: seen.append((position["batch"], loss))  # noqa: E731
    found = passes.learn(model, loader(images, targets, 1), *options, position, check)
    assert found == pytest.approx(6.5) and [batch for batch, _ in seen] == [3, 6, 7]
    assert [loss for _, loss in seen] == pytest.approx([2.5, 5.5, 6.5])
    images[4:] = math.nan
    with pytest.raises(passes.NotFinite) as error:
        passes.learn(
            model, loader(images, targets, 1), *options, passes.start_of_epoch(), lambda *_: None
        )
    assert error.value.numbers == [4]


# What must hold.


class Leave(Exception):
    pass


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("last", range(1, 5))
def test_leaving_after_a_batch_and_going_on_changes_no_bit(last, accumulate):
    """Nine windows in batches of two, dropout on: the weights, and the mean loss of the epoch."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(9, 2, 32, 32, generator=generator)
    targets = torch.randint(0, 3, (9, 32, 32), generator=generator).byte()

    def start():
        torch.manual_seed(0)
        model = unet.build("unet", 2, 3, base=2, dropout=0.2)
        return model, Optimizer(model.parameters(), "adamw", 0.01, 0.0, "constant", 1, accumulate)

    def check(position, share, loss):
        if position["batch"] >= last:
            raise Leave

    def go(model, optimizer, position, check):
        options = cross_entropy, optimizer, CPU, torch.float32, position, check
        return passes.learn(model, loader(images, targets, 2), *options)

    through, optimizer = start()
    expected = go(through, optimizer, passes.start_of_epoch(), lambda share, loss: None)

    model, optimizer = start()
    position = passes.start_of_epoch()
    with pytest.raises(Leave):
        go(model, optimizer, position, partial(check, position))
    state, weights, random = optimizer.state_dict(), model.state_dict(), torch.get_rng_state()
    model, optimizer = start()
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)
    torch.set_rng_state(random)
    assert go(model, optimizer, position, lambda share, loss: None) == expected
    assert all(
        value.equal(through.state_dict()[name]) for name, value in model.state_dict().items()
    )


def test_an_epoch_that_was_left_during_validation_has_no_batch_to_learn_again():
    position = {"batch": 3, "windows": 5, "loss": 10.0}
    called = []
    found = learn(
        Still(),
        loader(Still.images, Still.targets, 2),
        position=position,
        check=lambda *_: called.append(1),
    )
    assert found == 2.0 and not called


def test_learning_learns():
    """Two classes, told by the sign of a band: cross-entropy falls below a tenth of knowing
    nothing, log 2.
    """
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (8, 16, 16), generator=generator)
    images = (targets * 2.0 - 1)[:, None]
    torch.manual_seed(0)
    model = unet.build("unet", 1, 2, base=4)
    batches = loader(images, targets.byte(), 4)
    losses = [learn(model, batches, cross_entropy, lr=0.01) for _ in range(25)]
    assert losses[0] > 0.4 and losses[-1] < 0.1 * math.log(2)
    _, confusion = passes.evaluate(
        model, batches, cross_entropy, 2, CPU, torch.float32, lambda: None
    )
    assert confusion.accuracy() > 0.99
