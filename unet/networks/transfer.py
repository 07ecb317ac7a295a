"""Transfer learning: start a training from weights that another training has found.

An encoder that was trained on a million photographs needs fewer satellite images. There are two
sources of weights:

    load_weights   a published file. Tensors are found by name, without prefixes such as `module.`
                   (see weight_files.py)
    fine_tune      a checkpoint of train.py. Tensors, bands and classes are found by name

A tensor of the same name and shape is copied. The shapes of first and last layers depend on bands
and classes (see layers.py). Published files and the networks that they fit:

    torchvision    resnet50-*.pth             resnet50-unet, deeplabv3, segformer-resnet-unet
                   deeplabv3_resnet50_*.pth   deeplabv3; its encoder fits the two others
    torchgeo       resnet50_sentinel2_all_*.pth (moco, dino), and the checkpoints of SSL4EO-S12
                                              as resnet50-*.pth
    transformers   mit-b*, segformer-b* (.bin, .safetensors)
                                              segformer of that size; b0 fits both hybrids
    milesial       unet_*.pth                 unet with base 64

Most published first layers take red, green and blue. Adapted to C bands, each band gets the mean
of the three kernels times 3 / C. An image with equal bands then has the same features as the grey
image had before. With C = 3 the layer is copied, and the bands must be red, green and blue.

A published first layer of 13 channels takes the bands of a Sentinel-2 Level-1C image, in the order
SENTINEL2 (Wang and others: SSL4EO-S12, 2022, https://arxiv.org/abs/2211.07044). Bands are then
matched by name, also if the input has 13 channels:

    a band of both      takes the file's kernel. Of D dates, each takes 1 / D of it: Red@2 measures
                        what Red does, and equal dates then have the features of one image
    only of the file    is left out, as if it were 0. The authors treat a missing Cirrus so
    only of the input   keeps its initial random kernel: indices, bands of other sensors. It must
                        learn, and --encoder-lr 0 would leave it random

Without a common band the file is refused, because the deeper layers need the first one's features.

A last layer for another number of classes is not copied. Layers that our network does not have are
not copied either, for example ImageNet's classifier. Encoders of photographs were trained on images
with mean 0 and standard deviation 1. `--scaling standard` makes such images. Those of SSL4EO-S12
were trained on reflectances, clipped to 0 to 1. `--scaling minmax` has nearly this range, but
stretches each band to it. The normalisation adapts while the encoder learns.

Read beside it: tests/unet/networks/test_transfer.py and test_fine_tune.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from data.files import printable
from unet import checkpoint
from unet.checkpoint import CheckpointError
from unet.networks.layers import Network, first_weights, last_weights, names_in
from unet.networks.weight_files import plain, plain_names, read_weights

# B1 to B8, B8A, B9 to B12: ALL_BANDS_S2_L1C in ssl4eo_dataset.py of zhu-xlab/SSL4EO-S12, and
# _sentinel2_toa_bands in torchgeo/models/resnet.py. The names are those of data/bands.py.
SENTINEL2 = "Coastal Blue Green Red RE1 RE2 RE3 NIR RE4 WV Cirrus SWIR1 SWIR2".split()
COUNTER = "num_batches_tracked"  # missing in old files, and not needed
CHOOSE = "choose the --model that the weights belong to, and its --base if it has one"


def load(model: Network, path: str | Path, inputs: Sequence[str], classes: Sequence[str]) -> str:
    """Load weights from a file: a checkpoint of train.py, or published weights.

    Args:
        model: the network that receives the weights.
        path: path of the file.
        inputs: names of the channels of the network's input.
        classes: names of the network's classes.

    Returns:
        Lines to print: which tensors were copied.

    Raises:
        CheckpointError: the file cannot be read, or nothing in it fits.
    """
    path = checkpoint.find(path)
    try:
        source = checkpoint.load(path)
    except checkpoint.ForeignFileError:
        return f"{printable(path)}: {load_weights(model, path, inputs)}"
    return f"{printable(path)}:\n{fine_tune(source, model, inputs, classes)}"


# Published weights.


class Loaded(NamedTuple):
    """The names of the tensors that were copied, and of those that were not; lines about them."""

    copied: list[str]  # names in the network
    adapted: list[str]  # copied first layers, adapted to other bands, names in the network
    unused: list[str]  # names in the file
    initial: list[str]  # names in the network, which keep their initial random weights
    lines: list[str]  # which of two encoders, and which bands

    def __str__(self) -> str:
        kinds = zip(self._fields, self[:4])
        counts = [f"{len(names)} {kind}{_listed(names)}" for kind, names in kinds]
        return "\n".join(["tensors: " + ", ".join(counts), *self.lines])


def _listed(names: list[str]) -> str:
    """List three tensors or fewer in brackets. For more, list up to four of their modules."""
    if len(names) >= 4:
        names = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
    more = ", ..." if len(names) > 4 else ""
    return f" ({', '.join(names[:4])}{more})" if names else ""


def load_weights(model: Network, path: str | Path, inputs: Sequence[str] = ()) -> Loaded:
    """Load published weights from a file.

    Args:
        model: the network that receives the weights.
        path: path of the file.
        inputs: names of the channels of the network's input, for a file of Sentinel-2's bands.

    Raises:
        CheckpointError: the file cannot be read, belongs to another network or to another size of
            this network, or has no band of the input. The weights of `model` are then unchanged.
    """
    tensors, own = read_weights(Path(path)), model.state_dict()
    published, lines = plain_names(path, tensors)
    _check_encoders(model, path, set(published))
    first, last = first_weights(model), last_weights(model)
    result = Loaded([], [], list(tensors), [], lines)
    for name, tensor in own.items():
        theirs = tensors[published[plain(name)]] if plain(name) in published else None
        if theirs is None or (name in last and theirs.shape != tensor.shape):
            if not name.endswith(COUNTER):
                result.initial.append(name)
            continue
        free = 1 if name in first else None
        if _sides(theirs, free) != _sides(tensor, free):
            sizes = f"{plain(name)} is {tuple(theirs.shape)}, the network's {tuple(tensor.shape)}"
            raise CheckpointError(f"{path}: weights of another size: {sizes}; {CHOOSE}")
        if name in first and theirs.shape[1] == len(SENTINEL2):
            theirs, told = _by_name(path, theirs, tensor, inputs)
            result.adapted.append(name)
            result.lines.extend(told)
        elif theirs.shape != tensor.shape:
            theirs = _to_bands(theirs, tensor.shape[1])
            result.adapted.append(name)
        else:
            result.copied.append(name)
        result.unused.remove(published[plain(name)])
        own[name] = theirs
    model.load_state_dict(own)
    return result


def _to_bands(weight: Tensor, bands: int) -> Tensor:
    """Adapt a first layer's weight (out, C, h, w) to (out, bands, h, w)."""
    mean = weight.float().mean(1, keepdim=True)
    return mean.repeat(1, bands, 1, 1) * (weight.shape[1] / bands)


def _by_name(
    path: str | Path, weight: Tensor, new: Tensor, inputs: Sequence[str]
) -> tuple[Tensor, list[str]]:
    """Adapt a first layer's weight (out, 13, h, w), a slice for each of SENTINEL2, to `inputs`.

    Channels of other names keep the slices of `new`, the network's weight (out, channels, h, w).

    Returns:
        The adapted weight, and lines about the bands.

    Raises:
        CheckpointError: no channel has a name in SENTINEL2.
    """
    bands = [name.partition("@")[0] for name in inputs]  # without the date
    taken = [name for name, band in zip(inputs, bands) if band in SENTINEL2]
    if not taken:
        raise CheckpointError(
            f"{path}: its bands are {', '.join(SENTINEL2)}, and the input has none of them "
            f"({printable(', '.join(inputs))}); name the bands with --bands"
        )
    adapted = new.clone()
    for channel, band in enumerate(bands):
        if band in SENTINEL2:
            adapted[:, channel] = weight[:, SENTINEL2.index(band)] / bands.count(band)
    lines = {
        "of the file's 13 bands (SSL4EO-S12), by name": taken,
        "left out, not in the input": [band for band in SENTINEL2 if band not in bands],
        "begun anew, not in the file (random with --encoder-lr 0)": [
            name for name in inputs if name not in taken
        ],
    }
    told = [f"{what}: {printable(', '.join(names))}" for what, names in lines.items() if names]
    return adapted, told


def _check_encoders(model: Network, path: str | Path, published: set[str]) -> None:
    """Raise CheckpointError unless the file holds an encoder of the network.

    The file's encoder must have the same tensors as the network's encoder, and no others.

    Args:
        model: the network.
        path: path of the file, for the message.
        published: names of the tensors in the file, without prefixes.
    """
    any_encoder = False
    for modules in model.encoders:
        needed = {plain(name) for name in names_in(modules, model.state_dict())}
        parts = {name.split(".")[0] for name in needed}
        given = {name for name in published if name.split(".")[0] in parts}
        differing = sorted(name for name in needed ^ given if not name.endswith(COUNTER))
        if given and differing:
            what = "lacks" if differing[0] in needed else "has"
            raise CheckpointError(
                f"{path}: weights of another network: it {what} {differing[0]}; {CHOOSE}"
            )
        any_encoder |= bool(given)
    if not any_encoder:
        raise CheckpointError(f"{path}: holds no encoder of this network; {CHOOSE}")


# Fine-tuning.


class Names(NamedTuple):
    """The names of the slices of a tensor along an axis: bands or classes."""

    axis: int
    new: list[str]  # in the network that receives the weights
    old: list[str]  # in the checkpoint


def fine_tune(source: dict, model: Network, inputs: Sequence[str], classes: Sequence[str]) -> str:
    """Copy the weights of a checkpoint into `model`. The bands and classes of the two may differ.

    In the first and last layers, the slices of the bands and classes that both networks have are
    copied. The other slices keep their initial random weights.

    Args:
        source: a checkpoint, from `unet.checkpoint.load`.
        model: the network that receives the weights.
        inputs: names of the channels of the network's input.
        classes: names of the network's classes.

    Returns:
        Lines to print: which tensors were copied, copied in part, not copied, and not used.

    Raises:
        CheckpointError: no tensor fits.
    """
    old, new = source["weights"], model.state_dict()
    old_classes = [row["name"] for row in source["classes"] if not row.get("ignore")]
    channels = Names(1, list(inputs), source["bands"] + source["indices"])
    labels = Names(0, list(classes), list(dict.fromkeys(old_classes)))
    named = dict.fromkeys(first_weights(model), channels)
    named |= dict.fromkeys(last_weights(model), labels)
    copied, part, others = [], [], []
    for name, tensor in new.items():
        names = named.get(name)
        free = names.axis if names else None
        if name not in old or _sides(old[name], free) != _sides(tensor, free):
            others.append(name)
        elif names is None or names.new == names.old:
            tensor.copy_(old[name])
            copied.append(name)
        elif common := _copy_slices(tensor, old[name], names):
            part.append(f"{name} ({printable(', '.join(common))})")
        else:
            others.append(name)
    if all(new[name].ndim < 2 for name in copied):  # counters and biases can fit by chance
        raise CheckpointError(
            "--weights: no tensor fits; give the --model and --base that the checkpoint has"
        )
    unused = old.keys() - new.keys()
    lines = {
        "copied": f"{len(copied)} tensors of {len(new)}",
        "copied in part": "; ".join(part),
        "not copied (random, also with --encoder-lr 0)": ", ".join(others),
        "not used": f"{len(unused)} tensors of the checkpoint, a {source['model']['name']}"
        * bool(unused),
    }
    return "\n".join(f"{what}: {which}" for what, which in lines.items() if which)


def _sides(tensor: Tensor, free: int | None) -> list[int]:
    """Return the shape of a tensor without the axis `free`."""
    return [side for axis, side in enumerate(tensor.shape) if axis != free]


def _copy_slices(tensor: Tensor, old: Tensor, names: Names) -> list[str]:
    """Copy the slices whose names are in both networks, and return these names."""
    common = [name for name in names.new if name in names.old]
    if common:
        source = torch.tensor([names.old.index(name) for name in common])
        target = torch.tensor([names.new.index(name) for name in common], device=tensor.device)
        slices = old.index_select(names.axis, source).to(tensor)
        tensor.index_copy_(names.axis, target, slices)
    return common
