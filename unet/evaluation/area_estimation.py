"""Areas of classes, corrected for the errors of the network, with 95 % intervals.

The errors of a classifier bias the area of a class in its map. For example, if 3 % of a large class
are labelled as a small class, the map may show twice the area of the small class. The validation
windows show how frequent each error is, so that the shares can be corrected. n_ij is their number
of pixels of class i in the map and class j in the truth, W_i the share of class i in the map of
another image:

    r_ij = n_ij / sum_j n_ij          frequency of the truth j where the map has class i
    c_j  = sum_i W_i r_ij             corrected share: Olofsson, Foody, Herold, Stehman, Woodcock,
                                      Wulder 2014, Good practices for estimating area and assessing
                                      accuracy of land change, RSE 148, equation (9)
    p_j  = W_j + s (c_j - W_j)        estimated share. s from 0 to 1 shrinks the correction

Their equation (10) gives the standard error for pixels that are drawn one by one. The pixels of a
window are not: neighbours have the same errors, so 10,000 pixels of one field contain as much
information as a few independent pixels. The windows of one place are similar, too. So whole windows
and places are resampled here. v_ij is the variance of r_ij between windows, weighted by their
pixels of class i, and m_i the number of places with such pixels (effective: Kish 1965):

    S_j^2 = sum_i W_i^2 v_ij (f + 1 / m_i)

The first term is the difference between the image and an average window, the second one the error
of r_ij. f is 1 for an image as large as a window. For larger images and for sums of images it is
smaller, see `Estimator.estimate`. Then the estimate is tested on the validation itself. Each window
is estimated from the windows of the other places, and s and q are chosen so that

    s   the sum of (true share - p_j)^2 over windows and classes is smallest
    q   |true share - p_j| <= q (S_j + 1 %) in 95 % of the windows and classes; times t / 1.96,
        where t is Student's quantile for the number of places, because few places say little

The interval of another image is p_j +- q (S_j + 1 %), within 0 and 1. Intervals from left-out
residuals are those of the jackknife: Barber, Candes, Ramdas, Tibshirani 2021, Predictive inference
with the jackknife+. They hold if the image is like the validation windows: of the same kinds of
places, with errors as frequent. `Estimator.objection` looks for signs that it is not.

Read beside it: tests/unet/evaluation/test_area_estimation.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unet.evaluation.shares import student_quantile

LEVEL = 0.95
FLOOR = 0.01  # added to each standard error: shares that no left-out window can explain
WINDOWS, PLACES = 10, 3  # fewest windows and places for an estimate
NORMAL = 1.96  # 95 % of the standard normal distribution lie within +-1.96
UNKNOWN = 0.01  # largest share of a map in classes that the validation has no pixel of
MARGIN = 0.5  # part of the range of the validation windows by which an image may be outside


class Estimate(NamedTuple):
    """Shares (K,) of the classes, float64, with the ends of their intervals."""

    share: Tensor
    low: Tensor
    high: Tensor


class Rates(NamedTuple):
    """Frequencies of the truth where the map has a class, (..., K map, K truth)."""

    mean: Tensor  # r_ij
    variance: Tensor  # v_ij
    places: Tensor  # (..., K) m_i, infinite for a class without pixels

    def corrected(self, mapped: Tensor) -> Tensor:
        """Compute the shares c (..., K) of maps with the shares `mapped` (..., K)."""
        return torch.einsum("...i,...ij->...j", mapped, self.mean)

    def error(self, mapped: Tensor, f: float = 1.0) -> Tensor:
        """Compute the standard error S (..., K) of `corrected`."""
        factor = (f + 1 / self.places)[..., None]
        return torch.einsum("...i,...ij->...j", mapped**2, self.variance * factor).sqrt()


class Estimator:
    """Estimates shares of classes from the errors in the validation windows.

    Attributes:
        shrinkage: s, from 0 to 1.
        factor: q.
        correlation: Correlation of the errors of two windows at one place, from 0 to 1. It is 1
            if it is not known.

    Args:
        windows: (n, K, K) confusion matrices of the windows, rows truth, columns prediction.
        places: (n,) number of the place, or of the image, of each window.
        inputs: (n, C) mean of each input channel in each window.
    """

    def __init__(self, windows: Tensor, places: Tensor, inputs: Tensor | None = None):
        counts = windows.double().transpose(1, 2)  # (n, map, truth)
        occurs = counts.sum((1, 2)) > 0
        counts, places = counts[occurs], places[occurs].unique(return_inverse=True)[1]
        self.windows, self.pixels = len(counts), counts.sum() / max(1, len(counts))
        self.places = len(places.unique())
        self._inputs = None if inputs is None else inputs[occurs].double()
        sums = _sums(counts, places)
        self.rates, self.mapped_pixels = _rates(*(part.sum(0) for part in sums)), sums[0].sum(0)
        self.shrinkage, self.factor, self.correlation = 0.0, 0.0, 1.0
        if not self._small():
            others = _rates(*(part.sum(0) - part for part in sums))
            self._fit(counts, Rates(*(part[places] for part in others)), places)

    def _small(self) -> str:
        """Say why the validation is too small, or ""."""
        for name, number, least in (
            ("windows with labels", self.windows, WINDOWS),
            ("places", self.places, PLACES),
        ):
            if number < least:
                return f"the validation has {number} {name}, fewer than {least}"
        return ""

    def _fit(self, counts: Tensor, others: Rates, places: Tensor) -> None:
        """Fit s, q and the correlation to windows (n, K, K). Rates are those of other places."""
        total = counts.sum((1, 2))[:, None]
        mapped, truth = counts.sum(2) / total, counts.sum(1) / total  # (n, K)
        correction = others.corrected(mapped) - mapped
        best = ((truth - mapped) * correction).sum() / correction.square().sum().clamp(min=1e-12)
        self.shrinkage = best.clamp(0, 1).item()
        residual = truth - mapped - self.shrinkage * correction
        score = residual / (others.error(mapped) + FLOOR)
        # A class that is neither in the map nor in the truth would make intervals too narrow.
        told = (truth > 0) | (mapped > 0)
        few = student_quantile(self.places - 1, LEVEL) / NORMAL
        self.factor = score[told].abs().quantile(LEVEL).item() * few
        self.correlation = _correlation(score, places)

    def estimate(self, mapped: Tensor, pixels: int, images: int = 1) -> Estimate:
        """Estimate the shares of the classes in one image, or in several together.

        An image of w windows at one place has f = rho + (1 - rho) / w, where rho is the
        correlation. Several images are taken to lie on as many places as the validation windows
        would, if there were as many of them.

        Args:
            mapped: (K,) share of each class in the map.
            pixels: Number of mapped pixels.
            images: Number of images.
        """
        mapped = mapped.double()
        windows = float(pixels / self.pixels)
        on_places = min(float(images), max(1.0, windows * self.places / self.windows))
        f = self.correlation / on_places + (1 - self.correlation) / windows
        share = mapped + self.shrinkage * (self.rates.corrected(mapped) - mapped)
        half = self.factor * (self.rates.error(mapped, f) + FLOOR)
        return Estimate(share, (share - half).clamp(min=0), (share + half).clamp(max=1))

    def objection(
        self, mapped: Tensor, inputs: Tensor, classes: Sequence[str], channels: Sequence[str]
    ) -> str:
        """Say why the estimate does not hold for an image, or "".

        Args:
            mapped: (K,) share of each class in the map.
            inputs: (C,) mean of each input channel in the image.
            classes: The names of the classes.
            channels: The names of the channels.
        """
        if small := self._small():
            return small
        unknown = mapped.double().where(self.mapped_pixels == 0, 0)
        if unknown.sum() > UNKNOWN:
            name = classes[int(unknown.argmax())]
            return f"{unknown.max():.1%} of the map is {name}, which no validation window's map has"
        if self._inputs is None:
            return ""
        low, high = self._inputs.amin(0), self._inputs.amax(0)
        outside = torch.maximum(low - inputs, inputs - high) / (high - low).clamp(min=1e-6)
        worst = int(outside.argmax())
        if not outside[worst] <= MARGIN:  # also NaN
            span = f"{low[worst]:.2f} to {high[worst]:.2f} in the validation windows"
            return f"its mean {channels[worst]}, scaled, is {inputs[worst]:.2f}, but {span}"
        return ""


def _sums(counts: Tensor, places: Tensor) -> list[Tensor]:
    """Sum over the windows (n, K, K) of each place what `_rates` needs."""
    pixels = counts.sum(2)  # (n, K), of each class in the map
    squares = counts.square() / pixels.clamp(min=1)[..., None]
    number = int(places.max()) + 1 if len(places) else 0
    sums = [
        part.new_zeros(number, *part.shape[1:]).index_add_(0, places, part)
        for part in (pixels, counts, squares)
    ]
    return [*sums, sums[0].square()]


def _rates(pixels: Tensor, counts: Tensor, squares: Tensor, by_place: Tensor) -> Rates:
    """Compute rates from sums over windows.

    Args:
        pixels: (..., K) pixels of each class in the map.
        counts: (..., K map, K truth) pixels.
        squares: (..., K map, K truth) sum of r_ij^2, weighted by the window's pixels of class i.
        by_place: (..., K) sum of the squares of each place's `pixels`.
    """
    known = pixels[..., None] > 0
    number = pixels.clamp(min=1)[..., None]
    # A class that no map has is taken to be right. `objection` refuses maps with much of it.
    mean = (counts / number).where(known, torch.eye(pixels.shape[-1], dtype=counts.dtype))
    variance = (squares / number - mean.square()).clamp(min=0).where(known, 0)
    places = pixels.square() / by_place
    return Rates(mean, variance, places.where(known[..., 0], torch.inf))


def _correlation(score: Tensor, places: Tensor) -> float:
    """Compute the correlation of the scores (n, K) of two windows of one place, mean over pairs."""
    number = places.bincount().double()
    pairs = (number * (number - 1)).sum()
    if not pairs:
        return 1.0
    sums = score.new_zeros(len(number), score.shape[1]).index_add_(0, places, score)
    products = (sums.square().sum() - score.square().sum()) / pairs
    mean_square = score.square().sum() / len(score)
    return (products / mean_square.clamp(min=1e-12)).clamp(0, 1).item()
