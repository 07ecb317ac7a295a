"""Error-adjusted areas of classes, with 95 % confidence intervals.

The errors of a classifier bias the area of a class in its map. For example, if 3 % of a large class
are labelled as a small class, the map may show twice the area of the small class. The confusion
matrix has the frequency of each error, so that the areas can be corrected. n_ij is the number of
pixels of class i in the map and class j in the truth, n_i the sum over j, W_i the share of class i
in the map:

    p_j    = sum_i W_i n_ij / n_i                    share of class j on the ground
    S_j^2  = sum_i W_i^2 (n_ij / n_i)(1 - n_ij / n_i) / (n_i - 1)   its squared standard error
    area_j = A p_j +- 1.96 A S_j                     where A is the area of the whole map

This is a stratified estimator; the classes of the map are its strata. Olofsson, Foody, Herold,
Stehman, Woodcock, Wulder 2014, Good practices for estimating area and assessing accuracy of land
change, Remote Sensing of Environment 148, equations (9), (10) and (11).

The estimator assumes that the truth is an independent random sample within each class of the map.
The pixels of a validation set are not independent: neighbours have the same errors, so 10,000
pixels of one field contain as much information as a few independent pixels. The formula counts
each pixel as independent, so the intervals are too narrow. If an image differs from the validation
set, its errors differ too, and the intervals do not show this.

Read beside it: tests/unet/evaluation/test_area_estimation.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from unet.metrics import ConfusionMatrix

NORMAL = 1.96  # 95 % of the standard normal distribution lie within +-1.96


class Estimate(NamedTuple):
    """Adjusted areas and their 95 % confidence intervals, in the unit of the mapped areas."""

    area: Tensor  # (K,) float64
    half_width: Tensor  # (K,) float64, half the width of the interval


def stratified(confusion: ConfusionMatrix, mapped: Tensor) -> Estimate:
    """Compute error-adjusted areas.

    Args:
        confusion: The matrix of a validation set.
        mapped: (K,) area of each class in the map, in any unit.

    Returns:
        The adjusted areas. All are NaN if the map has a class with fewer than two predicted pixels
        in the matrix, because the truth of that part of the map is then unknown.

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
