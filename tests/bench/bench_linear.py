"""How well single pixels can be classified: a linear classifier on the synthetic scenes.

    python tests/bench/bench_linear.py
    python tests/bench/bench_linear.py --images images --masks masks

Multinomial logistic regression on the network's input (11 bands and 4 indices, scaled), without
augmentation. It is fitted by L-BFGS on every third pixel of the training windows of `make train`
and measured on the validation windows. The classes are weighted by 1, by 1 / sqrt(frequency) and by
1 / frequency. A network that uses context has to be better than the best of the three.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

import train  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.files import IGNORE  # noqa: E402
from data.training import pipeline  # noqa: E402
from data.training.dataset import Windows  # noqa: E402
from unet.metrics import ConfusionMatrix  # noqa: E402

ESM = ClassTable.load("esm")


def load(*options: str) -> pipeline.Data:
    """Load training and validation windows, as train.py does with these options."""
    args = train.parse(["--size", "150", "--augment", *options])
    return pipeline.load(args, ESM, Path("runs/cache"), lambda text: None, lambda text: None)


def pixels(windows: Windows) -> tuple[torch.Tensor, torch.Tensor]:
    """Return input (N, 15) and label (N,) of every labelled pixel."""
    inputs, labels = [], []
    for number in range(len(windows)):
        image, target, _ = windows[number]
        inputs.append(image[:, target != IGNORE].T)
        labels.append(target[target != IGNORE].long())
    return torch.cat(inputs), torch.cat(labels)


def fit(x: torch.Tensor, y: torch.Tensor, power: float) -> torch.nn.Module:
    """Fit a logistic regression whose classes have the weight (1 / frequency) ** power."""
    net = torch.nn.Linear(x.shape[1], len(ESM.names))
    torch.nn.init.zeros_(net.weight)
    weight = (len(y) / torch.bincount(y, minlength=len(ESM.names)).clamp(min=1)) ** power
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y, weight=weight)
        loss.backward()
        return loss

    optimizer.step(closure)
    return net


def linear_dice(data: pipeline.Data, powers=(0.0, 0.5, 1.0)) -> dict[float, np.ndarray]:
    """Return the Dice of each class on the validation windows, for each power of the weights."""
    (x, y), (x_test, y_test) = pixels(data.training), pixels(data.validation)
    mean, std = x.mean(0), x.std(0)
    x, y, x_test = ((x - mean) / std)[::3], y[::3], (x_test - mean) / std
    scores = {}
    for power in powers:
        net, confusion = fit(x, y, power), ConfusionMatrix(len(ESM.names))
        with torch.no_grad():
            confusion.update(net(x_test).argmax(1), y_test)
        scores[power] = confusion.dice().numpy()
    return scores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", nargs="+", help="none: the synthetic scenes of make train")
    parser.add_argument("--masks", nargs="+", help="masks with the classes of esm")
    args = parser.parse_args()
    options = []
    if args.images and args.masks:
        options = ["--images", *args.images, "--masks", *args.masks]
    start = time.perf_counter()
    data = load(*options)
    scores = linear_dice(data)
    counts = f"{len(data.training)} windows, measured on {len(data.validation)}"
    print(f"Dice of a linear classifier of single pixels, fitted on {counts}")
    print(f"{'class weights':24}" + "".join(f"{name:>18}" for name in ESM.names) + f"{'macro':>9}")
    for power, dice in scores.items():
        weights = {0.0: "none", 0.5: "1 / sqrt(frequency)", 1.0: "1 / frequency"}[power]
        print(f"{weights:24}" + "".join(f"{d:18.3f}" for d in dice) + f"{np.mean(dice):9.3f}")
    best = max(np.mean(dice) for dice in scores.values())
    print(f"best macro Dice {best:.3f} ({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
