"""Calibration: whether probabilities are right, and temperature scaling, which mends some of them.

Of all pixels with a confidence (largest probability) of 0.8, 80 % should have the right label.
Networks are often too sure, because training goes on to make the logits larger after the labels
are right. Temperature scaling (Guo, Pleiss, Sun and Weinberger 2017, On Calibration of Modern
Neural Networks, https://arxiv.org/abs/1706.04599) divides the logits z by one number T:

    probabilities = softmax(z / T),    T = argmin of -mean(log softmax(z / T)[target])

The mean is over the labelled pixels of the validation windows. The label, which is the largest
logit, stays the same. T > 1 makes a network less sure, T < 1 more sure.

The expected calibration error (ECE) divides the pixels into bins of equal width of confidence:

    ECE = sum over bins of (pixels in the bin / all pixels) |accuracy - mean confidence|

One number for all classes has limits. Class weights in the loss raise the probabilities of rare
classes above their share. T cannot lower them and leave the other classes as they are.

Read beside it: tests/unet/evaluation/test_calibration.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from data.files import IGNORE

LOWEST, HIGHEST = 0.1, 10.0  # range of the temperature
STEPS = 24  # of the bisection; the last interval is 3e-7 of T
PIXELS = 2**16  # largest number of pixels for the fit, over all windows
BINS = 15
GOLDEN = (math.sqrt(5) - 1) / 2


class Sample:
    """Logits and targets of labelled pixels that are spread over all windows.

    Args:
        windows: number of all windows that will be added, by all processes.
    """

    def __init__(self, windows: int):
        self.each = max(1, PIXELS // max(1, windows))
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Add pixels of a batch: logits (N, K, H, W) and target (N, H, W). N may be 0."""
        labelled = (target.flatten() != IGNORE).nonzero()[:, 0]
        count = len(labelled)
        taken = min(count, self.each * len(target))
        places = torch.arange(taken, dtype=torch.float64)
        if taken < count:
            # Multiples of the golden ratio modulo 1 are spread evenly, and on no grid of columns.
            places = places * GOLDEN % 1 * count
        chosen = labelled[places.long().to(labelled.device)]
        image, pixel = chosen // target[:1].numel(), chosen % max(1, target[:1].numel())
        values = logits.flatten(2)[image, :, pixel].float().cpu()  # (taken, K)
        weight = torch.full((taken,), count / max(1, taken))
        self.parts.append((values, target.flatten()[chosen].long().cpu(), weight))

    def pixels(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments of `fit_temperature` for the pixels that were added."""
        values, targets, weights = map(torch.cat, zip(*self.parts))
        return values, targets, weights


def fit_temperature(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> float:
    """Find the temperature T that minimises the cross-entropy of softmax(logits / T).

    With b = 1 / T, the cross-entropy of a pixel is log(sum of exp(b z)) - b z[target]. It is convex
    in b, and its derivative is the mean of z under softmax(b z), minus z[target]. Bisection finds
    where the mean of this derivative changes its sign.

    Args:
        logits: (m, K) float32.
        target: (m,) int64, labels 0..K-1.
        weight: (m,) how many pixels each of these stands for; by default 1.

    Returns:
        T from LOWEST to HIGHEST. LOWEST if all labels are right, and 1 without pixels.
    """
    if not len(target):
        return 1.0
    weight = torch.ones(len(target)) if weight is None else weight
    own = logits.gather(1, target[:, None])[:, 0]
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        expected = ((logits / math.exp(middle)).softmax(1) * logits).sum(1)
        slope = ((expected - own) * weight).sum().item()
        # A positive slope in 1 / T asks for a smaller 1 / T.
        low, high = (middle, high) if slope > 0 else (low, middle)
    return math.exp((low + high) / 2)


def cross_entropy(logits: Tensor, target: Tensor, temperature: float) -> float:
    """Compute the mean cross-entropy of softmax(logits / temperature), without class weights."""
    return F.cross_entropy(logits / temperature, target, ignore_index=IGNORE).item()


def reliability(probabilities: Tensor, target: Tensor) -> Tensor:
    """Count pixels by their confidence. The result of several batches is the sum.

    Args:
        probabilities: (N, K, ...).
        target: (N, ...) labels; pixels with IGNORE are not counted.

    Returns:
        (3, BINS) float64 on the CPU: pixels in each bin of confidence, the sum of their
        confidences, and how many of their labels are right.
    """
    confidence, label = probabilities.max(1)
    valid = target != IGNORE
    confidence, right = confidence[valid].double(), (label == target)[valid].double()
    number = (confidence * BINS).long().clamp(max=BINS - 1)
    values = torch.ones_like(confidence), confidence, right
    return torch.stack([torch.bincount(number, each, BINS) for each in values]).cpu()


def expected_calibration_error(bins: Tensor) -> float:
    """Compute the ECE, 0 to 1, from the counts of `reliability`; NaN without pixels."""
    pixels, confidence, right = bins
    return ((right - confidence).abs().sum() / pixels.sum()).item()
