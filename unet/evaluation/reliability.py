"""Section of the report about calibration: error and reliability diagram, before and after.

A reliability diagram (DeGroot and Fienberg 1983, The comparison and evaluation of forecasters)
draws the accuracy of the pixels over their confidence.

Read beside it: tests/unet/evaluation/test_reliability.py.
"""

from collections.abc import Mapping

from torch import Tensor

from unet.evaluation.calibration import expected_calibration_error
from unet.evaluation.charts import DASHED, LINES, Box, curve, plot_axes, svg

TICKS = {share / 5: f"{20 * share}" for share in range(6)}  # {share: per cent}
NOTE = """The confidence of a pixel is its largest probability. On the dashed line the confidences
are right: of the pixels with a confidence of 80 %, 80 % have the right label. Below the line the
network is too sure, above it not sure enough. The bars are shares of all pixels.<br>The expected
calibration error is the mean distance from the line, over all pixels. The temperature T divides
the logits. It is fitted to these validation windows, so the error is larger on other images. T is 1
where the places of the validation do not show by more than chance that another T is better. Which
logit is the largest does not depend on T. One T for all classes mends the mean: class weights in
the loss make the probabilities of rare classes too high, also after it."""


def section(calibration: Mapping[float, Tensor]) -> str:
    """Make the section.

    Args:
        calibration: {T: counts (3, BINS)} of `calibration.reliability`, first for T = 1, which is
            without temperature scaling. Without another T there is one diagram.
    """
    if not any(bins[0].sum() for bins in calibration.values()):
        return ""
    errors = {t: 100 * expected_calibration_error(bins) for t, bins in calibration.items()}
    texts = ["before temperature scaling (T = 1)"]
    texts += [f"after it (T = {t:.3g})" for t in [*calibration][1:]]
    if len(texts) == 1:
        texts = ["without temperature scaling (T = 1)"]
    words = ", ".join(f"{error:.1f} % {text}" for text, error in zip(texts, errors.values()))
    diagrams = "".join(
        diagram(bins, text[0].upper() + text[1:]) for text, bins in zip(texts, calibration.values())
    )
    return f"""<h2>Calibration</h2><p>Expected calibration error: {words}.</p>
<figure class="scatters">{diagrams}<figcaption>{NOTE}</figcaption></figure>"""


def diagram(bins: Tensor, title: str) -> str:
    """Draw accuracy over confidence, and a bar for the share of pixels of each bin.

    Args:
        bins: (3, BINS), from `calibration.reliability`.
        title: The heading.

    Returns:
        One SVG element.
    """
    box = Box(50, 30, 366, 346)
    axes = plot_axes(box, (0, 1), TICKS, "confidence, %", TICKS)
    share, count = bins[0] / bins[0].sum(), bins.shape[1]
    bars = "".join(
        f"M{axes.to_x(n / count):.1f} 346V{axes.to_y(share[n].item()):.1f}"
        f"H{axes.to_x((n + 1) / count):.1f}V346"
        for n in share.nonzero()[:, 0].tolist()
    )
    filled = bins[:, bins[0] > 0]
    confidence, accuracy = (filled[1:] / filled[0]).tolist()
    color = LINES[0][0]
    parts = [
        *axes.parts,
        f'<path class="bars" d="{bars}" fill="currentColor" fill-opacity=".14"/>',
        f'<path d="M{box.left} 346L366 30" {DASHED}/>',
        *curve(axes, confidence, accuracy, color, f'fill="none" stroke="{color}" stroke-width="2"'),
    ]
    for x, y in zip(confidence, accuracy):
        at = f'cx="{axes.to_x(x):.1f}" cy="{axes.to_y(y):.1f}"'
        parts.append(f'<circle {at} r="3.5" fill="{color}"/>')
    return svg(380, 386, f"{title}: accuracy, %", parts)
