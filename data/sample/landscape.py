"""Landscapes of the synthetic scenes: the positions of towns, blocks and rivers.

A few random numbers define a landscape (`draw_landscape`). A town consists of blocks between
streets, and a block of lots (data/sample/surface.py). `codes` computes the true class. A block has
one class, which includes its buildings, streets, gardens and car parks.

Read beside it: tests/data/sample/test_landscape.py.
"""

from typing import NamedTuple

import numpy as np

from data.sample.materials import (
    CENTRE,
    CODE,
    FLATS,
    GARDENS,
    HOUSES,
    OPEN,
    PARK,
    SCHOOL,
    SHEDS,
)
from data.sample.noise import noise, random_at, rotate

# Positions are map metres east (x) and north (y) of the centre of the scene.
HALF = 1500.0  # from the centre to the edge
RIM = 15.0  # along the edge; the mask has no data there, and no town extends into it


class Settlement(NamedTuple):
    """A patch of blocks, in map metres."""

    x: float  # of the centre
    y: float
    radius: float
    angle: float  # direction of the streets, radians
    width: float  # of a block
    depth: float
    sheds: float  # share of the quarters that are industrial


class Landscape(NamedTuple):
    """The numbers that define a scene; lengths in map metres, directions in radians."""

    seed: int
    settlements: list[Settlement]
    roads: list[tuple[float, float, float, float]]  # from x, y to x, y
    river: tuple[float, float, float]  # direction, distance from the centre, half width or 0
    woods: float  # there are woods where a noise in -1..1 is above this threshold


def draw_landscape(seed: int, index: int) -> Landscape:
    """Draw the landscape of scene `index` of the series `seed`.

    It has one or two towns, each with an industrial estate and roads; one to three hamlets; and
    usually a river.
    """
    rng = np.random.default_rng([seed, index])
    settlements, roads = [], []
    for turn in rng.uniform(0, 2 * np.pi) + np.pi * np.arange(rng.integers(1, 3)):
        x, y = rng.uniform(350, 700) * np.array([np.cos(turn), np.sin(turn)])
        radius, angle = rng.uniform(380, 560), rng.uniform(0, np.pi)
        settlements.append(Settlement(x, y, radius, angle, rng.uniform(130, 180), 100, 0.05))
        size, aside = rng.uniform(220, 340), turn + np.pi + rng.uniform(-1.3, 1.3)
        reach = radius + 0.6 * size  # the industrial estate borders on the town
        centre = x + reach * np.cos(aside), y + reach * np.sin(aside)
        turned = angle + rng.normal(0, 0.3)
        settlements.append(Settlement(*centre, size, turned, rng.uniform(185, 230), 175, 0.95))
        for away in turn + rng.uniform(-1, 1) + np.array([0, 2.2]):
            roads.append((x, y, 2600 * np.cos(away), 2600 * np.sin(away)))
        roads.append((x, y, 0.0, 0.0))
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-1180, 1180, 2)
        radius, angle = rng.uniform(80, 150), rng.uniform(0, np.pi)
        settlements.append(Settlement(x, y, radius, angle, 110, 90, 0.1))
    direction, distance = rng.uniform(0, np.pi), rng.uniform(-900, 900)
    river = direction, distance, rng.uniform(15, 45) * (rng.random() < 0.7)
    return Landscape(int(rng.integers(2**31)), settlements, roads, river, rng.uniform(0.1, 0.45))


def in_river(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return (N,) bool, true for positions in the river. The river winds about a straight axis."""
    angle, offset, half_width = landscape.river
    along, across = rotate(x, y, angle)
    return abs(across - offset - 150 * noise(landscape.seed, along, 0 * along, 700)) < half_width


def blocks(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Find the block at each position (N,).

    Returns:
        Six arrays (N,): the kind of the block (index of BLOCKS), the position u and v in map metres
        from its corner, its width, its depth, and its number.
    """
    kind = np.zeros(x.shape, int)
    u, v, width, depth, number = np.zeros((5, *x.shape), np.float32)
    for k, town in enumerate(landscape.settlements):
        seed = landscape.seed + 100 * k
        close = np.hypot(x - town.x, y - town.y) < 1.2 * town.radius + 200
        near = np.flatnonzero(close & (kind == OPEN))
        along, across = rotate(x[near] - town.x, y[near] - town.y, town.angle)
        bent = 22 * np.sin(across / 170), 22 * np.sin(along / 210)
        along, across = along + bent[0], across + bent[1]
        i, j = np.floor(along / town.width), np.floor(across / town.depth)
        distance = np.hypot((i + 0.5) * town.width, (j + 0.5) * town.depth) / town.radius
        quarter, lot = random_at(seed + 1, i // 2, j // 2), random_at(seed + 2, i, j)
        # The first true condition gives the kind.
        conditions = {
            SHEDS: quarter < town.sheds,
            PARK: lot > 0.96,
            GARDENS: lot > 0.92,
            SCHOOL: lot > 0.88,
            CENTRE: distance < 0.3,
            FLATS: lot < 0.2,
        }
        filled = np.select(list(conditions.values()), list(conditions), HOUSES)
        kind[near] = np.where(distance < 0.8 + 0.35 * random_at(seed, i, j), filled, OPEN)
        u[near], v[near] = along - i * town.width, across - j * town.depth
        width[near], depth[near], number[near] = town.width, town.depth, 1000 * k + 30 * i + j
    kind[in_river(landscape, x, y)] = OPEN
    return kind, u, v, width, depth, number


def codes(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute the codes (N,) uint8 at positions: 0 in the rim and beyond it, else 1, 250 or 255."""
    inside = np.maximum(abs(x), abs(y)) < HALF - RIM
    return np.where(inside, CODE[blocks(landscape, x, y)[0]], 0).astype(np.uint8)
