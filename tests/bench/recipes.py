"""What helps rare classes: recipes of this project's training, and segmentation_models.pytorch's
Unet, on one data set.

    python tests/bench/recipes.py --images images --masks masks --classes worldcover.csv --seeds 0 1
    2 python tests/bench/recipes.py ... --only peer default

Each recipe is trained with each seed (which also draws the windows held out), and judged after its
last epoch. The peer is the Unet with a ResNet-34 from scratch, AdamW, cosine, plain cross-entropy,
with the same windows, flips and turns, 10 epochs; it needs `pip install
segmentation-models-pytorch`, and is left out where that is missing. The whole table takes hours on
a CPU, which is why `make bench` does not run it.
"""

import argparse
import statistics
import sys
import time
import types
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
import train
from data.classes import ClassTable
from data.files import IGNORE
from data.training import pipeline
from unet import checkpoint, metrics

# One change at a time, from the first on. "default" is what train.py does unasked.
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


def peer(options: list[str], epochs: int) -> tuple[metrics.ConfusionMatrix, float]:
    """(confusion matrix after the last epoch, seconds) of segmentation_models.pytorch's Unet."""
    import segmentation_models_pytorch as smp

    args = train.parse([*options, "--indices"])
    table = ClassTable.load(args.classes)

    data = pipeline.load(args, table, Path("runs/cache"), lambda line: None, lambda line: None)
    order, training, validation = pipeline.loaders(args, data, False, 0, 1)
    torch.manual_seed(args.seed)
    model = smp.Unet(
        "resnet34",
        encoder_weights=None,
        in_channels=data.training.channels,
        classes=len(table.names),
    )
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    began = time.monotonic()
    for order.epoch in range(1, epochs + 1):
        model.train()
        for images, targets, _ in training:
            images = images.contiguous()  # as its own loaders give them
            loss = torch.nn.functional.cross_entropy(
                model(images), targets.long(), ignore_index=IGNORE
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        confusion = metrics.ConfusionMatrix(len(table.names))
        with torch.no_grad():
            model.eval()
            for images, targets, _ in validation:
                confusion.update(model(images).argmax(1), targets)
    return confusion, time.monotonic() - began


def ours(options: list[str], folder: Path) -> tuple[metrics.ConfusionMatrix, float]:
    """(confusion matrix after the last epoch, seconds of all epochs) of train.py."""
    train.main([*options, "--output", str(folder), "--patience", "9999"])
    last = checkpoint.load(folder / "last.pt")
    matrix = last["metrics"]["confusion"]
    return metrics.ConfusionMatrix(len(matrix), matrix), sum(
        row["seconds"] for row in last["history"]
    )


def row(name: str, results: list[tuple[metrics.ConfusionMatrix, float]]) -> str:
    """A line of the table: means over the seeds, and the range of macro Dice."""
    macro = [confusion.macro_dice() for confusion, _ in results]
    iou = statistics.mean(confusion.mean_iou() for confusion, _ in results)
    accuracy = statistics.mean(confusion.accuracy() for confusion, _ in results)
    seconds = statistics.mean(seconds for _, seconds in results)
    spread = f"{min(macro):.3f} to {max(macro):.3f}"
    return f"| {name} | {statistics.mean(macro):.3f} | {spread} | {iou:.3f} | {accuracy:.3f} | {seconds:.0f} s |"


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for name in ("--images", "--masks"):
        parser.add_argument(name, nargs="+", required=True)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=[PEER, *RECIPES], default=[PEER, *RECIPES])
    parser.add_argument(
        "--settings",
        default="--base 16 --batch 12 --lr 2e-3 --epochs 30",
        help="of all our recipes",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/recipes"), help="for the runs")
    args = parser.parse_args()
    given = ["--images", *args.images, "--masks", *args.masks, "--classes", args.classes]
    # A torchvision built for CUDA beside a torch that is not lacks its operators, which nothing
    # here needs.
    sys.modules.setdefault(
        "torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations")
    )
    lines = []
    for name in args.only:
        results = []
        for seed in args.seeds:
            if name == PEER:
                try:
                    results.append(peer([*given, "--seed", str(seed), "--batch", "12"], epochs=10))
                except ImportError:
                    print("segmentation_models_pytorch is not installed: left out")
                    break
            else:
                options = [
                    *given,
                    *args.settings.split(),
                    *RECIPES[name].split(),
                    "--seed",
                    str(seed),
                ]
                results.append(ours(options, args.folder / f"{name}-{seed}-{time.time():.0f}"))
            dice = " ".join(f"{value:.2f}" for value in results[-1][0].dice().tolist())
            print(
                f"{name}, seed {seed}: macro Dice {results[-1][0].macro_dice():.4f} of {dice}",
                flush=True,
            )
        if results:
            lines.append(row(name, results))
    print(
        "\n| recipe | macro Dice, mean | range | mean IoU | accuracy | training |\n|---|---|---|---|---|---|"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
