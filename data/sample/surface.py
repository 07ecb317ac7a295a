"""The surface of the synthetic scenes: the materials at each position.

Fields, woods and gravel pits, blocks, the river and roads are painted one over the other. Orchards
and houses both stand in rows, so rows alone do not identify houses. Read beside it:
tests/data/sample/test_surface.py.
"""

from typing import NamedTuple

import numpy as np

from data.sample import materials
from data.sample.landscape import Landscape, blocks, in_river
from data.sample.materials import (
    ASPHALT,
    BROADLEAF,
    CONIFER,
    GRASS,
    GRAVEL,
    LOESS,
    OPEN,
    STRAW,
    WATER,
)
from data.sample.noise import noise, random_at, rotate


class Ground(NamedTuple):
    """The surface at N positions, arrays (N,)."""

    base: np.ndarray  # material of the ground, a row of SPECTRA
    leaf: np.ndarray  # material of the plants, a row of SPECTRA
    cover: np.ndarray  # share of the ground that plants cover
    light: np.ndarray  # brightness, about 1

    def paint(self, where: np.ndarray, *layers) -> None:
        """Replace the surface where `where` (N,) is true.

        Args:
            where: (N,) bool.
            layers: New values of base, leaf, cover and light: numbers, or arrays (N,), or None to
                keep the old values.
        """
        for layer, value in zip(self, layers):
            if value is not None:
                np.copyto(layer, value, where=where, casting="unsafe")


def ground(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> Ground:
    """Compute the surface at positions (N,), map metres from the centre of the scene."""
    seed = landscape.seed + 5000
    layers = fields(seed, x, y)
    paint_woods(layers, seed + 100, landscape.woods, x, y)
    paint_blocks(layers, landscape, x, y)
    ripples = 0.9 + 0.1 * noise(seed + 200, x, y, 60)
    layers.paint(in_river(landscape, x, y), WATER, None, 0, ripples)
    bent_x, bent_y = x + 60 * noise(seed + 201, x, y, 450), y + 60 * noise(seed + 202, x, y, 450)
    for x0, y0, x1, y1 in landscape.roads:
        along, across = rotate(bent_x - x0, bent_y - y0, np.arctan2(y1 - y0, x1 - x0))
        road = (abs(across) < 8) & (along > 0) & (along < np.hypot(x1 - x0, y1 - y0))
        layers.paint(road, ASPHALT, None, 0.05, 1)  # also over water, as a bridge
    np.clip(layers.cover, 0, 1, out=layers.cover)
    return layers


def fields(seed: int, x: np.ndarray, y: np.ndarray) -> Ground:
    """Return a surface of fields: strips of land, divided into plots, with tracks between them.

    Each plot has one crop; some plots are orchards. The strips of a village have the same direction
    and width, and similar soil.
    """
    bent_x, bent_y = x + 260 * noise(seed, x, y, 500), y + 260 * noise(seed + 1, x, y, 500)
    i, j = np.floor(bent_x / 800), np.floor(bent_y / 800)  # of the village
    along, across = rotate(x, y, np.pi * random_at(seed + 2, i, j))
    across = across + 8 * np.sin(along / 150)
    width, village = 35 + 130 * random_at(seed + 3, i, j) ** 2, 97 * i + j
    strip = np.floor(across / width)
    length = 170 + 300 * random_at(seed + 4, strip, village)
    start = random_at(seed + 5, strip, village)
    plot = 1000 * strip + np.floor(along / length + start)
    crop, shade, vigour = (random_at(seed + k, plot, village) for k in (6, 7, 8))
    patches, grain = noise(seed + 9, x, y, 90), noise(seed + 10, x, y, 14)

    kind = (8 * crop).astype(int)
    soil = random_at(seed + 11, i, j) + 0.5 * random_at(seed + 12, strip, plot)
    base = np.where(kind == materials.STUBBLE, STRAW, materials.SOILS[(8 * soil).astype(int) % 8])
    cover = materials.COVER[kind] + 0.3 * (vigour - 0.5) + 0.07 * patches + 0.04 * grain
    furrows = noise(seed + 13, along / 12, across, 9) * (shade > 0.4)
    light = 0.75 + 0.5 * shade + 0.06 * patches + 0.05 * grain + 0.07 * furrows
    layers = Ground(base, materials.PLANTS[kind], cover, light)
    trees = np.cos(along * (np.pi / 12)) * np.cos(across * (np.pi / 12)) + 0.4 * grain > 0.1
    layers.paint(crop > 0.9, None, BROADLEAF, np.where(trees, 0.9, 0.25))
    layers.paint(across - strip * width < 6, LOESS, GRASS, 0.6 * vigour)
    return layers


def paint_woods(layers: Ground, seed: int, threshold: float, x: np.ndarray, y: np.ndarray) -> None:
    """Paint woods of two sorts where their noise exceeds `threshold`, and gravel pits."""
    patches, grain = noise(seed, x, y, 90), noise(seed + 1, x, y, 12)
    density = 0.8 * noise(seed + 2, x, y, 700) + 0.4 * noise(seed + 3, x, y, 170) + 0.1 * grain
    woods = density > threshold
    conifers = noise(seed + 4, x, y, 400) + 0.3 * patches > 0.1
    crowns = 0.9 + 0.2 * grain + 0.08 * patches
    layers.paint(woods, None, np.where(conifers, CONIFER, BROADLEAF), 0.97, crowns)
    pits = noise(seed + 5, x, y, 420) + 0.15 * patches > 0.8
    layers.paint(pits, GRAVEL, None, 0.15 + 0.3 * grain, 0.95 + 0.3 * noise(seed + 6, x, y, 40))


def paint_blocks(layers: Ground, landscape: Landscape, x: np.ndarray, y: np.ndarray) -> None:
    """Paint a street around each block, and the lots in it.

    A lot has a yard or garden. Most lots have a building, which casts a shadow.
    """
    seed = landscape.seed + 9000
    kind, u, v, width, depth, number = blocks(landscape, x, y)
    street = np.minimum(np.minimum(u, width - u), np.minimum(v, depth - v)) < 6
    u, v, width, depth = u - 6, v - 6, width - 12, depth - 12
    columns = np.rint(width / materials.LOT_WIDTH[kind]).clip(1)
    rows = np.rint(depth / materials.LOT_DEPTH[kind]).clip(1)
    u, v = u * columns / width, v * rows / depth  # in units of lots
    lot = np.floor(u) + 20 * np.floor(v)
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5  # from the centre of the lot
    chance, roof, shade, size, side, planted = (random_at(seed + k, lot, number) for k in range(6))
    built, scale = (chance < materials.BUILT[kind]) & ~street, 0.75 + 0.5 * size
    wide, deep = materials.WIDE[kind], materials.DEEP[kind]

    def under_roof(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        shift = (side - 0.5) * (1 - wide)
        return built & (abs(u - shift) < wide * scale / 2) & (abs(v) < deep * scale / 2)

    roofed = under_roof(u, v)
    shadow = under_roof(u + 4 * columns / width, v - 5 * rows / depth)
    grain, tufts = noise(seed + 6, x, y, 10), noise(seed + 7, x, y, 18)
    plants = np.where(tufts + 0.3 * grain > 0.25, BROADLEAF, GRASS)
    green = materials.GREEN[kind] + 0.5 * (planted - 0.5) + 0.35 * tufts
    light, town = (1 + 0.12 * grain + 0.1 * tufts) * np.where(shadow, 0.55, 1), kind != OPEN
    layers.paint(town, materials.YARD[kind], plants, green, light)
    layers.paint(town & street, ASPHALT, None, 0.12 + 0.1 * tufts)
    roofs = materials.ROOFS[kind, (5 * roof).astype(int)]
    layers.paint(town & roofed, roofs, None, 0, 0.75 + 0.5 * shade)
