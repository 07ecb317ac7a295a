"""One raster file: `Raster` reads any window of it, `write` and `writer` make a GeoTIFF.

A product in a .SAFE folder is read by `safe.Safe`, which is used like `Raster`.
"""

from data.raster.cog import write, writer
from data.raster.geotiff import Raster

__all__ = ["Raster", "write", "writer"]
