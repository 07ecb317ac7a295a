"""Areas corrected for errors: a published example, cases by hand, simulations of places."""

import pytest
import torch

from unet.evaluation.area_estimation import Estimator

# Olofsson and others 2014, section 5, tables 8 and 9: rows map, columns reference, as printed
# there. Deforestation, forest gain, stable forest, stable non-forest; mapped are 200,000 to
# 6,450,000 pixels of 30 m.
SAMPLE = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
MAPPED = torch.tensor([200_000, 150_000, 3_200_000, 6_450_000], dtype=torch.float64)
HECTARES = 0.09  # of a pixel


def windows(*maps: list) -> torch.Tensor:
    """Our matrices have the truth in their rows."""
    return torch.tensor(maps).transpose(1, 2)


def estimator(*maps: list, places=None, inputs=None) -> Estimator:
    numbers = torch.arange(len(maps)) if places is None else torch.tensor(places)
    return Estimator(windows(*maps), numbers, inputs)


def test_the_corrected_areas_are_those_of_the_worked_example_of_the_paper():
    corrected = estimator(SAMPLE).rates.corrected(MAPPED)
    # By hand, deforestation: 0.020 * 66/75 + 0.320 * 1/165 + 0.645 * 2/325
    #                       = 0.0176 + 0.001939 + 0.003969 = 0.023509
    assert corrected[0].item() == pytest.approx(0.023509 * 1e7, rel=3e-5)
    # As the paper states them in the text, in hectares.
    assert (corrected * HECTARES).round().tolist() == [21158, 11686, 285770, 581386]


def test_the_windows_of_a_set_count_as_one_matrix_in_the_correction():
    part = [[[60, 0, 5, 0], [0, 55, 0, 12], [1, 0, 3, 1], [2, 0, 9, 300]]]
    rest = [[[a - b for a, b in zip(*rows)] for rows in zip(SAMPLE, part[0])]]
    apart = estimator(*part, *rest).rates.corrected(MAPPED)
    torch.testing.assert_close(apart, estimator(SAMPLE).rates.corrected(MAPPED))


def test_the_standard_error_of_two_windows_by_hand():
    # Of the pixels mapped as class 0, 90 % are right in one window and 70 % in the other. Mean 0.8,
    # variance 0.01, two places: S = sqrt(0.01 (1 + 1/2)), for both classes.
    rates = estimator([[90, 10], [0, 0]], [[70, 30], [0, 0]]).rates
    only_first = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert rates.corrected(only_first).tolist() == pytest.approx([0.8, 0.2])
    assert rates.error(only_first).tolist() == pytest.approx([0.015**0.5] * 2)
    assert rates.error(only_first, f=0.1).tolist() == pytest.approx([0.006**0.5] * 2)
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)  # no window has class 1 in its map
    assert rates.error(half).tolist() == pytest.approx([0.5 * 0.015**0.5] * 2)


def test_a_window_counts_by_its_pixels_and_places_count_once():
    # 300 pixels at 90 % and 100 at 50 %: mean 0.8, variance 0.75 * 0.01 + 0.25 * 0.09 = 0.03.
    rates = estimator([[270, 30], [0, 0]], [[50, 50], [0, 0]]).rates
    first = torch.tensor([1.0, 0.0], dtype=torch.float64)
    effective = 400**2 / (300**2 + 100**2)
    assert rates.error(first).tolist() == pytest.approx([(0.03 * (1 + 1 / effective)) ** 0.5] * 2)
    # Ten windows at five places are five, not ten.
    ten = [[[80 + k, 20 - k], [0, 0]] for k in range(10)]
    together = estimator(*ten, places=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    assert together.rates.places[0].item() == pytest.approx(5)
    assert estimator(*ten, places=[0] * 10).rates.places[0].item() == pytest.approx(1)


def simulated(places: int, each: int, seed: int, bias: float = 0.1, between: float = 0.1):
    """Windows of 10,000 pixels, a third of class 0 in the map. At each place another share of the
    pixels mapped as 0 is in truth 1: bias +- between. Within a place it differs by 0.05.
    """
    random = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(places):
        here = bias + between * (2 * torch.rand(1, generator=random).item() - 1)
        for _ in range(each):
            wrong = min(max(here + 0.1 * (torch.rand(1, generator=random).item() - 0.5), 0), 1)
            first = int(2000 + 4000 * torch.rand(1, generator=random).item())
            errors = round(first * wrong)
            made.append([[first - errors, errors], [200, 9800 - first]])
    return made, [place for place in range(places) for _ in range(each)]


def held(found: Estimator, images: list, pixels: int = 10_000, number: int = 1) -> float:
    """Share of the images whose interval of class 0 holds its true share."""
    inside = 0
    for counts in images:
        counts = torch.tensor(counts, dtype=torch.float64)
        mapped, truth = counts.sum(1) / counts.sum(), counts.sum(0) / counts.sum()
        _, low, high = found.estimate(mapped, pixels, number)
        inside += bool(low[0] <= truth[0] <= high[0])
    return inside / len(images)


def test_the_interval_holds_the_truth_of_windows_of_other_places_95_times_in_100():
    shares = []
    for seed in range(20):
        counts, places = simulated(20, 4, seed)
        new, _ = simulated(100, 1, 1000 + seed)
        shares.append(held(estimator(*counts, places=places), new))
    assert 0.91 < sum(shares) / len(shares) < 0.99


def test_the_interval_holds_the_truth_of_large_images_and_of_sums_of_images():
    large, sums = [], []
    for seed in range(20):
        counts, places = simulated(20, 4, seed)
        found = estimator(*counts, places=places)
        wide, one = simulated(100, 25, 2000 + seed)
        by_place = torch.tensor(wide).view(100, 25, 2, 2)
        large.append(held(found, by_place.sum(1).tolist(), 250_000))
        whole = by_place[:, :4].reshape(5, 80, 2, 2).sum(1)  # 80 images of 20 places
        sums.append(held(found, whole.tolist(), 800_000, 80))
    assert 0.9 < sum(large) / 20 <= 1 and 0.9 < sum(sums) / 20 <= 1


def test_a_large_image_has_a_smaller_interval_but_not_below_that_of_its_place():
    counts, places = simulated(20, 4, seed=0)
    found, mapped = estimator(*counts, places=places), torch.tensor([0.4, 0.6])

    def half(pixels: int, images: int = 1) -> float:
        _, low, high = found.estimate(mapped, pixels, images)
        return (high[0] - low[0]).item() / 2

    assert half(2_500) > half(10_000) > half(1_000_000) > 0.6 * half(10_000)
    assert half(1_000_000, 100) < 0.6 * half(1_000_000)  # 100 windows are at 25 places
    assert 0.4 < found.correlation < 1


def test_the_correction_is_as_strong_as_it_helps_at_other_places():
    always = estimator(*simulated(20, 4, seed=0, bias=0.3, between=0.02)[0])
    assert always.shrinkage > 0.95
    mapped = torch.tensor([0.5, 0.5])
    # 30 % of the pixels mapped as 0 are 1; the 200 pixels of class 0 that the map misses are 3 %.
    assert always.estimate(mapped, 10_000).share.tolist() == pytest.approx([0.366, 0.634], abs=0.01)
    exact = [[[5000, 0], [0, 5000]]] * 9 + [[[4000, 1000], [0, 5000]]]
    assert estimator(*exact).shrinkage < 0.5  # the one window with errors says nothing of others


def test_a_map_without_errors_is_left_as_it_is():
    found = estimator(*[[[50, 0], [0, 20]]] * 10)
    share, low, high = found.estimate(torch.tensor([0.7, 0.3]), 70)
    for each in (share, low, high):
        assert each.tolist() == pytest.approx([0.7, 0.3])
    alone = estimator(*[[[50]]] * 10).estimate(torch.tensor([1.0]), 50)
    assert alone.share.tolist() == alone.low.tolist() == alone.high.tolist() == [1]


def test_the_estimates_are_together_all_of_the_map_and_within_their_intervals():
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        matrices = torch.randint(0, 50, (12, 5, 5), generator=random)
        found = Estimator(matrices, torch.arange(12) // 2)
        mapped = torch.rand(5, generator=random, dtype=torch.float64)
        share, low, high = found.estimate(mapped / mapped.sum(), 300)
        assert share.sum().item() == pytest.approx(1)
        assert (low >= 0).all() and (high <= 1).all()
        assert (low <= share).all() and (share <= high).all()


def test_errors_of_one_place_correlate_and_errors_of_windows_alone_do_not():
    assert estimator(*simulated(10, 4, seed=0, between=0.1)[0]).correlation == 1  # not known
    for between, low, high in ((0.1, 0.5, 1), (0.0, 0, 0.25)):
        counts, places = simulated(40, 4, seed=0, between=between)
        assert low <= estimator(*counts, places=places).correlation <= high


def test_windows_without_labels_count_nothing():
    counts, places = simulated(6, 2, seed=0)
    empty = [[0, 0], [0, 0]]
    found = estimator(*counts, empty, places=[*places, 7])
    assert found.windows == 12 and found.places == 6
    assert found.factor == estimator(*counts, places=places).factor


NAMES = ["field", "town"], ["red", "nir"]
HALF = torch.tensor([0.5, 0.5])


def test_an_image_unlike_the_validation_is_named():
    counts = [[[90, 10], [5, 95]]] * 10
    means = torch.stack([torch.linspace(0.2, 0.4, 10), torch.linspace(0.5, 0.6, 10)], 1)
    found = estimator(*counts, inputs=means)
    assert found.objection(HALF, torch.tensor([0.3, 0.55]), *NAMES) == ""
    assert found.objection(HALF, torch.tensor([0.49, 0.46]), *NAMES) == ""  # half a range outside
    assert (
        found.objection(HALF, torch.tensor([0.3, 0.7]), *NAMES)
        == "its mean nir, scaled, is 0.70, but 0.50 to 0.60 in the validation windows"
    )
    assert "mean red" in found.objection(HALF, torch.tensor([0.0, 0.55]), *NAMES)
    assert "mean red" in found.objection(HALF, torch.tensor([torch.nan, 0.55]), *NAMES)


def test_a_class_that_the_validation_does_not_map_is_named():
    never = estimator(*[[[90, 10], [0, 0]]] * 10)
    assert never.objection(torch.tensor([0.995, 0.005]), HALF, *NAMES) == ""
    text = "4.0% of the map is town, which no validation window's map has"
    assert never.objection(torch.tensor([0.96, 0.04]), HALF, *NAMES) == text


@pytest.mark.parametrize("number", [0, 1, 9])
def test_a_small_validation_gives_no_estimate(number):
    found = Estimator(torch.full((number, 2, 2), 5), torch.arange(number))
    text = f"the validation has {number} windows with labels, fewer than 10"
    assert found.objection(HALF, HALF, *NAMES) == text


@pytest.mark.parametrize("number, few", [(1, True), (2, True), (3, False)])
def test_windows_of_one_or_two_places_say_nothing_of_others(number, few):
    found = Estimator(torch.full((12, 2, 2), 5), torch.arange(12) % number)
    text = f"the validation has {number} places, fewer than 3" if few else ""
    assert found.objection(HALF, HALF, *NAMES) == text


def test_few_places_make_wide_intervals():
    """Student's quantile is 4.303 for three places, and 2.262 for ten: 1.9 times as wide. The
    standard error of the left-out windows takes a part of it: 1 + 1 / 2 against 1 + 1 / 9.
    """
    counts = [[[90 + k, 10 - k], [5, 95]] for k in (-2, 2)] * 30
    three, ten = (estimator(*counts, places=[k // 2 % n for k in range(60)]) for n in (3, 10))
    assert 4.303 / 2.262 * (1.111 / 1.5) ** 0.5 < three.factor / ten.factor < 4.303 / 2.262
