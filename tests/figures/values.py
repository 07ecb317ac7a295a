"""Figures of stations 3 to 5: codes and labels, bands and their scaling, blending weights."""

import numpy as np
from figures.rasters import busiest
from figures.svg import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, RED, Figure, Plot, color, ticks

from data import bands, tiling
from data.classes import ClassTable
from data.output import preview
from data.sample.towns import BANDS, Sample
from data.scaling import PERCENTILES, Scaling

ESM = ClassTable.load("esm")
CELLS = 7  # pixels on a side of the zoom
CROP = slice(75, 225)  # rows and columns of the town that are shown
BINS = 60
NDVI_RAMP = np.array([[140, 81, 10], [246, 232, 195], [1, 102, 94]], float)  # -0.2, 0.3, 0.8
FILLS = {"Red": RED, "NIR": PURPLE, "NDVI": GREEN}
SCENE = 500, 256, 64  # pixels of an axis, of a window, and of the overlap


def classes(town: Sample) -> Figure:
    """Draw a mask, its codes and its labels, and the table that converts them."""
    figure = Figure(452, "From codes to labels: the class table esm")
    side, top = 224, 84
    figure.image(20, top, side, side, preview.colored(ESM.encode(town.mask), ESM), data_name="mask")
    row, col = busiest(ESM.encode(town.mask), CELLS)
    scale = side / max(town.mask.shape)
    square = (20 + col * scale, top + row * scale, CELLS * scale, CELLS * scale)
    figure.rect(*square, stroke=INK, stroke_width=2)
    part = town.mask[row : row + CELLS, col : col + CELLS]
    _cells(figure, "codes", 302, top, side, part, ESM.encode(part))
    _cells(figure, "labels", 596, top, side, ESM.encode(part), ESM.encode(part))
    height, width = town.mask.shape
    for x, words in (
        (20, f"mask, {height} × {width} pixels"),
        (302, "codes in the file, black square"),
        (596, "labels for the network"),
    ):
        figure.text(x, top - 14, words, weight=600)
    middle = top + side / 2
    figure.arrow(534, middle - 14, 588, middle - 14)
    figure.text(561, middle - 22, "encode", size=12, anchor="middle")
    figure.arrow(588, middle + 14, 534, middle + 14)
    figure.text(561, middle + 32, "decode", size=12, anchor="middle")
    _table(figure, town, top + side + 32)
    return figure


def _cells(figure, name: str, x, y, side, numbers: np.ndarray, labels: np.ndarray) -> None:
    """Draw a number in each pixel, on the colour of its class."""
    cell = side / CELLS
    with figure.group(name):
        for (row, col), label in np.ndenumerate(labels):
            place = x + col * cell, y + row * cell
            fill = color(ESM.colors[label])
            figure.rect(*place, cell, cell, fill=fill, stroke="#ffffff")
            ink = INK if label == 0 else "#ffffff"
            words, at = str(numbers[row, col]), (place[0] + cell / 2, place[1] + cell / 2 + 4.5)
            figure.text(*at, words, size=12.5, fill=ink, anchor="middle")


def _table(figure: Figure, town: Sample, y: float) -> None:
    """Draw the rows of the table, with the number of pixels of each code in the mask."""
    columns = 20, 110, 290, 400, 500, 640
    heads = "code", "name", "colour", "label", "map's code", "pixels of this mask"
    for x, head in zip(columns, heads):
        figure.text(x, y, head, size=12, fill=MUTED)
    figure.line(20, y + 7, 820, y + 7)
    for line, (code, name, rgb, _) in enumerate(ESM.rows, start=1):
        at, label = y + 6 + 20 * line, ESM.names.index(name)
        written, pixels = ESM.codes[label], int((town.mask == code).sum())
        cells = code, name, None, label, written, f"{pixels:,}"
        for x, cell in zip(columns, cells):
            if cell is not None:
                figure.text(x, at, str(cell), data_row=code)
        figure.rect(columns[2], at - 11, 40, 14, fill=color(rgb), stroke=MUTED, stroke_width=0.7)


def spread(town: Sample) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Scaling]:
    """Return three channels (n,) of the pixels with data, the same scaled, and the scaling."""
    names = ["Red", "NIR"]
    valid = town.image[0] > 0
    pixels = bands.stack(town.image[:, valid], BANDS, ["NDVI"])
    shown = [BANDS.index(name) for name in names] + [len(BANDS)]
    scaling = Scaling.fit(pixels[shown], "minmax")
    scaled = scaling.apply(pixels[shown][:, :, None].copy())[:, :, 0]
    keys = [*names, "NDVI"]
    return dict(zip(keys, pixels[shown])), dict(zip(keys, scaled)), scaling


def scaling(town: Sample) -> Figure:
    """Draw a town, its NDVI, and three channels before and after scaling."""
    figure = Figure(574, "Bands, an index, and their scaling")
    top, side = 84, 190
    image = town.image[:, CROP, CROP]
    figure.image(20, top, side, side, preview.rgb(image, BANDS, 0), photo=True)
    ndvi = bands.stack(image.astype(np.float32), BANDS, ["NDVI"])[-1]
    figure.image(20, top + 258, side, side, ramp(ndvi), data_name="ndvi")
    figure.text(20, top - 14, "red, green and blue", weight=600)
    figure.text(20, top + 228, "NDVI =", weight=600)
    figure.text(20, top + 246, "(NIR \N{MINUS SIGN} Red) / (NIR + Red)", size=12.5)
    for n, (value, words) in enumerate(((-0.2, "\N{MINUS SIGN}0.2"), (0.3, "0.3"), (0.8, "0.8"))):
        fill = color(ramp(np.array([[value]]))[0, 0])
        figure.swatch(20 + 62 * n, top + 258 + side + 20, fill, words, size=12)
    before, after, fitted = spread(town)
    figure.text(268, top - 14, "before, as in the file", weight=600)
    figure.text(576, top - 14, "after scaling to 0 ... 1", weight=600)
    axes = {"Red": (5000, 1000), "NIR": (6000, 2000), "NDVI": (1, 0.5)}
    unit = "reflectance × 10,000"
    for line, (name, (high, step)) in enumerate(axes.items()):
        y = top + 18 + 152 * line
        low = -0.5 if name == "NDVI" else 0
        steps = ticks(np.arange(low, high + step / 2, step).tolist())
        label = "NDVI, no unit" if name == "NDVI" else f"{name}, {unit}"
        _histogram(figure, f"before {name}", (268, y, 512, y + 82), before[name], steps, label)
        scaled = ticks([-0.5, 0, 0.5, 1, 1.5])
        _histogram(figure, f"after {name}", (576, y, 820, y + 82), after[name], scaled, name)
        shift, width = fitted.offset[line], fitted.scale[line]
        plots = (268, 512, low, high, shift, shift + width), (576, 820, -0.5, 1.5, 0, 1)
        for left, right, first, last, *marks in plots:
            for percentile, mark in zip(PERCENTILES, marks):
                x = left + (mark - first) / (last - first) * (right - left)
                figure.line(
                    x,
                    y - 4,
                    x,
                    y + 82,
                    stroke=ORANGE,
                    stroke_width=1.5,
                    stroke_dasharray="4 3",
                    data_mark=f"{name} {percentile}",
                )
    words = "dashed: 1st and 99th percentile of the training, here this town; they become 0 and 1"
    figure.text(268, 556, words, size=12, fill=MUTED)
    return figure


def _histogram(figure, name: str, box, values: np.ndarray, steps: dict, label: str) -> None:
    """Draw the share of the pixels in each bin. Values beyond the axis go into its end bins."""
    edges = np.linspace(min(steps), max(steps), BINS + 1)
    counts = np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
    shares = 100 * counts / counts.sum()
    high = float(np.ceil(shares.max() / 5) * 5)
    plot = Plot(figure, name, box, steps, ticks([0, high], "{:g} %"), label)
    plot.bars("share", edges, shares, FILLS[name.split()[1]], fill_opacity=0.75)


def ramp(ndvi: np.ndarray) -> np.ndarray:
    """Colour NDVI (H, W): brown at -0.2 and below, light at 0.3, green at 0.8 and above.

    Returns:
        (H, W, 3) uint8, in 11 steps.
    """
    step = (((ndvi + 0.2).clip(0, 1) * 10).round() / 10)[..., None]
    low, middle, high = NDVI_RAMP
    below, above = low + (middle - low) * step * 2, middle + (high - middle) * (step * 2 - 1)
    return np.where(step < 0.5, below, above).round().astype(np.uint8)


def blending() -> Figure:
    """Draw the weights of three windows along an axis, and their sum."""
    length, size, overlap = SCENE
    figure = Figure(472, "Windows overlap, and their weights sum to one")
    axis = tiling.axis(*SCENE)
    x = {n: f"{n}".replace("-", "\N{MINUS SIGN}") for n in range(-50, 551, 50)}
    names = "pixel along one axis of the scene", "weight of each window"
    box = 60, 222, 820, 376
    left, right = (box[0] + (n - min(x)) / 600 * (box[2] - box[0]) for n in (0, length))
    figure.rect(left, 60, right - left, 316, fill="#eef2f6")
    plot = Plot(figure, "weights", box, x, ticks([0, 0.5, 1]), *names)
    strokes = BLUE, ORANGE, PURPLE
    figure.text((left + right) / 2, 78, f"the scene, {length} pixels", anchor="middle")
    figure.text(left - 6, 78, "mirror", size=12, fill=MUTED, anchor="end")
    figure.text(right + 6, 78, "mirror", size=12, fill=MUTED)
    for number, (start, weights, stroke) in enumerate(zip(axis.starts, axis.weights, strokes)):
        y = 92 + 30 * number
        window = plot.to_x(start), y, plot.to_x(start + size) - plot.to_x(start), 22
        figure.rect(*window, fill=stroke, fill_opacity=0.12, stroke=stroke, data_window=start)
        first, end = axis.support(number)
        figure.rect(
            plot.to_x(first),
            y,
            plot.to_x(end) - plot.to_x(first),
            22,
            fill=stroke,
            fill_opacity=0.45,
        )
        middle = (plot.to_x(start) + plot.to_x(start + size)) / 2
        words = f"window {number}: {size} pixels from {start}".replace("-", "\N{MINUS SIGN}")
        figure.text(middle, y + 15.5, words, size=12.5, anchor="middle")
        plot.curve(f"window {number}", start + np.arange(size) + 0.5, weights, stroke)
    total = np.zeros(length)
    for number, start in enumerate(axis.starts):
        first, end = axis.inside(number, length)
        total[first:end] += axis.weights[number][first - start : end - start]
    dotted = {"stroke_dasharray": "2 5", "stroke_width": 2.5}
    plot.curve("sum", np.arange(length) + 0.5, total, INK, **dotted)
    words = [
        f"Dotted: the sum. Neighbours share {overlap} pixels or more. Over {tiling.RAMP} pixels"
    ]
    words[0] += " one weight falls and the next rises."
    words += ["The pale ends have weight 0: there a window lacks context."]
    words[1] += " The last window is moved back, so two share equally."
    figure.lines(20, 436, words, size=12, fill=MUTED)
    return figure
