"""Three comparisons of the published studies, repeated on synthetic towns.

    python tests/bench/bench_comparisons.py                  all three, one epoch on six towns
    python tests/bench/bench_comparisons.py losses --epochs 8 --towns 24 --folder runs/losses
    python tests/bench/bench_comparisons.py networks --epochs 6 --towns 24 --folder runs/networks
    python tests/bench/bench_comparisons.py alignment --epochs 8 --towns 24 --folder runs/alignment

    losses      macro Dice of five losses: the highest, and the mean over the epochs
    networks    U-Net against DeepLabV3, in equal epochs, each from scratch with its learning rate
    alignment   masks on the grid of the image by nearest, by mode, and by mode with inverse weights

Each training prints its command line. With --folder the runs are kept, and compare.html beside them
is the page of `python -m unet.evaluation.compare`.

The masks of the towns have pixels of 10 m, and the images of 6.7 m on the ground. A pixel of the
image then holds one pixel of the mask at most, and the three methods agree. So `alignment` writes
the masks with pixels of 2.5 m, as ESM was published, too. Each run is validated on its own masks.
A last column has the score of all three on the same truth: the class at the centre of each pixel.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from pyproj import Transformer

sys.path.insert(0, str(Path(__file__).parents[2]))

import train  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.grid import Grid  # noqa: E402
from data.raster import Raster, cog  # noqa: E402
from data.sample import towns  # noqa: E402
from data.sample.landscape import HALF, codes, draw_landscape  # noqa: E402
from data.terminal import one_line_errors  # noqa: E402
from data.training import pipeline  # noqa: E402
from reproject import reproject_file  # noqa: E402
from unet import checkpoint, losses  # noqa: E402
from unet.evaluation import compare  # noqa: E402
from unet.training.passes import evaluate  # noqa: E402

SETTINGS = "--size 150 --batch 4 --seed 0"  # of `make train`
LOSSES = ("cross_entropy", "focal", "dice", "dice_focal", "dice_cross_entropy")
NETWORKS = {"unet": "--model unet", "deeplabv3": "--model deeplabv3 --lr 5e-4"}
ALIGNMENTS = {
    "nearest": {"method": "nearest"},
    "mode": {"method": "mode"},
    "weighted_mode": {"method": "mode", "vote_weights": "inverse"},
}
FINE = 2.5  # metres, pixel of the masks for `alignment`
HEADER = """
| run | macro Dice, highest | mean over the epochs | last | mean IoU | seconds |
|---|---|---|---|---|---|"""


def trained(folder: Path, runs: Mapping[str, str], images: Path, masks: Mapping, epochs: int):
    """Train runs with these options into folder/<name>, and compare them.

    Args:
        folder: the folder of the runs and of compare.html.
        runs: {name: further options of train.py}.
        images: the folder of images.
        masks: {name: folder of masks}.
        epochs: number of epochs.
    """
    for name, options in runs.items():
        words = ["--images", images, "--masks", masks[name], "--classes", "esm"]
        words += [
            *SETTINGS.split(),
            *options.split(),
            "--epochs",
            epochs,
            "--output",
            folder / name,
        ]
        print(f"\npython train.py {shlex.join(map(str, words))}", flush=True)
        train.main([*map(str, words)])
    print()
    compare.main([*(str(folder / name) for name in runs), "-o", str(folder / "compare.html")])


def table(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the rows of a table of the runs."""
    rows = []
    for name in names:
        run = compare.load(folder / name, name)
        seconds = sum(run.epochs("seconds", 1e6))
        scores = *run.macro_dice(), run.best["mean_iou"]
        cells = [name, *(f"{score:.3f}" for score in scores), f"{seconds:.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def at(path: Path, index: int, pixel: float | None) -> tuple[np.ndarray, Grid]:
    """Compute the codes of a town at the centres of the pixels of a raster.

    Args:
        path: the raster.
        index: number of the town.
        pixel: another size of the pixels, in the units of the raster's CRS.

    Returns:
        The codes (h, w) uint8, and their grid.
    """
    with Raster(path) as raster:
        grid = raster.grid
    if pixel:
        a, _, left, _, e, top = grid.transform
        sides = round(grid.height * -e / pixel), round(grid.width * a / pixel)
        grid = Grid(grid.crs, (pixel, 0, left, 0, -pixel, top), *sides)
    x, y = grid.xy(*(np.indices((grid.height, grid.width)) + 0.5))
    to_image = Transformer.from_crs(grid.crs, towns.IMAGE_CRS, always_xy=True)
    x, y = to_image.transform(x.ravel(), y.ravel())
    left, top = 600_000 + 20_000 * (index % 25), 6_000_000 + 20_000 * (index // 25)
    found = codes(draw_landscape(0, index), x - left - HALF, y - top + HALF)
    return found.reshape(grid.height, grid.width), grid


def aligned(folder: Path, images: Sequence[Path], masks: Sequence[Path]) -> dict[str, Path]:
    """Write the masks on the grids of the images by each method, and the truth.

    Returns:
        {name: folder of masks}; "truth" has the class at the centre of each pixel.
    """
    folders = {name: folder / "masks" / name for name in ("fine", "truth", *ALIGNMENTS)}
    for path in folders.values():
        path.mkdir(parents=True)
    for index, (image, mask) in enumerate(zip(images, masks)):
        fine = folders["fine"] / mask.name
        cog.write(fine, *at(mask, index, FINE), nodata=0)
        found, grid = at(image, index, None)
        cog.write(folders["truth"] / mask.name, found, grid, nodata=0)
        for name, options in ALIGNMENTS.items():
            reproject_file(fine, folders[name] / mask.name, grid, **options)
    return folders


def shares(folder: Path) -> list[float]:
    """Return the share in % of each code of the masks in a folder: 1, 250, 255."""
    counts = np.zeros(256, int)
    for path in sorted(folder.glob("*.tif")):
        with Raster(path) as raster:
            counts += np.bincount(raster.read().ravel(), minlength=256)
    return [100 * counts[code] / counts[1:].sum() for code in (1, 250, 255)]


def on_one_truth(folder: Path, name: str, images: Path, own: Path, truth: Path) -> float:
    """Compute the macro Dice of a run's best epoch on the truth of its validation windows."""
    esm, loaded = ClassTable.load("esm"), []
    for masks in (own, truth):
        words = ["--images", images, "--masks", masks, "--classes", "esm", *SETTINGS.split()]
        args = train.parse([*map(str, words)])
        given = args, esm, folder / "cache", lambda line: None, lambda line: None
        loaded.append(pipeline.load(*given))
    assert loaded[0].validation.items == loaded[1].validation.items
    validation = pipeline.loaders(args, loaded[1], False, 0, 1)[2]
    model = checkpoint.build_model(checkpoint.load(folder / name / "best.pt"))
    measure = losses.cross_entropy, len(esm.names), torch.device("cpu"), torch.float32
    return evaluate(model, validation, *measure).confusion.macro_dice()


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    names = ["losses", "networks", "alignment"]
    add("comparisons", nargs="*", metavar="NAME", help=f"{', '.join(names)} (default: all)")
    add("--epochs", type=int, default=1, help="epochs of each training")
    add("--towns", type=int, default=6, help="number of synthetic towns")
    add("--folder", type=Path, help="folder that keeps the runs (default: none are kept)")
    args = parser.parse_args()
    args.comparisons = args.comparisons or names
    if unknown := set(args.comparisons) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: is not among {', '.join(names)}")
    return args


def main() -> None:
    """Train, and print the tables."""
    args, tables = options(), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        images, masks = towns.write(folder / "sample", args.towns)
        given = images[0].parent, dict.fromkeys([*LOSSES, *NETWORKS], masks[0].parent), args.epochs
        if "losses" in args.comparisons:
            trained(folder / "losses", {name: f"--loss {name}" for name in LOSSES}, *given)
            tables += [HEADER, *table(folder / "losses", LOSSES)]
        if "networks" in args.comparisons:
            trained(folder / "networks", NETWORKS, *given)
            tables += [HEADER, *table(folder / "networks", [*NETWORKS])]
        if "alignment" in args.comparisons:
            here = folder / "alignment"
            folders = aligned(here, images, masks)
            trained(here, dict.fromkeys(ALIGNMENTS, ""), given[0], folders, args.epochs)
            tables += [f"{HEADER.splitlines()[1]} on one truth | shares of the classes |"]
            tables += [f"{HEADER.splitlines()[2]}---|---|"]
            for name, line in zip(ALIGNMENTS, table(here, [*ALIGNMENTS])):
                score = on_one_truth(here, name, given[0], folders[name], folders["truth"])
                share = " / ".join(f"{value:.2f}" for value in shares(folders[name]))
                tables.append(f"{line} {score:.3f} | {share} % |")
            share = " / ".join(f"{value:.2f}" for value in shares(folders["truth"]))
            tables.append(f"| the truth | | | | | | | {share} % |")
        print("\n".join(tables))


if __name__ == "__main__":
    with one_line_errors("bench_comparisons.py"):
        main()
