r"""One map made by several processes, as `torchrun --nproc-per-node 2 predict.py scene.tif` does.

Of W processes, process r maps the strips r, r + W, r + 2W, ... of a scene
(data/mapping/strips.py):

    process 0   strip 0          strip 2          strip 4        receives all strips, in order
                    \ carry     /     \ carry     /
    process 1        strip 1          strip 3

Where two rows of windows overlap, the process of the upper row sends its weighted probabilities to
the process of the lower row (the carry). That process adds its own. The sums are those of a single
process, in the same order. So the map is the same, to the last bit.

`Processes` describes the messages that the strips need. unet/training/processes.py sends them with
torch.distributed.

Read beside it: tests/data/mapping/test_sharing.py.
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
    """A single process. It receives what it sends."""

    rank, world = 0, 1

    def __init__(self) -> None:
        self._sent: list[Any] = []

    def send(self, array: np.ndarray, to: int) -> None:
        """Keep an array for `receive`."""
        self._sent.append(array)

    def receive(self, shape: tuple[int, ...], source: int) -> np.ndarray:
        """Return the array that was sent last, and forget it."""
        return self._sent.pop()

    def send_object(self, value: Any, to: int) -> None:
        """Keep a value for `receive_object`."""
        self._sent.append(value)

    def receive_object(self, source: int) -> Any:
        """Return the value that was sent last, and forget it."""
        return self._sent.pop()


def in_order(own: Iterator[Strip], count: int, processes: Processes) -> Iterator[Strip]:
    """Yield all strips of a scene in process 0. Every other process sends its strips there.

    Strips are sent by pickle, so they should be small: labels rather than probabilities.

    Args:
        own: The strips of this process, from top to bottom.
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
