"""Windows of scenes as training samples: which windows, on which side of the split, how often.

Neighbouring pixels look alike, and so do two dates of one place. A validation window that overlaps
a training window, or the same ground at another date, measures memory instead of skill. So the
ground is cut into square blocks, whole blocks are drawn for validation, and a training window that
touches a validation window all the same (at a block's border, or through a shifted grid) is left
out.

Oversampling is that of Gupta and others 2019 (LVIS): with f_c the share of windows that show class
c,

    r_c = max(1, sqrt(threshold / f_c)),   a window is drawn in proportion to max_c r_c over its classes

Read beside it: tests/data/training/test_dataset.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pyproj
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset, Sampler

from data import tiling
from data.files import IGNORE, InputError
from data.grid import Window
from data.scaling import Scaling, network_input, sample_pixels, spread_windows, valid_pixels
from data.training.augment import Augment
from data.training.scenes import Scene


ROUNDING = 1e-3  # of a window's width: neighbours that share an edge do not overlap
# Row and column, as shares of a window, once around it: corners and middles of the sides, because
# between them a side that is straight on one map bends by less than a pixel on another.
AROUND = np.array([(0, 0), (0, 0.5), (0, 1), (0.5, 1), (1, 1), (1, 0.5), (1, 0), (0.5, 0)])
BEYOND, COMMON = -1, 0  # planes of windows with a CRS
SHOWN = 0.01  # a window shows a class that has this share of its labelled pixels


class Item(NamedTuple):
    """A window of a scene: the scene's number, the window, and the part of it that it owns."""

    scene: int
    window: Window
    own: Window


def all_windows(scenes: Sequence[Scene], size: int) -> list[Item]:
    """Windows of size x size pixels that cover every scene; smaller only where the scene is."""
    return [
        Item(number, window, own)
        for number, scene in enumerate(scenes)
        for window, own in zip(
            tiling.windows(scene.grid.height, scene.grid.width, size),
            tiling.owned(scene.grid.height, scene.grid.width, size),
        )
    ]


def class_counts(scenes: Sequence[Scene], items: Sequence[Item], num_classes: int) -> np.ndarray:
    """(windows, K) int64: labelled pixels of each class in the part that each window owns."""
    counts = np.empty((len(items), num_classes), np.int64)
    for row, item in enumerate(items):
        labels = scenes[item.scene].read_labels(item.own)
        counts[row] = np.bincount(labels.ravel(), minlength=256)[:num_classes]
    return counts


def useful(counts: np.ndarray, skip_only: Sequence[int] = ()) -> tuple[np.ndarray, int, int]:
    """(which windows to keep (n,) bool, how many have no label, how many have only classes of
    `skip_only`).
    """
    labelled = counts.sum(1) > 0
    others = np.delete(counts, list(skip_only), axis=1).sum(1) > 0
    return labelled & others, int((~labelled).sum()), int((labelled & ~others).sum())


def footprints(scenes: Sequence[Scene], items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
    """Where the windows lie: (plane (n,) int, outline (n, 8, 2): x and y of AROUND, in widths of a
    window).

    All scenes with a CRS share the plane COMMON, in the CRS of the first of them, and the plane
    BEYOND, in degrees, where that CRS does not reach; scenes without one lie in a plane for each
    mask: what shares a mask is one place.
    """
    common = next((scene.grid.crs for scene in scenes if scene.grid.crs), None)
    masks = list(dict.fromkeys(scene.mask_path for scene in scenes))
    transformer = cache(partial(pyproj.Transformer.from_crs, always_xy=True))
    planes, outlines = np.empty(len(items), np.int64), np.empty((len(items), len(AROUND), 2))
    for row, (number, window, _) in enumerate(items):
        grid = scenes[number].grid
        rows, cols = (AROUND * (window.height, window.width) + (window.row, window.col)).T
        if grid.crs is None:
            planes[row] = 1 + masks.index(scenes[number].mask_path)
            x, y = cols, -rows
        else:
            planes[row] = COMMON
            x, y = grid.xy(rows, cols)
            if grid.crs != common:
                x, y = transformer(grid.crs, common).transform(x, y)
            if not np.isfinite([x, y]).all():
                planes[row] = BEYOND
                x, y = transformer(grid.crs, "EPSG:4326").transform(*grid.xy(rows, cols))
        outlines[row] = np.column_stack([x, y])
    for plane in np.unique(planes):
        outlines[planes == plane] /= np.median(np.ptp(outlines[planes == plane], axis=1), axis=0)
    return planes, outlines


def overlapping(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) bool: which outlines (n, 8, 2) share ground with the outline (8, 2).

    Convex shapes are apart where their shadows are, on a line across a side of either (separating
    axes). Upright boxes would not do: in another zone's CRS windows stand askew, and their boxes
    overlap.
    """

    def apart(outlines: np.ndarray) -> np.ndarray:
        corners = outlines[:, ::2]
        sides = np.roll(corners, -1, axis=1) - corners
        across = (
            sides[..., ::-1] * (1, -1) / np.linalg.norm(sides, axis=2, keepdims=True)
        )  # (n, 4, 2)
        a, b = (shape @ across.transpose(0, 2, 1) for shape in (one, others))  # (n, 8, 4)
        return ((a.min(1) > b.max(1) - ROUNDING) | (a.max(1) < b.min(1) + ROUNDING)).any(1)

    return ~(apart(one[None]) | apart(others))


def on_globe(scenes: Sequence[Scene], items: Sequence[Item]) -> np.ndarray:
    """(n, 8, 3): unit vectors from the Earth's centre to the points AROUND each window; NaN without CRS."""
    transformer = cache(partial(pyproj.Transformer.from_crs, always_xy=True))
    vectors = np.full((len(items), len(AROUND), 3), np.nan)
    for row, (number, window, _) in enumerate(items):
        grid = scenes[number].grid
        if grid.crs is not None:
            rows, cols = (AROUND * (window.height, window.width) + (window.row, window.col)).T
            found = transformer(grid.crs, "EPSG:4326").transform(*grid.xy(rows, cols))
            with np.errstate(invalid="ignore"):
                (east, north), (x, y) = np.sin(np.radians(found)), np.cos(np.radians(found))
            vectors[row] = np.column_stack([y * x, y * east, north])
    return vectors


def overlapping_on_globe(
    vectors: np.ndarray, planes: np.ndarray, training: np.ndarray, validation: np.ndarray
) -> np.ndarray:
    """(n,) bool: training windows that share ground with a validation window, of all pairs of which
    one lies BEYOND the common CRS.

    Both are seen from above the middle of the validation window.
    """
    centre = vectors.mean(1)
    reach = np.linalg.norm(vectors - centre[:, None], axis=2).max(1)
    found = np.zeros(len(vectors), bool)
    for i in np.flatnonzero(validation & (planes <= COMMON)):
        pairs = training & (planes <= (COMMON if planes[i] == BEYOND else BEYOND))
        near = np.linalg.norm(centre - centre[i], axis=1) < reach + reach[i]
        near = np.flatnonzero(pairs & near)
        level = np.linalg.svd(centre[i : i + 1])[2][1:]  # (2, 3): two axes across the vertical
        seen = vectors[near] @ level.T / (2 * reach[i])
        found[near] |= overlapping(vectors[i] @ level.T / (2 * reach[i]), seen)
    return found


def split(
    scenes: Sequence[Scene], items: Sequence[Item], fraction: float, seed: int
) -> tuple[list[int], list[int], int]:
    """(training, validation, left out): numbers of the windows on each side, and how many would
    have straddled it.

    Blocks of 4 x 4 windows (2 x 2 or single ones where that makes fewer than 20 blocks) are drawn
    by `seed` until they hold `fraction` of the windows; a scene of no more windows than a block
    stays whole. Raises InputError where a side stays empty.
    """
    planes, outlines = footprints(scenes, items)
    low, high = outlines.min(1), outlines.max(1)
    scene = np.array([item.scene for item in items])
    for per_block in (4, 2, 1):
        centre = (low + high) / 2
        for number in np.unique(scene):
            if (scene == number).sum() <= per_block**2:
                centre[scene == number] = centre[scene == number].mean(0)
        block = np.floor((centre - low[0]) / per_block).astype(np.int64)
        _, block = np.unique(np.column_stack([planes, block]), axis=0, return_inverse=True)
        if block.max() >= 19:
            break
    wanted = max(1, round(fraction * len(items)))
    validation = np.zeros(len(items), bool)
    for chosen in np.random.default_rng(seed).permutation(block.max() + 1):
        if validation.sum() >= wanted:
            break
        validation |= block.ravel() == chosen
    training = ~validation
    for i in np.flatnonzero(validation & (planes != BEYOND)):
        near = training & (planes == planes[i])
        for axis in (0, 1):
            near &= (low[:, axis] < high[i, axis]) & (high[:, axis] > low[i, axis])
        near = np.flatnonzero(near)
        training[near[overlapping(outlines[i], outlines[near])]] = False
    if (planes == BEYOND).any():
        training &= ~overlapping_on_globe(on_globe(scenes, items), planes, training, validation)
    if not training.any():
        raise InputError(
            f"{len(items)} windows on {block.max() + 1} blocks of ground leave none for training beside those for "
            "validation; give more images, a lower --validation, or smaller windows by --size"
        )
    left_out = int((~training & ~validation).sum())
    return np.flatnonzero(training).tolist(), np.flatnonzero(validation).tolist(), left_out


def repeat_factors(counts: np.ndarray, threshold: float) -> np.ndarray:
    """(n,) how often each window is drawn relative to one without rare classes; all 1 for threshold
    0.
    """
    shown = counts >= SHOWN * np.maximum(counts.sum(1, keepdims=True), 1)
    shown &= counts > 0
    frequency = np.maximum(shown.mean(0), 1e-9)
    per_class = np.maximum(1, np.sqrt(threshold / frequency))
    return np.where(shown, per_class, 1).max(1)


def fit_scalings(
    scenes: Sequence[Scene],
    items: Sequence[Item],
    names: Sequence[str],
    indices: Sequence[str],
    method: str,
) -> tuple[Scaling, list[Scaling]]:
    """(the scaling that a checkpoint keeps, that of each scene): fitted to the windows, or to each
    image.
    """

    def read(scene: Scene, window: Window) -> np.ndarray:
        image = scene.read(window)
        return np.where(
            valid_pixels(image, scene.nodata), image, np.nan
        )  # each scene may declare another value

    def pixels(scene: Scene) -> np.ndarray:
        places = spread_windows(scene.grid.height, scene.grid.width)
        return sample_pixels(
            [(partial(read, scene), place) for place in places], names, indices, None
        )

    if method == "image":
        scaling = Scaling("image")
    else:
        places = [(partial(read, scenes[item.scene]), item.window) for item in items]
        scaling = Scaling.fit(sample_pixels(places, names, indices, None), method)
    return scaling, [scaling.for_image(partial(pixels, scene)) for scene in scenes]


class Windows(Dataset):
    """Windows of scenes as (image (C, S, S) float32, target (S, S) uint8, number): scaled, padded
    to S, augmented.

    An index may be a pair (number, seed): the augmentation draws from that seed alone, so that a
    sample is the same in whatever process, and after whatever other samples, it is made.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        items: Sequence[Item],
        names: Sequence[str],
        indices: Sequence[str],
        scalings: Sequence[Scaling],
        size: int,
        augment: Augment | None = None,
        each_pixel_once: bool = False,
    ):
        self.scenes, self.items, self.scalings = scenes, items, scalings
        self.names, self.indices, self.size, self.augment = names, indices, size, augment
        self.each_pixel_once = each_pixel_once

    @property
    def channels(self) -> int:
        """Bands and indices together."""
        return len(self.names) + len(self.indices)

    def scene_of(self, number: int) -> Scene:
        """The scene that a window lies in."""
        return self.scenes[self.items[number][0]]

    def only(self, numbers: Sequence[int]) -> "Windows":
        """Some of the windows, as they are without augmentation."""
        items = [self.items[number] for number in numbers]
        options = {"each_pixel_once": self.each_pixel_once}
        return Windows(
            self.scenes, items, self.names, self.indices, self.scalings, self.size, **options
        )

    def target(self, number: int) -> torch.Tensor:
        """Labels (S, S) uint8 of a window, IGNORE beyond the scene.

        With `each_pixel_once` IGNORE also outside the part that the window owns.
        """
        _, window, own = self.items[number]
        labels = self.scene_of(number).read_labels(window)
        top, left = (own.row - window.row, own.col - window.col) if self.each_pixel_once else (0, 0)
        part = own if self.each_pixel_once else window
        inside = slice(top, top + part.height), slice(left, left + part.width)
        target = torch.full((self.size, self.size), IGNORE, dtype=torch.uint8)
        target[inside] = torch.from_numpy(labels[inside].copy())
        return target

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, int]:
        number, seed = index if isinstance(index, tuple) else (index, 0)
        scene_number, window, _ = self.items[number]
        scene, scaling = self.scenes[scene_number], self.scalings[scene_number]
        values, _ = network_input(
            scene.read(window), self.names, self.indices, scaling, scene.nodata
        )
        image, target = torch.from_numpy(values), self.target(number)
        if image.shape[1:] != target.shape:
            image = F.pad(image, (0, self.size - window.width, 0, self.size - window.height))
        if self.augment is not None:
            image, target = self.augment(image, target, torch.Generator().manual_seed(seed))
        return image, target, number

    def collate(self, samples: list) -> list[torch.Tensor]:
        """Samples to a batch, also none: images (N, C, S, S) in channels_last, targets (N, S, S),
        numbers (N,).
        """
        images = torch.empty((len(samples), self.size, self.size, self.channels)).permute(
            0, 3, 1, 2
        )
        targets = torch.empty((len(samples), self.size, self.size), dtype=torch.uint8)
        for place, labels, (image, target, _) in zip(images, targets, samples):
            place.copy_(image)
            labels.copy_(target)
        return [
            images,
            targets,
            torch.tensor([number for _, _, number in samples], dtype=torch.int64),
        ]


class EpochSampler(Sampler):
    """Pairs (number, seed) for `Windows`: each epoch a new order and new seeds, made from `seed`
    and `epoch` alone.

    With `factors` (from `repeat_factors`) the windows are drawn with replacement in proportion to
    them, as many as there are; without, each comes once.
    """

    def __init__(self, count: int, seed: int, factors: np.ndarray | None = None):
        self.count, self.seed, self.epoch = count, seed, 0
        self.factors = None if factors is None else torch.as_tensor(factors, dtype=torch.float64)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.factors is None:
            order = torch.randperm(self.count, generator=generator)
        else:
            order = torch.multinomial(
                self.factors, self.count, replacement=True, generator=generator
            )
        seeds = torch.randint(0, 2**62, (self.count,), generator=generator)
        return iter(list(zip(order.tolist(), seeds.tolist())))


class Batches(Sampler):
    """An order of samples in batches of `size`, the last perhaps smaller; from batch number `begin`
    on.

    Where `world` processes train together, process `rank` gets its share of each batch: every one
    has as many batches as the others, none gets a sample twice, and a share may be empty.
    """

    def __init__(self, order: Iterable, size: int, rank: int = 0, world: int = 1):
        self.order, self.size, self.rank, self.world, self.begin = order, size, rank, world, 0

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def windows(self, number: int) -> int:
        """How many there are in a batch, counted from 1, over all processes."""
        return min(self.size, len(self.order) - (number - 1) * self.size)

    def __iter__(self) -> Iterator[list]:
        order = list(self.order)
        for start in range(self.begin * self.size, len(order), self.size):
            yield order[start : start + self.size][self.rank :: self.world]
