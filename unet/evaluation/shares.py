"""Share of a class in each image: its area may be right although single pixels are wrong.

For each image there is a true and a predicted share of the class. They are compared by

    bias                 mean predicted share - mean true share
    mean absolute error  mean |prediction - truth| +- t(0.975, n - 1) s / sqrt(n)
    Spearman             linear correlation of the ranks: 1 if both shares rank the images in the
                         same order
    line                 prediction = slope * truth + intercept, by least squares: slope 1 and
                         intercept 0 if all shares are right

The interval of the mean absolute error is Student's; it assumes that the images are independent
samples. s is the standard deviation of the absolute errors of the n images. The shares of an image
are computed from its confusion matrix: the true share from the rows, the predicted one from the
columns.

Read beside it: tests/unet/evaluation/test_shares.py.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unet.metrics import ConfusionMatrix


class Interval(NamedTuple):
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def share_of(confusion: ConfusionMatrix, labels: Sequence[int]) -> tuple[float, float]:
    """Compute the (true, predicted) share of some classes together; NaN for an empty matrix.

    >>> share_of(ConfusionMatrix(2, torch.tensor([[6, 2], [1, 1]])), [1])
    (0.2, 0.3)
    """
    matrix = confusion.matrix.cpu().double()
    chosen, pixels = torch.as_tensor(labels), matrix.sum()
    return (matrix[chosen].sum() / pixels).item(), (matrix[:, chosen].sum() / pixels).item()


def share_statistics(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Compare (true, predicted) shares, one pair for each image.

    Returns:
        "truth" and "prediction": the mean shares; "error": the mean absolute error; "low" and
        "high": its interval; "spearman"; "slope" and "intercept" of the fitted line.
    """
    truth, prediction = torch.tensor(pairs, dtype=torch.float64).T
    error = share_error(truth, prediction)
    slope, intercept = fitted_line(truth, prediction)
    return {
        "truth": truth.nanmean().item(),
        "prediction": prediction.nanmean().item(),
        "error": error.mean,
        "low": error.low,
        "high": error.high,
        "spearman": spearman(truth, prediction),
        "slope": slope,
        "intercept": intercept,
    }


def share_error(truth: Tensor | Sequence[float], prediction: Tensor | Sequence[float]) -> Interval:
    """Compute the mean absolute error of shares, with its 95 % confidence interval.

    Args:
        truth: (images,) true shares of one class, or of several together.
        prediction: (images,) predicted shares. An image where either share is NaN is left out.

    Returns:
        The lower end of the interval is at least 0. For fewer than two images both ends are NaN.
    """
    truth, prediction = _pairs(truth, prediction)
    error = (prediction - truth).abs()
    mean = error.mean().item()
    if error.numel() < 2:
        return Interval(mean, math.nan, math.nan)
    half = student_quantile(error.numel() - 1) * error.std().item() / math.sqrt(error.numel())
    return Interval(mean, max(mean - half, 0.0), mean + half)


def spearman(a: Tensor | Sequence[float], b: Tensor | Sequence[float]) -> float:
    """Compute the rank correlation of two rows (images,). Equal values have their mean rank.

    The result is NaN if a row is constant, or for fewer than two images.
    """
    a, b = _pairs(a, b)
    a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    return ((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt()).item()


def fitted_line(
    truth: Tensor | Sequence[float], prediction: Tensor | Sequence[float]
) -> tuple[float, float]:
    """Fit the line prediction = slope * truth + intercept by least squares.

    Args:
        truth: (images,) true shares.
        prediction: (images,) predicted shares. An image where either share is NaN is left out.

    Returns:
        (slope, intercept). Both are NaN for fewer than three images, because two dots always lie on
        a line, and where the true share is the same in all images.
    """
    truth, prediction = _pairs(truth, prediction)
    if len(truth) < 3 or bool((truth == truth[0]).all()):
        return math.nan, math.nan
    from_mean = truth - truth.mean()
    slope = (from_mean * prediction).sum() / from_mean.square().sum()
    return slope.item(), (prediction.mean() - slope * truth.mean()).item()


def _pairs(a: Tensor | Sequence[float], b: Tensor | Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return both rows as float64, without the images where either value is NaN."""
    a = torch.as_tensor(a, dtype=torch.float64).cpu()
    b = torch.as_tensor(b, dtype=torch.float64).cpu()
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"need two equally long rows, not {tuple(a.shape)} and {tuple(b.shape)}")
    known = ~(a.isnan() | b.isnan())
    return a[known], b[known]


def _ranks(values: Tensor) -> Tensor:
    """Return the rank of each value, from 1. Equal values have the mean of their ranks."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0)  # last rank of each group of equal values; the first is last - count + 1
    return (last - (count - 1) / 2)[place].double()


def student_quantile(freedom: int, probability: float = 0.95) -> float:
    """Compute the t with P(|T| < t) = probability, by bisection.

    T has Student's distribution. P is the finite sum of Abramowitz and Stegun 1964, 26.7.3 and
    26.7.4.
    """

    def inside(t: float) -> float:
        """Compute P(|T| < t)."""
        angle = math.atan(t / math.sqrt(freedom))
        cosine = math.cos(angle)
        odd = freedom % 2
        term, total = (cosine if odd else 1.0), 0.0
        for n in range(2 + odd, freedom + 1, 2):
            total += term
            term *= cosine * cosine * (n - 1) / n
        total *= math.sin(angle)
        return 2 / math.pi * (angle + total) if odd else total

    low, high = 0.0, 13.0  # t is 12.7 for one degree of freedom, and smaller for more
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < probability else (low, middle)
    return low
