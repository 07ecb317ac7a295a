"""The networks, their training and their evaluation. This package works on tensors, not on files.

Read `unet.py` first, then `losses.py` and `metrics.py`. `checkpoint.py` is the file format that
train.py writes and predict.py reads. The other networks, in the order in which to read them, are
`networks/shallow.py`, `resnet.py`, `deeplab.py`, `attention.py`, `segformer.py` and `hybrids.py`.
`networks/transfer.py` loads weights that were trained elsewhere.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial

from unet.networks.attention import Block
from unet.networks.deeplab import DeepLabV3
from unet.networks.hybrids import SegFormerResNetUNet, SegFormerUNet
from unet.networks.layers import Network
from unet.networks.resnet import Bottleneck, ResNetUNet
from unet.networks.segformer import SIZES, SegFormer
from unet.networks.shallow import ShallowUNet
from unet.unet import DoubleConv, UNet

# Each takes in_channels, num_classes and the options of its network.
MODELS: dict[str, Callable[..., Network]] = {
    "unet": UNet,
    "unet-3": ShallowUNet,
    "resnet50-unet": ResNetUNet,
    "deeplabv3": DeepLabV3,
    **{f"segformer-{size}": partial(SegFormer, size) for size in SIZES},
    "segformer-unet": SegFormerUNet,
    "segformer-resnet-unet": SegFormerResNetUNet,
}
BLOCKS = (DoubleConv, Bottleneck, Block)  # the blocks that training/recompute.py computes twice


def options(name: str) -> list[str]:
    """List the names of the options of a network.

    All networks have `dropout` and `head_dropout`. `unet` also has `base` and `bilinear`, and
    `unet-3` has `base`.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in MODELS:
        raise ValueError(f"no network is called {name!r}; there are: {', '.join(MODELS)}")
    return list(inspect.signature(MODELS[name]).parameters)[2:]


def build(name: str, in_channels: int, num_classes: int, **chosen) -> Network:
    """Build a network by name.

    Args:
        name: one of MODELS.
        in_channels: channels of the N images (N, in_channels, H, W), for any H and W.
        num_classes: channels of the logits (scores of the classes) (N, num_classes, H, W).
        chosen: values for some of the network's `options`.

    Raises:
        ValueError: for an unknown name or option.
    """
    known = options(name)
    unknown = [option for option in chosen if option not in known]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it has: {', '.join(known)}")
    return MODELS[name](in_channels, num_classes, **chosen)


def describe(name: str, in_channels: int, num_classes: int, chosen: Mapping) -> dict:
    """Describe a network by plain values, which a checkpoint keeps.

    Args:
        name: one of MODELS.
        in_channels: channels of the image.
        num_classes: channels of the logits.
        chosen: options. Those that the network does not have are left out.

    Returns:
        name, in_channels, num_classes and options: the arguments of `build`.
    """
    taken = {option: chosen[option] for option in options(name) if option in chosen}
    return {
        "name": name,
        "in_channels": in_channels,
        "num_classes": num_classes,
        "options": taken,
    }
