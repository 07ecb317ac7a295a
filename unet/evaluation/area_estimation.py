"""Areas of classes that are not biased by the classifier's errors, with their 95 % confidence
intervals.

Counting the pixels of a map gives every mistake its area: with 3 % of a large class mistaken for a
small one, the small one may be counted double. The confusion matrix says how often that happens, so
it can be undone. With n_ij the pixels that the map calls i and the truth j, n_i their sum over j,
and W_i the share of i in the map:

    p_j    = sum_i W_i n_ij / n_i                                              share of class j on the ground
    S_j^2  = sum_i W_i^2 (n_ij / n_i)(1 - n_ij / n_i) / (n_i - 1)              its squared standard error
    area_j = A p_j +- 1.96 A S_j                                               A the area of the whole map

Olofsson, Foody, Herold, Stehman, Woodcock, Wulder 2014, Good practices for estimating area and
assessing accuracy of land change, Remote Sensing of Environment 148, (9), (10), (11): a stratified
estimator, the strata being the classes of the map.

The truth has to be a random sample within each class of the map. The pixels of a validation set are
close to that in the mean and far from it in their number: neighbours err together, so 10,000 pixels
of one field know as much as a few. The intervals count every pixel as a sample of its own, and so
are a lower bound of what is not known; and where an image is unlike the validation set, nothing
here can tell.

The test beside this file is tests/unet/evaluation/test_area_estimation.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from unet.metrics import ConfusionMatrix

NORMAL = 1.96  # of the standard normal distribution, 95 % lie within


class Estimate(NamedTuple):
    """(K,) float64 each, in the unit of the mapped areas."""

    area: Tensor
    half_width: Tensor  # of the 95 % confidence interval


def stratified(confusion: ConfusionMatrix, mapped: Tensor) -> Estimate:
    """Error-adjusted areas from a confusion matrix and the mapped areas (K,) in any unit.

    NaN everywhere if the map has a class of which the matrix has fewer than two predicted pixels:
    what stands on that part of the ground is then not known for any class.
    """
    mapped = torch.as_tensor(mapped, dtype=torch.float64)
    if mapped.shape != (confusion.num_classes,):
        raise ValueError(f"{tuple(mapped.shape)} areas for {confusion.num_classes} classes")
    counts = confusion.matrix.cpu().double().T  # (map, truth)
    there = mapped > 0
    counts, mapped = counts[there], mapped[there]
    sampled = counts.sum(1, keepdim=True)
    sampled = sampled.where(sampled > 1, torch.nan)
    share = counts / sampled
    area = mapped @ share
    variance = mapped.square() @ (share * (1 - share) / (sampled - 1))
    return Estimate(area, NORMAL * variance.sqrt())
