"""Temporary: goes into memory.py."""

import torch

import unet
from unet.training import processes
from unet.training.device import check_last_batch, check_memory
from unet.training.recompute import recompute as recomputed


def build_to_fit(
    network: dict, args, windows, device: torch.device, precision: torch.dtype
) -> torch.nn.Module:
    """Build the network of a training on its device, or refuse one whose step does not fit.

    Args:
        network: name, in_channels, num_classes and options, as a checkpoint keeps them.
        args: batch and recompute of train.py's options.
        windows: the training windows: their number, `channels` and `size`.

    Raises:
        DeviceError: a batch needs more memory than there is, or is too small for the network.
    """

    def build() -> torch.nn.Module:
        name, channels, classes, options = network.values()
        model = unet.build(name, channels, classes, **options)
        return recomputed(model, unet.BLOCKS) if args.recompute else model

    share = -(-args.batch // processes.world())
    check_last_batch(build, len(windows), args.batch, windows.channels, windows.size)
    check_memory(build, share, windows.channels, windows.size, device, precision)
    return build().to(device, memory_format=torch.channels_last)
