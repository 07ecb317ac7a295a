"""Write cloud-optimised GeoTIFFs, which viewers open quickly from a disk or a web address.

To show all of an ordinary GeoTIFF, a viewer must read the whole file. A cloud-optimised one also
contains the raster at half the size, a quarter and so on ("overviews"). Its first bytes contain the
positions of all tiles, in image file directories (IFDs, see directory.py):

    header | IFDs of the raster, its half, its quarter ... | tiles of the smallest ... of the raster

So a viewer shows the raster at any zoom after one request for the first kilobytes and one for a few
tiles. The positions of the tiles are known only when all tiles are compressed. So the tiles of each
level are first written to a temporary file, and the final file is assembled at the end. Memory
holds one row of tiles of each level, whatever the height of the raster.

Specification: OGC 21-026, Cloud Optimized GeoTIFF; gdal.org, "COG -- Cloud Optimized GeoTIFF
generator", for the note behind the signature. Read tests/data/raster/test_cog.py beside this file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import BinaryIO

import imagecodecs
import numpy as np

from data.files import naming_full_disk, replacing
from data.grid import Grid
from data.raster import directory, gdaltags, georeference
from data.raster.directory import COLORMAP, LONG, TILE_COUNTS, TILE_OFFSETS, Tags
from data.raster.overviews import average, mode

TILE = 512  # pixels; the smallest overview is no larger
FEW_BYTES = 4  # pixels of more bytes get tiles of half the side, to limit the memory of a row
LEVEL = 6  # of DEFLATE; higher levels take several times as long
THREADS = 4
NEW_SUBFILE_TYPE, REDUCED_IMAGE = 254, 1
# The note declares, among other things, that the four bytes before a tile contain its size.
NOTE = b"""LAYOUT=IFDS_BEFORE_DATA
BLOCK_ORDER=ROW_MAJOR
BLOCK_LEADER=SIZE_AS_UINT4
BLOCK_TRAILER=LAST_4_BYTES_REPEATED
KNOWN_INCOMPATIBLE_EDITION=NO
 """
NOTE = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(NOTE) + NOTE


def write(
    path: str | os.PathLike,
    array: np.ndarray,
    grid: Grid,
    nodata: float | None = None,
    colormap: Mapping[int, tuple[int, int, int]] | None = None,
    descriptions: Sequence[str | None] | None = None,
    geo_tags: dict | None = None,
    overviews: str | None = None,
) -> None:
    """Write an array (height, width) or (bands, height, width). `writer` explains the arguments."""
    array = np.asarray(array)
    strip = array[None] if array.ndim == 2 else array
    tags = nodata, colormap, descriptions, geo_tags
    with writer(path, grid, len(strip), strip.dtype, *tags, overviews=overviews) as add:
        add(strip)


@contextlib.contextmanager
def writer(
    path: str | os.PathLike,
    grid: Grid,
    count: int,
    dtype: np.dtype | type | str,
    nodata: float | None = None,
    colormap: Mapping[int, tuple[int, int, int]] | None = None,
    descriptions: Sequence[str | None] | None = None,
    geo_tags: dict | None = None,
    items: Mapping[str, str] | None = None,
    scale: float | None = None,
    overviews: str | None = None,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that writes strips (count, any height, width) of a raster, from the top.

    The strips together have the height of the grid. The file gets its name when the block ends, see
    `data.files.replacing`.

    Args:
        path: The file to write.
        grid: CRS, transform and size.
        count: Number of bands.
        dtype: Integers or floats of 8 to 64 bits.
        nodata: The value of pixels without data; it must be a value of the dtype.
        colormap: {code: (red, green, blue)} with 0..255, for one band of uint8 or uint16.
        descriptions: A name or None for each band.
        geo_tags: `Raster.geo_tags` of a raster with the same grid. They are written unchanged, in
            place of the CRS and transform of the grid.
        items: Metadata {name: text} of the raster, such as the names of its classes.
        scale: The factor by which pixel values are multiplied to get the quantity.
        overviews: "mode" for classes or "average" for quantities; by default "average" for floats
            and "mode" for integers.

    Raises:
        ValueError: The arguments contradict each other, or the strips do not fit the grid.
        OSError: Writing fails.
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    if geo_tags is None:
        geo_tags = georeference.encode(grid.crs, grid.transform)
    tags = directory.described(geo_tags, count, dtype, nodata, colormap, descriptions, items, scale)
    if overviews is None:
        overviews = "average" if dtype.kind == "f" else "mode"
    halve = {"mode": mode, "average": average}[overviews]
    # A predictor stores differences of neighbours. They compress well only for quantities.
    predictor = 1 if overviews == "mode" else 3 if dtype.kind == "f" else 2
    with (
        replacing(path) as temporary,
        ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as threads,
        contextlib.ExitStack() as files,
    ):
        levels: list[_Level] = []
        for height, width in reversed(_sizes(grid)):
            # The system deletes a file without a name when the process ends.
            file = files.enter_context(tempfile.TemporaryFile(dir=temporary.parent))
            level = _Level(file, height, width, count, dtype, predictor, threads)
            if levels:
                level.half = levels[0]
                level.halve = lambda tile: halve(tile, nodata)
            levels.insert(0, level)

        def add(strip: np.ndarray) -> None:
            fits = strip.ndim == 3 and strip.shape[::2] == (count, grid.width)
            if not fits or strip.dtype.newbyteorder("=") != dtype:
                expected = f"({count}, any height, {grid.width}) {dtype}"
                raise ValueError(f"a strip is {strip.shape} {strip.dtype}, expected {expected}")
            with naming_full_disk(path):  # the caller may write several files
                levels[0].add(strip.transpose(1, 2, 0))

        yield add
        for level in levels:
            level.finish()
        with open(temporary, "wb") as output:
            _assemble(output, levels, tags)


def _sizes(grid: Grid) -> list[tuple[int, int]]:
    """(height, width) of the raster and its overviews, the last of which fits in one tile.

    A raster one pixel high or wide has none: GDAL derives an overview's scale from its width.
    """
    sizes = [(grid.height, grid.width)]
    while max(sizes[-1]) > TILE and min(sizes[0]) > 1:
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


class _Level:
    """The raster or one overview. It takes rows, writes compressed tiles to a file, and passes rows
    of half the size to the next level.
    """

    def __init__(
        self,
        file: BinaryIO,
        height: int,
        width: int,
        count: int,
        dtype: np.dtype,
        predictor: int,
        threads: Executor,
    ) -> None:
        self.file, self.threads, self.predictor = file, threads, predictor
        self.height, self.width, self.count, self.dtype = height, width, count, dtype
        self.side = TILE if count * dtype.itemsize <= FEW_BYTES else TILE // 2
        self.rows = np.zeros((self.side, width, count), dtype)  # one row of tiles
        self.filled = 0  # how many of `rows` are filled
        self.done = 0  # how many rows of the level were added
        self.offsets: list[int] = []  # positions of the tiles in `file`
        self.sizes: list[int] = []
        self.half: _Level | None = None  # the smallest level has none
        self.halve: Callable[[np.ndarray], np.ndarray] | None = None

    def add(self, rows: np.ndarray) -> None:
        """Take the next rows (h, width, count)."""
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
        """Write the last row of tiles. Raises ValueError if rows are missing."""
        if self.done != self.height:
            raise ValueError(f"the strips have {self.done} rows and the grid {self.height}")
        if self.filled:
            self._flush()

    def _flush(self) -> None:
        """Write the rows as tiles, each between its size and its last four bytes, see NOTE."""
        columns = range(0, self.width, self.side)
        tiles = [self.rows[: self.filled, col : col + self.side] for col in columns]
        halves = []
        for data, half in self.threads.map(self._compress_and_halve, tiles):
            self.offsets.append(self.file.tell() + 4)
            self.sizes.append(len(data))
            self.file.write(struct.pack("<I", len(data)) + data + data[-4:])
            if half is not None:
                halves.append(half)
        self.filled = 0
        if self.half:
            self.half.add(np.concatenate(halves, axis=1))

    def _compress_and_halve(self, tile: np.ndarray) -> tuple[bytes | bytearray, np.ndarray | None]:
        """Compress a tile (h, w, count), padded to the full side at the border; and halve it."""
        half = self.halve(tile) if self.halve else None
        bottom, right = self.side - tile.shape[0], self.side - tile.shape[1]
        if bottom or right:
            tile = np.pad(tile, [(0, bottom), (0, right), (0, 0)], mode="edge")
        tile = np.ascontiguousarray(tile)
        if self.predictor == 2:
            tile = imagecodecs.delta_encode(tile, axis=1)
        elif self.predictor == 3:
            tile = imagecodecs.floatpred_encode(tile, axis=1)
        return imagecodecs.deflate_encode(tile.tobytes(), level=LEVEL), half

    def tags(self, start: int, palette: bool) -> Tags:
        """The layout tags of the level. Its tiles begin at byte `start` of the assembled file."""
        tags = directory.layout(
            self.height, self.width, self.count, self.dtype, self.side, self.predictor, palette
        )
        tags[TILE_OFFSETS] = (LONG, [start + offset for offset in self.offsets])
        tags[TILE_COUNTS] = (LONG, self.sizes)
        return tags


def _assemble(file: BinaryIO, levels: list[_Level], tags: Tags) -> None:
    """Write header, note, directories from large to small, and tiles from small to large."""
    # Overviews get the colours and the no-data value. Only the raster gets the georeference.
    shared = {tag: value for tag, value in tags.items() if tag in (COLORMAP, gdaltags.NODATA)}
    shared[NEW_SUBFILE_TYPE] = (LONG, [REDUCED_IMAGE])
    sizes = [level.file.tell() for level in levels]
    big = sum(sizes) > directory.BIGTIFF_BYTES

    def head(starts: list[int]) -> bytes:
        directories = [
            level.tags(start, COLORMAP in tags) | (shared if number else tags)
            for number, (level, start) in enumerate(zip(levels, starts))
        ]
        return directory.header(NOTE, directories, big)

    starts = [0] * len(levels)
    end = len(head(starts))  # the length of a directory does not depend on its offsets
    for number in reversed(range(len(levels))):
        starts[number], end = end, end + sizes[number]
    file.write(head(starts))
    for level in reversed(levels):
        level.file.seek(0)
        shutil.copyfileobj(level.file, file, 2**20)
