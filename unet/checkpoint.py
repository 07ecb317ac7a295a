"""Checkpoints: the files that train.py writes and predict.py reads.

A checkpoint holds only tensors and plain Python values. It is loaded with `weights_only=True`, so
that a file from a stranger runs no code. It describes the input and the classes too, so predict.py
needs none of the options of train.py. training/checkpoint_format.py has the keys and their rules.
The file is a ZIP archive, as torch.save writes it.

Read beside it: tests/unet/test_checkpoint.py.
"""

import textwrap
import zipfile
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from data.files import InputError, replacing, version
from unet import build
from unet.networks.layers import Network
from unet.training.checkpoint_format import FORMAT, NEEDED, check
from unet.training.rules import plain

FOREIGN, ADVICE = "not one of our checkpoints", "give a checkpoint written by train.py"


class CheckpointError(InputError):
    """A checkpoint is missing, damaged or of the wrong kind."""


class ForeignFileError(CheckpointError):
    """The file was not written by train.py."""


def save(path: str | Path, state: dict) -> None:
    """Write a checkpoint. At every moment `path` is either the whole old file or the whole new one.

    Args:
        path: path of the file.
        state: values by the keys of checkpoint_format.py. "format" and "version" are added.

    Raises:
        KeyError: a key is missing.
        TypeError: a value is not plain, for example a numpy number or a Path. Such a file would not
            load again. The message has the place of the value.
        OSError: the file cannot be written.
    """
    missing = [key for key in NEEDED if key not in state]
    if missing:
        raise KeyError(f"a checkpoint needs {', '.join(missing)}")
    state = {**state, "format": FORMAT, "version": version()}
    for key, value in state.items():
        try:
            plain(value, key)
        except ValueError as error:
            raise TypeError(str(error)) from None
    with replacing(path) as temporary, open(temporary, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # On a full disk torch raises a RuntimeError that does not name the cause.
            reason = error.__context__
            if isinstance(reason, OSError):
                raise OSError(reason.errno, reason.strerror) from error
            raise


def load(path: str | Path, to_resume: bool = False) -> dict:
    """Read a checkpoint and check all of its values.

    Args:
        path: path of the file.
        to_resume: whether the keys that `train.py --resume` needs must exist too.

    Returns:
        A dict of plain values and tensors, the tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint or of a newer format, or a
            value breaks its rule in checkpoint_format.py.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; {ADVICE}")
    state = _read(path)
    if not isinstance(state, dict) or type(state.get("format")) is not int or state["format"] < 1:
        values = state.values() if isinstance(state, dict) else ()
        weights = any(isinstance(value, Tensor) for value in values)
        what = "weights alone, without classes, bands and scaling" if weights else FOREIGN
        raise ForeignFileError(f"{path}: {what}; {ADVICE}")
    if state["format"] > FORMAT:
        formats = f"format {state['format']}, and this program reads up to {FORMAT}"
        raise CheckpointError(
            f"{path}: written by a newer version ({formats}); update this program"
        )
    try:
        check(state, to_resume)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {textwrap.shorten(str(error), 300)}; {ADVICE}") from error
    return state


def find(path: str | Path, name: str = "best.pt") -> Path:
    """Return a path; of a folder, the path of the file `name` in it.

    unet/training/newest.py finds a checkpoint where none is named.
    """
    return Path(path) / name if Path(path).is_dir() else Path(path)


def temperature(loaded: dict) -> float:
    """Return T of a loaded checkpoint: softmax(logits / T) are calibrated probabilities.

    See unet/evaluation/calibration.py. A checkpoint of an earlier version has 1.
    """
    return loaded.get("metrics", {}).get("temperature", 1.0)


def build_model(checkpoint: dict) -> Network:
    """Build the network of a loaded checkpoint with its weights, on the CPU, in evaluation mode."""
    model = checkpoint["model"]
    with torch.device("meta"):  # draws no random weights
        network = build(
            model["name"], model["in_channels"], model["num_classes"], **model["options"]
        )
    network.load_state_dict(checkpoint["weights"], assign=True)
    return network.float().eval()


def _read(path: Path) -> object:
    """Read a file of torch.save without running code from it."""
    with open(path, "rb") as file:
        start = file.read(4)
    if start not in (b"PK\x03\x04", b""):
        raise ForeignFileError(f"{path}: {FOREIGN}; {ADVICE}")
    try:
        with zipfile.ZipFile(path) as parts:
            sizes = [part.file_size for part in parts.infolist()]
            # torch.save compresses nothing. A part that is larger than the file would fill the
            # memory.
            whole = sum(sizes) <= path.stat().st_size
            # torch does not compare the checksums.
            whole = whole and parts.testzip() is None
    except Exception:  # damaged bytes raise errors of many kinds, here and below
        whole = False
    if not whole:
        raise CheckpointError(f"{path}: damaged, or cut off before its end; take another copy")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        what = "holds objects that are not plain values, and was not loaded"
        raise ForeignFileError(f"{path}: {what}; {ADVICE}") from error
    except Exception as error:
        raise ForeignFileError(f"{path}: {FOREIGN}; {ADVICE}") from error
