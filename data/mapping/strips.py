"""A scene mapped strip by strip: windows are cut, mapped by a network, and blended.

One row of windows is in memory at a time, whatever the height of the scene. Three threads work at
the same time. Each waits for the next one only when the queue between them is full
(data/mapping/prefetch.py):

    batches      read ahead, and cut a row of windows into batches (data/mapping/batches.py)
    _predicted   run the network
    _blended     blend the probabilities of a row (data/tiling.py has the weights), and take the
                 most probable class of each pixel

The caller of `map_scene` is a fourth thread. It writes the strips.

Read beside it: tests/data/mapping/test_strips.py.
"""

import time
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol

import numpy as np
import torch

from data.files import IGNORE
from data.grid import Window
from data.mapping.batches import Batch, RowEnd, batches
from data.mapping.prefetch import prefetch
from data.mapping.sharing import OneProcess, Processes, in_order
from data.mapping.source import Source
from data.terminal import duration, progress
from data.tiling import OVERLAP, Tiling, layout


class Network(Protocol):
    """A network that maps windows. unet/evaluation/predictor.py implements it."""

    size: int  # side of the windows in training, in pixels
    classes: int
    layers: int  # layers of the probabilities: the classes, and others that are blended alike

    def probabilities(self, inputs: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Map inputs (n, C, S, S) float32 to (n, layers, S, S) float32.

        The seed of a window decides all random numbers in its prediction.
        """


class Strip(NamedTuple):
    """Finished rows of a map."""

    window: Window  # as wide as the scene
    labels: np.ndarray  # (h, W) uint8, IGNORE where there is no data
    thumbnail: np.ndarray  # (bands, rows, cols): the image, thinned by `Source.thumbnail`
    probabilities: np.ndarray | None  # (layers, h, W) float32, NaN where there is no data


def map_scene(
    source: Source,
    network: Network,
    overlap: int = OVERLAP,
    batch: int = 4,
    with_probabilities: bool = False,
    processes: Processes | None = None,
) -> Generator[Strip, None, None]:
    """Map a scene from top to bottom.

    Args:
        source: The image.
        network: Maps windows of the source.
        overlap: Pixels that neighbouring windows share.
        batch: Windows that the network maps at a time.
        with_probabilities: Whether the strips carry probabilities beside the labels.
        processes: This process among several that share the scene; None for a single one. Process
            0 yields all strips, the others yield none.

    Raises:
        Exception: Any exception that the source or the network raises in its thread.
    """
    group: Processes = processes or OneProcess()
    size, overlap = layout(network.size, overlap)
    tiling = Tiling(source.height, source.width, size, overlap)
    rows = range(group.rank, len(tiling.strips), group.world)  # the rows of this process
    items = prefetch(batches(source, tiling, rows, batch), 2)
    items = prefetch(_predicted(items, network, tiling, source.name, len(rows), group.rank > 0))
    blended = _blended(items, network, tiling, with_probabilities, group)
    with closing(prefetch(blended)) as own:
        yield from in_order(own, len(tiling.strips), group)


def _predicted(
    items: Generator[Batch | RowEnd, None, None],
    network: Network,
    tiling: Tiling,
    name: str,
    rows: int,
    silent: bool,
) -> Iterator[Batch | RowEnd]:
    """Yield the same items with the network's probabilities in place of its input."""
    columns, done, ended, started = len(tiling.cols.starts), 0, 0, time.monotonic()
    with closing(items):
        for item in items:
            if isinstance(item, Batch):
                row = tiling.rows.starts[item.row]
                seeds = [window_seed(name, row, tiling.cols.starts[col]) for col in item.columns]
                item = item._replace(arrays=network.probabilities(item.arrays, seeds))
                done += len(item.columns)
            else:
                ended += 1
                done = ended * columns  # windows without data count, too
            if not silent:
                share = done / (rows * columns)
                left = (time.monotonic() - started) * (1 - share) / share
                progress(f"{name}: {share:4.0%}, {duration(left)} left")
            yield item
            del item  # otherwise its arrays stay in memory while the next ones are made


def _blended(
    items: Generator[Batch | RowEnd, None, None],
    network: Network,
    tiling: Tiling,
    with_probabilities: bool,
    processes: Processes,
) -> Iterator[Strip]:
    """Yield a strip for each row of windows."""
    total = None  # blended probabilities of a row of windows: (layers, rows, W)
    with closing(items):
        for item in items:
            if total is None:
                top, bottom = tiling.blended_rows(item.row)
                total = np.zeros((network.layers, bottom - top, tiling.width), np.float32)
            if isinstance(item, Batch):
                _add(item, tiling, total)
            else:
                _exchange(item.row, tiling, total, processes)
                strip = _strip(item, tiling, total, network.classes, with_probabilities)
                total = None  # frees the memory while the strip waits
                yield strip
                del strip
            del item


def _add(batch: Batch, tiling: Tiling, total: np.ndarray) -> None:
    """Add the weighted probabilities of some windows to `total` (layers, rows, W)."""
    rows, cols = tiling.rows, tiling.cols
    first, end = tiling.blended_rows(batch.row)
    down = slice(first - rows.starts[batch.row], end - rows.starts[batch.row])
    for col, probabilities in zip(batch.columns, batch.arrays):
        left, right = cols.support(col)
        across = slice(left - cols.starts[col], right - cols.starts[col])
        weight = np.outer(rows.weights[batch.row][down], cols.weights[col][across])
        part = torch.from_numpy(probabilities[:, down, across])
        # torch multiplies and adds in one pass over memory. numpy would need two passes.
        torch.from_numpy(total[:, :, left:right]).addcmul_(part, torch.from_numpy(weight))


def _exchange(row: int, tiling: Tiling, total: np.ndarray, processes: Processes) -> None:
    """Add the carry of the row above to `total` (layers, rows, W), and send on its own carry."""
    shared, height = tiling.shared_rows(row), tiling.strips[row].height
    if shared:
        shape = (len(total), shared, tiling.width)
        total[:, :shared] += processes.receive(shape, (processes.rank - 1) % processes.world)
    if height < total.shape[1]:
        carry = total[:, height:].copy()
        processes.send(carry, (processes.rank + 1) % processes.world)


def _strip(
    end: RowEnd, tiling: Tiling, total: np.ndarray, classes: int, with_probabilities: bool
) -> Strip:
    """Make the strip of a row of windows from its `total` (layers, rows, W)."""
    window = tiling.strips[end.row]
    blended = total[:, : window.height]
    labels = np.where(end.valid, blended[:classes].argmax(0), IGNORE).astype(np.uint8)
    kept = np.where(end.valid, blended, np.float32(np.nan)) if with_probabilities else None
    return Strip(window, labels, end.thumbnail, kept)


def window_seed(name: str, row: int, col: int) -> int:
    """Return the seed of a window's random numbers. It is the same in any process and batch.

    Args:
        name: Name of the image's file.
        row, col: First pixel of the window.
    """
    return zlib.crc32(f"{name} {row} {col}".encode("utf-8", "surrogateescape"))
