"""True ground area of pixels: a pixel of EPSG:3857 or EPSG:4326 is not 100 m2.

The steps of a pixel in longitude and latitude, times the size of such a step on the ellipsoid, are
its area:

    dA = |d(lon, lat) / d(col, row)| * M(lat) * N(lat) * cos(lat)

    M = a (1 - e2) / (1 - e2 sin2 lat)^(3/2)   radius of curvature along the meridian
    N = a / sqrt(1 - e2 sin2 lat)              radius of curvature across the meridian

Snyder 1987, Map Projections, (4-19) and (4-20). The partial derivatives are differences over one
pixel. Within a few hundred columns the area changes smoothly, so it is computed at up to 33 columns
of each row, and interpolated between them.

Read beside it: tests/data/raster/test_ground.py.
"""

import numpy as np
import pyproj

from data.grid import Grid

COLUMNS = 33


def pixel_areas(grid: Grid) -> np.ndarray:
    """Compute the area of each pixel on the ellipsoid of the grid's CRS.

    Returns:
        (H, W) float64 in m2.

    Raises:
        ValueError: The grid has no CRS.
    """
    if grid.crs is None:
        raise ValueError("a grid without CRS has no ground area")
    cols = np.linspace(0.5, grid.width - 0.5, min(COLUMNS, grid.width))
    col, row = np.meshgrid(cols, np.arange(grid.height) + 0.5)
    latitude, jacobian = _latitude_and_jacobian(grid, row, col)
    a = grid.crs.ellipsoid.semi_major_metre
    flattening = 1 / (grid.crs.ellipsoid.inverse_flattening or np.inf)  # pyproj: 0 for a sphere
    e2 = flattening * (2 - flattening)
    w2 = 1 - e2 * np.sin(latitude) ** 2
    at_columns = jacobian * a**2 * (1 - e2) / w2**2 * np.cos(latitude)  # (H, columns)
    return _interpolated(at_columns, cols, np.arange(grid.width) + 0.5)


def _latitude_and_jacobian(
    grid: Grid, row: np.ndarray, col: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Latitude in radians, and |d(lon, lat) / d(col, row)| in radians squared, at positions."""
    base = grid.crs.geodetic_crs
    to_angles = pyproj.Transformer.from_crs(grid.crs, base, always_xy=True)
    unit = base.axis_info[0].unit_conversion_factor  # radians in a degree, or in a grad

    def angles(d_row: float, d_col: float) -> tuple[np.ndarray, np.ndarray]:
        longitude, latitude = to_angles.transform(*grid.xy(row + d_row, col + d_col))
        return unit * longitude, unit * latitude

    def across_180_degrees(difference: np.ndarray) -> np.ndarray:
        return (difference + np.pi) % (2 * np.pi) - np.pi

    lon_right, lat_right = angles(0, 0.5)
    lon_left, lat_left = angles(0, -0.5)
    lon_below, lat_below = angles(0.5, 0)
    lon_above, lat_above = angles(-0.5, 0)
    lon_col = across_180_degrees(lon_right - lon_left)
    lon_row = across_180_degrees(lon_below - lon_above)
    jacobian = lon_col * (lat_below - lat_above) - lon_row * (lat_right - lat_left)
    return angles(0, 0)[1], np.abs(jacobian)


def _interpolated(values: np.ndarray, at: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values (H, n) at ascending positions (n,), interpolated linearly to positions (W,)."""
    position = np.interp(wanted, at, np.arange(len(at)))
    left = np.minimum(position.astype(int), max(len(at) - 2, 0))
    right = np.minimum(left + 1, len(at) - 1)
    share = position - left
    return values[:, left] * (1 - share) + values[:, right] * share
