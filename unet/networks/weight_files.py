"""Reading of published weights: tensors by name, from .pth, .pt, .bin and .safetensors files.

A file from a stranger runs no code. torch.load is called with weights_only=True. A .safetensors
file holds only numbers (https://github.com/huggingface/safetensors):

    8 bytes    length of the header, little-endian
    header     JSON: {name: {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}}, offsets
               in bytes from the end of the header; and "__metadata__" with any text
    the rest   the numbers, row by row, little-endian

Read beside it: tests/unet/networks/test_weight_files.py.
"""

import json
import math
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
    tensors = {
        name: value
        for name, value in state.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(f"{path}: holds no weights by name; give the state_dict of a network")
    return tensors


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
