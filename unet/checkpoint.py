"""Checkpoints: the one format that train and predict share.

A checkpoint holds tensors and plain Python values only and is loaded with `weights_only=True`, so
that a file from a stranger runs no code. It has all that a map needs: predict never asks for the
training's options.

    format      int     number of this format, set by `save`
    model       dict    name, in_channels, num_classes, options: the arguments of `unet.build`
    weights     dict    state_dict of the network itself: no "module." or "_orig_mod." before the names
    classes     list    rows of the class table as plain values; class_table, str, is its name
    bands       list    names of the bands of the image, in their order
    indices     list    names of the spectral indices added after them
    scaling     dict    how bands and indices were scaled
    size        int     side of the windows, in pixels
    nodata      float   value of pixels without data, if one was given by hand
    resolution  float   side of a pixel in metres on the ground, or None without CRS
    dates       int     images of one place that are stacked into one input; 1 where it is missing
    -- up to here needed by predict; the rest by `train.py --resume` and for the record --
    settings    dict    every flag of the training
    epoch       int     finished epochs
    position    dict    where in the next one: batches and windows done, and the sum of their losses
    best        float   best validation macro Dice so far
    best_epoch  int     when that was
    history     list    the rows of log.csv
    metrics     dict    of the last validation; the confusion matrix as an int64 tensor
    optimizer   dict    state_dict
    scheduler   dict    state_dict
    scaler      dict    state_dict of the gradient scaler, empty but for float16
    random      dict    states of all random generators, of each process

On the disk it is what torch.save writes, a ZIP archive.

The test beside this file is tests/unet/test_checkpoint.py.
"""

import os
import textwrap
import zipfile
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from unet import build
from unet.training import processes
from unet.training.optimizer import Optimizer

FORMAT = 1
REQUIRED = ("model", "weights", "classes", "bands", "indices", "scaling", "size")
PLAIN = (type(None), bool, int, float, str, Tensor)
FOREIGN, ADVICE = "not one of our checkpoints", "give a checkpoint written by train.py"


class CheckpointError(ValueError):
    """A file that is no checkpoint we can use: one line, `file: what is wrong; what to do`."""


def save(path: str | Path, state: dict) -> None:
    """Writes `state`, with the keys above. At every moment `path` is the whole old file or the
    whole new one.

    Raises KeyError for a missing key, and TypeError, naming the place, for a value that is not
    plain: a numpy number or a Path that slips in stops the file from loading later. OSError if the
    file cannot be written.
    """
    missing = [key for key in REQUIRED if key not in state]
    if missing:
        raise KeyError(f"a checkpoint needs {', '.join(missing)}")
    state = {**state, "format": FORMAT}
    _check_plain(state, "checkpoint")
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could find the new name on an empty file
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # On a full disk torch raises a RuntimeError about positions, and the reason stands behind
        # it.
        reason = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(reason, OSError):
            raise OSError(reason.errno, reason.strerror, str(path)) from error
        raise


def load(path: str | Path) -> dict:
    """The checkpoint as a dict of plain values and tensors, the tensors on the CPU.

    Raises CheckpointError if the file is missing, damaged, not a checkpoint, of a newer format or
    incomplete.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; {ADVICE}")
    state = _read(path)
    if not isinstance(state, dict) or type(state.get("format")) is not int:
        weights = isinstance(state, dict) and any(
            isinstance(value, Tensor) for value in state.values()
        )
        what = "weights alone, without classes, bands and scaling" if weights else FOREIGN
        raise CheckpointError(f"{path}: {what}; {ADVICE}")
    if state["format"] > FORMAT:
        found = f"format {state['format']}, and this program reads up to {FORMAT}"
        raise CheckpointError(f"{path}: written by a newer version ({found}); update this program")
    missing = [key for key in REQUIRED if key not in state]
    if missing:
        raise CheckpointError(f"{path}: {', '.join(missing)} missing; {ADVICE}")
    return state


def newest(runs: str | Path = "runs") -> Path:
    """Return best.pt of the run in a folder of runs that improved last.

    Raises CheckpointError if there is none.
    """
    found = sorted(Path(runs).glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        advice = "train one with train.py, or name one by --checkpoint"
        raise CheckpointError(f"{runs}/*/best.pt: no checkpoint; {advice}")
    return found[-1]


def build_model(checkpoint: dict) -> nn.Module:
    """The trained network of a loaded checkpoint, on the CPU, in evaluation mode."""
    try:
        model = checkpoint["model"]
        network = build(
            model["name"], model["in_channels"], model["num_classes"], **model["options"]
        )
        network.load_state_dict(checkpoint["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = textwrap.shorten(str(error), 300)
        raise CheckpointError(
            f"checkpoint: its network cannot be built: {reason}; train again"
        ) from error
    return network.eval()


def same(one: object, other: object) -> bool:
    """Whether two plain values are equal; NaN, which may stand for no-data, here is equal to
    itself.
    """
    return repr(one) == repr(other)


def resume(path: Path, past: dict, model: nn.Module, optimizer: Optimizer, data: dict) -> dict:
    """Put a run back to where the checkpoint at `path` has left it; returns what of it stands under
    the keys of `past`.

    `data` are the entries on the data as they are now. Raises CheckpointError where they are other
    data, or where the best checkpoint of the run is gone.
    """
    state = load(path)
    changed = [name for name, value in data.items() if not same(state.get(name), value)]
    if changed:
        raise CheckpointError(
            f"{path}: the data have changed since ({', '.join(changed)}); begin another run"
        )
    if not path.with_name("best.pt").exists() and state["best_epoch"] < state["epoch"]:
        raise CheckpointError(f"{path}: best.pt is not beside it; give the folder of a whole run")
    device = next(model.parameters()).device
    model.load_state_dict(state["weights"])
    optimizer.load_state_dict(state)
    processes.set_random_states(state["random"], device)
    return {name: state[name] for name in (*past, "metrics") if name in state}


def _read(path: Path):
    """What torch.save has put into the file."""
    with open(path, "rb") as file:
        start = file.read(4)
    if start not in (b"PK\x03\x04", b""):
        raise CheckpointError(f"{path}: {FOREIGN}; {ADVICE}")
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
        raise CheckpointError(f"{path}: {FOREIGN}; {ADVICE}") from error


def _check_plain(value, name: str) -> None:
    """Raises TypeError unless `value` is plain throughout."""
    kind = type(value)  # compared exactly, as a numpy.float64 is a float, too
    if kind in (dict, OrderedDict):
        for key, item in value.items():
            if type(key) not in (str, int):
                raise TypeError(f"{name} has the key {key!r}; in a checkpoint keys are str or int")
            _check_plain(item, f"{name}[{key!r}]")
    elif kind in (list, tuple):
        for number, item in enumerate(value):
            _check_plain(item, f"{name}[{number}]")
    elif kind not in PLAIN:
        raise TypeError(
            f"{name} is a {kind.__module__}.{kind.__qualname__}, not a plain value or tensor"
        )
