"""What alignment changed, as a section of a report: shares of the classes before and after it.

A mask on another grid than its image is resampled. If this changes the shares of the classes
little, and Spearman's correlation over the images is near 1, the aligned masks show the same land
cover as the files. data/output/alignment.py computes the shares and draws the pictures.

Read beside it: tests/unet/evaluation/test_alignment_section.py.
"""

import math
from collections.abc import Mapping, Sequence

from unet.evaluation.charts import histograms, scatter
from unet.evaluation.markup import escape, fixed, head, page, row, samples, settings, swatch
from unet.evaluation.shares import share_statistics

CLASS_COLUMNS = [
    "class",
    "% before",
    "% after",
    "mean change",
    "largest change",
    "in",
    "Spearman",
]
ROWS = 100  # images in the table
PLOTS = 4  # classes with a scatter plot: those with the largest change
AXES = "before alignment, %", "after alignment, %"
NOTE = """<p><small>Shares of the ground area without no-data: before alignment in the part of the
file that the aligned mask covers, after it in the aligned mask. Means are over the images, each
with the same weight. Changes are absolute, in percentage points. &ndash; is not defined.</small>
</p>"""


def section(alignment: Mapping) -> str:
    """Make the section of a report.

    Args:
        alignment: A mapping with the keys
            text: str, the largest change in words.
            classes: [(name, (red, green, blue))], K of them.
            images: [dict], the largest change first, with "image": str, and "before" and "after":
                the shares (K,) 0..1, NaN if a mask has no class.
            samples: as in `report.html`.

    Returns:
        HTML. A single image has no correlation, and its table lists the classes.
    """
    images, classes = alignment["images"], alignment["classes"]
    parts = [f"<h2>Alignment</h2><p>{escape(alignment['text'])}.</p>"]
    parts.append(_class_table(images, classes))
    if len(images) > 1:
        parts += [_plots(images, classes), _image_table(images, classes)]
    if alignment.get("samples"):
        legend = [*classes, ("no data", (0, 0, 0))]
        parts.append(samples(alignment["samples"], legend))
    return "".join(parts)


def html(title: str, alignment: Mapping, options: Mapping) -> str:
    """Make a page of the section and of a table of the options that are given."""
    given = {name: value for name, value in options.items() if value not in (None, True)}
    return page(title, [], section(alignment), settings(given))


def _pairs(images: Sequence[Mapping], label: int) -> list[tuple[float, float]]:
    """Return the shares (before, after) of a class in each image, in per cent."""
    return [(100 * float(one["before"][label]), 100 * float(one["after"][label])) for one in images]


def _change(pair: tuple[float, float]) -> float:
    """Return how much a share changed; -1 if it is not defined."""
    return -1 if math.isnan(sum(pair)) else abs(pair[1] - pair[0])


def _class_table(images: Sequence[Mapping], classes: Sequence) -> str:
    """Make the table of the change of each class."""
    rows, several = "", len(images) > 1
    for label, (name, color) in enumerate(classes):
        pairs = _pairs(images, label)
        found = share_statistics(pairs)
        worst = max(range(len(images)), key=lambda number: _change(pairs[number]))
        decimals = {"truth": 2, "prediction": 2, "error": 3}
        cells = [fixed(found[key], number) for key, number in decimals.items()]
        if several:
            change = max(_change(pairs[worst]), 0)
            place = escape(images[worst]["image"]) if change else "&ndash;"
            cells += [fixed(change, 3), place, fixed(found["spearman"], 4)]
        rows += row(swatch(color) + escape(name), cells)
    columns = CLASS_COLUMNS if several else [*CLASS_COLUMNS[:3], "change"]
    return f'<div class="scroll"><table>{head(columns)}\n{rows}</table></div>{NOTE}'


def _plots(images: Sequence[Mapping], classes: Sequence) -> str:
    """Make the scatter plots of the classes with the largest change, in the order of the table."""
    pairs = [_pairs(images, label) for label in range(len(classes))]
    largest = sorted(range(len(classes)), key=lambda label: -max(map(_change, pairs[label])))
    plots = ""
    for label in sorted(largest[:PLOTS]):
        known = [pair for pair in pairs[label] if not math.isnan(sum(pair))]
        plots += f"""<h3>Share of {escape(classes[label][0])}</h3><figure class="scatters">
{scatter(known, names=AXES)}{histograms(known, AXES)}<figcaption>A dot is an image. On the dashed
line the share did not change.</figcaption></figure>"""
    return plots


def _image_table(images: Sequence[Mapping], classes: Sequence) -> str:
    """Make the table of the shares in each image."""
    rows = ""
    for one in images[:ROWS]:
        pairs = [_pairs([one], label)[0] for label in range(len(classes))]
        cells = [f"{fixed(before, 2)} &rarr; {fixed(after, 2)}" for before, after in pairs]
        change = max(map(_change, pairs))
        rows += row(escape(one["image"]), [fixed(max(change, 0), 3), *cells])
    columns = ["image", "largest change", *(escape(name) for name, _ in classes)]
    more = len(images) - ROWS
    rest = f"<p><small>{more} more images: alignment.csv.</small></p>" if more > 0 else ""
    return f"""<h3>Shares in each image, before &rarr; after, %</h3>
<div class="scroll"><table class="pairs">{head(columns)}\n{rows}</table></div>{rest}"""
