"""Augmentation: a window seen another way, at no cost in labels.

From above there is no up and no left, so the eight flips and quarter turns of a window are as good
as itself. A crop put back into the full size shifts a place against the border, and a jitter of
gain and offset stands for haze, sun and sensor. Nothing here resamples: a pixel keeps its own
spectrum, and a label never blends.

Read beside it: tests/test_augment.py.
"""

from dataclasses import dataclass

import torch

from data import InputError
from data.classes import IGNORE


@dataclass(frozen=True)
class Augment:
    """Probabilities of each step (0 turns it off), and how strong it is.

    crop_min: shortest side of a random-sized crop, as a share of the window's (298 of 300: 0.9934).
    strength: gain in 1 +- strength, offset in 0 +- strength / 2, each channel its own, in scaled units.
    Raises InputError for what is no probability or share.
    """

    flip: float = 0.5
    turn: float = 0.75
    crop: float = 0.0
    crop_min: float = 0.75
    jitter: float = 0.0
    strength: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1 or (name == "crop_min" and value == 0):
                raise InputError(f"--{name.replace('_', '-')} {value:g}: must lie between 0 and 1")

    def __call__(
        self, image: torch.Tensor, target: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(C, S, S) float and (S, S) labels of a square window to the same shapes, both moved alike."""

        def chance(probability: float) -> bool:
            return torch.rand((), generator=generator).item() < probability

        if chance(self.flip):
            image, target = image.flip(-1), target.flip(-1)
        if chance(self.turn):
            turns = int(torch.randint(1, 4, (), generator=generator))
            image, target = image.rot90(turns, (-2, -1)), target.rot90(turns, (-2, -1))
        if chance(self.crop):
            image, target = random_crop(image, target, self.crop_min, generator)
        if chance(self.jitter):
            image = color_jitter(image, self.strength, generator)
        return image.contiguous(), target.contiguous()


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


def color_jitter(image: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Gain and offset of each channel, drawn once for the window; no-data (0 in every channel) stays."""
    gain, offset = (torch.rand((2, image.shape[0], 1, 1), generator=generator) * 2 - 1) * strength
    return torch.where((image != 0).any(0), image * (1 + gain) + offset / 2, image)
