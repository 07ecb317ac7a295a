"""The place of a raster (image) on the ground: its CRS (coordinate system), transform and size.

A pixel position is a pair of *continuous* coordinates (row, col): (0, 0) is the upper-left corner
of the first pixel and (0.5, 0.5) its centre. The affine transform (a, b, c, d, e, f) converts it to
map coordinates,

    x = a * col + b * row + c
    y = d * col + e * row + f

with the coefficients in the order of the `affine` package and of rasterio. A north-up raster has
b = d = 0, a > 0 and e < 0. South-up, mirrored and rotated rasters have other coefficients. No
function treats them as special cases.

x is easting or longitude, y is northing or latitude, even if the CRS lists north before east.

Read tests/data/test_grid.py beside this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from pyproj import CRS

Transform = tuple[float, float, float, float, float, float]
IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class Window(NamedTuple):
    """A rectangle of whole pixels: its first row and column, and its size."""

    row: int
    col: int
    height: int
    width: int


@dataclass(frozen=True)
class Grid:
    """The pixels of a raster on the map.

    Args:
        crs: The CRS, or None if a file has no CRS or one that cannot be decoded.
        transform: A sequence that begins with the six coefficients, such as an `affine.Affine`.
        height: Number of rows.
        width: Number of columns.

    Raises:
        ValueError: The size is below one pixel, or the transform cannot be inverted.
    """

    crs: CRS | None
    transform: Transform
    height: int
    width: int

    def __post_init__(self) -> None:
        transform = tuple(float(value) for value in tuple(self.transform)[:6])
        if len(transform) != 6 or not all(math.isfinite(value) for value in transform):
            raise ValueError(f"a transform has six finite coefficients, not {self.transform}")
        a, b, _, d, e, _ = transform
        if a * e - b * d == 0:
            raise ValueError(f"transform {transform} cannot be inverted: its pixels have no area")
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a grid has at least one pixel, not {self.height} x {self.width}")
        object.__setattr__(self, "transform", transform)
        object.__setattr__(self, "height", int(self.height))
        object.__setattr__(self, "width", int(self.width))

    def xy(self, row, col):
        """Convert continuous pixel coordinates to map coordinates (x, y); scalars or arrays."""
        a, b, c, d, e, f = self.transform
        return a * col + b * row + c, d * col + e * row + f

    def rowcol(self, x, y):
        """Convert map coordinates to continuous pixel coordinates (row, col), the inverse of `xy`.

        The pixel that holds the point is (floor(row), floor(col)).
        """
        a, b, c, d, e, f = self.transform
        determinant = a * e - b * d
        x, y = x - c, y - f
        return (a * y - d * x) / determinant, (e * x - b * y) / determinant

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of the smallest rectangle along x and y around the corners."""
        corners = [self.xy(row, col) for row in (0, self.height) for col in (0, self.width)]
        xs, ys = zip(*corners)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def resolution(self) -> tuple[float, float]:
        """(width, height) of a pixel in units of the CRS: the lengths of its sides."""
        a, b, _, d, e, _ = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    def window(self, window: Window) -> Grid:
        """Return the grid of a window. The window may extend beyond this grid."""
        a, b, _, d, e, _ = self.transform
        c, f = self.xy(window.row, window.col)
        return Grid(self.crs, (a, b, c, d, e, f), window.height, window.width)

    def matches(self, other: Grid, tolerance: float = 1e-6) -> bool:
        """Return whether two grids have the same pixels: size, CRS, and corners.

        Args:
            other: The other grid.
            tolerance: How far apart the corners may be, in pixels.
        """
        if (self.height, self.width) != (other.height, other.width):
            return False
        if self.crs is None or other.crs is None:
            if self.crs is not other.crs:
                return False
        elif not self.crs.equals(other.crs, ignore_axis_order=True):
            return False
        for row in (0, self.height):
            for col in (0, self.width):
                other_row, other_col = other.rowcol(*self.xy(row, col))
                if max(abs(other_row - row), abs(other_col - col)) > tolerance:
                    return False
        return True
