"""What a training leaves in its folder, and how it continues where it stopped.

A run is the folder of a training:

    best.pt, last.pt   checkpoints, see unet/checkpoint.py
    log.csv            one row for each epoch; train.log keeps what was printed
    report.html        see unet/evaluation/report.py
    not_finite.txt     windows of a loss that was not finite

A resumed run is the run that was never stopped, to the last bit on a CPU. For that a checkpoint
keeps every state that a step changes: weights, moments of the optimizer, schedule, gradient scaler,
the random states of all processes, and the position in the epoch. The order of the windows and
their augmentation depend on seed and epoch alone.

The tests beside this file are tests/unet/training/test_run.py and tests/test_resume.py.
"""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import torch

from data.files import InputError, replacing, write_csv
from unet import checkpoint
from unet.checkpoint import CheckpointError
from unet.evaluation import report, scores
from unet.metrics import ConfusionMatrix
from unet.training import processes
from unet.training.optimizer import change_epochs
from unet.training.passes import start_of_epoch
from unet.training.resume import same


class Run:
    """The folder of a training, and how far the training has come.

    Attributes:
        folder: where everything is written: the one named, else runs/<date-time>. `begin` makes it.
        epoch: number of finished epochs.
        best, best_epoch: the best validation macro Dice, and its epoch.
        waiting_since: the epoch from which `patience` counts: the best one, or that of a resume
            with more epochs.
        history: the rows of log.csv.
        position: in the epoch that comes next, see `passes.start_of_epoch`.

    Raises:
        InputError: the folder holds a run, and it is not the one to resume.
    """

    def __init__(self, folder: Path | None = None, resume: Path | None = None):
        self.named = folder is not None
        folder = folder or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
        if (folder / "last.pt").exists() and not resume:
            raise InputError(
                f"{folder}: holds a run already; name another folder by --output, or continue the "
                f"run by --resume {folder}"
            )
        self.folder, self.printed = folder, []
        if resume and self._log.exists():
            self.printed = self._log.read_text(encoding="utf-8").splitlines()
        self.epoch, self.best, self.best_epoch, self.waiting_since = 0, -math.inf, 0, 0
        self.position = start_of_epoch()
        self.history: list[dict] = []
        self.metrics: dict = {}

    @property
    def cache(self) -> Path:
        """The folder of prepared scenes: beside the run, so that runs share them."""
        return self.folder.parent / "cache"

    @property
    def _log(self) -> Path:
        return self.folder / "train.log"

    def log(self, text: str) -> None:
        """Add a line to train.log. Lines wait in memory until the folder exists."""
        self.printed.append(text)
        if self.folder.is_dir():
            with replacing(self._log) as temporary:
                temporary.write_text("\n".join(self.printed) + "\n", encoding="utf-8")

    def begin(self, constants: dict, parts: dict, device: torch.device) -> None:
        """Make the folder, and set what the checkpoints hold besides the training's position.

        Args:
            constants: entries that do not change during the run.
            parts: objects with `state_dict` and `load_state_dict`, by the name of their entry:
                weights, optimizer, scheduler, scaler.
            device: whose random state is kept.
        """
        if processes.rank() == 0:
            # Two runs that begin in the same second do not share a folder.
            self.folder.mkdir(parents=True, exist_ok=self.named)
        self.constants, self.device, self.parts = constants, device, parts
        self.began, self.done = time.monotonic(), self.epoch

    def save(self, *names: str) -> None:
        """Write the checkpoints of these names. All processes call it, the first one writes."""
        progress = "epoch best best_epoch waiting_since history position metrics".split()
        state = self.constants | {name: getattr(self, name) for name in progress}
        state |= {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"random": processes.random_states(self.device)}
        for name in names if processes.rank() == 0 else ():
            checkpoint.save(self.folder / name, state)

    def has_ended(self, epochs: int, patience: int) -> bool:
        """Say whether all epochs are done, or `patience` of them without a better macro Dice."""
        return self.epoch >= epochs or self.epoch - self.waiting_since >= patience

    def resume(self, path: Path, epochs: int, patience: int) -> str:
        """Put the run back to where the checkpoint at `path` left it.

        Args:
            path: a checkpoint in the run's folder.
            epochs: at which the schedule ends. If there are more than before, `patience` counts
                from now on.

        Returns:
            Where the run continues, or that it has ended, as a line to print.

        Raises:
            CheckpointError: the data have changed, or best.pt is gone.
        """
        state = checkpoint.load(path, to_resume=True)
        changed = [
            name
            for name, value in self.constants.items()
            if name != "settings" and not same(state.get(name), value)
        ]
        if changed:
            raise CheckpointError(
                f"{path}: the data have changed since ({', '.join(changed)}); begin another run"
            )
        if not path.with_name("best.pt").exists() and state["best_epoch"] < state["epoch"]:
            raise CheckpointError(f"{path}: best.pt is not beside it; give a whole run's folder")
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        change_epochs(self.parts["scheduler"], self.parts["optimizer"], epochs)
        processes.set_random_states(state["random"], self.device)
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

    def progress(self, share: float, epochs: int, doing: str) -> str:
        """Return a line about the epoch of which a `share` is done, with the time left for all.

        The time is extrapolated from the speed since the start or the resume.
        """
        done = self.epoch + share
        seconds = (time.monotonic() - self.began) / (done - self.done) * (epochs - done)
        left = timedelta(seconds=round(seconds))
        return f"epoch {self.epoch + 1}/{epochs} {share:4.0%}  {doing}  time left {left}"

    def line(self, row: Mapping, epochs: int) -> str:
        """Return a line about a finished epoch, to print."""
        return (
            f"epoch {row['epoch']:3}/{epochs}  loss {row['train_loss']:.4f}  validation loss "
            f"{row['val_loss']:.4f}  macro Dice {row['macro_dice']:.4f}  weighted Dice "
            f"{row['weighted_dice']:.4f}  {row['seconds']:.1f} s"
        )

    def end_epoch(self, row: dict, confusion: ConfusionMatrix) -> bool:
        """Count a finished epoch, whose row goes to log.csv.

        Returns:
            Whether its macro Dice is the best so far.
        """
        better = row["macro_dice"] > self.best
        if better:
            self.best, self.best_epoch = row["macro_dice"], row["epoch"]
            self.waiting_since = self.best_epoch
        self.epoch, self.position = row["epoch"], start_of_epoch()
        self.history = [*self.history, row]
        self.metrics = {"confusion": confusion.matrix.cpu()}
        if processes.rank() == 0:
            # Written whole each time, so that it never ends in half a row.
            write_csv(self.folder / "log.csv", [row.keys(), *(r.values() for r in self.history)])
        return better

    def write_report(
        self,
        best: dict,
        classes: Sequence[tuple[str, tuple[int, int, int]]],
        matrices: Sequence[ConfusionMatrix],
        gallery: Mapping,
        command: str,
    ) -> None:
        """Write report.html about the best epoch.

        Args:
            best: the loaded best.pt.
            classes: (name, (red, green, blue)) of each class.
            matrices: of each validation window.
            gallery: samples and legend, as `report.html` takes them.
            command: what to run next.
        """
        names = [name for name, _ in classes]
        confusion = ConfusionMatrix(len(names), best["metrics"]["confusion"])
        built = " + ".join(names[1:]) if len(names) < 5 else f"all but {names[0]}"
        settings = best["settings"]
        title = f"{settings['model']}, {len(names)} classes"
        page = scores.page(title, classes, matrices, {built: range(1, len(names))}, settings)
        summary = {
            "best epoch": f"{best['epoch']} of {len(self.history)}",
            "macro Dice": f"{best['best']:.4f}",
            "weighted Dice": f"{confusion.weighted_dice():.4f}",
            "mean IoU": f"{confusion.mean_iou():.4f}",
            "accuracy": f"{confusion.accuracy():.4f}",
            "minutes": f"{sum(row['seconds'] for row in self.history) / 60:.1f}",
            "checkpoint": str(self.folder / "best.pt"),
        }
        page |= {
            **gallery,
            "summary": list(summary.items()),
            "command": command,
            "history": self.history,
            "best_epoch": best["epoch"],
            "matrix": confusion.matrix,
        }
        with replacing(self.folder / "report.html") as temporary:
            temporary.write_text(report.html(page), encoding="utf-8")


def epoch_row(
    epoch: int, lr: float, train_loss: float, val_loss: float, confusion: ConfusionMatrix, names
) -> dict:
    """Return the row of log.csv of an epoch, without times and memory."""
    return {
        "epoch": epoch,
        "lr": lr,
        "train_loss": train_loss,
        "val_loss": val_loss,
        "macro_dice": confusion.macro_dice(),
        "weighted_dice": confusion.weighted_dice(),
        "mean_iou": confusion.mean_iou(),
        "accuracy": confusion.accuracy(),
        "foreground_accuracy": confusion.foreground_accuracy(),
        **{f"iou_{name}": value for name, value in zip(names, confusion.iou().tolist())},
    }
