"""Weights and images computed from names and shapes, so that two libraries can have equal weights.

The rule for each tensor of a state dict: u is uniform in [-1, 1), from torch's generator. Its seed
is the CRC-32 of the published name of the tensor. The tensor is

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
    """Compute u of the rule, float32."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.rand(shape, generator=generator) * 2 - 1


def image(*shape: int) -> Tensor:
    """Make an input of this shape, uniform in [-1, 1)."""
    return uniform("image", shape)


def weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make a state dict of the same names and shapes, with weights by the rule. Integers are 0."""
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
    """Build a network with weights by the rule, in evaluation mode."""
    with torch.device("meta"):
        network = build()
    network.load_state_dict(weights(network.state_dict()), assign=True)
    return network.eval()


def spread(tensor: Tensor, count: int = 64) -> Tensor:
    """Select up to `count` values of a tensor, evenly spaced from the first to the last."""
    values = tensor.detach().flatten()
    return values[torch.linspace(0, len(values) - 1, min(count, len(values))).round().long()]
