"""Weights that others have trained, and how to go on training with them.

An encoder that has seen a million photographs needs fewer satellite images. `load_weights` takes
published files by the names of their tensors, whatever stands before them (`module.`, `segformer.`,
`encoder.`, `backbone.`, `resnet.`):

    torchvision     resnet50-*.pth                   -> resnet50-unet, deeplabv3, segformer-resnet-unet
                    deeplabv3_resnet50_*.pth         -> deeplabv3; its encoder also to the two others
    transformers    mit-b*, segformer-b* (.bin, .safetensors) -> segformer of that size; b0 to both hybrids
    milesial        unet_*.pth                       -> unet with base 64
    train.py        best.pt                          -> the network it is of

Not every tensor fits as it is. The first convolution of an encoder for red, green and blue is
adapted to C bands: each band gets the mean of the three kernels times 3 / C, so that an image that
is the same in all bands gives what it gave in grey. With C = 3 it is taken as it is, and expects
the bands as red, green, blue. The last convolution is left where the classes are others, and so is
what our networks do not have (ImageNet's classifier, an auxiliary one). Published encoders have
seen images less their mean, by their deviation: scaling by those comes nearest.

Files are read by torch.load(weights_only=True), which runs no code of theirs; .safetensors by the
few lines below. The learning rate of its own for a trained encoder is from Howard and Ruder:
ULMFiT, 2018 (https://arxiv.org/abs/1801.06146).

The test beside this file is tests/unet/networks/test_weights.py.
"""

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unet.checkpoint import CheckpointError

BEFORE = re.compile(r"^((module|segformer|encoder|backbone|resnet)\.)+")
ENCODER = re.compile(
    r"^(?P<before>encoder\.|backbone\.|resnet\.|segformer\.encoder\.|(?=inc\.|down\d\.))"
)
FIRST = ("conv1.weight", "patch_embeddings.0.proj.weight", "inc.double_conv.0.weight")
LAST = re.compile(r"(outc\.conv|classifier\.4|decode_head\.classifier|head)\.(weight|bias)")
COUNTER = "num_batches_tracked"  # which old files lack, and a batch normalisation does not use
CHOOSE = "choose the network that the weights are of"
DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
    },
    "BOOL": torch.bool,
}


class Loaded(NamedTuple):
    """What became of the tensors: `left` are names in the file, the others names in the network."""

    taken: list[str]
    adapted: list[str]  # the first convolution, to other bands
    left: list[str]
    fresh: list[str]  # as the network was made

    def __str__(self) -> str:
        said = []
        for kind, names in self._asdict().items():
            parts = (
                names
                if len(names) < 4
                else list(dict.fromkeys(".".join(n.split(".")[:2]) for n in names))
            )
            said.append(
                f"{len(names)} {kind}"
                + f" ({', '.join(parts[:4])}{', ...' * (len(parts) > 4)})" * bool(names)
            )
        return "tensors: " + ", ".join(said)


def load_weights(model: nn.Module, path: str | Path) -> Loaded:
    """Loads from a file of published weights what belongs into the network; see above for files and
    rules.

    Raises CheckpointError if the file cannot be read, or is of another network, or of another size
    of it; the network is then as it was.
    """
    tensors, own = read(Path(path)), model.state_dict()
    found = {
        BEFORE.sub("", name): name for name in tensors
    }  # without what stands before: as the file has it
    check_encoders(path, set(found), list(own))
    result = Loaded([], [], list(tensors), [])
    for name, tensor in own.items():
        plain = BEFORE.sub("", name)
        theirs = tensors.get(found.get(plain))
        if theirs is None or (theirs.shape != tensor.shape and LAST.fullmatch(plain)):
            if not name.endswith(COUNTER):
                result.fresh.append(name)
            continue
        if plain in FIRST and theirs.ndim == 4 and theirs.shape[1] != tensor.shape[1]:
            bands = tensor.shape[1]
            theirs = theirs.float().mean(1, keepdim=True).repeat(1, bands, 1, 1) * (
                theirs.shape[1] / bands
            )
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


def check_encoders(path: str | Path, found: set[str], own: list[str]) -> None:
    """Raises CheckpointError unless an encoder of the network is in the file, whole and with
    nothing more.
    """
    encoders = {}  # two in a hybrid
    for name in own:
        if match := ENCODER.match(name):
            encoders.setdefault(match["before"], set()).add(BEFORE.sub("", name))
    held = False
    for needed in encoders.values():
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


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises CheckpointError if it is missing, damaged, or has none."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a file of weights, .pth or .safetensors")
    if path.suffix == ".safetensors":
        return safetensors(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can raise nearly anything
        raise CheckpointError(
            f"{path}: damaged, or holds more than tensors and plain values, and was not loaded; take another copy"
        ) from error
    found = found if isinstance(found, dict) else {}
    for key in ("weights", "state_dict", "model"):  # ours, and what training scripts write
        if isinstance(found.get(key), dict):
            found = found[key]
            break
    tensors = {
        name: value
        for name, value in found.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(f"{path}: holds no weights by name; give the state_dict of a network")
    return tensors


def safetensors(path: Path) -> dict[str, Tensor]:
    """A .safetensors file: 8 bytes with the length of the header, little-endian; the header, JSON;
    the numbers.

    The header tells of each tensor dtype, shape, and the offsets of its first and behind its last
    byte, counted from the header's end (https://github.com/huggingface/safetensors). Raises
    CheckpointError where it does not hold together.
    """
    try:
        data = torch.from_file(
            str(path), size=path.stat().st_size, dtype=torch.uint8
        )  # mapped, not read
        start = 8 + int.from_bytes(data[:8].numpy().tobytes(), "little")
        header, data = json.loads(data[8:start].numpy().tobytes()), data[start:]
        found = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype, shape, (begin, end) = (
                DTYPES[entry["dtype"]],
                entry["shape"],
                entry["data_offsets"],
            )
            if not 0 <= begin <= end <= len(data) or min(shape, default=0) < 0:
                raise ValueError(f"{name} lies outside the file")
            if end - begin != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{name} has {end - begin} bytes for the shape {shape}")
            found[name] = data[begin:end].clone().view(dtype).reshape(shape)
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: no whole .safetensors file ({error}); take another copy"
        ) from error


def groups(
    model: nn.Module, lr: float, encoder_lr: float | None = None, weight_decay: float = 0.0
) -> list[dict]:
    """Parameter groups for an optimizer: the encoder with `encoder_lr`, and before it all else with
    `lr`.

    One group in the network's own order if `encoder_lr` is None.
    """
    common = {"weight_decay": weight_decay}
    if encoder_lr is None:
        return [{"params": list(model.parameters()), "lr": lr, **common}]
    named = list(model.named_parameters())
    encoder = [parameter for name, parameter in named if ENCODER.match(name)]
    others = [parameter for name, parameter in named if not ENCODER.match(name)]
    return [{"params": others, "lr": lr, **common}, {"params": encoder, "lr": encoder_lr, **common}]


def freeze_encoder(model: nn.Module, frozen: bool = True) -> None:
    """Keeps the encoder as it is, its batch normalisations' means and variances too, or lets it
    learn again.

    To be called after each model.train(), which sets the normalisations counting again.
    """
    for name, parameter in model.named_parameters():
        if ENCODER.match(name):
            parameter.requires_grad_(not frozen)
    for name, module in model.named_modules():
        if frozen and ENCODER.match(name) and isinstance(module, nn.BatchNorm2d):
            module.eval()
