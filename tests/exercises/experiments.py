"""Experiments: change one thing in a training on the synthetic towns, and see what comes out.

    python tests/exercises/experiments.py skips             a minute or two on two idle cores
    python tests/exercises/experiments.py                   all six, one after the other

    skips     a U-Net whose skip connections carry zeros
    indices   without the spectral indices NDVI, NDTI, NDVIre and MNDWI
    dropout   without dropout in the blocks, and with 20 %
    shift     the mask is left in its own CRS, and stretched to the size of the image
    losses    cross-entropy, Dice and the default loss on a rare class
    overfit   four windows learned by heart, and what the network then knows about others

All runs of a seed have the same windows and number of epochs. They are compared after their last
epoch, on the same validation windows. tests/exercises/README.md has a table of results.
"""

import argparse
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from pyproj import Transformer
from torch import Tensor

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
import unet  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.files import InputError  # noqa: E402
from data.grid import Grid  # noqa: E402
from data.raster import Raster, cog  # noqa: E402
from data.sample import towns  # noqa: E402
from data.terminal import one_line_errors  # noqa: E402
from data.training import pipeline  # noqa: E402
from unet import checkpoint  # noqa: E402
from unet.metrics import ConfusionMatrix  # noqa: E402
from unet.training.passes import predict  # noqa: E402

SETTINGS = "--size 100 --batch 4 --base 8 --patience 9999"
BASELINE = "baseline"
SHIFTED = "shifted"  # folder of the masks that were not reprojected


class Run(NamedTuple):
    """One training of an experiment."""

    label: str
    options: str = ""  # of train.py, in addition to SETTINGS
    masks: str = "masks"  # which masks it learns from: masks or SHIFTED
    network: type[unet.UNet] = unet.UNet


class WithoutSkips(unet.UNet):
    """A U-Net of the same size, whose skip connections carry zeros.

    The decoder gets only what has passed through the deepest level, at 1/16 of the resolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)  # (N, b, H, W)
        x2 = self.down1(x1)  # (N, 2b, H/2, W/2)
        x3 = self.down2(x2)  # (N, 4b, H/4, W/4)
        x4 = self.down3(x3)  # (N, 8b, H/8, W/8)
        x = self.down4(x4)  # (N, 16b, H/16, W/16)
        for up, skip in zip((self.up1, self.up2, self.up3, self.up4), (x4, x3, x2, x1)):
            x = up(x, torch.zeros_like(skip))
        return self.outc(self.head_dropout(x))  # (N, num_classes, H, W)


FIRST = Run(BASELINE)
EXPERIMENTS: dict[str, list[Run]] = {
    "skips": [FIRST, Run("without skip connections", network=WithoutSkips)],
    "indices": [FIRST, Run("without indices", "--indices")],
    "dropout": [FIRST, Run("with 20 % dropout in each block", "--dropout 0.2")],
    "shift": [FIRST, Run("mask left in its own CRS", masks=SHIFTED)],
    "losses": [
        FIRST,
        Run("cross-entropy", "--loss cross_entropy --class-weights none"),
        Run("Dice", "--loss dice --class-weights none"),
    ],
    "overfit": [FIRST, Run("four windows by heart", "--overfit 4")],
}


def stretched(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch a mask (h, w) to (height, width) by nearest pixel, as if both had one outline."""
    rows = ((np.arange(height) + 0.5) * len(mask) / height).astype(int)
    cols = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return mask[rows[:, None], cols]


def displacement(image: Grid, mask: Grid) -> np.ndarray:
    """Compute how far from their place the labels of a stretched mask lie.

    Returns:
        (H, W) distances in pixels of the image.
    """
    row, col = np.indices((image.height, image.width)) + 0.5
    x, y = mask.xy(row * mask.height / image.height, col * mask.width / image.width)
    to_image = Transformer.from_crs(mask.crs, image.crs, always_xy=True)
    true_row, true_col = image.rowcol(*to_image.transform(x, y))
    return np.hypot(true_row - row, true_col - col)


def write_shifted(images: Sequence[Path], masks: Sequence[Path], folder: Path) -> None:
    """Write masks that claim the grid of their image, although nothing was reprojected."""
    folder.mkdir(parents=True, exist_ok=True)
    distances = []
    for image, mask in zip(images, masks):
        with Raster(image) as raster, Raster(mask) as codes:
            grid = raster.grid
            wrong = stretched(codes.read()[0], grid.height, grid.width)
            distances.append(displacement(grid, codes.grid))
        cog.write(folder / mask.name, wrong, grid, nodata=0)
    mean, most = np.mean([one.mean() for one in distances]), max(one.max() for one in distances)
    print(f"{folder}: labels lie {mean:.1f} pixels beside their place, and up to {most:.1f}")


def words(folder: Path, run: Run, classes: str, seed: int) -> list[str]:
    """Return the options of train.py for a run on the scenes of a folder."""
    given = ["--images", folder / "images", "--masks", folder / run.masks, "--classes", classes]
    return [*map(str, given), *SETTINGS.split(), "--seed", str(seed), *run.options.split()]


class Scores(NamedTuple):
    """What a network scores on windows that it has not learned, and which class is the rarest."""

    confusion: ConfusionMatrix
    rare: int  # label of the class with the fewest pixels in the training windows


def scores(folder: Path, trained: Path, run: Run, classes: str, seed: int) -> Scores:
    """Count a run's last network on the validation windows of the baseline, with the right masks.

    Windows that the run has learned by heart are left out.
    """
    table = ClassTable.load(classes)
    options = "" if "--overfit" in run.options else run.options
    args = train.parse(words(folder, Run("", options), classes, seed))
    quiet = trained.parent / "cache", lambda line: None, lambda line: None
    data = pipeline.load(args, table, *quiet)
    windows = data.validation
    if "--overfit" in run.options:
        learned = pipeline.load(train.parse(words(folder, run, classes, seed)), table, *quiet)
        known = {learned.training.place(n) for n in range(len(learned.training))}
        windows = windows.only([n for n in range(len(windows)) if windows.place(n) not in known])
    if not len(windows):
        raise InputError(f"{run.label}: no other window is left to validate on; give more towns")
    model = checkpoint.build_model(checkpoint.load(trained / "last.pt"))
    loader = torch.utils.data.DataLoader(windows, batch_size=args.batch)
    found = predict(model, loader, len(table.names), torch.device("cpu"), torch.float32)
    return Scores(sum(found.matrices[1:], found.matrices[0]), int(data.counts.sum(0).argmin()))


class Line(NamedTuple):
    """What one training comes to: a label, and numbers for the table."""

    label: str
    macro_dice: float
    rare_iou: float
    seconds: float


def line(label: str, found: Scores, seconds: float) -> Line:
    """Return the numbers of a network's scores."""
    confusion, rare = found
    return Line(label, confusion.macro_dice(), confusion.iou()[rare].item(), seconds)


def conduct(
    folder: Path, runs: Sequence[Run], epochs: int, seed: int = 0, classes: str = "esm"
) -> list[Line]:
    """Train each run once, and return the lines of the table.

    Args:
        folder: holds images, masks and, for the runs that need them, shifted. It gets the runs.
        runs: the runs.
        epochs: number of epochs of every run.
        seed: of the weights, the order of the windows and the validation windows.
        classes: the class table.
    """
    lines = []
    for run in runs:
        output = folder / "runs" / f"{re.sub(r'[^0-9a-z]+', '-', run.label.lower())}-{seed}"
        options = [*words(folder, run, classes, seed), "--epochs", str(epochs)]
        print(f"\n{run.label}: python train.py {shlex.join(options)}", flush=True)
        began = time.monotonic()
        with mock.patch.dict(unet.MODELS, {"unet": run.network}):
            train.main([*options, "--output", str(output)])
            seconds = time.monotonic() - began
            found = scores(folder, output, run, classes, seed)
        if "--overfit" in run.options:
            learned = checkpoint.load(output / "last.pt")["metrics"]["confusion"]
            four = Scores(ConfusionMatrix(len(learned), learned), found.rare)
            lines.append(line(f"{run.label}: on these", four, seconds))
            lines.append(line(f"{run.label}: on others", found, seconds))
        else:
            lines.append(line(run.label, found, seconds))
    return lines


def table(lines: Sequence[Line]) -> str:
    """Return the table: for each label the mean over the seeds, and the range of several."""
    rows = ["| run | macro Dice | IoU of the rarest class | seconds |", "|---|---|---|---|"]
    for label in dict.fromkeys(found.label for found in lines):
        same = [found for found in lines if found.label == label]
        cells = [label]
        for values in ([one.macro_dice for one in same], [one.rare_iou for one in same]):
            among = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{sum(values) / len(values):.3f}{among}")
        cells.append(f"{sum(one.seconds for one in same) / len(same):.0f}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"{', '.join(EXPERIMENTS)} (default: all)")
    add("--epochs", type=int, default=16, help="epochs of each training (default: 16)")
    add("--seeds", type=int, nargs="+", default=[0], help="one training for each (default: 0)")
    add("--towns", type=int, default=10, help="number of synthetic towns (default: 10)")
    add("--folder", type=Path, help="empty folder that keeps scenes and runs (default: none kept)")
    args = parser.parse_args(arguments)
    args.names = args.names or [*EXPERIMENTS]
    if unknown := set(args.names) - set(EXPERIMENTS):
        parser.error(f"{', '.join(sorted(unknown))}: is not among {', '.join(EXPERIMENTS)}")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and print the table."""
    args = parse(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if (folder / "runs").exists():
            raise InputError(f"{folder}: holds runs already; name another folder by --folder")
        images, masks = towns.write(folder, args.towns)
        chosen = {run.label: run for name in args.names for run in EXPERIMENTS[name]}
        if any(run.masks == SHIFTED for run in chosen.values()):
            write_shifted(images, masks, folder / SHIFTED)
        lines = []
        for seed in args.seeds:
            lines += conduct(folder, [*chosen.values()], args.epochs, seed)
    print(f"\n{table(lines)}")


if __name__ == "__main__":
    with one_line_errors("experiments.py"):
        main()
