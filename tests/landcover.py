"""Rasters of classes for the tests of resampling: grids, land covers, and a naive implementation of
both methods.
"""

import numpy as np
from pyproj import CRS, Transformer

from data.grid import Grid
from data.raster.targetgrid import target_grid_for

NO = 255


def grid(crs, left, top, pixel, height, width, turn=0.0, up=False):
    """A grid of square pixels, turned clockwise by `turn` degrees about its upper-left corner.

    With `up`, the first row is the southernmost.
    """
    cos, sin = np.cos(np.radians(turn)) * pixel, np.sin(np.radians(turn)) * pixel
    crs = None if crs is None else CRS.from_user_input(crs)
    transform = (cos, sin, left, -sin, cos, top) if up else (cos, -sin, left, -sin, -cos, top)
    return Grid(crs, transform, height, width)


def plain(height, width, pixel=1.0, left=0.0, top=0.0, **options):
    """A grid in EPSG:3857, by default with pixels of 1 m and the origin as corner."""
    return grid("EPSG:3857", left, top, pixel, height, width, **options)


def patches(height, width, classes=12, size=9, seed=0):
    """A land cover: patches of one class each, with single pixels of other classes in them."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, classes, (-(-height // size), -(-width // size)), dtype=np.uint8)
    out = np.kron(coarse, np.ones((size, size), np.uint8))[:height, :width].copy()
    specks = random.random(out.shape) < 0.15
    out[specks] = random.integers(0, classes, specks.sum())
    return out


def naive(source, source_grid, target_grid, method, nodata=NO, weights=None):
    """Resample by the formulas of data/resample.py. pyproj projects every centre."""
    shape = target_grid.height, target_grid.width
    transformer = Transformer.from_crs(source_grid.crs, target_grid.crs, always_xy=True)

    def place(here, there, direction):
        centres = np.meshgrid(
            np.arange(here.height) + 0.5, np.arange(here.width) + 0.5, indexing="ij"
        )
        x, y = transformer.transform(*here.xy(*centres), direction=direction)
        row, col = (np.floor(place + 1e-6).astype(int) for place in there.rowcol(x, y))
        return row, col, (row >= 0) & (row < there.height) & (col >= 0) & (col < there.width)

    row, col, inside = place(target_grid, source_grid, "INVERSE")
    out = np.full(shape, NO if nodata is None else nodata, source.dtype)
    out[inside] = source[row[inside], col[inside]]
    if method == "nearest":
        return out
    row, col, inside = place(source_grid, target_grid, "FORWARD")
    values = [value for value in np.unique(source).tolist() if value != nodata]
    votes = np.zeros((len(values), *shape))
    for votes_of, value in zip(votes, values):
        voters = inside & (source == value)
        np.add.at(votes_of, (row[voters], col[voters]), 1)
        votes_of *= (weights or {}).get(value, 1)
    voted = votes.max(0) > 0
    # On a tie argmax takes the first class, which is the lower one.
    out[voted] = np.array(values, source.dtype)[votes.argmax(0)][voted]
    return out


FOUR = np.array([[1, 1, 2, 3], [1, 5, 2, 3], [4, 4, 6, 6], [4, 7, 6, 8]], np.uint8)

UTM = grid("EPSG:25831", 430_000, 4_610_000, 1, 700, 650)
LAEA = grid("EPSG:3035", 3_664_000, 2_100_000, 10, 500, 450)
DEGREES = grid("EPSG:4326", 2, 42, 1e-4, 400, 500)


def part_of(source, crs, pixel, height, width, down, right, **options):
    """A grid whose upper-left corner lies in the rectangle around a source.

    `down` and `right` are the position of the corner, as shares of the height and width.
    """
    left, bottom, east, top = target_grid_for(source, crs).bounds
    return grid(
        crs,
        left + right * (east - left),
        top - down * (top - bottom),
        pixel,
        height,
        width,
        **options,
    )


CASES = {
    "1 m to 10 m": (UTM, grid("EPSG:32631", 430_000.3, 4_609_999.6, 10, 69, 64)),
    "1 m to 13.3 m": (UTM, target_grid_for(UTM, "EPSG:3857", 13.3)),
    "3035 to 3857": (LAEA, target_grid_for(LAEA, "EPSG:3857", 14)),
    "3035 to UTM": (LAEA, target_grid_for(LAEA, "EPSG:32631", 25)),
    "4326 to 3857": (DEGREES, target_grid_for(DEGREES, "EPSG:3857", 37)),
    "to finer pixels": (LAEA, part_of(LAEA, "EPSG:3857", 4, 300, 280, 0.4, 0.3)),
    "turned source": (grid("EPSG:3035", 3_664_000, 2_100_000, 10, 400, 400, 33), None),
    "turned target": (UTM, part_of(UTM, "EPSG:3857", 12, 50, 60, 0.4, 0.1, turn=-40)),
    "south-up source": (grid("EPSG:3035", 3_664_000, 2_096_000, 10, 400, 300, up=True), None),
    "south-up target": (UTM, grid("EPSG:32631", 430_050, 4_609_400, 7, 70, 80, up=True)),
    "partly outside": (UTM, part_of(UTM, "EPSG:3857", 9, 60, 70, -0.2, 0.5)),
    "same CRS": (UTM, grid("EPSG:25831", 430_003, 4_609_990, 3.7, 150, 120, 5)),
}
CASES = {
    name: (source, target or target_grid_for(source, "EPSG:32631", 30))
    for name, (source, target) in CASES.items()
}
