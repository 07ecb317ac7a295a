"""True ground area of pixels: a pixel of EPSG:3857 or EPSG:4326 is not 100 m2.

A pixel's corner-to-corner steps in longitude and latitude, times the size of that step on the
ellipsoid, is its area:

    dA = |d(lon, lat) / d(col, row)| * M(lat) * N(lat) * cos(lat)

    M = a (1 - e2) / (1 - e2 sin2 lat)^(3/2)   radius of curvature along the meridian
    N = a / sqrt(1 - e2 sin2 lat)              across it      Snyder 1987, Map Projections, (4-19), (4-20)

The partial derivatives are differences over one pixel. Within a few hundred columns the area
changes smoothly, so it is computed at up to 33 columns of each row and interpolated between them.
`Areas` sums them by class while a map streams by.

Read beside it: tests/data/output/test_areas.py.
"""

import numpy as np
import pyproj

from data.files import IGNORE
from data.grid import Grid, Window

COLUMNS = 33


class Areas:
    """What a map on a grid holds: pixels and, where the grid has a CRS, km2 of each class.

    pixels   (K,) int64
    no_data  pixels that have no class
    km2      (K,) float64, or None without CRS
    """

    def __init__(self, grid: Grid, num_classes: int):
        self._grid, self._classes, self._row = grid, slice(num_classes), 0
        self._pixels, self._km2 = np.zeros(256, np.int64), np.zeros(256)

    def add(self, labels: np.ndarray) -> None:
        """(h, W) uint8: the next rows of the map, from the top."""
        flat = labels.ravel()
        self._pixels += np.bincount(flat, minlength=256)
        if self._grid.crs:
            ground = pixel_areas(self._grid.window(Window(self._row, 0, *labels.shape)))
            self._km2 += np.bincount(flat, ground.ravel() / 1e6, minlength=256)
        self._row += len(labels)

    @property
    def pixels(self) -> np.ndarray:
        return self._pixels[self._classes]

    @property
    def no_data(self) -> int:
        return int(self._pixels[IGNORE])

    @property
    def km2(self) -> np.ndarray | None:
        return self._km2[self._classes] if self._grid.crs else None

    @property
    def shares(self) -> np.ndarray:
        """(K,) share of each class in the mapped pixels; NaN where nothing was mapped."""
        return (
            self.pixels / self.pixels.sum()
            if self.pixels.any()
            else np.full(len(self.pixels), np.nan)
        )


def pixel_areas(grid: Grid) -> np.ndarray:
    """(H, W) float64: m2 on the ellipsoid of each pixel. Raises ValueError for a grid without CRS."""
    if grid.crs is None:
        raise ValueError("a grid without CRS has no ground area")
    to_angles = pyproj.Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    unit = grid.crs.geodetic_crs.axis_info[
        0
    ].unit_conversion_factor  # of degrees, or of grads, in radians
    cols = np.linspace(0.5, grid.width - 0.5, min(COLUMNS, grid.width))
    col, row = np.meshgrid(cols, np.arange(grid.height) + 0.5)

    def radians(d_row: float, d_col: float) -> tuple[np.ndarray, np.ndarray]:
        return tuple(unit * v for v in to_angles.transform(*grid.xy(row + d_row, col + d_col)))

    (east, north_e), (west, north_w) = radians(0, 0.5), radians(0, -0.5)
    (east_s, south), (east_n, north) = radians(0.5, 0), radians(-0.5, 0)
    turn = 2 * np.pi
    lon_col, lon_row = (
        (d + np.pi) % turn - np.pi for d in (east - west, east_s - east_n)
    )  # across 180 degrees
    jacobian = np.abs(lon_col * (south - north) - lon_row * (north_e - north_w))

    latitude = radians(0, 0)[1]
    a, flattening = (
        grid.crs.ellipsoid.semi_major_metre,
        1 / (grid.crs.ellipsoid.inverse_flattening or np.inf),
    )
    e2 = flattening * (2 - flattening)
    w2 = 1 - e2 * np.sin(latitude) ** 2
    at_columns = jacobian * a**2 * (1 - e2) / w2**2 * np.cos(latitude)

    # Linear interpolation along the row, for all rows at once: the two columns around each pixel,
    # weighted.
    position = np.interp(np.arange(grid.width) + 0.5, cols, np.arange(len(cols)))
    left = np.minimum(position.astype(int), max(len(cols) - 2, 0))
    share = position - left
    return (
        at_columns[:, left] * (1 - share)
        + at_columns[:, np.minimum(left + 1, len(cols) - 1)] * share
    )
