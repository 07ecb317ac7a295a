"""Materials of the synthetic scenes, and the kinds of blocks that a town is made of.

Tiled roofs have the colour of bare soil, car parks that of marl, sheds that of gravel pits and of
flats, and gardens that of thin crops. So the class of a pixel cannot be derived from its own
spectrum, but from its surroundings. Read beside it: tests/data/sample/test_surface.py.
"""

import numpy as np

# Reflectance in per cent of Blue, Green, Red, RE1, RE2, RE3, NIR, RE4, WV, SWIR1, SWIR2: typical
# values.
SPECTRA = {
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

# The roofs of a block. A building gets each of the five with the same probability.
NO_ROOFS = (TILES,) * 5
HOUSE_ROOFS = TILES, TILES, TILES, SLATE, CONCRETE
FLAT_ROOFS = CONCRETE, CONCRETE, SLATE, TILES, METAL
SHED_ROOFS = METAL, CONCRETE, SLATE, TILES, GRAVEL
HUT_ROOFS = TILES, SLATE, CONCRETE, STRAW, STRAW

# The kinds of blocks. Columns: code in the mask; width and depth of a lot in map metres; width and
# depth of a building as shares of those of the lot; share of lots with a building; material of the
# ground around the building; share of this ground that is green; roofs.
BLOCKS = {
    "open":    (1,    1,  1, 0.00, 0.00, 0.00, SOIL,     0.00, NO_ROOFS),
    "houses":  (255, 27, 42, 0.60, 0.42, 0.85, SOIL,     0.75, HOUSE_ROOFS),
    "flats":   (255, 75, 52, 0.74, 0.36, 0.90, ASPHALT,  0.60, FLAT_ROOFS),
    "centre":  (255, 24, 26, 0.82, 0.72, 0.95, CONCRETE, 0.25, HOUSE_ROOFS),
    "sheds":   (250, 90, 84, 0.74, 0.66, 0.85, ASPHALT,  0.15, SHED_ROOFS),
    "school":  (250, 75, 60, 0.68, 0.56, 0.85, ASPHALT,  0.40, SHED_ROOFS),
    "gardens": (1,   20, 24, 0.30, 0.30, 0.70, SOIL,     0.80, HUT_ROOFS),
    "park":    (1,    1,  1, 0.00, 0.00, 0.00, SOIL,     0.95, NO_ROOFS),
}  # fmt: skip
OPEN, HOUSES, FLATS, CENTRE, SHEDS, SCHOOL, GARDENS, PARK = range(len(BLOCKS))
CODE, LOT_WIDTH, LOT_DEPTH, WIDE, DEEP, BUILT, YARD, GREEN, ROOFS = map(
    np.array, zip(*BLOCKS.values())
)

# Eight kinds of soil. Eight kinds of field: the plant, and the share of the ground it covers.
SOILS = np.array([SOIL, SOIL, SOIL, LOESS, LOESS, MARL, MARL, MARL])
PLANTS = np.array([CROP, CROP, GRASS, GRASS, CROP, GRASS, RAPE, CROP])
COVER = np.array([0.02, 0.3, 0.08, 0.15, 0.9, 0.85, 0.8, 0.55])
STUBBLE = 3  # the kind of field with straw in place of soil
