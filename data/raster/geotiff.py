"""Read any window of a GeoTIFF, or of a PNG, JPEG or JPEG 2000 picture.

A TIFF keeps its pixels in blocks: strips of full rows, or tiles. Each block is compressed by itself
and found through a table of offsets, so a window costs only the blocks that it touches:

    block (r, c) holds the rows r * block_height ... and the columns c * block_width ...
    its number is r * blocks_across + c
    where each band has blocks of its own, + band * blocks_in_band

tifffile reads the header (tiffpage.py) and decodes a block: compression, predictor, byte order.
This file finds the blocks and puts the window together. georeference.py decodes the tags of CRS and
transform, gdaltags.py those of palette, no-data value and band names, and pictures.py the pictures,
which are rasters without georeference.

Specifications: TIFF 6.0 (1992) with Adobe's supplements, OGC 19-008r4. Read
tests/data/raster/test_geotiff.py beside this file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from operator import index
from pathlib import Path

import numpy as np
import tifffile

from data.files import InputError
from data.grid import IDENTITY, Grid, Window
from data.raster import gdaltags, georeference, pictures, tiffpage


class Raster:
    """A raster file opened for reading, usable from several threads and after a fork.

    A context manager. Raises FileNotFoundError, and InputError for a file that is not a raster or
    cannot be decoded.

    Attributes:
        path: Path of the file.
        grid: Its Grid; crs None and the identity transform where the file has no georeference.
        count: Number of bands.
        dtype: numpy dtype of the pixels; 1-bit masks are read as uint8.
        nodata: The declared no-data value, int or float as the dtype is, or None. It is never
            assumed.
        colormap: {code: (red, green, blue)} with 0..255 of a palette image, else None. The pixels
            stay codes.
        descriptions: A name or None for each band.
        items: {name: text} of the metadata of the whole raster.
        geo_tags: The georeference for `write(geo_tags=...)` as it stands in the file, even where
            its CRS is not understood; PixelIsPoint is shifted to PixelIsArea.
        block_shape: (height, width) of the blocks that are decoded as a whole.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._page: tifffile.TiffPage | None = None
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
        """Close the file."""
        self._file.close()

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window.

        Args:
            window: The pixels to read, by default all.
            bands: Band numbers from 1, by default all.

        Returns:
            (bands, height, width) of `dtype`.

        Raises:
            ValueError: The window is not inside the raster, or a band does not exist.
            InputError: The file is cut short or damaged.
        """
        window, chosen = requested(self, window, bands)
        row, col, height, width = window
        if self._page is None:
            return self._picture[chosen, row : row + height, col : col + width]
        out = np.empty((len(chosen), height, width), self.dtype)
        block_height, block_width = self.block_shape
        for r in range(row // block_height, -(-(row + height) // block_height)):
            for c in range(col // block_width, -(-(col + width) // block_width)):
                source, target = self._overlap(window, r, c)
                number = r * self._blocks_across + c
                if self._blocks_in_band:
                    for plane, band in zip(out[target], chosen):
                        block = self._block(number + band * self._blocks_in_band)
                        plane[...] = block[source][..., 0]
                else:
                    pixels = self._block(number)[source].transpose(2, 0, 1)
                    out[target] = pixels if bands is None else pixels[chosen]
        return out

    def _overlap(self, window: Window, r: int, c: int) -> tuple[tuple, tuple]:
        """The pixels that the window and block (r, c) share, as slices: (rows, columns) of the
        block, and (bands, rows, columns) of the window.
        """
        source, target = [], [slice(None)]
        for number, side, start, size in zip(
            (r, c), self.block_shape, (window.row, window.col), (window.height, window.width)
        ):
            first = max(start, number * side)
            last = min(start + size, (number + 1) * side)
            source.append(slice(first - number * side, last - number * side))
            target.append(slice(first - start, last - start))
        return tuple(source), tuple(target)

    def _block(self, number: int) -> np.ndarray:
        """One decoded block (height, width, bands of the block); the last strip may be shorter."""
        offset, size = self._page.dataoffsets[number], self._page.databytecounts[number]
        if offset == 0 or size == 0:  # a sparse file has no blocks where nothing was written
            bands = 1 if self._blocks_in_band else self.count
            return np.full((*self.block_shape, bands), self.nodata or 0, self.dtype)
        # pread moves no file position, so threads and forked processes can share the file.
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size:
            raise InputError(f"{self.path}: the file is cut short; copy or download it again")
        try:
            block = self._page.decode(data, number, jpegtables=self._page.jpegtables)[0]
        except (ValueError, RuntimeError, struct.error) as error:
            raise InputError(
                f"{self.path}: block {number} is damaged ({error}); copy or download the file again"
            ) from error
        assert block is not None  # as it is only where `data` is None
        return block[0].astype(self.dtype, copy=False)

    def _open_tiff(self) -> None:
        self._page, tags = tiffpage.open_page(self._file, self.path)
        page = self._page
        height, width, self.count = page.imagelength, page.imagewidth, page.samplesperpixel
        self.dtype = np.dtype(np.uint8 if page.dtype.kind == "b" else page.dtype)
        self.block_shape = tiffpage.block_shape(page)
        self._blocks_across = -(-width // self.block_shape[1])
        blocks = -(-height // self.block_shape[0]) * self._blocks_across
        self._blocks_in_band = blocks if tiffpage.planes(page) > 1 else 0
        geo_tags = {tag: tags[tag] for tag in georeference.TAGS if tag in tags}
        colormap = tags.get(gdaltags.COLORMAP) if self.count == 1 else None
        try:
            crs, transform, self.geo_tags = georeference.decode(geo_tags)
            self.grid = Grid(crs, transform, height, width)
            self.nodata = gdaltags.nodata(tags.get(gdaltags.NODATA), self.dtype)
            self.colormap = gdaltags.colormap(colormap)
            found = gdaltags.metadata(tags.get(gdaltags.METADATA), self.count)
            self.descriptions, self.items = found
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: its tags are damaged ({error}); write it anew"
            ) from error

    def _open_picture(self) -> None:
        """Decode a PNG, JPEG or JPEG 2000 file, which is one block, and keep its pixels."""
        try:
            self._picture, self.colormap = pictures.decode(self._file.read())
        except pictures.UnknownFormat:
            raise InputError(
                f"{self.path}: not a TIFF, PNG, JPEG or JPEG 2000 file; convert it"
            ) from None
        except (ValueError, RuntimeError, LookupError, struct.error) as error:
            raise InputError(
                f"{self.path}: cannot be decoded ({error}); is the file cut short?"
            ) from error
        self.count, height, width = self._picture.shape
        self.block_shape = (height, width)
        self.grid = Grid(None, IDENTITY, height, width)
        self.dtype, self.nodata = self._picture.dtype, None
        self.descriptions, self.geo_tags, self.items = (None,) * self.count, {}, {}


def requested(
    raster, window: Window | None, bands: Sequence[int] | None
) -> tuple[Window, list[int]]:
    """Check the arguments of `read` for a raster, whatever its class.

    Returns:
        The window, by default the whole raster, and the positions of the bands from 0.

    Raises:
        ValueError: The window is not inside the raster, or a band does not exist.
    """
    height, width = raster.grid.height, raster.grid.width
    asked = Window(*map(index, window or (0, 0, height, width)))
    bottom, right = asked.row + asked.height, asked.col + asked.width
    if not (0 <= asked.row < bottom <= height and 0 <= asked.col < right <= width):
        raise ValueError(
            f"{raster.path}: {window} is not inside the raster of {height} x {width} pixels"
        )
    if bands is None:
        return asked, list(range(raster.count))
    if not all(1 <= band <= raster.count for band in bands):
        raise ValueError(
            f"{raster.path}: bands {list(bands)} are not all among 1 to {raster.count}"
        )
    return asked, [index(band) - 1 for band in bands]
