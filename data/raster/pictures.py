"""PNG, JPEG and JPEG 2000 files as arrays, so that masks keep their codes.

In many data sets the images are pictures, and the masks are palette pictures: each pixel is a code,
and a table gives its colour. Most image libraries return the colours. A segmentation needs the
codes, so this file returns the codes. imagecodecs (libpng, libjpeg, OpenJPEG) decodes the pixels.
png.py and jp2header.py read the headers. As in rasterio, the orientation that a camera writes into
a JPEG (EXIF) turns no pixel.

Read tests/data/raster/test_pictures.py beside this file.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import imagecodecs
import numpy as np

from data.raster import claims, codedsize, jp2header, png

# The first bytes of a file: PNG, JPEG, JPEG 2000, and the codestream of JPEG 2000 alone.
SIGNATURES = (png.MAGIC, b"\xff\xd8\xff", jp2header.MAGIC, b"\xff\x4f\xff\x51")
START_OF_SCAN, END = b"\xff\xda", b"\xff\xd9"  # marks in a JPEG


class UnknownFormat(ValueError):
    """The bytes are in none of the three formats."""


@dataclass
class Picture:
    """A decoded picture.

    Attributes:
        pixels: (bands, height, width). A palette picture has one band, which holds its codes. The
            pixels of an n-bit grey PNG are 0 to 2^n - 1.
        palette: {code: (red, green, blue)}, or None.
        alpha: Number of the band, from 1, that is the opacity, or None.
        valid: (height, width) bool: which pixels hold data, or None.
        transparent: The value of each band that pixels without data have, or nothing.
        remarks: What is not used, in sentences.
    """

    pixels: np.ndarray
    palette: dict[int, tuple[int, int, int]] | None = None
    alpha: int | None = None
    valid: np.ndarray | None = None
    transparent: list[int] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def decode(data: bytes) -> Picture:
    """Decode the bytes of a file.

    Raises:
        UnknownFormat: The bytes are of another format.
        Damaged: The file is damaged.
    """
    decoders = (_decode_png, _decode_jpeg, _decode_jp2, _decode_codestream)
    for magic, decoder in zip(SIGNATURES, decoders):
        if data.startswith(magic):
            return claims.call(decoder, data)
    raise UnknownFormat("neither PNG nor JPEG nor JPEG 2000")


def _decode_png(data: bytes) -> Picture:
    """Decode a PNG."""
    pixels, palette = png.pixels(data)
    picture = Picture(_bands_first(pixels), palette)
    picture.transparent, remark = png.transparent(data)
    picture.remarks = [remark] if remark else []
    picture.alpha = len(picture.pixels) if png.has_alpha(data) else None
    return picture


def _decode_jp2(data: bytes) -> Picture:
    """Decode a JPEG 2000 file. With a palette or alpha, OpenJPEG would return other bands."""
    header = jp2header.read(data)
    if not header.palette and not header.opacities:
        return _decode_codestream(data)
    picture = _decode_codestream(header.codestream)
    picture.palette = header.palette if len(picture.pixels) == 1 else None
    alphas = [band for band in header.opacities if 1 < band <= len(picture.pixels)]
    picture.alpha = alphas[0] if alphas else None
    return picture


def _decode_codestream(data: bytes) -> Picture:
    """Decode JPEG 2000 after a look at its size."""
    claims.require_picture(*codedsize.of_jpeg2000(data))
    return Picture(_bands_first(imagecodecs.jpeg2k_decode(data)))


def _decode_jpeg(data: bytes) -> Picture:
    """Decode a JPEG, and the mask that GDAL may append to it.

    After the JPEG then come the bits of all pixels, compressed by zlib, and 4 bytes with the size
    of the JPEG. GDAL ignores a mask that is larger than its JPEG.
    """
    size, packed = int.from_bytes(data[-4:], "little"), b""
    if len(data) // 2 <= size <= len(data) - 4 and data[size - 2 : size] == END:
        data, packed = data[:size], data[size:-4]
    # libjpeg fills missing pixels with grey, without an error. So find the mark of the end.
    if data.rfind(END) < data.rfind(START_OF_SCAN):
        raise ValueError("its end is missing")
    claims.require_picture(*codedsize.of_jpeg(data), codedsize.JPEG_RATIO * len(data))
    picture = Picture(_bands_first(imagecodecs.jpeg_decode(data)))
    count, height, width = picture.pixels.shape
    if packed:
        bits = zlib.decompressobj().decompress(packed, height * (width + 7))
        valid = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
        picture.valid = valid[: height * width].reshape(height, width) != 0
    if count == 4:
        picture.remarks.append(
            "its 4 bands are the inks cyan, magenta, yellow and black; convert it to RGB if other "
            "images are RGB"
        )
    return picture


def _bands_first(pixels: np.ndarray) -> np.ndarray:
    """Return (bands, height, width) of (height, width) or (height, width, bands)."""
    if not pixels.size:
        raise claims.Damaged("it has no pixels")
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
