"""Cloud-optimised GeoTIFF: a map that opens at once, whether it lies on a disk or behind a web
address.

An ordinary GeoTIFF has to be read whole before a viewer can show all of it. This one carries itself
in halves, quarters and so on ("overviews"), and begins with everything that says where things lie:

    header | IFD of the map, of its half, of its quarter ... | tiles of the smallest, ... of the
    half, of the map

so that one request for the first kilobytes, and one for a few tiles, show the map at any zoom. What
is written first in the file is known last, therefore each level's tiles go to a temporary file of
its own as the rows pass by, and are put together at the end: memory holds one row of tiles of each
level, whatever the raster's height.

A level is made of the one above it, four pixels of which become one: by `mode` (classes: the most
frequent, on ties the lower code) or by `average` (quantities). No-data has no vote, and stays only
where all four lack data.

Layout: TIFF 6.0 (1992) section 2 and BigTIFF; OGC 21-026, Cloud Optimized GeoTIFF; gdal.org, "COG
-- Cloud Optimized GeoTIFF generator", for the note between the header and the first IFD. Read
tests/data/raster/test_cog.py beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import BinaryIO

import imagecodecs
import numpy as np

from data.files import replacing
from data.grid import Grid
from data.raster import geotiff

TILE = 512  # the smallest overview is no larger
FEW_BYTES = (
    4  # a pixel of more bytes gets tiles of half the side, lest a row of them fill the memory
)
LEVEL = 6  # of DEFLATE: higher ones take several times as long
THREADS = 4
SHORT, LONG, LONG8 = 3, 4, 16
FORMATS = {2: "B", SHORT: "H", LONG: "I", 12: "d", LONG8: "Q"}
SUBFILE, STRIP_TAGS, COLORMAP, TILE_OFFSETS, TILE_COUNTS = 254, (256, 257), 320, 324, 325
# Readers that know this note need not ask for the size of a tile: it stands in the four bytes
# before it.
NOTE = b"""LAYOUT=IFDS_BEFORE_DATA
BLOCK_ORDER=ROW_MAJOR
BLOCK_LEADER=SIZE_AS_UINT4
BLOCK_TRAILER=LAST_4_BYTES_REPEATED
KNOWN_INCOMPATIBLE_EDITION=NO
 """
NOTE = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(NOTE) + NOTE


@contextlib.contextmanager
def writer(
    path: str | os.PathLike,
    grid: Grid,
    count: int,
    dtype: np.dtype | type | str,
    nodata: float | None = None,
    colormap: dict[int, tuple[int, int, int]] | None = None,
    descriptions: Sequence[str | None] | None = None,
    geo_tags: dict | None = None,
    items: Mapping[str, str] | None = None,
    scale: float | None = None,
    overviews: str = "mode",
) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that takes the strips (count, any h, width) of a raster, one after the other from
    the top.

    The file appears under its name when the block ends and all rows are there, see `replacing`.
    The arguments are those of `geotiff.write_blocks`, and
        items      {name: text}: facts about the raster that `gdalinfo` shows, such as the names of its classes
        scale      a pixel times this number is the quantity, as GDAL and QGIS show it
        overviews  "mode" for classes, "average" for quantities

    Raises ValueError where arguments or strips contradict each other, OSError where writing fails.
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    tags, palette = geotiff.described(
        grid, count, dtype, nodata, colormap, descriptions, geo_tags, items, scale
    )
    reduce = {"mode": _mode, "average": _average}[overviews]
    with (
        replacing(path) as temporary,
        ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as threads,
        contextlib.ExitStack() as files,
    ):
        # Differences of neighbours are small numbers in a quantity, and no help where codes are
        # only names.
        predictor = 1 if overviews == "mode" else 3 if dtype.kind == "f" else 2
        levels: list[_Level] = []
        height, width = grid.height, grid.width
        side = TILE if count * dtype.itemsize <= FEW_BYTES else TILE // 2
        # A raster one pixel wide has no overviews: GDAL tells their scale by the width.
        while (
            not levels
            or max(levels[-1].height, levels[-1].width) > TILE
            and min(grid.height, grid.width) > 1
        ):
            # Unnamed, and so gone with the process whatever ends it.
            file = files.enter_context(tempfile.TemporaryFile(dir=temporary.parent))
            levels.append(_Level(file, height, width, count, dtype, side, threads, predictor))
            height, width = -(-height // 2), -(-width // 2)
        for level, smaller in zip(levels, levels[1:]):
            level.pass_on = lambda rows, smaller=smaller: smaller.add(rows)
            level.reduce = lambda tile: reduce(tile, nodata)

        def add(strip: np.ndarray) -> None:
            if (
                strip.ndim != 3
                or strip.shape[::2] != (count, grid.width)
                or strip.dtype.newbyteorder("=") != dtype
            ):
                expected = f"({count}, any height, {grid.width}) {dtype}"
                raise ValueError(f"a strip of {strip.shape} {strip.dtype} where {expected} is due")
            levels[0].add(strip.transpose(1, 2, 0))

        yield add
        for level in levels:
            level.finish()
        with open(temporary, "wb") as file:
            _assemble(file, levels, tags, palette)


def write_blocks(
    path: str | os.PathLike, strips: Iterable[np.ndarray], grid: Grid, **options
) -> None:
    """Write a raster whose strips come as an iterable; options and errors as of `writer`."""
    with writer(path, grid, **options) as add:
        for strip in strips:
            add(strip)


class _Level:
    """The map itself or one overview: rows come in, compressed tiles and rows of half the size go
    out.
    """

    def __init__(
        self,
        file: BinaryIO,
        height: int,
        width: int,
        count: int,
        dtype: np.dtype,
        side: int,
        threads: Executor,
        predictor: int,
    ) -> None:
        self.file, self.height, self.width, self.count, self.dtype, self.side = (
            file,
            height,
            width,
            count,
            dtype,
            side,
        )
        self.threads, self.predictor = threads, predictor
        self.rows, self.filled, self.done = np.zeros((side, width, count), dtype), 0, 0
        self.offsets, self.sizes = [], []  # of the tiles in `file`
        self.reduce = self.pass_on = None  # the smallest level has no smaller one

    def add(self, rows: np.ndarray) -> None:
        """(h, width, count): the next rows."""
        self.done += len(rows)
        if self.done > self.height:
            raise ValueError(f"the strips have more rows than the grid's {self.height}")
        while len(rows):
            taken = rows[: self.side - self.filled]
            self.rows[self.filled : self.filled + len(taken)] = taken
            self.filled, rows = self.filled + len(taken), rows[len(taken) :]
            if self.filled == self.side:
                self._flush()

    def finish(self) -> None:
        """Write what is left. Raises ValueError if rows are missing."""
        if self.done != self.height:
            raise ValueError(f"the strips have {self.done} rows and the grid {self.height}")
        if self.filled:
            self._flush()

    def _flush(self) -> None:
        tiles = [
            self.rows[: self.filled, col : col + self.side]
            for col in range(0, self.width, self.side)
        ]
        halves = []
        for data, half in self.threads.map(self._work, tiles):
            self.offsets.append(self.file.tell() + 4)
            self.sizes.append(len(data))
            self.file.write(struct.pack("<I", len(data)) + data + data[-4:])
            halves.append(half)
        self.filled = 0
        if self.pass_on:
            self.pass_on(np.concatenate(halves, axis=1))

    def _work(self, tile: np.ndarray) -> tuple[bytes, np.ndarray | None]:
        """A tile (h, w, count) compressed, at the border padded to the full side, and its half."""
        half = self.reduce(tile) if self.reduce else None
        height, width = tile.shape[:2]
        if (height, width) != (self.side, self.side):
            tile = np.pad(
                tile, [(0, self.side - height), (0, self.side - width), (0, 0)], mode="edge"
            )
        if self.predictor == 2:
            tile = imagecodecs.delta_encode(np.ascontiguousarray(tile), axis=1)
        elif self.predictor == 3:
            tile = imagecodecs.floatpred_encode(np.ascontiguousarray(tile), axis=1)
        return imagecodecs.deflate_encode(np.ascontiguousarray(tile), level=LEVEL), half

    def directory(self, tags: dict, start: int) -> dict[int, tuple[int, Sequence]]:
        """{tag: (type, values)} of the level, whose tiles begin at byte `start` of the file."""
        bits, kind = 8 * self.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[self.dtype.kind]
        entries = {
            256: (LONG, [self.width]),
            257: (LONG, [self.height]),
            258: (SHORT, [bits] * self.count),
            259: (SHORT, [8]),  # compression: DEFLATE
            262: (SHORT, [3 if COLORMAP in tags else 1]),  # a palette's codes, or black is zero
            277: (SHORT, [self.count]),
            284: (SHORT, [1]),  # the bands of a pixel together
            317: (SHORT, [self.predictor]),
            322: (SHORT, [self.side]),
            323: (SHORT, [self.side]),
            TILE_OFFSETS: (LONG, [start + offset for offset in self.offsets]),
            TILE_COUNTS: (LONG, self.sizes),
            339: (SHORT, [kind] * self.count),
            **tags,
        }
        if self.count > 1:
            entries[338] = (
                SHORT,
                [0] * (self.count - 1),
            )  # bands beyond the first: of no kind that TIFF knows
        return entries


def _assemble(file: BinaryIO, levels: list[_Level], tags: dict, palette: np.ndarray | None) -> None:
    """Header, note, directories from large to small, tiles from small to large."""
    if palette is not None:
        tags = {**tags, COLORMAP: (SHORT, palette.ravel().tolist())}
    # An overview has its own pixels, their colours and their no-data value; where it lies the map
    # says.
    shared = {
        tag: value for tag, value in tags.items() if tag in (COLORMAP, geotiff.gdaltags.NODATA)
    }
    shared[SUBFILE] = (LONG, [1])  # a smaller version of another image
    sizes = [level.file.tell() for level in levels]
    big = sum(sizes) > geotiff.BIGTIFF_BYTES

    def head(starts: list[int]) -> bytes:
        header = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16 + len(NOTE)) if big else b""
        header = (header or struct.pack("<2sHI", b"II", 42, 8 + len(NOTE))) + NOTE
        for number, (level, start) in enumerate(zip(levels, starts)):
            entries = level.directory(shared if number else tags, start)
            header += _directory(entries, len(header), big, last=level is levels[-1])
        return header

    starts = [0] * len(levels)
    end = len(head(starts))  # a directory's length does not depend on what its offsets are
    for number in reversed(range(len(levels))):
        starts[number], end = end, end + sizes[number]
    file.write(head(starts))
    for level in reversed(levels):
        level.file.seek(0)
        shutil.copyfileobj(level.file, file, 2**20)


def _directory(entries: dict[int, tuple[int, Sequence]], at: int, big: bool, last: bool) -> bytes:
    """An IFD that stands at byte `at`, with the values that are too long for it behind it, and the
    next after them.
    """
    number, field, pointer = ("<Q", "<HHQ", "<Q") if big else ("<H", "<HHI", "<I")
    room = struct.calcsize(pointer)
    table, values = struct.pack(number, len(entries)), b""
    behind = at + len(table) + len(entries) * (struct.calcsize(field) + room) + room
    for tag, (kind, content) in sorted(entries.items()):
        kind = LONG8 if big and tag in (TILE_OFFSETS, TILE_COUNTS) else kind
        packed = struct.pack(f"<{len(content)}{FORMATS[kind]}", *content)
        table += struct.pack(field, tag, kind, len(content))
        if len(packed) <= room:
            table += packed.ljust(room, b"\0")
        else:
            table += struct.pack(pointer, behind + len(values))
            values += packed + b"\0" * (-len(packed) % 8)
    values += b"\0" * (-(behind + len(values)) % 8)  # IFDs begin at even bytes
    return table + struct.pack(pointer, 0 if last else behind + len(values)) + values


def _quarters(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The upper left, upper right, lower left and lower right of each square of four; an odd edge
    counts twice.
    """
    height, width = tile.shape[:2]
    if height % 2 or width % 2:
        tile = np.pad(tile, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    return tile[::2, ::2], tile[::2, 1::2], tile[1::2, ::2], tile[1::2, 1::2]


def _mode(tile: np.ndarray, nodata: float | None) -> np.ndarray:
    """The most frequent code of each four, on ties the lower; no-data does not vote."""
    wide = np.int16 if tile.dtype.itemsize == 1 else np.int64
    last = np.iinfo(wide).max  # stands for no-data: behind all codes in their order
    a, b, c, d = (np.where(part == nodata, last, part.astype(wide)) for part in _quarters(tile))
    # Sorted by a network of five comparisons, equal codes are neighbours.
    a, b, c, d = np.minimum(a, b), np.maximum(a, b), np.minimum(c, d), np.maximum(c, d)
    a, b, c, d = np.minimum(a, c), np.minimum(b, d), np.maximum(a, c), np.maximum(b, d)
    b, c = np.minimum(b, c), np.maximum(b, c)
    mode = np.where((c == d) & (a != b) & (c != last), c, a)
    mode = np.where((b == c) & (b != last), b, mode)
    return np.where(a == last, nodata or 0, mode).astype(tile.dtype)


def _average(tile: np.ndarray, nodata: float | None) -> np.ndarray:
    """The mean of each four that have data, rounded where pixels are whole numbers."""
    exact = np.float32 if tile.dtype.itemsize < 4 else np.float64  # for a sum of four
    total, count = exact(0), np.uint8(0)
    for part in _quarters(tile):
        known = np.isfinite(part) & (part != nodata)
        total, count = total + np.where(known, part, exact(0)), count + known
    mean = total / np.maximum(count, 1)
    empty = np.nan if nodata is None else nodata
    mean = np.where(count == 0, empty, mean if tile.dtype.kind == "f" else np.rint(mean))
    return mean.astype(tile.dtype)
