"""Weights and images made from names and shapes alone, so that two libraries have the same without
a file.

The rule, for each tensor of a state dict by its published name: u, uniform in [-1, 1), from torch's
generator with the CRC-32 of the name as its seed; then

    running_var               1 + u / 2
    running_mean, bias        u / 10
    weight of one dimension   1 + u / 5                (normalisation)
    any other weight          u sqrt(3 / fan_in)       (fan_in = numel / shape[0])
"""

import math
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def uniform(name: str, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """u of the rule, float32."""
    return (
        torch.rand(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))) * 2
        - 1
    )


def image(*shape: int) -> Tensor:
    """An input of that shape, uniform in [-1, 1)."""
    return uniform("image", shape)


def weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the same names and shapes with weights by the rule; integers are 0."""
    made = {}
    for name, tensor in state_dict.items():
        if not tensor.is_floating_point():
            made[name] = torch.zeros_like(tensor, device="cpu")
            continue
        u = uniform(name, tensor.shape)
        if name.endswith("running_var"):
            made[name] = 1 + u / 2
        elif name.endswith(("running_mean", "bias")):
            made[name] = u / 10
        elif u.ndim == 1:
            made[name] = 1 + u / 5
        else:
            made[name] = u.mul_(math.sqrt(3 * len(u) / u.numel()))
    return made


def filled(build) -> nn.Module:
    """The network that `build` makes, with weights by the rule, in evaluation mode."""
    with torch.device("meta"):
        network = build()
    network.load_state_dict(weights(network.state_dict()), assign=True)
    return network.eval()


def spread(tensor: Tensor, count: int = 64) -> Tensor:
    """Up to `count` of a tensor's values, evenly spread over it from the first to the last."""
    values = tensor.detach().flatten()
    return values[torch.linspace(0, len(values) - 1, min(count, len(values))).round().long()]
