"""Augmentation: a window seen another way, at no cost in labels.

From above there is no up and no left, so the eight flips and quarter turns of a window are as good
as itself. A crop put back into the full size shifts a place against the border, and a jitter of
gain and offset stands for haze, sun and sensor. In none of these is a pixel resampled. Only
`scales` does that, and shows things larger or smaller than they are, with labels that are never
blended.

Read beside it: tests/data/training/test_augment.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from data.files import IGNORE, InputError

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
    """Probabilities of each step (0 turns it off), and how strong it is.

    crop_min: shortest side of a random-sized crop, as a share of the window's (298 of 300: 0.9934).
    strength: gain in 1 +- strength, offset in 0 +- strength / 2, each channel its own, in scaled
    units. scales: sizes that things may take, one of them drawn for each window: 1 as they are, 2
    twice as large. Raises InputError for what is no probability or share.
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

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name == "scales":
                if not value or not all(0.1 <= scale <= 10 for scale in value):
                    raise InputError(
                        "--scales: must be numbers between 0.1 and 10, such as 0.75 1 1.25"
                    )
            elif not 0 <= value <= 1 or (name == "crop_min" and value == 0):
                raise InputError(f"--{name.replace('_', '-')} {value:g}: must lie between 0 and 1")

    def __call__(
        self, image: torch.Tensor, target: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(C, S, S) float and (S, S) labels of a square window to the same shapes, both moved
        alike.
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
    """Cut a square of random size and place, and pad it back at another random place.

    Padding is 0 in the image and IGNORE in the target, like no-data.
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
    """Things `scale` times as large, in a window of the same size.

    Above 1 a part of the window, drawn by chance, fills all of it. Below 1 the whole window shrinks
    and is padded at a random place like no-data. It never shows ground beyond the window, which may
    be held out for validation. The image is interpolated bilinearly (averaged where it shrinks); a
    label is that of the nearest pixel.
    """
    size = image.shape[-1]
    part, side = min(size, max(1, round(size / scale))), min(size, max(1, round(size * scale)))
    top, left = torch.randint(0, size - part + 1, (2,), generator=generator).tolist()
    row, col = torch.randint(0, size - side + 1, (2,), generator=generator).tolist()
    image, target = (x[..., top : top + part, left : left + part] for x in (image, target))
    smooth = F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]
    nearest = F.interpolate(target[None, None], (side, side), mode="nearest-exact")[0, 0]
    padded, labels = (
        image.new_zeros((len(image), size, size)),
        target.new_full((size, size), IGNORE),
    )
    padded[:, row : row + side, col : col + side] = smooth
    labels[row : row + side, col : col + side] = nearest
    return padded, labels


def color_jitter(image: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Gain and offset of each channel, drawn once for the window; no-data (0 in every channel)
    stays.
    """
    gain, offset = (torch.rand((2, image.shape[0], 1, 1), generator=generator) * 2 - 1) * strength
    return torch.where((image != 0).any(0), image * (1 + gain) + offset / 2, image)
