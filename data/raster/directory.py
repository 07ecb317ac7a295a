"""The header of a GeoTIFF: its tags and their bytes.

A TIFF has one image file directory (IFD) for the image and one for each overview. A directory is a
table of tags. Each tag has a type, a number of values, and the values themselves or their position:

    signature | number of tags | (tag, type, count, value or offset) ... | next IFD | values ...

Positions have 32 bits. In a BigTIFF, the form for files beyond 4 GB, they have 64 bits.

Specification: TIFF 6.0 (1992), section 2; BigTIFF (libtiff.gitlab.io/libtiff). Read
tests/data/raster/test_cog.py beside this file.
"""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from data.raster import gdaltags, georeference

BIGTIFF_BYTES = 2**32 - 2**26  # of tiles; the difference leaves room for the header
ASCII, SHORT, LONG, DOUBLE, LONG8 = 2, 3, 4, 12, 16  # types of values
FORMATS = {ASCII: "B", SHORT: "H", LONG: "I", DOUBLE: "d", LONG8: "Q"}  # in Python's struct
COLORMAP, TILE_OFFSETS, TILE_COUNTS = 320, 324, 325

Tags = dict[int, tuple[int, Sequence]]  # {tag: (type, values)}


def described(
    geo_tags: dict,
    count: int,
    dtype: np.dtype,
    nodata: float | None,
    colormap: Mapping[int, tuple[int, int, int]] | None,
    descriptions: Sequence[str | None] | None,
    items: Mapping[str, str] | None,
    scale: float | None,
) -> Tags:
    """Make the tags for the place and the meaning of the pixels; arguments as in `cog.writer`.

    Raises:
        ValueError: The arguments contradict each other.
    """
    if dtype.kind not in "iuf" or count < 1:
        raise ValueError(f"cannot write {count} bands of {dtype}: a GeoTIFF has integers or floats")
    if descriptions is not None and len(descriptions) != count:
        raise ValueError(f"{len(descriptions)} descriptions for {count} bands")
    if colormap and (count != 1 or dtype not in (np.uint8, np.uint16)):
        raise ValueError(f"a colormap needs one band of uint8 or uint16, not {count} of {dtype}")
    types = {georeference.DIRECTORY: SHORT, georeference.TEXTS: ASCII}
    tags: Tags = {tag: (types.get(tag, DOUBLE), values) for tag, values in geo_tags.items()}
    if nodata is not None:
        tags[gdaltags.NODATA] = (ASCII, gdaltags.nodata_text(nodata, dtype))
    if items or scale or any(descriptions or ()):
        names = descriptions or [None] * count
        tags[gdaltags.METADATA] = (ASCII, gdaltags.metadata_xml(names, items, scale))
    if colormap:
        tags[COLORMAP] = (SHORT, gdaltags.palette(colormap, dtype).ravel().tolist())
    return tags


def layout(
    height: int, width: int, count: int, dtype: np.dtype, side: int, predictor: int, palette: bool
) -> Tags:
    """Make the tags for the layout of the pixels: square DEFLATE tiles, with interleaved bands."""
    sample_format = {"u": 1, "i": 2, "f": 3}[dtype.kind]
    tags: Tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8 * dtype.itemsize] * count),
        259: (SHORT, [8]),  # compression: DEFLATE
        262: (SHORT, [3 if palette else 1]),  # photometric interpretation: palette, or black is 0
        277: (SHORT, [count]),
        284: (SHORT, [1]),  # planar configuration: the bands of a pixel together
        317: (SHORT, [predictor]),
        322: (SHORT, [side]),
        323: (SHORT, [side]),
        339: (SHORT, [sample_format] * count),
    }
    if count > 1:
        tags[338] = (SHORT, [0] * (count - 1))  # extra samples: bands beyond the first, unspecified
    return tags


def header(note: bytes, directories: Sequence[Tags], big: bool) -> bytes:
    """Pack the first bytes of the file: the signature, a note, and the directories."""
    if big:
        packed = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16 + len(note)) + note
    else:
        packed = struct.pack("<2sHI", b"II", 42, 8 + len(note)) + note
    for number, tags in enumerate(directories, start=1):
        packed += _directory(tags, len(packed), big, last=number == len(directories))
    return packed


def _directory(tags: Tags, at: int, big: bool, last: bool) -> bytes:
    """Pack a directory at byte `at`, followed by the values that do not fit in its table."""
    number, field, pointer = ("<Q", "<HHQ", "<Q") if big else ("<H", "<HHI", "<I")
    room = struct.calcsize(pointer)
    table, values = struct.pack(number, len(tags)), b""
    behind = at + len(table) + len(tags) * (struct.calcsize(field) + room) + room
    for tag, (kind, content) in sorted(tags.items()):
        if big and tag in (TILE_OFFSETS, TILE_COUNTS):
            kind = LONG8
        packed = struct.pack(f"<{len(content)}{FORMATS[kind]}", *content)
        table += struct.pack(field, tag, kind, len(content))
        if len(packed) <= room:
            table += packed.ljust(room, b"\0")
        else:
            table += struct.pack(pointer, behind + len(values))
            values += packed + b"\0" * (-len(packed) % 8)
    values += b"\0" * (-(behind + len(values)) % 8)  # the next directory must begin at an even byte
    return table + struct.pack(pointer, 0 if last else behind + len(values)) + values
