"""The report of a training or of an evaluation: one HTML page that needs no other file.

Curves are inline SVG (unet/evaluation/charts.py), and unet/evaluation/markup.py makes the HTML of
page, tables and pictures. `html` makes the text of the page from plain values, and `write` writes
it. The metrics of the classes are computed from one confusion matrix (unet/metrics.py).

Read beside it: tests/unet/evaluation/test_report.py.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from data.files import replacing
from unet.evaluation import alignment, image_scores, reliability
from unet.evaluation.charts import histograms, line_chart, scatter
from unet.evaluation.markup import Color, escape, fixed, head, page, row, samples, settings, swatch
from unet.metrics import ConfusionMatrix, macro, weighted

CHARTS = {  # title: {label: key of the history}
    "Loss": {"training": "train_loss", "validation": "val_loss"},
    "Validation": {
        "macro Dice": "macro_dice",
        "weighted Dice": "weighted_dice",
        "mean IoU": "mean_iou",
    },
    "Learning rate": {"learning rate": "lr"},
}
MEASURES = {"Dice": "dice", "IoU": "iou", "accuracy": "accuracy"}  # label: prefix of the class
CLASS_COLUMNS = [
    "class",
    "pixels of truth",
    "% of truth",
    "% of prediction",
    "IoU",
    "Dice",
    "precision",
    "recall",
]
SHARE_COLUMNS = [
    "class",
    "% of truth",
    "% of prediction",
    "mean error",
    "95 % interval",
    "Spearman",
]
DASH_NOTE = """<br>&ndash; is 0/0 and is left out of the means: IoU and Dice of a class that neither
occurs nor is predicted, precision of a class that is never predicted, recall of a class that does
not occur."""


def write(path: Path, run: Mapping) -> None:
    """Write the page of `html` as a file."""
    text = html(run)
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8", "replace")


def html(run: Mapping) -> str:
    """Make the report of a training run, or of an evaluation.

    The keys title, classes and matrix are needed. Any other key may be missing or empty, and the
    report then has no such section.

    Args:
        run: A mapping with the keys
            title: str, the heading.
            summary: [(label, text)], the line below the heading.
            history: [dict], one for each epoch, with epoch, lr, train_loss, val_loss, macro_dice,
                weighted_dice and mean_iou, and dice_<name>, iou_<name> and accuracy_<name> for each
                class. A value that is missing, None, NaN or infinite is a gap in its curve.
            best_epoch: int, an epoch of the history.
            command: str, the command to run next.
            classes: [(name, (red, green, blue))], K of them.
            matrix: (K, K) int64 tensor on the CPU, or nested list: rows truth, columns prediction.
            shares: [dict], one for each class or group of classes, with "name", "pairs": [(truth,
                prediction)], the shares 0..1 in each image or window, "text": their statistics in
                words, and optionally "line": (slope, intercept) of the fitted line.
            images: [dict], from `image_scores.ranked`.
            share_table: [dict], one for each class, with "name" and the keys of
                `shares.share_statistics`.
            calibration: {T: counts}, as in `reliability.section`.
            alignment: dict, as in `alignment.section`.
            legend: [(name, (red, green, blue))], the colours of the samples.
            samples: [dict], each with "title": str, "pictures": {caption: bytes of a PNG file} and
                optionally "text": str, figures in words, and "group": str, the heading of this
                sample and of those that follow with the same group.
            settings: {name: value}. A list is written with commas.

    Returns:
        The text of an HTML file in UTF-8.

    Raises:
        ValueError: The matrix does not have K x K entries.
    """
    names = [name for name, _ in run["classes"]]
    confusion = ConfusionMatrix(len(names), run["matrix"])
    sections = [
        _curves(run["history"], run.get("best_epoch")) if run.get("history") else "",
        _class_curves(run["history"], names, run.get("best_epoch")) if run.get("history") else "",
        _classes(confusion, run["classes"]),
        _confusion(confusion, names),
        image_scores.table(run["images"], names) if run.get("images") else "",
        _scatters(run["shares"]) if run.get("shares") else "",
        _share_table(run["share_table"]) if run.get("share_table") else "",
        reliability.section(run["calibration"]) if run.get("calibration") else "",
        alignment.section(run["alignment"]) if run.get("alignment") else "",
        samples(run["samples"], run.get("legend", [])) if run.get("samples") else "",
        settings(run["settings"]) if run.get("settings") else "",
    ]
    command = f"<p>Next:</p><pre>{escape(run['command'])}</pre>" if run.get("command") else ""
    return page(run["title"], run.get("summary", []), command, *sections)


def _curves(history: Sequence[Mapping], best: int | None) -> str:
    """Make the section of learning curves."""
    charts, epochs = "", [epoch["epoch"] for epoch in history]
    for title, keys in CHARTS.items():
        series = {label: [epoch.get(key) for epoch in history] for label, key in keys.items()}
        charts += line_chart(series, epochs, title, best, width=420 if len(series) > 1 else 240)
    return f'<h2>Learning curves</h2><div class="charts">{charts}</div>'


def _class_curves(history: Sequence[Mapping], names: Sequence[str], best: int | None) -> str:
    """Make the section of the curves of each class: small charts with the same axes, 0 to 1."""
    charts, absent, epochs = "", [], [epoch["epoch"] for epoch in history]
    for name in names:
        series = {
            label: [epoch.get(f"{prefix}_{name}") for epoch in history]
            for label, prefix in MEASURES.items()
        }
        if any(math.isfinite(y) for ys in series.values() for y in ys if y is not None):
            title = name if len(name) < 32 else f"{name[:30]}…"
            charts += line_chart(series, epochs, title, best, 280, 220, least=(0, 1))
        else:
            absent.append(escape(name))
    if not charts:
        return ""
    note = f" Neither in the truth nor predicted: {', '.join(absent)}." if absent else ""
    return f"""<h2>Classes by epoch</h2><div class="classes">{charts}</div>
<p><small>Validation. The accuracy of a class is the share of its true pixels that are right
(recall).{note}</small></p>"""


def _classes(confusion: ConfusionMatrix, classes: Sequence[tuple[str, Color]]) -> str:
    """Make the table of the metrics of each class, and their means."""
    truth, prediction = confusion.support(), confusion.matrix.sum(0)
    measures = [confusion.iou(), confusion.dice(), confusion.precision(), confusion.recall()]
    rows, foot = "", ""
    for k, (name, color) in enumerate(classes):
        shares = [fixed(100 * pixels[k] / truth.sum(), 1) for pixels in (truth, prediction)]
        scores = [fixed(values[k], 3) for values in measures]
        rows += row(swatch(color) + escape(name), [f"{int(truth[k]):,}", *shares, *scores])
    for title, mean in ("macro mean", macro), ("weighted mean", partial(weighted, support=truth)):
        foot += row(title, ["", "", "", *(fixed(mean(values), 3) for values in measures)])
    dash = DASH_NOTE if any(values.isnan().any() for values in measures) else ""
    table = f"<table>{head(CLASS_COLUMNS)}{rows}\n<tfoot>{foot}</tfoot></table>"
    return f"""<h2>Classes</h2><div class="scroll">{table}</div>
<p><small>Macro mean: every class counts the same. Weighted mean: by pixels of truth.{dash}</small>
</p>"""


def _confusion(confusion: ConfusionMatrix, names: list[str]) -> str:
    """Make the confusion matrix twice: in pixels, and in per cent of the row."""
    shares = (confusion.matrix / confusion.support()[:, None]).tolist()
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    head = f"<thead><tr><th>truth &darr; prediction &rarr;</th>{head}</tr></thead>"
    pixels, percent = "", ""
    for t, (name, counts) in enumerate(zip(names, confusion.matrix.tolist())):
        heat = [_heat(share, t == p) for p, share in enumerate(shares[t])]
        pixels += row(escape(name), [f"{count:,}" for count in counts], heat)
        percent += row(escape(name), [fixed(100 * share, 1) for share in shares[t]], heat)
    table = f'<table class="matrix{" tall" if len(names) > 4 else ""}">{head}'
    caption = "% of the row, with recall on the diagonal"
    return f"""<h2>Confusion matrix</h2><p>Rows are the truth, columns the prediction. The shade is
the share of the row: blue right, orange wrong.</p><div class="matrices">
<figure><figcaption>pixels</figcaption>{table}{pixels}</table></figure>
<figure><figcaption>{caption}</figcaption>{table}{percent}</table></figure>
</div>"""


def _scatters(shares: Sequence[Mapping]) -> str:
    """Make a scatter plot and two histograms of the shares of each group of classes."""
    plots = ""
    for group in shares:
        pairs = [(100 * t, 100 * p) for t, p in group["pairs"] if not math.isnan(t + p)]
        slope, intercept = group.get("line", (math.nan, math.nan))
        fitted = "" if math.isnan(slope) else " The solid line is that of least squares."
        plots += f"""<h2>Share of {escape(group["name"])}</h2><figure class="scatters">
{scatter(pairs, (slope, 100 * intercept))}{histograms(pairs)}<figcaption>{escape(group["text"])}<br>
A dot on the dashed line: truth and prediction agree.{fitted}</figcaption></figure>"""
    return plots


def _share_table(classes: Sequence[Mapping]) -> str:
    """Make the table of the statistics of each class's share over the images."""
    rows = ""
    for entry in classes:
        points = [fixed(100 * entry[key], 2) for key in ("truth", "prediction", "error")]
        interval = f"{fixed(100 * entry['low'], 2)} to {fixed(100 * entry['high'], 2)}"
        rows += row(escape(entry["name"]), [*points, interval, fixed(entry["spearman"], 3)])
    table = f"<table>{head(SHARE_COLUMNS)}\n{rows}</table>"
    return f"""<h2>Shares of the classes, image by image</h2><div class="scroll">{table}</div>
<p><small>Means over the images, each with the same weight. The error is the mean absolute
difference in percentage points, with Student's 95 % interval. &ndash; is not defined: the share is
the same in all images, or there are too few images.</small></p>"""


def _heat(share: float, right: bool) -> str:
    """Make the attribute of a cell of the matrix: its shade, or a CSS class if it has no pixels."""
    if not share > 0:
        return ' class="none"'
    color = "42,127,208" if right else "221,107,16"
    return f' style="background:rgba({color},{0.08 + 0.5 * share:.2f})"'
