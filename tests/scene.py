"""A scene in memory, a network given as a function, and the map of one by the other."""

from collections.abc import Callable

import numpy as np

from data.grid import Window
from data.mapping.strips import map_scene


def noise(height: int, width: int, bands: int = 1, seed: int = 0) -> np.ndarray:
    """An image (bands, height, width) of random numbers."""
    return np.random.default_rng(seed).random((bands, height, width), np.float32)


def cut(image: np.ndarray, window: Window) -> np.ndarray:
    """The part of an image (bands, H, W) in a window."""
    row, col, height, width = window
    return image[:, row : row + height, col : col + width]


class Array:
    """An image (bands, H, W) as `data.mapping.source.Source`; pixels of NaN have no data."""

    name = "array"

    def __init__(self, image: np.ndarray, block_shape: tuple[int, int] = (64, 64), step: int = 1):
        self.image, self.block_shape, self.step = image, block_shape, step
        self.height, self.width = image.shape[1:]

    def read(self, window: Window) -> np.ndarray:
        return cut(self.image, window)

    def prepare(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.nan_to_num(pixels), self.valid(pixels)

    def valid(self, pixels: np.ndarray) -> np.ndarray:
        return ~np.isnan(pixels).any(0)

    def thumbnail(self, pixels: np.ndarray, row: int) -> np.ndarray:
        return pixels[:, -row % self.step :: self.step, :: self.step].copy()


class Function:
    """A function of windows (n, C, S, S) -> (n, layers, S, S) as the network of `strips`."""

    def __init__(self, function: Callable, layers: int, size: int = 256):
        self.function, self.layers, self.classes, self.size = function, layers, layers, size

    def probabilities(self, inputs: np.ndarray, seeds: list[int]) -> np.ndarray:
        return self.function(inputs)


def mapped(
    image: np.ndarray | Array,
    function: Callable,
    layers: int = 1,
    size: int = 256,
    overlap: int = 64,
    batch: int = 4,
) -> np.ndarray:
    """Blended probabilities (layers, H, W) of a whole scene, NaN where there is no data."""
    source = image if isinstance(image, Array) else Array(image)
    made = map_scene(source, Function(function, layers, size), overlap, batch, True)
    return np.concatenate([strip.probabilities for strip in made], axis=1)
