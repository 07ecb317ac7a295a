"""Augmentation: random changes of a window that keep its labels right.

    flip, turn   The window is flipped or turned by quarters. An image from above has no up or left.
    crop         A part of the window is kept, and moved to another place in it.
    jitter       Each channel gets a random gain and offset, as haze, sun and sensor cause them.
    scales       The content is enlarged or reduced. Only this step resamples pixels. The image is
                 interpolated, and a label is that of the nearest pixel.

Read beside it: tests/data/training/test_augment.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from data.files import IGNORE

# The choices of train.py's --augment, with the arguments of `Augment` that turn each on.
STEPS: dict[str, dict[str, Any]] = {
    "flip": {"flip": 0.5},
    "turn": {"turn": 0.75},
    "crop": {"crop": 0.5},
    "jitter": {"jitter": 0.5},
    "scale": {"scales": (0.75, 1.0, 1.25)},
}


@dataclass(frozen=True)
class Augment:
    """An augmentation: the probability of each step (0 turns it off), and its strength.

    Args:
        flip: Probability of a flip.
        turn: Probability of one to three quarter turns.
        crop: Probability of a random-sized crop.
        crop_min: Shortest side of the crop, as a share of the window's side.
        jitter: Probability of colour jitter.
        strength: A channel's gain is in 1 +- strength, and its offset in 0 +- strength / 2, in
            scaled units.
        scales: Factors of size, of which one is drawn for each window; 2 doubles the size.
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
        """Return the augmentation with the named STEPS, and no others."""
        chosen: dict[str, Any] = {"flip": 0.0, "turn": 0.0}
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
            generator: The source of all random numbers.

        Returns:
            Image and target in the same shapes. Both are moved in the same way.
        """

        flipped, turns = self.orientation(generator)
        if flipped:
            image, target = image.flip(-1), target.flip(-1)
        image, target = image.rot90(turns, (-2, -1)), target.rot90(turns, (-2, -1))
        return self.after_turn(image, target, generator)

    def orientation(self, generator: torch.Generator) -> tuple[bool, int]:
        """Draw whether a window is flipped, and then its number of quarter turns."""
        flipped = _chance(self.flip, generator)
        turned = _chance(self.turn, generator)
        return flipped, int(torch.randint(1, 4, (), generator=generator)) if turned else 0

    def after_turn(
        self, image: torch.Tensor, target: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Do the other steps on a window that has its orientation. Arguments as in `__call__`."""
        if len(self.scales) > 1 or self.scales[0] != 1:
            scale = self.scales[int(torch.randint(len(self.scales), (), generator=generator))]
            image, target = zoom(image, target, scale, generator)
        if _chance(self.crop, generator):
            image, target = random_crop(image, target, self.crop_min, generator)
        if _chance(self.jitter, generator):
            image = color_jitter(image, self.strength, generator)
        return image, target


def _chance(probability: float, generator: torch.Generator) -> bool:
    return torch.rand((), generator=generator).item() < probability


def oriented(window: np.ndarray, flipped: bool, turns: int) -> np.ndarray:
    """Return a view of an array (..., H, W), flipped and turned as `Augment.orientation` says."""
    return np.rot90(window[..., ::-1] if flipped else window, turns, (-2, -1))


def random_crop(
    image: torch.Tensor, target: torch.Tensor, smallest: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a square of random size at a random place, and move it to another random place.

    Around the square the image is 0 and the target is IGNORE, as for no-data.

    Args:
        image: (C, S, S).
        target: (S, S).
        smallest: Shortest side of the square, as a share of S.
        generator: The source of random size and places.
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
    """Enlarge or reduce the content of a window by the factor `scale`. The window keeps its size.

    With a scale above 1 a random part of the window fills all of it. With a scale below 1 the whole
    window shrinks, and lies at a random place in no-data. The ground around the window is not used,
    because it may be held out for validation. The image is interpolated bilinearly, and averaged
    where it shrinks. A label is that of the nearest pixel.

    Args:
        image: (C, S, S).
        target: (S, S).
        scale: Factor above 0; 2 doubles the size.
        generator: The source of random places.
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
    """Change each channel (C, S, S) by a random gain and offset; no-data (all 0) is kept."""
    gain, offset = (torch.rand((2, image.shape[0], 1, 1), generator=generator) * 2 - 1) * strength
    return torch.where((image != 0).any(0), image * (1 + gain) + offset / 2, image)
