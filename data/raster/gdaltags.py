"""Three tags for the meaning of a GeoTIFF's pixels: palette, no-data value, and metadata.

      320 ColorMap        all reds, then all greens, then all blues, in 16 bits each
    42112 GDAL_METADATA   XML; the item with sample="0" and role="description" names the first band,
                          the roles "scale" and "offset" are of its numbers
    42113 GDAL_NODATA     the no-data value as text, "0", "-9999" or "nan"

Specification: TIFF 6.0 (1992), section 5, for the first; gdal.org, "GTiff -- GeoTIFF File Format",
for the others. Read tests/data/raster/test_gdaltags.py beside this file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr, unescape

import numpy as np

from data.files import printable

COLORMAP, METADATA, NODATA = TAGS = (320, 42112, 42113)

Color = tuple[int, int, int]


def nodata(text: str | None, dtype: np.dtype) -> float | int | None:
    """Parse the no-data value; None if there is none, or if no pixel can have it."""
    if not isinstance(text, str):  # also None for a damaged tag, which is not a text
        return None
    try:
        value = float(text)
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                return float(dtype.type(value))
        # float() would round integers of more than 53 bits.
        number = int(text) if text.strip().lstrip("+-").isdigit() else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    info = np.iinfo(dtype)
    return number if info.min <= number <= info.max and float(number) == value else None


def nodata_text(value: float, dtype: np.dtype) -> bytes:
    """Format a no-data value. Raises ValueError if no pixel can have it."""
    number = nodata(str(value), dtype)
    if number is None:
        raise ValueError(f"nodata {value} is not a value of {dtype}")
    return (f"{number:.17g}" if dtype.kind == "f" else str(number)).encode()


def colormap(values: Sequence[int] | None) -> dict[int, Color] | None:
    """Decode the 16-bit values of the tag to {code: (red, green, blue)} with 0..255."""
    if values is None:
        return None
    table = np.reshape(values, (3, -1)).T
    if table.max() > 255:  # some writers store 8-bit values
        table = table >> 8
    return {code: tuple(color) for code, color in enumerate(table.tolist())}


def palette(colors: Mapping[int, Color], dtype: np.dtype) -> np.ndarray:
    """Encode colours as values of the tag (3, 2^bits) uint16; codes without a colour are black."""
    table = np.zeros((3, np.iinfo(dtype).max + 1), np.uint16)
    for code, color in colors.items():
        if not 0 <= code < table.shape[1] or not all(0 <= value <= 255 for value in color):
            raise ValueError(
                f"colormap {code}: {color} is not a code of {dtype} with a colour of 0..255"
            )
        table[:, code] = np.multiply(color, 257)  # 255 becomes 65535
    return table


def metadata(xml: str | None, count: int) -> tuple[tuple[str | None, ...], dict[str, str]]:
    """Parse the names of bands and the items of the whole raster.

    GDAL escapes the texts twice.

    Returns:
        A name or None for each band, and {name: text} of the items.
    """
    names: dict[int, str] = {}
    items: dict[str, str] = {}
    try:
        for item in ElementTree.fromstring(xml or "<GDALMetadata/>"):
            text = unescape(item.text or "", {"&quot;": '"', "&apos;": "'"})
            if item.get("role") == "description" and text:
                names[int(item.get("sample", ""))] = text
            elif item.get("sample") is None and item.get("name"):
                items[item.get("name", "")] = text
    except (ElementTree.ParseError, TypeError, ValueError):
        pass  # a raster can be read without its metadata
    return tuple(names.get(band) for band in range(count)), items


def scales(xml: str | None, count: int) -> tuple[tuple[tuple[float, float] | None, ...], list[str]]:
    """Parse scale and offset of the bands. A pixel * scale + offset is the quantity.

    Returns:
        (scale, offset) or None for each band, empty if no band has them; and remarks about values
        that cannot be used. A band with scale 1 and offset 0 has none.
    """
    found = [{"scale": 1.0, "offset": 0.0} for _ in range(count)]
    remarks = []
    try:
        items = list(ElementTree.fromstring(xml or "<GDALMetadata/>"))
    except (ElementTree.ParseError, TypeError, ValueError):
        items = []
    for item in items:
        role, sample, text = item.get("role", ""), item.get("sample", ""), item.text or ""
        if role not in ("scale", "offset") or not sample.isdecimal() or int(sample) >= count:
            continue
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if np.isfinite(value) and (value or role == "offset"):
            found[int(sample)][role] = value
        else:
            remarks.append(f"the {role} of band {int(sample) + 1} is '{text[:40]}': not used")
    pairs = [(band["scale"], band["offset"]) for band in found]
    kept = tuple(None if pair == (1, 0) else pair for pair in pairs)
    return kept if any(kept) else (), remarks


def metadata_xml(
    names: Sequence[str | None], items: Mapping[str, str] | None = None, scale: float | None = None
) -> bytes:
    """Format band names, `items` {name: text} of the whole raster, and the scale of every band.

    `gdalinfo` lists the items under "Metadata". A pixel times `scale` is the quantity.
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
    # XML has no control characters other than these.
    text = printable("\n  ".join(["<GDALMetadata>", *lines]), keep="\n\t")
    return text.encode() + b"\n</GDALMetadata>"
