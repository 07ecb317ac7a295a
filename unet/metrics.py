"""Agreement of a map with the truth: one confusion matrix, and everything derived from it.

The entry in row t and column p is the number of pixels of true class t with the prediction p. TP
(true positives) is the diagonal:

    IoU        TP / (row sum + column sum - TP)      Jaccard index
    Dice       2 TP / (row sum + column sum)         F1 score; equals 2 IoU / (1 + IoU)
    precision  TP / column sum                       user's accuracy
    recall     TP / row sum                          producer's accuracy, accuracy of the class
    accuracy   sum of TP / sum of all                overall

The counts of all batches are summed before anything is divided. The mean of the IoU of single
batches is a different number, which depends on how the pixels are divided into batches.

A ratio 0 / 0 is NaN and is left out of means. It occurs for IoU and Dice of a class that neither
occurs nor is predicted, precision of a class that is never predicted, and recall of a class that
does not occur. "Macro" is the plain mean over classes. "Weighted" is the mean weighted by the true
number of pixels of each class.

Read beside it: tests/unet/test_metrics.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.files import IGNORE


class ConfusionMatrix:
    """A confusion matrix, and the metrics that are derived from it.

    Attributes:
        matrix: (K, K) int64, rows truth, columns prediction, on the device of the labels that were
            counted last. All metrics are float64 on the CPU.
        num_classes: number of classes, K.

    >>> confusion = ConfusionMatrix(2)
    >>> confusion.update(prediction=torch.tensor([0, 1, 1, 1]), target=torch.tensor([0, 0, 1, 255]))
    >>> confusion.matrix
    tensor([[1, 1],
            [0, 1]])
    """

    def __init__(self, num_classes: int, matrix: Tensor | Sequence | None = None):
        shape = (num_classes, num_classes)
        if matrix is None:
            matrix = torch.zeros(shape, dtype=torch.int64)
        self.num_classes, self.matrix = num_classes, torch.as_tensor(matrix)
        fits = self.matrix.shape == shape and self.matrix.dtype == torch.int64
        if not fits or bool((self.matrix < 0).any()):
            what = f"a confusion matrix of {num_classes} classes"
            raise ValueError(f"{what} has the shape {shape} and integers of 0 or more")

    def update(self, prediction: Tensor, target: Tensor, ignore_index: int = IGNORE) -> None:
        """Add the pixels of a batch to the matrix.

        Args:
            prediction: labels (not logits), integers of any shape.
            target: true labels, of the same shape.
            ignore_index: target of the pixels that are not counted.

        Raises:
            ValueError: the shapes differ, or another label lies outside 0..K-1.
            TypeError: the labels are not integers.
        """
        prediction, target = torch.as_tensor(prediction), torch.as_tensor(target)
        if prediction.shape != target.shape:
            shapes = f"{tuple(prediction.shape)} and target {tuple(target.shape)}"
            raise ValueError(f"prediction {shapes} differ in shape")
        classes, valid = self.num_classes, target != ignore_index
        prediction = _checked(torch.where(valid, prediction, 0), classes, "prediction")
        target = _checked(torch.where(valid, target, 0), classes, "target")
        # Ignored pixels have a counter of their own. `prediction[valid]` would take twice the time,
        # and a GPU would have to wait until the number of selected pixels is known.
        pairs = torch.where(valid, target * classes + prediction, classes**2)
        counts = torch.bincount(pairs.flatten(), minlength=classes**2 + 1)[:-1]
        self.matrix = self.matrix.to(counts.device) + counts.view(classes, classes)

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Add two matrices: the result counts the pixels of both."""
        if self.num_classes != other.num_classes:
            classes = f"{self.num_classes} and {other.num_classes} classes"
            raise ValueError(f"cannot add matrices of {classes}")
        return ConfusionMatrix(self.num_classes, self.matrix + other.matrix.to(self.matrix.device))

    def support(self) -> Tensor:
        """Return the number of pixels of each class in the truth, (K,)."""
        return self._double().sum(dim=1)

    def iou(self) -> Tensor:
        """Compute the IoU (K,); NaN if a class neither occurs nor is predicted."""
        matrix = self._double()
        return matrix.diag() / (matrix.sum(1) + matrix.sum(0) - matrix.diag())

    def dice(self) -> Tensor:
        """Compute the Dice coefficients (K,); NaN if a class neither occurs nor is predicted."""
        matrix = self._double()
        return 2 * matrix.diag() / (matrix.sum(1) + matrix.sum(0))

    def precision(self) -> Tensor:
        """Compute which share of the pixels predicted as k is of class k (K,); NaN if none are."""
        matrix = self._double()
        return matrix.diag() / matrix.sum(0)

    def recall(self) -> Tensor:
        """Compute which share of the pixels of class k is predicted as k (K,); NaN if none are."""
        matrix = self._double()
        return matrix.diag() / matrix.sum(1)

    def accuracy(self) -> float:
        """Compute the share of all pixels that have the right label."""
        matrix = self._double()
        return (matrix.diag().sum() / matrix.sum()).item()

    def foreground_accuracy(self, foreground: Sequence[int]) -> float:
        """Compute the accuracy over the pixels whose true class is one of `foreground`."""
        matrix, labels = self._double(), list(foreground)
        return (matrix.diag()[labels].sum() / matrix[labels].sum()).item()

    def macro_dice(self) -> float:
        """Compute the plain mean of the classes' Dice coefficients."""
        return macro(self.dice())

    def weighted_dice(self) -> float:
        """Compute the mean of the Dice coefficients, weighted by the true numbers of pixels."""
        return weighted(self.dice(), self.support())

    def mean_iou(self) -> float:
        """Compute the plain mean of the classes' IoU, "mIoU"."""
        return macro(self.iou())

    def _double(self) -> Tensor:
        return self.matrix.cpu().double()


def each_image(
    prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int = IGNORE
) -> Tensor:
    """Count the confusion matrix of each image of a batch.

    Args:
        prediction: labels (N, H, W), integers.
        target: true labels (N, H, W).
        num_classes: number of classes, K.
        ignore_index: target of the pixels that are not counted.

    Returns:
        (N, K, K) int64, rows truth, columns prediction.

    Raises:
        ValueError, TypeError: as in `ConfusionMatrix.update`.
    """
    valid = target != ignore_index
    image = valid.nonzero()[:, 0]
    prediction = _checked(prediction[valid], num_classes, "prediction")
    target = _checked(target[valid], num_classes, "target")
    cell = (image * num_classes + target) * num_classes + prediction
    counts = torch.bincount(cell, minlength=len(valid) * num_classes**2)
    return counts.view(len(valid), num_classes, num_classes)


def macro(values: Tensor) -> float:
    """Compute the plain mean of the (K,) values that are not NaN; NaN if there are none."""
    return values.nanmean().item()


def weighted(values: Tensor, support: Tensor) -> float:
    """Compute the mean of (K,) values without NaN, weighted by `support` (K,) numbers of pixels."""
    known = ~values.isnan()
    return ((values * support)[known].sum() / support[known].sum()).item()


def _checked(labels: Tensor, num_classes: int, name: str) -> Tensor:
    """Return labels as int64. Raise an error unless they are integers in 0..K-1."""
    if labels.is_floating_point():
        raise TypeError(f"{name} holds {labels.dtype}, not labels; take the argmax of logits first")
    least, most = torch.stack(labels.aminmax()).tolist() if labels.numel() else (0, 0)
    if least < 0 or most >= num_classes:
        wrong, last = labels[(labels < 0) | (labels >= num_classes)], num_classes - 1
        raise ValueError(
            f"{name} has label {wrong[0].item()} outside 0..{last} in {wrong.numel()} pixels"
        )
    return labels.long()
