"""Whether probabilities hold on images that neither trained nor validated, with and without T.

    python tests/bench/bench_calibration.py runs/a/best.pt --images images/ --truth masks/

Give one or several checkpoints, and images that are in the training of none. The first table has a
row for T = 1 and one for the temperature of each checkpoint: accuracy, mean confidence, expected
calibration error, and cross-entropy (NLL), all over the labelled pixels of all images. The second
table has the share of each class in the truth, and its mean probability. Their difference shows
what class weights in the loss do to rare classes. Probabilities are those that predict.py
--probabilities float32 writes.
"""

import argparse
import copy
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from data.classes import ClassTable  # noqa: E402
from data.files import IGNORE  # noqa: E402
from data.input.inputs import Expected, Input  # noqa: E402
from data.mapping.source import Source  # noqa: E402
from data.mapping.strips import map_scene  # noqa: E402
from data.output import jobs  # noqa: E402
from data.output.truth import Truth  # noqa: E402
from unet.evaluation import calibration  # noqa: E402
from unet.evaluation.predictor import Predictor  # noqa: E402


class Totals:
    """Sums over the labelled pixels of all images."""

    def __init__(self, classes: int):
        self.bins, self.loss = torch.zeros(3, calibration.BINS, dtype=torch.float64), 0.0
        self.truth, self.probability = torch.zeros(2, classes, dtype=torch.float64)

    def add(self, probabilities: torch.Tensor, target: torch.Tensor) -> None:
        """Add probabilities (K, H, W) and labels (H, W) int64."""
        self.bins += calibration.reliability(probabilities[None], target[None])
        values, labels = probabilities[:, target != IGNORE], target[target != IGNORE]
        logarithms = values.T.clamp(min=1e-12).log()
        self.loss += F.nll_loss(logarithms, labels, reduction="sum").item()
        self.truth += labels.bincount(minlength=len(values))
        self.probability += values.double().sum(1)

    def figures(self) -> tuple[float, float, float, float]:
        """Return accuracy, mean confidence, expected calibration error, and NLL."""
        pixels, confidence, right = self.bins.sum(1).tolist()
        error = calibration.expected_calibration_error(self.bins)
        return right / pixels, confidence / pixels, error, self.loss / pixels


def measure(predictor: Predictor, todo: list[jobs.Job], table: ClassTable) -> Totals:
    """Predict all images, and compare the probabilities with the masks."""
    loaded, totals = predictor.checkpoint, Totals(predictor.classes)
    for job in todo:
        with Input(job.dates, Expected.of(loaded)) as image:
            truth = Truth(job.truth, table, image.grid, lambda remark: None)
            for strip in map_scene(Source(image, loaded), predictor, with_probabilities=True):
                target = torch.from_numpy(truth.next_rows(strip.labels)).long()
                totals.add(torch.from_numpy(strip.probabilities), target)
        truth.check()
    return totals


def main(arguments: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--images", nargs="+", type=Path, required=True)
    parser.add_argument("--truth", nargs="+", type=Path, required=True)
    args = parser.parse_args(arguments)
    print(f"{'checkpoint':32}{'T':>7}{'accuracy':>10}{'confidence':>12}{'ECE':>8}{'NLL':>8}")
    shares = []
    for path in args.checkpoints:
        predictor = Predictor(path)
        loaded = predictor.checkpoint
        table = ClassTable.from_records(loaded["class_table"], loaded["classes"], path)
        todo = jobs.find(args.images, args.truth, Path("never"), Expected.of(loaded).dates)
        plain = copy.copy(predictor)
        plain.temperature = 1.0
        found = [measure(one, todo, table) for one in (plain, predictor)]
        for one, totals in zip((plain, predictor), found):
            accuracy, confidence, error, loss = totals.figures()
            name = str(path)[-30:]
            figures = f"{accuracy:10.3f}{confidence:12.3f}{error:8.3f}{loss:8.3f}"
            print(f"{name:32}{one.temperature:7.3f}{figures}", flush=True)
        for number, name in enumerate(table.names):
            truth = found[0].truth[number] / found[0].truth.sum()
            means = [one.probability[number] / one.truth.sum() for one in found]
            shares.append(
                f"{str(path)[-30:]:32}{name:28}{truth:8.1%}{means[0]:12.1%}{means[1]:9.1%}"
            )
    print(f"\n{'checkpoint':32}{'class':28}{'truth':>8}{'mean, T = 1':>12}{'mean, T':>9}")
    print(*shares, sep="\n")


if __name__ == "__main__":
    main()
