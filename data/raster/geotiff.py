"""Read any window of a GeoTIFF, or of a PNG, JPEG or JPEG 2000 picture.

A TIFF stores its pixels in blocks: strips of full rows, or tiles. Each block is compressed by
itself, and a table holds its offset. So only the blocks that overlap a window are read:

    block (r, c) holds the rows from r * block_height and the columns from c * block_width
    number of the block = r * blocks_across + c
                          (+ band * blocks_in_band, if each band has blocks of its own)

tifffile reads the header (tiffpage.py) and decodes a block: compression, predictor, byte order.
This file finds the blocks and assembles the window. georeference.py decodes the tags of CRS and
transform. gdaltags.py decodes palette, no-data value and band names. pictures.py decodes pictures,
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
from data.scaling import valid_pixels


class Raster:
    """A raster file opened for reading; a context manager.

    Several threads, and processes after a fork, can read it at the same time.

    Args:
        path: Path of the file.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is not a raster, or cannot be decoded.

    Attributes:
        path: Path of the file.
        grid: Its Grid. Without georeference, its CRS is None and its transform the identity.
        count: Number of bands.
        dtype: numpy dtype of the pixels; 1-bit masks are read as uint8.
        nodata: The no-data value that the file declares, int or float like the dtype, or None.
        colormap: {code: (red, green, blue)} with 0..255 of a palette image, else None. The pixels
            are the codes.
        descriptions: A name or None for each band.
        items: The metadata {name: text} of the whole raster.
        crs_problem: What is not understood of the CRS that the file holds, or None. If it is not
            None, `grid.crs` is None.
        geo_tags: The georeference tags of the file for `write(geo_tags=...)`, also with a CRS that
            cannot be decoded. PixelIsPoint is converted to PixelIsArea.
        block_shape: (height, width) of a block. A block is always decoded as a whole.
        alpha: Number of the band, from 1, that is the opacity of the pixels, or None.
        masked: Whether the file marks pixels without data by an alpha band or a dataset mask.
        scales: (scale, offset) or None for each band. value * scale + offset is the quantity; empty
            if no band has them. `read` returns the stored values.
        remarks: What the file holds and this class does not use, in sentences for the user. They do
            not name the file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.alpha: int | None = None
        self.masked = False
        self.scales: tuple[tuple[float, float] | None, ...] = ()
        self.remarks: list[str] = []
        self.crs_problem: str | None = None
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
            if self.grid.crs is None and self.geo_tags:
                self._explain_crs()
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

    def valid(self, window: Window | None = None, pixels: np.ndarray | None = None) -> np.ndarray:
        """Find the pixels of a window that hold data.

        A pixel has no data where the dataset mask or the alpha band is 0, and where
        `data.scaling.valid_pixels` finds none in the other bands.

        Args:
            window: The window, by default the whole raster.
            pixels: The pixels of all bands except alpha, if they have been read already.

        Returns:
            (height, width) bool.
        """
        if pixels is None:
            pixels = self.read(window, [b for b in range(1, self.count + 1) if b != self.alpha])
        valid = valid_pixels(pixels, self.nodata)
        if self.alpha:
            valid &= self.read(window, [self.alpha])[0] != 0
        return valid

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

    def _block(self, number: int) -> np.ndarray:
        """Decode a block (height, width, bands of the block). The last strip may be shorter."""
        offset, size = self._page.dataoffsets[number], self._page.databytecounts[number]
        if offset == 0 or size == 0:  # a sparse file omits blocks that were never written
            bands = 1 if self._blocks_in_band else self.count
            return np.full((*self.block_shape, bands), self.nodata or 0, self.dtype)
        # pread does not move the file position, so threads and processes can share the file.
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size:
            raise InputError(f"{self.path}: the file is cut short; copy or download it again")
        try:
            block = self._page.decode(data, number, jpegtables=self._page.jpegtables)[0]
        except (ValueError, RuntimeError, struct.error) as error:
            raise InputError(
                f"{self.path}: block {number} is damaged ({error}); copy or download the file again"
            ) from error
        assert block is not None  # tifffile returns None only for missing data
        return block[0].astype(self.dtype, copy=False)

    def _open_tiff(self) -> None:
        """Read the header of a TIFF file."""
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
            metadata = gdaltags.metadata(tags.get(gdaltags.METADATA), self.count)
            self.descriptions, self.items = metadata
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: its tags are damaged ({error}); write the file again"
            ) from error

    def _explain_crs(self) -> None:
        """Set `crs_problem`, with a remark, if the file holds a CRS that is not understood."""
        self.crs_problem = georeference.crs_problem(self.geo_tags)
        if self.crs_problem:
            self.remarks.append(
                f"CRS not understood: {self.crs_problem}; maps keep it, but nothing can be "
                "resampled or measured in km2; assign another with gdal_edit.py -a_srs"
            )

    def _open_picture(self) -> None:
        """Decode a PNG, JPEG or JPEG 2000 file as one block, and keep its pixels."""
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
    """Check the arguments of `read` for a raster of any class.

    Returns:
        The window, by default the whole raster, and the positions of the bands from 0.

    Raises:
        ValueError: The window is not inside the raster, or a band does not exist.
    """
    height, width = raster.grid.height, raster.grid.width
    checked = Window(*map(index, window or (0, 0, height, width)))
    bottom, right = checked.row + checked.height, checked.col + checked.width
    if not (0 <= checked.row < bottom <= height and 0 <= checked.col < right <= width):
        raise ValueError(
            f"{raster.path}: {window} is not inside the raster of {height} x {width} pixels"
        )
    if bands is None:
        return checked, list(range(raster.count))
    if not all(1 <= band <= raster.count for band in bands):
        raise ValueError(
            f"{raster.path}: bands {list(bands)} are not all among 1 to {raster.count}"
        )
    return checked, [index(band) - 1 for band in bands]
