"""Losses: how wrong the logits are, as one number to descend.

All take logits (N, K, H, W), of any float type, and target (N, H, W), labels 0..K-1 or
`ignore_index`, and return a scalar, float32 (float64 for float64 logits). With p the softmax of the
logits over the K classes, y the label of a pixel and w the class weights (1 where none are given):

    cross-entropy   sum of w_y (-log p_y) / sum of w_y
    focal           sum of w_y (1 - p_y)^gamma (-log p_y) / sum of w_y
    Dice            1 - 2 sum of p_k t_k / (sum of p_k + sum of t_k) for each class k, where t_k is 1 if y = k
                    and 0 otherwise; then the mean over the classes, weighted by w
    Dice + focal    their sum

Sums run over all pixels of the batch that have a label, and where several processes share a batch,
over all of theirs (`total`). A batch without any gives 0 and a gradient of zeros. What stands under
an ignored pixel, NaN included, changes neither value nor gradient.

A label outside 0..K-1 other than `ignore_index` is a programmer's error, for the class table has
checked the mask before. On the CPU it ends in an index error, on a GPU in a device-side assertion.

The test beside this file is tests/unet/test_losses.py.
"""

import math

import torch
from torch import Tensor

from data.files import InputError
from unet.training.processes import total


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Mean of -log p of the true class: 0 if every pixel is surely right, log K if nothing is
    known.

    With `weight` (K,) the weighted mean, the same number as torch.nn.functional.cross_entropy
    gives.
    """
    return focal(logits, target, weight, ignore_index, gamma=0.0)


def focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    gamma: float = 2.0,
) -> Tensor:
    """Cross-entropy in which a pixel counts less the surer it is: 0.01 times at p = 0.9 and gamma =
    2.

    `weight` (K,) is the paper's alpha. gamma = 0 is cross-entropy. Lin, Goyal, Girshick, He,
    Dollar: Focal Loss for Dense Object Detection, 2017 (https://arxiv.org/abs/1708.02002), with
    softmax for the sigmoid.
    """
    logits, target, valid = _labelled(logits, target, ignore_index)
    log_p = logits.log_softmax(dim=1).gather(1, target.unsqueeze(1)).squeeze(1)  # (N, H, W)
    pixel_weight = valid if weight is None else valid * weight.to(logits)[target]  # (N, H, W)
    loss = -log_p
    if gamma != 0:
        # 1 - p by expm1 keeps its digits where p is near 1; the bound, where powers below 1 are
        # vertical.
        loss = loss * (-log_p.expm1()).clamp_min(torch.finfo(log_p.dtype).eps) ** gamma
    return _ratio(*total(torch.stack([(pixel_weight * loss).sum(), pixel_weight.sum()])))


def dice(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """One minus the soft Dice coefficient of each class over the whole batch, then the mean over
    classes.

    `weight` (K,) weights this mean. Milletari, Navab, Ahmadi: V-Net, 2016
    (https://arxiv.org/abs/1606.04797), with plain sums in the denominator where the paper squares.

    A class without a pixel in the batch has no Dice coefficient: the formula gives 0 whatever is
    predicted, and no slope. Its loss is instead the share of the batch that it wrongly takes, sum
    of p_k / number of pixels: 0 for nothing, 1 for everything, and one slope throughout. (Leaving
    the class out would let wrong pixels go free. The usual smoothing constant e, with a loss of 1 -
    e / (sum of p_k + e), has a slope of 1 / e at no wrong pixel and hardly any at many.)
    """
    logits, target, valid = _labelled(logits, target, ignore_index)
    p = logits.softmax(dim=1) * valid.unsqueeze(1)  # (N, K, H, W)
    true = torch.zeros_like(p).scatter(
        1, target.unsqueeze(1), valid.unsqueeze(1)
    )  # (N, K, H, W), one-hot
    sums = torch.stack(
        [(p * true).sum(dim=(0, 2, 3)), p.sum(dim=(0, 2, 3)), true.sum(dim=(0, 2, 3))]
    )
    overlap, predicted, occurring = total(sums)  # (K,) each
    # Where the class occurs its denominator is at least 1: the bounds only keep the unused branch
    # finite.
    present = 1 - 2 * overlap / (predicted + occurring).clamp_min(1)
    absent = predicted / occurring.sum().clamp_min(1)
    loss = torch.where(occurring > 0, present, absent)  # (K,)
    weight = torch.ones_like(loss) if weight is None else weight.to(loss)
    return _ratio((weight * loss).sum(), weight.sum())


def dice_focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    gamma: float = 2.0,
) -> Tensor:
    """Dice plus focal: each class as a whole, and each pixel by itself."""
    return dice(logits, target, weight, ignore_index) + focal(
        logits, target, weight, ignore_index, gamma
    )


def dice_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Dice plus cross-entropy: dice_focal without a focus."""
    return dice_focal(logits, target, weight, ignore_index, gamma=0.0)


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
    """Takes out the ignored pixels, once for all losses.

    Returns logits (N, K, H, W) in float32 at least, 0 where ignored; labels (N, H, W) int64, 0
    where ignored; and valid (N, H, W), 1.0 where there is a label and 0.0 where ignored. Half
    precision would not do: sums over more than 65,504 pixels overflow.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    valid = target != ignore_index
    logits = torch.where(valid.unsqueeze(1), logits, 0.0)
    return logits, torch.where(valid, target, 0).long(), valid.to(logits.dtype)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator; 0 with a gradient of 0 where both are 0, no pixel having any weight."""
    return numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)
