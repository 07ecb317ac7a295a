"""Losses: how wrong the logits are, as one number that training minimises.

All take logits (N, K, H, W) of any float type, target (N, H, W) with labels 0..K-1 or
`ignore_index`, and class weights (K,) or None. They return a scalar, float32 (float64 for float64
logits). With p the softmax of the logits over the K classes, y the label of a pixel and w the class
weights (1 where none are given):

    cross-entropy   sum of w_y (-log p_y) / sum of w_y
    focal           sum of w_y (1 - p_y)^gamma (-log p_y) / sum of w_y
    Dice            1 - 2 sum of p_k t_k / (sum of p_k + sum of t_k) for each class k, where t_k is
                    1 if y = k and 0 otherwise; then the mean over the classes, weighted by w
    Dice + focal    their sum

Sums run over all pixels of the batch that have a label. Where several processes share a batch, they
run over the pixels of all processes (`total`). A batch without a label gives 0 and a gradient of
zeros. The logits of an ignored pixel, NaN included, change neither value nor gradient.

A label outside 0..K-1 other than `ignore_index` is a programmer's error, because the class table
has checked the mask. It ends in an index error on the CPU, in a device-side assertion on a GPU.

The test beside this file is tests/unet/test_losses.py.
"""

import math

import torch
from torch import Tensor

from data.files import InputError
from unet.training.processes import total


def cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute the mean of -log p of the true class, weighted by `weight`.

    It is 0 if every pixel has p = 1, and log K if p is the same for all classes. The number is that
    of torch.nn.functional.cross_entropy.
    """
    return focal(logits, target, weight, ignore_index, gamma=0.0)


def focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    gamma: float = 2.0,
) -> Tensor:
    """Compute the cross-entropy in which a pixel counts less, the nearer its p is to 1.

    A pixel of p = 0.9 counts 0.01 times at gamma = 2; gamma = 0 is cross-entropy. `weight` is the
    paper's alpha. Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection, 2017
    (https://arxiv.org/abs/1708.02002), with a softmax in place of the sigmoid.
    """
    logits, target, valid = _labelled(logits, target, ignore_index)
    log_p = logits.log_softmax(dim=1).gather(1, target.unsqueeze(1)).squeeze(1)  # (N, H, W)
    pixel_weight = valid if weight is None else valid * weight.to(logits)[target]  # (N, H, W)
    loss = -log_p
    if gamma != 0:
        # expm1 keeps the digits of 1 - p where p is near 1. The bound keeps the slope finite, for
        # powers below 1 are vertical at 0.
        loss = loss * (-log_p.expm1()).clamp_min(torch.finfo(log_p.dtype).eps) ** gamma
    return _ratio(*total(torch.stack([(pixel_weight * loss).sum(), pixel_weight.sum()])))


def dice(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute the mean over the classes of one minus the soft Dice coefficient of the whole batch.

    `weight` weights this mean. Milletari, Navab, Ahmadi: V-Net, 2016
    (https://arxiv.org/abs/1606.04797), with plain sums in the denominator where the paper squares.

    A class without a pixel in the batch has no Dice coefficient: the formula gives 0 whatever is
    predicted, and a gradient of 0. Its loss is instead the share of the batch that it wrongly
    takes, sum of p_k / number of pixels: 0 for nothing, 1 for everything, and one slope throughout.
    If the class were left out, wrong pixels would cost nothing. The usual smoothing constant e,
    with a loss of 1 - e / (sum of p_k + e), has a slope of 1 / e at no wrong pixel and nearly none
    at many.
    """
    logits, target, valid = _labelled(logits, target, ignore_index)
    p = logits.softmax(dim=1) * valid.unsqueeze(1)  # (N, K, H, W)
    one_hot = torch.zeros_like(p).scatter(1, target.unsqueeze(1), valid.unsqueeze(1))
    sums = [values.sum(dim=(0, 2, 3)) for values in (p * one_hot, p, one_hot)]
    overlap, predicted, occurring = total(torch.stack(sums))  # (K,) each
    # Where a class occurs its denominator is at least 1. The bounds keep the other branch finite.
    present = 1 - 2 * overlap / (predicted + occurring).clamp_min(1)
    absent = predicted / occurring.sum().clamp_min(1)
    loss = torch.where(occurring > 0, present, absent)  # (K,)
    weight = torch.ones_like(loss) if weight is None else weight.to(loss)
    return _ratio((weight * loss).sum(), weight.sum())


def dice_focal(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Add Dice, of each class as a whole, and focal, of each pixel by itself."""
    common = (target, weight, ignore_index)
    return dice(logits, *common) + focal(logits, *common)


def dice_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Add Dice and cross-entropy."""
    common = (target, weight, ignore_index)
    return dice(logits, *common) + cross_entropy(logits, *common)


LOSSES = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "dice_focal": dice_focal,
    "dice_cross_entropy": dice_cross_entropy,
}
CLASS_WEIGHTS = {"none": None, "inverse": 1.0, "sqrt": 0.5}  # power of the number of pixels


def class_weights(counts: Tensor, method: str, cap: float = 100.0) -> Tensor | None:
    """Return weights of the classes for the losses.

    Args:
        counts: (K,) number of training pixels of each class, not all 0.
        method: "none"; "inverse" to the number of pixels; "sqrt", inverse to its square root; or K
            numbers such as "1,4,2.5".
        cap: no class counts as more than `cap` times rarer than the most frequent one. Otherwise a
            few pixels, perhaps mislabelled, would dominate the loss.

    Returns:
        (K,) float32 on the device of `counts`, with mean 1 over the classes that occur and 0 for a
        class without pixels; None for "none". Numbers are taken as they are.

    Raises:
        InputError: `method` is neither a name nor K numbers from 0 that are not all 0.
    """
    if method == "none":
        return None
    if method not in CLASS_WEIGHTS:
        return torch.tensor(_numbers(method, len(counts)), device=counts.device)
    counts = counts.double()
    power = CLASS_WEIGHTS[method]
    weight = torch.where(counts > 0, counts.clamp_min(counts.max() / cap) ** -power, 0.0)
    return (weight / weight[counts > 0].mean()).float()


def _numbers(text: str, count: int) -> list[float]:
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or min(values) < 0 or not 0 < sum(values) < math.inf:
        names = ", ".join(CLASS_WEIGHTS)
        raise InputError(
            f"--class-weights {text}: write {names}, or {count} numbers such as 1,4,2.5, one for "
            "each class"
        )
    return values


def _labelled(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Separate the ignored pixels, once for all losses.

    Returns:
        Logits (N, K, H, W), 0 where ignored, in float32 at least: in float16 sums over more than
        65,504 pixels overflow. Labels (N, H, W) int64, 0 where ignored. Valid (N, H, W), 1.0 where
        there is a label and 0.0 where ignored.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    valid = target != ignore_index
    logits = torch.where(valid.unsqueeze(1), logits, 0.0)
    return logits, torch.where(valid, target, 0).long(), valid.to(logits.dtype)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide; 0 with a gradient of 0 where both are 0, because no pixel has a weight."""
    return numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)
