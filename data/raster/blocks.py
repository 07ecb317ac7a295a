"""Read any window of one page of a TIFF file.

A TIFF stores its pixels in blocks: strips of full rows, or tiles. Each block is compressed by
itself, and a table holds its offset. So only the blocks that overlap a window are read:

    block (r, c) holds the rows from r * block_height and the columns from c * block_width
    number of the block = r * blocks_across + c
                          (+ band * blocks_in_band, if each band has blocks of its own)

This file finds the blocks and assembles the window. decoding.py decodes a block.

Specification: TIFF 6.0 (1992). Read tests/data/raster/test_geotiff.py beside this file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from data.files import InputError
from data.grid import Window
from data.raster import claims, codedsize, decoding, tiffpage
from data.raster.claims import Damaged


class Decoded:
    """Pixels (bands, height, width) in memory, read like the pixels of a page."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.count = pixels, len(pixels)

    def read(self, window: Window, bands: Sequence[int] | None = None) -> np.ndarray:
        """Copy a window, like `Blocks.read`."""
        row, col, height, width = window
        chosen = list(range(self.count) if bands is None else bands)
        return self.pixels[chosen, row : row + height, col : col + width]


class Blocks:
    """The pixels of one page.

    Args:
        file: The open file. Its position is not used, so threads and processes can share it.
        path: Its path, for errors.
        page: The page, checked by `tiffpage.check_page`.
        fill: The value of blocks that a sparse file omits.

    Attributes:
        count: Number of bands.
        dtype: numpy dtype of the pixels; 1-bit masks are read as uint8.
        block_shape: (height, width) of a block.
    """

    def __init__(
        self, file: BinaryIO, path: Path, page: tifffile.TiffPage, fill: float = 0
    ) -> None:
        self._file, self._path, self._page, self.fill = file, path, page, fill
        self.count = page.samplesperpixel
        self.dtype = np.dtype(np.uint8 if page.dtype.kind == "b" else page.dtype)
        self.block_shape = tiffpage.block_shape(page)
        self._across = -(-page.imagewidth // self.block_shape[1])
        blocks = -(-page.imagelength // self.block_shape[0]) * self._across
        self._in_band = blocks if tiffpage.planes(page) > 1 else 0

    def read(self, window: Window, bands: Sequence[int] | None = None) -> np.ndarray:
        """Read a window that lies inside the page.

        Args:
            window: The pixels to read.
            bands: Positions of the bands from 0, by default all.

        Returns:
            (bands, height, width) of `dtype`.
        """
        row, col, height, width = window
        chosen = list(range(self.count) if bands is None else bands)
        out = np.empty((len(chosen), height, width), self.dtype)
        block_height, block_width = self.block_shape
        for r in range(row // block_height, -(-(row + height) // block_height)):
            for c in range(col // block_width, -(-(col + width) // block_width)):
                source, target = self._overlap(window, r, c)
                number = r * self._across + c
                if self._in_band:
                    for plane, band in zip(out[target], chosen):
                        block = self._block(number + band * self._in_band, source)
                        plane[...] = block[source][..., 0]
                else:
                    pixels = self._block(number, source)[source].transpose(2, 0, 1)
                    out[target] = pixels if bands is None else pixels[chosen]
        return out

    def _overlap(self, window: Window, r: int, c: int) -> tuple[tuple, tuple]:
        """Find the pixels that the window and block (r, c) share.

        Returns:
            The slices (rows, columns) of the block, and (bands, rows, columns) of the window.
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

    def _block(self, number: int, needed: tuple[slice, slice]) -> np.ndarray:
        """Decode a block (height, width, bands of the block) that has at least the needed pixels.

        The last strip may be shorter than the others.
        """
        offset, size = self._page.dataoffsets[number], self._page.databytecounts[number]
        if offset == 0 or size == 0:  # a sparse file omits blocks that were never written
            bands = 1 if self._in_band else self.count
            fill = np.array(self.fill, self.dtype)
            return np.broadcast_to(fill, (*self.block_shape, bands))
        # pread does not move the file position, so threads and processes can share the file.
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size:
            raise InputError(f"{self._path}: the file is cut short; copy or download it again")
        try:
            codedsize.require_fitting(data, self._page.compression, *self.block_shape)
            block = claims.call(decoding.decode_block, self._page, data, number)
            if any(part.stop > side for part, side in zip(needed, block.shape)):
                raise Damaged(f"it has {block.shape[0]} x {block.shape[1]} pixels")
        except Damaged as error:
            raise InputError(
                f"{self._path}: block {number} is damaged ({error}); copy or download the file "
                "again"
            ) from error
        return block.astype(self.dtype, copy=False)
