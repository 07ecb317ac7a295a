"""Reading of published weights: tensors by name, from .pth, .pt, .bin and .safetensors files.

A file from a stranger runs no code. torch.load is called with weights_only=True. Beside tensors and
plain values it then takes argparse.Namespace, which holds the options of a training script and has
no code of its own. A .safetensors file holds only numbers
(https://github.com/huggingface/safetensors):

    8 bytes    length of the header, little-endian
    header     JSON: {name: {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}}, offsets
               in bytes from the end of the header; and "__metadata__" with any text
    the rest   the numbers, row by row, little-endian

Training scripts put words before the names of the layers (PREFIXES). The file of a self-supervised
training can hold two encoders: one was trained, and the other is its running mean over the steps.
The one that the authors evaluate is taken:

    MoCo v2    encoder_q, not encoder_k           He and others 2019
                                                  (https://arxiv.org/abs/1911.05722)
    MoCo v3    base_encoder, not momentum_encoder Chen, Xie, He 2021
                                                  (https://arxiv.org/abs/2104.02057)
    DINO       teacher, not student               Caron and others 2021
                                                  (https://arxiv.org/abs/2104.14294)

Read beside it: tests/unet/networks/test_weight_files.py.
"""

import argparse
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from unet.checkpoint import CheckpointError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

TWINS = {"encoder_q": "encoder_k", "base_encoder": "momentum_encoder", "teacher": "student"}
WORDS = ["module", "segformer", "encoder", "backbone", "resnet", *TWINS, *TWINS.values()]
PREFIXES = re.compile(rf"^(({'|'.join(WORDS)})\.)*")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name.

    Raises:
        CheckpointError: the file is missing or damaged, or has no tensors by name.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a file of weights, .pth or .safetensors")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise errors of many kinds
        raise CheckpointError(
            f"{path}: damaged, or holds more than tensors and plain values, and was not loaded; "
            "take another copy"
        ) from error
    state = state if isinstance(state, dict) else {}
    for key in ("weights", "state_dict", "model"):  # in our checkpoints, and in others
        if isinstance(state.get(key), dict):
            state = state[key]
            break
    for key in ("student", "teacher"):  # in DINO's checkpoints: two networks, each under its name
        if isinstance(state.get(key), dict):
            state |= {f"{key}.{name}": value for name, value in state.pop(key).items()}
    tensors = {
        name: value
        for name, value in state.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(f"{path}: holds no weights by name; give the state_dict of a network")
    return tensors


def plain(name: str) -> str:
    """Remove the prefixes from the name of a tensor.

    >>> plain("module.encoder_q.layer1.0.conv1.weight")
    'layer1.0.conv1.weight'
    """
    return PREFIXES.sub("", name)


def plain_names(path: str | Path, names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Find the tensors of a network by their names without prefixes. Of TWINS one is taken.

    Args:
        path: path of the file, for the message.
        names: names of the tensors in the file.

    Returns:
        {name without prefixes: name in the file}, and a line for each encoder that is not taken.

    Raises:
        CheckpointError: two tensors have the same name without prefixes.
    """
    words = {name: name.removesuffix(plain(name)).split(".") for name in names}
    lines = []
    for taken, left in TWINS.items():
        if {taken, left} <= {word for before in words.values() for word in before}:
            words = {name: before for name, before in words.items() if left not in before}
            lines.append(f"the file has two encoders: {taken} is taken, {left} is not")
    found: dict[str, str] = {}
    for name in words:
        other = found.setdefault(plain(name), name)
        if other != name:
            raise CheckpointError(
                f"{path}: holds two networks ({other}, {name}); give a file with one of them"
            )
    return found, lines


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file.

    Raises:
        CheckpointError: the file is not a whole .safetensors file.
    """
    try:
        # The file is mapped into memory, so that only the copied parts are read.
        data = torch.from_file(str(path), size=path.stat().st_size, dtype=torch.uint8)
        start = 8 + int.from_bytes(data[:8].numpy().tobytes(), "little")
        header, numbers = json.loads(data[8:start].numpy().tobytes()), data[start:]
        header.pop("__metadata__", None)
        return {name: _tensor(name, entry, numbers) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: no whole .safetensors file ({error}); take another copy"
        ) from error


def _tensor(name: str, entry: dict, numbers: Tensor) -> Tensor:
    """Copy one tensor out of the bytes of the file, as its entry in the header describes it."""
    dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(numbers) or min(shape, default=0) < 0:
        raise ValueError(f"{name} lies outside the file")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has {end - begin} bytes for the shape {shape}")
    return numbers[begin:end].clone().view(dtype).reshape(shape)
