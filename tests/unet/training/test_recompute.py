"""Activation checkpointing, unet/training/recompute.py: the same to the last bit."""

import pytest
import torch
from torch import nn

import unet
from unet.losses import cross_entropy
from unet.training import device, memory
from unet.training.recompute import recompute


def network(again: bool, base: int = 4, momentum: float = 0.1, **options) -> nn.Module:
    torch.manual_seed(0)
    model = unet.build("unet", 3, 4, base=base, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    return recompute(model, unet.BLOCKS) if again else model


def batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(2, 3, 32, 48, generator=generator), torch.randint(
        0, 4, (2, 32, 48), generator=generator
    )


def train(model: nn.Module, steps: int = 3, precision: torch.dtype = torch.float32) -> dict:
    """Weights, statistics and last gradients after some steps, and the next random number."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(5)
    model.train()
    for number in range(steps):
        images, targets = batch(number)
        optimizer.zero_grad()
        with device.autocast(torch.device("cpu"), precision):
            loss = cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
    gradients = {f"{name}.grad": parameter.grad for name, parameter in model.named_parameters()}
    return {**model.state_dict(), **gradients, "loss": loss.detach(), "next": torch.rand(())}


def kept_bytes(model: nn.Module) -> int:
    """Bytes that autograd keeps of one forward pass for the backward pass, counted by torch's own
    hooks.
    """
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(batch(0)[0])
    return sum(storage.nbytes() for storage in kept.values())


# By hand.


def test_of_three_blocks_of_four_layers_three_inputs_are_kept():
    """Each tanh keeps its output (8 floats): 12 tensors and no other; recomputed, only the inputs
    of the blocks.
    """

    class Block(nn.Sequential):
        pass

    def build():
        return nn.Sequential(*[Block(*[nn.Tanh() for _ in range(4)]) for _ in range(3)])

    x = torch.randn(8, requires_grad=True)
    counts = []
    for model in (build(), recompute(build(), Block)):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, kept=kept: kept.append(t) or t, lambda t: t
        ):
            model.train()(x)
        counts.append(sum(tensor.numel() == 8 for tensor in kept))
    assert counts == [12, 3]


def test_a_batch_counts_once_in_the_running_statistics():
    """momentum 0.5, a batch of mean 4: the running mean goes from 0 to 2, and not on to 3 when it
    is computed again.
    """
    layer = nn.BatchNorm2d(1, momentum=0.5)
    model = recompute(nn.Sequential(nn.Sequential(layer, nn.Tanh())), nn.Sequential).train()
    x = torch.tensor([3.0, 5.0]).reshape(2, 1, 1, 1).requires_grad_()
    model(x).sum().backward()
    assert layer.running_mean.item() == 2 and layer.num_batches_tracked.item() == 1
    assert layer.momentum == 0.5  # as it was


# Properties.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout": 0.3},
        {"dropout": 0.2, "head_dropout": 0.5, "momentum": 0.7},
        {"bilinear": True},
    ],
    ids=str,
)
def test_nothing_changes_by_a_single_bit(options):
    plain, again = train(network(False, **options)), train(network(True, **options))
    assert plain.keys() == again.keys()
    different = [name for name in plain if not plain[name].equal(again[name])]
    assert different == []
    assert plain["inc.double_conv.0.weight.grad"].abs().max() > 0
    assert int(plain["inc.double_conv.1.num_batches_tracked"]) == 3


def test_nothing_changes_in_mixed_precision():
    plain, again = (
        train(network(again, dropout=0.2), precision=torch.bfloat16) for again in (False, True)
    )
    assert [name for name in plain if not plain[name].equal(again[name])] == []


def test_in_evaluation_nothing_is_computed_again():
    plain, again = network(False).eval(), network(True).eval()
    images = batch(0)[0].requires_grad_()
    assert plain(images).equal(again(images))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(1) or t, lambda t: t):
        again(images)
    count = len(kept)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(1) or t, lambda t: t):
        plain(images)
    assert len(kept) == 2 * count


def test_names_and_shapes_are_those_of_the_plain_network():
    plain, again = network(False).state_dict(), network(True).state_dict()
    assert {name: value.shape for name, value in plain.items()} == {
        name: value.shape for name, value in again.items()
    }


def test_half_of_the_memory_or_less_is_kept():
    assert kept_bytes(network(True)) < 0.5 * kept_bytes(network(False))


def test_the_estimate_of_training_memory_knows(monkeypatch):
    monkeypatch.setattr(memory, "LIBRARIES", 0)
    needed = [
        memory.training_bytes(lambda again=again: network(again, base=16), (4, 3, 256, 256))
        for again in (0, 1)
    ]
    assert needed[1] < 0.65 * needed[0]


def test_an_error_on_the_way_back_leaves_the_momentum_as_it_was():
    layer = nn.BatchNorm2d(1, momentum=0.5)

    class Broken(nn.Module):
        passes = 0

        def forward(self, x):
            self.passes += 1
            if self.passes == 2:
                raise RuntimeError("broken on the way back")
            return x.tanh()

    model = recompute(nn.Sequential(nn.Sequential(layer, Broken())), nn.Sequential).train()
    value = model(torch.randn(2, 1, 2, 2, requires_grad=True)).sum()
    with pytest.raises(RuntimeError, match="broken on the way back"):
        value.backward()
    assert layer.momentum == 0.5 and layer.num_batches_tracked.item() == 1
