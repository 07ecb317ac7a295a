"""Error-adjusted areas of classes, with 95 % confidence intervals.

The area of a class counted in a map is biased by the errors of the classifier. Where 3 % of a large
class are mistaken for a small one, the small one may be counted double. The confusion matrix counts
how often that happens, so it can be undone. With n_ij the pixels of class i in the map and j in the
truth, n_i their sum over j, and W_i the share of i in the map:

    p_j    = sum_i W_i n_ij / n_i                    share of class j on the ground
    S_j^2  = sum_i W_i^2 (n_ij / n_i)(1 - n_ij / n_i) / (n_i - 1)   its squared standard error
    area_j = A p_j +- 1.96 A S_j                     A the area of the whole map

A stratified estimator whose strata are the classes of the map: Olofsson, Foody, Herold, Stehman,
Woodcock, Wulder 2014, Good practices for estimating area and assessing accuracy of land change,
Remote Sensing of Environment 148, (9), (10), (11).

The truth has to be a random sample within each class of the map. The pixels of a validation set
agree with that in the mean, but not in their number: neighbours have the same errors, so 10,000
pixels of one field hold the information of a few. The intervals count each pixel as a sample of its
own, and are too narrow. An image unlike the validation set has other errors, which no interval
shows.

Read beside it: tests/unet/evaluation/test_area_estimation.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from unet.metrics import ConfusionMatrix

NORMAL = 1.96  # 95 % of the standard normal distribution lie within +-1.96


class Estimate(NamedTuple):
    """Adjusted areas (K,) and half widths (K,) of their intervals, float64, in the mapped unit."""

    area: Tensor
    half_width: Tensor  # of the 95 % confidence interval


def stratified(confusion: ConfusionMatrix, mapped: Tensor) -> Estimate:
    """Compute error-adjusted areas.

    Args:
        confusion: The matrix of a validation set.
        mapped: (K,) area of each class in the map, in any unit.

    Returns:
        NaN for all classes if the map has a class of which the matrix has fewer than two predicted
        pixels: the truth on that part of the ground is then unknown.

    Raises:
        ValueError: The numbers of classes differ.
    """
    mapped = torch.as_tensor(mapped, dtype=torch.float64)
    if mapped.shape != (confusion.num_classes,):
        raise ValueError(f"{tuple(mapped.shape)} areas for {confusion.num_classes} classes")
    counts = confusion.matrix.cpu().double().T  # (map, truth)
    occurs = mapped > 0
    counts, mapped = counts[occurs], mapped[occurs]
    sampled = counts.sum(1, keepdim=True)
    sampled = sampled.where(sampled > 1, torch.nan)
    share = counts / sampled
    area = mapped @ share
    variance = mapped.square() @ (share * (1 - share) / (sampled - 1))
    return Estimate(area, NORMAL * variance.sqrt())
