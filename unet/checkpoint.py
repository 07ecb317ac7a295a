"""Checkpoints: the one file that train and predict share.

A checkpoint holds tensors and plain Python values only and is loaded with `weights_only=True`, so
that a file from a stranger runs no code. It has all that a map needs: predict.py needs no option of
the training. The keys and their rules are in checkpoint_format.py. On the disk it is what
torch.save writes, a ZIP archive.

The test beside this file is tests/unet/test_checkpoint.py.
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
from unet.training.checkpoint_format import FORMAT, NEEDED, check, plain

FOREIGN, ADVICE = "not one of our checkpoints", "give a checkpoint written by train.py"


class CheckpointError(InputError):
    """A file that is no checkpoint we can use."""


class ForeignFileError(CheckpointError):
    """A file that train.py did not write."""


def save(path: str | Path, state: dict) -> None:
    """Write a checkpoint. At every moment `path` is the whole old file or the whole new one.

    Args:
        path: of the file.
        state: values by the keys of checkpoint_format.py, without "format".

    Raises:
        KeyError: for a missing key.
        TypeError: for a value that is not plain, with its place: a numpy number or a Path that
            slips in would stop the file from loading.
        OSError: if the file cannot be written.
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
            # On a full disk torch raises a RuntimeError about positions in the file.
            reason = error.__context__
            if isinstance(reason, OSError):
                raise OSError(reason.errno, reason.strerror) from error
            raise


def load(path: str | Path, to_resume: bool = False) -> dict:
    """Read a checkpoint and check all of its values.

    Args:
        path: of the file.
        to_resume: whether it must have what `train.py --resume` needs, too.

    Returns:
        A dict of plain values and tensors, the tensors on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, not a checkpoint, of a newer format, or
            has a value that is not what checkpoint_format.py says.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; {ADVICE}")
    state = _read(path)
    if not isinstance(state, dict) or type(state.get("format")) is not int or state["format"] < 1:
        weights = isinstance(state, dict) and any(
            isinstance(value, Tensor) for value in state.values()
        )
        what = "weights alone, without classes, bands and scaling" if weights else FOREIGN
        raise ForeignFileError(f"{path}: {what}; {ADVICE}")
    if state["format"] > FORMAT:
        found = f"format {state['format']}, and this program reads up to {FORMAT}"
        raise CheckpointError(f"{path}: written by a newer version ({found}); update this program")
    try:
        check(state, to_resume)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {textwrap.shorten(str(error), 300)}; {ADVICE}") from error
    return state


def find(path: str | Path | None, name: str = "best.pt") -> Path:
    """Find a checkpoint: the file, `name` in the folder, or for None best.pt of the newest run."""
    if path is None:
        return newest()
    return Path(path) / name if Path(path).is_dir() else Path(path)


def newest(runs: str | Path = "runs") -> Path:
    """Return best.pt of the run in a folder of runs that improved last.

    Raises CheckpointError if there is none.
    """
    found = sorted(Path(runs).glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        advice = "train one with train.py, or name one by --checkpoint"
        raise CheckpointError(f"{runs}/*/best.pt: no checkpoint; {advice}")
    return found[-1]


def build_model(checkpoint: dict) -> Network:
    """Build the trained network of a loaded checkpoint, on the CPU, in evaluation mode."""
    model = checkpoint["model"]
    network = build(model["name"], model["in_channels"], model["num_classes"], **model["options"])
    network.load_state_dict(checkpoint["weights"])
    return network.eval()


def _read(path: Path) -> object:
    """Read what torch.save has written, without running any code of it."""
    with open(path, "rb") as file:
        start = file.read(4)
    if start not in (b"PK\x03\x04", b""):
        raise ForeignFileError(f"{path}: {FOREIGN}; {ADVICE}")
    try:
        with zipfile.ZipFile(path) as parts:
            whole = parts.testzip() is None  # the checksums, which torch does not compare
    except Exception:  # damaged bytes can raise nearly anything, here and below
        whole = False
    if not whole:
        raise CheckpointError(f"{path}: damaged, or cut off before its end; take another copy")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        what = "holds objects that are not plain values, and was not loaded"
        raise CheckpointError(f"{path}: {what}; {ADVICE}") from error
    except Exception as error:
        raise ForeignFileError(f"{path}: {FOREIGN}; {ADVICE}") from error
