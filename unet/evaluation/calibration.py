"""Calibration: whether probabilities are right, and temperature scaling, which mends some of them.

Of all pixels with a confidence (largest probability) of 0.8, 80 % should have the right label.
Networks are often too sure, because training goes on to make the logits larger after the labels
are right. Temperature scaling (Guo, Pleiss, Sun and Weinberger 2017, On Calibration of Modern
Neural Networks, https://arxiv.org/abs/1706.04599) divides the logits z by one number T:

    probabilities = softmax(z / T),    T = argmin of -mean(log softmax(z / T)[target])

The mean is over the labelled pixels of the validation windows. The label, which is the largest
logit, stays the same. T > 1 makes a network less sure, T < 1 more sure.

Pixels of one place are right or wrong together, so a few places say little about T. On satellite
tiles T differs from place to place, by factors, and the T of the validation made other places worse
(tests/bench/README.md). So T is the number nearest to 1 at which the derivative of the
cross-entropy differs from zero by no more than chance. Chance is judged by the sums over the places
(Liang and Zeger 1986, Longitudinal data analysis using generalized linear models). With four places
or fewer T is 1. With many places that agree, it is the T of the formula.

The expected calibration error (ECE) divides the pixels into bins of equal width of confidence:

    ECE = sum over bins of (pixels in the bin / all pixels) |accuracy - mean confidence|

One number for all classes has limits. Class weights in the loss raise the probabilities of rare
classes above their share. T cannot lower them and leave the other classes as they are.

Read beside it: tests/unet/evaluation/test_calibration.py.
"""

import math

import torch
from torch import Tensor

from data.files import IGNORE

LOWEST, HIGHEST = 0.1, 10.0  # range of the temperature
STEPS = 20  # of the bisection; the last interval is 4e-6 of T
CHANCE = 2  # standard errors
PIXELS, EACH = 2**14, 64  # pixels for the fit: over all windows, and at least in each window
BINS = 15
GOLDEN = (math.sqrt(5) - 1) / 2


class Sample:
    """Logits, targets and places of labelled pixels that are spread over all windows.

    Args:
        windows: number of all windows that will be added, by all processes.
    """

    def __init__(self, windows: int):
        self.each = max(EACH, PIXELS // max(1, windows))
        self.parts: list[tuple[Tensor, ...]] = []

    def add(self, logits: Tensor, target: Tensor, place: Tensor) -> None:
        """Add pixels of a batch.

        Args:
            logits: (N, K, H, W). N may be 0.
            target: (N, H, W).
            place: (N,) int64 on the CPU, the number of the place of each window.
        """
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
        targets = target.flatten()[chosen].long().cpu()
        self.parts.append((values, targets, weight, place[image.cpu()]))

    def pixels(self) -> tuple[Tensor, ...]:
        """Return the arguments of `fit_temperature` for the pixels that were added."""
        return tuple(map(torch.cat, zip(*self.parts)))


def fit_temperature(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, place: Tensor | None = None
) -> float:
    """Find the temperature T nearest to 1 whose cross-entropy may be the smallest.

    With b = 1 / T, the cross-entropy of a pixel is log(sum of exp(b z)) - b z[target]. It is convex
    in b, and its derivative is the mean of z under softmax(b z), minus z[target]. Bisection finds
    where the sum of this derivative falls to CHANCE standard errors.

    Args:
        logits: (m, K) float32.
        target: (m,) int64, labels 0..K-1.
        weight: (m,) how many pixels each of these stands for; by default 1.
        place: (m,) int64, the number of the place of each pixel, from 0. By default each pixel is
            a place.

    Returns:
        T from LOWEST to HIGHEST. 1 without pixels, or if the places do not show that another T is
        better. Near LOWEST if all labels are right.
    """
    if not len(target):
        return 1.0
    weight = torch.ones(len(target)) if weight is None else weight
    place = torch.arange(len(target)) if place is None else place
    own = logits.gather(1, target[:, None])[:, 0]

    def asked(temperature: float) -> int:
        """Return 1 if the pixels ask for a larger T, -1 for a smaller T, 0 if it may be chance."""
        slopes = (((logits / temperature).softmax(1) * logits).sum(1) - own) * weight
        sums = slopes.new_zeros(int(place.max()) + 1).index_add(0, place, slopes).double()
        if sums.sum().square() <= CHANCE**2 * sums.square().sum():
            return 0
        return 1 if sums.sum() > 0 else -1  # a positive slope in 1 / T asks for a smaller 1 / T

    side = asked(1.0)
    near, far = 0.0, math.log(HIGHEST if side > 0 else LOWEST)
    for _ in range(STEPS if side else 0):
        middle = (near + far) / 2
        near, far = (middle, far) if asked(math.exp(middle)) == side else (near, middle)
    return math.exp((near + far) / 2) if side else 1.0


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
