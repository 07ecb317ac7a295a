"""Station 1, the grid: a pixel of 10 m is not 10 m of ground. Read data/grid.py first.

Words. A *raster* is an image whose pixels have a place on the Earth. Its *CRS* (coordinate
reference system) says what x and y mean: metres on a flat map, or degrees. EPSG:3857, Web Mercator,
is the CRS of web maps. The *transform* is six numbers (a, b, c, d, e, f) that convert a position
in the raster to x and y:

    x = a * col + b * row + c
    y = d * col + e * row + f

(row 0, col 0) is the upper left corner of the first pixel. Its centre is at (0.5, 0.5). Rows count
downwards and y upwards, so e is negative in most rasters.

Task. Write the three functions below. `make exercises` shows what is right.
"""


def centre(transform, row, col):
    """Return (x, y) of the centre of a pixel.

    Args:
        transform: (a, b, c, d, e, f).
        row, col: whole numbers, which pixel.
    """
    raise NotImplementedError


def pixel_at(transform, x, y):
    """Return (row, col), the whole numbers of the pixel that holds the point (x, y).

    Solve the two equations above for row and col. Do not take b and d for 0: a raster can be
    rotated. A point left of the raster has a negative column: math.floor(-0.2) is -1, but
    int(-0.2) is 0.
    """
    raise NotImplementedError


def true_area(latitude):
    """Return the area in m2 of ground under a pixel of 10 x 10 map metres in Web Mercator.

    Mercator's map stretches the Earth by 1 / cos(latitude), along x and along y. Take the Earth for
    a sphere. The check allows 1 % of difference from this package, which takes an ellipsoid.

    Args:
        latitude: of the pixel, in degrees. 0 is the equator.
    """
    raise NotImplementedError
