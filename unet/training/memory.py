"""Check before the training whether a step fits into memory.

Without the check, the system would end the process with a message of its own, or none.

In training, autograd keeps tensors for the backward pass, such as the input of each layer. On the
`meta` device tensors have a shape but no values, so a forward pass needs no memory.
`saved_tensors_hooks` then shows which tensors autograd would keep. The estimate adds to them the
weights, their gradients, the two moments of Adam, and the gradients of the largest layer.

Read beside it: tests/unet/training/test_memory.py.
"""

import ctypes
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import unet
from unet.networks.layers import Network
from unet.training import processes
from unet.training.device import DeviceError, to_device
from unet.training.recompute import recompute

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

LIBRARIES = 1 << 28  # bytes that the convolution libraries allocate
MEMORY = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # constants of glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep freed memory, because the next batch needs as much again.

    By default glibc returns large blocks to the system at once. To get them back, the system must
    map each page and fill it with zeros, which takes up to a fifth of a training step on a CPU.
    Other C libraries are not changed.
    """
    try:
        glibc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    glibc.mallopt(M_MMAP_MAX, 0)
    glibc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def peak_bytes(device: torch.device) -> float:
    """Measure the peak memory so far: of the GPU, else of the process. NaN if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_bytes(device: torch.device) -> int | None:
    """Measure the memory that this process can still allocate on the device. None if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = []
    try:
        for line in MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
        most = int((CONTAINER / "memory.max").read_text())
        taken = int((CONTAINER / "memory.current").read_text())
        # The container counts cached pages of files as used, but the system frees them when memory
        # is needed. Prepared scenes are read through such pages.
        kinds = dict(line.split() for line in (CONTAINER / "memory.stat").read_text().splitlines())
        limits.append(most - taken + int(kinds["active_file"]) + int(kinds["inactive_file"]))
    except (OSError, ValueError, KeyError):  # not Linux, or no limit is set
        pass
    if not limits and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def training_bytes(
    build: Callable[[], nn.Module], shape: tuple[int, int, int, int], itemsize: int = 4
) -> int:
    """Estimate the memory that one training step needs at its peak, to about a tenth.

    Args:
        build: function that makes the network.
        shape: shape of the batch, (N, C, H, W).
        itemsize: bytes of an activation, 2 in mixed precision.
    """
    # One of several processes may have a single window of a batch. DeepLabV3 cannot train on one
    # window alone, so two are measured and the result is scaled.
    two = max(2, shape[0])
    with torch.device("meta"):
        model, batch = build().train(), torch.empty(two, *shape[1:])
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # kept alive, so that the address stays unique
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(batch)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    weight_storages = {p.untyped_storage()._cdata for p in model.parameters()}
    sizes = [storage.nbytes() for key, storage in kept.items() if key not in weight_storages]
    activations = sum(sizes) * itemsize // 4
    gradients = 3 * max(sizes, default=0) * itemsize // 4
    loss = 4 * output.numel() * 4  # logits in float32, log-softmax, and their gradients
    return LIBRARIES + 4 * weights + (activations + gradients + loss) * shape[0] // two


def check_memory(
    build: Callable[[], nn.Module],
    batch: int,
    channels: int,
    size: int,
    device: torch.device,
    precision: torch.dtype,
) -> None:
    """Check that a training step on `batch` windows of `channels` x `size` x `size` fits.

    Raises:
        DeviceError: it does not fit. The message has the largest batch that does.
    """
    needed = training_bytes(build, (batch, channels, size, size), precision.itemsize)
    free = free_bytes(device)
    if free is None or needed <= free:
        return
    fits = int(free / (needed / batch))
    advice = f"--batch {fits}" if fits else "a smaller --size or --base"
    raise DeviceError(
        f"--batch {batch}: a step on {batch} windows of {size} x {size} needs about "
        f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on {device}; try {advice}"
    )


def check_last_batch(
    build: Callable[[], nn.Module], windows: int, batch: int, channels: int, size: int
) -> None:
    """Check that batch normalisation gets at least two values a channel in the last batch.

    One value has no standard deviation. The last batch of an epoch may have few windows. The number
    of values depends on the network: the deepest level of a U-Net has one pixel for each 16 x 16 of
    a window, the pooling of DeepLabV3 one for the whole window. Therefore the network is run on a
    last batch of one window, on the `meta` device.

    Raises:
        DeviceError: the last batch is too small.
    """
    last = windows % batch or batch
    if last > 1:
        return  # two windows give two values, whatever the network

    def works(size: int) -> bool:
        try:
            with torch.device("meta"):
                build().train()(torch.empty(last, channels, size, size))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            return False
        return True

    if works(size):
        return
    larger = [side for side in (32, 64) if side > size and works(side)]
    advice = f", or a --size of at least {larger[0]}" if larger else ""
    raise DeviceError(
        f"--batch {batch}: the last of {windows} training windows would be a batch of {last}, "
        f"which is too small for this network's batch normalisation; give another --batch{advice}"
    )


def build_to_fit(
    network: dict, args, windows, device: torch.device, precision: torch.dtype
) -> Network:
    """Build the network of a training on its device, after checking that a training step fits.

    Args:
        network: name, in_channels, num_classes and options, from `unet.describe`.
        args: options of train.py; `batch` and `recompute` are read.
        windows: the training windows; their number, `channels` and `size` are read.
        device: device of the training.
        precision: type of the activations.

    Raises:
        DeviceError: a batch needs more memory than is free, or is too small for the network.
    """

    def build() -> Network:
        name, channels, classes, options = network.values()
        model = unet.build(name, channels, classes, **options)
        if args.recompute:
            recompute(model, unet.BLOCKS)
        return model

    share = -(-args.batch // processes.world())
    check_last_batch(build, len(windows), args.batch, windows.channels, windows.size)
    check_memory(build, share, windows.channels, windows.size, device, precision)
    return to_device(build(), device)
