"""Grids of four tall pixels, and the area of each pixel by a closed formula.

The area of WGS 84 between two latitudes, for a difference of longitude d in radians (Snyder 1987,
Map Projections, (3-12)):

    a^2 / 2 * d * (q(north) - q(south))
    q(lat) = (1 - e2) * (sin lat / (1 - e2 sin2 lat) + artanh(e sin lat) / e)
"""

import numpy as np
from pyproj import CRS

from data.grid import Grid

A, E2 = 6378.137, 0.00669437999014  # of WGS 84: semi-major axis in km, eccentricity squared
DEGREES = Grid(CRS.from_epsg(4326), (1, 0, 2, 0, -1, 61), 4, 1)
MERCATOR = Grid(CRS.from_epsg(3857), (1e5, 0, 0, 0, -1e5, 9e6), 4, 1)


def km2_of_rows(grid: Grid) -> np.ndarray:
    """Areas (4,) in km2 of the pixels of DEGREES or MERCATOR, from north to south."""
    width, _, _, _, height, top = grid.transform
    edges = top + height * np.arange(5)
    if grid is DEGREES:
        latitude, longitude = np.radians(edges), np.radians(width)
    else:  # EPSG:3857 uses the latitude on the ellipsoid as if it were that on a sphere
        radius = 1000 * A
        latitude, longitude = 2 * np.arctan(np.exp(edges / radius)) - np.pi / 2, width / radius
    s, e = np.sin(latitude), np.sqrt(E2)
    q = (1 - E2) * (s / (1 - E2 * s * s) + np.arctanh(e * s) / e)
    return A * A / 2 * longitude * (q[:-1] - q[1:])
