"""Random numbers and noise as functions of the position.

Image and mask of a synthetic scene are computed with the same functions, on two different grids. So
a random number must depend only on the position and the seed, and not on the order of the calls.
Perlin 1985, An Image Synthesizer. Read beside it: tests/data/sample/test_noise.py.
"""

import numpy as np


def random_at(seed: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Hash each pair of whole numbers i, j (N,) and the seed to a number in [0, 1).

    The hash mixes the bits by multiplications, shifts and exclusive or.
    """
    h = i.astype(np.int32).view(np.uint32) * np.uint32(0x9E3779B1)
    h = h + j.astype(np.int32).view(np.uint32) * np.uint32(0x85EBCA77) + np.uint32(seed % 2**32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def noise(seed: int, x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """Compute smooth noise in -1..1 at positions (N,). Its hills are about `size` metres wide.

    The values at the nodes of a lattice are random. Between the nodes they are interpolated.
    """
    i, j = np.floor(x / size), np.floor(y / size)
    u, v = x / size - i, y / size - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    south = random_at(seed, i, j) * (1 - u) + random_at(seed, i + 1, j) * u
    north = random_at(seed, i, j + 1) * (1 - u) + random_at(seed, i + 1, j + 1) * u
    return 2 * (south + (north - south) * v) - 1


def rotate(x: np.ndarray, y: np.ndarray, angle) -> tuple[np.ndarray, np.ndarray]:
    """Convert positions to coordinates along and across the direction `angle`, in radians."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
