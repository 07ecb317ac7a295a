"""The metrics: a 2 x 3 map by hand, a published matrix, then properties and naive loops."""

import doctest
import math

import pytest
import torch
from gpu import GPU, needs_gpu

from unet import metrics
from unet.metrics import ConfusionMatrix, each_image, macro, weighted

# Truth and prediction of six pixels, the last of which is ignored. Class 3 neither occurs nor is
# predicted.
#   truth       0 0 1      prediction  0 1 1
#               1 2 ignored            0 1 2
TARGET = torch.tensor([[0, 0, 1], [1, 2, 255]])
PREDICTION = torch.tensor([[0, 1, 1], [0, 1, 2]])
NAN = math.nan


def counted():
    confusion = ConfusionMatrix(4)
    confusion.update(PREDICTION, TARGET)
    return confusion


def random_labels(seed, classes=5, pixels=400):
    """Make labels, some of them ignored, and predictions that are right for most pixels."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (pixels,), generator=generator)
    other = torch.randint(0, classes, (pixels,), generator=generator)
    prediction = target.where(torch.rand(pixels, generator=generator) < 0.6, other)
    return prediction, target.masked_fill(torch.rand(pixels, generator=generator) < 0.2, 255)


def assert_values(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True)


# By hand.


def test_rows_are_truth_and_columns_prediction():
    assert counted().matrix.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert counted().matrix.dtype == torch.int64


def test_iou_is_the_diagonal_over_the_union():
    assert_values(counted().iou(), [1 / 3, 1 / 4, 0, NAN])


def test_dice_is_twice_the_diagonal_over_row_plus_column():
    assert_values(counted().dice(), [2 / 4, 2 / 5, 0, NAN])


def test_precision_is_over_columns_and_nan_for_a_class_never_predicted():
    assert_values(counted().precision(), [1 / 2, 1 / 3, NAN, NAN])


def test_recall_is_over_rows_and_nan_for_a_class_that_does_not_occur():
    assert_values(counted().recall(), [1 / 2, 1 / 2, 0, NAN])


def test_accuracy_is_right_pixels_over_all_pixels():
    assert counted().accuracy() == pytest.approx(2 / 5)


def test_foreground_accuracy_leaves_out_the_pixels_of_the_background():
    assert counted().foreground_accuracy([1, 2, 3]) == pytest.approx(1 / 3)
    assert counted().foreground_accuracy([0, 1]) == pytest.approx(2 / 4)


def test_means_leave_out_classes_without_a_value():
    confusion = counted()
    assert confusion.support().tolist() == [2, 2, 1, 0]
    assert confusion.macro_dice() == pytest.approx((1 / 2 + 2 / 5 + 0) / 3)
    assert confusion.weighted_dice() == pytest.approx((2 * 1 / 2 + 2 * 2 / 5 + 1 * 0) / 5)
    assert confusion.mean_iou() == pytest.approx((1 / 3 + 1 / 4 + 0) / 3)
    assert macro(torch.tensor([1.0, NAN, 3.0])) == 2.0
    assert weighted(torch.tensor([1.0, NAN, 3.0]), torch.tensor([1.0, 9.0, 3.0])) == 2.5


def test_each_image_of_a_batch_has_a_matrix_of_its_own():
    prediction, target = PREDICTION[:, None], TARGET[:, None]  # two images of one row
    found = each_image(prediction, target, 3)
    assert found.tolist() == [[[1, 1, 0], [0, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]]]
    assert found.sum(0).equal(counted().matrix[:3, :3])
    assert each_image(prediction[:0], target[:0], 3).shape == (0, 3, 3)
    with pytest.raises(ValueError, match="target has label 2 outside 0..1"):
        each_image(prediction.clamp(max=1), target, 2)


def test_the_published_matrix_gives_the_published_figures():
    matrix = [[2926629, 10144, 229225], [4171, 131252, 25538], [183183, 23916, 785942]]
    confusion = ConfusionMatrix(3, matrix)
    assert [round(value, 3) for value in confusion.dice().tolist()] == [0.932, 0.805, 0.773]
    assert [round(value, 3) for value in confusion.precision().tolist()] == [0.940, 0.794, 0.755]
    assert round(confusion.accuracy(), 3) == 0.890
    assert round(confusion.macro_dice(), 3) == 0.837
    assert round(confusion.weighted_dice(), 3) == 0.891


def test_an_empty_matrix_has_only_nan():
    confusion = ConfusionMatrix(3)
    for values in (confusion.iou(), confusion.dice(), confusion.precision(), confusion.recall()):
        assert values.isnan().all()
    scalars = [
        confusion.accuracy(),
        confusion.foreground_accuracy([1]),
        confusion.foreground_accuracy([]),
        confusion.macro_dice(),
        confusion.mean_iou(),
    ]
    assert all(math.isnan(value) for value in [*scalars, confusion.weighted_dice()])


def test_the_examples_in_the_docstrings_are_true():
    found = doctest.testmod(metrics)
    assert found.attempted > 0 and found.failed == 0


# Properties.


def test_one_update_five_updates_and_a_sum_of_matrices_are_the_same():
    prediction, target = random_labels(0)
    whole, parts = ConfusionMatrix(5), [ConfusionMatrix(5) for _ in range(5)]
    whole.update(prediction, target)
    stepwise = ConfusionMatrix(5)
    for part, p, t in zip(parts, prediction.chunk(5), target.chunk(5), strict=True):
        part.update(p, t)
        stepwise.update(p, t)
    summed = parts[0] + parts[1] + parts[2] + parts[3] + parts[4]
    assert whole.matrix.equal(stepwise.matrix) and whole.matrix.equal(summed.matrix)
    assert parts[0].matrix.sum() < whole.matrix.sum()  # a sum is a new matrix


def test_what_is_predicted_where_the_target_is_ignored_does_not_count():
    prediction, target = random_labels(1)
    changed = prediction.masked_fill(target == 255, 255)
    one, other = ConfusionMatrix(5), ConfusionMatrix(5)
    one.update(prediction, target)
    other.update(changed, target)
    assert one.matrix.equal(other.matrix) and one.matrix.sum() == (target != 255).sum()


def test_dice_is_2_iou_over_1_plus_iou_and_the_harmonic_mean_of_precision_and_recall():
    confusion = ConfusionMatrix(5)
    confusion.update(*random_labels(2))
    iou, precision, recall = confusion.iou(), confusion.precision(), confusion.recall()
    torch.testing.assert_close(confusion.dice(), 2 * iou / (1 + iou))
    torch.testing.assert_close(confusion.dice(), 2 * precision * recall / (precision + recall))


def test_counts_beyond_the_whole_numbers_of_float32_stay_exact():
    confusion = ConfusionMatrix(2, [[2**40, 0], [0, 1]])
    confusion.update(torch.tensor([0]), torch.tensor([0]))
    assert confusion.matrix[0, 0].item() == 2**40 + 1


def test_labels_may_be_bytes_and_of_any_shape():
    prediction, target = random_labels(3)
    one, other = ConfusionMatrix(5), ConfusionMatrix(5)
    one.update(prediction, target)
    other.update(prediction.byte().view(4, 10, 10), target.byte().view(4, 10, 10).numpy())
    assert one.matrix.equal(other.matrix)


@pytest.mark.parametrize(
    "prediction, target, message",
    [
        ([0, 255], [0, 1], "prediction has label 255 outside 0..2 in 1 pixels"),
        ([0, 1], [3, 1], "target has label 3 outside 0..2"),
        ([0, -1], [0, 1], "prediction has label -1"),
        ([0, 1], [0, 1, 1], "differ in shape"),
    ],
)
def test_wrong_labels_and_unequal_shapes_are_errors_and_count_nothing(prediction, target, message):
    confusion = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=message):
        confusion.update(torch.tensor(prediction), torch.tensor(target))
    assert confusion.matrix.sum() == 0


def test_logits_in_place_of_labels_are_an_error():
    with pytest.raises(TypeError, match="argmax"):
        ConfusionMatrix(2).update(torch.tensor([0.2, 0.8]), torch.tensor([0, 1]))


@pytest.mark.parametrize("matrix", [[[1, 2]], [[1, 2], [3, -1]], [[1.0, 2.0], [3.0, 4.0]]])
def test_a_matrix_of_another_shape_sign_or_type_is_an_error(matrix):
    with pytest.raises(ValueError, match="integers of 0 or more"):
        ConfusionMatrix(2, matrix)


def test_matrices_of_different_classes_do_not_add():
    with pytest.raises(ValueError, match="2 and 3"):
        ConfusionMatrix(2) + ConfusionMatrix(3)


def test_a_batch_without_pixels_counts_nothing():
    confusion = counted()
    confusion.update(torch.zeros(0, 4, 4).long(), torch.zeros(0, 4, 4).byte())
    assert confusion.matrix.equal(counted().matrix)


# Naive loops.


@pytest.mark.parametrize("seed", range(5))
def test_every_figure_equals_a_loop_over_the_pixels(seed):
    prediction, target = random_labels(seed)
    pairs = [(t, p) for t, p in zip(target.tolist(), prediction.tolist(), strict=True) if t != 255]
    confusion = ConfusionMatrix(5)
    confusion.update(prediction, target)
    for k in range(5):
        both = sum(t == k and p == k for t, p in pairs)
        true, predicted = sum(t == k for t, _ in pairs), sum(p == k for _, p in pairs)
        either = sum(t == k or p == k for t, p in pairs)
        assert confusion.iou()[k].item() == pytest.approx(both / either)
        assert confusion.dice()[k].item() == pytest.approx(2 * both / (true + predicted))
        assert confusion.precision()[k].item() == pytest.approx(both / predicted)
        assert confusion.recall()[k].item() == pytest.approx(both / true)
    assert confusion.accuracy() == pytest.approx(sum(t == p for t, p in pairs) / len(pairs))
    foreground = [t == p for t, p in pairs if t != 0]
    found = confusion.foreground_accuracy([1, 2, 3, 4])
    assert found == pytest.approx(sum(foreground) / len(foreground))


@needs_gpu
def test_a_gpu_counts_what_the_cpu_counts_and_refuses_what_it_refuses():
    prediction, target = random_labels(0)
    one, other = ConfusionMatrix(5), ConfusionMatrix(5)
    one.update(prediction, target)
    other.update(prediction.to(GPU), target.byte().to(GPU))
    assert other.matrix.device == GPU and other.matrix.cpu().equal(one.matrix)
    assert other.macro_dice() == one.macro_dice()
    with pytest.raises(ValueError, match="prediction has label 4 outside 0..3"):
        ConfusionMatrix(4).update(prediction.to(GPU), target.to(GPU))
