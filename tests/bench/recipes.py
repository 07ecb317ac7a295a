"""Recipes of this project's training, and segmentation_models.pytorch's Unet, on one data set.

    python tests/bench/recipes.py --images images --masks masks --classes worldcover.csv
    python tests/bench/recipes.py ... --only peer default --seeds 0 1 2

Each recipe changes one option of plain cross-entropy, so that the table shows what helps rare
classes. Each recipe is trained with each seed and measured after its last epoch. The seed also
draws the validation windows.

The peer is segmentation_models.pytorch's Unet with a ResNet-34 from scratch, AdamW, a cosine
schedule and plain cross-entropy. It gets the same windows with the same flips and turns. It needs
`pip install segmentation-models-pytorch`, and is left out where that is missing.

The whole table takes hours on a CPU. Therefore `make bench` does not run it.
"""

import argparse
import importlib.util
import statistics
import sys
import time
import types
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

import train  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.files import IGNORE  # noqa: E402
from data.training import pipeline  # noqa: E402
from unet import checkpoint, metrics  # noqa: E402

# Each recipe changes one option of the first. "default" leaves all options to train.py.
RECIPES = {
    "plain": "--loss cross_entropy --class-weights none",
    "focal": "--loss focal --class-weights none",
    "oversampling": "--loss cross_entropy --class-weights none --oversample 0.3",
    "inverse": "--loss cross_entropy --class-weights inverse",
    "sqrt": "--loss cross_entropy --class-weights sqrt",
    "dice": "--loss dice_cross_entropy --class-weights none",
    "both": "--loss dice_cross_entropy --class-weights sqrt",
    "default": "",
}
PEER = "peer"
HEADER = """
| recipe | macro Dice, mean | range | mean IoU | accuracy | training |
|---|---|---|---|---|---|"""

Result = tuple[metrics.ConfusionMatrix, float]  # after the last epoch; seconds


def peer(options: list[str], epochs: int, cache: Path) -> Result:
    """Train segmentation_models.pytorch's Unet, with validation after each epoch as in train.py.

    Args:
        options: of train.py, for the data, the batch and the seed.
        epochs: number of epochs.
        cache: folder of prepared scenes.
    """
    import segmentation_models_pytorch as smp

    args = train.parse([*options, "--indices"])
    table = ClassTable.load(args.classes)
    data = pipeline.load(args, table, cache, lambda line: None, lambda line: None)
    order, training, validation = pipeline.loaders(args, data, False, 0, 1)
    torch.manual_seed(args.seed)
    bands, classes = data.training.channels, len(table.names)
    model = smp.Unet("resnet34", encoder_weights=None, in_channels=bands, classes=classes)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    began = time.monotonic()
    for order.epoch in range(1, epochs + 1):
        model.train()
        for images, targets, _ in training:
            logits = model(images.contiguous())  # not channels_last, as its users would
            loss = F.cross_entropy(logits, targets.long(), ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        confusion = metrics.ConfusionMatrix(classes)
        model.eval()
        with torch.no_grad():
            for images, targets, _ in validation:
                confusion.update(model(images).argmax(1), targets)
    return confusion, time.monotonic() - began


def ours(options: list[str], folder: Path) -> Result:
    """Run train.py with these options in a folder."""
    train.main([*options, "--output", str(folder), "--patience", "9999"])
    last = checkpoint.load(folder / "last.pt")
    matrix = last["metrics"]["confusion"]
    seconds = sum(epoch["seconds"] for epoch in last["history"])
    return metrics.ConfusionMatrix(len(matrix), matrix), seconds


def row(name: str, results: list[Result]) -> str:
    """Return a line of the table: means over the seeds, and the range of macro Dice."""
    macro = [confusion.macro_dice() for confusion, _ in results]
    cells = [
        name,
        f"{statistics.mean(macro):.3f}",
        f"{min(macro):.3f} to {max(macro):.3f}",
        f"{statistics.mean(confusion.mean_iou() for confusion, _ in results):.3f}",
        f"{statistics.mean(confusion.accuracy() for confusion, _ in results):.3f}",
        f"{statistics.mean(seconds for _, seconds in results):.0f} s",
    ]
    return f"| {' | '.join(cells)} |"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--images", nargs="+", required=True, help="images or folders")
    add("--masks", nargs="+", required=True, help="masks or folders")
    add("--classes", required=True, help="class table")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training for each seed")
    names = [PEER, *RECIPES]
    rows = f"rows of the table: {', '.join(names)}"
    add("--only", nargs="+", choices=names, default=names, metavar="RECIPE", help=rows)
    settings = "--base 16 --batch 12 --lr 2e-3 --epochs 30"
    add("--settings", default=settings, help="options of train.py for all recipes but the peer")
    add("--peer-epochs", type=int, default=10, help="epochs of the peer")
    add("--folder", type=Path, default=Path("runs/recipes"), help="folder for the runs")
    return parser.parse_args()


def main() -> None:
    """Train, and print the table."""
    args = options()
    given = ["--images", *args.images, "--masks", *args.masks, "--classes", args.classes]
    # A torchvision built for CUDA beside a torch without CUDA lacks its operators. They are not
    # needed here.
    operators = "torchvision._meta_registrations"
    sys.modules.setdefault(operators, types.ModuleType(operators))

    def train_once(name: str, seed: int) -> Result:
        if name == PEER:
            chosen = [*given, "--seed", str(seed), "--batch", "12"]
            return peer(chosen, args.peer_epochs, args.folder / "cache")
        chosen = [*given, *args.settings.split(), *RECIPES[name].split(), "--seed", str(seed)]
        return ours(chosen, args.folder / f"{name}-{seed}-{time.time():.0f}")

    if PEER in args.only and not importlib.util.find_spec("segmentation_models_pytorch"):
        print("segmentation_models_pytorch is not installed: the peer is left out")
        args.only.remove(PEER)
    lines = []
    for name in args.only:
        results = []
        for seed in args.seeds:
            confusion, seconds = train_once(name, seed)
            results.append((confusion, seconds))
            dice = " ".join(f"{value:.2f}" for value in confusion.dice().tolist())
            macro = confusion.macro_dice()
            print(f"{name}, seed {seed}: macro Dice {macro:.4f} of {dice}", flush=True)
        lines.append(row(name, results))
    print(HEADER)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
