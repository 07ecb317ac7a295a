"""Where the pixels of a raster of classes lie on the grid of another raster.

    CRS of both known                       where their CRSs and transforms say
    a CRS is missing:
      same size, same transform             pixel by pixel
      same size, one has no transform       pixel by pixel: it is a picture
      both have transforms that differ      an error: one of them may be in any CRS
      different sizes                       an error

Read beside it: tests/data/raster/test_placed.py.
"""

import dataclasses
from pathlib import Path

from data.files import InputError
from data.grid import IDENTITY, Grid

SAME = 0.01  # pixels; corners that differ by less are those of rounded world files


def placed(source: Grid, target: Grid, path: str | Path, other: str = "the image") -> Grid:
    """Return the grid on which the pixels of a raster lie, in the CRS of the target.

    Args:
        source: The grid that the raster declares.
        target: The grid of the other raster.
        path: The raster, for error messages.
        other: What the other raster is, for error messages.

    Returns:
        `source` if both have a CRS, else `target`: pixels then correspond one to one.

    Raises:
        InputError: A CRS is missing, and transforms or sizes differ.
    """
    if source.crs and target.crs:
        return source
    missing = "it has no CRS" if target.crs else f"{other} has no CRS"
    if not source.crs and not target.crs:
        missing = f"neither it nor {other} has a CRS"
    picture = IDENTITY in (source.transform, target.transform)
    same_size = (source.height, source.width) == (target.height, target.width)
    plane = dataclasses.replace(source, crs=None, height=target.height, width=target.width)
    same_transform = plane.matches(dataclasses.replace(target, crs=None), SAME)
    if same_size and (picture or same_transform):
        return target
    if picture or same_transform:
        raise InputError(
            f"{path}: has {source.width} x {source.height} pixels and {other} "
            f"{target.width} x {target.height}, and {missing} to align them by; give both a CRS or "
            "one size"
        )
    raise InputError(
        f"{path}: its transform differs from that of {other} ({_start(source)}, but "
        f"{_start(target)}), and {missing}; assign it with gdal_edit.py -a_srs"
    )


def _start(grid: Grid) -> str:
    """Describe where a grid begins, and its resolution."""
    x, y = grid.xy(0, 0)
    return f"x from {x:.10g}, y from {y:.10g}, pixels of {grid.resolution[0]:.10g}"
