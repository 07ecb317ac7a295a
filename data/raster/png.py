"""PNG files as codes and numbers, with what they say about transparency.

A PNG is a sequence of chunks. `IDAT` chunks hold the pixels, `PLTE` the palette, and `tRNS` what is
transparent: an opacity for each code of a palette, or one grey or colour. As in GDAL, the grey, the
colour or the code of opacity 0 is the no-data value of the file. If several codes of a palette
have opacity 0, there is no such value.

Specification: PNG, W3C Recommendation (2003), chapter 11. Read tests/data/raster/test_pictures.py
beside this file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np

from data.raster import claims, codedsize

MAGIC = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types

Palette = dict[int, tuple[int, int, int]]


def pixels(data: bytes) -> tuple[np.ndarray, Palette | None]:
    """Decode a PNG to its codes, or to its greys of n bits.

    libpng converts codes to colours, and greys of n bits to 0..255. To avoid the first conversion,
    the header of a palette PNG is changed so that it declares the codes as greys. To undo the
    second, the greys are divided by 255 / (2^n - 1).

    Returns:
        (height, width) or (height, width, bands), and the palette or None.
    """
    kept: list[bytes] = []
    palette: Palette | None = None
    claimed, compressed = codedsize.of_png(data), 0
    depth, color_type = data[24], data[25]
    for kind, body, chunk in _chunks(data):
        if kind == b"IHDR" and color_type == PALETTE:
            header = kind + body[:9] + bytes([GREY]) + body[10:]
            crc = struct.pack(">I", zlib.crc32(header))
            kept.append(struct.pack(">I", len(body)) + header + crc)
        elif kind == b"PLTE":
            colors = np.frombuffer(body[: len(body) // 3 * 3], np.uint8).reshape(-1, 3).tolist()
            palette = {code: (r, g, b) for code, (r, g, b) in enumerate(colors)}
        elif kind in (b"IHDR", b"IDAT", b"IEND"):  # without tRNS, which would add an alpha band
            kept.append(chunk)
            compressed += len(body) if kind == b"IDAT" else 0
    claims.require_picture(*claimed, codedsize.most_png_pixels(data, compressed))
    decoded = imagecodecs.png_decode(MAGIC + b"".join(kept))
    if depth < 8:
        decoded = decoded // (255 // (2**depth - 1))
    return decoded, palette if color_type == PALETTE else None


def has_alpha(data: bytes) -> bool:
    """Whether the last band is alpha."""
    return data[25] in (GREY_ALPHA, RGB_ALPHA)


def transparent(data: bytes) -> tuple[list[int], str]:
    """Find what the chunk tRNS declares as transparent.

    Returns:
        The value of each band, or nothing; and a remark on what is not used, or "".
    """
    body = next((body for kind, body, _ in _chunks(data) if kind == b"tRNS"), b"")
    color_type = data[25]
    if color_type == PALETTE:
        codes = [code for code, opacity in enumerate(body) if opacity == 0]
        if len(codes) > 1:
            listed = ", ".join(map(str, codes[:5])) + (", ..." if len(codes) > 5 else "")
            return [], f"{len(codes)} codes of its palette are transparent ({listed}): not used"
        return codes, ""
    bands = {GREY: 1, RGB: 3}.get(color_type, 0)
    return list(struct.unpack_from(f">{bands}H", body)) if body else [], ""


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield (kind, body, all bytes) of the chunks; bytes after the last chunk are ignored."""
    at, kind = len(MAGIC), b""
    while kind != b"IEND" and at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        yield kind, body, data[at : at + 12 + size]
        at += 12 + size
