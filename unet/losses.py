"""Losses: the number that training minimises.

All losses have the same arguments and the same result:

    logits        (N, K, H, W), of any float type
    target        (N, H, W), labels 0..K-1 or `ignore_index`
    weight        (K,) weights of the classes, or None for 1
    ignore_index  marks pixels without a label
    returns       a scalar, float32 (float64 for float64 logits)

p are the class probabilities (softmax of the logits), y the label of a pixel, w the class weights:

    cross-entropy   sum of w_y (-log p_y) / sum of w_y
    focal           sum of w_y (1 - p_y)^gamma (-log p_y) / sum of w_y
    Dice            1 - 2 sum of p_k t_k / (sum of p_k + sum of t_k) for each class k,
                    where t_k is 1 if y = k and 0 otherwise; then the mean over the classes,
                    weighted by w
    Dice + focal    the sum of both

The sums run over all labelled pixels of the batch. Where several processes share a batch, the sums
run over the pixels of all processes (`total`). A batch without labels has the loss 0 and gradients
of 0. The logits of an ignored pixel change neither the loss nor the gradient, even if they are NaN.

The class table checks the labels when the data are read. Here, a label outside 0..K-1 that is not
`ignore_index` causes an index error on the CPU and a device-side assertion on a GPU.

Read beside it: tests/unet/test_losses.py.
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

    It is 0 if the true class has probability 1 in every pixel, and log K if all classes have equal
    probability. It equals torch.nn.functional.cross_entropy.
    """
    return focal(logits, target, weight, ignore_index, gamma=0.0)


def focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    gamma: float = 2.0,
) -> Tensor:
    """Compute the focal loss: cross-entropy in which well classified pixels have less weight.

    With gamma = 2, the term of a pixel with p_y = 0.9 is multiplied by 0.01. With gamma = 0, the
    loss is cross-entropy. `weight` is alpha in the paper: Lin, Goyal, Girshick, He, Dollar, Focal
    Loss for Dense Object Detection, 2017 (https://arxiv.org/abs/1708.02002). The paper has a
    sigmoid where this function has softmax.
    """
    return _focal(*_labelled(logits, target, ignore_index), weight, gamma)


def _focal(
    log_p: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None, gamma: float
) -> Tensor:
    """Compute the focal loss of what `_labelled` returns."""
    log_p = log_p.gather(1, target.unsqueeze(1)).squeeze(1)  # (N, H, W)
    pixel_weight = valid if weight is None else valid * weight.to(log_p)[target]  # (N, H, W)
    loss = -log_p
    if gamma != 0:
        # expm1 is exact where p is near 1. The lower bound keeps the gradient finite there: the
        # slope of x ** gamma at 0 is infinite for gamma below 1.
        loss = loss * (-log_p.expm1()).clamp_min(torch.finfo(log_p.dtype).eps) ** gamma
    return _ratio(*total(torch.stack([(pixel_weight * loss).sum(), pixel_weight.sum()])))


def dice(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute 1 - Dice of each class, with probabilities for counts; then the weighted mean.

    Milletari, Navab, Ahmadi: V-Net, 2016 (https://arxiv.org/abs/1606.04797). The paper squares p
    and t in the denominator; this function does not.

    The formula has no gradient for a class without a pixel in the batch, because its Dice
    coefficient is 0 for every prediction. The loss of such a class is therefore the mean of p_k
    over the labelled pixels. It is 0 if the class is predicted nowhere and 1 if it is predicted
    everywhere, and its slope is constant. Two other solutions are worse. If the class is left out,
    wrong predictions of it cost nothing. With the usual smoothing constant e, the loss is
    1 - e / (sum of p_k + e); its slope is 1 / e where the sum is 0, and near 0 where it is large.
    """
    return _dice(*_labelled(logits, target, ignore_index), weight)


def _dice(log_p: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor:
    """Compute the Dice loss of what `_labelled` returns."""
    p = log_p.exp() * valid.unsqueeze(1)  # (N, K, H, W)
    true = torch.zeros_like(p)  # (N, K, H, W), one-hot
    true.scatter_(1, target.unsqueeze(1), valid.unsqueeze(1))
    pixels = (0, 2, 3)
    sums = torch.stack([(p * true).sum(pixels), p.sum(pixels), true.sum(pixels)])
    overlap, predicted, occurring = total(sums)  # (K,) each
    # The bound changes nothing for a class that occurs: its denominator is at least 1. For the
    # other classes it prevents 0 / 0, which would make the gradient of torch.where NaN.
    present = 1 - 2 * overlap / (predicted + occurring).clamp_min(1)
    absent = predicted / occurring.sum().clamp_min(1)
    loss = torch.where(occurring > 0, present, absent)  # (K,)
    weight = torch.ones_like(loss) if weight is None else weight.to(loss)
    return _ratio((weight * loss).sum(), weight.sum())


def dice_focal(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute Dice + focal loss. Dice compares whole classes, the focal loss single pixels."""
    labelled = _labelled(logits, target, ignore_index)
    return _dice(*labelled, weight) + _focal(*labelled, weight, gamma=2.0)


def dice_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> Tensor:
    """Compute Dice loss + cross-entropy."""
    labelled = _labelled(logits, target, ignore_index)
    return _dice(*labelled, weight) + _focal(*labelled, weight, gamma=0.0)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "dice_focal": dice_focal,
    "dice_cross_entropy": dice_cross_entropy,
}
CLASS_WEIGHTS = {"inverse": 1.0, "sqrt": 0.5}  # the weight is 1 / pixels ** this


def class_weights(counts: Tensor, method: str, cap: float = 100.0) -> Tensor | None:
    """Compute weights of the classes for the losses.

    Args:
        counts: (K,) number of training pixels of each class, not all 0.
        method: "none"; "inverse" for 1 / pixels; "sqrt" for 1 / square root of pixels; or K numbers
            such as "1,4,2.5", which are the weights.
        cap: the lower limit of the counts is the largest count / `cap`. Smaller counts are raised
            to it. Otherwise a few pixels, perhaps with wrong labels, would dominate the loss.

    Returns:
        (K,) float32 on the device of `counts`, or None for "none". The weights of "inverse" and
        "sqrt" have the mean 1 over the classes that occur. A class without pixels has the weight 0.

    Raises:
        InputError: `method` is no name, and no list of K numbers from 0 on that are not all 0.
    """
    if method == "none":
        return None
    if method not in CLASS_WEIGHTS:
        return torch.tensor(_numbers(method, len(counts)), device=counts.device)
    pixels, power = counts.cpu().double(), CLASS_WEIGHTS[method]  # Apple's GPUs have no float64
    weight = torch.where(pixels > 0, pixels.clamp_min(pixels.max() / cap) ** -power, 0.0)
    return (weight / weight[pixels > 0].mean()).float().to(counts.device)


def _numbers(text: str, count: int) -> list[float]:
    """Read the weights of `count` classes from the text of --class-weights."""
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
    """Compute the log-probabilities, once for both parts of a loss, and replace ignored pixels.

    16-bit floats become float32, because they would overflow above a sum of 65,504 pixels. The
    logits of a network in channels_last are laid out class by class: a mask of pixels then fits
    whole planes, and the sums over pixels are several times as fast.

    Returns:
        log p (N, K, H, W), of logits 0 where ignored; labels (N, H, W) int64, 0 where ignored;
        valid (N, H, W), 1.0 where there is a label and 0.0 where ignored.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    valid = target != ignore_index
    logits = torch.where(valid.unsqueeze(1), logits.contiguous(), 0.0).to(dtype)
    return logits.log_softmax(dim=1), torch.where(valid, target, 0).long(), valid.to(dtype)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide. If both are 0, because no pixel has a weight, the result and its gradient are 0."""
    return numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)
