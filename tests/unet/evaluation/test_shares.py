"""Shares of a class in images: by hand, against printed tables, and against naive loops."""

import math
import random

import numpy as np
import pytest
import torch

from unet.evaluation import shares as module
from unet.evaluation.shares import (
    fitted_line,
    share_error,
    share_of,
    share_statistics,
    spearman,
)
from unet.metrics import ConfusionMatrix

# Of 20 pixels 12 are field, 5 house and 3 road; predicted are 11, 7 and 2.
ONE = ConfusionMatrix(3, [[10, 2, 0], [0, 4, 1], [1, 1, 1]])


def test_shares_by_hand():
    assert share_of(ONE, [0]) == pytest.approx((12 / 20, 11 / 20))
    assert share_of(ONE, [1, 2]) == pytest.approx((8 / 20, 9 / 20))
    assert all(map(math.isnan, share_of(ConfusionMatrix(2), [1])))


def test_statistics_of_three_images_by_hand():
    found = share_statistics([(0.1, 0.2), (0.3, 0.3), (0.5, 0.8)])
    assert found["truth"] == pytest.approx(0.3) and found["prediction"] == pytest.approx(1.3 / 3)
    assert found["spearman"] == pytest.approx(1)
    # errors 0.1, 0, 0.3: mean 0.4/3, s = 0.15275, t(0.975, 2) = 4.3027, half width 0.37946; the
    # lower end is 0
    assert found["error"] == pytest.approx(0.4 / 3) and found["low"] == 0
    assert found["high"] == pytest.approx(0.4 / 3 + 4.30265 * 0.152753 / math.sqrt(3), rel=1e-5)
    # truth - 0.3 is -0.2, 0, 0.2: slope (-0.2 * 0.2 + 0.2 * 0.8) / (0.04 + 0.04)
    assert found["slope"] == pytest.approx(1.5)
    assert found["intercept"] == pytest.approx(1.3 / 3 - 1.5 * 0.3)


def test_an_image_without_common_pixels_counts_in_no_statistic():
    pairs = [(0.1, 0.2), (math.nan, math.nan), (0.3, 0.3), (0.5, 0.8)]
    assert share_statistics(pairs) == pytest.approx(share_statistics(pairs[:1] + pairs[2:]))


def test_share_error_by_hand():
    # errors 0.1, 0.3, 0.2: mean 0.2, standard deviation 0.1, and t(0.975, 2) = 4.302653
    mean, low, high = share_error([0.5, 0.2, 0.9], [0.6, 0.5, 0.7])
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert mean == pytest.approx(0.2)
    assert low == 0 and half > 0.2  # an absolute error is not negative
    assert high == pytest.approx(0.2 + half)


def test_share_error_leaves_out_images_without_a_share_and_needs_two_for_an_interval():
    assert share_error([0.5, math.nan, 0.1, 0.2], [0.6, 0.3, 0.4, math.nan]) == share_error(
        [0.5, 0.1], [0.6, 0.4]
    )
    one = share_error([0.5], [0.7])
    assert one.mean == pytest.approx(0.2) and math.isnan(one.low) and math.isnan(one.high)
    assert math.isnan(share_error([], []).mean)


def test_share_error_interval_holds_the_true_mean_in_95_of_100_draws():
    generator = torch.Generator().manual_seed(0)
    truth, true_mean = torch.full((6,), 0.5), 0.2
    covered = 0
    for _ in range(1000):
        error = true_mean + 0.05 * torch.randn(6, generator=generator, dtype=torch.float64)
        _, low, high = share_error(truth, truth + error)
        covered += low <= true_mean <= high
    assert 930 <= covered <= 970  # two thirds of a per cent is one standard deviation


@pytest.mark.parametrize(
    "freedom, t",
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (9, 2.2622),
        (30, 2.0423),
        (120, 1.9799),
        (5000, 1.9604),
    ],
)
def teststudent_quantile_equals_the_printed_table(freedom, t):
    assert module.student_quantile(freedom) == pytest.approx(t, abs=6e-5)


def test_spearman_by_hand():
    assert spearman([1, 2, 3, 4], [10, 20, 30, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [8, 6, 1, 0]) == pytest.approx(-1)
    # ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * (1 + 1 + 1 + 1) / (5 * 24)
    assert spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == pytest.approx(1 - 6 * 4 / 120)


@pytest.mark.parametrize("seed", range(5))
def test_spearman_equals_a_naive_loop_over_ranks_with_ties(seed):
    source = random.Random(seed)
    a = [source.randint(0, 6) for _ in range(30)]
    b = [x + source.randint(-3, 3) for x in a]

    def ranks(values):  # those below come first, and equals share the places that follow
        return [
            sum(other < value for other in values)
            + (sum(other == value for other in values) + 1) / 2
            for value in values
        ]

    ranks_a, ranks_b, mean = ranks(a), ranks(b), (len(a) + 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(ranks_a, ranks_b, strict=True))
    spread = [sum((x - mean) ** 2 for x in r) for r in (ranks_a, ranks_b)]
    assert spearman(a, b) == pytest.approx(covariance / math.sqrt(spread[0] * spread[1]))


def test_spearman_is_nan_when_one_is_constant_and_leaves_out_images_without_a_share():
    assert math.isnan(spearman([1, 2, 3], [5, 5, 5]))
    assert math.isnan(spearman([1], [2]))
    assert math.isnan(spearman([], []))
    assert spearman([1, math.nan, 2, 3], [1, 0, 3, 2]) == pytest.approx(
        spearman([1, 2, 3], [1, 3, 2])
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_fitted_line_is_that_of_numpy(seed):
    random = np.random.default_rng(seed)
    truth = random.random(30)
    prediction = np.clip(random.normal(0.1 + 0.8 * truth, 0.1), 0, 1)
    expected = np.polyfit(truth, prediction, 1)
    gap = np.nan
    assert fitted_line([*truth, gap, 0.9], [*prediction, 0.9, gap]) == pytest.approx((*expected,))


def test_there_is_no_line_for_two_images_nor_for_equal_true_shares():
    for truth, prediction in ([], []), ([0.1, 0.3], [0.2, 0.4]), ([0.1] * 3, [0.1, 0.2, 0.3]):
        assert all(map(math.isnan, fitted_line(truth, prediction)))
    assert fitted_line([0.1, 0.2, 0.3], [0.5] * 3) == pytest.approx((0, 0.5))


def test_rows_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="equally long"):
        spearman([1, 2], [1, 2, 3])
