r"""A scene mapped strip by strip: windows cut from it, seen by a network, and blended without
seams.

A scene is larger than memory, and a network is wrong at a window's rim: there, its convolutions see
zeros where the scene goes on. So windows overlap, the outer half of each overlap is thrown away,
and over RAMP pixels in its middle one window fades into the next:

    p(pixel) = sum_i w_i(pixel) p_i(pixel)        w_i(row, col) = u_i(row) v_i(col)

            size                                  u_i along one axis, for two neighbours:
    |<---------------->|
    0 0 0 / 1 1 1 \ 0 0 0                           0 up to (overlap - RAMP) / 2 pixels from the rim,
              0 0 0 / 1 1 1 \ 0 0 0                 then rising to 1, and the sum over the windows is 1
              |<---->|
              overlap

Probabilities are blended, never classes. Once the overlap covers the receptive field, 2 * radius +
RAMP, only pixels that saw all they can see count, and the map is that of the scene in one piece.
For that, windows begin at multiples of STRIDE: a network that halves its input sees another pattern
in a window shifted by an odd number.

At the scene's border the outer windows reach beyond it, into its mirror image, so that the pixels
there have a neighbourhood as well. (In training, windows at the border do not: there the rim is a
small part of the pixels.)

One row of windows is in memory at a time, whatever the height; each pixel of the source is read
once. Knows no files and no network: `strips` is told by functions how to read, to map, and what to
do with a finished strip. Read beside it: tests/data/mapping/test_strips.py.
"""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from data.grid import Window
from data.mapping.prefetch import prefetch

STRIDE = 32  # pixels; a multiple of how far every network here shrinks its input
RAMP = 8  # pixels over which a window fades into its neighbour
LEAST = 256  # pixels; smaller windows would be little but rim
OVERLAP = 64  # pixels; tests/bench/bench_seams.py measures what more would gain
PART = (
    64,
    1024,
)  # rows and columns that are read at a time, or the whole blocks of the file that hold them
WORKERS = min(4, os.cpu_count() or 1)  # threads that decode and prepare

Kept, Strip = TypeVar("Kept"), TypeVar("Strip")


def up(pixels: float, step: int) -> int:
    """The next multiple of `step`.

    >>> up(33, 32)
    64
    """
    return math.ceil(pixels / step) * step


def layout(size: int, overlap: int = OVERLAP) -> tuple[int, int]:
    """(size, overlap) of the windows on a scene, for a network trained on windows of `size`:
    multiples of STRIDE.

    Both are rounded up, and no window is smaller than LEAST: a convolution does not mind a larger
    window.

    >>> layout(512), layout(150), layout(300, 100)
    ((512, 64), (256, 64), (320, 128))
    """
    size = max(LEAST, up(size, STRIDE))
    return size, min(up(overlap, STRIDE), size - STRIDE)


class Axis(NamedTuple):
    """The windows along one axis: first pixels (which may be negative), size, and (n, size) weights
    float32.

    At each pixel of the scene the weights of the windows that hold it sum to one; beyond the scene
    they are 0.
    """

    starts: list[int]
    size: int
    weights: np.ndarray

    def inside(self, number: int, length: int) -> tuple[int, int]:
        """First pixel, and end, of the part of a window that lies in the scene."""
        return max(self.starts[number], 0), min(self.starts[number] + self.size, length)

    def support(self, number: int) -> tuple[int, int]:
        """First pixel, and end, of what a window counts for."""
        where = np.flatnonzero(self.weights[number])
        return self.starts[number] + int(where[0]), self.starts[number] + int(where[-1]) + 1


def axis(length: int, size: int, overlap: int) -> Axis:
    """The fewest windows that cover `length` pixels and at least STRIDE beyond each end; one if it
    fits a window.

    `size` and `overlap` as of `layout`. Windows step by size - overlap; the last one is moved back
    as far as it may.

    >>> axis(500, 256, 64).starts, axis(100, 256, 64).starts, axis(100, 256, 64).size
    ([-32, 160, 288], [-32], 192)
    """
    ramp = min(RAMP, overlap)
    rim = (overlap - ramp) // 2
    if length <= size:
        starts, size, rim = [-STRIDE], up(length + 2 * STRIDE, STRIDE), 0
    else:
        seen = max(
            STRIDE, rim
        )  # of the mirror image, so that the scene's first pixel is not in a rim
        margin = up(seen, STRIDE)
        beyond = up(
            margin + length + seen - size, STRIDE
        )  # from the first window's start to the last one's
        starts = [start - margin for start in (*range(0, beyond, size - overlap), beyond)]
    pixel = np.arange(size)
    distance = np.minimum(pixel + 0.5, size - pixel - 0.5) - rim
    shape = np.clip(distance / ramp, 0, 1) if ramp else np.ones(size)
    total = np.zeros(length + 2 * size)
    for start in starts:
        total[start + size : start + 2 * size] += shape
    total[:size] = total[size + length :] = np.inf  # beyond the scene nothing counts
    weights = [shape / total[start + size : start + 2 * size] for start in starts]
    return Axis(starts, size, np.stack(weights).astype(np.float32))


class Rolling:
    """The rows of a source that are needed now, in parts: each is read once, in a thread, and then
    forgotten.
    """

    def __init__(
        self, read: Callable[[Window], np.ndarray], height: int, width: int, block: tuple[int, int]
    ):
        self.read, self.height, self.width = read, height, width
        self.rows, self.cols = (up(least, side) for least, side in zip(PART, block))
        self.align, self.end, self.parts = block[0], 0, []

    def forget(self, top: int) -> None:
        """Drop what ends above row `top`."""
        self.parts = [part for part in self.parts if part[0].row + part[0].height > top]

    def ask(self, top: int, bottom: int, pool: ThreadPoolExecutor) -> None:
        """Begin to read the rows top..bottom, but for those asked for before; both only grow."""
        first = max(self.end, top // self.align * self.align)
        self.end = max(first, min(up(bottom, self.align), self.height))
        for row in range(first, self.end, self.rows):
            for col in range(0, self.width, self.cols):
                part = Window(
                    row, col, min(self.rows, self.end - row), min(self.cols, self.width - col)
                )
                self.parts.append((part, pool.submit(self.read, part)))

    def window(self, window: Window) -> np.ndarray:
        """(bands, h, w), put together from the parts."""
        like = self.parts[0][1].result()
        out = np.empty((len(like), window.height, window.width), like.dtype)
        for (row, col, height, width), pixels in self.parts:
            top, bottom = max(row, window.row), min(row + height, window.row + window.height)
            left, right = max(col, window.col), min(col + width, window.col + window.width)
            if top < bottom and left < right:
                target = out[
                    :,
                    top - window.row : bottom - window.row,
                    left - window.col : right - window.col,
                ]
                target[...] = pixels.result()[:, top - row : bottom - row, left - col : right - col]
        return out


class Alone:
    """One process makes the whole map; data/mapping/ranks.py has what shares it between several."""

    rank, world = 0, 1

    def __init__(self):
        self.carries = []

    def pass_on(self, carry: np.ndarray) -> None:
        """Hand probabilities (K, h, W), to which the next row of windows will add, to who maps that
        row.
        """
        self.carries.append(carry)

    def receive(self, shape: tuple[int, int, int]) -> np.ndarray:
        """What `pass_on` was given by who mapped the row above."""
        return self.carries.pop()


def strips(
    read: Callable[[Window], np.ndarray],
    prepare: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    network: Callable[[np.ndarray], np.ndarray],
    keep: Callable[[Window, np.ndarray], Kept],
    finish: Callable[[np.ndarray, Kept], Strip],
    shape: tuple[int, int],
    block: tuple[int, int],
    size: int,
    overlap: int,
    classes: int,
    batch: int = 4,
    ranks: Alone | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> Iterator[Strip]:
    """What `finish` makes of each strip of the map, from the top; reading and network run ahead in
    threads.

    read     a window of the source -> its pixels (bands, h, w); asked for each pixel once, for whole blocks
             (`block`: their height and width), from several threads
    prepare  pixels (bands, h, w) -> the network's input (C, h, w) float32, and where there is data, (h, w) bool
    network  (n, C, S, S) float32, n <= batch -> probabilities (n, K, S, S) float32
    keep     the window of a strip, and its pixels (bands, h, W) -> what `finish` will want of them
    finish   probabilities (K, h, W) float32, and what was kept -> the strip, in whatever form
    shape    (height, width) of the scene; classes is K; size and overlap are as of `layout`
    ranks    who makes which strips: strip i is that of process i % world, and only its own come out here
    tell     called after each batch with the share of this process's windows that is done

    Windows without data cost no pass; probabilities of a pixel without data may be anything. A
    batch never holds windows of two rows, so that a strip does not depend on who makes it. Raises
    what the functions raise.
    """
    ranks = ranks or Alone()
    rows, cols = (axis(length, size, overlap) for length in shape)
    mine = range(ranks.rank, len(rows.starts), ranks.world)
    supports = [rows.support(row) for row in range(len(rows.starts))]
    tops = [0, *(top for top, _ in supports[1:]), shape[0]]  # strip i: from tops[i] to tops[i + 1]

    def cut(source: Rolling, row: int, col: int) -> np.ndarray | None:
        """The network's input for a window, mirrored beyond the scene; None where nothing that
        counts has data.
        """
        (top, bottom), (left, right) = rows.inside(row, shape[0]), cols.inside(col, shape[1])
        inputs, valid = prepare(source.window(Window(top, left, bottom - top, right - left)))
        (first, last), (west, east) = supports[row], cols.support(col)
        if not valid[first - top : last - top, west - left : east - left].any():
            return None
        above, before = top - rows.starts[row], left - cols.starts[col]
        beyond = (
            (above, rows.size - above - (bottom - top)),
            (before, cols.size - before - (right - left)),
        )
        return (
            np.pad(inputs, ((0, 0), *beyond), mode="reflect") if any(map(any, beyond)) else inputs
        )

    def batches() -> Iterator[tuple[list[int], np.ndarray | None, Kept | None]]:
        """(columns of windows, their input, None) for each batch, and at the end of a row ([],
        None, kept).
        """
        source = Rolling(read, *shape, block)
        reading, preparing = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(WORKERS)
        try:
            for row in mine:
                source.forget(rows.inside(row, shape[0])[0])
                for number in (
                    row,
                    row + ranks.world,
                ):  # the next one is read while the network has this one
                    if number in mine:
                        source.ask(*rows.inside(number, shape[0]), reading)
                found = []  # windows with data that make no full batch yet
                for first in range(0, len(cols.starts), batch):
                    some = range(first, min(first + batch, len(cols.starts)))
                    inputs = preparing.map(lambda col, row=row: cut(source, row, col), some)
                    found += [(col, x) for col, x in zip(some, inputs) if x is not None]
                    if len(found) >= batch:
                        yield (
                            [col for col, _ in found[:batch]],
                            np.stack([x for _, x in found[:batch]]),
                            None,
                        )
                        found = found[batch:]
                if found:
                    yield [col for col, _ in found], np.stack([x for _, x in found]), None
                strip = Window(tops[row], 0, tops[row + 1] - tops[row], shape[1])
                yield [], None, keep(strip, source.window(strip))
        finally:
            reading.shutdown(cancel_futures=True), preparing.shutdown(cancel_futures=True)

    def seen() -> Iterator[tuple[list[int], np.ndarray | None, Kept | None]]:
        """The same with probabilities in place of the network's input."""
        with closing(prefetch(batches(), 2)) as made:
            for columns, inputs, kept in made:
                yield columns, network(inputs) if columns else None, kept

    def blended() -> Iterator[Strip]:
        """The strips of this process."""
        with closing(prefetch(seen())) as made:
            for number, row in enumerate(mine):
                top, bottom = tops[row], supports[row][1]
                total = np.zeros((classes, bottom - top, shape[1]), np.float32)
                into, of = (
                    slice(top - rows.starts[row], bottom - rows.starts[row]),
                    rows.weights[row],
                )
                done = number * len(cols.starts)
                while True:
                    columns, found, kept = next(made)
                    if not columns:
                        break
                    for col, probabilities in zip(columns, found):
                        left, right = cols.support(col)
                        across = slice(left - cols.starts[col], right - cols.starts[col])
                        weight = torch.from_numpy(np.outer(of[into], cols.weights[col][across]))
                        part = torch.from_numpy(probabilities[:, into, across])
                        torch.from_numpy(total[:, :, left:right]).addcmul_(
                            part, weight
                        )  # in one pass over memory
                    done += len(columns)
                    tell(done / (len(mine) * len(cols.starts)))
                shared, height = supports[row - 1][1] - top, tops[row + 1] - top
                if row > 0 and shared:
                    total[:, :shared] += ranks.receive((classes, shared, shape[1]))
                if height < bottom - top:
                    ranks.pass_on(total[:, height:].copy())
                yield finish(total[:, :height], kept)
                tell((number + 1) / len(mine))

    return prefetch(blended())
