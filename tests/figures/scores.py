"""Figures of stations 7 and 8: losses over p and their slopes, and a matrix taken apart."""

import numpy as np
import torch
from figures.svg import BLUE, INK, MUTED, ORANGE, PURPLE, Figure, Plot, color, ticks
from torch import Tensor

from data.classes import ClassTable
from unet import losses
from unet.metrics import ConfusionMatrix

ESM = ClassTable.load("esm")
CURVES = {"cross_entropy": BLUE, "focal": ORANGE, "dice": PURPLE}
NAMES = {"cross_entropy": "cross-entropy", "focal": "focal, γ = 2", "dice": "Dice"}
PROBABILITIES = np.linspace(0.01, 0.99, 99)
RARE = 99  # pixels of the other class for each pixel of the rare class


def of_probabilities(loss: str, others: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute a loss, and its slope, for one pixel of class 1 among pixels of class 0.

    The pixel of class 1 has the probability p of its class, from PROBABILITIES. If there is one
    other pixel it has the same p, and if there are more they are as good as right (p = 1 - 1e-4).

    Returns:
        The loss, and its derivative by the logit of the right class of the pixel of class 1.
    """
    values, slopes = [], []
    for p in torch.from_numpy(PROBABILITIES):
        own = torch.stack([p.new_zeros(()), (p / (1 - p)).log()]).requires_grad_()
        other = own.detach().flip(0) if others == 1 else p.new_tensor([np.log(9999), 0])
        logits = torch.stack([own, *[other] * others], dim=1)[None, :, None]  # (1, 2, 1, pixels)
        target = torch.tensor([[[1] + [0] * others]])
        value = losses.LOSSES[loss](logits, target)
        values.append(value.item())
        slopes.append(torch.autograd.grad(value, own)[0][1].item())
    return np.array(values), np.array(slopes)


def curves() -> Figure:
    """Draw three losses and their slopes, for equal classes and for a rare one."""
    figure = Figure(610, "Three losses over p, the probability of the right class")
    columns = (
        (1, 62, 400, "two pixels, one of each class, both with p", "equal "),
        (RARE, 482, 820, f"1 pixel of a rare class with p, {RARE} others right", "rare "),
    )
    p = ticks([0, 0.25, 0.5, 0.75, 1])
    tops = {1: (3.0, 1.0, 0.0, 0.8, 0.2), RARE: (0.6, 0.2, 0.0, 0.15, 0.05)}
    for others, left, right, title, name in columns:
        figure.text(left - 42, 92, title, weight=600)
        high, step, low, most, slope = tops[others]
        y = ticks(np.arange(0, high + step / 2, step).round(2).tolist())
        loss = Plot(figure, name + "loss", (left, 130, right, 306), p, y, "p", "loss")
        y = ticks(np.arange(low, most + slope / 2, slope).round(2).tolist())
        label = "\N{MINUS SIGN} slope by the logit: the pull on the pixel"
        pull = Plot(figure, name + "slope", (left, 382, right, 558), p, y, "p", label)
        for function, stroke in CURVES.items():
            values, slopes = of_probabilities(function, others)
            inside = values <= high
            loss.curve(function, PROBABILITIES[inside], values[inside], stroke)
            pull.curve(function, PROBABILITIES, -slopes, stroke)
    for n, (function, stroke) in enumerate(CURVES.items()):
        figure.line(20 + 160 * n, 57, 48 + 160 * n, 57, stroke=stroke, stroke_width=3)
        figure.text(54 + 160 * n, 61, NAMES[function])
    return figure


def taken_apart(confusion: Tensor, source: str) -> Figure:
    """Draw a confusion matrix (K, K), what four metrics take from it, and their values."""
    figure = Figure(640, "One confusion matrix, and the metrics that come from it")
    counted = ConfusionMatrix(len(confusion), confusion)
    _matrix(figure, confusion, 150, 112)
    figure.text(20, 64, source, size=12.5, fill=MUTED)
    last = len(confusion) - 1
    name = ESM.names[last]
    figure.text(516, 92, f"for the class {name}:", weight=600)
    right, truth, mapped = (
        int(confusion[last, last]),
        int(confusion[last].sum()),
        int(confusion[:, last].sum()),
    )
    lines = (
        f"TP = {right:,}  (on the diagonal)",
        f"row sum = {truth:,}  (truth)",
        f"column sum = {mapped:,}  (map)",
    )
    figure.lines(516, 116, lines, step=20)
    formulas = {
        "recall": ("TP / row sum", right / truth),
        "precision": ("TP / column sum", right / mapped),
        "IoU": ("TP / (row + column \N{MINUS SIGN} TP)", right / (truth + mapped - right)),
        "Dice": ("2 TP / (row + column)", 2 * right / (truth + mapped)),
    }
    for n, (metric, (formula, value)) in enumerate(formulas.items()):
        y = 196 + 38 * n
        _mini(figure, 516, y - 20, metric, len(confusion))
        figure.text(562, y - 6, f"{metric} = {value:.3f}", weight=600, data_metric=metric)
        figure.text(562, y + 10, formula, size=12, fill=MUTED)
    _bars(figure, counted)
    return figure


def _matrix(figure: Figure, confusion: Tensor, x: float, y: float) -> None:
    """Draw the counts, shaded by their share of the row, with the sums of rows and columns."""
    wide, tall, count = 88, 50, len(confusion)
    figure.text(x, y - 24, "map", size=12.5, fill=MUTED)
    figure.text(20, y - 6, "truth", size=12.5, fill=MUTED)
    for k, name in enumerate(ESM.names[:count]):
        figure.text(x + (k + 0.5) * wide, y - 6, name, size=11.5, anchor="middle")
        figure.text(x - 8, y + (k + 0.5) * tall + 4, name, size=12.5, anchor="end")
    with figure.group("matrix"):
        for row in range(count):
            for col in range(count):
                cell = int(confusion[row, col])
                share = cell / max(1, int(confusion[row].sum()))
                fill = BLUE if row == col else ORANGE
                place = x + col * wide, y + row * tall
                figure.rect(
                    *place,
                    wide,
                    tall,
                    fill=fill,
                    fill_opacity=0.06 + 0.5 * share,
                    stroke="#ffffff",
                    stroke_width=2,
                )
                figure.text(place[0] + wide / 2, place[1] + 30, f"{cell:,}", anchor="middle")
    for k in range(count):
        right, below = int(confusion[k].sum()), int(confusion[:, k].sum())
        figure.text(x + count * wide + 8, y + (k + 0.5) * tall + 4, f"{right:,}", fill=MUTED)
        at = x + (k + 0.5) * wide, y + count * tall + 22
        figure.text(*at, f"{below:,}", fill=MUTED, anchor="middle")
    figure.text(x + count * wide + 8, y - 6, "row sum", size=11.5, fill=MUTED)
    figure.text(x - 8, y + count * tall + 22, "column sum", size=11.5, fill=MUTED, anchor="end")
    words = [
        "Each cell counts the pixels that have the class of",
        "its row in the truth and the class of its column in the map.",
    ]
    figure.lines(20, y + count * tall + 54, words, size=12, fill=MUTED)


def _mini(figure: Figure, x: float, y: float, metric: str, count: int) -> None:
    """Draw which cells a metric of the last class takes: TP dark, the others of its sums light."""
    cell, last = 11, count - 1
    for row in range(count):
        for col in range(count):
            counts = {
                "recall": row == last,
                "precision": col == last,
                "IoU": row == last or col == last,
                "Dice": row == last or col == last,
            }[metric]
            fill = BLUE if row == col == last else "#b6d4f2" if counts else "#eef2f6"
            figure.rect(x + col * cell, y + row * cell, cell, cell, fill=fill, stroke="#ffffff")


def _bars(figure: Figure, confusion: ConfusionMatrix) -> None:
    """Draw the four metrics of each class as bars, and the means as text."""
    metrics = {
        "recall": confusion.recall(),
        "precision": confusion.precision(),
        "IoU": confusion.iou(),
        "Dice": confusion.dice(),
    }
    x = {0: "", 4: ""}
    plot = Plot(figure, "metrics", (62, 406, 820, 552), x, ticks([0, 0.25, 0.5, 0.75, 1]))
    for n, (metric, values) in enumerate(metrics.items()):
        figure.text(plot.to_x(n + 0.5), 572, metric, anchor="middle", weight=600)
        for k, value in enumerate(values.nan_to_num().tolist()):
            left = n + 0.14 + 0.25 * k
            plot.bars(
                f"{metric} {ESM.names[k]}",
                (left, left + 0.22),
                [value],
                color(ESM.colors[k]),
                stroke=MUTED,
                stroke_width=0.7,
            )
            at = plot.to_x(left + 0.11), plot.to_y(value) - 5
            figure.text(*at, f"{value:.2f}", size=11, anchor="middle", fill=INK)
    x = 62
    for name, rgb in zip(ESM.names, ESM.colors):
        figure.swatch(x, 606, color(rgb), name)
        x += 50 + 7 * len(name)
    means = (
        f"macro Dice {confusion.macro_dice():.3f},  weighted Dice {confusion.weighted_dice():.3f}"
    )
    figure.text(
        820,
        606,
        f"{means},  mean IoU {confusion.mean_iou():.3f}",
        anchor="end",
        size=12.5,
        data_means="",
    )
