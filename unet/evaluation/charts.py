"""Charts of the report as inline SVG: curves over the epochs, and plots of shares.

The coordinates of an SVG are those of its viewBox: x to the right, y downwards. Values are
converted to them linearly. Text and axes have the text colour of the page, so that a chart is
readable on a white and on a black page.

Read beside it: tests/unet/evaluation/test_charts.py.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from itertools import cycle, groupby
from typing import NamedTuple

import numpy as np

# Colour and dash of each line. The colours are visible on white and black, the dashes in print.
LINES = ("#2a7fd0", ""), ("#dd6b10", "8 2"), ("#12967a", "2 2"), ("#9b62c4", "8 2 2 2")
TICK_STEPS = 1, 2, 5, 10  # each times a power of ten
NAMES = "truth, %", "prediction, %"  # the axes of shares
DASHED = 'stroke="currentColor" stroke-dasharray="2 3"'


class Box(NamedTuple):
    """The place of a plot in its SVG."""

    left: float
    top: float
    right: float
    bottom: float


class Axes(NamedTuple):
    """The SVG elements of a plot's axes, and the conversion of its values to coordinates."""

    parts: list[str]
    to_x: Callable[[float], float]
    to_y: Callable[[float], float]


def line_chart(
    series: Mapping[str, Sequence],
    x: Sequence[int],
    title: str,
    mark: int | None = None,
    width: int = 420,
    height: int = 270,
    least: Sequence[float] = (),
) -> str:
    """Draw curves over epochs.

    Args:
        series: {label: values}. A value that is None, NaN or infinite is a gap in the line. A
            single value between two gaps is a dot.
        x: The epochs, ascending.
        title: The heading.
        mark: The best epoch, for a vertical line.
        width, height: Size of the SVG.
        least: Values that the axis of the values covers in any case, so that charts of one size
            can be compared.

    Returns:
        One SVG element.
    """
    lines = {
        label: [math.nan if y is None else float(y) for y in ys] for label, ys in series.items()
    }
    box = Box(50, 62, width - 14, height - 40)
    axes = epoch_axes(box, x, {**lines, "": least} if least else lines, ticks=width // 60)
    parts = [*axes.parts]
    if mark is not None:
        parts += _best_epoch(box, axes.to_x(mark), mark)
    for number, ((label, ys), (color, dash)) in enumerate(zip(lines.items(), cycle(LINES))):
        style = f'fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"'
        if len(lines) > 1:  # the title names a single line
            left = box.left + number * (width - box.left) // max(3, len(lines))
            parts += [f'<path d="M{left} 33h18" {style}/>', svg_text(left + 23, 37, label)]
        parts += curve(axes, x, ys, color, style)
    return svg(width, height, title, parts)


def scatter(
    pairs: Sequence[tuple[float, float]],
    line: tuple[float, float] = (math.nan, math.nan),
    names: tuple[str, str] = NAMES,
) -> str:
    """Draw a dot for each (truth, prediction) in per cent, and the line on which both are equal.

    Args:
        pairs: The dots.
        line: (slope, intercept in per cent) of a fitted line, which is drawn from the smallest to
            the largest truth. NaN: no line.
        names: What the two values are.

    Returns:
        One SVG element.
    """
    ticks = _share_ticks(pairs)
    box = Box(50, 30, 366, 346)  # a square: the line of equality is the diagonal
    axes = plot_axes(box, (0, max(ticks)), ticks, names[0], ticks)
    parts = [*axes.parts, f'<path d="M{box.left} 346L366 30" {DASHED}/>']
    if not math.isnan(sum(line)):
        parts.append(_fitted(axes, line, [truth for truth, _ in pairs], max(ticks)))
    for truth, prediction in pairs:
        at = f'cx="{axes.to_x(truth):.1f}" cy="{axes.to_y(prediction):.1f}"'
        parts.append(f'<circle {at} r="3.5" fill="{LINES[0][0]}" fill-opacity=".6"/>')
    return svg(380, 386, names[1], parts)


def histograms(pairs: Sequence[tuple[float, float]], names: tuple[str, str] = NAMES) -> str:
    """Draw the histograms of truth and prediction in per cent, with the same bins and scales.

    The axis of the shares is that of `scatter`, with four bins between two ticks.

    Returns:
        One SVG element.
    """
    ticks = _share_ticks(pairs)
    edges = np.linspace(0, max(ticks), 4 * len(ticks) - 3)
    # A share of 100 % may be rounded to just above the last edge.
    shares = np.minimum(np.reshape(pairs, (-1, 2)), edges[-1])
    counts = [np.histogram(column, edges)[0] for column in shares.T]
    most = max(1, *(int(count.max()) for count in counts))
    numbers = tick_labels(0, most, min(4, most))
    parts = [_heading(210, "count")]
    for label, count, top in zip(names, counts, (30, 226)):
        axes = plot_axes(Box(50, top, 366, top + 120), (0, max(ticks)), ticks, label, numbers)
        x, y = [axes.to_x(edge) for edge in edges], [axes.to_y(each) for each in count]
        bars = "".join(
            f"M{x[n]:.1f} {top + 120}V{y[n]:.1f}H{x[n + 1]:.1f}V{top + 120}"
            for n in count.nonzero()[0]
        )
        style = f'fill="{LINES[0][0]}" fill-opacity=".6" stroke="{LINES[0][0]}"'
        parts += [*axes.parts, f'<path class="bars" d="{bars}" {style}/>']
    return svg(380, 386, "count", parts)


def tick_labels(low: float, high: float, count: int) -> dict[float, str]:
    """Choose ticks that cover [low, high], in about `count` steps of 1, 2 or 5 times 10^n.

    Returns:
        {value: text}.

    >>> tick_labels(0.31, 0.92, 5).values()
    dict_values(['0.2', '0.4', '0.6', '0.8', '1.0'])
    """
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    span = (high - low) * (1 - 1e-9)
    step = next(m * power for m in TICK_STEPS if m * power * count >= span)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = f".{max(0, -math.floor(math.log10(step) + 1e-9))}f"
    form = decimals if 9e-4 < step < 1e5 else ".4g"
    return {i * step: format(i * step, form) for i in range(first, last + 1)}


def _share_ticks(pairs: Sequence[tuple[float, float]]) -> dict[float, str]:
    """Choose ticks from 0 % that cover all shares; at least to 1 %."""
    return tick_labels(0, max([1.0, *(value for pair in pairs for value in pair)]), 5)


def _fitted(axes: Axes, line: tuple[float, float], x: Sequence[float], top: float) -> str:
    """Draw y = slope * x + intercept over the range of x, where y is between 0 and `top`."""
    slope, intercept = line
    ends = np.array([min(x), max(x)])
    if slope:
        # The line leaves the plot at y = 0 and y = top.
        first, last = sorted((y - intercept) / slope for y in (0, top))
        ends = ends.clip(first, last)
    points = " ".join(f"{axes.to_x(x):.1f},{axes.to_y(slope * x + intercept):.1f}" for x in ends)
    return f'<polyline points="{points}" fill="none" stroke="{LINES[1][0]}" stroke-width="2"/>'


def epoch_axes(
    box: Box, x: Sequence[int], lines: Mapping[str, Sequence[float]], ticks: int
) -> Axes:
    """Make axes for the epochs and for all finite values of the lines."""
    finite = [y for ys in lines.values() for y in ys if math.isfinite(y)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if math.isclose(low, high):  # the axis of a flat line includes zero
        low, high = sorted((0.0, high or 1.0))
    first, last = (x[0], x[-1]) if x[0] < x[-1] else (x[0] - 0.5, x[0] + 0.5)
    x_ticks = tick_labels(first, last, min(ticks, max(1, x[-1] - x[0])))
    empty = [label for label, ys in lines.items() if not any(map(math.isfinite, ys))]
    x_label = f"epoch; no finite value: {', '.join(empty)}" if empty else "epoch"
    y_ticks = tick_labels(low, high, 5)
    longest = max(map(len, y_ticks.values()))
    box = box._replace(left=max(box.left, 8 + 7 * longest))  # long numbers need more space
    return plot_axes(box, (first, last), x_ticks, x_label, y_ticks)


def plot_axes(
    box: Box,
    x_span: tuple[float, float],
    x_ticks: Mapping[float, str],
    x_label: str,
    y_ticks: Mapping[float, str],
) -> Axes:
    """Make axes in a box. x covers `x_span`, y covers its ticks."""
    left, top, right, bottom = box
    to_x = partial(np.interp, xp=x_span, fp=(left, right))
    to_y = partial(np.interp, xp=(min(y_ticks), max(y_ticks)), fp=(bottom, top))
    inside = {x: text for x, text in x_ticks.items() if x_span[0] <= x <= x_span[1]}
    grid = "".join(f"M{left} {to_y(y):.1f}H{right}" for y in y_ticks)
    ticks = "".join(f"M{to_x(x):.1f} {bottom}v4" for x in inside)
    axis = f"M{left} {bottom}H{right}{ticks}"
    parts = [
        f'<path d="{grid}" stroke="currentColor" stroke-opacity=".16"/>',
        f'<path d="{axis}" stroke="currentColor" stroke-opacity=".6"/>',
    ]
    parts += [svg_text(left - 7, to_y(y) + 4, text, "end") for y, text in y_ticks.items()]
    parts += [svg_text(to_x(x), bottom + 17, text, "middle") for x, text in inside.items()]
    parts.append(svg_text((left + right) / 2, bottom + 34, x_label, "middle"))
    return Axes(parts, to_x, to_y)


def _best_epoch(box: Box, at: float, epoch: int) -> list[str]:
    """Draw a dashed vertical line with the number of the epoch. The text stays inside the SVG."""
    anchor = "middle"
    if at < box.left + 25:
        anchor = "start"
    elif at > box.right - 25:
        anchor = "end"
    line = f'<path d="M{at:.1f} {box.top}V{box.bottom}" {DASHED}/>'
    return [svg_text(at, box.top - 6, f"best: {epoch}", anchor), line]


def curve(axes: Axes, x: Sequence[int], ys: Sequence[float], color: str, style: str) -> list[str]:
    """Draw a line for each sequence of finite values, and a dot for a single value."""
    parts = []
    points = zip(x, ys, strict=True)
    for finite, run in groupby(points, key=lambda point: math.isfinite(point[1])):
        if not finite:
            continue
        places = [(f"{axes.to_x(x):.1f}", f"{axes.to_y(y):.1f}") for x, y in run]
        if len(places) == 1:
            cx, cy = places[0]
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3.5" fill="{color}"/>')
        else:
            parts.append(f'<polyline points="{" ".join(map(",".join, places))}" {style}/>')
    return parts


def svg_text(x: float, y: float, text: str, anchor: str = "start") -> str:
    """Make an SVG text at (x, y)."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _heading(y: float, text: str) -> str:
    """Make a heading at the left edge of an SVG."""
    return f'<text x="0" y="{y}" font-size="13" font-weight="600">{escape(text)}</text>'


def svg(width: int, height: int, title: str, parts: list[str]) -> str:
    """Make an SVG element with a title and further parts."""
    font = 'fill="currentColor" font-size="11.5" font-family="system-ui, sans-serif"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
aria-label="{escape(title)}" {font}>
{_heading(14, title)}{"".join(parts)}</svg>"""
