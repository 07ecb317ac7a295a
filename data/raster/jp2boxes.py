"""Read the georeference of a JPEG 2000 file.

The file is a sequence of boxes. A box is a size (4 bytes; 1: 8 more bytes hold it; 0: up to the end
of the file), a kind (4 bytes) and a content. Boxes of the kind `asoc` hold other boxes. There are
three ways to store a georeference, and GDAL uses the first that it finds in this order:

    GeoJP2   uuid box that holds a whole GeoTIFF of one pixel; georeference.py decodes its tags
    GMLJP2   asoc box with the label "gml.root-instance" and an XML text with a RectifiedGrid: the
             centre of the first pixel, and the vectors from it to the next column and row
    MSIG     uuid box that holds the six numbers of a world file

The coordinates of GML are in the order of the CRS. EPSG:4326 lists latitude before longitude, so x
and y are exchanged for it. `gml:axisName` can declare the other order.

Specifications: ISO 15444-1, annex I; OGC 05-047r3 and 08-085r8, GML in JPEG 2000. Read
tests/data/raster/test_jp2boxes.py beside this file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element

import numpy as np
import tifffile
from pyproj import CRS

from data.files import InputError
from data.grid import IDENTITY, Grid, Transform
from data.raster import auxxml, georeference, xmltree

GEOJP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
MSIG = bytes.fromhex("96a9f1f1dc98402da7aed68e34450918")
GML = b"gml.root-instance"
SWAPPED_VECTORS = b"GDAL_JP2K_ALT_OFFSETVECTOR_ORDER=TRUE"  # a comment of some writers
MOST_BOXES, MOST_LEVELS = 10_000, 8

Place = tuple[CRS | None, Transform, dict]  # of georeference.decode


def read(path: Path) -> tuple[Place, list[str]]:
    """Read the georeference in a file.

    Returns:
        The CRS, the transform and the tags, as `georeference.decode` returns them; and remarks on
        what cannot be decoded.
    """
    places: list[Place] = []
    remarks: list[str] = []
    gml = msig = label = b""
    with open(path, "rb") as file:
        for kind, content in _leaves(file, 0, file.seek(0, io.SEEK_END)):
            if kind == b"lbl ":
                label = content.rstrip(b"\0")
            elif kind == b"xml " and label == GML:
                gml = content
            elif content.startswith(GEOJP2):
                try:
                    places.append(_geotiff(content[16:]))
                except Exception as error:  # tifffile has no common exception for damaged headers
                    remarks.append(f"its GeoJP2 box is damaged and not read ({error})")
            elif content.startswith(MSIG):
                msig = content[16:]
    # Some writers add a second GeoJP2 box, without a CRS.
    places.sort(key=lambda place: place[0] is None)
    if places and places[0][2]:
        return places[0], remarks
    try:
        if gml:
            crs, transform, said = _gml(gml)
            remarks += said
            return (crs, transform, tags_of(crs, transform, remarks)), remarks
        if msig:
            numbers = struct.unpack_from("<6d", msig, 22)
            transform = georeference.from_centre(auxxml.affine([str(n) for n in numbers], "adbecf"))
            return (None, transform, georeference.encode(None, transform)), remarks
    except (ValueError, TypeError, struct.error) as error:
        box = "GML" if gml else "MSIG"
        remarks.append(f"its {box} box is damaged and not read ({error})")
    return (None, IDENTITY, {}), remarks


def tags_of(crs: CRS | None, transform: Transform, remarks: list[str]) -> dict:
    """Encode a georeference that was no GeoTIFF; a CRS that a GeoTIFF cannot hold is a remark."""
    try:
        return georeference.encode(crs, transform)
    except InputError as error:
        remarks.append(f"{error}; maps of it have no CRS")
        return georeference.encode(None, transform)


def _leaves(file: BinaryIO, start: int, end: int, level: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes that may hold a georeference, also from inside others.

    A box whose size cannot be right ends the sequence.
    """
    for _ in range(MOST_BOXES):
        file.seek(start)
        header = file.read(16)
        if start + 8 > end or len(header) < 8:
            return
        size, kind = struct.unpack_from(">I4s", header)
        body = start + 8
        if size == 1 and len(header) == 16:
            size, body = struct.unpack_from(">Q", header, 8)[0], start + 16
        stop = start + size if size else end
        if not body <= stop <= end:
            return
        if kind in (b"asoc", b"jumb") and level < MOST_LEVELS:
            yield from _leaves(file, body, stop, level + 1)
        elif kind in (b"uuid", b"lbl ", b"xml ") and stop - body <= xmltree.LARGEST:
            file.seek(body)
            yield kind, file.read(stop - body)
        start = stop


def _geotiff(data: bytes) -> Place:
    """Decode the georeference tags of a GeoTIFF; ValueError if its transform is not finite."""
    tags = tifffile.TiffFile(io.BytesIO(data)).pages.first.tags
    values = {code: tags.valueof(code) for code in georeference.TAGS if code in tags}
    for code, value in values.items():
        if code == georeference.TEXTS:
            values[code] = value.encode()
        else:
            dtype = np.uint16 if code == georeference.DIRECTORY else float
            values[code] = tuple(np.ravel(value).astype(dtype).tolist())
    crs, transform, kept = georeference.decode(values)
    return crs, Grid(crs, transform, 1, 1).transform, kept


def _gml(text: bytes) -> tuple[CRS | None, Transform, list[str]]:
    """Decode the CRS and the transform of a RectifiedGrid; ValueError if it has none.

    The result also has remarks.
    """
    root = xmltree.parse(text.rstrip(b"\0 \n").replace(b"\0", b"\n"))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # the names of GML 3.1 and 3.2 are the same
    grid = next(root.iter("RectifiedGrid"), None)
    point = None if grid is None else grid.find("origin/Point")
    if grid is None or point is None:
        raise ValueError("no RectifiedGrid with an origin")
    origin = _numbers(point.findtext("pos") or point.findtext("coordinates"))
    column, row = [_numbers(vector.text) for vector in grid.findall("offsetVector")[:2]]
    envelope = root.find("boundedBy/Envelope")
    name = point.get("srsName") or (envelope is not None and envelope.get("srsName"))
    name = name or grid.get("srsName") or ""
    remarks: list[str] = []
    crs = auxxml.crs(name, remarks)
    is_code = name.lower().startswith("epsg:")
    if crs is not None and not is_code and _north_first(crs) and not _declares_east(grid):
        if SWAPPED_VECTORS in text:
            column, row = row, column
        origin, column, row = origin[::-1], column[::-1], row[::-1]
    transform = auxxml.affine([*column, *row, *origin], "adbecf")
    return crs, georeference.from_centre(transform), remarks


def _numbers(text: str | None) -> list[str]:
    """The first two numbers of a text."""
    return (text or "").replace(",", " ").split()[:2]


def _north_first(crs: CRS) -> bool:
    return [axis.direction for axis in crs.axis_info[:2]] == ["north", "east"]


def _declares_east(grid: Element) -> bool:
    """Whether axis names say that easting comes first, against the order of the CRS."""
    names = [(element.text or "").upper() for element in grid.findall("axisName")[:2]]
    if len(names) < 2:
        return False
    return names[0].startswith(("EAST", "LONG")) and names[1].startswith(("NORTH", "LAT"))
