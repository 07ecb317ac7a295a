"""Calibration: bins and temperatures by hand, then against brute force and known probabilities."""

import math

import pytest
import torch
import torch.nn.functional as F

from data.files import IGNORE
from unet.evaluation.calibration import (
    BINS,
    EACH,
    HIGHEST,
    LOWEST,
    PIXELS,
    Sample,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def drawn(count: int, scale: float, classes: int = 4, seed: int = 0):
    """Make logits, and labels drawn from softmax(logits). The logits are returned times `scale`."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=generator)
    target = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return scale * logits, target


# By hand.


def test_pixels_fall_into_fifteen_bins_of_confidence():
    """Confidences 0.9, 0.9, 0.5 and 1 are in the bins 13, 13, 7 and 14."""
    first = torch.tensor([0.9, 0.1, 0.5, 1.0, 0.7])
    probabilities = torch.stack([first, 1 - first])[None]  # (1, 2, 5)
    target = torch.tensor([[0, 0, 0, 0, IGNORE]])
    bins = reliability(probabilities, target)
    assert bins.shape == (3, BINS) and bins[:, 13].tolist() == pytest.approx([2, 1.8, 1])
    assert bins[:, 7].tolist() == [1, 0.5, 1] and bins[:, 14].tolist() == [1, 1, 1]
    # |1 - 1.8| + |1 - 0.5| + |1 - 1|, over 4 pixels.
    assert expected_calibration_error(bins) == pytest.approx(1.3 / 4)
    assert expected_calibration_error(2 * bins) == pytest.approx(1.3 / 4)
    assert math.isnan(expected_calibration_error(0 * bins))


def test_three_right_of_four_have_the_temperature_of_a_confidence_of_three_quarters():
    """softmax([t, 0] / T) = 3/4 where t / T = ln 3. The four pixels occur at 32 places."""
    logits, target = torch.tensor([[5.0, 0.0]] * 128), torch.tensor([0, 0, 0, 1] * 32)
    place = torch.arange(128) // 4
    found = fit_temperature(logits, target, place=place)
    assert found == pytest.approx(5 / math.log(3), rel=1e-5)
    # The wrong pixel stands for three: 3 of 6 are right, and no finite T is enough.
    weight = torch.tensor([1.0, 1, 1, 3] * 32)
    assert fit_temperature(logits, target, weight, place) == pytest.approx(HIGHEST, rel=1e-4)
    weight = torch.tensor([3.0, 3, 3, 1] * 32)
    found = fit_temperature(logits, target, weight, place)
    assert found == pytest.approx(5 / math.log(9), rel=1e-5)


def test_places_that_differ_leave_the_temperature_nearer_to_one():
    """Of four pixels, 3 are right at half of 10 places and 2 or 4 at the others: 3/4 in all."""
    logits = torch.tensor([[5.0, 0.0]] * 40)
    equal = fit_temperature(logits, torch.tensor([0, 0, 0, 1] * 10), place=torch.arange(40) // 4)
    mixed = torch.tensor([0, 0, 0, 1] * 5 + [0, 0, 1, 1] * 2 + [0, 0, 0, 0] * 2 + [0, 0, 0, 1])
    found = fit_temperature(logits, mixed, place=torch.arange(40) // 4)
    assert 1 < found < 0.9 * equal


def test_a_network_that_is_always_right_or_sees_no_pixel_has_a_temperature_all_the_same():
    logits, right = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 3), torch.tensor([0, 1] * 3)
    assert fit_temperature(logits, right) == pytest.approx(LOWEST, rel=1e-4)
    assert fit_temperature(logits, 1 - right) == pytest.approx(HIGHEST, rel=1e-4)
    assert fit_temperature(logits[:0], right[:0]) == 1
    for target in (right, 1 - right):
        assert LOWEST <= fit_temperature(logits, target) <= HIGHEST


def test_a_temperature_needs_more_places_than_chance():
    """Equal slopes g of n places have the sum n g and the standard error g sqrt(n).

    So more than four places are enough. If one of six is wrong, its slope has the other sign, and
    the sum is small.
    """
    logits, right = torch.tensor([[2.0, 0.0]] * 600), torch.zeros(600, dtype=torch.int64)
    for places, enough in ((1, False), (4, False), (5, True), (6, True)):
        found = fit_temperature(logits, right, place=torch.arange(600) % places)
        assert (found < 1) == enough and (found == 1) == (not enough)
    place = torch.arange(600) % 6
    assert fit_temperature(logits, (place < 1).long(), place=place) == 1
    assert fit_temperature(logits, (place < 1).long()) > 1  # where each pixel is a place


# Properties.


@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_the_temperature_undoes_a_scale_of_the_logits_and_the_error_goes(scale):
    logits, target = drawn(20_000, scale)
    found = fit_temperature(logits, target)
    assert found == pytest.approx(scale, rel=0.05)
    before = expected_calibration_error(reliability(logits.softmax(1), target))
    after = expected_calibration_error(reliability((logits / found).softmax(1), target))
    assert after < 0.015 and (scale == 1 or before > 5 * after)


def test_no_other_temperature_has_a_lower_cross_entropy():
    logits, target = drawn(500, 2.5)
    copies = torch.arange(10).repeat_interleave(500)  # places that agree
    found = fit_temperature(logits.repeat(10, 1), target.repeat(10), place=copies)
    tried = torch.logspace(-1, 1, 400).tolist()
    best = min(tried, key=lambda t: F.cross_entropy(logits / t, target).item())
    assert best == pytest.approx(found, rel=0.02)


def test_bins_of_batches_add_up():
    logits, target = drawn(300, 2)
    whole = reliability(logits.softmax(1), target)
    parts = [reliability(z.softmax(1), t) for z, t in zip(logits.split(70), target.split(70))]
    assert torch.allclose(sum(parts), whole)


def test_a_small_sample_is_all_labelled_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 4, 5, generator=generator)
    target = torch.randint(0, 2, (3, 4, 5), generator=generator)
    target[0, :2], target[2] = IGNORE, IGNORE
    sample = Sample(3)
    for one in (slice(0, 2), slice(2, 2), slice(2, 3)):  # the second batch is empty
        sample.add(logits[one], target[one], torch.tensor([7, 8, 9])[one])
    values, targets, weight, place = sample.pixels()
    assert values.equal(logits.permute(0, 2, 3, 1)[target != IGNORE])
    assert targets.equal(target[target != IGNORE]) and weight.eq(1).all()
    assert place.tolist() == [7] * 10 + [8] * 20


def test_a_large_sample_is_spread_over_all_windows_and_stands_for_all_pixels():
    """64 pixels of each window, here of 400: 32 windows are 2048 out of 32 * 400."""
    rows, cols = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
    place = torch.stack([rows, cols]).float().expand(32, 2, 20, 20).clone()
    window = torch.arange(32)[:, None, None].expand(32, 20, 20)
    sample = Sample(PIXELS)
    sample.add(place, window, torch.arange(32))
    values, targets, weight, places = sample.pixels()
    assert len(values) == 32 * EACH and weight.sum() == 32 * 400
    assert targets.bincount(minlength=32).min() >= EACH - 2 and places.equal(targets)
    assert all(len(values[:, axis].unique()) == 20 for axis in (0, 1))
