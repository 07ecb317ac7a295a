r"""One map made by several processes, as `torchrun --nproc-per-node 2 predict.py scene.tif` does.

Of W processes, process r maps the strips r, r + W, r + 2W, ... of a scene
(data/mapping/strips.py):

    process 0   strip 0          strip 2          strip 4        receives all strips, in order
                    \ carry     /     \ carry     /
    process 1        strip 1          strip 3

Where two rows of windows overlap, the probabilities of the upper row are sent to the process of the
lower row (the carry), which adds its own. The sums are those of one process, in the same order, and
so is the map, to the last bit.

The messages themselves are not here: `Processes` says what the strips need, and
unet/training/processes.py implements it with torch.distributed. Read beside it:
tests/data/mapping/test_sharing.py.
"""

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

Strip = TypeVar("Strip")


class Processes(Protocol):
    """This process, number `rank` of `world`, and its messages to the others."""

    rank: int
    world: int

    def send(self, array: np.ndarray, to: int) -> None:
        """Start to send an array of float32 to another process."""

    def receive(self, shape: tuple[int, ...], source: int) -> np.ndarray:
        """Wait for an array of float32 of this shape from another process."""

    def send_object(self, value: Any, to: int) -> None:
        """Send any value that pickle takes."""

    def receive_object(self, source: int) -> Any:
        """Wait for the value that another process sends."""


class OneProcess:
    """A single process: what it sends, it receives itself."""

    rank, world = 0, 1

    def send(self, array: np.ndarray, to: int) -> None:
        """Keep an array for `receive`."""
        self._kept = array

    def receive(self, shape: tuple[int, ...], source: int) -> np.ndarray:
        """Return the array that was sent last, and keep it no longer."""
        array, self._kept = self._kept, None
        return array


def in_order(own: Iterator[Strip], count: int, processes: Processes) -> Iterator[Strip]:
    """Yield all strips of a scene in process 0; send the own strips there in every other process.

    Strips are sent by pickle, so they should be small: labels rather than probabilities.

    Args:
        own: The strips of this process, from the top.
        count: Number of strips of the scene.
        processes: This process among the others.
    """
    for number in range(count):
        owner = number % processes.world
        if owner == processes.rank == 0:
            yield next(own)
        elif owner == processes.rank:
            processes.send_object(next(own), 0)
        elif processes.rank == 0:
            yield processes.receive_object(owner)
