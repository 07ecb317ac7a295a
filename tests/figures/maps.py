"""Figures of stations 8 to 10: maps of towns that the network has not seen.

`measure` maps the towns with predict.py, as a user would, and reads what it has written.
"""

import contextlib
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from figures.rasters import on_image
from figures.svg import BLUE, GRID, INK, MUTED, ORANGE, Figure, Plot, color
from torch import Tensor

import predict
from data.classes import ClassTable
from data.files import IGNORE
from data.output import preview
from data.raster import Raster, cog
from data.sample.towns import BANDS, Sample
from unet.evaluation.calibration import BINS, expected_calibration_error, reliability
from unet.metrics import ConfusionMatrix

ESM = ClassTable.load("esm")
CROP = slice(60, 240)  # rows and columns of the town in the figure of the epochs


class Areas(NamedTuple):
    """The share of a class in a town, from 0 to 1. The estimate is NaN if there is none."""

    town: int
    label: int
    truth: float
    mapped: float
    adjusted: float
    low: float
    high: float


class Measured(NamedTuple):
    """What was measured with the towns."""

    maps: dict[int, np.ndarray]  # epoch -> labels (H, W) of the first town
    matrices: dict[int, Tensor]  # epoch -> confusion matrix (K, K) of the first town
    confusion: Tensor  # (K, K) of all towns, after the last epoch
    bins: Tensor  # (3, BINS) of `calibration.reliability`, likewise
    areas: list[Areas]


def measure(towns: Mapping[int, Sample], checkpoints: Mapping[int, Path], folder: Path) -> Measured:
    """Map towns with predict.py.

    Args:
        towns: {number: town}. The first one is mapped with each checkpoint.
        checkpoints: {epoch: file}. All towns are mapped with the last one.
        folder: For images and maps.
    """
    images = {n: write(town, folder / f"town_{n:03}.tif") for n, town in towns.items()}
    truths = {number: on_image(town) for number, town in towns.items()}
    first, last = next(iter(towns)), max(checkpoints)
    maps, matrices = {}, {}
    for epoch, path in checkpoints.items():
        chosen = images if epoch == last else {first: images[first]}
        output = folder / f"epoch_{epoch}"
        words = ["--checkpoint", path, "--output", output, "--probabilities", "float32"]
        with contextlib.redirect_stdout(io.StringIO()):
            predict.main([str(word) for word in (*chosen.values(), *words)])
        maps[epoch] = labels_of(output / f"{images[first].stem}_landcover.tif")
        matrices[epoch] = confusion_of(maps[epoch], truths[first])
    total, bins, areas = torch.zeros_like(matrices[last]), torch.zeros(3, BINS), []
    for number, path in images.items():
        mapped = labels_of(output / f"{path.stem}_landcover.tif")
        total += confusion_of(mapped, truths[number])
        with Raster(output / f"{path.stem}_landcover_probabilities.tif") as raster:
            probabilities = torch.from_numpy(raster.read())[None]
        target = np.where(mapped == IGNORE, IGNORE, truths[number])
        bins = bins + reliability(probabilities, torch.from_numpy(target)[None])
        areas += areas_of(output, number, path, target)
    return Measured(maps, matrices, total, bins, areas)


def write(town: Sample, path: Path) -> Path:
    """Write the image of a town as a GeoTIFF."""
    cog.write(path, town.image, town.image_grid, 0, None, BANDS)
    return path


def labels_of(path: Path) -> np.ndarray:
    """Read a map as labels (H, W)."""
    with Raster(path) as raster:
        codes, nodata = raster.read()[0], raster.nodata
    return np.where(codes == nodata, IGNORE, ESM.encode(codes, nodata)).astype(np.uint8)


def confusion_of(mapped: np.ndarray, truth: np.ndarray) -> Tensor:
    """Count the confusion matrix (K, K) of a map; its pixels without data do not count."""
    confusion = ConfusionMatrix(len(ESM.names))
    target = np.where(mapped == IGNORE, IGNORE, truth)
    labels = np.where(mapped == IGNORE, 0, mapped)
    confusion.update(torch.from_numpy(labels), torch.from_numpy(target))
    return confusion.matrix


def areas_of(output: Path, number: int, image: Path, target: np.ndarray) -> list[Areas]:
    """Read the shares of the classes of a town from the table of areas."""
    with open(next(output.glob("*areas.csv")), newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if Path(row["image"]).name == image.name]
    found = []
    for row in rows:
        label = ESM.names.index(row["class"])
        truth = float((target == label).sum() / (target != IGNORE).sum())
        names = "share", "adjusted_share", "adjusted_share_low", "adjusted_share_high"
        found.append(Areas(number, label, truth, *(float(row[name] or "nan") for name in names)))
    return found


def epochs(town: Sample, measured: Measured) -> Figure:
    """Draw the image, the truth, and the map of a town after each of some epochs."""
    figure = Figure(692, "The loop: the map of an unseen town while the network learns")
    side, gap = 252, 22
    truth = on_image(town)
    drawn = [("image", preview.rgb(town.image[:, CROP, CROP], BANDS, 0), "")]
    drawn.append(("truth", preview.colored(truth[CROP, CROP], ESM), "the mask on the image's grid"))
    for epoch, labels in measured.maps.items():
        counted = ConfusionMatrix(len(ESM.names), measured.matrices[epoch])
        words = f"macro Dice {counted.macro_dice():.3f}, accuracy {counted.accuracy():.3f}"
        name = f"after epoch {epoch}"
        drawn.append((name, preview.colored(labels[CROP, CROP], ESM), words))
    for n, (name, picture, words) in enumerate(drawn):
        x, y = 20 + n % 3 * (side + gap), 70 + n // 3 * (side + 52)
        figure.text(x, y - 8, name, weight=600)
        figure.image(x, y, side, side, picture, photo=n == 0, data_name=name)
        figure.text(x, y + side + 16, words, size=12, fill=MUTED, data_score=name)
    x = 20
    for name, rgb in zip(ESM.names, ESM.colors):
        figure.swatch(x, 674, color(rgb), name)
        x += 50 + 7 * len(name)
    words = "scores of the whole town, of which this is the middle"
    figure.text(820, 674, words, size=12, fill=MUTED, anchor="end")
    return figure


def diagram(measured: Measured, towns: int) -> Figure:
    """Draw the accuracy of the pixels over their confidence."""
    figure = Figure(430, "How sure, and how often right: a reliability diagram")
    bins = measured.bins
    x = {n / 4: f"{25 * n} %" for n in range(5)}
    plot = Plot(figure, "reliability", (70, 84, 400, 360), x, x, "confidence", "accuracy")
    share = bins[0] / bins[0].sum()
    edges = np.linspace(0, 1, BINS + 1)
    plot.bars("pixels", edges, share.tolist(), MUTED, fill_opacity=0.25)
    plot.curve("right", [0, 1], [0, 1], MUTED, stroke_dasharray="3 4", stroke_width=1.5)
    known = bins[0] > 0
    confidence, accuracy = (bins[1:, known] / bins[0, known]).tolist()
    plot.curve("line", confidence, accuracy, BLUE)
    for n, point in enumerate(zip(confidence, accuracy)):
        plot.dot(str(n), *point, BLUE, 4)
    lines = [
        "Confidence: the largest probability of a pixel.",
        "Blue: of the pixels of each bin, how many are right.",
        "Dashed: as many right as the network is sure.",
        "Below it the network is too sure.",
        "Grey bars: the share of all pixels in each bin.",
    ]
    figure.lines(440, 108, lines, size=12.5, step=22)
    error = 100 * expected_calibration_error(bins)
    figure.text(440, 250, f"Expected calibration error: {error:.2f} %", weight=600)
    figure.text(440, 272, "the mean distance from the dashed line, over all pixels", size=12.5)
    pixels = f"{int(bins[0].sum()):,} pixels of {towns} towns that no training saw"
    figure.text(440, 316, pixels, size=12.5, fill=MUTED)
    return figure


def intervals(measured: Measured) -> Figure:
    """Draw the share of two classes in each town: mapped, estimated with its interval, and true."""
    towns = sorted({row.town for row in measured.areas})
    labels = ESM.foreground
    height = 130 + 26 * len(towns)
    figure = Figure(height + 44, "From a map to an area with its error, in towns no training saw")
    held = [row for row in measured.areas if row.label in labels and row.low == row.low]
    for column, label in enumerate(labels):
        rows = {row.town: row for row in measured.areas if row.label == label}
        values = [(row.truth, row.mapped, row.high) for row in rows.values()]
        most = float(np.ceil(np.nanmax(values) * 20) / 20)
        left = 110 + 380 * column
        box = left, 84, left + 320, height - 20
        x = {n * most / 5: f"{100 * n * most / 5:.0f} %" for n in range(6)}
        figure.text(left, 68, f"{ESM.names[label]}, share of the pixels", weight=600)
        plot = Plot(figure, ESM.names[label], box, x, {0: "", len(towns): ""})
        for line, town in enumerate(towns):
            row, y = rows[town], plot.to_y(len(towns) - line - 0.5)
            figure.line(left, y, left + 320, y, stroke=GRID)
            if not column:
                figure.text(left - 10, y + 4, f"town {town}", anchor="end", size=12)
            _interval(figure, plot, row, y)
    _key(figure, 20, height + 26)
    inside = sum(row.low <= row.truth <= row.high for row in held)
    words = f"{inside} of {len(held)} intervals hold the truth"
    style = {"anchor": "end", "weight": 600}
    figure.text(820, height + 26, words, data_held="held", **style)
    return figure


def _interval(figure: Figure, plot: Plot, row: Areas, y: float) -> None:
    """Draw the interval, the estimate, the mapped and the true share of a town."""
    if row.low == row.low:
        name = f"{plot.name} {row.town}"
        x = [plot.to_x(value) for value in (row.low, row.high)]
        figure.rect(x[0], y - 6, x[1] - x[0], 12, fill=BLUE, fill_opacity=0.25, data_interval=name)
        at = plot.to_x(row.adjusted)
        figure.line(at, y - 7, at, y + 7, stroke=BLUE, stroke_width=3)
    figure.circle(plot.to_x(row.mapped), y, 4.5, fill="none", stroke=ORANGE, stroke_width=2)
    figure.circle(plot.to_x(row.truth), y, 3.5, fill=INK, data_truth=f"{plot.name} {row.town}")


def _key(figure: Figure, x: float, y: float) -> None:
    """Explain the marks."""
    figure.circle(x + 6, y - 4, 3.5, fill=INK)
    figure.text(x + 18, y, "truth", size=12.5)
    figure.circle(x + 76, y - 4, 4.5, fill="none", stroke=ORANGE, stroke_width=2)
    figure.text(x + 88, y, "as mapped", size=12.5)
    figure.rect(x + 174, y - 10, 30, 12, fill=BLUE, fill_opacity=0.25)
    figure.line(x + 189, y - 11, x + 189, y + 3, stroke=BLUE, stroke_width=3)
    figure.text(x + 212, y, "adjusted, with 95 % interval", size=12.5)


def unseen(towns: Sequence[int]) -> str:
    """Say which towns a matrix counts."""
    return f"{len(towns)} synthetic towns that no training saw, after the last epoch"
