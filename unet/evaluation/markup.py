"""HTML for reports: a page that needs no other file, its tables, numbers and pictures.

Pictures are base64 PNG, and report.css is copied into the page. The page has no script, and its
Content-Security-Policy forbids loading anything.

Read beside it: tests/unet/evaluation/test_report.py.
"""

import base64
import html as markup
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from torch import Tensor

from data.files import printable

Color = tuple[int, int, int]  # red, green, blue, 0..255

STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def page(title: str, facts: Sequence[tuple[str, str]], *sections: str) -> str:
    """Make a whole page: a heading, a line of facts [(label, text)], and sections of HTML."""
    heading = escape(title)
    entries = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in facts
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"><title>{heading}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body><h1>{heading}</h1><dl>{entries}</dl>{"".join(sections)}</body></html>
"""


def escape(text: str) -> str:
    """Escape what HTML would take for markup, and control characters."""
    return markup.escape(printable(text))


def head(columns: Sequence[str]) -> str:
    """Make the head of a table."""
    cells = "".join(f'<th scope="col">{text}</th>' for text in columns)
    return f"<thead><tr>{cells}</tr></thead>"


def row(head: str, cells: list[str], attributes: Sequence[str] = ()) -> str:
    """Make a table row of HTML texts. attributes[i] is written into the tag of cell i."""
    pairs = zip(cells, attributes or [""] * len(cells), strict=True)
    body = "".join(f"<td{attribute}>{cell}</td>" for cell, attribute in pairs)
    return f'<tr><th scope="row">{head}</th>{body}</tr>'


def fixed(value: float | Tensor, decimals: int) -> str:
    """Format a number; NaN is a dash."""
    return "&ndash;" if math.isnan(value) else f"{value:.{decimals}f}"


def swatch(color: Color) -> str:
    """Make a small square in a colour."""
    return '<i style="background:#%02x%02x%02x"></i>' % tuple(color)


def samples(samples: Sequence[Mapping], legend: Sequence[tuple[str, Color]]) -> str:
    """Make the sections of sample pictures, one for each "group", and a legend in the first."""
    entries = "".join(f"<li>{swatch(color)}{escape(name)}</li>" for name, color in legend)
    page, list_of_colors = "", f'<ul class="legend">{entries}</ul>'
    for heading, group in groupby(samples, lambda sample: sample.get("group", "Samples")):
        page += f"<h2>{escape(heading)}</h2>{list_of_colors}{''.join(map(_sample, group))}"
        list_of_colors = ""
    return page


def _sample(sample: Mapping) -> str:
    """Make the title, the pictures and the figures in words of one sample."""
    figures = ""
    for caption, picture in sample["pictures"].items():
        source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        image = f'<img alt="{escape(caption)}" src="{source}">'
        figures += f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
    text = f"<p><small>{escape(sample['text'])}</small></p>" if sample.get("text") else ""
    title = f"<h3>{escape(sample['title'])}</h3>"
    return f'<section class="sample">{title}<div>{figures}</div>{text}</section>'


def settings(settings: Mapping) -> str:
    """Make the table of the options. Options without a value are left out."""
    rows = ""
    for name, value in settings.items():
        if value is None:
            continue
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        rows += row(escape(name), [escape(text)])
    return f'<h2>Settings</h2><div class="settings"><table>{rows}</table></div>'
