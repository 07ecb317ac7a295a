"""The newest run, whose checkpoint predict.py uses if it is not given one.

A run that has not finished is passed over: it is being trained, or it was stopped, and its network
may be far from its best. A run has finished if its last.pt is of the last epoch, or if `--patience`
has run out. A folder with best.pt alone was put there by hand, and counts as finished.

Read beside it: tests/unet/training/test_newest.py.
"""

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from data.files import ROOT, command, is_locked
from unet.checkpoint import CheckpointError, find

UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


class Chosen(NamedTuple):
    """The checkpoint of a prediction."""

    path: Path
    words: str  # for the user: the path, and of which run it is
    remarks: list[str]  # which runs were passed over, and why


class _Run(NamedTuple):
    """A run with a best.pt."""

    folder: Path
    time: float  # when a checkpoint of it was written last
    state: str  # what keeps it from being finished; empty: nothing


def choose(path: Path | None) -> Chosen:
    """Choose the checkpoint of a prediction.

    Args:
        path: What the user named, a file or the folder of a run. None: the newest finished run in
            the folder `runs` here or, if that holds no run, beside predict.py. Where none has
            finished, the newest one.

    Raises:
        CheckpointError: There is no run.
    """
    if path is not None:
        return Chosen(find(path), str(find(path)), [])
    places = [Path("runs")]
    if Path.cwd() != ROOT.resolve():
        places.append(ROOT / "runs")
    for place in places:
        # Of two runs with the same time, which may be copies, the later name is newer.
        runs = sorted(_runs(place), key=lambda run: (run.time, run.folder.name), reverse=True)
        if runs:
            return _newest(runs)
    looked = " and ".join(str(place / "*" / "best.pt") for place in places)
    begun = [folder for place in places for folder in _folders(place) if _is_trained(folder)]
    wait = f"wait for the first epoch of {begun[0]}, or " if begun else ""
    train = command("train.py")
    raise CheckpointError(
        f"{looked}: no checkpoint; {wait}train a network ({train}), or name one by --checkpoint"
    )


def _newest(runs: list[_Run]) -> Chosen:
    """Choose among runs, the newest first: the first finished one, else the first."""
    run = next((run for run in runs if not run.state), runs[0])
    path, age = run.folder / "best.pt", _age(time.time() - run.time)
    kind = "newest run" if run.state else "newest finished run"
    remarks = []
    if run.state:
        remarks.append(f"{run.folder}: has not finished, and no other run has: {run.state}")
    elif passed := runs[: runs.index(run)]:
        more = f" and {len(passed) - 1} more" if len(passed) > 1 else ""
        folder, state = passed[0].folder, passed[0].state
        remarks.append(
            f"{folder}{more}: newer, but not finished, and passed over: {state}; to use it, add "
            f"--checkpoint {folder}"
        )
    return Chosen(path, f"{path} ({kind}, {age} old)", remarks)


def _folders(place: Path) -> Iterable[Path]:
    """Return the folders in a folder."""
    return [path for path in place.glob("*") if path.is_dir()]


def _runs(place: Path) -> Iterable[_Run]:
    """Find the runs with a best.pt in a folder."""
    for folder in _folders(place):
        if (folder / "best.pt").is_file():
            files = [folder / name for name in ("best.pt", "last.pt")]
            last = max(file.stat().st_mtime for file in files if file.is_file())
            yield _Run(folder, last, _state(folder))


def _state(folder: Path) -> str:
    """Say what keeps a run from being finished; nothing for a finished one."""
    path = folder / "last.pt"
    if not path.exists():
        return "it is in its first epoch" if _is_trained(folder) else ""
    try:
        # With mmap, the tensors of the file are not read.
        last = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        epoch, settings = last["epoch"], last["settings"]
        epochs, patience = settings["epochs"], settings.get("patience", math.inf)
        waited = epoch - last.get("waiting_since", last["best_epoch"])
        if epoch >= epochs or waited >= patience:
            return ""
    except Exception:  # damaged bytes raise errors of many kinds
        return "its last.pt cannot be read"
    if _is_trained(folder):
        return f"it is being trained, {epoch} of {epochs} epochs are done"
    resume = command("train.py", "--resume", folder)
    return f"it was stopped after {epoch} of {epochs} epochs; to go on: {resume}"


def _is_trained(folder: Path) -> bool:
    """Return whether a training writes into a folder now."""
    try:
        return is_locked(folder)
    except OSError:
        return False


def _age(seconds: float) -> str:
    """Return a duration in its largest unit.

    >>> _age(7300), _age(1)
    ('2 hours', '1 second')
    """
    seconds = max(0, seconds)
    unit, size = next(((unit, size) for unit, size in UNITS if seconds >= size), UNITS[-1])
    count = int(seconds // size)
    return f"{count} {unit}{'s' * (count != 1)}"
