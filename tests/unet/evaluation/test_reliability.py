"""The section of the report about calibration: unet/evaluation/reliability.py."""

import pytest
import torch
from drawn import points

from unet.evaluation.calibration import BINS
from unet.evaluation.reliability import diagram, section


def counts(**bins: tuple[float, float, float]) -> torch.Tensor:
    """Make counts from {"bin<number>": (pixels, sum of confidences, right)}."""
    found = torch.zeros(3, BINS, dtype=torch.float64)
    for name, values in bins.items():
        found[:, int(name[3:])] = torch.tensor(values, dtype=torch.float64)
    return found


BEFORE = counts(bin9=(10, 6, 4), bin14=(30, 30, 24))
AFTER = counts(bin9=(30, 18, 18), bin11=(10, 8, 10))


def test_a_dot_is_the_accuracy_at_the_mean_confidence_and_a_bar_the_share_of_the_pixels():
    """The plot reaches from x = 50 to 366 for 0 to 1, and from y = 346 to 30."""
    drawn = diagram(BEFORE, "Before")
    lines, dots = points(drawn)
    assert dots == [(239.6, 219.6), (366, 93.2)]  # (0.6, 0.4) and (1, 0.8)
    assert lines == [dots]
    # Bin 9 is 0.6 to 0.667 wide and a quarter high, bin 14 three quarters.
    assert 'd="M239.6 346V267.0H260.7V346M344.9 346V109.0H366.0V346"' in drawn


def test_the_section_has_the_error_before_and_after():
    """(2 + 6) / 40 before, (0 + 2) / 40 after."""
    page = section({1.0: BEFORE, 2.5: AFTER})
    assert (
        "Expected calibration error: 20.0 % before temperature scaling (T = 1), 5.0 % after it "
        "(T = 2.5)." in page
    )
    assert page.count("<svg") == 2


def test_a_run_without_a_temperature_has_one_diagram():
    page = section({1.0: BEFORE})
    assert page.count("<svg") == 1 and "20.0 %" in page and "before" not in page


@pytest.mark.parametrize("bins", [{}, {1.0: counts()}])
def test_without_a_pixel_there_is_no_section(bins):
    assert section(bins) == ""
