r"""One map made by several processes, as `torchrun --nproc-per-node 2 predict.py scene.tif` starts
them.

Of W processes ("ranks"), rank r maps the strips r, r + W, r + 2W, ... of a scene
(data/mapping/strips.py):

    rank 0   strip 0          strip 2          strip 4        all strips come here, in order, to be written
                 \ carry     /     \ carry     /
    rank 1        strip 1          strip 3

Where two rows of windows overlap, the upper one's probabilities go to the rank of the lower one,
which adds its own: the same sums in the same order as in one process, and so the same map to the
last bit.

Tensors travel by gloo, PyTorch's library for messages between CPUs, whatever computes them. A rank
that fails takes its connections with it, and the others stop: LostRank. Read beside it:
tests/data/mapping/test_ranks.py.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist

from data.mapping.strips import Alone

Strip = TypeVar("Strip")
FOREVER = timedelta(days=30)  # a strip of a large network takes as long as it takes


class LostRank(RuntimeError):
    """Another process of this run has ended before its work was done; it has said why."""


@contextmanager
def lost() -> Iterator[None]:
    """Turn what gloo raises about a closed connection into LostRank."""
    try:
        yield
    except RuntimeError as error:
        raise LostRank("another process of this run has stopped; see what it says") from error


class Several:
    """This process among `world` ones; what `data.mapping.strips` calls `ranks`."""

    def __init__(self):
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        # A group of its own, because carries and strips are sent from two threads.
        self.neighbours = dist.new_group(backend="gloo", timeout=FOREVER)
        self.sent = []

    def pass_on(self, carry: np.ndarray) -> None:
        """Start sending to the next rank; it takes the carry when it has its own windows, and we go
        on.
        """
        with lost():
            for message in self.sent:
                message.wait()
            self.sent = [
                dist.isend(torch.from_numpy(carry), (self.rank + 1) % self.world, self.neighbours)
            ]

    def receive(self, shape: tuple[int, int, int]) -> np.ndarray:
        """The carry of the rank before."""
        carry = torch.empty(shape)
        with lost():
            dist.recv(carry, (self.rank - 1) % self.world, self.neighbours)
        return carry.numpy()


Ranks = Alone | Several


def start() -> Ranks:
    """Join the other processes if torchrun has started several; call it once, before anything else."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Alone()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # torchrun's way of Ctrl-C: leave nothing half-written
    dist.init_process_group("gloo", timeout=FOREVER)
    atexit.register(dist.destroy_process_group)
    return Several()


@contextmanager
def leaving() -> Iterator[None]:
    """Among several, end at once on SystemExit: threads that wait for another rank would hold up
    the end for ever.
    """
    try:
        yield
    except SystemExit as error:
        if not dist.is_initialized():
            raise
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(error.code)


def in_order(strips: Iterator[Strip], ranks: Ranks, count: int) -> Iterator[Strip]:
    """All `count` strips, for rank 0, made of each rank's own; another rank sends its own, and gets
    nothing.

    Strips are sent by pickle, so they should be small: labels rather than probabilities.
    """
    for number in range(count):
        owner = number % ranks.world
        if owner == ranks.rank:
            strip = next(strips)
            if ranks.rank == 0:
                yield strip
            else:
                with lost():
                    dist.send_object_list([strip], 0)
        elif ranks.rank == 0:
            box = [None]
            with lost():
                dist.recv_object_list(box, owner)
            yield box[0]


def gather(found: dict, ranks: Ranks) -> dict:
    """The entries of all ranks, for rank 0, when every rank has come here; another rank gets
    nothing.
    """
    if ranks.world == 1:
        return found
    everyone = [None] * ranks.world if ranks.rank == 0 else None
    with lost():
        dist.gather_object(found, everyone)
        dist.barrier()  # a rank that left would close connections that others still read from
    return {key: value for part in everyone or [] for key, value in part.items()}
