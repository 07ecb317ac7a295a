"""The network, and how well it did: everything that knows tensors, and knows no rasters.

Read `unet.py` first, then `losses.py` and `metrics.py`; `checkpoint.py` is what train and predict share.
"""

from torch import nn

from unet.unet import DoubleConv, UNet

MODELS = {"unet": UNet}
BLOCKS = (DoubleConv,)  # of which a network is made: what activation checkpointing computes again


def build(name: str, in_channels: int, num_classes: int, **options) -> nn.Module:
    """A network by name: (N, in_channels, H, W) -> logits (N, num_classes, H, W), for any H and W.

    `options` are the network's own keyword arguments, e.g. `base` and `dropout` of `UNet`.
    Raises ValueError for an unknown name, TypeError for an option that the network does not have.
    """
    if name not in MODELS:
        raise ValueError(f"no network is called {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name](in_channels, num_classes, **options)
