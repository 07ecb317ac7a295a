"""Three tags that say what a GeoTIFF's pixels mean: the palette, the no-data value and the bands'
names.

      320 ColorMap        all reds, then all greens, then all blues, in 16 bits each
    42112 GDAL_METADATA   XML; <Item name="DESCRIPTION" sample="0" role="description"> names the first band
    42113 GDAL_NODATA     the no-data value as text, "0", "-9999" or "nan"

The first is of TIFF 6.0 (1992), section 5; the others GDAL's (gdal.org, "GTiff -- GeoTIFF File
Format"). Read tests/data/raster/test_gdaltags.py beside this file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr, unescape

import numpy as np

COLORMAP, METADATA, NODATA = TAGS = (320, 42112, 42113)

Color = tuple[int, int, int]


def nodata(text: str | None, dtype: np.dtype) -> float | int | None:
    """The text as a value of the dtype, None if there is none or no pixel can have it (-9999 in
    uint8).
    """
    try:
        value = float(text)
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                return float(dtype.type(value))
        # Not by way of float where that can be helped: it has 53 bits, and an int64 more.
        number = int(text) if text.strip().lstrip("+-").isdigit() else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    info = np.iinfo(dtype)
    return number if info.min <= number <= info.max and float(number) == value else None


def nodata_text(value: float, dtype: np.dtype) -> bytes:
    """The inverse of `nodata`; ValueError for a value that no pixel can have."""
    number = nodata(str(value), dtype)
    if number is None:
        raise ValueError(f"nodata {value} is not a value of {dtype}")
    return (f"{number:.17g}" if dtype.kind == "f" else str(number)).encode()


def colormap(values: Sequence[int] | None) -> dict[int, Color] | None:
    """{code: (red, green, blue)} with 0..255 of the tag's 16-bit values."""
    if values is None:
        return None
    table = np.reshape(values, (3, -1)).T
    if table.max() > 255:  # some writers leave the values 8-bit
        table = table >> 8
    return {code: tuple(color) for code, color in enumerate(table.tolist())}


def palette(colors: Mapping[int, Color], dtype: np.dtype) -> np.ndarray:
    """The tag's values (3, 2^bits) uint16, the inverse of `colormap`; codes without a colour are
    black.
    """
    table = np.zeros((3, np.iinfo(dtype).max + 1), np.uint16)
    for code, color in colors.items():
        if not 0 <= code < table.shape[1] or not all(0 <= value <= 255 for value in color):
            raise ValueError(
                f"colormap {code}: {color} is not a code of {dtype} with a colour of 0..255"
            )
        table[:, code] = np.multiply(color, 257)  # 255 becomes 65535
    return table


def descriptions(xml: str | None, count: int) -> tuple[str | None, ...]:
    """The name of each band, None for one without; GDAL escapes them twice."""
    names: dict[int, str] = {}
    try:
        for item in ElementTree.fromstring(xml or "<GDALMetadata/>"):
            if item.get("role") == "description" and item.text:
                names[int(item.get("sample", ""))] = unescape(
                    item.text, {"&quot;": '"', "&apos;": "'"}
                )
    except (ElementTree.ParseError, TypeError, ValueError):
        pass  # names are a courtesy: a map without them is better than none
    return tuple(names.get(band) for band in range(count))


def metadata_xml(
    names: Sequence[str | None], items: Mapping[str, str] | None = None, scale: float | None = None
) -> bytes:
    """The inverse of `descriptions`, with `items` that hold for the whole raster and the scale of
    every band.

    `gdalinfo` lists the items under "Metadata"; a pixel times `scale` is the quantity itself.
    """
    lines = [
        f"<Item name={quoteattr(name)}>{escape(escape(text))}</Item>"
        for name, text in (items or {}).items()
    ]
    for band, name in enumerate(names):
        if scale:
            lines.append(f'<Item name="SCALE" sample="{band}" role="scale">{scale:.17g}</Item>')
        if name:
            text = escape(escape(name))
            lines.append(
                f'<Item name="DESCRIPTION" sample="{band}" role="description">{text}</Item>'
            )
    return "\n  ".join(["<GDALMetadata>", *lines]).encode() + b"\n</GDALMetadata>"
