"""The network of the figures: `make train`, with the checkpoints of some of its epochs kept.

Towns 0 to 23 of the sample are those of the training and its validation. The figures map towns 24
to 31, which it has not seen.
"""

import contextlib
import shutil
import sys
from pathlib import Path

import train
from data.files import InputError
from data.sample import towns
from unet.training.run import Run

SEED, COUNT = 0, 24  # of the towns that `make train` writes
UNSEEN = range(COUNT, COUNT + 8)
TOWN = 30  # the town of the figures: fields, a wood, a river, all classes and few clouds
EPOCHS = 1, 3, 10, 36  # the last one is the default of `make train`
RECIPE = f"--size 150 --batch 4 --patience 99 --epochs {EPOCHS[-1]}".split()


def file_of(epoch: int) -> str:
    """Name the checkpoint of an epoch."""
    return f"epoch_{epoch:02}.pt"


def checkpoints(folder: Path) -> dict[int, Path]:
    """Return {epoch: checkpoint}. A network is trained if the folder does not exist.

    Raises:
        InputError: The folder has not all checkpoints, as after a training that was interrupted.
    """
    paths = {epoch: folder / file_of(epoch) for epoch in EPOCHS}
    if not folder.exists():
        run(folder, EPOCHS, RECIPE)
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise InputError(f"{folder}: has no {', '.join(missing)}; remove it or name another folder")
    return paths


def run(folder: Path, epochs: tuple[int, ...], recipe: list[str]) -> None:
    """Run train.py into a folder, and keep its checkpoint of each of the epochs.

    What it prints goes to stderr.
    """

    class Keeping(Run):
        def save(self, *names: str) -> None:
            super().save(*names)
            if self.epoch in epochs and "last.pt" in names:
                kept = self.folder / file_of(self.epoch)
                shutil.copyfile(self.folder / "last.pt", kept.with_suffix(".tmp"))
                kept.with_suffix(".tmp").replace(kept)

    given, train.Run = train.Run, Keeping
    try:
        with contextlib.redirect_stdout(sys.stderr):
            train.main([*recipe, "--output", str(folder)])
    finally:
        train.Run = given


def town(number: int) -> towns.Sample:
    """Compute the image and the mask of a town."""
    return towns.make_scene(SEED, number)
