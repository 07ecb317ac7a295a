"""Losses: one number for the error of the logits, which training minimises.

All losses take the same arguments and return the same:

    logits        (N, K, H, W), of any float type
    target        (N, H, W), labels 0..K-1 or `ignore_index`
    weight        (K,) weights of the classes, or None for 1
    ignore_index  marks pixels without a label
    returns       a scalar, float32 (float64 for float64 logits)

With p the softmax of the logits over the K classes, y the label of a pixel and w the weights:

    cross-entropy   sum of w_y (-log p_y) / sum of w_y
    focal           sum of w_y (1 - p_y)^gamma (-log p_y) / sum of w_y
    Dice            1 - 2 sum of p_k t_k / (sum of p_k + sum of t_k) for each class k,
                    where t_k is 1 if y = k and 0 otherwise; then the mean over the classes,
                    weighted by w
    Dice + focal    their sum

The sums run over all labelled pixels of the batch. Where several processes share a batch, the sums
run over the pixels of all processes (`total`). A batch without labels has the loss 0 and gradients
of 0. The logits of an ignored pixel, NaN included, change neither the value nor the gradient.

The class table has checked the labels before. A label outside 0..K-1 that is not `ignore_index`
ends in an index error on the CPU and in a device-side assertion on a GPU.

The test beside this file is tests/unet/test_losses.py.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from data.files import InputError
from unet.training.processes import total


def cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute the weighted mean of -log p of the true class.

    It is 0 if every pixel is right with probability 1, and log K if all classes are equally
    probable. It equals torch.nn.functional.cross_entropy.
    """
    return focal(logits, target, weight, ignore_index, gamma=0.0)


def focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    gamma: float = 2.0,
) -> Tensor:
    """Compute the focal loss: cross-entropy in which an easy pixel counts less.

    With gamma = 2 a pixel of p = 0.9 counts 0.01 times. gamma = 0 is cross-entropy. `weight` is
    the alpha of the paper. Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection,
    2017 (https://arxiv.org/abs/1708.02002), with softmax in place of the sigmoid.
    """
    logits, target, valid = _labelled(logits, target, ignore_index)
    log_p = logits.log_softmax(dim=1).gather(1, target.unsqueeze(1)).squeeze(1)  # (N, H, W)
    pixel_weight = valid if weight is None else valid * weight.to(logits)[target]  # (N, H, W)
    loss = -log_p
    if gamma != 0:
        # expm1 keeps the digits of 1 - p where p is near 1. The bound keeps the gradient finite
        # there, because powers below 1 have a vertical slope at 0.
        loss = loss * (-log_p.expm1()).clamp_min(torch.finfo(log_p.dtype).eps) ** gamma
    return _ratio(*total(torch.stack([(pixel_weight * loss).sum(), pixel_weight.sum()])))


def dice(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute 1 - the soft Dice coefficient of each class over the batch, then the weighted mean.

    Milletari, Navab, Ahmadi: V-Net, 2016 (https://arxiv.org/abs/1606.04797), with plain sums in the
    denominator, where the paper squares.

    A class without a pixel in the batch has a Dice coefficient of 0 whatever is predicted, so the
    formula has no gradient for it. Its loss here is the mean of its p_k over the labelled pixels:
    0 if it is predicted nowhere, 1 if everywhere, with the same slope throughout. To leave the
    class out would not punish wrong predictions of it. The usual smoothing constant e gives the
    loss 1 - e / (sum of p_k + e), whose slope is 1 / e at no wrong pixel and near 0 at many.
    """
    logits, target, valid = _labelled(logits, target, ignore_index)
    p = logits.softmax(dim=1) * valid.unsqueeze(1)  # (N, K, H, W)
    true = torch.zeros_like(p)  # (N, K, H, W), one-hot
    true.scatter_(1, target.unsqueeze(1), valid.unsqueeze(1))
    pixels = (0, 2, 3)
    sums = torch.stack([(p * true).sum(pixels), p.sum(pixels), true.sum(pixels)])
    overlap, predicted, occurring = total(sums)  # (K,) each
    # A class that occurs has a denominator of at least 1. The bound keeps the other branch finite.
    present = 1 - 2 * overlap / (predicted + occurring).clamp_min(1)
    absent = predicted / occurring.sum().clamp_min(1)
    loss = torch.where(occurring > 0, present, absent)  # (K,)
    weight = torch.ones_like(loss) if weight is None else weight.to(loss)
    return _ratio((weight * loss).sum(), weight.sum())


def dice_focal(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute Dice + focal: the first looks at each class as a whole, the second at each pixel."""
    common = (target, weight, ignore_index)
    return dice(logits, *common) + focal(logits, *common)


def dice_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute Dice + cross-entropy."""
    common = (target, weight, ignore_index)
    return dice(logits, *common) + cross_entropy(logits, *common)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "dice_focal": dice_focal,
    "dice_cross_entropy": dice_cross_entropy,
}
CLASS_WEIGHTS = {"inverse": 1.0, "sqrt": 0.5}  # the weight is 1 / pixels ** this


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
        names = ", ".join(["none", *CLASS_WEIGHTS])
        raise InputError(
            f"--class-weights {text}: write {names}, or {count} numbers such as 1,4,2.5, one for "
            "each class"
        )
    return values


def _labelled(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Take out the ignored pixels.

    Returns:
        logits (N, K, H, W), in float32 at least and 0 where ignored; labels (N, H, W) int64, 0
        where ignored; valid (N, H, W), 1.0 where there is a label and 0.0 where ignored. Sums in
        half precision would overflow beyond 65,504 pixels.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    valid = target != ignore_index
    logits = torch.where(valid.unsqueeze(1), logits, 0.0)
    return logits, torch.where(valid, target, 0).long(), valid.to(logits.dtype)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide; 0 with a gradient of 0 where both are 0, because no pixel has a weight."""
    return numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)
