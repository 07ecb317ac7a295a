"""Charts that compare runs: unet/evaluation/run_charts.py."""

import math
from xml.etree import ElementTree

from drawn import points

from unet.evaluation.run_charts import bars, run_curves, run_style


def test_bars_by_hand():
    """From 0 at x = 4 to 1 at 372. A name, its two bars of 13 each, and the next name."""
    root = ElementTree.fromstring(bars({"a&b": [1, 0.25], "c" * 90: [math.nan, 0]}, "IoU"))
    found = [e for e in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert [float(e.get("width")) for e in found] == [368, 92, 0, 0]
    assert [float(e.get("y")) for e in found] == [62, 75, 114, 127]
    assert [e.get("fill") for e in found] == 2 * [run_style(0)[0], run_style(1)[0]]
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    names = "a&b", "1.000", "0.250", "c" * 63 + "\N{HORIZONTAL ELLIPSIS}", "\N{EN DASH}", "0.000"
    assert texts[-6:] == list(names)


def test_curves_of_runs_share_their_axes():
    """Runs of 3 and of 2 epochs: epoch 2 is in the middle. 0 is at y = 230, 1 at 36."""
    lines, dots = points(run_curves([[1, 0.5, 0], [0, 1]], "Dice"))
    assert lines == [[(50, 36), (228, 133), (406, 230)], [(50, 230), (228, 36)]] and dots == []
    lines, dots = points(run_curves([[math.nan], [0.5]], "Dice"))
    assert lines == [] and len(dots) == 1


def test_56_runs_have_styles_of_their_own():
    assert len({run_style(number) for number in range(56)}) == 56
