"""Find scenes that show the same ground, by their labels and pixels.

Tiles cut from one scene, and two dates of it, often have no CRS. Their masks still show where they
lie: the borders between classes have the same shape in both. The masks are compared like this:

    patches   Patches of 8 x 8 labels with many borders get a hash (a number that depends on all
              labels of the patch). Patches that occur twice in a scene are left out, because
              stripes and other patterns repeat.
    votes     Equal hashes in two scenes are a vote for the shift between their positions. Patches
              of the same ground all vote for one shift; equal patches by chance do not.
    check     The labels of the whole overlap are compared at that shift. They must be equal, or
              agree far better than by chance (kappa, Cohen 1960: A coefficient of agreement for
              nominal scales). Labels that were resampled to a grid shifted by a part of a pixel
              agree, but are not equal.

A smooth border, such as a straight field or a coast line, does not identify a place: borders of
that kind are equal in many places. So a patch needs more borders than two straight ones that cross.

Scenes are compared by looking up hashes, never all pairs of scenes. They are read in strips.

Read beside it: tests/data/training/test_shared_ground.py.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data.files import IGNORE
from data.grid import Window
from data.training.scenes import Scene

PATCH = 8  # side of a patch in pixels, a power of 2
# Pixels of a patch that differ from the pixel below, and from the one to the right, counted
# together. Two straight borders that cross have 16.
BORDERS = 20
CELLS = 3  # squares of PATCH x PATCH pixels with a vote, so that one odd shape does not decide
OVERLAP, NEAR_OVERLAP = 256, 1024  # smallest overlap in pixels: of equal labels, and of others
KAPPA = 0.8  # smallest agreement of labels that are not equal
SAMPLE = 2**23  # pixels from which all patches are taken; of more pixels, a fixed share
STRIP = 2**21  # pixels that are read at once
NEIGHBOURS = 8  # scenes with an equal patch with which a scene is compared
SIGHT = 64  # side in pixels of the middle of an image that is compared


class Link(NamedTuple):
    """Two scenes of the same ground."""

    one: int
    other: int
    row: float  # pixel (row, col) of scene `one` is the pixel (0, 0) of scene `other`
    col: float
    equal: bool = True  # whether the labels of the overlap are equal


class Patches(NamedTuple):
    """Patches with many borders, sorted by hash, then by scene. All arrays are (n,)."""

    hashes: np.ndarray  # uint32
    scene: np.ndarray  # int64
    row: np.ndarray  # int64
    col: np.ndarray  # int64


def equal_images(scenes: Sequence[Scene]) -> list[Link]:
    """Link scenes without a CRS to another scene that has the same pixels in its middle.

    An image that was copied under another name, with another mask, is found like this. Of two such
    scenes the one with a CRS comes first.
    """
    links = []
    first: dict[tuple, int] = {}
    if all(scene.grid.crs is not None for scene in scenes):
        return []
    for number in sorted(range(len(scenes)), key=lambda n: scenes[n].grid.crs is None):
        grid = scenes[number].grid
        height, width = min(SIGHT, grid.height), min(SIGHT, grid.width)
        middle = Window((grid.height - height) // 2, (grid.width - width) // 2, height, width)
        pixels = np.ascontiguousarray(scenes[number].read(middle))
        if len(np.unique(pixels[0])) <= 2 * PATCH:
            continue  # an empty image
        content = hashlib.sha256(pixels.tobytes()).digest()
        same = first.setdefault((grid.height, grid.width, pixels.dtype.str, content), number)
        if same != number and grid.crs is None:
            links.append(Link(same, number, 0, 0))
    return links


def equal_labels(scenes: Sequence[Scene]) -> list[Link]:
    """Link scenes whose labels agree over an overlap. One of two linked scenes has no CRS.

    Returns:
        Enough links to join all scenes that are found to show the same ground, not all pairs of
        them. Scenes joined by links of equal labels are not compared again.
    """
    placed = np.array([scene.grid.crs is not None for scene in scenes])
    if placed.all():
        return []
    patches = find_patches(scenes)
    links = []
    same, equal_ground = np.arange(len(scenes)), np.arange(len(scenes))  # numbers of the ground
    for step in range(1, NEIGHBOURS + 1):
        for one, other, row, col in shifts(patches, step, equal_ground, placed):
            if equal_ground[one] == equal_ground[other]:
                continue
            pixels, share, kappa = agreement(scenes[one], scenes[other], row, col)
            equal = share == 1
            if kappa < KAPPA or pixels < (OVERLAP if equal else NEAR_OVERLAP):
                continue
            if equal:
                equal_ground[equal_ground == equal_ground[other]] = equal_ground[one]
            if equal or same[one] != same[other]:
                links.append(Link(one, other, row, col, equal))
                same[same == same[other]] = same[one]
    return links


def find_patches(scenes: Sequence[Scene]) -> Patches:
    """Find the patches with many borders that occur once in their scene.

    Of many pixels only patches with a small hash are kept. They are a random share of the patches,
    but the same ones in all scenes.
    """
    total = sum(scene.grid.height * scene.grid.width for scene in scenes)
    limit = int(min(1, SAMPLE / total) * (2**32 - 1))
    found = [(np.empty(0, np.uint32), *np.empty((3, 0), np.int64))]
    for number, scene in enumerate(scenes):
        for start, height, labels in strips(scene):
            hashes, row, col = rich_patches(labels, limit)
            own = row < height
            numbers = np.full(own.sum(), number)
            found.append((hashes[own], numbers, start + row[own], col[own]))
    patches = Patches(*map(np.concatenate, zip(*found)))
    key = patches.hashes.astype(np.uint64) << np.uint64(32) | patches.scene.astype(np.uint64)
    order = np.argsort(key)
    key = key[order]
    once = np.ones(len(key), bool)
    once[1:] &= key[1:] != key[:-1]
    once[:-1] &= key[1:] != key[:-1]
    order = order[once]
    return Patches(*(values[order] for values in patches))


def strips(scene: Scene) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield strips of a scene: first row, number of rows, and the labels of these and PATCH more.

    The patches that begin in the rows of a strip lie in its labels, with the row below them.
    """
    rows = max(PATCH, STRIP // scene.grid.width)
    for row in range(0, scene.grid.height, rows):
        height = min(rows + PATCH, scene.grid.height - row)
        yield row, rows, scene.read_labels(Window(row, 0, height, scene.grid.width))


def rich_patches(labels: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hash, row and column of the patches with BORDERS borders, no IGNORE, a hash <= limit.

    Args:
        labels: (h, w) uint8.
        limit: Largest hash.
    """
    borders = np.zeros(labels.shape, np.uint8)
    borders[:-1] = labels[:-1] != labels[1:]
    borders[:, :-1] += labels[:, :-1] != labels[:, 1:]
    chosen = over_patches(borders) >= BORDERS
    if not chosen.any():
        return np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64)
    chosen &= over_patches((labels == IGNORE).astype(np.uint8)) == 0
    hashes = over_patches(labels + np.uint32(1), (0x9E3779B1, 0x85EBCA77))
    # Mix the bits (MurmurHash3), so that small hashes are no special patches.
    hashes ^= hashes >> np.uint32(16)
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(0xC2B2AE35)
    hashes ^= hashes >> np.uint32(16)
    rows, cols = np.nonzero(chosen & (hashes <= limit))
    return hashes[rows, cols], rows, cols


def over_patches(values: np.ndarray, factors: tuple[int, int] = (1, 1)) -> np.ndarray:
    """Sum f**i * g**j * values[row + PATCH-1 - i, col + PATCH-1 - j] over each patch.

    With factors (f, g) of 1 it is a plain sum. With large odd factors it is a polynomial hash. Sums
    over 2, 4 and 8 rows, then columns, are made from two sums of half the length.

    Returns:
        (h - PATCH + 1, w - PATCH + 1) in the dtype of `values`, modulo its range.
    """
    for factor in factors:
        length = 1
        while length < PATCH:
            power = np.array(pow(factor, length, 2**32)).astype(values.dtype)
            first, second = values[:-length], values[length:]
            values = first + second if factor == 1 else first * power + second
            length *= 2
        values = values.T
    return values


def shifts(
    patches: Patches, step: int, group: np.ndarray, placed: np.ndarray
) -> Iterator[tuple[int, int, int, int]]:
    """Yield pairs of scenes with a shift that patches in CELLS squares voted for.

    Args:
        patches: The patches of all scenes.
        step: Of the scenes with an equal patch, compare each with the one `step` places later.
        group: (scenes,) number of the ground of each scene; equal numbers are not compared.
        placed: (scenes,) bool: which scenes have a CRS. Two of them are not compared.

    Yields:
        one, other, row and col like those of `Link`; those with most votes first.
    """
    first = np.flatnonzero(patches.hashes[step:] == patches.hashes[:-step])
    one, other = patches.scene[first], patches.scene[first + step]
    open_pairs = (group[one] != group[other]) & ~(placed[one] & placed[other])
    first, one, other = first[open_pairs], one[open_pairs], other[open_pairs]
    row = patches.row[first] - patches.row[first + step]
    col = patches.col[first] - patches.col[first + step]
    square = np.column_stack([patches.row[first], patches.col[first]]) // PATCH
    votes = np.column_stack([one, other, row, col])
    # Most votes are alone. They are dropped before squares are counted, because that is slow.
    _, index, count = np.unique(packed(votes), return_inverse=True, return_counts=True)
    many = count[index] >= CELLS
    votes, square = votes[many], square[many]
    _, kept = np.unique(packed(np.column_stack([index[many], square])), return_index=True)
    votes = votes[kept]
    _, which, count = np.unique(packed(votes), return_index=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    for one, other, row, col in votes[which[order[count[order] >= CELLS]]].tolist():
        yield one, other, row, col


def packed(rows: np.ndarray) -> np.ndarray:
    """Return one integer (n,) for each row (n, columns) of integers, equal for equal rows."""
    packed = np.zeros(len(rows), np.int64)
    for column in rows.T:
        if len(column):
            packed = packed * (int(np.ptp(column)) + 1) + column - column.min()
    return packed


def agreement(one: Scene, other: Scene, row: int, col: int) -> tuple[int, float, float]:
    """Compare the labels of two scenes over their overlap.

    Args:
        one: A scene.
        other: Another scene, whose pixel (0, 0) is the pixel (row, col) of `one`.
        row: See `other`.
        col: See `other`.

    Returns:
        The number of pixels that have a label in both, the share of them with equal labels, and
        kappa: 1 for equal labels of several classes, 0 for chance.
    """
    top, bottom = max(row, 0), min(one.grid.height, row + other.grid.height)
    left, right = max(col, 0), min(one.grid.width, col + other.grid.width)
    counts = np.zeros((256, 256), np.int64)
    step = max(1, STRIP // max(1, right - left))
    for start in range(top, bottom, step):
        size = min(step, bottom - start), right - left
        a = one.read_labels(Window(start, left, *size))
        b = other.read_labels(Window(start - row, left - col, *size))
        pairs = a.astype(np.uint16) << 8 | b
        counts += np.bincount(pairs.ravel(), minlength=2**16).reshape(256, 256)
    counts[IGNORE], counts[:, IGNORE] = 0, 0
    total = counts.sum()
    if not total:
        return 0, 0.0, 0.0
    share = counts.trace() / total
    chance = (counts.sum(0) / total) @ (counts.sum(1) / total)
    return int(total), float(share), float((share - chance) / (1 - chance)) if chance < 1 else 0.0
