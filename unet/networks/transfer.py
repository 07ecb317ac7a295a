"""Transfer learning: begin with weights that another training has found.

An encoder that has seen a million photographs needs fewer satellite images. The weights come from

    load_weights   a published file, by the names of its tensors, whatever stands before them
                   (`module.`, `segformer.`, `encoder.`, `backbone.`, `resnet.`)
    fine_tune      a checkpoint of train.py, by the names of tensors, bands and classes

A tensor of the same name and shape is taken as it is. The shapes of first and last layers depend on
the data; layers.py finds these layers. Published files:

    torchvision    resnet50-*.pth             -> resnet50-unet, deeplabv3, segformer-resnet-unet
                   deeplabv3_resnet50_*.pth   -> deeplabv3; its encoder also to the two others
    transformers   mit-b*, segformer-b* (.bin, .safetensors)
                                              -> segformer of that size; b0 to both hybrids
    milesial       unet_*.pth                 -> unet with base 64

A first layer for red, green and blue is adapted to C bands: each band gets the mean of the three
kernels times 3 / C, so that an image that is the same in all bands gives what it gave in grey. With
C = 3 it is taken as it is, and expects the bands as red, green, blue. The last layer is left where
the classes are others, and so is what our networks do not have (ImageNet's classifier, an auxiliary
one). Published encoders have seen images less their mean, by their deviation: scaling by those
comes nearest.

The tests beside this file are tests/unet/networks/test_transfer.py and test_fine_tune.py.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from unet import checkpoint
from unet.checkpoint import CheckpointError
from unet.networks.layers import Network, first_weights, last_weights, names_in
from unet.networks.weight_files import read_weights

BEFORE = re.compile(r"^((module|segformer|encoder|backbone|resnet)\.)+")
COUNTER = "num_batches_tracked"  # which old files lack, and a batch normalisation does not use
CHOOSE = "choose the network that the weights are of"


def load(model: Network, path: str | Path, inputs: Sequence[str], classes: Sequence[str]) -> str:
    """Begin with the weights of a file: a checkpoint of train.py, or published weights.

    Args:
        model: the network to begin with.
        path: of the file.
        inputs: names of the channels of its input.
        classes: names of its classes.

    Returns:
        Lines that say what was taken.

    Raises:
        CheckpointError: if the file cannot be read, or nothing in it fits.
    """
    path = checkpoint.find(path)
    try:
        found = checkpoint.load(path)
    except checkpoint.ForeignFileError:
        return f"{path}: {load_weights(model, path)}"
    return f"{path}:\n{fine_tune(found, model, inputs, classes)}"


# Published weights.


class Loaded(NamedTuple):
    """What became of the tensors: `left` are names in the file, the others names in the network."""

    taken: list[str]
    adapted: list[str]  # first layers, to other bands
    left: list[str]
    fresh: list[str]  # as the network was made

    def __str__(self) -> str:
        kinds = [f"{len(names)} {kind}{_listed(names)}" for kind, names in self._asdict().items()]
        return "tensors: " + ", ".join(kinds)


def _listed(names: list[str]) -> str:
    """Write up to four names in brackets; where there are more, of the parts that they are in."""
    if len(names) >= 4:
        names = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
    more = ", ..." if len(names) > 4 else ""
    return f" ({', '.join(names[:4])}{more})" if names else ""


def load_weights(model: Network, path: str | Path) -> Loaded:
    """Load from a file of published weights what belongs into the network.

    Raises:
        CheckpointError: if the file cannot be read, or is of another network, or of another size of
            it. The network is then as it was.
    """
    tensors, own = read_weights(Path(path)), model.state_dict()
    found = {BEFORE.sub("", name): name for name in tensors}  # name without what stands before
    _check_encoders(model, path, set(found))
    first, last = first_weights(model), last_weights(model)
    result = Loaded([], [], list(tensors), [])
    for name, tensor in own.items():
        plain = BEFORE.sub("", name)
        theirs = tensors[found[plain]] if plain in found else None
        if theirs is None or (name in last and theirs.shape != tensor.shape):
            if not name.endswith(COUNTER):
                result.fresh.append(name)
            continue
        if name in first and theirs.ndim == 4 and theirs.shape[1] != tensor.shape[1]:
            theirs = _to_bands(theirs, tensor.shape[1])
            result.adapted.append(name)
        else:
            result.taken.append(name)
        if theirs.shape != tensor.shape:
            sizes = f"{plain} is {tuple(theirs.shape)}, the network's {tuple(tensor.shape)}"
            raise CheckpointError(f"{path}: weights of another size: {sizes}; {CHOOSE}")
        result.left.remove(found[plain])
        own[name] = theirs
    model.load_state_dict(own)
    return result


def _to_bands(weight: Tensor, bands: int) -> Tensor:
    """Adapt a first layer's weight (out, C, h, w) to (out, bands, h, w)."""
    mean = weight.float().mean(1, keepdim=True)
    return mean.repeat(1, bands, 1, 1) * (weight.shape[1] / bands)


def _check_encoders(model: Network, path: str | Path, found: set[str]) -> None:
    """Raise CheckpointError unless the file has an encoder of the network, whole and no larger.

    `found` are the file's names without what stands before them.
    """
    held = False
    for modules in model.encoders:
        needed = {BEFORE.sub("", name) for name in names_in(modules, model.state_dict())}
        parts = {name.split(".")[0] for name in needed}
        there = {name for name in found if name.split(".")[0] in parts}
        differing = sorted(name for name in needed ^ there if not name.endswith(COUNTER))
        if there and differing:
            what = "lacks" if differing[0] in needed else "has"
            raise CheckpointError(
                f"{path}: weights of another network: it {what} {differing[0]}; {CHOOSE}"
            )
        held |= bool(there)
    if not held:
        raise CheckpointError(f"{path}: holds no encoder of this network; {CHOOSE}")


# Fine-tuning.


class Names(NamedTuple):
    """Names of the slices of a tensor along an axis, in the new network and in the old one."""

    axis: int
    new: list[str]
    old: list[str]


def fine_tune(source: dict, model: Network, inputs: Sequence[str], classes: Sequence[str]) -> str:
    """Copy into `model` what fits from a checkpoint, perhaps of other bands and classes.

    First and last layers take the slices and rows of the channels and classes that both networks
    name. The rest of these layers stays as it was made.

    Args:
        source: a checkpoint, as `unet.checkpoint.load` returns it.
        model: the network to begin with.
        inputs: names of the channels of its input.
        classes: names of its classes.

    Returns:
        Lines that say what was taken, taken in part, and made anew.

    Raises:
        CheckpointError: if no tensor fits.
    """
    old, new = source["weights"], model.state_dict()
    old_classes = [row["name"] for row in source["classes"] if not row.get("ignore")]
    channels = Names(1, list(inputs), source["bands"] + source["indices"])
    labels = Names(0, list(classes), list(dict.fromkeys(old_classes)))
    named = dict.fromkeys(first_weights(model), channels)
    named |= dict.fromkeys(last_weights(model), labels)
    taken, part, anew = [], [], []
    for name, tensor in new.items():
        names = named.get(name)
        free = names.axis if names else None
        if name not in old or _sides(old[name], free) != _sides(tensor, free):
            anew.append(name)
        elif names is None or names.new == names.old:
            tensor.copy_(old[name])
            taken.append(name)
        elif common := _copy_slices(tensor, old[name], names):
            part.append(f"{name} ({', '.join(common)})")
        else:
            anew.append(name)
    if all(new[name].ndim < 2 for name in taken):  # counters and biases may fit by chance
        raise CheckpointError(
            "--weights: no tensor fits; give the --model and --base that the checkpoint has"
        )
    said = {
        "taken": f"{len(taken)} tensors of {len(new)}",
        "in part": "; ".join(part),
        "made anew": ", ".join(anew),
    }
    return "\n".join(f"{what}: {which}" for what, which in said.items() if which)


def _sides(tensor: Tensor, free: int | None) -> list[int]:
    """The shape without the axis `free`."""
    return [side for axis, side in enumerate(tensor.shape) if axis != free]


def _copy_slices(tensor: Tensor, old: Tensor, names: Names) -> list[str]:
    """Copy the slices whose names are in both networks; return these names."""
    common = [name for name in names.new if name in names.old]
    if common:
        to, fro = (
            torch.tensor([list(there).index(name) for name in common])
            for there in (names.new, names.old)
        )
        slices = old.index_select(names.axis, fro).to(tensor)
        tensor.index_copy_(names.axis, to.to(tensor.device), slices)
    return common
