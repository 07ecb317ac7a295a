"""Where the network runs, in which precision, and whether a training step will fit there.

Training keeps what the backward pass will need: each layer's input, and more. On the `meta` device
a network runs on shapes alone, so that a forward pass costs nothing, and autograd tells through
`saved_tensors_hooks` which tensors it would keep. Added to them: weights, gradients and two
moments of Adam, and room for the largest layer's gradients on their way back.

Read beside it: tests/unet/training/test_device.py.
"""

import ctypes
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from data.files import InputError

try:
    import resource
except ImportError:  # Windows
    resource = None

LIBRARIES = 1 << 28  # what the convolution libraries take for themselves
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
MEMORY = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


class DeviceError(InputError):
    """The machine cannot do what an option names."""


def pick_device(name: str) -> torch.device:
    """The device by name; `auto` takes a GPU if there is one. Raises DeviceError where it is not to
    be had.
    """
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    if name == "cuda":
        name = own_gpu()
    try:
        torch.empty(
            0, device=name
        ).cpu()  # back, because the meta device takes tensors and gives none
    except (RuntimeError, AssertionError) as error:  # torch raises either, by the kind of device
        raise DeviceError(
            f"--device {name} is not to be had here ({str(error).splitlines()[0]})"
        ) from None
    return torch.device(name)


def own_gpu() -> str:
    """The GPU of this process: of several that torchrun starts on a machine, each has the next,
    "cuda:0" the first.
    """
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % max(1, torch.cuda.device_count())}"


def pick_precision(name: str, device: torch.device, training: bool = False) -> torch.dtype:
    """Type of the activations. `auto` is bfloat16 on a GPU that has it, float16 on another, else
    float32.

    In training `auto` is bfloat16 also on a CPU that multiplies in it, where it halves the time of
    a step.
    """
    if name == "auto" and device.type == "cuda":
        name = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    elif name == "auto":
        able = torch.cpu.get_capabilities() if training and device.type == "cpu" else {}
        name = "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"
    return getattr(torch, name)


def keep_memory() -> None:
    """Let the C library keep memory that is freed, for the next batch needs as much again.

    glibc gives large pieces back to the system at once, and to have each page of them mapped and
    zeroed again takes up to a fifth of a training step on a CPU. Other C libraries are left as they
    are.
    """
    try:
        glibc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    for parameter, value in ((-4, 0), (-1, 2**31 - 1)):  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
        glibc.mallopt(parameter, value)


def peak_bytes(device: torch.device) -> float:
    """Most memory taken so far: of the GPU, else of the process; NaN where the system does not
    tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Mixed precision where `precision` is a half type, else nothing."""
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def training_bytes(
    build: Callable[[], nn.Module], shape: tuple[int, int, int, int], itemsize: int = 4
) -> int:
    """Bytes that one training step on a batch of `shape` (N, C, H, W) needs at its peak, to about a
    tenth.

    `build` makes the network; `itemsize` is that of the activations, 2 under autocast.
    """
    # The share of a batch may be a single window, which DeepLabV3's normalisation takes only
    # together with others'.
    two = max(2, shape[0])
    with torch.device("meta"):
        model, batch = build().train(), torch.empty(two, *shape[1:])
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, so that no second storage takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(batch)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    weight_storages = {p.untyped_storage()._cdata for p in model.parameters()}
    sizes = [storage.nbytes() for key, storage in kept.items() if key not in weight_storages]
    activations = sum(sizes) * itemsize // 4
    passing = 3 * max(sizes, default=0) * itemsize // 4
    loss = 4 * output.numel() * 4  # logits in float32, log-softmax, and their gradients
    return LIBRARIES + 4 * weights + (activations + passing + loss) * shape[0] // two


def free_bytes(device: torch.device) -> int | None:
    """Bytes that a process may still take on the device, or None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = []
    try:
        for line in MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
        most, taken = (
            int((CONTAINER / f"memory.{name}").read_text()) for name in ("max", "current")
        )
        # Pages of files that were read count as taken, and are given up for the asking: our scenes
        # are such pages.
        kinds = dict(line.split() for line in (CONTAINER / "memory.stat").read_text().splitlines())
        limits.append(most - taken + int(kinds["active_file"]) + int(kinds["inactive_file"]))
    except (OSError, ValueError, KeyError):  # not Linux, or no limit is set
        pass
    if not limits and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def check_last_batch(
    build: Callable[[], nn.Module], windows: int, batch: int, channels: int, size: int
) -> None:
    """Raise DeviceError where batch normalisation would get a single value, which has no deviation.

    That depends on the network: a U-Net's deepest level sees a pixel for 16 x 16 of the window's,
    DeepLabV3's pooling one for the whole window, SegFormer normalises at a quarter of the size. So
    it is tried on the `meta` device, with the last batch of an epoch, which may be small.
    """
    last = windows % batch or batch

    def works(size: int) -> bool:
        try:
            with torch.device("meta"):
                build().train()(torch.empty(last, channels, size, size))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            return False
        return True

    if not works(size):
        larger = next(
            (
                f", or a --size of at least {side}"
                for side in (32, 64)
                if side > size and works(side)
            ),
            "",
        )
        raise DeviceError(
            f"--batch {batch}: the last of {windows} training windows would be a batch of {last}, which is too small "
            f"for this network's batch normalisation; give another --batch{larger}"
        )


def check_memory(
    build: Callable[[], nn.Module],
    batch: int,
    channels: int,
    size: int,
    device: torch.device,
    precision: torch.dtype,
) -> None:
    """Raise DeviceError for a training batch that will not fit, before the system refuses in its
    own way.

    `batch` windows of `channels` x `size` x `size`, activations in `precision`.
    """
    needed = training_bytes(build, (batch, channels, size, size), precision.itemsize)
    free = free_bytes(device)
    if free is not None and needed > free:
        fits = int(free / (needed / batch))
        raise DeviceError(
            f"--batch {batch}: a step on {batch} windows of {size} x {size} needs about {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free on {device}; try "
            + (f"--batch {fits}" if fits else "a smaller --size or --base")
        )
