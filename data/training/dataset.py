"""Windows of scenes as samples, and the order in which a training sees them.

A sample is a window as the network takes it: bands and indices are scaled, no-data is 0, and
training samples are augmented. The order of an epoch and the augmentation of each sample depend
only on the seed and the epoch. So the batches are the same with any number of worker processes, and
after a resume.

Rare classes may be oversampled (Gupta and others 2019, LVIS: A dataset for large vocabulary
instance segmentation). With f_c the share of windows that show class c,

    r_c = max(1, sqrt(threshold / f_c))

and a window is drawn in proportion to the largest r_c of the classes that it shows.
data/training/share_rules.py has another rule: by the share of named classes in the window.

Read beside it: tests/data/training/test_dataset.py.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset, Sampler

from data.files import IGNORE
from data.grid import Window
from data.scaling import Scaling, network_input, sample_pixels, spread_windows
from data.training.augment import Augment, oriented
from data.training.scenes import Scene
from data.training.windows import Item

SHOWN = 0.01  # a window shows a class that has at least this share of its labelled pixels


def repeat_factors(counts: np.ndarray, threshold: float) -> np.ndarray:
    """Compute how often each window is drawn, relative to windows without rare classes.

    Args:
        counts: (n, K) labelled pixels of each class, from `windows.class_counts`.
        threshold: Share of the windows below which a class is rare. 0 makes all factors 1.

    Returns:
        (n,) float64, 1 or more.
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
    """Fit the scaling to the training windows. The method "image" fits one to each scene.

    Args:
        scenes: The scenes, each with a no-data value of its own.
        items: The training windows.
        names: Bands of the scenes.
        indices: Spectral indices behind the bands.
        method: One of `scaling.METHODS`.

    Returns:
        The scaling for the checkpoint, and the scaling of each scene.
    """

    def pixels(scene: Scene) -> np.ndarray:
        spread = spread_windows(scene.grid.height, scene.grid.width)
        places = [(scene.read, window, scene.nodata) for window in spread]
        return sample_pixels(places, names, indices)

    if method == "image":
        scaling = Scaling("image")
    else:
        chosen = [(scenes[item.scene], item.window) for item in items]
        places = [(scene.read, window, scene.nodata) for scene, window in chosen]
        scaling = Scaling.fit(sample_pixels(places, names, indices), method)
    return scaling, [scaling.for_image(partial(pixels, scene)) for scene in scenes]


class Windows(Dataset):
    """Windows of scenes as samples (image, target, number).

    The image is (C, S, S) float32: bands and indices, scaled. The target is (S, S) uint8: labels.
    Outside a scene that is smaller than S the image is 0 and the target is IGNORE.

    An index may be a pair (number, seed). Only that seed decides the augmentation. So a sample is
    the same in any process, and after any other samples.

    Args:
        scenes: The scenes.
        items: Their windows.
        names: Bands of the scenes.
        indices: Spectral indices behind the bands.
        scalings: The scaling of each scene.
        size: S, the side of a sample in pixels.
        augment: The augmentation, or None.
        each_pixel_once: Whether the target is IGNORE outside the part that a window owns. In
            validation a pixel in two windows then counts once.
        places: The number of the place of each scene; by default each scene is a place.
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
        places: Sequence[int] | None = None,
    ):
        self.scenes, self.items, self.scalings = scenes, items, scalings
        self.names, self.indices, self.size = names, indices, size
        self.augment, self.each_pixel_once = augment, each_pixel_once
        self.places = range(len(scenes)) if places is None else places

    @property
    def channels(self) -> int:
        """Number of bands and indices together."""
        return len(self.names) + len(self.indices)

    def scene_of(self, number: int) -> Scene:
        """Return the scene that a window lies in."""
        return self.scenes[self.items[number].scene]

    def place(self, number: int) -> tuple[Path, Window]:
        """Return the image file of a window, and the window in it."""
        return self.scene_of(number).image_path, self.items[number].window

    @property
    def places_of_windows(self) -> list[int]:
        """The number of the place that each window lies in."""
        return [self.places[item.scene] for item in self.items]

    def only(self, numbers: Sequence[int]) -> "Windows":
        """Return some of the windows, without augmentation."""
        some = copy(self)
        some.items, some.augment = [self.items[number] for number in numbers], None
        return some

    def image(self, number: int, flipped: bool = False, turns: int = 0) -> torch.Tensor:
        """Return bands and indices (C, S, S) float32 of a window, scaled, flipped and turned."""
        scene_number, window, _ = self.items[number]
        scene, scaling = self.scenes[scene_number], self.scalings[scene_number]
        pixels = scene.read(window)
        whole = pixels.shape[1:] == (self.size, self.size)
        # The stored pixels have less than half the bytes of the scaled ones.
        pixels = oriented(pixels, flipped, turns) if whole else pixels
        values, _ = network_input(pixels, self.names, self.indices, scaling, scene.nodata)
        image = torch.from_numpy(values)
        if whole:
            return image
        image = F.pad(image, (0, self.size - window.width, 0, self.size - window.height))
        return torch.from_numpy(oriented(image.numpy(), flipped, turns).copy())

    def target(self, number: int, flipped: bool = False, turns: int = 0) -> torch.Tensor:
        """Return the labels (S, S) uint8 of a window, flipped and turned."""
        _, window, own = self.items[number]
        part = own if self.each_pixel_once and own else window
        top, left = part.row - window.row, part.col - window.col
        target = np.full((self.size, self.size), IGNORE, np.uint8)
        labels = self.scene_of(number).read_labels(part)
        target[top : top + part.height, left : left + part.width] = labels
        return torch.from_numpy(oriented(target, flipped, turns).copy())

    def spread(self, count: int) -> "Windows":
        """Return up to `count` evenly spread windows, without augmentation."""
        return self.only(range(0, len(self), -(-len(self) // count)))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int | tuple[int, int]]) -> list:
        """Make the samples of a batch. DataLoader calls this where a dataset has it.

        numpy computes on one thread, and the network waits. So each thread of torch takes a
        window. A worker process has one thread.
        """
        pairs = [index if isinstance(index, tuple) else (index, 0) for index in indices]
        generators = [torch.Generator().manual_seed(seed) for _, seed in pairs]
        augment = self.augment or Augment(flip=0, turn=0)
        turned = [(number, *augment.orientation(g)) for (number, _), g in zip(pairs, generators)]
        count = torch.get_num_threads()
        with ThreadPoolExecutor(count) if count > 1 else nullcontext() as threads:
            images = (threads.map if threads else map)(lambda which: self.image(*which), turned)
            return [
                (*augment.after_turn(image, self.target(*which), generator), which[0])
                for which, image, generator in zip(turned, images, generators)
            ]

    def collate(self, samples: list) -> list[torch.Tensor]:
        """Make a batch of samples. It may be empty.

        Returns:
            Images (N, C, S, S) in channels_last, targets (N, S, S), numbers (N,).
        """
        shape = len(samples), self.size, self.size
        images = torch.empty((*shape, self.channels)).permute(0, 3, 1, 2)
        targets = torch.empty(shape, dtype=torch.uint8)
        for place, labels, (image, target, _) in zip(images, targets, samples):
            place.copy_(image)
            labels.copy_(target)
        numbers = torch.tensor([number for _, _, number in samples], dtype=torch.int64)
        return [images, targets, numbers]


class EpochSampler(Sampler):
    """Pairs (number, seed) for `Windows`, in the order of an epoch.

    Set `epoch` before each epoch. Order and seeds depend only on `seed` and `epoch`.

    Args:
        count: Number of windows, and of samples in an epoch.
        seed: The seed of the run.
        factors: (count,) from `share_rules.draw_factors`. Windows are drawn with replacement in
            proportion to them. With None each window is drawn once.
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
    """Batches of samples. Each of several processes gets its share of every batch.

    All processes have the same number of batches. No sample is in two shares. A share may be empty.
    Set `begin` to start an epoch at a later batch.

    Args:
        order: The samples. Their order is read again at the start of each epoch.
        size: Samples in a batch, over all processes. The last batch may be smaller.
        rank: Number of this process.
        world: Number of processes.
    """

    def __init__(self, order: EpochSampler | Sequence, size: int, rank: int = 0, world: int = 1):
        self.order, self.size, self.rank, self.world, self.begin = order, size, rank, world, 0

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def windows(self, number: int) -> int:
        """Return the number of samples in a batch, over all processes. Batches count from 1."""
        return min(self.size, len(self.order) - (number - 1) * self.size)

    def __iter__(self) -> Iterator[list]:
        order = list(self.order)
        for start in range(self.begin * self.size, len(order), self.size):
            yield order[start : start + self.size][self.rank :: self.world]
