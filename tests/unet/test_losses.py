"""The losses: values by hand, properties of all losses, other implementations."""

import math

import pytest
import torch
import torch.nn.functional as F
from gpu import GPU, needs_gpu

from data.files import InputError
from unet.losses import LOSSES, class_weights, cross_entropy, dice, dice_focal, focal

every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def two_pixels(*probabilities):
    """Make logits (1, K, 1, 2) from the softmax of the two pixels."""
    return torch.tensor(probabilities).log().T[None, :, None, :]


def batch(seed=0, classes=4, dtype=torch.float32):
    """Make random logits (2, K, 5, 6) and labels: a third is ignored, one class is missing."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, classes, 5, 6, generator=generator, dtype=dtype)
    target = torch.randint(0, classes - 1, (2, 5, 6), generator=generator)
    target[torch.rand(2, 5, 6, generator=generator) < 1 / 3] = 255
    return logits.requires_grad_(), target


# Values to check by hand. Pixel one is of class 0 with p = 3/4, pixel two of class 1 with p = 1/2.

LOGITS = two_pixels([0.75, 0.25], [0.5, 0.5])
TARGET = torch.tensor([[[0, 1]]])


def test_cross_entropy_is_the_mean_of_minus_log_p():
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert cross_entropy(LOGITS, TARGET).item() == pytest.approx(expected)


def test_weighted_cross_entropy_is_divided_by_the_sum_of_weights():
    expected = (1 * math.log(4 / 3) + 3 * math.log(2)) / (1 + 3)
    assert cross_entropy(LOGITS, TARGET, weight=torch.tensor([1.0, 3.0])).item() == pytest.approx(
        expected
    )


def test_focal_multiplies_by_the_square_of_1_minus_p():
    expected = (1 / 16 * math.log(4 / 3) + 1 / 4 * math.log(2)) / 2
    assert focal(LOGITS, TARGET).item() == pytest.approx(expected)


def test_dice_by_hand():
    # class 0: 2 * 0.75 / (0.75 + 0.5 + 1) = 2/3; class 1: 2 * 0.5 / (0.25 + 0.5 + 1) = 4/7
    assert dice(LOGITS, TARGET).item() == pytest.approx(1 - (2 / 3 + 4 / 7) / 2)


def test_weighted_dice_is_the_weighted_mean_over_classes():
    expected = (1 * (1 - 2 / 3) + 3 * (1 - 4 / 7)) / 4
    assert dice(LOGITS, TARGET, weight=torch.tensor([1.0, 3.0])).item() == pytest.approx(expected)


def test_dice_of_a_class_that_does_not_occur_is_the_share_it_wrongly_takes():
    logits = two_pixels([0.5, 0.25, 0.25], [0.25, 0.25, 0.5])
    # class 0: 2 * 0.5 / (0.75 + 1) = 4/7; class 1: 2 * 0.25 / (0.5 + 1) = 1/3; class 2: (0.25 +
    # 0.5) / 2
    expected = (1 - 4 / 7 + 1 - 1 / 3 + 0.375) / 3
    assert dice(logits, TARGET).item() == pytest.approx(expected)


def test_dice_focal_is_the_sum():
    weight = torch.tensor([1.0, 3.0])
    parts = dice(LOGITS, TARGET, weight) + focal(LOGITS, TARGET, weight)
    assert dice_focal(LOGITS, TARGET, weight).item() == pytest.approx(parts.item())


def test_dice_focal_has_the_gamma_2_of_the_paper():
    expected = dice(LOGITS, TARGET).item() + (1 / 16 * math.log(4 / 3) + 1 / 4 * math.log(2)) / 2
    assert dice_focal(LOGITS, TARGET).item() == pytest.approx(expected)


def test_an_ignored_pixel_leaves_the_loss_of_the_other():
    target = torch.tensor([[[0, 255]]])
    assert cross_entropy(LOGITS, target).item() == pytest.approx(math.log(4 / 3))
    # class 0: 2 * 0.75 / (0.75 + 1) = 6/7; class 1 does not occur, and its mean p is 0.25
    assert dice(LOGITS, target).item() == pytest.approx((1 - 6 / 7 + 0.25) / 2)


def test_dice_is_of_the_whole_batch_and_not_the_mean_over_images():
    logits, target = batch()
    side_by_side = dice(
        torch.cat(tuple(logits), dim=2)[None], torch.cat(tuple(target), dim=1)[None]
    )
    assert dice(logits, target).item() == pytest.approx(side_by_side.item())
    one_by_one = [dice(logits[i : i + 1], target[i : i + 1]).item() for i in (0, 1)]
    assert dice(logits, target).item() != pytest.approx(sum(one_by_one) / 2)


# Properties of all losses.


@every_loss
def test_a_sure_and_right_prediction_costs_nothing(loss):
    target = torch.tensor([[[0, 1, 2, 255]]])
    right = 100.0 * F.one_hot(target.clamp_max(2), 3).movedim(-1, 1)
    assert loss(right, target).item() == pytest.approx(0, abs=1e-6)
    assert loss(-right, target).item() > 0.5


@every_loss
@pytest.mark.parametrize(
    "weight", [None, torch.tensor([1.0, 2.0, 0.5, 0.0])], ids=["plain", "weighted"]
)
def test_what_stands_under_ignored_pixels_changes_neither_value_nor_gradient(loss, weight):
    logits, target = batch()
    value = loss(logits, target, weight)
    gradient = torch.autograd.grad(value, logits)[0]
    for other in (1e4, -1e4, math.inf, math.nan):
        changed = logits.detach().masked_fill((target == 255).unsqueeze(1), other).requires_grad_()
        value_changed = loss(changed, target, weight)
        assert value_changed.equal(value)
        assert torch.autograd.grad(value_changed, changed)[0].equal(gradient)
    assert gradient.movedim(1, -1)[target == 255].eq(0).all() and gradient.ne(0).any()


@every_loss
@pytest.mark.parametrize(
    "weight", [None, torch.tensor([1.0, 2.0, 0.5, 0.0])], ids=["plain", "weighted"]
)
def test_a_batch_without_a_valid_pixel_gives_0_and_gradient_0(loss, weight):
    logits, target = batch()
    value = loss(logits, torch.full_like(target, 255), weight)
    value.backward()
    assert value.item() == 0 and logits.grad.eq(0).all()


@every_loss
def test_a_batch_of_only_a_class_without_weight_is_finite(loss):
    logits, target = batch()
    value = loss(logits, torch.zeros_like(target), torch.tensor([0.0, 1, 1, 1]))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize(
    "loss, options",
    [(loss, {}) for loss in LOSSES.values()] + [(focal, {"gamma": 0.5}), (focal, {"gamma": 1.0})],
)
def test_saturated_logits_give_finite_value_and_gradient(loss, options):
    target = torch.tensor([[[0, 1, 0, 1]]])
    logits = torch.tensor(
        [[1e4, 1e4, -1e4, -1e4], [-1e4, -1e4, 1e4, 1e4], [-1e4, -1e4, -1e4, -1e4]]
    )
    logits = logits[None, :, None].requires_grad_()
    value = loss(logits, target, **options)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@every_loss
def test_gradient_is_the_slope_of_the_value(loss):
    logits, target = batch(classes=3, dtype=torch.float64)
    weight = torch.tensor([1.0, 2.0, 0.5])
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weight), logits)


@every_loss
def test_following_the_gradient_learns_the_target(loss):
    logits, target = torch.zeros(2, 4, 5, 6, requires_grad=True), batch()[1]
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    assert logits.argmax(1)[target != 255].equal(target[target != 255])


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_lose_nothing_in_a_million_pixels(loss, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 1024, 1024, generator=generator).to(dtype)
    target = torch.randint(0, 2, (1, 1024, 1024), generator=generator)
    with torch.autocast("cpu", dtype=dtype):
        value = loss(logits, target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits.double(), target).item(), rel=1e-5)


@every_loss
def test_labels_may_be_bytes_and_the_ignored_label_another(loss):
    logits, target = batch()
    assert loss(logits, target.to(torch.uint8)).equal(loss(logits, target))
    assert loss(logits, target.where(target != 255, -1), ignore_index=-1).equal(
        loss(logits, target)
    )


@every_loss
def test_only_the_ratio_of_class_weights_matters(loss):
    logits, target = batch()
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    assert loss(logits, target, 7 * weight).item() == pytest.approx(
        loss(logits, target, weight).item()
    )
    equal = loss(logits, target, torch.full((4,), 3.0))
    assert equal.item() == pytest.approx(loss(logits, target).item())


@every_loss
def test_class_weights_change_the_loss(loss):
    logits, target = batch()
    plain = loss(logits, target).item()
    weighted = loss(logits, target, torch.tensor([1.0, 2.0, 0.5, 4.0])).item()
    assert abs(weighted - plain) > 1e-3


@every_loss
def test_it_compiles_without_graph_breaks(loss):
    logits, target = batch()
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(logits, target, weight), loss(logits, target, weight))


@every_loss
def test_a_label_outside_the_classes_is_an_error_on_the_cpu(loss):
    logits, target = batch()
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        loss(logits, target.where(target != 0, 17))


# Other implementations.


@pytest.mark.parametrize("seed", range(5))
def test_cross_entropy_equals_torchs_in_value_and_gradient(seed):
    logits, target = batch(seed, dtype=torch.float64)
    for weight in (None, torch.rand(4, dtype=torch.float64) + 0.1):
        ours, torchs = (
            cross_entropy(logits, target, weight),
            F.cross_entropy(logits, target, weight, ignore_index=255),
        )
        torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=0)
        gradients = [torch.autograd.grad(value, logits)[0] for value in (ours, torchs)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def test_focal_without_gamma_is_cross_entropy():
    logits, target = batch()
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    assert focal(logits, target, weight, gamma=0.0).equal(cross_entropy(logits, target, weight))
    assert focal(logits, target, weight, gamma=1e-9).item() == pytest.approx(
        cross_entropy(logits, target, weight).item()
    )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_equals_a_loop_over_pixels(gamma):
    logits, target = batch(dtype=torch.float64)
    weight, total, weights = [1.0, 2.0, 0.5, 4.0], 0.0, 0.0
    for n, row, column in (target != 255).nonzero().tolist():
        exponentials = [math.exp(z) for z in logits[n, :, row, column].tolist()]
        label = target[n, row, column].item()
        p = exponentials[label] / sum(exponentials)
        total += weight[label] * (1 - p) ** gamma * -math.log(p)
        weights += weight[label]
    assert focal(logits, target, torch.tensor(weight), gamma=gamma).item() == pytest.approx(
        total / weights
    )


def test_dice_equals_a_loop_over_classes_and_pixels():
    logits, target = batch(dtype=torch.float64)
    losses = []
    for k in range(4):
        overlap = predicted = occurring = pixels = 0.0
        for n, row, column in (target != 255).nonzero().tolist():
            exponentials = [math.exp(z) for z in logits[n, :, row, column].tolist()]
            p = exponentials[k] / sum(exponentials)
            is_class = target[n, row, column].item() == k
            overlap, predicted = overlap + p * is_class, predicted + p
            occurring, pixels = occurring + is_class, pixels + 1
        losses.append(
            1 - 2 * overlap / (predicted + occurring) if occurring else predicted / pixels
        )
    assert (target != 3).all()  # so the last class is one that does not occur
    assert dice(logits, target).item() == pytest.approx(sum(losses) / 4)


# Class weights.


def test_no_class_weights_are_none():
    assert class_weights(torch.tensor([3, 5]), "none") is None


def test_inverse_class_weights_have_the_inverse_ratio_of_the_counts_and_mean_1():
    # 1/100 : 1/50 : 1/25 = 1 : 2 : 4, and 7/3 is their mean
    expected = torch.tensor([1.0, 2.0, 4.0]) / (7 / 3)
    torch.testing.assert_close(class_weights(torch.tensor([100, 50, 25]), "inverse"), expected)


def test_a_class_without_pixels_weighs_0_and_the_others_have_mean_1():
    torch.testing.assert_close(
        class_weights(torch.tensor([30, 0, 10]), "inverse"), torch.tensor([0.5, 0.0, 1.5])
    )


def test_no_class_weighs_more_than_cap_times_the_commonest():
    weight = class_weights(torch.tensor([10**9, 10**9, 1]), "inverse", cap=10.0)
    torch.testing.assert_close(weight, torch.tensor([0.25, 0.25, 2.5]))


def test_numbers_are_taken_as_they_are():
    assert class_weights(torch.tensor([7, 0, 5]), "1,0,2.5").tolist() == [1, 0, 2.5]


@pytest.mark.parametrize("method", ["median", "1,2", "1,2,x", "1,-1,2", "0,0,0", "1,2,inf", ""])
def test_what_is_neither_a_method_nor_a_number_for_each_class_is_an_error(method):
    with pytest.raises(InputError, match="none, inverse, sqrt, or 3 numbers such as 1,4,2.5"):
        class_weights(torch.tensor([1, 2, 3]), method)


def test_sqrt_weights_by_hand_and_capped_by_how_rare_a_class_may_count():
    weight = class_weights(torch.tensor([100, 25, 1, 0]), "sqrt")
    assert weight.tolist() == pytest.approx([0.1 / 1.3 * 3, 0.2 / 1.3 * 3, 1 / 1.3 * 3, 0])
    # The number of pixels of the third is raised to a hundredth of the first.
    capped = class_weights(torch.tensor([40_000, 10_000, 1]), "sqrt")
    assert (capped / capped[0]).tolist() == pytest.approx([1, 2, 10])


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 3.0, 0.5, 2.0])])
def test_a_loss_of_two_parts_is_their_sum(weight):
    logits, target = batch()
    parts = [loss(logits, target, weight) for loss in (dice, cross_entropy, focal)]
    torch.testing.assert_close(
        LOSSES["dice_cross_entropy"](logits, target, weight), parts[0] + parts[1]
    )
    torch.testing.assert_close(dice_focal(logits, target, weight), parts[0] + parts[2])


@needs_gpu
@every_loss
def test_a_gpu_computes_the_losses_and_gradients_of_the_cpu(loss):
    logits, target = batch(dtype=torch.float64)
    weight = class_weights(torch.tensor([100, 50, 25, 10], device=GPU), "sqrt")
    assert weight.device == GPU and weight.dtype == torch.float32
    there = logits.detach().to(GPU).requires_grad_()
    expected = loss(logits, target, weight=weight.cpu())
    found = loss(there, target.byte().to(GPU), weight=weight)
    torch.testing.assert_close(found.cpu(), expected)
    expected.backward()
    found.backward()
    torch.testing.assert_close(there.grad.cpu(), logits.grad)
