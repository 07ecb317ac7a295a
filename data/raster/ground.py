"""Ground area of pixels: a pixel of 10 x 10 map metres in EPSG:3857 is about 25 m2 of ground at 60
degrees north.

The area dA is the area of the pixel in longitude and latitude, times the area on the ellipsoid of a
unit of longitude and latitude:

    dA = |d(lon, lat) / d(col, row)| * M(lat) * N(lat) * cos(lat)

    M = a (1 - e2) / (1 - e2 sin2 lat)^(3/2)   radius of curvature along the meridian
    N = a / sqrt(1 - e2 sin2 lat)              radius of curvature across the meridian

Snyder 1987, Map Projections, (4-19) and (4-20). The partial derivatives are differences over one
pixel. The area changes smoothly along a row. So it is computed at up to 33 columns of each row, and
interpolated between them.

Read beside it: tests/data/raster/test_ground.py.
"""

import numpy as np
import pyproj

from data.grid import Grid

COLUMNS = 33


def pixel_areas(grid: Grid) -> np.ndarray:
    """Compute the area of each pixel on the ellipsoid of the grid's CRS.

    Returns:
        (H, W) float64 in m2; NaN where the map shows no ground.

    Raises:
        ValueError: The grid has no CRS.
    """
    if grid.crs is None:
        raise ValueError("a grid without CRS has no ground area")
    cols = np.linspace(0.5, grid.width - 0.5, min(COLUMNS, grid.width))
    col, row = np.meshgrid(cols, np.arange(grid.height) + 0.5)
    a = grid.crs.ellipsoid.semi_major_metre
    flattening = 1 / (grid.crs.ellipsoid.inverse_flattening or np.inf)  # pyproj has 0 for a sphere
    e2 = flattening * (2 - flattening)
    with np.errstate(invalid="ignore"):  # a pixel beside the Earth, in geostationary images, is NaN
        latitude, jacobian = _latitude_and_jacobian(grid, row, col)
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


def _interpolated(values: np.ndarray, known: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate values (H, n) linearly, from `known` ascending positions (n,) to (W,)."""
    number = np.interp(positions, known, np.arange(len(known)))
    left = np.minimum(number.astype(int), max(len(known) - 2, 0))
    right = np.minimum(left + 1, len(known) - 1)
    share = number - left
    return values[:, left] * (1 - share) + values[:, right] * share
