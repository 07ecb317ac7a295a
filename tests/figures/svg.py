"""SVG of the figures: one style, and numbers that can be read back from what is drawn.

A figure is a white card with dark text, so that it can be read on a light and on a dark page. An
SVG in an <img> loads nothing, so pictures are embedded: PNG where each pixel counts, JPEG for
photographs.

A plot writes its limits into the attribute `data-plot`. tests/figures/reading.py converts its lines
and bars back to values with them.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from html import escape

import imagecodecs
import numpy as np

from data.output import preview

WIDTH = 840  # the column of a README on GitHub
INK, MUTED, GRID, CARD = "#1f2328", "#59636e", "#dde2e8", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE, RED = "#1f6fc0", "#c95a08", "#0d7f68", "#8250c8", "#d72d27"
FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
QUALITY = 82  # of JPEG


def number(value: float) -> str:
    """Write a coordinate with up to two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def color(rgb: Iterable[int]) -> str:
    """Write a colour (r, g, b)."""
    return "#%02x%02x%02x" % tuple(int(value) for value in rgb)


def attributes(given: Mapping[str, object]) -> str:
    """Write attributes. An underscore in a name is a hyphen, and None leaves one out."""
    parts = []
    for name, value in given.items():
        if value is not None:
            text = number(value) if isinstance(value, (int, float, np.number)) else str(value)
            parts.append(f' {name.strip("_").replace("_", "-")}="{escape(text)}"')
    return "".join(parts)


class Figure:
    """An SVG of WIDTH and a height, to which elements are added from back to front.

    Args:
        height: In units of the SVG, which are pixels at full width.
        title: The heading.
    """

    def __init__(self, height: float, title: str):
        self.height, self.title = height, title
        self.parts: list[str] = []
        self.text(20, 30, title, size=16, weight=600)

    def add(self, tag: str, content: str = "", **given) -> None:
        """Add an element."""
        end = f">{content}</{tag}>" if content else "/>"
        self.parts.append(f"<{tag}{attributes(given)}{end}")

    def text(
        self, x: float, y: float, words: str, size: float = 13, fill: str = INK, **given
    ) -> None:
        """Write a line of text. `anchor` is start, middle or end."""
        anchor = given.pop("anchor", None)
        style = {"font_size": size, "fill": fill, "font_weight": given.pop("weight", None)}
        style["text_anchor"] = anchor
        self.add("text", escape(words), x=x, y=y, **style, **given)

    def lines(self, x: float, y: float, words: Sequence[str], step: float = 18, **given) -> None:
        """Write lines of text below each other."""
        for row, line in enumerate(words):
            self.text(x, y + row * step, line, **given)

    def rect(self, x: float, y: float, width: float, height: float, **given) -> None:
        """Draw a rectangle. It is not filled unless `fill` is given."""
        given.setdefault("fill", "none")
        self.add("rect", x=x, y=y, width=width, height=height, **given)

    def line(self, x1: float, y1: float, x2: float, y2: float, **given) -> None:
        """Draw a line."""
        given.setdefault("stroke", MUTED)
        self.add("path", d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", **given)

    def arrow(self, x1: float, y1: float, x2: float, y2: float, stroke: str = MUTED) -> None:
        """Draw a line that ends in an arrow head."""
        along = np.array([x2 - x1, y2 - y1]) / np.hypot(x2 - x1, y2 - y1)
        across = np.array([-along[1], along[0]])
        end = np.array([x2, y2])
        base = end - 8 * along
        self.line(x1, y1, *base, stroke=stroke, stroke_width=1.5)
        self.polygon([end, base + 4 * across, base - 4 * across], fill=stroke)

    def polygon(self, points: Iterable[Sequence[float]], **given) -> None:
        """Draw a closed polygon of (x, y)."""
        self.add("polygon", points=_points(points), **given)

    def circle(self, x: float, y: float, radius: float, **given) -> None:
        """Draw a circle."""
        self.add("circle", cx=x, cy=y, r=radius, **given)

    def image(
        self, x: float, y: float, width: float, height: float, picture: np.ndarray, **given
    ) -> None:
        """Draw a picture (H, W, 3) uint8, each pixel as a square. `photo=True` takes JPEG."""
        if given.pop("photo", False):
            kind, data = "jpeg", imagecodecs.jpeg8_encode(picture.copy(), level=QUALITY)
        else:
            kind, data = "png", preview.png(picture)
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        size = {"x": x, "y": y, "width": width, "height": height}
        style = "image-rendering:pixelated" if width > picture.shape[1] else None
        self.add("image", **size, preserveAspectRatio="none", style=style, href=source, **given)

    def swatch(self, x: float, y: float, fill: str, words: str, size: float = 13) -> None:
        """Draw a small square in a colour, and its meaning beside it."""
        self.rect(x, y - 10, 12, 12, fill=fill, stroke=MUTED, stroke_width=0.7)
        self.text(x + 18, y, words, size=size)

    @contextmanager
    def group(self, name: str, **given):
        """Put what is added into a group with an id."""
        self.parts.append(f"<g{attributes({'id': name, **given})}>")
        yield
        self.parts.append("</g>")

    def svg(self, caption: str) -> str:
        """Return the file, with the caption as its description."""
        body = "\n".join(self.parts)
        size = f'width="{WIDTH}" height="{number(self.height)}"'
        card = f'fill="{CARD}" stroke="#d0d7de"'
        return f"""<svg xmlns="http://www.w3.org/2000/svg" {size}
viewBox="0 0 {WIDTH} {number(self.height)}" role="img" font-family="{FONT}">
<title>{escape(self.title)}</title>
<desc>{escape(caption)}</desc>
<rect x=".5" y=".5" width="{WIDTH - 1}" height="{number(self.height - 1)}" rx="8" {card}/>
{body}
</svg>
"""


class Plot:
    """Axes in a box of a figure.

    Args:
        figure: The figure.
        name: The id of the plot.
        box: (left, top, right, bottom) in the figure.
        x, y: {value: text} of the ticks. The first and the last one are the limits.
        x_label, y_label: What the axes are, with their unit.
    """

    def __init__(
        self,
        figure: Figure,
        name: str,
        box: tuple[float, float, float, float],
        x: Mapping[float, str],
        y: Mapping[float, str],
        x_label: str = "",
        y_label: str = "",
    ):
        self.figure, self.name, self.box = figure, name, box
        self.x_limits, self.y_limits = (min(x), max(x)), (min(y), max(y))
        left, top, right, bottom = box
        figure.add("g", id=name, data_plot=" ".join(map(repr, self._limits())))
        for value, words in y.items():
            at = self.to_y(value)
            figure.line(left, at, right, at, stroke=GRID)
            figure.text(left - 7, at + 4, words, size=12, fill=MUTED, anchor="end")
        for value, words in x.items():
            at = self.to_x(value)
            figure.line(at, bottom, at, bottom + 4)
            figure.text(at, bottom + 18, words, size=12, fill=MUTED, anchor="middle")
        figure.line(left, bottom, right, bottom)
        figure.text((left + right) / 2, bottom + 36, x_label, size=12.5, anchor="middle")
        figure.text(left - 7, top - 12, y_label, size=12.5)

    def _limits(self) -> tuple[float, ...]:
        left, top, right, bottom = self.box
        return (
            *map(float, (left, right, *self.x_limits)),
            *map(float, (bottom, top, *self.y_limits)),
        )

    def to_x(self, value: float) -> float:
        """Convert a value to a coordinate of the figure."""
        low, high = self.x_limits
        return self.box[0] + (value - low) / (high - low) * (self.box[2] - self.box[0])

    def to_y(self, value: float) -> float:
        """Convert a value to a coordinate of the figure."""
        low, high = self.y_limits
        return self.box[3] - (value - low) / (high - low) * (self.box[3] - self.box[1])

    def curve(self, name: str, xs, ys, stroke: str, **given) -> None:
        """Draw a line through values."""
        points = _points((self.to_x(float(x)), self.to_y(float(y))) for x, y in zip(xs, ys))
        style = {"fill": "none", "stroke": stroke, "stroke_width": 2, **given}
        self.figure.add("polyline", points=points, data_curve=f"{self.name} {name}", **style)

    def bars(self, name: str, edges, heights, fill: str, **given) -> None:
        """Draw a bar from 0 for each of the bins between edges, as one path."""
        x, y = [self.to_x(float(edge)) for edge in edges], [self.to_y(float(h)) for h in heights]
        bottom = number(self.to_y(0))
        path = "".join(
            f"M{number(left)} {bottom}V{number(top)}H{number(right)}V{bottom}"
            for left, right, top in zip(x, x[1:], y)
        )
        self.figure.add("path", d=path, fill=fill, data_bars=f"{self.name} {name}", **given)

    def dot(self, name: str, x: float, y: float, fill: str, radius: float = 3.5, **given) -> None:
        """Draw a dot at a value."""
        given |= {"data_dot": f"{self.name} {name}"}
        self.figure.circle(self.to_x(x), self.to_y(y), radius, fill=fill, **given)


def _points(points: Iterable[Sequence[float]]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def ticks(values: Iterable[float], form: str = "{:g}") -> dict[float, str]:
    """Return {value: text} for a plot."""
    return {value: form.format(value).replace("-", "\N{MINUS SIGN}") for value in values}


def grey(values: np.ndarray, levels: int = 16) -> np.ndarray:
    """Draw numbers (H, W) from their 1st to their 99th percentile, black to white.

    Few levels of grey keep the file small.

    Returns:
        (H, W, 3) uint8.
    """
    low, high = np.percentile(values, (1, 99))
    level = np.clip((values - low) / ((high - low) or 1), 0, 1) * (levels - 1)
    return (level.round() * 255 / (levels - 1)).astype(np.uint8)[..., None].repeat(3, axis=2)
