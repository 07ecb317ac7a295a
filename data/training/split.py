"""Training and validation windows, drawn by blocks of ground so that they share no ground.

Neighbouring pixels look alike, and so do two dates of one place. A network can memorise the ground
of its training windows. Validation on the same ground, or at another date of it, would measure that
memory. Roberts and others 2017 (Cross-validation strategies for data with temporal, spatial,
hierarchical, or phylogenetic structure) therefore hold out blocks:

    1. The ground is cut into square blocks, and whole blocks are drawn for validation. A place
       that --places names is one block. Small tiles are not cut: each is on one side as a whole.
    2. Other windows that share ground with a validation window are left out. They lie at the border
       of a block, on a shifted grid, or in another CRS. So do windows that --stride added. These
       are never drawn for validation.

Windows are compared in x and y of the first scene's CRS. Windows outside the range of that CRS
(UTM zone 31, a strip of 6 degrees, does not reach the other side of the Earth) are compared on the
globe. Scenes without a CRS are compared in pixels where it is known how they lie to each other:
they share a mask, or a look at their labels has found a shift at which the labels agree
(data/training/places.py).

Read beside it: tests/data/training/test_split.py.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyproj

from data.files import InputError
from data.grid import Grid, Window
from data.training.overlap import overlapping
from data.training.places import Spot, located, same_masks
from data.training.scenes import Scene
from data.training.windows import WHOLE, Item

BEYOND, COMMON = -1, 0  # numbers of the planes with a CRS; sheets without a CRS have 1, 2, ...
BLOCKS = 20  # smallest number of blocks, if there are enough windows
# Row and column of points around a window, as shares of it: the corners and the middles of the
# sides. Between these points a side that is straight in one CRS bends by less than a pixel in
# another CRS.
AROUND = np.array([(0, 0), (0, 0.5), (0, 1), (0.5, 1), (1, 1), (1, 0.5), (1, 0), (0.5, 0)])


@cache
def transformer(source: pyproj.CRS, target: pyproj.CRS | str) -> pyproj.Transformer:
    """Return the transform of x and y from one CRS to another. Each one is made once."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def split(
    scenes: Sequence[Scene],
    items: Sequence[Item],
    fraction: float,
    seed: int,
    spots: Sequence[Spot] | None = None,
) -> tuple[list[int], list[int], int]:
    """Divide windows into training and validation.

    Args:
        scenes: The scenes.
        items: Their windows.
        fraction: Share of the windows to hold out for validation.
        seed: Decides which blocks are drawn.
        spots: Where the scenes lie, from `places.find_spots`; by default as CRS and mask say.

    Returns:
        The numbers of the training windows, the numbers of the validation windows, and how many
        windows are left out because they share ground with a validation window.

    Raises:
        InputError: No window remains for training.
    """
    spots = located(scenes, same_masks(scenes)) if spots is None else spots
    tiles = sorted({item.scene for item in items})
    whole = [Window(0, 0, scenes[n].grid.height, scenes[n].grid.width) for n in tiles]
    if max(max(w.height, w.width) for w in whole) > WHOLE or fraction * len(tiles) < 1:
        training, validation = split_windows(items, fraction, seed, spots)
    else:
        tile_items = [Item(number, window, window) for number, window in zip(tiles, whole)]
        of_tiles = split_windows(tile_items, fraction, seed, spots)
        scene_of = np.array([item.scene for item in items])
        training, validation = (np.isin(scene_of, np.array(tiles)[side]) for side in of_tiles)
        validation &= drawable(items)
    left_out = int((~training & ~validation).sum())
    return np.flatnonzero(training).tolist(), np.flatnonzero(validation).tolist(), left_out


def split_windows(
    items: Sequence[Item], fraction: float, seed: int, spots: Sequence[Spot]
) -> tuple[np.ndarray, np.ndarray]:
    """Divide windows into training and validation: two masks (n,) bool. Arguments as in `split`."""
    planes, outlines = footprints(spots, items)
    ground = np.array([spots[item.scene].ground for item in items])
    place = np.array([spots[item.scene].place for item in items])
    own = drawable(items)
    parts = (values[own] for values in (planes, outlines, ground, place))
    blocks = blocks_of_ground(*parts)
    validation = np.zeros(len(items), bool)
    validation[own] = draw(blocks, max(1, round(fraction * len(blocks))), seed)
    straddling = sharing_ground(spots, items, planes, outlines, validation)
    straddling |= (place >= 0) & np.isin(place, place[validation])
    training = ~validation & ~straddling
    if not training.any():
        raise InputError(
            f"{len(items)} windows on {blocks.max() + 1} blocks of ground: none is left for "
            "training beside the validation blocks; give more images, a lower --validation, or a "
            "smaller --size"
        )
    return training, validation


def drawable(items: Sequence[Item]) -> np.ndarray:
    """Return which windows (n,) bool may validate: not those that --stride added."""
    return np.array([item.own is not None for item in items])


def outline(grid: Grid, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (8,), in the grid's CRS, of the points AROUND a window."""
    rows, cols = (AROUND * (window.height, window.width) + (window.row, window.col)).T
    return grid.xy(rows, cols)


def footprints(spots: Sequence[Spot], items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
    """Locate the windows on the ground.

    The plane COMMON has the CRS of the first scene with a CRS, and holds the windows with a CRS.
    Windows outside the range of this CRS lie in the plane BEYOND instead, in degrees. Windows
    without a CRS lie in a separate plane for each sheet, in pixels.

    Returns:
        The plane of each window (n,) int, and its outline (n, 8, 2): x and y of the points AROUND
        it, in widths of a window.
    """
    common = next((spot.grid.crs for spot in spots if spot.grid.crs), None)
    planes, outlines = np.empty(len(items), np.int64), np.empty((len(items), len(AROUND), 2))
    for number, item in enumerate(items):
        grid, sheet = spots[item.scene].grid, spots[item.scene].sheet
        crs = grid.crs
        planes[number] = COMMON if crs else 1 + sheet
        x, y = outline(grid, item.window)
        if crs and crs != common:
            projected = transformer(crs, common).transform(x, y)
            if not np.isfinite(projected).all():
                planes[number] = BEYOND
                degrees = np.array(transformer(crs, "EPSG:4326").transform(x, y))
                on_earth = np.isfinite(degrees).all(0)  # a geostationary image shows space, too
                middle = degrees[:, on_earth].mean(1, keepdims=True) if on_earth.any() else 0
                degrees[:, ~on_earth] = middle
                projected = tuple(degrees)
            x, y = projected
        outlines[number] = np.column_stack([x, y])
    drawable = np.array([item.own is not None for item in items])
    for plane in np.unique(planes):
        here = planes == plane
        sizes = np.ptp(outlines[here & drawable if (here & drawable).any() else here], axis=1)
        outlines[here] /= np.median(sizes, axis=0)
    return planes, outlines


def blocks_of_ground(
    planes: np.ndarray, outlines: np.ndarray, ground: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Assign each window to a block of ground.

    A block has 4 x 4 windows. If that gives fewer than BLOCKS blocks, it has 2 x 2 windows; if
    that is still too few, it has one. A scene with no more windows than a block lies in one block,
    and so do scenes with equal labels that reach no farther than a block. A named place is one
    block.

    Args:
        planes: (n,), from `footprints`.
        outlines: (n, 8, 2), from `footprints`.
        ground: (n,) number of the ground of each window: its scene, or scenes with equal labels.
        place: (n,) number of the named place of each window, or -1.

    Returns:
        (n,) number of the block of each window, from 0.
    """
    low, high = outlines.min(1), outlines.max(1)
    origin = np.broadcast_to(low[0], low.shape).copy()
    for sheet in np.unique(planes[planes > COMMON]):
        origin[planes == sheet] = low[planes == sheet].min(0)  # as few cuts as possible
    for per_block in (4, 2, 1):
        centre = (low + high) / 2
        for number in np.unique(ground):
            here = ground == number
            reach = np.ptp(centre[here], axis=0).max()
            if here.sum() <= per_block**2 or reach < per_block:
                centre[here] = centre[here].mean(0)
        cell = np.floor((centre - origin) / per_block).astype(np.int64)
        keys = np.column_stack([planes, cell])
        keys[place >= 0] = 0
        _, block = np.unique(np.column_stack([keys, place]), axis=0, return_inverse=True)
        if block.max() + 1 >= BLOCKS:
            break
    return block.ravel()


def draw(blocks: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw whole blocks until they hold about `count` windows.

    A block is passed over if `count` would be exceeded by more than a quarter. If less than half of
    `count` is drawn in this way, the smallest of the other blocks is added.

    Returns:
        (n,) bool: which windows are drawn.
    """
    sizes = np.bincount(blocks)
    drawn = np.zeros(len(sizes), bool)
    for chosen in np.random.default_rng(seed).permutation(len(sizes)):
        missing = count - sizes[drawn].sum()
        drawn[chosen] = 0 < missing and sizes[chosen] <= missing + count / 4
    if 2 * sizes[drawn].sum() < count and not drawn.all():
        drawn[np.where(drawn, len(blocks) + 1, sizes).argmin()] = True
    return drawn[blocks]


def sharing_ground(
    spots: Sequence[Spot],
    items: Sequence[Item],
    planes: np.ndarray,
    outlines: np.ndarray,
    validation: np.ndarray,
) -> np.ndarray:
    """Find the other windows (n,) that share ground with a validation window.

    `planes` and `outlines` are those of `footprints`.
    """
    shared = touching(planes, outlines, validation)
    if (planes == BEYOND).any():
        shared |= touching_on_globe(on_globe(spots, items), planes, validation)
    return shared


def touching(planes: np.ndarray, outlines: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """Find the other windows (n,) that share ground with a validation window of their plane.

    `touching_on_globe` compares windows in the plane BEYOND.
    """
    low, high = outlines.min(1), outlines.max(1)
    touched = np.zeros(len(planes), bool)
    for i in np.flatnonzero(validation & (planes != BEYOND)):
        near = ~validation & ~touched & (planes == planes[i])
        for axis in (0, 1):
            near &= (low[:, axis] < high[i, axis]) & (high[:, axis] > low[i, axis])
        near = np.flatnonzero(near)
        touched[near] = overlapping(outlines[i], outlines[near])
    return touched


def on_globe(spots: Sequence[Spot], items: Sequence[Item]) -> np.ndarray:
    """Return unit vectors from the Earth's centre to the points AROUND the windows.

    Returns:
        (n, 8, 3). Windows without CRS, and points outside the range of their CRS, are NaN.
    """
    vectors = np.full((len(items), len(AROUND), 3), np.nan)
    for number, item in enumerate(items):
        grid = spots[item.scene].grid
        if grid.crs is not None:
            places = transformer(grid.crs, "EPSG:4326").transform(*outline(grid, item.window))
            with np.errstate(invalid="ignore"):
                lon, lat = np.radians(places)
                towards = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
            vectors[number] = np.column_stack(towards)
    return vectors


def touching_on_globe(
    vectors: np.ndarray, planes: np.ndarray, validation: np.ndarray
) -> np.ndarray:
    """Find the other windows (n,) that share ground with a validation window on the globe.

    Only pairs with a window in the plane BEYOND are compared, and no window partly in space. Both
    outlines are projected onto the plane that is tangent to the globe in the middle of the
    validation window (orthographic projection).

    Args:
        vectors: (n, 8, 3), from `on_globe`.
        planes: (n,), from `footprints`.
        validation: (n,) bool.
    """
    centre = vectors.mean(1)
    reach = np.linalg.norm(vectors - centre[:, None], axis=2).max(1)
    touched = np.zeros(len(planes), bool)
    for i in np.flatnonzero(validation & (planes <= COMMON) & np.isfinite(reach)):
        near = np.linalg.norm(centre - centre[i], axis=1) < reach + reach[i]
        near &= planes <= (COMMON if planes[i] == BEYOND else BEYOND)
        near = np.flatnonzero(near & ~validation & ~touched)
        # (3, 2): two axes at right angles to the vertical.
        level = np.linalg.svd(centre[i : i + 1])[2][1:].T
        level /= 2 * reach[i]  # in widths of the window
        touched[near] = overlapping(vectors[i] @ level, vectors[near] @ level)
    return touched
