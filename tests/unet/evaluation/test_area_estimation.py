"""Error-adjusted areas: the worked example of Olofsson and others 2014, hand-made cases, a
simulation.
"""

import pytest
import torch

from unet.evaluation.area_estimation import stratified
from unet.metrics import ConfusionMatrix

# Olofsson and others 2014, section 5, tables 8 and 9: rows map, columns reference, as printed
# there. Deforestation, forest gain, stable forest, stable non-forest; mapped are 200,000 to
# 6,450,000 pixels of 30 m.
SAMPLE = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
MAPPED = torch.tensor([200_000, 150_000, 3_200_000, 6_450_000], dtype=torch.float64)
HECTARES = 0.09  # of a pixel


def ours(rows_map: list) -> ConfusionMatrix:
    """Our matrices have the truth in their rows."""
    return ConfusionMatrix(len(rows_map), torch.tensor(rows_map).T.contiguous())


def test_the_worked_example_of_the_paper():
    area, half = stratified(ours(SAMPLE), MAPPED)
    # By hand, deforestation: 0.020 * 66/75 + 0.320 * 1/165 + 0.645 * 2/325
    #                       = 0.0176 + 0.001939 + 0.003969 = 0.023509
    assert area[0].item() == pytest.approx(0.023509 * 1e7, rel=3e-5)
    # Its variance: 0.02^2 * 0.88 * 0.12 / 74 + 0.32^2 * (1/165)(164/165) / 164
    #             + 0.645^2 * (2/325)(323/325) / 324
    #             = 5.71e-7 + 3.76e-6 + 7.85e-6 = 1.218e-5, whose root is 0.00349
    assert half[0].item() == pytest.approx(1.96 * 0.00349 * 1e7, rel=1e-3)
    # As the paper states them in the text, in hectares: 21,158 +- 6158 of deforestation, and so on.
    assert (area * HECTARES).round().tolist() == [21158, 11686, 285770, 581386]
    assert (half * HECTARES).round().tolist() == pytest.approx([6158, 3756, 15510, 16282], abs=1)


def test_a_map_without_errors_is_left_as_it_is():
    area, half = stratified(ours([[50, 0], [0, 20]]), torch.tensor([7.0, 3.0]))
    assert area.tolist() == [7, 3] and half.tolist() == [0, 0]


def test_a_small_class_is_freed_from_the_errors_of_a_large_one():
    # 1 in 100 of 1000 km2 mapped as wood is town. 3 in 10 of 10 km2 mapped as town are wood.
    area, _ = stratified(ours([[990, 10], [30, 70]]), torch.tensor([1000.0, 10.0]))
    assert area.tolist() == pytest.approx([990 + 3, 10 + 7])


def test_the_adjusted_areas_are_together_the_mapped_ones():
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        matrix = torch.randint(2, 50, (5, 5), generator=random)
        mapped = torch.rand(5, generator=random, dtype=torch.float64)
        area, half = stratified(ConfusionMatrix(5, matrix), mapped)
        assert area.sum().item() == pytest.approx(mapped.sum().item()) and (half > 0).all()
        double = stratified(ConfusionMatrix(5, matrix), 2 * mapped)
        torch.testing.assert_close(double.area, 2 * area)
        torch.testing.assert_close(double.half_width, 2 * half)


def test_a_class_that_is_not_mapped_needs_no_sample_and_one_that_is_does():
    never_predicted = ours([[10, 2], [0, 0]])
    area, half = stratified(never_predicted, torch.tensor([6.0, 0.0]))
    assert area.tolist() == pytest.approx([5, 1]) and half.isfinite().all()
    assert stratified(never_predicted, torch.tensor([6.0, 1.0])).area.isnan().all()
    assert stratified(ours([[10, 2], [0, 1]]), torch.tensor([6.0, 1.0])).half_width.isnan().all()
    without_data = stratified(never_predicted, torch.zeros(2))
    assert without_data.area.tolist() == [0, 0]
    with pytest.raises(ValueError, match="3,"):
        stratified(never_predicted, torch.zeros(3))


def test_two_pixels_of_a_mapped_class_are_enough_for_an_interval():
    # Of the two pixels mapped as the second class one is right: a share of 1/2 +- 1.96 * 1/2.
    area, half = stratified(ours([[4, 0], [1, 1]]), torch.tensor([6.0, 2.0]))
    assert area.tolist() == pytest.approx([6 + 1, 1])
    assert half.tolist() == pytest.approx([1.96 * 2 * 0.5] * 2)


def test_the_interval_holds_the_true_area_95_times_in_100():
    """A map of 100,000 pixels in three classes with known errors; 400 times, 60 to 90 pixels of
    each are checked.
    """
    random = torch.Generator().manual_seed(0)
    right = torch.tensor(
        [[0.9, 0.06, 0.04], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8]], dtype=torch.float64
    )
    mapped, number = torch.tensor([70_000.0, 20_000.0, 10_000.0], dtype=torch.float64), (90, 60, 60)
    truth, held = mapped @ right, torch.zeros(3)
    for _ in range(400):
        counts = torch.zeros(3, 3, dtype=torch.int64)
        for row in range(3):
            checked = torch.multinomial(right[row], number[row], replacement=True, generator=random)
            counts[row] = checked.bincount(minlength=3)
        area, half = stratified(ours(counts.tolist()), mapped)
        held += (area - truth).abs() <= half
    assert ((held / 400 - 0.95).abs() < 0.035).all()
