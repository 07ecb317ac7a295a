"""Open a raster file: a GeoTIFF, or a PNG, JPEG or JPEG 2000 picture. Read any window of it.

`Raster` joins what the other files of this folder read:

    tiffpage.py       the header of a page, checked before any pixel is read
    pages.py          which pages of a TIFF file are bands, overviews or masks
    blocks.py         the pixels of a window, from the blocks that it overlaps; decoding.py
    georeference.py   CRS and transform
    gdaltags.py       palette, no-data value, band names, scales
    pictures.py       PNG, JPEG and JPEG 2000
    sidecars.py       the files beside a raster, and the boxes of a JPEG 2000 file: georeference
    validity.py       which pixels hold data

Specifications: TIFF 6.0 (1992) with Adobe's supplements, OGC 19-008r4. Read
tests/data/raster/test_geotiff.py beside this file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from operator import index
from pathlib import Path

import numpy as np

from data.files import InputError, require_file
from data.grid import IDENTITY, Grid, Window
from data.raster import gdaltags, georeference, pictures, sidecars, tiffpage, validity
from data.raster.blocks import Blocks, Decoded
from data.raster.claims import Damaged
from data.raster.pages import sort_pages
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
        self._pages: list[Blocks | Decoded] = []
        self._masks: list[Blocks | Decoded | Raster] = []
        self._nodata_values: np.ndarray | None = None
        require_file(path)
        self._file = open(self.path, "rb", buffering=0)
        try:
            magic = self._file.read(4)
            self._file.seek(0)
            if magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                self._open_tiff()
            else:
                self._open_picture()
            sidecars.place(self, magic)
            if self.grid.crs is None and self.geo_tags:
                self._explain_crs()
            self._open_masks()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Raster:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and the file of its mask."""
        self._file.close()
        for mask in self._masks:
            if isinstance(mask, Raster):
                mask.close()

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
        count = self._pages[0].count  # the same in all pages
        if len(self._pages) == 1:
            return self._pages[0].read(window, None if bands is None else chosen)
        parts = [self._pages[band // count].read(window, [band % count]) for band in chosen]
        return np.concatenate(parts)

    def valid(self, window: Window | None = None, pixels: np.ndarray | None = None) -> np.ndarray:
        """Find the pixels of a window that hold data.

        A pixel has no data where a dataset mask or the alpha band is 0, where all bands have their
        value of the item NODATA_VALUES, and where `data.scaling.valid_pixels` finds none in the
        bands other than alpha. validity.py describes these.

        Args:
            window: The window, by default the whole raster.
            pixels: The pixels of all bands except alpha, if they have been read already.

        Returns:
            (height, width) bool.
        """
        window, _ = requested(self, window, None)
        valid = np.ones((window.height, window.width), bool)
        if self.nodata is not None or self.dtype.kind == "f":
            if pixels is None:
                pixels = self.read(window, [b for b in range(1, self.count + 1) if b != self.alpha])
            valid &= valid_pixels(pixels, self.nodata)
        if self._nodata_values is not None:
            valid &= validity.differs(self.read(window), self._nodata_values)
        if self.alpha:
            valid &= self.read(window, [self.alpha])[0] != 0
        for mask in self._masks:
            valid &= (mask.read(window) != 0).all(axis=0)
        return valid

    def _open_tiff(self) -> None:
        """Read the header of a TIFF file."""
        page, tags = tiffpage.open_page(self._file, self.path)
        height, width = page.imagelength, page.imagewidth
        pages = sort_pages(page, self.path)
        blocks = [Blocks(self._file, self.path, each) for each in pages.bands]
        self._masks = [Blocks(self._file, self.path, each) for each in pages.masks]
        self._pages, self.count = [*blocks], sum(each.count for each in blocks)
        self.dtype, self.block_shape = blocks[0].dtype, blocks[0].block_shape
        if len(blocks) == 1:
            self.alpha = validity.alpha_band(self.count, page.extrasamples)
        self.remarks += pages.remarks
        geo_tags = {tag: tags[tag] for tag in georeference.TAGS if tag in tags}
        colormap = tags.get(gdaltags.COLORMAP) if self.count == 1 else None
        try:
            crs, transform, self.geo_tags = georeference.decode(geo_tags)
            self.grid = Grid(crs, transform, height, width)
            self.nodata = gdaltags.nodata(tags.get(gdaltags.NODATA), self.dtype)
            self.colormap = gdaltags.colormap(colormap)
            metadata = gdaltags.metadata(tags.get(gdaltags.METADATA), self.count)
            self.descriptions, self.items = metadata
            self.scales, remarks = gdaltags.scales(tags.get(gdaltags.METADATA), self.count)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: its tags are damaged ({error}); write the file again"
            ) from error
        self.remarks += remarks
        for each in blocks:
            each.fill = self.nodata or 0

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
            head = os.pread(self._file.fileno(), 12, 0)
            data = self._file.read() if head.startswith(pictures.SIGNATURES) else head
            picture = pictures.decode(data)
        except pictures.UnknownFormat:
            if not head:
                raise InputError(f"{self.path}: is empty; copy or download it again") from None
            raise InputError(
                f"{self.path}: not a TIFF, PNG, JPEG or JPEG 2000 file; convert it"
            ) from None
        except Damaged as error:
            raise InputError(
                f"{self.path}: cannot be decoded ({error}); is the file cut short?"
            ) from error
        self.count, height, width = picture.pixels.shape
        self._pages = [Decoded(picture.pixels)]
        self._masks = [Decoded(picture.valid[None])] if picture.valid is not None else []
        self.colormap, self.alpha = picture.palette, picture.alpha
        self.block_shape = (height, width)
        self.grid = Grid(None, IDENTITY, height, width)
        self.dtype, self.nodata = picture.pixels.dtype, None
        self.descriptions, self.geo_tags, self.items = (None,) * self.count, {}, {}
        self.remarks += picture.remarks
        if len(picture.transparent) == 1:
            self.nodata = picture.transparent[0]
        elif picture.transparent:
            self.items[validity.VALUES] = " ".join(map(str, picture.transparent))

    def _open_masks(self) -> None:
        """Find the masks of the raster that are not inside the file."""
        self._nodata_values, remarks = validity.value_by_band(self.items, self.count)
        self.remarks += remarks
        path = validity.sidecar(self.path)
        if path:
            try:
                mask = Raster(path)
            except (InputError, OSError) as error:
                self.remarks.append(f"its mask cannot be used: {error}")
            else:
                if (mask.grid.height, mask.grid.width) == (self.grid.height, self.grid.width):
                    self._masks.append(mask)
                else:
                    mask.close()
                    self.remarks.append(
                        f"its mask {path.name} has {mask.grid.height} x {mask.grid.width} pixels: "
                        "not used"
                    )
        self.masked = bool(self.alpha or self._masks or self._nodata_values is not None)


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
