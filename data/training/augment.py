"""Augmentation: random changes of a window under which its labels stay right.

    flip, turn   A flip or quarter turns: an image from above has no up and no left.
    crop         A part of the window, put back into the full size at another place.
    jitter       A random gain and offset for each channel, as by haze, sun and sensor.
    scales       Things larger or smaller than they are. Only here are pixels resampled: the image
                 is interpolated, and a label is that of the nearest pixel.

Read beside it: tests/data/training/test_augment.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from data.files import IGNORE

# What train.py's --augment turns on: the arguments of `Augment`.
STEPS = {
    "flip": {"flip": 0.5},
    "turn": {"turn": 0.75},
    "crop": {"crop": 0.5},
    "jitter": {"jitter": 0.5},
    "scale": {"scales": (0.75, 1.0, 1.25)},
}


@dataclass(frozen=True)
class Augment:
    """The steps of an augmentation: their probabilities (0 turns a step off) and strengths.

    Args:
        flip: Probability of a flip.
        turn: Probability of one to three quarter turns.
        crop: Probability of a random-sized crop.
        crop_min: Shortest side of the crop, as a share of the window's (298 of 300: 0.9934).
        jitter: Probability of colour jitter.
        strength: The gain of a channel is in 1 +- strength and its offset in 0 +- strength / 2, in
            scaled units.
        scales: Sizes that things may take, one of them drawn for each window; 2: twice as large.
    """

    flip: float = 0.5
    turn: float = 0.75
    crop: float = 0.0
    crop_min: float = 0.75
    jitter: float = 0.0
    strength: float = 0.1
    scales: tuple[float, ...] = (1.0,)

    @classmethod
    def of(cls, steps: Sequence[str]) -> "Augment":
        """Return the augmentation that makes some of STEPS, and no others."""
        chosen = {"flip": 0.0, "turn": 0.0}
        for step in steps:
            chosen |= STEPS[step]
        return cls(**chosen)

    def __call__(
        self, image: torch.Tensor, target: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Change a square window.

        Args:
            image: (C, S, S) float.
            target: (S, S) labels.
            generator: What all random numbers are drawn from.

        Returns:
            Image and target of the same shapes, both moved alike.
        """

        def chance(probability: float) -> bool:
            return torch.rand((), generator=generator).item() < probability

        if chance(self.flip):
            image, target = image.flip(-1), target.flip(-1)
        if chance(self.turn):
            turns = int(torch.randint(1, 4, (), generator=generator))
            image, target = image.rot90(turns, (-2, -1)), target.rot90(turns, (-2, -1))
        if len(self.scales) > 1 or self.scales[0] != 1:
            scale = self.scales[int(torch.randint(len(self.scales), (), generator=generator))]
            image, target = zoom(image, target, scale, generator)
        if chance(self.crop):
            image, target = random_crop(image, target, self.crop_min, generator)
        if chance(self.jitter):
            image = color_jitter(image, self.strength, generator)
        return image, target


def random_crop(
    image: torch.Tensor, target: torch.Tensor, smallest: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a square of random size and place, and put it back at another random place.

    Around it the image is 0 and the target IGNORE, like no-data.

    Args:
        image: (C, S, S).
        target: (S, S).
        smallest: Shortest side of the square, as a share of S.
        generator: What size and places are drawn from.
    """
    size = image.shape[-1]
    side = int(torch.randint(max(1, round(size * smallest)), size + 1, (), generator=generator))
    top, left, row, col = torch.randint(0, size - side + 1, (4,), generator=generator).tolist()
    padded, labels = torch.zeros_like(image), torch.full_like(target, IGNORE)
    padded[:, row : row + side, col : col + side] = image[:, top : top + side, left : left + side]
    labels[row : row + side, col : col + side] = target[top : top + side, left : left + side]
    return padded, labels


def zoom(
    image: torch.Tensor, target: torch.Tensor, scale: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Show things `scale` times as large in a window of the same size.

    Above 1 a random part of the window fills all of it. Below 1 the whole window shrinks and lies
    at a random place among no-data: the ground around it may be held out for validation. The image
    is interpolated bilinearly, and averaged where it shrinks. A label is that of the nearest pixel.

    Args:
        image: (C, S, S).
        target: (S, S).
        scale: Above 0; 2: twice as large.
        generator: What the places are drawn from.
    """
    size = image.shape[-1]
    part, side = min(size, max(1, round(size / scale))), min(size, max(1, round(size * scale)))
    top, left = torch.randint(0, size - part + 1, (2,), generator=generator).tolist()
    row, col = torch.randint(0, size - side + 1, (2,), generator=generator).tolist()
    image, target = (x[..., top : top + part, left : left + part] for x in (image, target))
    smooth = F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]
    nearest = F.interpolate(target[None, None], (side, side), mode="nearest-exact")[0, 0]
    padded = image.new_zeros((len(image), size, size))
    labels = target.new_full((size, size), IGNORE)
    padded[:, row : row + side, col : col + side] = smooth
    labels[row : row + side, col : col + side] = nearest
    return padded, labels


def color_jitter(image: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Change each channel (C, S, S) by a random gain and offset; no-data (0 everywhere) stays."""
    gain, offset = (torch.rand((2, image.shape[0], 1, 1), generator=generator) * 2 - 1) * strength
    return torch.where((image != 0).any(0), image * (1 + gain) + offset / 2, image)
