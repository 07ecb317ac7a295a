"""Scaling: from reflectances of thousands, and indices of about one, to numbers a network likes.

    x' = (x - offset) / scale, per channel, held in [LOW, HIGH]

`minmax` (default) takes offset and scale so that the 1st to 99th percentile of the training pixels
becomes 0 to 1: a percentile, because one glint or one dead pixel would otherwise set the range.
`standard` takes mean and standard deviation of the pixels between those percentiles. `image` is
minmax of each image by itself: it forgives haze and season, and loses what absolute brightness
tells. What is fitted lives in the checkpoint and is applied by the one function `network_input`, in
training and in prediction alike.

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
SAMPLE = 1 << 20  # pixels that a fit looks at: percentiles are then good to about a thousandth


@dataclass(frozen=True)
class Scaling:
    """offset and scale per channel; both empty for `image` until `for_image` has seen the image."""

    method: str
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @staticmethod
    def fit(pixels: np.ndarray, method: str) -> "Scaling":
        """Fit to pixels (channels, n) float; NaN and infinite values are left out, channel by
        channel.

        Raises InputError where a channel has no finite value at all. For `image` such a channel is
        left as it is: an image without data has nothing to scale, and is no reason to stop.
        """
        offset, scale = [], []
        for number, channel in enumerate(pixels, start=1):
            channel = channel[np.isfinite(channel)]
            if not channel.size and method != "image":
                raise InputError(
                    f"channel {number} of the input has no valid pixel in the training windows; look at the images, "
                    "and at --nodata"
                )
            low, high = np.percentile(channel, PERCENTILES) if channel.size else (0, 1)
            shift, width = low, high - low
            if method == "standard":
                inner = channel[(channel >= low) & (channel <= high)]
                shift, width = inner.mean(dtype=np.float64), inner.std(dtype=np.float64)
            offset.append(float(shift))
            scale.append(float(width) or 1.0)  # a constant channel becomes 0
        return Scaling(method, tuple(offset), tuple(scale))

    def for_image(self, pixels: Callable[[], np.ndarray]) -> "Scaling":
        """The scaling of one image: itself, or for `image` a fit to what `pixels()` returns."""
        return Scaling.fit(pixels(), "image") if self.method == "image" else self

    def apply(self, stacked: np.ndarray) -> np.ndarray:
        """(channels, H, W) float32 to the same shape, scaled and held in the method's limits.

        In memory a pixel's channels lie together: a row of pixels is one long row of numbers.
        """
        together = np.moveaxis(stacked, 0, -1)  # (H, W, channels)
        rows = together.reshape(len(together), -1)
        offset, scale = (
            np.tile(np.float32(v), rows.shape[1] // len(stacked)) for v in (self.offset, self.scale)
        )
        scaled = rows - offset
        scaled /= scale
        np.clip(scaled, *LIMITS[self.method], out=scaled)
        return np.moveaxis(scaled.reshape(together.shape), -1, 0)

    def state(self) -> dict:
        """Plain values for a checkpoint."""
        return {"method": self.method, "offset": list(self.offset), "scale": list(self.scale)}

    @staticmethod
    def from_state(state: dict) -> "Scaling":
        """The scaling that `state` described."""
        return Scaling(state["method"], tuple(state["offset"]), tuple(state["scale"]))


def valid_pixels(image: np.ndarray, nodata: float | None) -> np.ndarray:
    """(H, W) bool: where (C, H, W) holds data.

    A pixel is no-data where every band holds the declared value (0 in one band alone is a dark
    surface), or any band is NaN, infinite or too large for float32 (nothing can be computed from
    it).
    """
    if image.dtype.kind == "f":
        valid = (np.abs(image) <= np.finfo(np.float32).max).all(axis=0)  # False for NaN too
    else:
        valid = np.ones(image.shape[1:], bool)
    if nodata is not None and not np.isnan(nodata):
        empty = image[0] == nodata
        if empty.any():  # seldom, and then the other bands are worth a look
            valid &= ~empty | (image != nodata).any(axis=0)
    return valid


def network_input(
    image: np.ndarray,
    names: Sequence[str],
    indices: Sequence[str],
    scaling: Scaling,
    nodata: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """A window as read (C, H, W) to (the network's input (C + indices, H, W) float32, valid (H, W)
    bool).

    No-data pixels are 0 in every channel, whatever they held.
    """
    valid = valid_pixels(image, nodata)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = scaling.apply(bands.stack(image, names, indices))
    if not valid.all():
        scaled[:, ~valid] = 0
    return scaled, valid


def sample_pixels(
    windows: Sequence[tuple[Callable[[Window], np.ndarray], Window]],
    names: Sequence[str],
    indices: Sequence[str],
    nodata: float | None,
) -> np.ndarray:
    """Valid pixels (channels, n) with their indices: about SAMPLE, evenly thinned, of at most 512
    windows.

    `windows` pairs a reader with a window that it shall read.
    """
    windows = windows[:: -(-len(windows) // 512)]
    total = sum(w.height * w.width for _, w in windows)
    step = max(1, total // SAMPLE)
    found = []
    for number, (read, window) in enumerate(windows):
        image = read(window)
        flat = np.flatnonzero(valid_pixels(image, nodata))[number % step :: step]
        found.append(bands.stack(image.reshape(len(image), -1)[:, flat], names, indices))
    return np.concatenate(found, axis=1)


def spread_windows(height: int, width: int) -> list[Window]:
    """The whole raster if it is small, else an 8 x 8 lattice of windows over it: enough for its
    percentiles.
    """
    if height * width <= 4 * SAMPLE:
        return [Window(0, 0, height, width)]
    side = min(128, height, width)
    rows, cols = (np.linspace(0, n - side, 8).astype(int).tolist() for n in (height, width))
    return [Window(row, col, side, side) for row in rows for col in cols]
