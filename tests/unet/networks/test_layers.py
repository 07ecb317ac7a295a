"""The layers that a network names, and its encoder in training: unet/networks/layers.py."""

import inspect

import pytest
import torch
from torch import nn

import unet
from unet.networks.layers import first_weights, freeze_encoder, groups, last_weights

PARTS = {
    "unet": {"inc", "down1", "down2", "down3", "down4"},
    "unet-3": {"inc", "down1", "down2"},
    "resnet50-unet": {"encoder"},
    "deeplabv3": {"backbone"},
    "segformer-b0": {"segformer"},
    "segformer-unet": {"encoder"},
    "segformer-resnet-unet": {"encoder", "resnet"},
}  # of each network the modules of its encoders


def on_meta(name, bands, classes):
    with torch.device("meta"):
        return unet.build(name, bands, classes)


@pytest.mark.parametrize("name", unet.MODELS)
def test_first_and_last_layers_are_those_whose_shape_depends_on_bands_and_classes(name):
    model = on_meta(name, 3, 2)
    usual, bands, classes = (
        {key: tensor.shape for key, tensor in network.state_dict().items()}
        for network in (model, on_meta(name, 5, 2), on_meta(name, 3, 7))
    )
    assert {key for key in usual if usual[key] != bands[key]} == set(first_weights(model))
    assert {key for key in usual if usual[key] != classes[key]} == set(last_weights(model))
    for key in first_weights(model):
        assert (usual[key][1], bands[key][1]) == (3, 5)
    for key in last_weights(model):
        assert (usual[key][0], classes[key][0]) == (2, 7)


@pytest.mark.parametrize("name", PARTS)
def test_each_encoder_is_made_of_modules_of_the_network_and_takes_the_image(name):
    model = on_meta(name, 3, 2)
    for modules in model.encoders:
        assert all(model.get_submodule(module) for module in modules)
        assert any(layer.startswith(f"{modules[0]}.") for layer in model.first_layers)


# An encoder with its own learning rate, and a frozen encoder.


@pytest.mark.parametrize("name", PARTS)
def test_the_encoder_has_a_learning_rate_of_its_own(name):
    model = on_meta(name, 4, 3)
    others, encoder = groups(model, 1e-3, 1e-4, 0.01)
    assert (others["lr"], encoder["lr"], others["weight_decay"], encoder["weight_decay"]) == (
        1e-3,
        1e-4,
        0.01,
        0.01,
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert {names[p].split(".")[0] for p in encoder["params"]} == PARTS[name]
    assert not {names[p].split(".")[0] for p in others["params"]} & PARTS[name]
    assert len(encoder["params"]) + len(others["params"]) == len(names)


def test_without_a_rate_of_its_own_there_is_one_group_as_ever():
    model = unet.build("unet", 4, 3, base=2)
    (group,) = groups(model, 1e-3, weight_decay=0.01)
    assert all(a is b for a, b in zip(group["params"], model.parameters(), strict=True))
    torch.optim.AdamW([group]).step()


def test_a_frozen_encoder_stays_as_it_is():
    torch.manual_seed(0)
    model = unet.build("unet", 4, 3, base=2)
    optimizer = torch.optim.AdamW(groups(model, 1e-2, 1e-2, 0.1))

    def step(frozen):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.train()
        if frozen:
            freeze_encoder(model)
        optimizer.zero_grad()
        model(torch.randn(2, 4, 32, 32)).square().mean().backward()
        optimizer.step()
        return {
            name.split(".")[0]
            for name, tensor in model.state_dict().items()
            if not tensor.equal(before[name])
        }

    decoder = {"up1", "up2", "up3", "up4", "outc"}
    assert step(frozen=False) == decoder | PARTS["unet"]
    # The moments of the optimizer do not change the weights either.
    assert step(frozen=True) == decoder


def counts(kind):
    """Whether a class of torch.nn can keep running statistics."""
    return "track_running_stats" in inspect.signature(kind).parameters


def test_a_frozen_encoder_keeps_the_statistics_of_every_kind_of_normalisation():
    """On GPUs each BatchNorm2d becomes a SyncBatchNorm, which is not a subclass of BatchNorm2d."""
    kinds = [
        kind
        for kind in vars(nn).values()
        if isinstance(kind, type) and issubclass(kind, nn.Module) and "Lazy" not in kind.__name__
    ]
    norms = [kind(2, track_running_stats=True) for kind in kinds if counts(kind)]
    assert {nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d} <= {type(norm) for norm in norms}
    model = unet.build("unet", 4, 3, base=2)
    model.down4.add_module("norms", nn.ModuleList(norms))
    model.up1.add_module("norm", nn.SyncBatchNorm(2))
    freeze_encoder(model.train())
    assert not any(norm.training for norm in norms) and model.up1.norm.training
    assert model.down4.maxpool_conv[1].double_conv[6].training  # dropout stays on


def test_the_frozen_encoder_of_a_network_on_gpus_keeps_its_statistics():
    """SyncBatchNorm runs only on GPUs, so the test reads its flag `training`."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(unet.build("unet", 4, 3, base=2))
    freeze_encoder(model.train())
    norms = {name: m for name, m in model.named_modules() if isinstance(m, nn.SyncBatchNorm)}
    learning = {name.split(".")[0] for name, norm in norms.items() if norm.training}
    assert len(norms) == 18 and learning == {"up1", "up2", "up3", "up4"}
