"""The common properties of all networks: any size, bands and classes, export, training."""

import functools

import pytest
import seeded
import torch
from torch import nn

import unet
from unet.checkpoint import build_model
from unet.losses import dice_cross_entropy
from unet.metrics import ConfusionMatrix
from unet.training.checkpoint_format import check
from unet.training.device import autocast, pick_precision
from unet.training.memory import training_bytes

NAMES = [
    name for name in unet.MODELS if not name.startswith("segformer-b") or name == "segformer-b0"
]


def build(name: str, **options) -> nn.Module:
    """Build a network of 4 bands and 3 classes with the weights of `seeded`, to save time."""
    return seeded.filled(
        lambda: unet.build(name, 4, 3, **({"base": 8} if name == "unet" else {}), **options)
    )


@functools.cache
def network(name: str) -> nn.Module:
    """Return the same network, built once for all tests that do not change it."""
    return build(name, dropout=0.1, head_dropout=0.1)


def test_the_names_are_these():
    sizes = [f"segformer-b{i}" for i in range(6)]
    others = ["segformer-unet", "segformer-resnet-unet"]
    assert list(unet.MODELS) == ["unet", "unet-3", "resnet50-unet", "deeplabv3", *sizes, *others]


def test_each_network_says_which_options_it_takes():
    assert unet.options("unet") == ["base", "dropout", "head_dropout", "bilinear"]
    for name in unet.MODELS:
        others = ["base"] if name == "unet-3" else []
        assert name == "unet" or unet.options(name) == [*others, "dropout", "head_dropout"]


@pytest.mark.parametrize(
    "name, option", [("segformer-b0", "base"), ("segformer-b0", "size"), ("deeplabv3", "aux")]
)
def test_an_option_of_another_network_is_an_error_that_names_it_and_those_there_are(name, option):
    with pytest.raises(
        ValueError, match=f"{name} has no option '{option}'; it has: dropout, head_dropout"
    ):
        unet.build(name, 4, 3, **{option: 2})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bands, classes", [(1, 1), (15, 12)])
def test_any_number_of_bands_and_classes(name, bands, classes):
    with torch.device("meta"):
        model = unet.build(name, bands, classes)
        assert model(torch.empty(2, bands, 40, 70)).shape == (2, classes, 40, 70)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (33, 70)])
def test_logits_have_the_size_of_the_input_whatever_it_is(name, size):
    with torch.no_grad():
        logits = network(name)(torch.randn(2, 4, *size))
    assert logits.shape == (2, 3, *size) and logits.dtype == torch.float32
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_stride_and_receptive_radius_say_how_windows_must_lie(name):
    model = network(name)
    assert model.stride in (4, 8, 16, 32)
    # These networks have the mean of the image, or attention.
    assert (model.receptive_radius is None) == (name == "deeplabv3" or "segformer" in name)


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_gives_nearly_the_same(name):
    x = torch.randn(1, 4, 40, 64)
    with torch.no_grad():
        expected = network(name)(x)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(name)(x)
    assert found.dtype is torch.bfloat16
    assert (found.float() - expected).abs().mean() < 0.05 * expected.std()


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_gives_the_same(name):
    x = torch.randn(1, 4, 40, 64)
    with torch.no_grad():
        expected = network(name)(x)
        model = network(name).to(memory_format=torch.channels_last)
        found = model(x.to(memory_format=torch.channels_last))
        model.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# Two networks are enough: the others consist of parts of these and of the U-Net, which has its own
# test.


def test_the_network_compiles_without_graph_breaks():
    model, x = network("segformer-unet"), torch.randn(1, 4, 33, 40)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.compile(model, backend="eager", fullgraph=True)(x), model(x)
        )


def test_the_graph_ends_before_logits_are_enlarged_or_compiled_gradients_would_be_zero():
    """Compiling takes a minute. In one graph of SegFormer, torch 2.13 computed gradients of 0."""
    with torch.no_grad():
        found = torch._dynamo.explain(network("segformer-b0"))(torch.randn(1, 4, 33, 40))
    network_alone, enlarging, _ = found.ops_per_graph
    assert torch.nn.functional.interpolate in network_alone  # in the head, and compiled rightly
    assert enlarging == [torch.nn.functional.interpolate]


@pytest.mark.parametrize("name", ["deeplabv3", "segformer-unet"])
def test_the_network_exports_with_any_number_of_images(name):
    any_number = ({0: torch.export.Dim.AUTO},)
    with torch.no_grad():
        exported = torch.export.export(
            network(name), (torch.randn(2, 4, 33, 40),), dynamic_shapes=any_number
        )
        x = torch.randn(3, 4, 33, 40)
        torch.testing.assert_close(exported.module()(x), network(name)(x))


def needed(name: str, batch: int) -> int:
    return training_bytes(lambda: unet.build(name, 4, 3), (batch, 4, 256, 256))


@pytest.mark.parametrize("name", NAMES)
def test_memory_of_a_training_step_is_known_beforehand(name):
    assert 2e8 < needed(name, 2) < 1e10


@pytest.mark.parametrize("name", ["deeplabv3", "segformer-b0"])
def test_memory_of_a_training_step_grows_with_the_batch(name):
    """One window alone, which may be a process's share, counts as one."""
    one, two, four = (needed(name, batch) for batch in (1, 2, 4))
    assert one < two < four < 2 * two
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_comes_back_from_a_checkpoint(name):
    options = {"dropout": 0.1, "head_dropout": 0.1, **({"base": 8} if name == "unet" else {})}
    model = {"name": name, "in_channels": 4, "num_classes": 3, "options": options}
    state = {
        "model": model,
        "weights": network(name).state_dict(),
        "classes": [{"code": str(n), "name": str(n), "color": "#000000"} for n in range(3)],
        "bands": ["1", "2", "3", "4"],
        "indices": [],
        "scaling": {"method": "image", "offset": [], "scale": []},
        "size": 32,
    }
    check(state)
    x = torch.randn(1, 4, 32, 40)
    with torch.no_grad():
        assert build_model(state)(x).equal(network(name)(x))
    with pytest.raises(ValueError, match=f"{name} has no option 'depth'"):
        check({**state, "model": {**model, "options": {"depth": 5}}})


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name):
    torch.manual_seed(0)
    model = build(name).train()
    model(torch.randn(2, 4, 64, 64)).square().mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), parameter_name
        # The bias of the keys adds the same number to the product of every key. Softmax cancels it.
        if not parameter_name.endswith("key.bias"):
            assert parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_dropout_changes_training_and_not_evaluation(name):
    x = torch.randn(2, 4, 32, 40)
    model = build(name, dropout=0.3, head_dropout=0.4)
    dropouts = {
        n: m.p for n, m in model.named_modules() if isinstance(m, nn.modules.dropout._DropoutNd)
    }
    rates = [p for n, p in dropouts.items() if not n.endswith("drop_path")]
    assert sorted(set(rates)) == [0.3, 0.4] and rates.count(0.4) == 1
    with torch.no_grad():
        assert model.eval()(x).equal(network(name)(x))  # which has other rates
        assert not model.train()(x).equal(model(x))


@pytest.mark.parametrize("name", ["resnet50-unet", "segformer-b0"])
def test_the_same_seed_makes_the_same_network_and_another_seed_another(name):
    def first_weights(seed):
        torch.manual_seed(seed)
        return next(unet.build(name, 4, 3).parameters())

    assert first_weights(5).equal(first_weights(5)) and not first_weights(5).equal(first_weights(6))


def lakes() -> tuple[torch.Tensor, torch.Tensor]:
    """Four windows (4, 4, 48, 48) of dark lakes in bright land, and which pixels are lake."""
    rows, cols = torch.arange(48.0)[:, None], torch.arange(48.0)
    places = [(16, 30, 12), (30, 20, 16), (25, 25, 10), (33, 33, 14)]
    targets = torch.stack(
        [torch.hypot(rows - row, cols - col) < radius for row, col, radius in places]
    )
    images = (1 - 2.0 * targets)[:, None] + 0.3 * torch.randn(
        4, 4, 48, 48, generator=torch.Generator().manual_seed(0)
    )
    return images, targets.to(torch.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_each_network_learns_four_windows_by_heart(name):
    images, targets = lakes()
    images = images.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(0)
    model = unet.build(name, 4, 2, **({"base": 8} if name == "unet" else {}))
    model = model.to(memory_format=torch.channels_last)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the batch is the whole data set
    # Fused: a step of all weights takes less than half the time.
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1e-4, fused=True)
    cpu, dice = torch.device("cpu"), [0.0]
    precision = pick_precision("auto", cpu, training=True)
    while len(dice) < 11 and dice[-1] <= 0.95:
        model.train()
        for _ in range(4):
            with autocast(cpu, precision):
                loss = dice_cross_entropy(model(images), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad(), autocast(cpu, precision):
            confusion = ConfusionMatrix(2)
            confusion.update(model.eval()(images).argmax(1), targets)
        dice.append(confusion.dice().mean().item())
    assert dice[-1] > 0.95, dice
