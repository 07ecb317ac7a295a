"""Measure the extent and the pixel size of a raster in another CRS.

They are measured at the points of a lattice. Between the points two things can hide:

    a cut     A map of the round earth has a cut, at 180 degrees in EPSG:4326 and EPSG:3857. A
              source that crosses it reaches from one end of the map to the other. The points beside
              the cut are found by bisection.
    a pole    A source around a pole reaches to the pole, even if none of its points does.

Read beside it: tests/data/raster/test_extent.py.
"""

from __future__ import annotations

import numpy as np
from pyproj import CRS, Transformer

from data.grid import IDENTITY, Grid
from data.raster.warp import between

POINTS = 65  # of the lattice, along each side of the source
BISECTIONS = 40  # from a 64th of a source to less than a thousandth of a pixel
LONG = 10  # times the median; a longer step crosses a cut, or leads to a pole far away
FAR = 0.1  # of the extent; a point further outside than this is left out


def positions(grid: Grid, points: int = POINTS, inner: bool = False) -> tuple[np.ndarray, ...]:
    """Compute the rows and columns (points, points) of a lattice from edge to edge of a grid.

    If `inner`, the lattice begins and ends half a step inside the edges.
    """
    share = (np.arange(points) + 0.5) / points if inner else np.linspace(0, 1, points)
    return np.meshgrid(share * grid.height, share * grid.width, indexing="ij")


def _locate(source: Grid, crs: CRS, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Compute (2, ...) x and y in a CRS of positions in a source; NaN where there are none."""
    plane = Grid(crs, IDENTITY, 1, 1)  # its row and column are y and x
    return between(source, plane, 0)[1].exact(row, col)[::-1]


def lattice(source: Grid, crs: CRS, inner: bool = False) -> np.ndarray:
    """Compute (2, POINTS, POINTS) x and y in a CRS of a lattice in a source."""
    return _locate(source, crs, *positions(source, inner=inner))


def jumps(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """Find neighbours of a lattice between which the map is cut.

    They are further apart than half of the extent, other neighbours by about a 64th of it.
    """
    far = [abs(np.diff(at, axis=axis)) > (np.nanmax(at) - np.nanmin(at)) / 2 for at in (x, y)]
    return far[0] | far[1]


def usual_resolution(source: Grid, x: np.ndarray, y: np.ndarray) -> float:
    """Compute the pixel size with which the diagonal keeps its number of pixels (gdalwarp).

    If the map is cut along the diagonal, or stretched to a pole far away, or has no coordinates at
    one of its ends, the median of its steps counts for all of them.
    """
    along = x.diagonal(), y.diagonal()
    steps, diagonal = np.hypot(*np.diff(along)), np.hypot(*(at[-1] - at[0] for at in along))
    if not np.isnan(steps).all():
        usual = np.nanmedian(steps)
        if np.isnan(diagonal) or np.nanmax(steps) > LONG * usual:
            diagonal = usual * len(steps)
    if not diagonal > 0:
        diagonal = np.hypot(np.nanmax(x) - np.nanmin(x), np.nanmax(y) - np.nanmin(y))
    return float(diagonal / np.hypot(source.height, source.width))


def extent(source: Grid, crs: CRS, x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """Measure the extent of a source in a CRS, up to a cut of the map and to a pole.

    In Mercator a pole is infinitely far. So points far from all those of the lattice are left out.

    Args:
        source: The grid of the source.
        crs: The CRS.
        x, y: The result of `lattice`.

    Returns:
        Its left, right, bottom and top.
    """
    where, hidden = np.stack(positions(source)), [_poles(source, crs)]
    for axis in (0, 1):
        cut = jumps(x, y, axis)
        first, last = (np.delete(where, side, 1 + axis)[:, cut] for side in (-1, 0))
        hidden += _at_cuts(source, crs, first, last)
    found = []
    for measured, others in zip((x, y), np.hstack(hidden)):
        low, high = np.nanmin(measured), np.nanmax(measured)
        margin = FAR * (high - low)
        others = others[(others > low - margin) & (others < high + margin)]
        found += [others.min(initial=low), others.max(initial=high)]
    return tuple(found)


def _at_cuts(source: Grid, crs: CRS, first: np.ndarray, last: np.ndarray) -> list[np.ndarray]:
    """Find the x and y (2, n) on both sides of cuts between positions (2, n) of a source."""
    for _ in range(BISECTIONS if first.size else 0):
        middle = (first + last) / 2
        at, before, after = (_locate(source, crs, *point) for point in (middle, first, last))
        near = np.hypot(*(at - before)) < np.hypot(*(at - after))
        first, last = np.where(near, middle, first), np.where(near, last, middle)
    return [_locate(source, crs, *point) for point in (first, last)]


def _poles(source: Grid, crs: CRS) -> np.ndarray:
    """Locate the poles in a CRS: (2, 0 to 2) x and y of those that lie in a source."""
    sphere = crs.geodetic_crs
    quarter = np.pi / 2 / sphere.axis_info[0].unit_conversion_factor  # 90 degrees, or 100 grads
    poles = np.zeros(2), np.array([quarter, -quarter])
    x, y = Transformer.from_crs(sphere, source.crs, always_xy=True).transform(*poles)
    with np.errstate(invalid="ignore"):  # a pole has no place in some CRSs: x and y are infinite
        row, col = source.rowcol(x, y)
    inside = (row >= 0) & (row <= source.height) & (col >= 0) & (col <= source.width)
    at = Transformer.from_crs(sphere, crs, always_xy=True).transform(*poles)
    return np.stack(at)[:, inside]
