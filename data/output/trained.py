"""The ground of the training in an image that is mapped: held-out ground is scored apart.

A network may remember the ground of its training, so scores there say little about other ground.
The checkpoint has the windows of the training and their place (data/training/held_out.py). A pixel
was trained on if its centre lies in one of these windows:

    on the ground  The image has a CRS. The outlines of the windows are transformed into its pixels.
                   So another date, a copy, and another grid of the same place count, too.
    by content     The image, or an image of the training, has no CRS. An image of equal pixels is
                   taken for the image of the training, under any name. The windows of its sheet
                   (data/training/places.py) count.

Another date without CRS that was not in the training data is not recognised. Ground of validation
windows is held out, although the epoch of the checkpoint was chosen there.

Read beside it: tests/data/output/test_trained.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyproj

from data.files import IGNORE, InputError
from data.grid import Grid, Window
from data.input.stack import open_image
from data.training.held_out import TRAINING
from data.training.scene_files import pixel_digest
from data.training.split import AROUND, transformer

STRAIGHT = 2, 1e-3  # a side of an outline may bend by 2 pixels and this share of its length
LATTICE = 17  # points along each side of an image, by which it is compared with another one


class Split(NamedTuple):
    """The record of a checkpoint as arrays: data/training/held_out.py has their meaning."""

    crs: list[pyproj.CRS]
    pixels: np.ndarray  # (images,) text
    places: np.ndarray  # (images, 4) int32
    transforms: np.ndarray  # (images, 6)
    windows: np.ndarray  # (n, 5), those of the training

    @classmethod
    def of(cls, record: Mapping) -> "Split":
        """Read it from a checked checkpoint. Raise InputError if PROJ does not know a CRS of it."""
        try:
            crs = [pyproj.CRS.from_wkt(text) for text in record["crs"]]
        except pyproj.exceptions.CRSError as error:
            raise InputError(f"the checkpoint has a CRS that cannot be read: {error}") from None
        windows = record["windows"].numpy().astype(np.int64)
        return cls(
            crs,
            np.array(record["pixels"]),
            record["places"].numpy(),
            record["transforms"].numpy(),
            windows[windows[:, 5] == TRAINING, :5],
        )

    def grid(self, image: int) -> Grid:
        """Return the grid of an image."""
        number, _, height, width = self.places[image].tolist()
        crs = self.crs[number] if number >= 0 else None
        return Grid(crs, self.transforms[image], height, width)


class Trained:
    """The pixels of an image that were trained on, for the same rows as each strip of its map.

    Args:
        checkpoint: A loaded checkpoint. One of an older version has no record of the split.
        dates: The image, or its dates.
        grid: Its grid.
        say: Prints a remark.

    Attributes:
        known: Whether the checkpoint has a record.
    """

    def __init__(
        self, checkpoint: Mapping, dates: Sequence[Path], grid: Grid, say: Callable[[str], None]
    ):
        self._grid, self._row, self.known = grid, 0, "split" in checkpoint
        self._outlines, self._rectangles = np.empty((0, len(AROUND), 2)), []
        if not self.known:
            say(
                "the checkpoint does not say which ground it was trained on (an older version "
                "wrote it), so scores may be those of the training"
            )
            return
        split = Split.of(checkpoint["split"])
        places = [(grid, -1)] if grid.crs else []
        for image in copies(split, checkpoint, dates, grid):
            places.append((split.grid(image), split.places[image, 1]))
        for place, sheet in places:
            outlines, images = located(split, place, sheet)
            plain = straight(outlines)
            self._outlines = np.concatenate([self._outlines, within(outlines[plain], grid)])
            for image in np.unique(images[~plain]):
                self._rectangles += odd(split, int(image), place)
        self._outlines = np.unique(self._outlines.round(6), axis=0)

    def held_out(self, target: np.ndarray) -> np.ndarray | None:
        """Return the true labels of the next rows, without those of ground that was trained on.

        Args:
            target: The labels (h, W) uint8 of the next rows.

        Returns:
            (h, W) uint8, IGNORE also where the network was trained; None if that is not known.
        """
        if not self.known:
            return None
        rows = Window(self._row, 0, *target.shape)
        self._row += len(target)
        inside = filled(self._outlines, rows)
        for place, image, windows in self._rectangles:
            inside |= in_rectangles(place, image, windows, rows)
        return np.where(inside, IGNORE, target).astype(np.uint8)


def copies(split: Split, checkpoint: Mapping, dates: Sequence[Path], grid: Grid) -> Iterator[int]:
    """Yield the images of the training with the same pixels, where one of the two has no CRS."""
    size = (split.places[:, 2:] == (grid.height, grid.width)).all(1)
    candidates = np.flatnonzero(size & ((split.places[:, 0] < 0) | (grid.crs is None)))
    if len(candidates):
        named = (checkpoint.get("settings") or {}).get("bands")
        with open_image(dates, checkpoint.get("nodata"), named) as image:
            digest = pixel_digest(image)
        yield from candidates[split.pixels[candidates] == digest].tolist()


def located(split: Split, grid: Grid, sheet: int) -> tuple[np.ndarray, np.ndarray]:
    """Locate the windows of the training in the pixels of a grid.

    Args:
        split: The record.
        grid: The grid. With a CRS, all windows with a CRS are located.
        sheet: The sheet of a grid without CRS. Only windows of this sheet are located.

    Returns:
        Rows and columns (n, 8, 2) of the points AROUND the windows, and their images (n,).
    """
    number, sheets = split.places[:, 0], split.places[:, 1]
    chosen = number >= 0 if grid.crs else (number < 0) & (sheets == sheet)
    windows = split.windows[chosen[split.windows[:, 0]]]
    images = windows[:, 0]
    row, col = np.moveaxis(AROUND * windows[:, None, 3:] + windows[:, None, 1:3], 2, 0)
    a, b, c, d, e, f = split.transforms[images].T[:, :, None]
    x, y = a * col + b * row + c, d * col + e * row + f
    for one in np.unique(number[images]) if grid.crs else ():
        if split.crs[one] != grid.crs:
            of_crs = number[images] == one
            convert = transformer(split.crs[one], grid.crs).transform
            x[of_crs], y[of_crs] = convert(x[of_crs], y[of_crs])
    with np.errstate(invalid="ignore"):  # points without a place are infinite
        return np.stack(grid.rowcol(x, y), axis=2), images


def straight(outlines: np.ndarray) -> np.ndarray:
    """Find the outlines (n, 8, 2) whose sides are straight, with a finite place of every point.

    A window across the cut of the CRS (180 degrees east) or at its limit has others.
    """
    corners, middles = outlines[:, ::2], outlines[:, 1::2]
    following = np.roll(corners, -1, axis=1)
    with np.errstate(invalid="ignore"):
        bend = np.linalg.norm(middles - (corners + following) / 2, axis=2)
        length = np.linalg.norm(following - corners, axis=2)
        return (bend <= STRAIGHT[0] + STRAIGHT[1] * length).all(1)


def within(outlines: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the outlines (n, 8, 2) whose boxes share pixels with a grid."""
    low, high = outlines.min(1), outlines.max(1)
    return outlines[((high > 0) & (low < (grid.height, grid.width))).all(1)]


def filled(outlines: np.ndarray, rows: Window) -> np.ndarray:
    """Find the pixels (h, W) bool of some rows whose centres lie in an outline (n, 8, 2).

    The sides of a convex outline cross a line of pixel centres twice, and the pixels between are
    inside. For all outlines, the beginnings count +1 and the ends -1, and the pixels with a sum
    above 0 are inside one or several.
    """
    top, _, height, width = rows
    steps = np.zeros((height, width + 1), np.int32)
    for outline in outlines[(outlines[..., 0].max(1) > top)]:
        first = max(int(np.ceil(outline[:, 0].min() - 0.5)), top)
        end = min(int(np.ceil(outline[:, 0].max() - 0.5)), top + height)
        if first >= end:
            continue
        line = np.arange(first, end)[:, None] + 0.5  # (rows, 1)
        (row, col), (next_row, next_col) = outline.T, np.roll(outline, -1, axis=0).T
        crossed = (row <= line) != (next_row <= line)  # (rows, 8)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = col + (line - row) * (next_col - col) / (next_row - row)
        left = np.where(crossed, at, np.inf).min(1)
        right = np.where(crossed, at, -np.inf).max(1)
        begin, stop = np.clip(np.ceil([left - 0.5, right - 0.5]), 0, width).astype(int)
        lines = np.arange(first - top, end - top)
        steps[lines, begin] += 1
        steps[lines, stop] -= 1
    return steps[:, :-1].cumsum(1) > 0


def odd(split: Split, image: int, grid: Grid) -> list[tuple[Grid, Grid, np.ndarray]]:
    """Prepare to compare a grid with an image of the training pixel by pixel, by `in_rectangles`.

    Returns:
        [(the grid, that of the image, those of its windows (n, 4) that may share ground)], or [].
    """
    own = split.grid(image)
    windows = split.windows[split.windows[:, 0] == image, 1:]
    at = np.linspace(0, 1, LATTICE)
    row, col = np.meshgrid(at * grid.height, at * grid.width, indexing="ij")
    points = places_in(grid, own, row, col)
    points = points[:, np.isfinite(points).all(0)]
    if not points.size:
        return []
    margin = np.ptp(points, axis=1) / (LATTICE - 1) + 1
    low, high = points.min(1) - margin, points.max(1) + margin
    near = (windows[:, :2] < high) & (windows[:, :2] + windows[:, 2:] > low)
    return [(grid, own, windows[near.all(1)])] if near.all(1).any() else []


def in_rectangles(grid: Grid, image: Grid, windows: np.ndarray, rows: Window) -> np.ndarray:
    """Find the pixels (h, W) bool of some rows of a grid whose centres lie in windows of an image.

    The windows (n, 4) are in pixels of the image.
    """
    row, col = np.mgrid[rows.row : rows.row + rows.height, : rows.width] + 0.5
    row, col = places_in(grid, image, row, col)
    inside = np.zeros(row.shape, bool)
    for top, left, height, width in windows.tolist():
        inside |= (row >= top) & (row < top + height) & (col >= left) & (col < left + width)
    return inside


def places_in(grid: Grid, other: Grid, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Return row and column (2, ...) in another grid of positions; not finite where they have none.

    Both grids have a CRS.
    """
    with np.errstate(invalid="ignore"):
        x, y = transformer(grid.crs, other.crs).transform(*grid.xy(row, col))
        return np.stack(other.rowcol(x, y))
