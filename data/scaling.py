"""Scale the channels of the network's input. Reflectances (the brightness of the ground, x 10,000)
are in the thousands, indices between -1 and 1.

    x' = (x - offset) / scale, for each channel, clipped to LIMITS

    minmax     The 1st to 99th percentile of the training pixels becomes 0 to 1.
               With minimum and maximum, a single very bright or dead pixel would set the range.
    standard   Mean and standard deviation of the pixels between those percentiles become 0 and 1.
    image      As minmax, but fitted to each image by itself. This removes differences of haze and
               season, and also the absolute brightness.

The checkpoint stores the fitted offset and scale. `network_input` applies them in training and in
prediction.

Read beside it: tests/data/test_scaling.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data import bands
from data.files import InputError
from data.grid import Window

METHODS = ("minmax", "standard", "image")
PERCENTILES = (1, 99)
LIMITS = {"minmax": (-1.0, 2.0), "image": (-1.0, 2.0), "standard": (-10.0, 10.0)}
HUGE = 1e30  # no quantity reaches so far
SAMPLE = 1 << 20  # pixels of a fit; the rank of a percentile is then exact to 0.1 %


@dataclass(frozen=True)
class Scaling:
    """Offset and scale of each channel. For the method `image`, `for_image` fits them later."""

    method: str
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @staticmethod
    def fit(pixels: np.ndarray, method: str) -> "Scaling":
        """Fit a scaling to pixels.

        Args:
            pixels: (channels, n) float. Each channel is fitted to its finite values.
            method: One of METHODS. With `image`, a channel without a finite value is not changed.

        Raises:
            InputError: A channel has no finite value, and the method is not `image`. Or its values
                reach farther than those of any quantity.
        """
        offset, scale = [], []
        for number, channel in enumerate(pixels, start=1):
            channel = channel[np.isfinite(channel)]
            if not channel.size and method != "image":
                raise InputError(
                    f"channel {number} of the input has no valid pixel in the training windows; "
                    "check the images and --nodata"
                )
            low, high = np.percentile(channel, PERCENTILES) if channel.size else (0, 1)
            if high - low > HUGE:
                raise InputError(
                    f"channel {number} of the input reaches from {low:g} to {high:g} in the "
                    "training windows; give the value that stands for no data by --nodata"
                )
            shift, width = low, high - low
            if method == "standard":
                inner = channel[(channel >= low) & (channel <= high)]
                shift, width = inner.mean(dtype=np.float64), inner.std(dtype=np.float64)
            offset.append(float(shift))
            scale.append(float(width) or 1.0)  # a constant channel becomes 0
        return Scaling(method, tuple(offset), tuple(scale))

    def for_image(self, pixels: Callable[[], np.ndarray]) -> "Scaling":
        """Return the scaling of one image: with method `image` fitted to it, else this one."""
        return Scaling.fit(pixels(), "image") if self.method == "image" else self

    def apply(self, stacked: np.ndarray) -> np.ndarray:
        """Scale (channels, H, W) float32 in place, and clip it to the limits of the method.

        The channels of a pixel are neighbours in memory. So a row of pixels is one row of numbers.
        An array with another layout is copied, so use what is returned.
        """
        together = np.moveaxis(stacked, 0, -1)  # (H, W, channels)
        rows = together.reshape(len(together), -1)
        pixels = rows.shape[1] // len(stacked)
        rows -= np.tile(np.array(self.offset, np.float32), pixels)
        rows /= np.tile(np.array(self.scale, np.float32), pixels)
        np.clip(rows, *LIMITS[self.method], out=rows)
        return np.moveaxis(rows.reshape(together.shape), -1, 0)

    def state(self) -> dict:
        """Return the scaling as plain values for a checkpoint."""
        return {"method": self.method, "offset": list(self.offset), "scale": list(self.scale)}

    @staticmethod
    def from_state(state: dict) -> "Scaling":
        """Return the scaling from the plain values that the method `state` returned."""
        return Scaling(state["method"], tuple(state["offset"]), tuple(state["scale"]))


def held_value(dtype: np.dtype, nodata: float | None) -> np.generic | None:
    """Return the declared value as a number of a dtype; None if no finite number of it is equal."""
    if nodata is None or not np.isfinite(nodata):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = dtype.type(nodata)
        return value if np.isfinite(value) else None
    limits = np.iinfo(dtype)
    whole = limits.min <= nodata <= limits.max and nodata == int(nodata)
    return dtype.type(nodata) if whole else None


def declared(image: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Return (C, H, W) bool: the numbers that have the declared value; None if there are none."""
    value = held_value(image.dtype, nodata)
    if value is None:
        return None
    found = image == value
    return found if found.any() else None


def valid_pixels(
    image: np.ndarray, nodata: float | None, found: np.ndarray | None = None
) -> np.ndarray:
    """Return (H, W) bool: the pixels of an image (C, H, W) that have data.

    A pixel has no data if any band is NaN, infinite or too large for float32, or has the declared
    value. The values 0 and the largest of an unsigned type may also be a dark or a saturated
    surface. With these, a pixel has no data only if all its bands have the value.

    Args:
        image: The image.
        nodata: The declared value, or None.
        found: What `declared` returns, if it has been called already.
    """
    if image.dtype.kind == "f":
        valid = (np.abs(image) <= np.finfo(np.float32).max).all(axis=0)  # False for NaN too
    else:
        valid = np.ones(image.shape[1:], bool)
    found = declared(image, nodata) if found is None else found
    if found is None:
        return valid
    measurable = nodata == 0 or (image.dtype.kind == "u" and nodata == np.iinfo(image.dtype).max)
    return valid & ~(found.all(axis=0) if measurable else found.any(axis=0))


def _stacked(
    image: np.ndarray, names: Sequence[str], indices: Sequence[str], nodata: float | None
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return bands and indices, the valid pixels, and whether all numbers are valid.

    A declared value in a pixel with data is NaN, and so are the indices made from it.
    """
    found = declared(image, nodata)
    valid = valid_pixels(image, None if found is None else nodata, found)
    if found is not None:
        image = np.where(found, np.float32(np.nan), image)
    return bands.stack(image, names, indices), valid, found is None and bool(valid.all())


def network_input(
    image: np.ndarray,
    names: Sequence[str],
    indices: Sequence[str],
    scaling: Scaling,
    nodata: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Convert a window to the input of the network.

    Args:
        image: Bands (C, H, W) as in the file.
        names: The names of the bands.
        indices: The spectral indices that are added as channels.
        scaling: The scaling of all channels.
        nodata: The declared value of pixels without data, or None.

    Returns:
        The input (C + indices, H, W) float32; and (H, W) bool, true for pixels with data. The input
        is 0 for pixels without data, and where a band has the declared value.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        stacked, valid, complete = _stacked(image, names, indices, nodata)
        scaled = scaling.apply(stacked)
    if not complete:
        scaled[:, ~valid] = 0
        scaled[np.isnan(scaled)] = 0
    return scaled, valid


def sample_pixels(
    windows: Sequence[tuple[Callable[[Window], np.ndarray], Window, float | None]],
    names: Sequence[str],
    indices: Sequence[str],
) -> np.ndarray:
    """Collect about SAMPLE pixels for a fit, evenly spaced, from at most 512 windows.

    Args:
        windows: Triples (read, window, nodata), where read(window) returns the pixels (C, h, w),
            and nodata is their declared value or None.
        names: The names of the bands.
        indices: The spectral indices.

    Returns:
        (C + indices, n) float32, only pixels with data. A declared value in one band is NaN.
    """
    windows = windows[:: -(-len(windows) // 512)]
    total = sum(w.height * w.width for _, w, _ in windows)
    step = max(1, total // SAMPLE)
    samples = []
    for number, (read, window, nodata) in enumerate(windows):
        image = read(window)
        flat = np.flatnonzero(valid_pixels(image, nodata))[number % step :: step]
        samples.append(_stacked(image.reshape(len(image), -1)[:, flat], names, indices, nodata)[0])
    return np.concatenate(samples, axis=1)


def spread_windows(height: int, width: int) -> list[Window]:
    """Choose windows for the percentiles of a raster: all of it, or a lattice of 8 x 8 windows."""
    if height * width <= 4 * SAMPLE:
        return [Window(0, 0, height, width)]
    side = min(128, height, width)
    rows, cols = (np.linspace(0, n - side, 8).astype(int).tolist() for n in (height, width))
    return [Window(row, col, side, side) for row in rows for col in cols]
