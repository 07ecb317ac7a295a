"""What a finished run leaves for people to look at: one HTML page that needs nothing else.

Curves are inline SVG, pictures base64 PNG. There is no script, and the page's own
Content-Security-Policy forbids it to load anything. `html` is a pure function of plain values, the
scripts write the file; figures on classes come from one matrix, by unet/metrics.py. The test beside
this file is tests/unet/evaluation/test_report.py.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from itertools import cycle, groupby

import imagecodecs
import numpy as np

from data.files import IGNORE
from unet.metrics import ConfusionMatrix, macro, weighted

Color = tuple[int, int, int]  # red, green, blue, 0..255
NO_LABEL, RIGHT, WRONG = (0, 0, 0), (232, 232, 228), (214, 0, 72)
# Colour and dash of each line: the colours stand out from white and from black, the dashes do
# without colour.
LINES = ("#2a7fd0", ""), ("#dd6b10", "8 2"), ("#12967a", "2 2"), ("#9b62c4", "8 2 2 2")
LEFT, TOP, HEIGHT = 50, 62, 270  # of a line chart, in units of the SVG


def html(run: Mapping) -> str:
    """The report of a training run, or of an evaluation alone, as the text of an HTML file in
    UTF-8.

    All keys of `run` but title, classes and matrix may be missing or empty, and so is their section then.
        title       str, the heading
        summary     [(label, text)], the line below it: best epoch, macro Dice, time, checkpoint, ...
        history     [dict], one an epoch, drawn are its epoch, lr, train_loss, val_loss, macro_dice,
                    weighted_dice and mean_iou; what is missing, None, NaN or infinite is a gap in the line
        best_epoch  int, one of the history's
        command     str, what to run next
        classes     [(name, "#RRGGBB")], K of them
        matrix      (K, K) int64 tensor on the CPU or nested list, rows truth, columns prediction, in pixels
        shares      {"name": of a class or group, "pairs": [(truth, prediction)], its share 0..1 in each image
                    or window, "text": rank correlation, mean absolute error and its interval in words};
                    or a list of such
        share_table [{"name": of a class, "truth": mean share 0..1 over the images, "prediction": the same,
                    "error": mean absolute difference, "low", "high": its interval, "spearman"}]
        samples     [{"title": source and window, "rgb": (H, W, 3) uint8, "truth": (H, W) uint8 labels,
                    255 ignored, "prediction": (H, W) uint8}]
        settings    {name: value}, a list is written with commas
    Raises ValueError for a matrix or labels that do not fit the classes.
    """
    names = [name for name, _ in run["classes"]]
    colors = [tuple(bytes.fromhex(color.removeprefix("#"))) for _, color in run["classes"]]
    confusion = ConfusionMatrix(len(names), run["matrix"])
    sections = [
        _curves(run["history"], run.get("best_epoch")) if run.get("history") else "",
        _classes(confusion, names, colors),
        _confusion(confusion, names),
        _scatters(run["shares"]) if run.get("shares") else "",
        _share_table(run["share_table"]) if run.get("share_table") else "",
        _samples(run["samples"], names, colors) if run.get("samples") else "",
        _settings(run["settings"]) if run.get("settings") else "",
    ]
    facts = [
        f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in run.get("summary", [])
    ]
    command = f"<p>Next:</p><pre>{escape(run['command'])}</pre>" if run.get("command") else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"><title>{escape(run["title"])}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body><h1>{escape(run["title"])}</h1><dl>{"".join(facts)}</dl>{command}{"".join(sections)}</body></html>
"""


def png(array: np.ndarray) -> bytes:
    """An (H, W, 3) uint8 picture as the bytes of a PNG file."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))


def colorize(
    labels: np.ndarray, colors: Sequence[Color], ignore_color: Color = NO_LABEL
) -> np.ndarray:
    """Labels (H, W) uint8 to (H, W, 3) uint8: i as colors[i], 255 as ignore_color; else a
    ValueError.
    """
    if (strange := labels[(labels >= len(colors)) & (labels != IGNORE)]).size:
        raise ValueError(f"label {strange[0]}, but there are {len(colors)} colours")
    palette = np.full((256, 3), ignore_color, np.uint8)
    palette[: len(colors)] = colors
    return palette[labels]


def line_chart(
    series: Mapping[str, Sequence],
    x: Sequence[int],
    title: str,
    mark: int | None = None,
    width: int = 420,
) -> str:
    """Curves {label: values} over epochs x, ascending, as one SVG element; `mark` is the best
    epoch.

    A value that is None, NaN or infinite is a gap in its line, and a value between two gaps is a
    dot.
    """
    lines = {
        label: [math.nan if y is None else float(y) for y in ys] for label, ys in series.items()
    }
    finite = [y for ys in lines.values() for y in ys if math.isfinite(y)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if math.isclose(low, high):  # a flat line shows its height above zero
        low, high = sorted((0.0, high or 1.0))
    span = (x[0], x[-1]) if x[0] < x[-1] else (x[0] - 0.5, x[0] + 0.5)
    empty = [label for label, ys in lines.items() if not any(map(math.isfinite, ys))]
    x_label = f"epoch; no finite value: {', '.join(empty)}" if empty else "epoch"
    box, x_ticks = (
        (LEFT, TOP, width - 14, HEIGHT - 40),
        _ticks(*span, min(width // 60, max(1, x[-1] - x[0]))),
    )
    parts, to_x, to_y = _axes(box, span, x_ticks, x_label, _ticks(low, high, 5))
    if mark is not None:
        at = to_x(mark)
        anchor = "start" if at < LEFT + 25 else "end" if at > width - 39 else "middle"
        parts += [_text(at, TOP - 6, f"best: {mark}", anchor)]
        parts += [
            f'<path d="M{at:.1f} {TOP}V{HEIGHT - 40}" stroke="currentColor" stroke-dasharray="2 3"/>'
        ]
    for i, ((label, ys), (color, dash)) in enumerate(zip(lines.items(), cycle(LINES))):
        style = f'fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"'
        if len(lines) > 1:  # the title says what a single line is
            left = LEFT + i * (width - LEFT) // max(3, len(lines))
            parts += [f'<path d="M{left} 33h18" {style}/>', _text(left + 23, 37, label)]
        for known, group in groupby(
            zip(x, ys, strict=True), key=lambda point: math.isfinite(point[1])
        ):
            points = [(f"{to_x(x):.1f}", f"{to_y(y):.1f}") for x, y in group] if known else []
            if len(points) == 1:
                parts += [
                    f'<circle cx="{points[0][0]}" cy="{points[0][1]}" r="3.5" fill="{color}"/>'
                ]
            elif points:
                parts += [f'<polyline points="{" ".join(map(",".join, points))}" {style}/>']
    return _svg(width, HEIGHT, title, parts)


def _axes(box: tuple, x_span: tuple, x_ticks: dict, x_label: str, y_ticks: dict) -> tuple:
    """(SVG elements, x -> SVG, y -> SVG): a plot of x_span and y_ticks in box (left, top, right,
    bottom).
    """
    left, top, right, bottom = box
    to_x = partial(np.interp, xp=x_span, fp=(left, right))
    to_y = partial(np.interp, xp=(min(y_ticks), max(y_ticks)), fp=(bottom, top))
    grid = "".join(f"M{left} {to_y(y):.1f}H{right}" for y in y_ticks)
    x_ticks = {x: text for x, text in x_ticks.items() if x_span[0] <= x <= x_span[1]}
    ticks = "".join(f"M{to_x(x):.1f} {bottom}v4" for x in x_ticks)
    parts = [f'<path d="{grid}" stroke="currentColor" stroke-opacity=".16"/>']
    parts += [
        f'<path d="M{left} {bottom}H{right}{ticks}" stroke="currentColor" stroke-opacity=".6"/>'
    ]
    parts += [_text(left - 7, to_y(y) + 4, text, "end") for y, text in y_ticks.items()]
    parts += [_text(to_x(x), bottom + 17, text, "middle") for x, text in x_ticks.items()]
    return [*parts, _text((left + right) / 2, bottom + 34, x_label, "middle")], to_x, to_y


def _ticks(low: float, high: float, count: int) -> dict[float, str]:
    """{value: text} that cover [low, high] in about `count` steps of 1, 2 or 5 times a power of
    ten.
    """
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * count >= (high - low) * (1 - 1e-9))
    values = [
        i * step for i in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    ]
    decimals = f".{max(0, -math.floor(math.log10(step) + 1e-9))}f"
    return {value: format(value, decimals if 9e-4 < step < 1e5 else ".4g") for value in values}


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
aria-label="{escape(title)}" fill="currentColor" font-size="11.5" font-family="system-ui, sans-serif">
<text x="0" y="14" font-size="13" font-weight="600">{escape(title)}</text>{"".join(parts)}</svg>"""


def _curves(history: Sequence[Mapping], best: int | None) -> str:
    charts, epochs = "", [epoch["epoch"] for epoch in history]
    for title, keys in CHARTS.items():
        series = {label: [epoch.get(key) for epoch in history] for label, key in keys.items()}
        charts += line_chart(series, epochs, title, best, width=420 if len(series) > 1 else 240)
    return f'<h2>Learning curves</h2><div class="charts">{charts}</div>'


def _classes(confusion: ConfusionMatrix, names: list[str], colors: list[Color]) -> str:
    truth, prediction = confusion.support(), confusion.matrix.sum(0)
    measures = [confusion.iou(), confusion.dice(), confusion.precision(), confusion.recall()]
    rows, foot = "", ""
    for k, (name, color) in enumerate(zip(names, colors, strict=True)):
        shares = [_fixed(100 * pixels[k] / truth.sum(), 1) for pixels in (truth, prediction)]
        scores = [_fixed(values[k], 3) for values in measures]
        rows += _row(_swatch(color) + escape(name), [f"{int(truth[k]):,}", *shares, *scores])
    for title, mean in ("macro mean", macro), ("weighted mean", partial(weighted, support=truth)):
        foot += _row(title, ["", "", "", *(_fixed(mean(values), 3) for values in measures)])
    head = "".join(f'<th scope="col">{text}</th>' for text in CLASS_COLUMNS)
    dash = DASH_NOTE if any(values.isnan().any() for values in measures) else ""
    return f"""<h2>Classes</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>{rows}
<tfoot>{foot}</tfoot></table></div>
<p><small>Macro mean: every class counts the same. Weighted mean: by pixels of truth.{dash}</small></p>"""


def _confusion(confusion: ConfusionMatrix, names: list[str]) -> str:
    shares = (confusion.matrix / confusion.support()[:, None]).tolist()
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    head = f"<thead><tr><th>truth &darr; prediction &rarr;</th>{head}</tr></thead>"
    pixels, percent = "", ""
    for t, (name, counts) in enumerate(zip(names, confusion.matrix.tolist(), strict=True)):
        heat = [_heat(share, t == p) for p, share in enumerate(shares[t])]
        pixels += _row(escape(name), [f"{count:,}" for count in counts], heat)
        percent += _row(escape(name), [_fixed(100 * share, 1) for share in shares[t]], heat)
    table = f'<table class="matrix{" tall" if len(names) > 4 else ""}">{head}'
    return f"""<h2>Confusion matrix</h2><p>A row is what the truth says, a column what the prediction said.
The shade is the share of the row: blue right, orange wrong.</p><div class="matrices">
<figure><figcaption>pixels</figcaption>{table}{pixels}</table></figure>
<figure><figcaption>% of the row, with recall on the diagonal</figcaption>{table}{percent}</table></figure>
</div>"""


def _scatters(shares: Mapping | Sequence[Mapping]) -> str:
    several = [shares] if isinstance(shares, Mapping) else shares
    return (
        f'<div class="scatters">{"".join(f"<div>{_shares(**one)}</div>" for one in several)}</div>'
    )


def _share_table(classes: Sequence[Mapping]) -> str:
    rows = ""
    for one in classes:
        points = [_fixed(100 * one[key], 2) for key in ("truth", "prediction", "error")]
        interval = f"{_fixed(100 * one['low'], 2)} to {_fixed(100 * one['high'], 2)}"
        rows += _row(escape(one["name"]), [*points, interval, _fixed(one["spearman"], 3)])
    head = "".join(f'<th scope="col">{text}</th>' for text in SHARE_COLUMNS)
    return f"""<h2>Shares of the classes, image by image</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>
{rows}</table></div><p><small>Means over the images, which all count the same; the error is the mean absolute
difference in percentage points, its interval Student's with 95 %. &ndash; is not defined: the share is the same in
all images, or there are too few.</small></p>"""


def _shares(name: str, pairs: Sequence[tuple[float, float]], text: str) -> str:
    pairs = [(100 * t, 100 * p) for t, p in pairs if math.isfinite(t) and math.isfinite(p)]
    ticks = _ticks(0, max([1.0, *(value for pair in pairs for value in pair)]), 5)
    box, span = (
        (LEFT, 30, 366, 346),
        (0, max(ticks)),
    )  # a square: the line of equality is the diagonal
    parts, to_x, to_y = _axes(box, span, ticks, "truth, %", ticks)
    parts += [f'<path d="M{LEFT} 346L366 30" stroke="currentColor" stroke-dasharray="2 3"/>']
    spots = [f'cx="{to_x(t):.1f}" cy="{to_y(p):.1f}"' for t, p in pairs]
    parts += [f'<circle {spot} r="3.5" fill="{LINES[0][0]}" fill-opacity=".6"/>' for spot in spots]
    chart = _svg(380, 386, "prediction, %", parts)
    return f"""<h2>Share of {escape(name)}</h2><figure class="scatter">{chart}<figcaption>{escape(text)}<br>
A dot on the dashed line: truth and prediction agree.</figcaption></figure>"""


def _samples(samples: Sequence[Mapping], names: list[str], colors: list[Color]) -> str:
    legend = [*zip(colors, names, strict=True), *LEGEND]
    page = "".join(f"<li>{_swatch(color)}{escape(name)}</li>" for color, name in legend)
    page = f'<h2>Samples</h2><ul class="legend">{page}</ul>'
    for sample in samples:
        truth, prediction = sample["truth"], sample["prediction"]
        known = truth != IGNORE
        errors = np.where(known, truth != prediction, IGNORE).astype(np.uint8)
        right = _fixed(100 * (errors == 0).sum() / known.sum() if known.any() else math.nan, 1)
        figures = _figure("image", sample["rgb"])
        figures += _figure("truth", colorize(truth, colors))
        figures += _figure("prediction", colorize(prediction, colors))
        figures += _figure(f"errors; {right} % right", colorize(errors, [RIGHT, WRONG]))
        page += f'<section class="sample"><h3>{escape(sample["title"])}</h3><div>{figures}</div></section>'
    return page


def _figure(caption: str, picture: np.ndarray) -> str:
    data = base64.b64encode(png(picture)).decode()
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _settings(settings: Mapping) -> str:
    rows = ""
    for name, value in settings.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        rows += _row(escape(name), [escape(text)])
    return f'<h2>Settings</h2><div class="settings"><table>{rows}</table></div>'


def _row(head: str, cells: list[str], attributes: Sequence[str] = ()) -> str:
    """A table row of HTML texts; attributes[i] stands in the tag of cell i."""
    pairs = zip(cells, attributes or [""] * len(cells), strict=True)
    return (
        f'<tr><th scope="row">{head}</th>{"".join(f"<td{a}>{cell}</td>" for cell, a in pairs)}</tr>'
    )


def _heat(share: float, right: bool) -> str:
    color = "42,127,208" if right else "221,107,16"
    return (
        f' style="background:rgba({color},{0.08 + 0.5 * share:.2f})"'
        if share > 0
        else ' class="none"'
    )


def _swatch(color: Color) -> str:
    return '<i style="background:#%02x%02x%02x"></i>' % tuple(color)


def _fixed(value: float, decimals: int) -> str:
    return "&ndash;" if math.isnan(value) else f"{value:.{decimals}f}"


CHARTS = {  # title: {label: key of the history}
    "Loss": {"training": "train_loss", "validation": "val_loss"},
    "Validation": {
        "macro Dice": "macro_dice",
        "weighted Dice": "weighted_dice",
        "mean IoU": "mean_iou",
    },
    "Learning rate": {"learning rate": "lr"},
}
CLASS_COLUMNS = "class,pixels of truth,% of truth,% of prediction,IoU,Dice,precision,recall".split(
    ","
)
SHARE_COLUMNS = "class,% of truth,% of prediction,mean error,95 % interval,Spearman".split(",")
LEGEND = (NO_LABEL, "no label"), (RIGHT, "error map: right"), (WRONG, "error map: wrong")
DASH_NOTE = """<br>&ndash; is 0/0 and left out of the means: IoU and Dice of a class that neither occurs nor
is predicted, precision of one never predicted, recall of one that does not occur."""
STYLE = """
:root { --page: #fff; --ink: #1c2126; --faint: #626c76; --line: #d9dde1; --soft: #f3f5f7 }
@media screen and (prefers-color-scheme: dark) { :root { color-scheme: dark;
  --page: #15181c; --ink: #e3e6e9; --faint: #98a2ac; --line: #343a41; --soft: #20252a } }
* { box-sizing: border-box; margin: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 1180px; font: .94rem/1.5 system-ui, sans-serif;
  background: var(--page); color: var(--ink); overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25 } h3 { font-size: .95rem; margin: 1.2rem 0 .4rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; padding-top: .7rem; border-top: 1px solid var(--line) }
p { margin: .5rem 0 } small, figcaption, dt { color: var(--faint); font-size: .85rem }
dl { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin-top: 1rem } dd { font-weight: 600 }
pre { padding: .6rem .8rem; background: var(--soft); overflow-x: auto; font-size: .87rem }
svg { display: block; width: 100%; height: auto } .scatter svg { max-width: 26rem }
.scatters { display: flex; flex-wrap: wrap; gap: 0 2rem } .scatters > div { flex: 1 1 26rem }
.charts { display: grid; grid-template-columns: 420fr 420fr 240fr; gap: 1rem }
.scroll, .matrices figure { overflow-x: auto; max-width: 100%; overflow-wrap: normal }
table { border-spacing: 0; font-size: .9rem; font-variant-numeric: tabular-nums }
tr { vertical-align: bottom } tbody th { font-weight: 400; overflow-wrap: normal } tfoot { font-weight: 600 }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child { text-align: left; min-width: 7rem } .tall td { padding: .25rem .35rem; font-size: .8rem }
.matrices { display: flex; flex-wrap: wrap; gap: 1.2rem 3rem } .matrix td { border: 1px solid var(--page) }
.matrix .none, .matrix thead th:first-child { color: var(--faint); font-weight: 400 }
.tall span { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg); max-height: 11rem }
i { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid var(--faint) }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none }
.sample div { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem }
.sample img { display: block; width: 100%; image-rendering: pixelated }
.settings { columns: 26rem; column-gap: 3rem } .settings tr > * { vertical-align: top; text-align: left }
h2, h3, h2 + p, .legend { break-after: avoid } figure, .charts, .legend, .sample { break-inside: avoid }
@media screen and (max-width: 800px) {
  .charts { grid-template-columns: 1fr } .charts svg:last-child { max-width: 60% }
  .sample div { grid-template-columns: 1fr 1fr } table { font-size: .8rem } th, td { padding: .2rem .35rem }
  th:first-child { position: sticky; left: 0; background: var(--page) } }
@media print { :root { font-size: 10px } body { padding: 0 } .scroll, .matrices figure { overflow: visible } }
"""
