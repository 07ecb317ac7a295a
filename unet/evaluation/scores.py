"""How well maps agree with their truth, image by image: the page that `predict.py --truth` leaves.

One confusion matrix over all images says how many pixels are right. Who reports areas asks for
more: does the share of a class in an image come out right, though pixels are wrong here and there,
and are images in the right order by it? So for each class, over the images: the mean of its true
and of its predicted share (their difference is the bias), the mean absolute error with Student's 95
% interval, and Spearman's rank correlation; unet/metrics.py has the formulas. An image's shares
come from its own matrix: truth from the rows, prediction from the columns.

The test beside this file is tests/unet/evaluation/test_scores.py.
"""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path

import torch
from torch import Tensor

from data.files import replacing
from unet.evaluation import report
from unet.metrics import ConfusionMatrix, share_error, spearman

SAMPLES = 6  # images that the page shows


def shares(confusion: ConfusionMatrix, labels: Sequence[int]) -> tuple[float, float]:
    """(true, predicted) share of some classes together in the pixels of a matrix; NaN if it is
    empty.

    >>> shares(ConfusionMatrix(2, torch.tensor([[6, 2], [1, 1]])), [1])
    (0.2, 0.3)
    """
    matrix = confusion.matrix.cpu().double()
    labels = torch.as_tensor(labels)
    return (matrix[labels].sum() / matrix.sum()).item(), (
        matrix[:, labels].sum() / matrix.sum()
    ).item()


def share_statistics(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Of (true, predicted) shares, one pair an image: their means, mean absolute error with
    interval, Spearman.
    """
    truth, prediction = torch.tensor(pairs, dtype=torch.float64).T
    error = share_error(truth, prediction)
    return {
        "truth": _mean(truth),
        "prediction": _mean(prediction),
        "error": error.mean,
        "low": error.low,
        "high": error.high,
        "spearman": spearman(truth, prediction),
    }


def page(
    title: str,
    classes: Sequence[tuple[str, str]],
    images: Sequence[ConfusionMatrix],
    groups: Mapping[str, Sequence[int]],
    samples: Sequence[Mapping] = (),
    settings: Mapping | None = None,
) -> dict:
    """What `unet.report.html` shows of maps with known truth.

    classes: (name, "#RRGGBB") of each; images: a matrix for each image; groups: {name: its labels},
    drawn as scatter plots of their shares; samples, settings: as `html` takes them. Shares need two
    images.
    """
    total = reduce(add, images)
    summary = [
        ("images", str(len(images))),
        ("pixels", f"{int(total.matrix.sum()):,}"),
        ("macro Dice", f"{total.macro_dice():.4f}"),
        ("weighted Dice", f"{total.weighted_dice():.4f}"),
        ("mean IoU", f"{total.mean_iou():.4f}"),
        ("accuracy", f"{total.accuracy():.4f}"),
    ]
    found = {
        "title": title,
        "summary": summary,
        "classes": list(classes),
        "matrix": total.matrix.cpu(),
    }
    if len(images) > 1:
        of_classes = [[shares(image, [k]) for image in images] for k in range(len(classes))]
        found["share_table"] = [
            {"name": name, **share_statistics(pairs)}
            for (name, _), pairs in zip(classes, of_classes)
        ]
        found["shares"] = []
        for name, labels in groups.items():
            pairs = [shares(image, labels) for image in images]
            if not any(truth or prediction for truth, prediction in pairs):
                continue  # neither anywhere true nor anywhere predicted
            found["shares"].append(
                {"name": name, "pairs": pairs, "text": in_words(share_statistics(pairs))}
            )
    return {**found, "samples": list(samples), "settings": dict(settings or {})}


def in_words(statistics: Mapping[str, float]) -> str:
    """One line on the shares of a class in many images."""
    error, low, high = (100 * statistics[key] for key in ("error", "low", "high"))
    rank = "not defined" if math.isnan(statistics["spearman"]) else f"{statistics['spearman']:.3f}"
    return f"Spearman {rank}, mean absolute error {error:.2f} percentage points (95 % interval {low:.2f} to {high:.2f})"


def text(names: Sequence[str], confusion: ConfusionMatrix) -> str:
    """IoU, Dice, precision and recall of each class, and their means, for the terminal; a dash is
    0/0.
    """
    width = max(17, *map(len, names))
    columns = [
        c.tolist()
        for c in (confusion.iou(), confusion.dice(), confusion.precision(), confusion.recall())
    ]
    lines = [
        f"  {'against the truth':{width}}  {'IoU':>6}  {'Dice':>6}  {'prec.':>6}  {'recall':>6}"
    ]
    for name, *values in zip(names, *columns):
        figures = [f"{'-':>6}" if math.isnan(value) else f"{value:6.3f}" for value in values]
        lines.append(f"  {name:{width}}  " + "  ".join(figures))
    lines.append(
        f"  macro Dice {confusion.macro_dice():.4f}  weighted Dice {confusion.weighted_dice():.4f}  "
        f"mean IoU {confusion.mean_iou():.4f}  accuracy {confusion.accuracy():.4f}  "
        f"pixels {confusion.matrix.sum().item():,}"
    )
    return "\n".join(lines)


def _mean(values: Tensor) -> float:
    return values.nanmean().item()


def write(
    path: Path,
    title: str,
    classes: Sequence[tuple[str, tuple[int, int, int]]],
    images: Sequence[ConfusionMatrix],
    groups: Mapping[str, Sequence[int]],
    samples: Sequence[Mapping],
    settings: Mapping,
) -> None:
    """Write the page of maps with known truth as an HTML file.

    Args:
        classes: Name and colour (red, green, blue) of each class.
        images, groups, samples, settings: As of `page`.
    """
    colored = [(name, "#%02X%02X%02X" % tuple(color)) for name, color in classes]
    text = report.html(page(title, colored, images, groups, samples[:SAMPLES], settings))
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
