"""The scale bar of a picture: a round length on the ground, such as 500 m, drawn to scale.

The length is 1, 2 or 5 times a power of ten. The ground length of a pixel is the geodesic (Karney
2013, Algorithms for geodesics) between the two ends of the middle pixel's row, on the ellipsoid of
the CRS. So the bar is right in Web Mercator, whose metres are too long away from the equator, in
degrees, and on a rotated grid, where it follows the rows of the picture. The bar of an image
without CRS counts pixels.

Read beside it: tests/data/output/test_scalebar.py.
"""

import math
from typing import NamedTuple

import numpy as np
from pyproj import Transformer

from data.grid import Grid
from data.output import lettering
from data.output.preview import GAP, INK, LINE

SHARE, LEAST = 0.4, 60  # the longest bar: a share of the picture's width, and at least 60 pixels
UNEQUAL = 1.05  # ratio of a pixel's sides above which the text says that the bar is horizontal


class Bar(NamedTuple):
    """The length of a scale bar.

    Attributes:
        pixels: The length in pixels of the image.
        text: The length in words.
    """

    pixels: float
    text: str


def choose(grid: Grid, most: float) -> Bar:
    """Choose the longest round length within `most` pixels of an image.

    The bar of an image without CRS has at least one pixel.
    """
    ground = ground_sides(grid)
    if ground is None:
        count = max(1, round(round_down(most)))
        return Bar(count, f"{count} pixel{'s' * (count > 1)}")
    across, down = ground
    metres = round_down(most * across)
    text = f"{metres / 1000:.12g} km" if metres >= 1000 else f"{metres:.12g} m"
    if max(across / down, down / across) > UNEQUAL:
        text += ", left to right"
    return Bar(metres / across, text)


def ground_sides(grid: Grid) -> tuple[float, float] | None:
    """Measure the two sides of a grid's middle pixel on the ellipsoid of its CRS.

    Returns:
        Metres along the row and along the column; None without CRS, or beside the Earth.
    """
    base, geod = (grid.crs.geodetic_crs, grid.crs.get_geod()) if grid.crs else (None, None)
    if base is None or geod is None:
        return None
    # The middles of the left, right, upper and lower side of the pixel around the centre.
    row = grid.height / 2 + np.array([0, 0, -0.5, 0.5])
    col = grid.width / 2 + np.array([-0.5, 0.5, 0, 0])
    to_angles = Transformer.from_crs(grid.crs, base, always_xy=True)
    unit = base.axis_info[0].unit_conversion_factor  # radians in a degree, or in a grad
    longitude, latitude = (unit * angles for angles in to_angles.transform(*grid.xy(row, col)))
    starts, ends = slice(0, None, 2), slice(1, None, 2)
    places = longitude[starts], latitude[starts], longitude[ends], latitude[ends]
    across, down = geod.inv(*places, radians=True)[2]
    known = all(0 < side < math.inf for side in (across, down))  # NaN beside the Earth
    return (float(across), float(down)) if known else None


def round_down(value: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not above a value.

    >>> round_down(1), round_down(49.9), round_down(0.3), round_down(7000)
    (1.0, 20.0, 0.2, 5000.0)
    """
    power = math.floor(math.log10(value) + 1e-12)
    return max(
        float(f"{digit}e{power}") for digit in (1, 2, 5) if digit <= value / 10**power + 1e-9
    )


def draw(grid: Grid, each: float, width: int) -> np.ndarray:
    """Draw the scale bar of a picture, and its length in words at the right.

    Args:
        grid: The grid of the image.
        each: Pixels of the image along one pixel of the picture.
        width: Width of the picture.

    Returns:
        (LINE, w, 3) uint8. The bar begins in the first column.
    """
    bar = choose(grid, max(SHARE * width, LEAST) * each)
    length, word = max(1, round(bar.pixels / each)), lettering.write(bar.text)
    drawn = np.full((LINE, length + GAP + word.shape[1], 3), 255, np.uint8)
    middle = len(word) // 2 - 1  # of the small letters
    drawn[middle - 1 : middle + 2, :length] = INK
    drawn[middle - 5 : middle + 6, [0, length - 1]] = INK
    drawn[: len(word), length + GAP :][word] = INK
    return drawn
