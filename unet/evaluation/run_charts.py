"""Charts that compare runs: curves of all runs in one plot, and bars of each class by run.

Each run has a colour and a dash of its own, the same in all charts of a page.

Read beside it: tests/unet/evaluation/test_run_charts.py.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape

import numpy as np

from unet.evaluation.charts import LINES, Box, curve, epoch_axes, svg, svg_text, tick_labels

# Colours and dashes for many runs: 56 pairs differ, because 8 and 7 have no common divisor.
RUN_COLORS = (*(color for color, _ in LINES), "#c8406e", "#87891c", "#6480a0", "#a5673a")
RUN_DASHES = (*(dash for _, dash in LINES), "14 3", "5 5", "14 3 3 3")


def run_style(number: int) -> tuple[str, str]:
    """Return colour and dash of the run with a number, the same in all charts of a page."""
    return RUN_COLORS[number % len(RUN_COLORS)], RUN_DASHES[number % len(RUN_DASHES)]


def run_key(number: int) -> str:
    """Draw the colour and dash of a run, for a legend. Returns one small SVG element."""
    color, dash = run_style(number)
    line = f'<path d="M0 5h34" stroke="{color}" stroke-width="5" stroke-dasharray="{dash}"/>'
    return f'<svg class="key" viewBox="0 0 34 10" aria-hidden="true">{line}</svg>'


def run_curves(runs: Sequence[Sequence[float]], title: str) -> str:
    """Draw one curve for each run over its epochs 1, 2, 3, ... The page has the legend.

    Args:
        runs: The values of each run's epochs. NaN or infinity is a gap, as in `line_chart`.
        title: The heading.

    Returns:
        One SVG element, 420 x 270.
    """
    longest = max(map(len, runs))
    x = range(1, longest + 1)
    lines = {str(n): [*ys, *[math.nan] * (longest - len(ys))] for n, ys in enumerate(runs)}
    drawn = {n: ys for n, ys in lines.items() if any(map(math.isfinite, ys))}
    axes = epoch_axes(Box(50, 36, 406, 230), x, drawn, ticks=7)
    parts = [*axes.parts]
    for n, ys in drawn.items():
        color, dash = run_style(int(n))
        style = f'fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"'
        parts += curve(axes, x, ys, color, style)
    return svg(420, 270, title, parts)


def bars(groups: Mapping[str, Sequence[float]], title: str) -> str:
    """Draw horizontal bars of values from 0 to 1: a group for each class, a bar for each run.

    The name of a class stands above its bars, so it may be long. Beyond 64 letters it is cut.

    Args:
        groups: {class: value of each run}. A value that is not finite is a dash without a bar.
        title: The heading.

    Returns:
        One SVG element, 420 wide. Its height grows with the number of bars.
    """
    left, right, top, thick = 4, 372, 40, 13
    heights = [26 + thick * len(values) for values in groups.values()]
    bottom = top + sum(heights)
    ticks = tick_labels(0, 1, 5)
    to_x = partial(np.interp, xp=(0, 1), fp=(left, right))
    grid = "".join(f"M{to_x(x):.1f} {top}V{bottom}" for x in ticks if x > 0)
    parts = [f'<path d="{grid}" stroke="currentColor" stroke-opacity=".16"/>']
    for x, text in ticks.items():
        anchor = "middle" if x > 0 else "start"
        parts += [svg_text(to_x(x), y, text, anchor) for y in (top - 6, bottom + 16)]
    for y, (name, values) in zip(np.cumsum([top, *heights]), groups.items()):
        shown = name if len(name) <= 64 else f"{name[:63]}\N{HORIZONTAL ELLIPSIS}"
        parts.append(f"<g><title>{escape(name)}</title>{svg_text(left, y + 17, shown)}</g>")
        for number, value in enumerate(values):
            at = y + 22 + thick * number
            end = to_x(value) if math.isfinite(value) else left
            size = f'width="{end - left:.1f}" height="{thick - 2}"'
            fill = f'fill="{run_style(number)[0]}"'
            parts.append(f'<rect x="{left}" y="{at}" {size} {fill}/>')
            text = f"{value:.3f}" if math.isfinite(value) else "\N{EN DASH}"
            parts.append(svg_text(end + 5, at + thick - 2.5, text))
        axis = f"M{left} {y + 20}v{thick * len(values) + 2}"
        parts.append(f'<path d="{axis}" stroke="currentColor" stroke-opacity=".6"/>')
    return svg(420, int(bottom) + 22, title, parts)
