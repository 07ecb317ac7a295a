"""The pages of a TIFF file: bands, overviews and masks.

A TIFF file is a chain of pages. Each has a header and pixels of its own. A GeoTIFF has one page of
pixels. Others hold the same image at a lower resolution (overviews), or tell which pixels hold data
(masks). The tag NewSubfileType tells them apart. Scientific programs also write each band as a page
of its own: `tifffile.imwrite` does so with an array (bands, height, width).

Specification: TIFF 6.0 (1992), section 8, NewSubfileType. Read tests/data/raster/test_pages.py
beside this file.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from operator import index
from pathlib import Path

import tifffile

from data.files import InputError
from data.raster import georeference, tiffpage

REDUCED, MASK = 1, 4  # bits of NewSubfileType
MASK_PHOTOMETRIC = 4
# Descriptions by tifffile and by ImageJ of a file whose further images have no header.
MORE_IMAGES = r'"truncated": true|^images=(?!1$)\d+$'
INKS = {5: "CMYK", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32844: "LogL", 32845: "LogLuv"}


@dataclass
class Pages:
    """The pages that a raster uses.

    Attributes:
        bands: The pages of the bands, in their order.
        masks: The pages that tell which pixels hold data.
        remarks: What the other pages hold, in sentences.
    """

    bands: list[tifffile.TiffPage]
    masks: list[tifffile.TiffPage]
    remarks: list[str]


def sort_pages(first: tifffile.TiffPage, path: Path) -> Pages:
    """Sort the pages of a file by what they hold.

    Args:
        first: The first page, which is always of bands.
        path: Path of the file, for errors.

    Raises:
        InputError: A page is neither a band of the same grid and type, nor an overview, nor a mask.
    """
    others, broken = _other_pages(first)
    remarks: list[str] = []
    pages = Pages([first], [], remarks)
    for number, page in others:
        kind, size = page.subfiletype, (page.imagelength, page.imagewidth)
        mask = kind & MASK or page.photometric == MASK_PHOTOMETRIC
        if kind & REDUCED:
            continue
        if mask and size == (first.imagelength, first.imagewidth):
            tiffpage.check_page(page, path)
            pages.masks.append(page)
        elif mask or _is_preview(page, first):
            what = "mask of another size" if mask else "smaller image"
            remarks.append(f"page {number} is a {what} ({size[0]} x {size[1]} pixels): not used")
        else:
            _check_alike(first, page, number, path)
            pages.bands.append(page)
    if broken and len(pages.bands) > 1:
        raise InputError(f"{path}: {broken}; copy or download the file again")
    if broken:
        remarks.append(f"{broken}; overviews and masks there are not used; is the file cut short?")
    if len(pages.bands) > 1:
        remarks.append(
            f"its {len(pages.bands)} pages are used as bands, one after the other; rasterio calls "
            "them subdatasets"
        )
    elif re.search(MORE_IMAGES, str(first.description), re.MULTILINE):
        remarks.append(
            "its description tells of images behind the first that have no page: not used; write "
            "them as bands"
        )
    if first.photometric in INKS:
        remarks.append(
            f"its colours are {INKS[first.photometric]}, and are used as they are; convert the file"
            " to RGB if other images are RGB"
        )
    return pages


def _other_pages(first: tifffile.TiffPage) -> tuple[list[tuple[int, tifffile.TiffPage]], str]:
    """Read the headers of all pages but the first.

    Returns:
        Pairs (number from 1, page), and what is wrong if the chain of pages is broken, else "".
    """
    pages: list[tuple[int, tifffile.TiffPage]] = []
    last = first
    try:
        tif = first.parent
        for number in range(1, len(tif.pages)):
            page = tif.pages[number]
            assert isinstance(page, tifffile.TiffPage)  # not a TiffFrame, which is a part of one
            for value in (page.subfiletype, page.photometric, page.imagelength, page.imagewidth):
                index(value)  # TypeError if it is not a whole number
            pages.append((number + 1, page))
            last = page
        handle, tiff = tif.filehandle, tif.tiff
        handle.seek(last.offset)
        (count,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
        handle.seek(last.offset + tiff.tagnosize + count * tiff.tagsize)
        broken = any(handle.read(tiff.offsetsize))  # the last page has no next one
    except OSError:
        raise
    except Exception:  # tifffile has no common exception for damaged headers
        broken = True
    return pages, f"its pages behind page {len(pages) + 1} cannot be read" if broken else ""


def _is_preview(page: tifffile.TiffPage, first: tifffile.TiffPage) -> bool:
    """Whether a page is smaller than the first and, up to a pixel, of the same shape."""
    height, width = page.imagelength, page.imagewidth
    smaller = height < first.imagelength and width < first.imagewidth
    difference = abs(height * first.imagewidth - width * first.imagelength)
    return smaller and difference <= max(first.imagelength, first.imagewidth)


def _check_alike(
    first: tifffile.TiffPage, page: tifffile.TiffPage, number: int, path: Path
) -> None:
    """Raise InputError if a page cannot be bands of the same image."""
    tiffpage.check_page(page, path)
    one, other = (
        f"{p.imagelength} x {p.imagewidth} pixels ({p.samplesperpixel} x {p.dtype})"
        for p in (first, page)
    )
    if one != other:
        raise InputError(
            f"{path}: its pages differ: page 1 has {one}, page {number} has {other}; write each "
            "image to a file of its own"
        )
    for code in georeference.TAGS:
        if code in page.tags and page.tags.valueof(code) != first.tags.valueof(code):
            raise InputError(
                f"{path}: its pages 1 and {number} differ in their georeference; write each image "
                "to a file of its own"
            )
