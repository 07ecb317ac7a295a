"""How far a pixel's own spectrum goes: a linear classifier of single pixels on the synthetic scenes.

    python tests/bench/bench_linear.py [--train 24] [--test 12]

Multinomial logistic regression on the network's input (11 bands and 4 indices, standardised), fitted by
L-BFGS on every third pixel, with the classes weighted by 1, by 1 / sqrt(frequency) and by 1 / frequency. The
best of the three is what a network that looks at the surroundings has to beat.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

from data import bands, sample  # noqa: E402
from data.classes import IGNORE, ClassTable  # noqa: E402
from reproject import reproject  # noqa: E402
from unet.metrics import ConfusionMatrix  # noqa: E402

ESM = ClassTable.load("esm")


def pixels(indices: Iterable[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Input (N, 15) and label (N,) of every labelled pixel of these scenes, made as train.py makes them."""
    inputs, labels = [], []
    for index in indices:
        scene = sample.make_scene(seed, index)
        mask = reproject(scene.mask, scene.mask_grid, scene.image_grid, "nearest", nodata=0)
        label = np.where((scene.image == 0).all(0), IGNORE, ESM.encode(mask)).ravel()
        stacked = bands.stack(scene.image, sample.BANDS, list(bands.INDICES))
        inputs.append(stacked.reshape(len(stacked), -1).T[label != IGNORE])
        labels.append(label[label != IGNORE])
    return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(np.concatenate(labels)).long()


def fit(x: torch.Tensor, y: torch.Tensor, power: float) -> torch.nn.Module:
    """Logistic regression; each class weighs (1 / its frequency) ** power."""
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


def linear_dice(train: Iterable[int], test: Iterable[int], powers=(0.0, 0.5, 1.0)) -> dict[float, np.ndarray]:
    """Dice of each class on the test scenes, for each weighting of the classes."""
    (x, y), (x_test, y_test) = pixels(train), pixels(test)
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
    parser = argparse.ArgumentParser(description="Macro Dice of a linear classifier of single pixels.")
    parser.add_argument("--train", type=int, default=24, help="scenes to fit (default: %(default)s)")
    parser.add_argument("--test", type=int, default=12, help="further scenes to score (default: %(default)s)")
    args = parser.parse_args()
    start = time.perf_counter()
    scores = linear_dice(range(args.train), range(args.train, args.train + args.test))
    print(f"linear classifier of single pixels: Dice on {args.test} scenes, fitted on {args.train} others")
    print(f"{'class weights':24}" + "".join(f"{name:>18}" for name in ESM.names) + f"{'macro':>9}")
    for power, dice in scores.items():
        weights = {0.0: "none", 0.5: "1 / sqrt(frequency)", 1.0: "1 / frequency"}[power]
        print(f"{weights:24}" + "".join(f"{d:18.3f}" for d in dice) + f"{np.mean(dice):9.3f}")
    best = max(np.mean(dice) for dice in scores.values())
    print(f"best macro Dice {best:.3f} ({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
