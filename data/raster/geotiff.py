"""GeoTIFF: read any window of a raster, write a raster block by block.

A TIFF keeps its pixels in blocks, either strips of full rows or square tiles, each compressed by
itself and found through a table of offsets. So a window costs only the blocks that it touches:

    block (r, c) holds the rows r * block_height ... and the columns c * block_width ...
    its number is r * blocks_across + c, plus band * blocks_in_a_band where each band lies by itself

tifffile reads the header and decodes a block (compression, predictor, byte order); which blocks,
and how they become a window, is here. georeference.py has the tags of the georeference, gdaltags.py
those of palette, no-data value and band names, pngjpeg.py the pictures that are read as rasters
without georeference.

Specifications: TIFF 6.0 (1992) with Adobe's supplements, OGC 19-008r4. Read
tests/data/raster/test_geotiff.py beside this file, and tests/data/raster/test_geotiff_write.py
beside its lower half.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path

import numpy as np
import tifffile

from data.files import InputError, replacing
from data.grid import IDENTITY, Grid, Window
from data.raster import gdaltags, georeference, pictures

PIXEL_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339)
TILE = 256
STRIP_BYTES = 2**18
BIGTIFF_BYTES = (
    2**32 - 2**26
)  # offsets have 32 bits; headers and incompressible tiles need some room

# tifffile logs what it finds odd in a header; what matters of it is an InputError here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class Raster:
    """A raster file opened for reading; a context manager, usable from several threads and after a
    fork.

    path         Path of the file
    grid         data.grid.Grid; crs None and the identity transform where the file has no georeference
    count        number of bands
    dtype        numpy dtype of the pixels (1-bit masks read as uint8)
    nodata       the declared no-data value, int or float as the dtype is, or None; 0 is never assumed
    colormap     {code: (red, green, blue)} with 0..255 of a palette image, whose pixels stay codes, or None
    descriptions a name or None for each band
    geo_tags     the georeference for `write(geo_tags=...)`, as it stands in the file even if its CRS cannot
                 be told (a PixelIsPoint file's is shifted to PixelIsArea)
    block_shape  (height, width) of the blocks that are decoded as a whole

    Raises FileNotFoundError, and InputError for a file that is not a raster or cannot be decoded.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        try:
            self._file = open(self.path, "rb", buffering=0)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such file; check its name and folder") from None
        try:
            magic = self._file.read(4)
            self._file.seek(0)
            if magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                self._open_tiff()
            else:
                self._open_picture()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Raster:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Pixels (bands, height, width) of a window, or of the whole raster; bands are numbered
        from 1.

        Raises ValueError for a window that is not inside the raster or a band that it does not
        have, and InputError where the file is cut short or damaged.
        """
        row, col, height, width = map(index, window or (0, 0, self.grid.height, self.grid.width))
        bottom, right = row + height, col + width
        inside = 0 <= row < bottom <= self.grid.height and 0 <= col < right <= self.grid.width
        if not inside:
            size = f"{self.grid.height} x {self.grid.width}"
            raise ValueError(f"{self.path}: {window} is not inside the raster of {size} pixels")
        if bands is not None and not all(1 <= band <= self.count for band in bands):
            raise ValueError(
                f"{self.path}: bands {list(bands)} are not all among 1 to {self.count}"
            )
        chosen = list(range(self.count)) if bands is None else [index(band) - 1 for band in bands]
        if self._page is None:
            return self._picture[chosen, row:bottom, col:right]

        out = np.empty((len(chosen), height, width), self.dtype)
        block_height, block_width = self.block_shape
        for r in range(row // block_height, -(-bottom // block_height)):
            for c in range(col // block_width, -(-right // block_width)):
                # The part of the window in this block: in the raster, then in the block and in the
                # window.
                top, left = max(row, r * block_height), max(col, c * block_width)
                end = min(bottom, (r + 1) * block_height), min(right, (c + 1) * block_width)
                source = np.s_[
                    top - r * block_height : end[0] - r * block_height,
                    left - c * block_width : end[1] - c * block_width,
                ]
                target = out[:, top - row : end[0] - row, left - col : end[1] - col]
                number = r * self._across + c
                if self._blocks_in_band:
                    for plane, band in zip(target, chosen):
                        plane[...] = self._block(number + band * self._blocks_in_band)[source][
                            ..., 0
                        ]
                else:
                    pixels = self._block(number)[source].transpose(2, 0, 1)
                    target[...] = pixels if bands is None else pixels[chosen]
        return out

    def _block(self, number: int) -> np.ndarray:
        """One decoded block (height, width, bands that lie together); the last strip may be
        shorter.
        """
        offset, size = self._page.dataoffsets[number], self._page.databytecounts[number]
        if offset == 0 or size == 0:  # a sparse file leaves out the blocks that nobody wrote
            bands = 1 if self._blocks_in_band else self.count
            return np.full((*self.block_shape, bands), self.nodata or 0, self.dtype)
        # pread moves no file position, so threads and forked workers that share the file do not
        # collide.
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size:
            raise InputError(f"{self.path}: the file is cut short; copy or download it again")
        try:
            block = self._page.decode(data, number, jpegtables=self._page.jpegtables)[0]
        except (ValueError, RuntimeError, struct.error) as error:
            raise InputError(
                f"{self.path}: block {number} is damaged ({error}); copy or download the file again"
            ) from error
        return block[0].astype(self.dtype, copy=False)

    def _open_tiff(self) -> None:
        try:
            tif = tifffile.TiffFile(self._file)
            page = tif.pages.first
            tags = _tags(tif, page)
            height, width, self.count = map(
                index, (page.imagelength, page.imagewidth, page.samplesperpixel)
            )
            block = (
                (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
            )
            rows, cols = map(index, block)
        except OSError:
            raise
        except Exception as error:  # a damaged header can fail tifffile in any way
            raise InputError(
                f"{self.path}: not a readable TIFF ({error}); is the file cut short?"
            ) from error
        if (
            page.dtype is None
            or page.dtype.kind not in "buif"
            or isinstance(page.bitspersample, tuple)
        ):
            kind = page.dtype or f"{page.bitspersample}-bit"
            raise InputError(
                f"{self.path}: {kind} pixels are not supported; convert to integers or floats"
            )
        self.dtype = np.dtype(np.uint8) if page.dtype.kind == "b" else page.dtype
        separate = self.count > 1 and page.planarconfig == 2
        if min(height, width, rows, cols) < 1 or page.imagedepth != 1:
            raise InputError(
                f"{self.path}: not a flat image ({page.shape}); write one image to a GeoTIFF"
            )
        blocks = -(-height // rows) * -(-width // cols) * (self.count if separate else 1)
        if min(len(page.dataoffsets), len(page.databytecounts)) < blocks:
            raise InputError(
                f"{self.path}: its table of blocks is damaged; copy or download the file again"
            )
        _chop_strips(page)
        try:
            page.decode(None, 0)  # without a block this only asks whether there is a decoder
        except Exception as error:
            raise InputError(
                f"{self.path}: cannot be decoded ({error}); rewrite it with DEFLATE compression"
            ) from error
        self._page = page
        self.block_shape = (rows, cols) if page.is_tiled else (page.rowsperstrip, width)
        self._across = -(-width // cols)
        self._blocks_in_band = -(-height // self.block_shape[0]) * self._across if separate else 0
        geo_tags = {tag: tags[tag] for tag in georeference.TAGS if tag in tags}
        try:
            crs, transform, self.geo_tags = georeference.decode(geo_tags)
            self.grid = Grid(crs, transform, height, width)
            self.nodata = gdaltags.nodata(tags.get(gdaltags.NODATA), self.dtype)
            self.colormap = (
                gdaltags.colormap(tags.get(gdaltags.COLORMAP)) if self.count == 1 else None
            )
            self.descriptions = gdaltags.descriptions(tags.get(gdaltags.METADATA), self.count)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: its tags are damaged ({error}); write it anew"
            ) from error

    def _open_picture(self) -> None:
        """A PNG, JPEG or JPEG 2000 file is one block: decoded here and kept."""
        try:
            pixels, self.colormap = pictures.decode(self._file.read())
        except pictures.UnknownFormat:
            raise InputError(
                f"{self.path}: not a TIFF, PNG, JPEG or JPEG 2000 file; convert it"
            ) from None
        except (ValueError, RuntimeError, LookupError, struct.error) as error:
            raise InputError(
                f"{self.path}: cannot be decoded ({error}); is the file cut short?"
            ) from error
        self._page, self._picture = None, pixels
        self.count, height, width = pixels.shape
        self.block_shape, self.grid = (height, width), Grid(None, IDENTITY, height, width)
        self.dtype, self.nodata = pixels.dtype, None
        self.descriptions, self.geo_tags = (None,) * self.count, {}


def _tags(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> dict:
    """The values of the tags that say more than where the pixels are; ValueError if one is cut off.

    tifffile leaves out a tag whose value lies beyond the end of the file: a file cut short there
    would otherwise seem to be one that never had a CRS.
    """
    handle, header = tif.filehandle, tif.tiff
    handle.seek(page.offset)
    (count,) = struct.unpack(header.tagnoformat, handle.read(header.tagnosize))
    entries = handle.read(count * header.tagsize)
    listed = {
        struct.unpack_from(f"{header.byteorder}H", entries, at)[0]
        for at in range(0, len(entries), header.tagsize)
    }
    wanted = (*georeference.TAGS, *gdaltags.TAGS)
    lost = [code for code in (*PIXEL_TAGS, *wanted) if code in listed and code not in page.tags]
    if lost:
        raise ValueError(f"tag {lost[0]} is damaged")
    values = {code: page.tags.valueof(code) for code in wanted if code in page.tags}
    for code in georeference.TAGS:
        if code == georeference.TEXTS and code in values:
            # The directory counts bytes, and a decoded text with an accent is shorter than its
            # bytes.
            handle.seek(page.tags[code].valueoffset)
            values[code] = handle.read(page.tags[code].count)
        elif code in values:
            values[code] = tuple(np.ravel(values[code]).tolist())
    return values


def _chop_strips(page: tifffile.TiffPage) -> None:
    """Cut an uncompressed strip that is the whole image into many, as libtiff does when it opens a
    file.

    Simple writers make such files; a window of one should read its own rows only.
    """
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    row_bytes = page.imagewidth * page.samplesperpixel // planes * page.bitspersample // 8
    one_strip = not page.is_tiled and page.rowsperstrip >= page.imagelength
    if not one_strip or page.compression != 1 or page.bitspersample % 8:
        return
    if min(page.dataoffsets) == 0 or min(page.databytecounts) < page.imagelength * row_bytes:
        return
    rows = max(1, STRIP_BYTES // row_bytes)
    starts = range(0, page.imagelength, rows)
    page.dataoffsets = tuple(
        offset + row * row_bytes for offset in page.dataoffsets for row in starts
    )
    page.databytecounts = (
        tuple(min(rows, page.imagelength - row) * row_bytes for row in starts) * planes
    )
    page.rowsperstrip = rows


def write(
    path: str | os.PathLike,
    array: np.ndarray,
    grid: Grid,
    nodata: float | None = None,
    colormap: dict[int, tuple[int, int, int]] | None = None,
    descriptions: Sequence[str | None] | None = None,
    geo_tags: dict | None = None,
) -> None:
    """Write an array (H, W) or (bands, H, W) as a GeoTIFF; arguments and errors as of
    `write_blocks`.
    """
    array = np.asarray(array)
    strip = array[None] if array.ndim == 2 else array
    write_blocks(
        path, [strip], grid, len(strip), array.dtype, nodata, colormap, descriptions, geo_tags
    )


def write_blocks(
    path: str | os.PathLike,
    strips: Iterable[np.ndarray],
    grid: Grid,
    count: int,
    dtype: np.dtype | type | str,
    nodata: float | None = None,
    colormap: dict[int, tuple[int, int, int]] | None = None,
    descriptions: Sequence[str | None] | None = None,
    geo_tags: dict | None = None,
) -> None:
    """Write a GeoTIFF from strips (count, h, width) that follow each other from top to bottom.

    The strips may have any heights that add up to the grid's; one row of tiles and one strip are in
    memory at a time. The file is tiled, DEFLATE-compressed with a predictor, pixel-interleaved, and
    BigTIFF where it could pass 4 GB. It appears under its name when it is complete, see
    `replacing`.

    `nodata` is a value of the dtype; `colormap` {code: (red, green, blue)} makes one band of uint8
    or uint16 a palette image; `descriptions` name the bands. `geo_tags` of a Raster of the same
    grid are written as they are, instead of an encoding of `grid`.

    Raises ValueError where arguments or strips contradict each other, OSError where writing fails.
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    tags, palette = described(grid, count, dtype, nodata, colormap, descriptions, geo_tags)
    padded = -(-grid.height // TILE) * -(-grid.width // TILE) * TILE**2 * count * dtype.itemsize
    bigtiff = padded > BIGTIFF_BYTES
    with replacing(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=bigtiff) as tif:
        tif.write(
            _tiles(strips, grid, count, dtype),
            shape=(grid.height, grid.width) if count == 1 else (grid.height, grid.width, count),
            dtype=dtype,
            tile=(TILE, TILE),
            compression="zlib",
            predictor=3 if dtype.kind == "f" else 2,
            photometric="minisblack" if palette is None else "palette",
            planarconfig=None if count == 1 else "contig",
            colormap=palette,
            extratags=[(tag, kind, len(value), value, True) for tag, (kind, value) in tags.items()],
            metadata=None,
            software=False,
        )


def described(
    grid: Grid,
    count: int,
    dtype: np.dtype,
    nodata: float | None = None,
    colormap: dict[int, tuple[int, int, int]] | None = None,
    descriptions: Sequence[str | None] | None = None,
    geo_tags: dict | None = None,
    items: Mapping[str, str] | None = None,
    scale: float | None = None,
) -> tuple[dict[int, tuple[int, Sequence]], np.ndarray | None]:
    """({tag: (TIFF's number of its type, value)} that say where and what the pixels are, palette or
    None).

    Arguments as of `write_blocks`; `items` are facts about the raster, `scale` what a pixel is
    multiplied by.
    """
    if dtype.kind not in "iuf" or count < 1:
        raise ValueError(f"cannot write {count} bands of {dtype}: a GeoTIFF has integers or floats")
    if descriptions is not None and len(descriptions) != count:
        raise ValueError(f"{len(descriptions)} descriptions for {count} bands")
    if colormap and (count != 1 or dtype not in (np.uint8, np.uint16)):
        raise ValueError(f"a colormap needs one band of uint8 or uint16, not {count} of {dtype}")
    tags = georeference.encode(grid.crs, grid.transform) if geo_tags is None else geo_tags
    if nodata is not None:
        tags = {**tags, gdaltags.NODATA: gdaltags.nodata_text(nodata, dtype)}
    if items or scale or any(descriptions or ()):
        tags = {
            **tags,
            gdaltags.METADATA: gdaltags.metadata_xml(descriptions or [None] * count, items, scale),
        }
    # SHORT and ASCII, as TIFF numbers its types; all others are DOUBLE.
    types = {
        georeference.DIRECTORY: 3,
        georeference.TEXTS: 2,
        gdaltags.METADATA: 2,
        gdaltags.NODATA: 2,
    }
    palette = gdaltags.palette(colormap, dtype) if colormap else None
    return {tag: (types.get(tag, 12), value) for tag, value in tags.items()}, palette


def _tiles(
    strips: Iterable[np.ndarray], grid: Grid, count: int, dtype: np.dtype
) -> Iterator[np.ndarray]:
    """Tiles (h, w, count) in the file's order, row by row, cut from strips (count, any height,
    width).
    """
    rows, filled, done = np.zeros((TILE, grid.width, count), dtype), 0, 0
    for strip in strips:
        fits = strip.ndim == 3 and strip.shape[::2] == (count, grid.width)
        if not fits or not np.can_cast(strip.dtype, dtype, "equiv"):
            expected = f"({count}, any height, {grid.width}) {dtype}"
            raise ValueError(f"a strip of {strip.shape} {strip.dtype} where {expected} is due")
        done += strip.shape[1]
        if done > grid.height:
            raise ValueError(f"the strips have more rows than the grid's {grid.height}")
        while strip.shape[1]:
            taken = strip[:, : TILE - filled]
            rows[filled : filled + taken.shape[1]] = taken.transpose(1, 2, 0)
            filled, strip = filled + taken.shape[1], strip[:, taken.shape[1] :]
            if filled == TILE:
                # Copies, because tifffile compresses some tiles later, on threads.
                yield from (rows[:, col : col + TILE].copy() for col in range(0, grid.width, TILE))
                filled = 0
    if done != grid.height:
        raise ValueError(f"the strips have {done} rows and the grid {grid.height}")
    if filled:
        yield from (rows[:filled, col : col + TILE].copy() for col in range(0, grid.width, TILE))
