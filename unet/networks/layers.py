"""What every network states about itself, and the layers that transfer learning treats apart.

Transfer learning adapts the first layers to other bands and the last layer to other classes. A
trained encoder may learn at a rate of its own (Howard and Ruder: ULMFiT, 2018,
https://arxiv.org/abs/1801.06146), or not at all.

Read beside it: tests/unet/networks/test_layers.py.
"""

from collections.abc import Iterable, Sequence

from torch import nn


class Network(nn.Module):
    """The base class of all networks: (N, in_channels, H, W) -> logits (N, num_classes, H, W).

    Layers and modules are named as in `named_modules`.

    Attributes:
        stride: input pixels to one pixel of the deepest features, along each axis. A window that is
            shifted by a multiple of it gives shifted logits.
        first_layers: the layers that take the image. Their weights have a slice for each channel.
        last_layer: the layer that computes the logits. Its weight and bias have a row for each
            class.
        encoders: for each encoder, its modules.
    """

    stride: int
    first_layers: tuple[str, ...]
    last_layer: str
    encoders: tuple[tuple[str, ...], ...]

    @property
    def receptive_radius(self) -> int | None:
        """Largest distance in pixels from an input pixel to an output pixel that depends on it.

        None: there is no limit, because each output pixel depends on the whole input.
        """
        return None


def first_weights(model: Network) -> list[str]:
    """Name the weights (out, in_channels, ...) of the layers that take the image."""
    return [f"{layer}.weight" for layer in model.first_layers]


def last_weights(model: Network) -> list[str]:
    """Name the weight (num_classes, ...) and the bias (num_classes,) of the last layer."""
    return [f"{model.last_layer}.weight", f"{model.last_layer}.bias"]


def names_in(modules: Sequence[str], names: Iterable[str]) -> list[str]:
    """Select the names of the parameters and buffers that belong to one of the `modules`."""
    beginnings = tuple(f"{module}." for module in modules)
    return [name for name in names if name.startswith(beginnings)]


def encoder_modules(model: Network) -> list[str]:
    """Name the modules of all encoders of the network."""
    return [module for modules in model.encoders for module in modules]


def groups(
    model: Network, lr: float, encoder_lr: float | None = None, weight_decay: float = 0.0
) -> list[dict]:
    """Make the parameter groups for an optimizer.

    Returns:
        Two groups: all other parameters with `lr`, then those of the encoder with `encoder_lr`. If
        `encoder_lr` is None, one group with `lr`, in the order of the network.
    """
    common = {"weight_decay": weight_decay}
    if encoder_lr is None:
        return [{"params": list(model.parameters()), "lr": lr, **common}]
    named = dict(model.named_parameters())
    encoder = [named.pop(name) for name in names_in(encoder_modules(model), named)]
    others = list(named.values())
    return [{"params": others, "lr": lr, **common}, {"params": encoder, "lr": encoder_lr, **common}]


def freeze_encoder(model: Network) -> None:
    """Freeze the encoder: its weights, and the running statistics of its normalisation.

    Call it after each model.train(), because that call lets the normalisation update its statistics
    again.
    """
    modules = dict(model.named_modules())
    for name in encoder_modules(model):
        modules[name].requires_grad_(False)
        for module in modules[name].modules():
            # The class is not compared: on GPUs BatchNorm2d has become SyncBatchNorm.
            if getattr(module, "running_mean", None) is not None:
                module.eval()
