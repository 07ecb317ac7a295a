"""The header of a JPEG 2000 file: palette and alpha.

The file is a sequence of boxes: size (4 bytes; 1: 8 more bytes hold it; 0: up to the end), kind
(4 bytes) and content. The box `jp2h` holds others, of which two matter here. `pclr` is a palette;
the decoder would return its colours in place of the codes. `cdef` tells what a channel is: a
colour, or the opacity (alpha). The box `jp2c` holds the codestream, which are the pixels alone.

Specification: ISO 15444-1, annex I. Read tests/data/raster/test_pictures.py beside this file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
OPACITY = (1, 2)  # types of a channel in `cdef`: opacity, with colours multiplied by it or not


@dataclass
class Header:
    """What the boxes of a file hold.

    Attributes:
        palette: {code: (red, green, blue)}, or None.
        opacities: Numbers of the channels, from 1, that are opacity.
        codestream: The pixels alone.
    """

    palette: dict[int, tuple[int, int, int]] | None = None
    opacities: list[int] = field(default_factory=list)
    codestream: bytes = b""


def read(data: bytes) -> Header:
    """Read the boxes. Raises ValueError or struct.error if they are damaged."""
    header = Header()
    for kind, body in _boxes(data):
        if kind == b"jp2c" and not header.codestream:
            header.codestream = body
        if kind != b"jp2h":
            continue
        for inner, content in _boxes(body):
            if inner == b"pclr":
                header.palette = _palette(content)
            elif inner == b"cdef":
                channels = struct.iter_unpack(">3H", content[2 : 2 + 6 * (len(content) // 6)])
                header.opacities = [n + 1 for n, what, _ in channels if what in OPACITY]
    return header


def _palette(content: bytes) -> dict[int, tuple[int, int, int]]:
    """Decode the box `pclr`: numbers of entries and columns, bits of each column, entries."""
    entries, columns = struct.unpack_from(">HB", content)
    bits = np.frombuffer(content, np.uint8, columns, offset=3) & 127
    if (bits > 7).any():  # the box stores bits - 1
        raise ValueError("its palette has colours of more than 8 bits")
    table = np.frombuffer(content, np.uint8, entries * columns, offset=3 + columns)
    colors = table.reshape(entries, columns)[:, [0, 1, 2] if columns >= 3 else [0, 0, 0]]
    return {code: (r, g, b) for code, (r, g, b) in enumerate(colors.tolist())}


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, content) of the boxes."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = at + size if size else len(data)
        if end < start:
            raise ValueError("a box has an impossible size")
        yield kind, data[start:end]
        at = end
