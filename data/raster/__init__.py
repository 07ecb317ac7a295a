"""One raster file: `Raster` reads any window of it, `write` and `writer` make a GeoTIFF.

`safe.Safe` reads a Sentinel-2 product in a .SAFE folder, and is used like `Raster`.
"""

from data.raster.cog import write, writer
from data.raster.geotiff import Raster

__all__ = ["Raster", "write", "writer"]
