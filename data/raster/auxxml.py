"""Parse a file .aux.xml, in which GDAL and ArcGIS keep what the raster's own format cannot hold.

GDAL names it after the whole name of the raster: img.png.aux.xml. Its form:

    <PAMDataset>
      <SRS>PROJCS["WGS 84 / UTM zone 31N", ...</SRS>           a CRS as WKT, or as EPSG:32631
      <GeoTransform>c, a, b, f, d, e</GeoTransform>            see data/grid.py for the letters
      <GCPList Projection="..."><GCP Pixel Line X Y/>...       ground control points
      <Metadata><MDI key="name">text</MDI></Metadata>
      <PAMRasterBand band="1"> Description, NoDataValue, Scale, Offset, ColorInterp, ColorTable

ArcGIS writes <GeodataXform>, with the CRS in SpatialReference/WKT. If it has a transform, it has it
as control points or as a polynomial. GDAL reads the points and not the polynomial.

Specification: gdal.org, gcore/data/gdal.xsd and pam.xsd. Read tests/data/raster/test_auxxml.py
beside this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from pyproj import CRS
from pyproj.exceptions import CRSError

from data.grid import Grid, Transform
from data.raster import xmltree


@dataclass
class Aux:
    """What a file .aux.xml holds."""

    srs: str | None = None  # the text of the CRS
    transform: Transform | None = None
    points: bool = False  # whether it has ground control points
    items: dict[str, str] = field(default_factory=dict)  # metadata of the whole raster
    bands: dict[int, dict[str, str]] = field(default_factory=dict)  # {1: {"description": "red"}}
    # {1: (scale, offset)}, or None for 1 and 0
    scales: dict[int, tuple[float, float] | None] = field(default_factory=dict)
    colormap: dict[int, tuple[int, ...]] | None = None  # of band 1
    remarks: list[str] = field(default_factory=list)  # on what cannot be read


def read(path: Path) -> Aux:
    """Read a file .aux.xml. Damage is a remark of the result."""
    aux = Aux()
    try:
        with open(path, "rb") as file:
            root = xmltree.parse(file.read(xmltree.LARGEST + 1))
        _dataset(aux, root)
    except (OSError, ValueError) as error:
        aux.remarks.append(f"its .aux.xml is damaged and not fully read ({error}); write it again")
    return aux


def affine(values: list[str], order: str) -> Transform:
    """Make a transform of six numbers.

    Args:
        values: The numbers as texts.
        order: Which coefficients they are, such as "cabfde".

    Raises:
        ValueError: They are not six finite numbers, or the transform cannot be inverted.
    """
    if len(values) != 6:
        raise ValueError(f"{len(values)} numbers are no transform")
    a, b, c, d, e, f = (float(values[order.index(letter)]) for letter in "abcdef")
    return Grid(None, (a, b, c, d, e, f), 1, 1).transform


def crs(text: str, remarks: list[str]) -> CRS | None:
    """Make the CRS of a WKT, a code such as EPSG:4326, or a name; otherwise add a remark."""
    try:
        made = CRS.from_user_input(text)
        if made.is_projected or made.is_geographic:
            return made
    except CRSError:
        pass
    remarks.append(f"CRS not understood: {text[:60] or 'empty'}; assign one with its EPSG code")
    return None


def _dataset(aux: Aux, root: Element) -> None:
    """Read the elements of the whole raster, then those of its bands."""
    top = _children(root)
    aux.points = "gcplist" in top
    esri = next(root.iter("GeodataXform"), None)
    if "srs" in top:
        aux.srs = _text(top["srs"])
    elif esri is not None:
        aux.points |= esri.find("SourceGCPs") is not None
        # The CRS of control points is not that of the pixels.
        aux.srs = None if aux.points else esri.findtext("SpatialReference/WKT")
        if esri.find("CoeffX") is not None:
            aux.remarks.append(
                "its .aux.xml holds a transform of ArcGIS, which is not read; export the raster as"
                " a GeoTIFF with ArcGIS"
            )
    if "geotransform" in top and _text(top["geotransform"]):
        aux.transform = affine(_text(top["geotransform"]).split(","), "cabfde")
    for element in root:
        if element.tag.lower() == "metadata" and not element.get("domain"):
            aux.items |= {item.get("key", ""): item.text or "" for item in element.iter("MDI")}
        elif element.tag.lower() == "pamrasterband" and element.get("band", "").isdecimal():
            _band(aux, int(element.get("band", "")), element)
    # A transform in this file begins at the corner of the first pixel, whatever AREA_OR_POINT says.
    aux.items.pop("AREA_OR_POINT", None)


def _band(aux: Aux, number: int, element: Element) -> None:
    """Read the elements of a band."""
    texts = {name: _text(child) for name, child in _children(element).items()}
    aux.bands[number] = {name: text for name, text in texts.items() if text}
    if texts.keys() & {"scale", "offset"}:
        scale, offset = float(texts.get("scale", 1)), float(texts.get("offset", 0))
        if scale == 0 or not math.isfinite(scale + offset):
            raise ValueError(f"scale {scale} and offset {offset} of band {number}")
        aux.scales[number] = (scale, offset) if (scale, offset) != (1, 0) else None
    entries = element.findall("ColorTable/Entry")
    if number == 1 and entries:
        colors = [tuple(int(entry.get(f"c{n}", "0")) for n in (1, 2, 3)) for entry in entries]
        if not all(0 <= value <= 255 for color in colors for value in color):
            raise ValueError("a colour is not within 0..255")
        aux.colormap = dict(enumerate(colors))


def _children(element: Element) -> dict[str, Element]:
    """{lower-case name: the first child of this name}; GDAL ignores case, too."""
    return {child.tag.lower(): child for child in reversed(element)}


def _text(element: Element) -> str:
    return (element.text or "").strip()
