"""The folder of a training, its files, and how a stopped training is resumed.

A run is a training with its folder. The folder holds

    best.pt, last.pt   checkpoints, see unet/checkpoint.py
    log.csv            one row for each epoch
    train.log          all lines that were printed
    report.html        see unet/evaluation/report.py; samples.json has its pictures
    alignment.csv      see data/output/alignment.py
    split.csv          which windows trained, see unet/training/split_record.py
    not_finite.txt     the windows of a batch whose loss was not finite

On a CPU, a resumed run has the same results, to the last bit, as a run that was never stopped. For
this, a checkpoint holds all that a step changes: weights, running means of the gradients, learning
rate, gradient scaler (for float16), random states of all processes, and the place in the epoch.
The order of the windows and their augmentation depend only on seed and epoch.

Read beside it: tests/unet/training/test_run.py and tests/test_resume.py.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import torch

from data.files import BYTES, InputError, command, lock, printable, replacing, write_csv
from unet import checkpoint
from unet.checkpoint import CheckpointError
from unet.evaluation import report, samples_file, scores
from unet.metrics import ConfusionMatrix
from unet.training import processes, split_record
from unet.training.monitor import MONITORS
from unet.training.optimizer import change_epochs
from unet.training.passes import Prediction, start_of_epoch
from unet.training.resume import require_form, require_same_data

RESULTS = "best.pt last.pt log.csv report.html samples.json".split()  # of finished epochs
FILES = [*RESULTS, "alignment.csv", "split.csv", "train.log", "not_finite.txt"]


class Run:
    """The folder and the progress of a training. A context manager, which locks the folder.

    Attributes:
        folder, files: the folder, which `begin` makes, and the files that the run may write.
        epoch: number of finished epochs.
        monitor: the figure by which epochs are compared.
        best, best_epoch: best value of this figure in a validation, and its epoch.
        waiting_since: epoch from which `patience` counts: the best epoch, or the epoch at which the
            run was resumed with more epochs.
        history: rows of log.csv.
        position: position in the next epoch, see `passes.start_of_epoch`.
        metrics: results of the last validation, from `passes.evaluate`.

    Args:
        folder: the folder; None for runs/<date-time>.
        resume: the checkpoint to resume, if any.
        monitor: a name of MONITORS.

    Raises:
        InputError: the folder holds a run that is not resumed, or another process writes into it.
    """

    def __init__(
        self, folder: Path | None = None, resume: Path | None = None, monitor: str = "macro_dice"
    ):
        self.named, self.monitor = folder is not None, MONITORS[monitor]
        folder = folder or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
        self.folder, self.files = folder, [folder / name for name in FILES]
        self.printed: list[str] = []
        self._lock, self._claimed, self._resumes = ExitStack(), False, resume is not None
        self._begun = False
        self._require_no_other_run()
        if (path := self.folder / "train.log").exists():
            self.printed = path.read_text("utf-8", "surrogateescape").splitlines()
        self.best = self.monitor.worst
        self.epoch, self.best_epoch, self.waiting_since = 0, 0, 0
        self.position = start_of_epoch()
        self.history: list[dict] = []
        self.metrics: dict = {}

    def __enter__(self) -> "Run":
        if self.folder.is_dir() and processes.rank() == 0:
            self._claim()
        return self

    def __exit__(self, *error) -> None:
        self._lock.close()

    def _claim(self) -> None:
        """Lock the folder, once. Raises InputError if another process has the lock."""
        if self._claimed:
            return
        self._claimed = True
        try:
            self._lock.enter_context(lock(self.folder))
        except BlockingIOError:
            raise InputError(
                f"{self.folder}: another training writes into it; wait, or name another --output"
            ) from None
        except OSError:
            pass  # a file system without locks

    def _require_no_other_run(self) -> None:
        """Raise InputError if the folder holds results of a run that this one does not continue."""
        found = [path for path in self.files[: len(RESULTS)] if path.exists()]
        if found and not self._resumes:
            whole = self.folder / "last.pt" in found
            resume = f", or continue the run: {command('train.py', '--resume', self.folder)}"
            what = f"{self.folder}: holds a run already" + f" ({found[0].name})" * (not whole)
            raise InputError(f"{what}; name another folder by --output{resume * whole}")

    @property
    def cache(self) -> Path:
        """The folder of prepared scenes: beside the run, so that runs share them."""
        return self.folder.parent / "cache"

    def log(self, *lines: str) -> None:
        """Add lines to train.log, as they are printed. They wait in memory until `begin`."""
        self.printed += [printable(line, keep=BYTES) for line in lines]
        if self._begun:
            with replacing(self.folder / "train.log") as temporary:
                # Names of files keep their bytes, also where they are not UTF-8.
                temporary.write_text("\n".join(self.printed) + "\n", "utf-8", "surrogateescape")

    def begin(self, constants: dict, parts: dict, device: torch.device) -> None:
        """Make the folder, and set the further entries of the checkpoints.

        Args:
            constants: entries that do not change during the run.
            parts: objects with `state_dict` and `load_state_dict`, by the name of their entry:
                weights, optimizer, scheduler, scaler.
            device: device whose random state is saved.
        """
        if processes.rank() == 0:
            # Two runs that begin in the same second must not share a folder.
            self.folder.mkdir(parents=True, exist_ok=self.named)
            self._claim()
            self._require_no_other_run()  # another process may have finished one meanwhile
        self._begun = True
        self.constants, self.device, self.parts = constants, device, parts
        self.began, self.done = time.monotonic(), self.epoch
        if not self._resumes:
            split_record.write(self.folder / "split.csv", constants)

    def save(self, *names: str) -> None:
        """Write checkpoints with these names, then log.csv. All processes must call it."""
        progress = "epoch best best_epoch waiting_since history position metrics".split()
        state = self.constants | {name: getattr(self, name) for name in progress}
        state |= {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"random": processes.random_states(self.device)}
        if processes.rank() == 0:
            for name in names:
                checkpoint.save(self.folder / name, state)
            self._write_rows()

    def _write_rows(self) -> None:
        """Write log.csv as a whole, so that it never ends with half a row."""
        if self.history:
            rows = (row.values() for row in self.history)
            write_csv(self.folder / "log.csv", [self.history[0], *rows])

    def has_ended(self, epochs: int, patience: int) -> bool:
        """Whether all epochs are finished, or none was better for `patience` epochs."""
        return self.epoch >= epochs or self.epoch - self.waiting_since >= patience

    def resume(self, path: Path, epochs: int, patience: int) -> str:
        """Restore the state of the run from a checkpoint.

        Args:
            path: a checkpoint in the folder of the run.
            epochs: number of epochs. The schedule of the learning rate ends there. If there are
                more than before, `patience` counts from the present epoch.
            patience: number of epochs without a better one after which the run ends.

        Returns:
            A line to print: where the run continues, or that it has ended.

        Raises:
            CheckpointError: the data have changed, or best.pt is missing.
        """
        state = checkpoint.load(path, to_resume=True)
        require_same_data(path, state, self.constants)
        split_record.write(self.folder / "split.csv", self.constants)
        if not path.with_name("best.pt").exists() and state["best_epoch"] < state["epoch"]:
            raise CheckpointError(f"{path}: best.pt is not beside it; give a whole run's folder")
        try:
            self._load_parts(state)
        except (ValueError, TypeError, LookupError, RuntimeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: its states are not those of this run ({error}); begin another run from "
                f"its weights, by --weights {path}"
            ) from error
        change_epochs(self.parts["scheduler"], self.parts["optimizer"], epochs)
        for name in ("epoch", "best", "best_epoch", "history", "position"):
            setattr(self, name, state[name])
        self.waiting_since = state.get("waiting_since", self.best_epoch)
        if epochs > state["settings"]["epochs"]:
            self.waiting_since = self.epoch
        self.metrics, self.done = state.get("metrics", {}), self.epoch
        if self.has_ended(epochs, patience):
            return (
                f"the run in {self.folder} has ended after epoch {self.epoch} of {epochs}; give "
                "more --epochs to train longer"
            )
        return f"resumed after epoch {self.epoch} and {self.position['batch']} batches"

    def _load_parts(self, state: dict) -> None:
        """Load the states of all parts, and the random states.

        The exceptions of torch for a state of another form are of many kinds. Some forms are loaded
        without an exception, and fail later; `require_form` refuses these.
        """
        require_form(state, self.parts)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        processes.set_random_states(state["random"], self.device)

    def progress(self, share: float, epochs: int, doing: str) -> str:
        """Return a line about the present epoch, of which a `share` (0 to 1) is finished.

        It has the time that is left, at the mean speed since the start or the resume.
        """
        done = self.epoch + share
        seconds = (time.monotonic() - self.began) / (done - self.done) * (epochs - done)
        left = timedelta(seconds=round(seconds))
        return f"epoch {self.epoch + 1}/{epochs} {share:4.0%}  {doing}  time left {left}"

    def end_epoch(self, row: dict, metrics: dict) -> bool:
        """Finish an epoch: update the state of the run.

        Args:
            row: row of log.csv, from `epoch_row`, with times and memory.
            metrics: results of the validation, for the checkpoint.

        Returns:
            Whether the epoch is the best so far.
        """
        better = self.monitor.better(row[self.monitor.column], self.best)
        if better:
            self.best, self.best_epoch = row[self.monitor.column], row["epoch"]
            self.waiting_since = self.best_epoch
        self.epoch, self.position = row["epoch"], start_of_epoch()
        # The rows of an earlier version, which this run continues, may lack columns.
        self.history = [{name: one.get(name, math.nan) for name in row} for one in self.history]
        self.history.append(row)
        self.metrics = metrics
        return better

    def load_best(self) -> dict:
        """Load best.pt. Raises CheckpointError if it is not of this run."""
        path = self.folder / "best.pt"
        best = checkpoint.load(path, to_resume=True)
        require_same_data(path, best, self.constants)
        if "confusion" not in best.get("metrics", {}):
            raise CheckpointError(f"{path}: has no metrics; begin another run")
        return best

    def write_report(
        self,
        best: dict,
        classes: Sequence[tuple[str, tuple[int, int, int]]],
        found: Prediction,
        groups: Mapping[str, Sequence[int]],
        gallery: Mapping,
        command: str,
    ) -> None:
        """Write report.html about the best epoch, samples.json with its pictures, and log.csv.

        Args:
            best: best.pt, loaded.
            classes: (name, (red, green, blue)) of each class.
            found: results of the validation windows, for T = 1 and the temperature of `best`.
            groups: {name: labels} of the groups of classes whose shares are drawn.
            gallery: "samples", "legend" and "alignment", as in `report.html`.
            command: command to run next.
        """
        self._write_rows()
        confusion = ConfusionMatrix(len(classes), best["metrics"]["confusion"])
        title = f"{best['model']['name']}, {len(classes)} classes"
        page = scores.page(title, classes, found.matrices, groups, best["settings"])
        summary = {
            "best epoch": f"{best['epoch']} of {len(self.history)}, by {self.monitor.text}",
            self.monitor.text: f"{best['best']:.4f}",
            "macro Dice": f"{confusion.macro_dice():.4f}",
            "weighted Dice": f"{confusion.weighted_dice():.4f}",
            "mean IoU": f"{confusion.mean_iou():.4f}",
            "accuracy": f"{confusion.accuracy():.4f}",
            "minutes": f"{sum(row['seconds'] for row in self.history) / 60:.1f}",
            "checkpoint": str(self.folder / "best.pt"),
        }
        page |= {"summary": [*summary.items()], "command": command, "matrix": confusion.matrix}
        page |= {**gallery, "history": self.history, "best_epoch": best["epoch"]}
        page["calibration"] = found.calibration
        samples_file.write(self.folder / "samples.json", gallery)
        report.write(self.folder / "report.html", page)
