"""The unit of an image's numbers, judged by a sample of them.

A network learns from numbers of one unit. Three doubts about it are cleared up by one sample of
pixels, spread over the image:

    unit      Reflectance 0.07 in one file is 700 in another: a factor of 10,000 is found and
              applied (`gain_between`).
    fill      A value far from all others, such as -9999, may be an undeclared no-data value
              (`fill_values`).
    outside   Numbers outside the range of the training have other units, bands or offsets
              (`outside`).

Read beside it: tests/data/input/test_units.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from data.grid import Window
from data.scaling import Scaling, sample_pixels, valid_pixels

REFLECTANCE = 10_000
UNITS = "reflectance", "reflectance x 10,000"
# Images differ in unit if their numbers differ by more than this factor. Scenes of one unit differ
# by less. On a log scale it is half way to 10,000.
FAR = 100
APART = 50  # scenes of a training whose numbers differ by more than this factor are told
COLOURS = 255  # largest number of 8-bit colours, which are in neither unit
BRIGHT = COLOURS / FAR  # no reflectance is typically above it

THREADS = min(4, os.cpu_count() or 1)  # that read the sample
SIDE, ACROSS = 16, 8  # a sample is 8 x 8 windows of 16 x 16 pixels
REPEATED, LEAST = 0.001, 8  # share and number of pixels that make a fill value
FEW = 8  # numbers of so few different values have no spread to judge by
MARGIN = 0.25  # the range of the training is widened by this share of it on each side
DEVIATIONS = 4.5  # half width of the range, for the method "standard"
TOLERATED = 0.05  # share of numbers outside the range that is not reported


class Unit(NamedTuple):
    """How the numbers of a file become those that the network is shown.

        (number + offset) * gain    for numbers that become smaller, gain = 1 / 10,000
        number * gain + offset      for reflectances that become x 10,000

    Where there are two units, an offset below BRIGHT is in reflectance, and another in x 10,000.

    Numbers that this changes are float32, and no-data is then NaN. A whole number plus an offset is
    at least 1, since it stands for a reflectance. Reflectances are positive, and a spectral index
    of negative numbers has no meaning.
    """

    offset: float
    gains: tuple[float, ...]  # of each band
    nodata: float | None  # in the file

    @property
    def unchanged(self) -> bool:
        """Whether numbers stay as they are."""
        return not self.offset and all(gain == 1 for gain in self.gains)

    def apply(self, stored: np.ndarray, bands: Sequence[int] | None = None) -> np.ndarray:
        """Convert numbers (C, h, w) of all bands, or of the bands at these positions."""
        if self.unchanged:
            return stored
        gains = np.array(self.gains if bands is None else [self.gains[b] for b in bands])
        gains = gains.astype(np.float32)[:, None, None]
        larger = np.maximum(gains, 1)
        offset = np.float32(self.offset) * (larger if abs(self.offset) < BRIGHT else 1)
        numbers = stored.astype(np.float32) * larger + offset
        if self.offset and stored.dtype.kind in "iu":
            numbers = np.maximum(numbers, 1)
        numbers *= np.minimum(gains, 1)
        return np.where(valid_pixels(stored, self.nodata), numbers, np.float32(np.nan))


def take_sample(image, numbers: Sequence[int] | None, nodata: float | None) -> np.ndarray:
    """Read a sample of an image: all of a small one, else windows on a lattice.

    Args:
        image: The open image, or a scene.
        numbers: Numbers of the bands from 1, or None for all.
        nodata: The no-data value of what is read.

    Returns:
        (bands, n) float32, only pixels with data. A declared value in one band is NaN.
    """
    grid, more = image.grid, () if numbers is None else (list(numbers),)
    height, width = (min(SIDE, side) for side in (grid.height, grid.width))
    rows, cols = (
        np.linspace(0, side - part, ACROSS).astype(int).tolist()
        for side, part in ((grid.height, height), (grid.width, width))
    )
    size = grid.height * grid.width
    if size <= 16 * (SIDE * ACROSS) ** 2:
        # A block of a small image lies in many windows. Here it is decoded once.
        whole = image.read(Window(0, 0, grid.height, grid.width), *more)
        parts = [whole[:, row : row + height, col : col + width] for row in rows for col in cols]
        parts = [whole] if size <= (SIDE * ACROSS) ** 2 else parts
    elif getattr(image, "block_shape", (0, 0))[1] >= grid.width:
        # Blocks are as wide as the image. So each is decoded once for all its windows.
        strips = [image.read(Window(row, 0, height, grid.width), *more) for row in rows]
        parts = [strip[:, :, col : col + width] for strip in strips for col in cols]
    else:
        windows = [Window(row, col, height, width) for row in rows for col in cols]
        with ThreadPoolExecutor(THREADS) as pool:  # each decodes whole blocks, which takes longest
            parts = list(pool.map(lambda window: image.read(window, *more), windows))
    pixels = np.concatenate([part.reshape(len(part), 1, -1) for part in parts], axis=2)
    names = [str(band) for band in range(len(pixels))]
    return sample_pixels([(lambda _: pixels, Window(0, 0, 1, pixels.shape[2]), nodata)], names, [])


def typical(sample: np.ndarray) -> float | None:
    """Return the median over the bands of the 99th percentile; None without any number."""
    highs = [np.percentile(band[np.isfinite(band)], 99) for band in sample if _any_finite(band)]
    return float(np.median(highs)) if highs else None


def _any_finite(numbers: np.ndarray) -> bool:
    return bool(np.isfinite(numbers).any())


def date_gains(
    sample: np.ndarray, dates: int, dtype: np.dtype, scaling: Scaling
) -> tuple[float, ...]:
    """Compute the factor from the unit of each date of an image to the unit of the training.

    Args:
        sample: (bands of all dates, n) from `take_sample`.
        dates: Number of dates.
        dtype: Type of the image's numbers.
        scaling: The scaling of the training. The method "image" scales each image by itself, in any
            unit.

    Returns:
        The factor of each band.
    """
    if scaling.method == "image":
        return (1.0,) * len(sample)
    deviations = 2 if scaling.method == "standard" else 1
    highs = np.array(scaling.offset) + np.array(scaling.scale) * deviations
    trained = float(np.median(highs[: len(sample)]))
    gains = [gain_between(typical(part), trained, dtype) for part in np.split(sample, dates)]
    return tuple(np.repeat(gains, len(sample) // dates).tolist())


def gain_between(own: float | None, other: float, dtype: np.dtype) -> float:
    """Compute the factor from the unit of an image to another unit.

    One may be reflectance and the other reflectance x 10,000. Whole numbers are no reflectances.

    Args:
        own: `typical` of the image.
        other: The same number of the other unit.
        dtype: Type of the image's numbers. 8-bit colours are in neither unit.

    Returns:
        10,000, 1 / 10,000, or 1.
    """
    if own is None or dtype.itemsize == 1:
        return 1.0
    if dtype.kind == "f" and other > COLOURS and own < min(other / FAR, BRIGHT):
        return float(REFLECTANCE)
    if other < BRIGHT and own > other * FAR and (dtype.kind != "f" or own > COLOURS):
        return 1 / REFLECTANCE
    return 1.0


def usual(highs: Sequence[tuple[float | None, np.dtype]]) -> float | None:
    """Return the median of `typical` over the images of the unit that most images have.

    Args:
        highs: `typical` and dtype of each image. Of equal numbers, x 10,000 is the usual unit.

    Returns:
        None if the images are not of two units.
    """
    low = [high for high, dtype in highs if high is not None and _in_reflectance(high, dtype)]
    large = [
        high for high, dtype in highs if high is not None and high > COLOURS and dtype.itemsize > 1
    ]
    return float(np.median(low if len(low) > len(large) else large)) if low and large else None


def _in_reflectance(high: float, dtype: np.dtype) -> bool:
    return dtype.kind == "f" and 0 < high < BRIGHT


def in_other_unit(gain: float) -> str:
    """Say that an image was in another unit than the others, and what became of it."""
    own, other = UNITS if gain > 1 else UNITS[::-1]
    return f"is in {own}, the training images are in {other}: multiplied by {gain:g}"


def fill_values(sample: np.ndarray) -> dict[float, float]:
    """Find values that stand for no data without being declared, and take them out of the sample.

    Such a value is the lowest or highest of a band, is repeated, and lies farther from all others
    than these are spread (from the 1st to the 99th percentile). A collar of 0 beside ordinary
    reflectances lies nearer, and saturated pixels have neighbours.

    Args:
        sample: (bands, n) float. The numbers found become NaN.

    Returns:
        {value: share of the sample's numbers}.
    """
    found: dict[float, float] = {}
    for band in sample:
        for end in _far_ends(band[np.isfinite(band)]):
            value = _shortest(end)
            found[value] = found.get(value, 0) + float((band == end).sum() / sample.size)
            band[band == end] = np.nan
    return found


def _far_ends(numbers: np.ndarray) -> list[np.floating]:
    """Return the lowest and the highest of numbers (n,), each if it stands for no data."""
    least = max(LEAST, REPEATED * numbers.size)
    if numbers.size < least:
        return []
    repeated = [end for end in (numbers.min(), numbers.max()) if (numbers == end).sum() >= least]
    rest = numbers[~np.isin(numbers, repeated)]
    if not repeated or np.unique(rest).size <= FEW:
        return []
    low, high = np.percentile(rest, (1, 99))
    with np.errstate(over="ignore"):
        return [end for end in repeated if max(rest.min() - end, end - rest.max()) > high - low]


def _shortest(value: np.floating) -> float:
    """Return the float with the fewest digits that is `value` in float32."""
    return float(value) if float(value).is_integer() and abs(value) < 1e15 else float(str(value))


def filled(values: dict[float, float]) -> list[str]:
    """Say which fill values were found, and what to do."""
    return [
        f"{share:.1%} of the numbers are {value:.10g}, far from all others; if that is no data, "
        f"give --nodata={value:.10g}"
        for value, share in values.items()
    ]


def outside(sample: np.ndarray, names: Sequence[str], scaling: Scaling) -> str | None:
    """Say which share of the numbers lies outside what the network was trained on.

    Args:
        sample: (bands, n) float in the unit of the training, NaN where a number is missing.
        names: The names of the bands.
        scaling: The scaling of the training.

    Returns:
        A sentence without its subject; None if the share is small, or if the scaling is that of
        each image by itself.
    """
    if scaling.method == "image" or not sample.size:
        return None
    start, scale = (np.array(n[: len(names)])[:, None] for n in (scaling.offset, scaling.scale))
    low, high = start, start + scale
    widened = low - MARGIN * scale, high + MARGIN * scale
    if scaling.method == "standard":
        low, high = start - 2 * scale, start + 2 * scale
        widened = start - DEVIATIONS * scale, start + DEVIATIONS * scale
    away = (sample < widened[0]) | (sample > widened[1])
    share = away.sum() / max(1, np.isfinite(sample).sum())
    if share <= TOLERATED:
        return None
    worst = int(away.sum(axis=1).argmax())
    own = np.nanpercentile(sample[worst], (1, 99))
    trained = low[worst, 0], high[worst, 0]
    own_range, trained_range = (f"{a:.4g} to {b:.4g}" for a, b in (own, trained))
    return (
        f"{share:.0%} of the numbers lie outside what the network was trained on "
        f"(band {names[worst]}: {own_range}, trained on {trained_range}); check unit, --bands, "
        "--offset"
    )
