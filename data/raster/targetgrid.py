"""Choose the grid in another CRS that holds a raster, and check that two grids can be compared.

Read beside it: tests/data/raster/test_targetgrid.py.
"""

from __future__ import annotations

import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError

from data.files import InputError
from data.grid import IDENTITY, Grid
from data.raster.geotiff import Raster
from data.raster.patch import EDGE
from data.raster.warp import between

SLIVER = 1e-3  # pixels of the source that may lie outside, to avoid a row for rounding errors
POINTS = 65  # along each side of the source, where its extent in the other CRS is measured


def target_grid_for(source_grid: Grid, crs, resolution: float | None = None) -> Grid:
    """Make the north-up grid that holds all of a source.

    Args:
        source_grid: The grid of the source.
        crs: The CRS of the new grid, in any form that pyproj understands.
        resolution: Pixel size in units of `crs`. The edges of the grid are then multiples of it, so
            that the pixels of all grids with one resolution coincide (gdalwarp -tap). By default
            the grid begins at the edge of the source, and its diagonal has as many pixels as that
            of the source (gdalwarp).

    Raises:
        InputError: The resolution is not above 0, there is no such CRS, the source has no CRS, or
            no point of the source has coordinates in `crs`.
    """
    if resolution is not None and not 0 < resolution < np.inf:
        raise InputError(
            f"a resolution of {resolution} is not above 0; give the pixel size in units of the CRS"
        )
    if source_grid.crs is None:
        raise InputError("the source has no CRS; assign it first")
    try:
        crs = CRS.from_user_input(crs)
    except CRSError:
        raise InputError(f"{crs!r} is not a CRS; give a code such as EPSG:3857") from None
    size = source_grid.height, source_grid.width
    points = np.meshgrid(*(np.linspace(0, pixels, POINTS) for pixels in size), indexing="ij")
    plane = Grid(crs, IDENTITY, 1, 1)  # its row and column are y and x
    y, x = between(source_grid, plane, 0)[1].exact(*points)
    if not np.isfinite(x).any():
        raise InputError(f"no point of the source has coordinates in {crs.name}; choose another")
    left, right, bottom, top = np.nanmin(x), np.nanmax(x), np.nanmin(y), np.nanmax(y)
    if resolution is None:
        diagonal = np.hypot(x[-1, -1] - x[0, 0], y[-1, -1] - y[0, 0])
        if not np.isfinite(diagonal):
            diagonal = np.hypot(right - left, top - bottom)
        resolution = diagonal / np.hypot(*size)
    else:
        left = np.floor(left / resolution + SLIVER) * resolution
        bottom = np.floor(bottom / resolution + SLIVER) * resolution
        right = np.ceil(right / resolution - SLIVER) * resolution
        top = np.ceil(top / resolution - SLIVER) * resolution
    height, width = (max(1, round(extent / resolution)) for extent in (top - bottom, right - left))
    return Grid(crs, (resolution, 0, left, 0, -resolution, top), height, width)


def covers(source: Grid, target: Grid) -> bool:
    """Return whether the centres of all pixels on the rim of `target` lie in `source`."""
    rows, cols = np.arange(target.height) + 0.5, np.arange(target.width) + 0.5
    sides = np.meshgrid(rows[[0, -1]], cols), np.meshgrid(rows, cols[[0, -1]])
    rim = np.hstack([np.reshape(side, (2, -1)) for side in sides])
    row, col = between(source, target, 0)[0].exact(*rim) + EDGE
    return bool(np.all((row >= 0) & (row < source.height) & (col >= 0) & (col < source.width)))


def require_crs(raster: Raster) -> None:
    """Raise InputError if a file has no CRS, or one that is not understood."""
    if raster.grid.crs is None:
        problem = raster.crs_problem
        what = f"CRS not understood: {problem}" if problem else "CRS is missing"
        raise InputError(f"{raster.path}: {what}; assign it, for example with gdal_edit.py -a_srs")


def require_places(source: Grid, target: Grid) -> None:
    """Raise InputError if two grids cannot be compared because a CRS is missing.

    Two grids without CRS can be compared by their x and y. A picture without any georeference has
    no position, so it can be compared only to a grid of the same size.
    """
    if (source.crs is None) != (target.crs is None):
        bare = "source" if source.crs is None else "target"
        raise InputError(f"the {bare} has no CRS; assign it first")
    picture = source.crs is None and IDENTITY in (source.transform, target.transform)
    if picture and not source.matches(target):
        raise InputError("neither raster has a CRS and they differ in size; assign CRSs first")
