"""Complete the georeference of a raster by the files beside it, as GDAL does.

    img.tfw, img.tifw, img.wld   world file: the numbers a, d, b, e, c, f on six lines, where (c, f)
                                 is the centre of the first pixel; it has no CRS
    img.tif.aux.xml              CRS, transform, no-data, band names and more (auxxml.py)

A PNG has .pgw or .pngw, a JPEG .jgw, .jpgw or .jpegw, and a JPEG 2000 file .j2w or .jp2w. CRS and
transform are each taken from the first of these sources that has it:

    .aux.xml, the file itself (georeference.py, jp2boxes.py), world file
    for PNG: world file, .aux.xml

Whatever else could hold a georeference is named in a remark.

Source of the names and the order: GDAL 3.10, GDALReadWorldFile2 and the config option
GDAL_GEOREF_SOURCES. Read tests/data/raster/test_sidecars.py beside this file.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.grid import IDENTITY, Grid, Transform
from data.raster import auxxml, gdaltags, georeference, jp2boxes

PNG, JP2 = b"\x89PNG", b"\0\0\0\x0c"  # the first bytes of a file
TIFF = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"
WORLD = ".tfw .tifw .tiffw .pgw .pngw .jgw .jpgw .jpegw .j2w .jp2w .wld".split()
OTHERS = (".prj", ".tab", ".aux", "_rpc.txt", ".rpb", *WORLD)
# Files that are named after the whole name of a raster: metadata, mask, overviews, and theirs.
NAMED_AFTER = ".aux.xml", ".msk", ".ovr", ".msk.aux.xml", ".msk.ovr"
MOST_FILES = 1000  # in a folder that is listed; GDAL has the same limit
CLOSE = 0.01  # pixels
WARP = "are not used; warp it first, for example by gdalwarp"


def place(raster, magic: bytes) -> None:
    """Complete `grid`, `geo_tags` and what else the files beside a raster tell; add its `remarks`.

    Args:
        raster: A `data.raster.Raster` with what its TIFF tags tell.
        magic: The first four bytes of the file.
    """
    crs, own, tags = raster.grid.crs, raster.grid.transform, raster.geo_tags
    if magic == JP2:
        (crs, own, tags), said = jp2boxes.read(raster.path)
        raster.remarks += said
    header, beside = tags, _beside(raster.path)
    aux_path = beside.get(f"{raster.path.suffix.lower()}.aux.xml")
    aux = auxxml.read(aux_path) if aux_path else auxxml.Aux()
    raster.remarks += aux.remarks
    sources = [(".aux.xml", aux.transform), ("header", own), ("world file", _world(raster, beside))]
    if magic == PNG:
        sources.insert(0, sources.pop())
    found = [(name, each) for name, each in sources if each and each != IDENTITY]
    transform = found[0][1] if found else IDENTITY
    raster.remarks += _contradictions(raster.grid, found)
    points = aux.points or georeference.TIEPOINT in tags
    if aux.srs is not None and (found or not points):
        own_crs, crs = crs, auxxml.crs(aux.srs, raster.remarks)
        if own_crs and crs and not crs.equals(own_crs, ignore_axis_order=True):
            raster.remarks.append(
                "its .aux.xml and its header hold different CRSs; that of its .aux.xml is used"
            )
        tags = jp2boxes.tags_of(crs, transform, raster.remarks)
    elif transform != own:
        tags = georeference.moved(tags, transform)
        # With a transform, the CRS of the ground control points is that of the pixels, too.
        crs = crs or georeference.decode(tags)[0]
    raster.grid, raster.geo_tags = replace(raster.grid, crs=crs, transform=transform), tags
    if not found:
        raster.remarks += _unplaced(points, header, beside)
    raster.remarks += _unread(raster, beside, bool(found))
    _describe(raster, aux, is_tiff=magic in TIFF)


def named_after(path: str | os.PathLike) -> list[Path]:
    """List a raster and the files that are read with it for their names, present or not."""
    return [Path(f"{os.fspath(path)}{ending}") for ending in ("", *NAMED_AFTER)]


def with_sidecars(path: str | os.PathLike) -> list[Path]:
    """List `named_after`, and the files beside a raster that may hold its georeference."""
    path = Path(path)
    endings = {f"{path.suffix}{ending}".lower() for ending in NAMED_AFTER}
    endings |= {*_world_names(path), *OTHERS}
    found = [file for ending, file in _beside(path).items() if ending in endings]
    return [*named_after(path), *found]


def _contradictions(grid: Grid, found: list[tuple[str, Transform]]) -> list[str]:
    """Remarks on transforms that differ from the first one."""
    (used, first), *others = found or [("", IDENTITY)]
    return [
        f"its {used} and its {name} hold different transforms; that of its {used} is used"
        for name, other in others
        if not replace(grid, transform=first).matches(replace(grid, transform=other), CLOSE)
    ]


def _beside(path: Path) -> dict[str, Path]:
    """Find the files whose names begin with the stem of a raster.

    Returns:
        {the rest of the name in lower case: path}, such as {".tfw": img.TFW} for img.tif.
    """
    stem, folder = path.stem.lower(), path.parent
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, MOST_FILES + 1)]
    except PermissionError:
        names = []
    if not 0 < len(names) <= MOST_FILES:
        endings = [f"{path.suffix}.aux.xml", *_world_names(path), *OTHERS]
        names = [path.stem + spelled for each in endings for spelled in (each.upper(), each)]
    # Of two spellings, the one in lower case is the last, and is taken.
    names = sorted(name for name in names if name.lower().startswith(stem))
    return {name[len(stem) :].lower(): folder / name for name in names if (folder / name).is_file()}


def _world_names(path: Path) -> list[str]:
    """The endings of the world file of a raster: .tfw, .tifw and .wld for img.tif."""
    kind = path.suffix[1:].lower()
    return [*([f".{kind[0]}{kind[-1]}w", f".{kind}w"] if len(kind) > 1 else []), ".wld"]


def _world(raster, beside: dict[str, Path]) -> Transform | None:
    """Read the first valid world file of a raster. An invalid one is a remark."""
    for ending in _world_names(raster.path):
        if ending not in beside:
            continue
        try:
            with open(beside[ending], "rb") as file:
                text = file.read(4096).decode("ascii")
            # Some programs write a decimal comma. GDAL reads it, too.
            lines = [
                line.split()[0].replace(",", ".") for line in text.splitlines() if line.strip()
            ]
            return georeference.from_centre(auxxml.affine(lines[:6], "adbecf"))
        except (OSError, ValueError) as error:
            raster.remarks.append(f"its world file {ending} is not read ({error}); write it again")
    return None


def _unplaced(points: bool, tags: dict, beside: dict[str, Path]) -> list[str]:
    """Remarks on what a raster without a transform has instead."""
    remarks = []
    if points:
        remarks.append(f"has ground control points, which {WARP}")
    elif georeference.SCALE in tags or georeference.MATRIX in tags:
        remarks.append(
            "its header holds a pixel size or a matrix that gives no place; georeference it first"
        )
    if georeference.RPC in tags or beside.keys() & {"_rpc.txt", ".rpb"}:
        remarks.append(f"has rational polynomial coefficients (RPC), which {WARP} -rpc")
    return remarks


def _unread(raster, beside: dict[str, Path], placed: bool) -> list[str]:
    """A remark on files beside a raster that may hold the CRS or the transform that it lacks."""
    others = [".prj", ".tab", ".aux"] if raster.grid.crs is None else []
    others += [] if placed else [".tab", *WORLD]
    unread = sorted((set(others) & beside.keys()) - set(_world_names(raster.path)))
    if not unread:
        return []
    return [
        f"{', '.join(unread)} beside it may hold its CRS or transform and is not read; write a"
        " GeoTIFF that holds both, for example with gdal_translate"
    ]


def _describe(raster, aux: auxxml.Aux, is_tiff: bool) -> None:
    """Take over what a file .aux.xml tells of the pixels. It precedes the tags."""
    raster.items = raster.items | aux.items
    names, scales = list(raster.descriptions), list(raster.scales or [None] * raster.count)
    nodata = {}
    for number, texts in aux.bands.items():
        if not 1 <= number <= raster.count:
            continue
        names[number - 1] = texts.get("description", names[number - 1])
        scales[number - 1] = aux.scales.get(number, scales[number - 1])
        if "nodatavalue" in texts:
            nodata[number] = gdaltags.nodata(texts["nodatavalue"], raster.dtype)
        if is_tiff and texts.get("colorinterp", "").lower() == "alpha":
            raster.alpha, raster.masked = number, True
    raster.descriptions = tuple(names)
    raster.scales = tuple(scales) if any(scales) else ()
    if is_tiff and raster.count == 1 and raster.dtype in (np.uint8, np.uint16):
        raster.colormap = aux.colormap or raster.colormap
    if nodata:
        raster.nodata = nodata[min(nodata)]
        others = {str(value) for value in nodata.values()}
        if len(others) > 1 or len(nodata) < raster.count - bool(raster.alpha):
            raster.remarks.append(
                f"its .aux.xml declares no-data band by band; {raster.nodata} is used for all bands"
            )
