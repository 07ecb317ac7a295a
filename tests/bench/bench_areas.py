"""How often the 95 % intervals of areas hold the truth, on places that neither train nor validate.

    python tests/bench/bench_areas.py folds/hls

The folder is one of folds.py. Each network maps the images of its test/, and the shares of the
classes among the labelled pixels are estimated, as predict.py does for areas.csv. Counted are the
classes that an image has in its map or in its truth. The first table has a row for all images, one
by one, and one for all images of a fold together ("all" in areas.csv). Beside each interval of
windows stands the one for pixels that are drawn one by one (Olofsson and others 2014, equation 10).
The second table has the reasons why images were not adjusted.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.classes import ClassTable  # noqa: E402
from data.input.inputs import Expected, Input  # noqa: E402
from data.mapping.source import Source  # noqa: E402
from data.mapping.strips import map_scene  # noqa: E402
from data.output import jobs, preview  # noqa: E402
from data.output.truth import Truth  # noqa: E402
from unet.evaluation.predictor import Predictor  # noqa: E402
from unet.metrics import ConfusionMatrix  # noqa: E402


class Row(NamedTuple):
    """A class in an image."""

    truth: float
    mapped: float
    adjusted: float
    low: float
    high: float
    pixelwise: float  # whether the interval of single pixels holds the truth


def mapped(predictor: Predictor, table: ClassTable, job: jobs.Job) -> tuple[np.ndarray, str]:
    """Map an image. Returns the matrix (K, K) of its labelled pixels, and the objection."""
    loaded, confusion = predictor.checkpoint, ConfusionMatrix(predictor.classes)
    with Input(job.dates, Expected.of(loaded)) as image:
        step = preview.Thinned(image.grid.height, image.grid.width).step
        source = Source(image, loaded, step)
        truth = Truth(job.truth, table, image.grid, lambda remark: None)
        thumbnails, pixels = [], np.zeros(256, np.int64)
        for strip in map_scene(source, predictor):
            labels, target = strip.labels, truth.next_rows(strip.labels)
            confusion.update(torch.from_numpy(labels), torch.from_numpy(target))
            pixels += np.bincount(labels.ravel(), minlength=256)
            thumbnails.append(strip.thumbnail)
    means = source.means(np.concatenate(thumbnails, axis=-2))
    areas = pixels[: predictor.classes].astype(float)
    return confusion.matrix.numpy(), predictor.objection(areas, means, table.names)


def rows(predictor: Predictor, matrix: np.ndarray, images: int) -> list[Row]:
    """Estimate the shares of the classes, from the map of the labelled pixels alone."""
    total, areas, truth = matrix.sum(), matrix.sum(0).astype(float), matrix.sum(1) / matrix.sum()
    shares = areas / total
    estimated = predictor.adjust(areas, int(total), images)
    single = pixelwise(predictor.checkpoint["metrics"]["confusion"].numpy().T, shares, truth)
    told = (truth > 0) | (shares > 0)
    columns = np.stack([truth, shares, *estimated, single])[:, told].T.tolist()
    return [Row(*column) for column in columns]


def pixelwise(counts: np.ndarray, mapped: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether the intervals of equation (10) hold the truth (K,). counts: rows map."""
    sampled = counts.sum(1, keepdims=True).clip(2)
    share = counts / sampled
    variance = mapped**2 @ (share * (1 - share) / (sampled - 1))
    return abs(mapped @ share - truth) <= 1.96 * np.sqrt(variance)


def line(name: str, images: str, found: list[Row]) -> str:
    """Format a row of the first table."""
    held = mean(float(row.low <= row.truth <= row.high) for row in found)
    single = mean(row.pixelwise for row in found)
    width = median(row.high - row.low for row in found)
    errors = [
        mean(abs(getattr(row, kind) - row.truth) for row in found)
        for kind in ("mapped", "adjusted")
    ]
    figures = f"{len(found):5} | {held:.3f} | {single:.3f} | {width:.3f} | "
    return f"| {name} | {images} | {figures}{errors[0]:.4f} | {errors[1]:.4f} |"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folds", type=Path, nargs="+")
    print("| data | images adjusted | intervals | held | held, single pixels | median width "
          "| error of the map | error adjusted |\n|" + "---|" * 8)  # fmt: skip
    reasons: Counter[str] = Counter()
    for data in parser.parse_args().folds:
        single, together, images, adjusted = [], [], 0, 0
        for fold in sorted(path for path in data.iterdir() if path.is_dir()):
            predictor = Predictor(fold / "run" / "best.pt")
            table = ClassTable.from_records("folds", predictor.checkpoint["classes"], fold)
            todo = jobs.find([fold / "test" / "images"], [fold / "test" / "masks"], Path("-"), 1)
            matrices = []
            for job in todo:
                matrix, objection = mapped(predictor, table, job)
                images += 1
                if objection:
                    reasons[f"{data.name} {fold.name}: {objection}"] += 1
                elif matrix.any():
                    matrices.append(matrix)
                    single += rows(predictor, matrix, 1)
            adjusted += len(matrices)
            together += rows(predictor, sum(matrices), len(matrices))
        print(line(f"{data.name}, one by one", f"{adjusted} of {images}", single))
        print(line(f"{data.name}, together", f"{adjusted} of {images}", together), flush=True)
    print("\nNot adjusted:", *(f"{n} x {why}" for why, n in reasons.most_common()), sep="\n")


if __name__ == "__main__":
    main()
