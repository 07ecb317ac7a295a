"""Scores of single images: scores.csv, the table of images in the report, figures of a sample.

Some images of a set are mapped worse than others. scores.csv has one row for each image:

    image, pixels            the file, and its pixels with a label in the mask and in the map
    accuracy, macro_dice     of these pixels (unet/metrics.py)
    dice_<class>             Dice of each class
    iou_<class>              IoU of each class
    true_share_<class>       share of the pixels that the mask gives to the class, from 0 to 1
    mapped_share_<class>     share of the pixels that the map gives to the class
    share_difference_<class> mapped share - true share: above 0, the map has too much of the class

The shares are also those of groups of classes. A cell is empty where a value is 0/0: IoU and Dice
of a class that the image neither has nor shows in the map, and all values of an image without a
pixel to compare.

Read beside it: tests/unet/evaluation/test_image_scores.py.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data.files import write_csv
from unet.evaluation.markup import escape, fixed, head, row
from unet.evaluation.shares import share_of
from unet.metrics import ConfusionMatrix

ROWS = 30  # images in the table of the report
NO_SHARE = "", math.nan, math.nan  # of a table with one class
SHARES = "true_share", "mapped_share", "share_difference"


def write(
    path: Path,
    images: Sequence[tuple[str, ConfusionMatrix]],
    names: Sequence[str],
    groups: Mapping[str, Sequence[int]],
) -> None:
    """Write scores.csv.

    Args:
        path: The file.
        images: Name and confusion matrix of each image.
        names: The names of the K classes.
        groups: {name: labels} of classes whose shares are also written together.
    """
    shared = {name: [label] for label, name in enumerate(names)} | dict(groups)
    head = ["image", "pixels", "accuracy", "macro_dice"]
    head += [f"{measure}_{name}" for measure in ("dice", "iou") for name in names]
    head += [f"{share}_{name}" for name in shared for share in SHARES]
    lines = [head]
    for image, confusion in images:
        values = [confusion.accuracy(), confusion.macro_dice()]
        values += [*confusion.dice().tolist(), *confusion.iou().tolist()]
        for labels in shared.values():
            truth, mapped = share_of(confusion, labels)
            values += [truth, mapped, mapped - truth]
        cells = ["" if math.isnan(value) else f"{value:.6f}" for value in values]
        lines.append([image, str(_pixels(confusion)), *cells])
    write_csv(path, lines)


def ranked(
    images: Iterable[tuple[str, ConfusionMatrix]], groups: Mapping[str, Sequence[int]]
) -> list[dict]:
    """Sort images by their accuracy, the lowest first. Images without a pixel come last.

    Args:
        images: Name and confusion matrix of each image.
        groups: {name: labels} of the classes whose shares are compared.

    Returns:
        A dict for each image: "name", "pixels", "accuracy", "macro_dice", "dice": [K], and "share":
        (group, truth, prediction) of the group with the largest difference between its shares.
    """
    rows = []
    for name, confusion in images:
        shares = [(group, *share_of(confusion, labels)) for group, labels in groups.items()]
        rows.append(
            {
                "name": name,
                "pixels": _pixels(confusion),
                "accuracy": confusion.accuracy(),
                "macro_dice": confusion.macro_dice(),
                "dice": confusion.dice().tolist(),
                "share": max(shares, key=lambda share: abs(share[2] - share[1]), default=NO_SHARE),
            }
        )
    return sorted(rows, key=lambda row: (math.isnan(row["accuracy"]), row["accuracy"]))


def table(images: Sequence[Mapping], names: Sequence[str]) -> str:
    """Make the section of the report with the table of images.

    Args:
        images: From `ranked`.
        names: The names of the K classes.
    """
    titles = ["pixels", "accuracy", "macro Dice", "largest error of a share"]
    titles.append("its class: truth &rarr; prediction, %")
    titles += [f"Dice {escape(name)}" for name in names]
    start = os.path.commonprefix([image["name"] for image in images])
    folder = start[: start.rfind("/") + 1]  # of all images: the table leaves it out
    rows = ""
    for image in images[:ROWS]:
        scores = [fixed(value, 3) for value in (image["accuracy"], image["macro_dice"])]
        group, truth, prediction = image["share"]
        difference = f"{100 * (prediction - truth):+.1f}"
        error = [difference, f"{escape(group)} {_from_to(truth, prediction)}"]
        if math.isnan(truth):
            error = ["&ndash;"] * 2
        dice = [fixed(value, 3) for value in image["dice"]]
        name = re.sub("([/_])", r"\1<wbr>", escape(image["name"].removeprefix(folder)))
        rows += row(name, [f"{image['pixels']:,}", *scores, *error, *dice])
    where = f" of {escape(folder)}" if folder else ""
    shown = f"{ROWS} of the {len(images)}" if len(images) > ROWS else f"All {len(images)}"
    columns = head(["image", *(f"<span>{title}</span>" for title in titles)])
    tall = " tall" if len(names) > 4 else ""
    return f"""<h2>Images, the worst first</h2>
<div class="scroll"><table class="images{tall}">{columns}\n{rows}</table></div>
<p><small>Sorted by accuracy, the lowest first. {shown} images{where} are shown; scores.csv
beside this page has all images, and IoU and shares of each class. The error of a share is
prediction &minus; truth in percentage points. &ndash; is 0/0.</small></p>"""


def figures(confusion: ConfusionMatrix, names: Sequence[str]) -> dict:
    """Compute "accuracy", and "text" with macro Dice and shares, of one image or window."""
    if not _pixels(confusion):
        return {"accuracy": math.nan, "text": "no pixel with a label"}
    shares = [(name, *share_of(confusion, [label])) for label, name in enumerate(names)]
    listed = [
        f"{name} {_from_to(truth, prediction)} %"
        for name, truth, prediction in shares
        if truth or prediction
    ]
    accuracy, arrow = confusion.accuracy(), "\N{RIGHTWARDS ARROW}"
    measured = f"accuracy {accuracy:.3f}, macro Dice {confusion.macro_dice():.3f}"
    text = f"{measured}; share of truth {arrow} prediction: {', '.join(listed)}"
    return {"accuracy": accuracy, "text": text}


def described(samples: Iterable[Mapping], names: Sequence[str]) -> list[dict]:
    """Add the `figures` to samples, from the labels (h, w) in "truth" and "prediction"."""
    found = []
    for sample in samples:
        confusion = ConfusionMatrix(len(names))
        confusion.update(sample["prediction"], sample["truth"])
        found.append({**sample, **figures(confusion, names)})
    return found


def _from_to(truth: float, prediction: float) -> str:
    """Write two shares in per cent."""
    return f"{100 * truth:.1f} \N{RIGHTWARDS ARROW} {100 * prediction:.1f}"


def _pixels(confusion: ConfusionMatrix) -> int:
    """Count the pixels of a matrix."""
    return int(confusion.matrix.sum())
