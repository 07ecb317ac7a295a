"""Scores of maps with known truth: the page of `predict.py --truth`, and a table of the classes.

One confusion matrix over all images has the share of pixels with the right label. To judge areas,
the share of a class is compared in each image (unet/evaluation/shares.py). The scores of single
images: unet/evaluation/image_scores.py.

Read beside it: tests/unet/evaluation/test_scores.py.
"""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

from unet.evaluation import image_scores
from unet.evaluation.shares import share_of, share_statistics
from unet.evaluation.unseen import facts, sentence
from unet.metrics import ConfusionMatrix


def page(
    title: str,
    classes: Sequence[tuple[str, tuple[int, int, int]]],
    images: Sequence[ConfusionMatrix],
    groups: Mapping[str, Sequence[int]],
    settings: Mapping | None = None,
    names: Sequence[str] = (),
) -> dict:
    """Compute the values for the report (`unet.evaluation.report.html`) on maps with known truth.

    Args:
        title: The heading.
        classes: (name, (red, green, blue)) of each class.
        images: The confusion matrix of each image. For a single image there are no shares.
        groups: {name: labels}. Each group has a scatter plot of its shares in the images. A group
            that neither occurs nor is predicted has no plot.
        settings: {name: value}.
        names: The name of each image, for the table of the images. Empty: no such table.

    Returns:
        Values for some of the keys of `html`.
    """
    total = reduce(add, images)
    summary = [
        ("images", str(len(images))),
        ("pixels", f"{int(total.matrix.sum()):,}"),
        ("macro Dice", f"{total.macro_dice():.4f}"),
        ("weighted Dice", f"{total.weighted_dice():.4f}"),
        ("mean IoU", f"{total.mean_iou():.4f}"),
        ("accuracy", f"{total.accuracy():.4f}"),
        *facts(total),
    ]
    several = len(images) > 1
    class_names = [name for name, _ in classes]
    ranked = image_scores.ranked([*zip(names, images)], groups) if several else []
    return {
        "title": title,
        "summary": summary,
        "classes": list(classes),
        "matrix": total.matrix.cpu(),
        "images": ranked,
        "share_table": _share_table(class_names, images) if several else [],
        "shares": _plots(groups, images) if several else [],
        "settings": dict(settings or {}),
    }


def _share_table(names: Sequence[str], images: Sequence[ConfusionMatrix]) -> list[dict]:
    """Compute the statistics of each class's share."""
    return [
        {"name": name, **share_statistics([share_of(image, [label]) for image in images])}
        for label, name in enumerate(names)
    ]


def _plots(groups: Mapping[str, Sequence[int]], images: Sequence[ConfusionMatrix]) -> list[dict]:
    """Return name, pairs of shares, statistics in words and line of each group that occurs."""
    plots = []
    for name, labels in groups.items():
        pairs = [share_of(image, labels) for image in images]
        if any(truth + prediction > 0 for truth, prediction in pairs):
            statistics = share_statistics(pairs)
            line = statistics["slope"], statistics["intercept"]
            plots.append({"name": name, "pairs": pairs, "text": in_words(statistics), "line": line})
    return plots


def in_words(statistics: Mapping[str, float]) -> str:
    """Describe the statistics of a share in three sentences."""
    error, low, high, shift = (
        100 * statistics[key] for key in ("error", "low", "high", "intercept")
    )
    rank = "not defined" if math.isnan(statistics["spearman"]) else f"{statistics['spearman']:.3f}"
    interval = "not defined" if math.isnan(low) else f"{low:.2f} to {high:.2f}"
    sign, slope = "-" if shift < 0 else "+", round(statistics["slope"], 3) + 0.0  # no -0.000
    line = f"prediction = {slope:.3f} \N{MULTIPLICATION SIGN} truth {sign} {abs(shift):.2f}"
    return (
        f"Spearman {rank}, mean absolute error {error:.2f} percentage points "
        f"(95 % interval {interval}). "
        f"Line of least squares{' is not defined' if math.isnan(shift) else f', in %: {line}'}."
    )


def score_tables(names: Sequence[str], confusion: ConfusionMatrix, ground: str) -> str:
    """Format the scores of some ground and, if a part of it was trained on, of the rest alone.

    Args:
        names: The classes.
        confusion: The confusion matrix; an `unseen.MapConfusion` knows what was trained on.
        ground: What was mapped, such as "a.tif".
    """
    lines = [text] if (text := sentence(confusion, ground)) else []
    lines.append(score_table(names, confusion))
    held_out = getattr(confusion, "held_out", None)
    if held_out and 0 < held_out.matrix.sum() < confusion.matrix.sum():
        lines.append(score_table(names, held_out, "held-out ground"))
    return "\n".join(lines)


def score_table(
    names: Sequence[str], confusion: ConfusionMatrix, heading: str = "against the truth"
) -> str:
    """Format IoU, Dice, precision, recall and their means for the terminal. A dash is 0 / 0."""
    width = max(17, *map(len, names))
    measures = confusion.iou(), confusion.dice(), confusion.precision(), confusion.recall()
    heads = [f"{name:>6}" for name in ("IoU", "Dice", "prec.", "recall")]
    lines = ["  ".join([f"  {heading:{width}}", *heads])]
    for label, name in enumerate(names):
        values = [measure[label].item() for measure in measures]
        figures = [f"{'-':>6}" if math.isnan(value) else f"{value:6.3f}" for value in values]
        lines.append("  ".join([f"  {name:{width}}", *figures]))
    lines.append(
        f"  macro Dice {confusion.macro_dice():.4f}  weighted Dice {confusion.weighted_dice():.4f}"
        f"  mean IoU {confusion.mean_iou():.4f}  accuracy {confusion.accuracy():.4f}"
        f"  pixels {confusion.matrix.sum().item():,}"
    )
    return "\n".join(lines)


def epoch_row(
    epoch: int,
    lr: float,
    train_loss: float,
    val_loss: float,
    confusion: ConfusionMatrix,
    names: Sequence[str],
    foreground: Sequence[int] = (),
) -> dict:
    """Return the row of log.csv of an epoch, without times and memory.

    Args:
        epoch, lr, train_loss, val_loss: The first columns.
        confusion: The matrix of the validation.
        names: The names of the K classes. Each has three columns: its IoU, its Dice, and its
            accuracy, which is the share of its true pixels that are right (recall).
        foreground: The labels of the classes that are not background. If the class table says
            nothing about it, they are empty, and foreground_accuracy is left out.
    """
    measures = {"iou": confusion.iou(), "dice": confusion.dice(), "accuracy": confusion.recall()}
    whole = {
        "epoch": epoch,
        "lr": lr,
        "train_loss": train_loss,
        "val_loss": val_loss,
        "macro_dice": confusion.macro_dice(),
        "weighted_dice": confusion.weighted_dice(),
        "mean_iou": confusion.mean_iou(),
        "accuracy": confusion.accuracy(),
    }
    if foreground:
        whole["foreground_accuracy"] = confusion.foreground_accuracy(foreground)
    return whole | {
        f"{measure}_{name}": value
        for measure, values in measures.items()
        for name, value in zip(names, values.tolist())
    }


def epoch_line(row: Mapping, epochs: int) -> str:
    """Format a row of log.csv for the terminal. `epochs` is the number of all epochs."""
    return (
        f"epoch {row['epoch']:3}/{epochs}  loss {row['train_loss']:.4f}  validation loss "
        f"{row['val_loss']:.4f}  macro Dice {row['macro_dice']:.4f}  weighted Dice "
        f"{row['weighted_dice']:.4f}  {row['seconds']:.1f} s"
    )
