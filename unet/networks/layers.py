"""The layers that transfer learning treats apart: the first, the last, and those of the encoders.

Each network names them, as `named_modules` does:

    first_layers   the layers that take the image: a slice of the weight for each channel
    last_layer     the layer that gives the logits: a row of the weight, and a bias, for each class
    encoders       for each encoder, its modules

A trained encoder may learn at a rate of its own (Howard and Ruder: ULMFiT, 2018,
https://arxiv.org/abs/1801.06146), or not at all.

The test beside this file is tests/unet/networks/test_layers.py.
"""

from collections.abc import Iterable, Sequence

from torch import nn


def first_weights(model: nn.Module) -> list[str]:
    """Name the weights (out, in_channels, ...) of the layers that take the image."""
    return [f"{layer}.weight" for layer in model.first_layers]


def last_weights(model: nn.Module) -> list[str]:
    """Name the weight (num_classes, ...) and the bias (num_classes,) of the last layer."""
    return [f"{model.last_layer}.weight", f"{model.last_layer}.bias"]


def names_in(modules: Sequence[str], names: Iterable[str]) -> list[str]:
    """Select the names of parameters and buffers that belong to one of the `modules`."""
    beginnings = tuple(f"{module}." for module in modules)
    return [name for name in names if name.startswith(beginnings)]


def encoder_modules(model: nn.Module) -> list[str]:
    """Name the modules of all encoders of the network."""
    return [module for modules in model.encoders for module in modules]


def groups(
    model: nn.Module, lr: float, encoder_lr: float | None = None, weight_decay: float = 0.0
) -> list[dict]:
    """Make the parameter groups for an optimizer.

    Returns:
        All else with `lr` and then the encoder with `encoder_lr`; one group in the network's own
        order if `encoder_lr` is None.
    """
    common = {"weight_decay": weight_decay}
    if encoder_lr is None:
        return [{"params": list(model.parameters()), "lr": lr, **common}]
    named = dict(model.named_parameters())
    encoder = [named.pop(name) for name in names_in(encoder_modules(model), named)]
    others = list(named.values())
    return [{"params": others, "lr": lr, **common}, {"params": encoder, "lr": encoder_lr, **common}]


def freeze_encoder(model: nn.Module) -> None:
    """Freeze the encoder, the running statistics of its normalisation included.

    Call it after each model.train(), which lets the normalisation update its statistics again.
    """
    modules = dict(model.named_modules())
    for name in encoder_modules(model):
        modules[name].requires_grad_(False)
        for module in modules[name].modules():
            # Whatever the class: on GPUs BatchNorm2d has become SyncBatchNorm.
            if getattr(module, "running_mean", None) is not None:
                module.eval()
