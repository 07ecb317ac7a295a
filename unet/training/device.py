"""The device on which the network runs, and the precision of its activations.

Mixed precision (Micikevicius and others 2018, https://arxiv.org/abs/1710.03740) computes
convolutions and matrix products in 16 bits. Weights, normalisation and losses keep 32 bits.
bfloat16 has the range of float32. float16 has a smaller range, so its gradients must be scaled.

Read beside it: tests/unet/training/test_device.py.
"""

import os
from typing import TypeVar

import torch
from torch import nn

from data.files import InputError

Model = TypeVar("Model", bound=nn.Module)

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


class DeviceError(InputError):
    """The machine cannot do what the options require."""


def pick_device(name: str) -> torch.device:
    """Pick the device by name. `auto` is a GPU if there is one, else the CPU.

    Raises:
        DeviceError: the machine has no such device.
    """
    if name == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else mps
    if name == "cuda":
        name = own_gpu()
    try:
        torch.empty(0, device=name).cpu()  # back to the CPU, which the meta device cannot do
    except (RuntimeError, AssertionError) as error:  # which one depends on the device
        reason = str(error).splitlines()[0]
        raise DeviceError(f"--device {name} is not available ({reason})") from None
    return torch.device(name)


def own_gpu() -> str:
    """Name the GPU of this process.

    torchrun numbers its processes on a machine: the first has "cuda:0", the next "cuda:1", and so
    on.
    """
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % max(1, torch.cuda.device_count())}"


def pick_precision(name: str, device: torch.device, training: bool = False) -> torch.dtype:
    """Pick the type of the activations.

    `auto` is bfloat16 on a GPU that supports it, float16 on another GPU, else float32. In training
    it is bfloat16 also on a CPU with instructions for it, where it halves the time of a step.
    """
    if name == "auto" and device.type == "cuda":
        name = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    elif name == "auto":
        features = torch.cpu.get_capabilities() if training and device.type == "cpu" else {}
        fast = features.get("avx512_bf16") or features.get("amx_bf16")
        name = "bfloat16" if fast else "float32"
    return getattr(torch, name)


def to_device(model: Model, device: torch.device) -> Model:
    """Move a network to the device, in the memory format channels_last.

    The channels of a pixel then lie side by side, and convolutions are about a third faster.
    """
    # torch's stub of Module.to has no overload with memory_format.
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Make the context of mixed precision. With float32 it does nothing."""
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)
