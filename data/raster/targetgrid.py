"""Choose the grid in another CRS that holds a raster, and say where a raster lies on another grid.

Read beside it: tests/data/raster/test_targetgrid.py.
"""

from __future__ import annotations

import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError

from data.files import InputError
from data.grid import IDENTITY, Grid
from data.raster.extent import extent, jumps, lattice, positions, usual_resolution
from data.raster.geotiff import Raster
from data.raster.patch import EDGE
from data.raster.warp import between

SLIVER = 1e-3  # pixels of the source that may lie outside, to avoid a row for rounding errors
UNUSUAL = 1000  # times finer or coarser than the source: a resolution that may be a mistake
HALF = 0.5  # of the output; a source across a cut that fills less is told
SAMPLE = 257  # points along each side of the output for this
MOST_SIDE, MOST_PIXELS = 2**31 - 1, 2**40  # of a grid; GDAL reads no longer sides


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
    x, y = lattice(source_grid, crs)
    if not np.isfinite(x).any():
        beyond = source_grid.crs.is_geographic and source_grid.bounds[2] > 180
        advice = (
            "subtract 360 from its longitudes, which are beyond 180" if beyond else "choose another"
        )
        raise InputError(f"no point of the source has coordinates in {crs.name}; {advice}")
    left, right, bottom, top = extent(source_grid, crs, x, y)
    if resolution is None:
        resolution = usual_resolution(source_grid, x, y)
    else:
        left = np.floor(left / resolution + SLIVER) * resolution
        bottom = np.floor(bottom / resolution + SLIVER) * resolution
        right = np.ceil(right / resolution - SLIVER) * resolution
        top = np.ceil(top / resolution - SLIVER) * resolution
    height, width = (max(1, round(extent / resolution)) for extent in (top - bottom, right - left))
    if max(height, width) > MOST_SIDE or height * width > MOST_PIXELS:
        raise InputError(
            f"the target would have {width:,} x {height:,} pixels of {resolution:g}; give a "
            f"--resolution in the units of {crs.name}, or another CRS"
        )
    return Grid(crs, (resolution, 0, left, 0, -resolution, top), height, width)


def doubts(source: Grid, target: Grid) -> list[str]:
    """Describe what may be wrong with a target grid, in sentences for the user.

    Args:
        source: The grid of a raster.
        target: The grid onto which it is resampled. Both grids have a CRS, or neither has.
    """
    if source.crs is None or target.crs is None:
        return []
    x, y = lattice(source, target.crs)
    if not np.isfinite(x).any():
        return []  # an error follows: the target lies wholly outside the source
    found, name = _missing(source, target, target.crs), target.crs.name
    if any(jumps(x, y, axis).any() for axis in (0, 1)):
        filled = _inside(source, target, *positions(target, SAMPLE, inner=True)).mean()
        if filled < HALF:
            found.append(
                f"the source crosses a cut of {name} (for example 180 degrees) and fills about "
                f"{_percent(filled)} of the output; a CRS without a cut there avoids this"
            )
    a, b, _, d, e, _ = target.transform
    times = abs(a * e - b * d) ** 0.5 / usual_resolution(source, x, y)
    if not 1 / UNUSUAL < times < UNUSUAL:
        found.append(
            f"the output has {target.width:,} x {target.height:,} pixels of "
            f"{target.resolution[0]:g} {target.crs.axis_info[0].unit_name}, {times:.2g} times as "
            f"wide as those of the source; check that the resolution is in units of {name}"
        )
    return found


def _missing(source: Grid, target: Grid, crs: CRS) -> list[str]:
    """Describe which parts of two grids have no coordinates in the other CRS."""
    found = []
    lost = 1 - np.isfinite(lattice(source, crs, inner=True)[0]).mean()
    if lost:
        found.append(
            f"{_percent(lost)} of the source has no coordinates in {crs.name} and is left out"
        )
    if crs.is_geographic and not crs.equals(source.crs, ignore_axis_order=True):
        half_turn = np.pi / crs.axis_info[0].unit_conversion_factor
        left, _, right, _ = target.bounds
        if max(-left, right) > half_turn + target.resolution[0]:
            found.append("longitudes beyond 180 degrees stay empty; end the output there")
    return found


def _percent(share: float) -> str:
    """Format a share, such as 12.3 %, or less than 0.1 %."""
    return f"{share:.1%}".replace("%", " %") if share >= 0.001 else "less than 0.1 %"


def covers(source: Grid, target: Grid) -> bool:
    """Return whether the centres of all pixels on the rim of `target` lie in `source`."""
    rows, cols = np.arange(target.height) + 0.5, np.arange(target.width) + 0.5
    sides = np.meshgrid(rows[[0, -1]], cols), np.meshgrid(rows, cols[[0, -1]])
    rim = np.hstack([np.reshape(side, (2, -1)) for side in sides])
    return bool(_inside(source, target, *rim).all())


def _inside(source: Grid, target: Grid, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Find which positions in `target` lie in `source`."""
    row, col = between(source, target, 0)[0].exact(row, col) + EDGE
    return (row >= 0) & (row < source.height) & (col >= 0) & (col < source.width)


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
