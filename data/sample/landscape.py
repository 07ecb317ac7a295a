"""The ground of the synthetic scenes: towns among fields, woods and rivers, as functions of the
position.

A landscape is a few random numbers (`draw_landscape`) and the rules here: towns are blocks between
streets, blocks are lots with a building on most, the country is strips of land cut into plots.
`ground` says what lies at any position, `codes` which class the mask shows there. Nothing is a
picture: image and mask ask on grids of their own, and agree.

Tiled roofs have the colour of bare soil, car parks that of marl, sheds that of gravel pits and of
flats, gardens that of thin crops, and orchards stand in rows as houses do: no pixel tells by itself
what it is, its surroundings do. The label belongs to the block: its streets, gardens and car parks
count with its buildings.

Random numbers and noise that are functions of the position: Perlin 1985, An Image Synthesizer.
Read beside it: tests/data/sample/test_landscape.py.
"""

from typing import NamedTuple

import numpy as np

HALF = 1500.0  # positions are map metres east (x) and north (y) of the scene's centre; this far to its edge
RIM = 15.0  # map metres along the edge where the mask has no data; no town reaches so far

# Reflectance in per cent of Blue, Green, Red, RE1, RE2, RE3, NIR, RE4, WV, SWIR1, SWIR2: typical
# values.
SPECTRA = {  # reflectance, per cent
    "water":     (4.5, 5.0, 3.5, 2.8, 2.2, 2.0, 1.8, 1.7, 1.5, 1.0, 0.8),
    "soil":      (7.0, 9.5, 13.5, 15.8, 17.2, 18.6, 20.0, 21.5, 21.5, 28.0, 24.0),
    "loess":     (11.0, 14.5, 19.0, 21.5, 23.0, 24.5, 26.0, 27.5, 27.5, 34.0, 30.0),
    "marl":      (9.0, 10.6, 12.4, 13.3, 14.0, 14.7, 15.6, 16.2, 16.2, 19.5, 17.8),
    "straw":     (8.0, 12.0, 17.0, 20.0, 23.0, 25.0, 28.0, 30.0, 29.0, 36.0, 27.0),
    "gravel":    (14.0, 17.0, 20.0, 21.5, 22.5, 23.5, 25.0, 26.0, 26.0, 30.0, 27.5),
    "tiles":     (7.5, 9.5, 15.0, 17.5, 19.0, 20.5, 22.0, 23.0, 22.5, 27.5, 24.5),
    "concrete":  (12.5, 14.5, 16.5, 17.5, 18.2, 19.0, 20.0, 20.5, 20.5, 23.5, 22.0),
    "slate":     (7.0, 8.0, 8.5, 9.0, 9.5, 10.0, 10.5, 11.0, 11.0, 13.0, 12.5),
    "metal":     (21.0, 23.0, 25.0, 25.5, 26.0, 26.5, 27.0, 27.5, 27.0, 29.0, 26.5),
    "asphalt":   (8.5, 9.5, 10.5, 11.2, 11.8, 12.3, 13.0, 13.5, 13.5, 16.0, 15.0),
    "grass":     (3.5, 7.0, 4.5, 11.0, 28.0, 34.0, 37.0, 39.0, 37.0, 22.0, 12.0),
    "crop":      (2.5, 6.0, 3.0, 10.0, 33.0, 42.0, 46.0, 47.0, 44.0, 19.0, 9.0),
    "rape":      (4.5, 13.0, 12.0, 19.0, 33.0, 38.0, 41.0, 42.0, 40.0, 22.0, 12.0),
    "broadleaf": (2.2, 4.5, 2.5, 8.0, 26.0, 33.0, 36.0, 38.0, 35.0, 16.0, 7.5),
    "conifer":   (1.8, 3.0, 2.0, 4.5, 13.0, 16.0, 18.0, 19.0, 18.0, 8.5, 4.0),
}  # fmt: skip
(WATER, SOIL, LOESS, MARL, STRAW, GRAVEL, TILES, CONCRETE, SLATE, METAL, ASPHALT,
 GRASS, CROP, RAPE, BROADLEAF, CONIFER) = range(len(SPECTRA))  # fmt: skip

# What fills a block between four streets: its code in the mask; width and depth of a lot in map
# metres; the building's share of both; how many lots are built on; what lies around the building
# and how much of that is green; the roofs to draw from.
BLOCKS = {
    "open":    (1,    1,  1, 0.00, 0.00, 0.00, SOIL,     0.00, (TILES, TILES, TILES, TILES, TILES)),
    "houses":  (255, 27, 42, 0.60, 0.42, 0.85, SOIL,     0.75, (TILES, TILES, TILES, SLATE, CONCRETE)),
    "flats":   (255, 75, 52, 0.74, 0.36, 0.90, ASPHALT,  0.60, (CONCRETE, CONCRETE, SLATE, TILES, METAL)),
    "centre":  (255, 24, 26, 0.82, 0.72, 0.95, CONCRETE, 0.25, (TILES, TILES, TILES, SLATE, CONCRETE)),
    "sheds":   (250, 90, 84, 0.74, 0.66, 0.85, ASPHALT,  0.15, (METAL, CONCRETE, SLATE, TILES, GRAVEL)),
    "school":  (250, 75, 60, 0.68, 0.56, 0.85, ASPHALT,  0.40, (METAL, CONCRETE, SLATE, TILES, GRAVEL)),
    "gardens": (1,   20, 24, 0.30, 0.30, 0.70, SOIL,     0.80, (TILES, SLATE, CONCRETE, STRAW, STRAW)),
    "park":    (1,    1,  1, 0.00, 0.00, 0.00, SOIL,     0.95, (TILES, TILES, TILES, TILES, TILES)),
}  # fmt: skip
OPEN, HOUSES, FLATS, CENTRE, SHEDS, SCHOOL, GARDENS, PARK = range(len(BLOCKS))
CODE, LOT_WIDTH, LOT_DEPTH, WIDE, DEEP, BUILT, YARD, GREEN, ROOFS = map(
    np.array, zip(*BLOCKS.values())
)

# Eight kinds of soil; eight of field: what grows there, the share of the ground that it hides.
SOILS = np.array([SOIL, SOIL, SOIL, LOESS, LOESS, MARL, MARL, MARL])
PLANTS = np.array([CROP, CROP, GRASS, GRASS, CROP, GRASS, RAPE, CROP])
COVER = np.array([0.02, 0.3, 0.08, 0.15, 0.9, 0.85, 0.8, 0.55])
STUBBLE = 3  # the kind of field whose ground is straw


class Settlement(NamedTuple):
    """A patch of blocks: centre, radius, block size in map metres; direction of the streets in
    radians.
    """

    x: float
    y: float
    radius: float
    angle: float
    width: float
    depth: float
    sheds: float  # share of its quarters that are industrial


class Landscape(NamedTuple):
    """The few numbers from which everything else follows; lengths in map metres, directions in
    radians.
    """

    seed: int
    settlements: list[Settlement]
    roads: list[tuple[float, float, float, float]]  # from x, y to x, y
    river: tuple[
        float, float, float
    ]  # direction, distance from the centre, half its width (0: no river)
    woods: float  # they stand where a noise in -1..1 exceeds this


class Ground(NamedTuple):
    """What lies at N positions, arrays (N,)."""

    base: np.ndarray  # row of SPECTRA
    leaf: np.ndarray  # row of SPECTRA, of what grows on it
    cover: np.ndarray  # share of the base that the leaves hide
    light: np.ndarray  # brightness, about 1

    def paint(self, where: np.ndarray, *layers) -> None:
        """Replace what lies where `where` (N,) is true: layers as above, numbers or arrays, None to
        keep.
        """
        for layer, value in zip(self, layers):
            if value is not None:
                np.copyto(layer, value, where=where, casting="unsafe")


def draw_landscape(seed: int, index: int) -> Landscape:
    """The landscape of scene `index`: one or two towns with estates and roads, hamlets, mostly a
    river.
    """
    rng = np.random.default_rng([seed, index])
    settlements, roads = [], []
    for turn in rng.uniform(0, 2 * np.pi) + np.pi * np.arange(rng.integers(1, 3)):
        x, y = rng.uniform(350, 700) * np.array([np.cos(turn), np.sin(turn)])
        radius, angle = rng.uniform(380, 560), rng.uniform(0, np.pi)
        settlements.append(Settlement(x, y, radius, angle, rng.uniform(130, 180), 100, 0.05))
        size, aside = rng.uniform(220, 340), turn + np.pi + rng.uniform(-1.3, 1.3)
        reach = radius + 0.6 * size  # the industrial estate begins where the town ends
        centre, turned = (
            (x + reach * np.cos(aside), y + reach * np.sin(aside)),
            angle + rng.normal(0, 0.3),
        )
        settlements.append(Settlement(*centre, size, turned, rng.uniform(185, 230), 175, 0.95))
        for away in turn + rng.uniform(-1, 1) + np.array([0, 2.2]):
            roads.append((x, y, 2600 * np.cos(away), 2600 * np.sin(away)))
        roads.append((x, y, 0.0, 0.0))
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-1180, 1180, 2)
        settlements.append(
            Settlement(x, y, rng.uniform(80, 150), rng.uniform(0, np.pi), 110, 90, 0.1)
        )
    river = (
        rng.uniform(0, np.pi),
        rng.uniform(-900, 900),
        rng.uniform(15, 45) * (rng.random() < 0.7),
    )
    return Landscape(int(rng.integers(2**31)), settlements, roads, river, rng.uniform(0.1, 0.45))


def random_at(seed: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each pair of whole numbers (N,): random, yet the same whenever it is
    asked for.

    An integer hash: multiply, shift and exclusive-or until no trace of i, j and the seed is left.
    """
    h = i.astype(np.int32).view(np.uint32) * np.uint32(0x9E3779B1)
    h = h + j.astype(np.int32).view(np.uint32) * np.uint32(0x85EBCA77) + np.uint32(seed % 2**32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def noise(seed: int, x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """Hills in -1..1, about `size` map metres wide: random heights on a lattice, smoothly blended
    between.
    """
    i, j = np.floor(x / size), np.floor(y / size)
    u, v = x / size - i, y / size - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    south = random_at(seed, i, j) * (1 - u) + random_at(seed, i + 1, j) * u
    north = random_at(seed, i, j + 1) * (1 - u) + random_at(seed, i + 1, j + 1) * u
    return 2 * (south + (north - south) * v) - 1


def rotate(x: np.ndarray, y: np.ndarray, angle) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the direction `angle`."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def in_river(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether a position is in the river, which winds about its straight axis."""
    angle, offset, half_width = landscape.river
    along, across = rotate(x, y, angle)
    return abs(across - offset - 150 * noise(landscape.seed, along, 0 * along, 700)) < half_width


def blocks(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """The block at each position: its kind, u and v (map metres from its corner), width, depth,
    number.
    """
    kind = np.zeros(x.shape, int)
    u, v, width, depth, number = np.zeros((5, *x.shape), np.float32)
    for k, town in enumerate(landscape.settlements):
        seed = landscape.seed + 100 * k
        near = np.flatnonzero(
            (np.hypot(x - town.x, y - town.y) < 1.2 * town.radius + 200) & (kind == OPEN)
        )
        along, across = rotate(x[near] - town.x, y[near] - town.y, town.angle)
        along, across = (
            along + 22 * np.sin(across / 170),
            across + 22 * np.sin(along / 210),
        )  # streets bend
        i, j = np.floor(along / town.width), np.floor(across / town.depth)
        distance = np.hypot((i + 0.5) * town.width, (j + 0.5) * town.depth) / town.radius
        quarter, lot = random_at(seed + 1, i // 2, j // 2), random_at(seed + 2, i, j)
        chances = [
            quarter < town.sheds,
            lot > 0.96,
            lot > 0.92,
            lot > 0.88,
            distance < 0.3,
            lot < 0.2,
        ]
        filled = np.select(chances, [SHEDS, PARK, GARDENS, SCHOOL, CENTRE, FLATS], HOUSES)
        kind[near] = np.where(distance < 0.8 + 0.35 * random_at(seed, i, j), filled, OPEN)
        u[near], v[near] = along - i * town.width, across - j * town.depth
        width[near], depth[near], number[near] = town.width, town.depth, 1000 * k + 30 * i + j
    kind[in_river(landscape, x, y)] = OPEN
    return kind, u, v, width, depth, number


def codes(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mask's code at positions (N,): 0 in the rim and outside, else 1, 250 or 255; uint8."""
    inside = np.maximum(abs(x), abs(y)) < HALF - RIM
    return np.where(inside, CODE[blocks(landscape, x, y)[0]], 0).astype(np.uint8)


def fields(seed: int, x: np.ndarray, y: np.ndarray) -> Ground:
    """Strips of land cut into plots, each with its crop; orchards; tracks between the strips."""
    bent_x, bent_y = x + 260 * noise(seed, x, y, 500), y + 260 * noise(seed + 1, x, y, 500)
    i, j = (
        np.floor(bent_x / 800),
        np.floor(bent_y / 800),
    )  # a village's land: one direction, width and soil
    along, across = rotate(x, y, np.pi * random_at(seed + 2, i, j))
    across = across + 8 * np.sin(along / 150)
    width, village = 35 + 130 * random_at(seed + 3, i, j) ** 2, 97 * i + j
    strip = np.floor(across / width)
    length, start = (
        170 + 300 * random_at(seed + 4, strip, village),
        random_at(seed + 5, strip, village),
    )
    plot = 1000 * strip + np.floor(along / length + start)
    crop, shade, vigour = (random_at(seed + k, plot, village) for k in (6, 7, 8))
    patches, grain = noise(seed + 9, x, y, 90), noise(seed + 10, x, y, 14)

    kind = (8 * crop).astype(int)
    soil = random_at(seed + 11, i, j) + 0.5 * random_at(seed + 12, strip, plot)
    base = np.where(kind == STUBBLE, STRAW, SOILS[(8 * soil).astype(int) % 8])
    cover = COVER[kind] + 0.3 * (vigour - 0.5) + 0.07 * patches + 0.04 * grain
    furrows = noise(seed + 13, along / 12, across, 9) * (shade > 0.4)
    light = 0.75 + 0.5 * shade + 0.06 * patches + 0.05 * grain + 0.07 * furrows
    layers = Ground(base, PLANTS[kind], cover, light)
    trees = np.cos(along * (np.pi / 12)) * np.cos(across * (np.pi / 12)) + 0.4 * grain > 0.1
    layers.paint(crop > 0.9, None, BROADLEAF, np.where(trees, 0.9, 0.25))
    layers.paint(across - strip * width < 6, LOESS, GRASS, 0.6 * vigour)
    return layers


def paint_woods(layers: Ground, seed: int, threshold: float, x: np.ndarray, y: np.ndarray) -> None:
    """Woods of two sorts, and gravel pits."""
    patches, grain = noise(seed, x, y, 90), noise(seed + 1, x, y, 12)
    woods = (
        0.8 * noise(seed + 2, x, y, 700) + 0.4 * noise(seed + 3, x, y, 170) + 0.1 * grain
        > threshold
    )
    conifers = noise(seed + 4, x, y, 400) + 0.3 * patches > 0.1
    crowns = 0.9 + 0.2 * grain + 0.08 * patches
    layers.paint(woods, None, np.where(conifers, CONIFER, BROADLEAF), 0.97, crowns)
    pits = noise(seed + 5, x, y, 420) + 0.15 * patches > 0.8
    layers.paint(pits, GRAVEL, None, 0.15 + 0.3 * grain, 0.95 + 0.3 * noise(seed + 6, x, y, 40))


def paint_blocks(layers: Ground, landscape: Landscape, x: np.ndarray, y: np.ndarray) -> None:
    """A street around each block, lots within, on most a building and its shadow, else yard or
    garden.
    """
    seed = landscape.seed + 9000
    kind, u, v, width, depth, number = blocks(landscape, x, y)
    street = np.minimum(np.minimum(u, width - u), np.minimum(v, depth - v)) < 6
    u, v, width, depth = u - 6, v - 6, width - 12, depth - 12
    columns, rows = (
        np.rint(width / LOT_WIDTH[kind]).clip(1),
        np.rint(depth / LOT_DEPTH[kind]).clip(1),
    )
    u, v = u * columns / width, v * rows / depth  # now in lots
    lot = np.floor(u) + 20 * np.floor(v)
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5  # from the lot's centre
    chance, roof, shade, size, side, planted = (random_at(seed + k, lot, number) for k in range(6))
    built, scale = (chance < BUILT[kind]) & ~street, 0.75 + 0.5 * size

    def under_roof(u, v):
        shift = (side - 0.5) * (1 - WIDE[kind])
        return built & (abs(u - shift) < WIDE[kind] * scale / 2) & (abs(v) < DEEP[kind] * scale / 2)

    roofed = under_roof(u, v)
    shadow = under_roof(u + 4 * columns / width, v - 5 * rows / depth)
    grain, tufts = noise(seed + 6, x, y, 10), noise(seed + 7, x, y, 18)
    plants = np.where(tufts + 0.3 * grain > 0.25, BROADLEAF, GRASS)
    green = GREEN[kind] + 0.5 * (planted - 0.5) + 0.35 * tufts
    light, town = (1 + 0.12 * grain + 0.1 * tufts) * np.where(shadow, 0.55, 1), kind != OPEN
    layers.paint(town, YARD[kind], plants, green, light)
    layers.paint(town & street, ASPHALT, None, 0.12 + 0.1 * tufts)
    layers.paint(town & roofed, ROOFS[kind, (5 * roof).astype(int)], None, 0, 0.75 + 0.5 * shade)


def ground(landscape: Landscape, x: np.ndarray, y: np.ndarray) -> Ground:
    """What lies at positions (N,), map metres from the scene's centre, painted from the bottom to
    the top.
    """
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
        layers.paint(road, ASPHALT, None, 0.05, 1)  # over water too: a bridge
    np.clip(layers.cover, 0, 1, out=layers.cover)
    return layers
