"""How well a map agrees with the truth, all from one confusion matrix.

Row t, column p of the matrix counts the pixels of true class t that were labelled p. With TP the
diagonal:

    IoU        TP / (row sum + column sum - TP)      Jaccard index
    Dice       2 TP / (row sum + column sum)         F1 score; equals 2 IoU / (1 + IoU)
    precision  TP / column sum                       user's accuracy
    recall     TP / row sum                          producer's accuracy, accuracy of the class
    accuracy   sum of TP / sum of all                overall

Counts of all batches are summed first and divided last: the mean of the batches' IoU is another
number, and depends on how pixels happened to fall into batches. A ratio 0 / 0 is NaN and left out
of means: IoU and Dice of a class that neither occurs nor is predicted, precision of one never
predicted, recall of one that does not occur. "Macro" is the plain mean over classes, "weighted"
that by their true number of pixels.

The test beside this file is tests/unet/test_metrics.py.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class ConfusionMatrix:
    """`.matrix` (K, K) int64: rows truth, columns prediction.

    It lies on the device of the data last counted; everything derived is float64 on the CPU.

    >>> confusion = ConfusionMatrix(2)
    >>> confusion.update(prediction=torch.tensor([0, 1, 1, 1]), target=torch.tensor([0, 0, 1, 255]))
    >>> confusion.matrix
    tensor([[1, 1],
            [0, 1]])
    """

    def __init__(self, num_classes: int, matrix: Tensor | Sequence | None = None):
        self.num_classes = num_classes
        shape = (num_classes, num_classes)
        self.matrix = (
            torch.zeros(shape, dtype=torch.int64) if matrix is None else torch.as_tensor(matrix)
        )
        if (
            self.matrix.shape != shape
            or self.matrix.dtype != torch.int64
            or bool((self.matrix < 0).any())
        ):
            raise ValueError(
                f"a confusion matrix of {num_classes} classes is {shape} whole numbers from 0"
            )

    def update(self, prediction: Tensor, target: Tensor, ignore_index: int = 255) -> None:
        """Counts labels (not logits) of equal shape. Pixels whose target is `ignore_index` do not
        count.

        Raises ValueError for any other label outside 0..K-1: a label that nobody counts is a wrong
        metric.
        """
        prediction, target = torch.as_tensor(prediction), torch.as_tensor(target)
        if prediction.shape != target.shape:
            shapes = f"{tuple(prediction.shape)} and target {tuple(target.shape)}"
            raise ValueError(f"prediction {shapes} differ in shape")
        valid = target != ignore_index
        prediction = _labels(prediction[valid], self.num_classes, "prediction")
        target = _labels(target[valid], self.num_classes, "target")
        counts = torch.bincount(
            target * self.num_classes + prediction, minlength=self.num_classes**2
        )
        self.matrix = self.matrix.to(counts.device) + counts.view(
            self.num_classes, self.num_classes
        )

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """The matrix of both sets of pixels together."""
        if self.num_classes != other.num_classes:
            raise ValueError(
                f"cannot add matrices of {self.num_classes} and {other.num_classes} classes"
            )
        return ConfusionMatrix(self.num_classes, self.matrix + other.matrix.to(self.matrix.device))

    def support(self) -> Tensor:
        """(K,) number of pixels of each class in the truth."""
        return self._double().sum(dim=1)

    def iou(self) -> Tensor:
        """(K,) intersection over union; NaN for a class that neither occurs nor is predicted."""
        matrix = self._double()
        return matrix.diag() / (matrix.sum(1) + matrix.sum(0) - matrix.diag())

    def dice(self) -> Tensor:
        """(K,) Dice coefficient; NaN for a class that neither occurs nor is predicted."""
        matrix = self._double()
        return 2 * matrix.diag() / (matrix.sum(1) + matrix.sum(0))

    def precision(self) -> Tensor:
        """(K,) share of the pixels labelled k that are k; NaN for a class never predicted."""
        matrix = self._double()
        return matrix.diag() / matrix.sum(0)

    def recall(self) -> Tensor:
        """(K,) share of the pixels of k that are labelled k; NaN for a class that does not occur."""
        matrix = self._double()
        return matrix.diag() / matrix.sum(1)

    def class_accuracy(self) -> Tensor:
        """(K,) accuracy on the pixels of each class: recall, under the name of the segmentation
        papers.

        Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, 2015,
        section 5.
        """
        return self.recall()

    def accuracy(self) -> float:
        """Share of all pixels that are labelled right."""
        matrix = self._double()
        return (matrix.diag().sum() / matrix.sum()).item()

    def foreground_accuracy(self, background: int = 0) -> float:
        """Share labelled right of the pixels whose true class is not `background`."""
        matrix = self._double()
        foreground = torch.arange(self.num_classes) != background
        return (matrix.diag()[foreground].sum() / matrix[foreground].sum()).item()

    def macro_dice(self) -> float:
        return macro(self.dice())

    def weighted_dice(self) -> float:
        return weighted(self.dice(), self.support())

    def mean_iou(self) -> float:
        """Macro mean of IoU, "mIoU"."""
        return macro(self.iou())

    def _double(self) -> Tensor:
        return self.matrix.cpu().double()


def macro(values: Tensor) -> float:
    """Plain mean over the classes that have a value; NaN if none has."""
    return values.nanmean().item()


def weighted(values: Tensor, support: Tensor) -> float:
    """Mean weighted by `support`, the classes' true numbers of pixels, over the classes that have a
    value.
    """
    known = ~values.isnan()
    return ((values * support)[known].sum() / support[known].sum()).item()


def shares(labels: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """(K,) float64 share of each class among the labelled pixels of one image; NaN if there are
    none.
    """
    labels = torch.as_tensor(labels)
    labels = _labels(labels[labels != ignore_index], num_classes, "labels")
    return torch.bincount(labels, minlength=num_classes).cpu().double() / labels.numel()


class Interval(NamedTuple):
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def share_error(truth: Tensor | Sequence[float], prediction: Tensor | Sequence[float]) -> Interval:
    """Mean absolute difference of a class's share over images, with its 95 % confidence interval.

    truth, prediction: (images,), the share of one class or of several together; an image where
    either is NaN is left out. The interval is Student's, mean +- t(0.975, n - 1) s / sqrt(n),
    taking the images as independent samples, and ends at 0. It is NaN for fewer than two images.
    """
    truth, prediction = _pairs(truth, prediction)
    error = (prediction - truth).abs()
    if error.numel() < 2:
        return Interval(error.mean().item(), math.nan, math.nan)
    mean = error.mean().item()
    half = _student_quantile(error.numel() - 1) * error.std().item() / math.sqrt(error.numel())
    return Interval(mean, max(mean - half, 0.0), mean + half)


def spearman(a: Tensor | Sequence[float], b: Tensor | Sequence[float]) -> float:
    """Spearman's rank correlation: the linear correlation of the ranks, equal values sharing their
    mean rank.

    1 if the images are in the same order by both. NaN if either is constant, and with fewer than
    two values.
    """
    a, b = _pairs(a, b)
    a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    return ((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt()).item()


def _labels(labels: Tensor, num_classes: int, name: str) -> Tensor:
    """The labels as int64, all in 0..K-1."""
    if labels.is_floating_point():
        raise TypeError(f"{name} holds {labels.dtype}, not labels; take the argmax of logits first")
    labels = labels.long()
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.numel():
        label, last = wrong[0].item(), num_classes - 1
        raise ValueError(f"{name} has label {label} outside 0..{last} in {wrong.numel()} pixels")
    return labels


def _pairs(a: Tensor | Sequence[float], b: Tensor | Sequence[float]) -> tuple[Tensor, Tensor]:
    a, b = (
        torch.as_tensor(a, dtype=torch.float64).cpu(),
        torch.as_tensor(b, dtype=torch.float64).cpu(),
    )
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"need two equally long rows, not {tuple(a.shape)} and {tuple(b.shape)}")
    known = ~(a.isnan() | b.isnan())
    return a[known], b[known]


def _ranks(values: Tensor) -> Tensor:
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0)  # ranks of a group of equal values end here, and began count - 1 before
    return (last - (count - 1) / 2)[place].double()


def _student_quantile(freedom: int, probability: float = 0.95) -> float:
    """The t with P(|T| < t) = probability, by bisection of Abramowitz and Stegun 1964, 26.7.3 and
    26.7.4.
    """

    def inside(t: float) -> float:
        angle = math.atan(t / math.sqrt(freedom))
        cosine = math.cos(angle)
        odd = freedom % 2
        term, total = (cosine if odd else 1.0), 0.0
        for n in range(2 + odd, freedom + 1, 2):
            total += term
            term *= cosine * cosine * (n - 1) / n
        total *= math.sin(angle)
        return 2 / math.pi * (angle + total) if odd else total

    low, high = 0.0, 13.0  # one degree of freedom has 12.7, all others less
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < probability else (low, middle)
    return low
