"""Checks of station 7, against the Dice loss of unet/losses.py and sums by hand."""

import torch
from answers import same

from unet import losses


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, 3, 8, 9), and labels of which some are ignored."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 8, 9, dtype=torch.float64, generator=random)
    target = torch.randint(0, 3, (2, 8, 9), generator=random)
    target[:, :2] = 255
    return logits, target


def test_four_pixels_by_hand(ex):
    # Class 1 has p = 0.9, 0.2 in its two pixels and 0.4, 0.1 in the others. TP 1.1, FP 0.5, FN 0.9
    # for class 1; TP 1.5, FP 0.9, FN 0.5 for class 0.
    p = torch.tensor([0.9, 0.2, 0.4, 0.1], dtype=torch.float64)
    logits = torch.stack([1 - p, p]).log().view(1, 2, 1, 4)
    target = torch.tensor([[[1, 1, 0, 0]]])
    one, zero = 1.1 / (1.1 + 0.3 * 0.5 + 0.7 * 0.9), 1.5 / (1.5 + 0.3 * 0.9 + 0.7 * 0.5)
    expected = 1 - (one + zero) / 2
    same("Tversky of four pixels", ex.tversky(logits, target, 0.3, 0.7), expected)


def test_ignored_pixels_count_nowhere(ex):
    logits, target = batch()
    expected = ex.tversky(logits[:, :, 2:], target[:, 2:], 0.3, 0.7)
    found = ex.tversky(logits, target, 0.3, 0.7)
    same("Tversky with ignored pixels", found, float(expected))
    logits = logits.requires_grad_()
    ex.tversky(logits, target, 0.3, 0.7).backward()
    same("gradient of ignored pixels", logits.grad[:, :, :2], torch.zeros(2, 3, 2, 9))
    assert logits.grad[:, :, 2:].abs().sum() > 0, "gradient: is 0 in labelled pixels"


def test_dice_is_a_special_case(ex):
    logits, target = batch(1)
    found = ex.tversky(logits, target, *ex.alpha_beta("dice"))
    same("Tversky as Dice", found, losses.dice(logits, target).item())


def test_iou_is_a_special_case(ex):
    logits, target = batch(2)
    sure = 100 * torch.nn.functional.one_hot(logits.argmax(1), 3).permute(0, 3, 1, 2).double()
    predicted, valid, expected = logits.argmax(1), target != 255, 0.0
    for k in range(3):
        both = ((predicted == k) & (target == k)).sum()
        either = (((predicted == k) | (target == k)) & valid).sum()
        expected += (1 - both / either).item() / 3
    same("Tversky as IoU", ex.tversky(sure, target, *ex.alpha_beta("iou")), expected, within=1e-5)


def test_misses_cost_four_times_as_much(ex):
    same("alpha, beta for recall", ex.alpha_beta("recall"), (0.2, 0.8))
