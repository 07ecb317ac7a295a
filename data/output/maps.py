"""Rasters of classes with names and colours, and rasters of probabilities or uncertainty.

A class map stores names and colours in four places, because programs look in different places:

    GDAL_METADATA      items such as class_250=residential, inside the file. `gdalinfo` and the
                       layer properties of QGIS list them, but no legend shows them.
    map.tif.aux.xml    GDAL's category names, one for each code from 0 on. GDAL reads them from this
                       file beside the map only, so they are lost if the map is sent alone.
    ColorMap           the colours, inside the file
    map.qml            the style with which QGIS shows the map (styles.py)

Probabilities p are stored as bytes, a quarter of the size of floats: byte = round(254 p). 255 is
no-data. With round(255 p) the pixels of probability 1 would be no-data. The file declares the scale
1/254, so that GDAL and QGIS show 0 to 1.

Read beside it: tests/data/output/test_maps.py.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from data.classes import ClassTable
from data.files import InputError, printable, replacing
from data.grid import Grid
from data.output import styles
from data.raster import Raster, cog
from data.tables.colors import Color

CODE = re.compile("class_(-?[0-9]{1,18})")  # the item of the metadata that names a class
GREY = (128, 128, 128)  # colour of a class in a map without colours
STEPS, NO_BYTE = 254, 255  # byte = round(STEPS * number); NO_BYTE is no-data


@contextlib.contextmanager
def classes(
    path: str | os.PathLike, grid: Grid, table: ClassTable, geo_tags: dict | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a class map in the codes and colours of a table.

    Args:
        path: The file.
        grid: Its grid.
        table: The classes.
        geo_tags: The geo tags of the image; None: tags made from the grid.

    Yields:
        A function that writes the next rows, from labels (any h, width).
    """
    names, shown = dict(zip(table.codes, table.names)), dict(zip(table.codes, table.colors))
    tags = names, table.colormap, "land cover", geo_tags, shown
    with coded(path, grid, table.dtype, table.nodata, *tags) as add:
        yield lambda labels: add(table.decode(labels))


def class_table(path: str | Path) -> ClassTable:
    """Read the class table of a map that `classes` wrote, from its metadata and colours.

    Raises:
        InputError: The raster holds no names of classes.
    """
    with Raster(path) as raster:
        names, colors, nodata = class_names(raster), raster.colormap or {}, raster.nodata
    records = [
        {"code": str(code), "name": name, "color": "#%02X%02X%02X" % colors.get(code, GREY)}
        for code, name in names.items()
    ]
    if not records:
        raise InputError(f"{path}: has no names of classes; give its class table by --classes")
    if nodata is not None:
        records.append(
            {"code": str(nodata), "name": "no data", "color": "#000000", "ignore": "true"}
        )
    return ClassTable.from_records("map", records, path)


def class_names(raster: Raster) -> dict[int, str]:
    """Return {code: name} of the classes of a map, from its metadata; empty if it holds none."""
    named = {CODE.fullmatch(item): text for item, text in raster.items.items()}
    return {int(found[1]): text for found, text in named.items() if found}


def files_of(path: str | os.PathLike) -> list[Path]:
    """List what `coded` has written: the raster, the file of its names and its style, if any."""
    names, style = Path(f"{os.fspath(path)}.aux.xml"), styles.beside(path)
    return [Path(path), *[names] * names.exists(), *[style] * styles.ours(style)]


@contextlib.contextmanager
def coded(
    path: str | os.PathLike,
    grid: Grid,
    dtype: np.dtype,
    nodata: int | None,
    names: Mapping[int, str],
    colors: Mapping[int, Color] | None,
    title: str | None,
    geo_tags: dict | None = None,
    shown: Mapping[int, Color] | None = None,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a raster of codes that have names and colours.

    The file of category names and the style of QGIS are written after the map. Category names exist
    for 8-bit codes only. Where a map has no such file, that of an earlier map is removed.

    Args:
        path: The file.
        grid: Its grid.
        dtype: The type of the codes.
        nodata: The code of no-data, or None.
        names: {code: name}. Names of `nodata` and of what is no code of the type are left out.
        colors: {code: (red, green, blue)} of the file, or None.
        title: The description of the band, or None.
        geo_tags: The geo tags of the image; None: tags made from the grid.
        shown: {code: (red, green, blue)} of the style; None: those of the file.

    Yields:
        A function that writes the next rows, from codes (any h, width).
    """
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    names = {code: name for code, name in names.items() if low <= code <= high and code != nodata}
    items = {f"class_{code}": name for code, name in names.items()}
    with cog.writer(path, grid, 1, dtype, nodata, colors, [title], geo_tags, items) as add:
        yield lambda codes: add(codes[None])
    styles.write(path, styles.of_classes(names, shown or colors or {}))
    sidecar = Path(f"{os.fspath(path)}.aux.xml")
    if np.dtype(dtype) != np.uint8 or not names:
        sidecar.unlink(missing_ok=True)
        return
    no_data = {} if nodata is None else {nodata: "no data"}
    with replacing(sidecar) as temporary:
        temporary.write_text(category_names(names | no_data), encoding="utf-8")


@contextlib.contextmanager
def fractions(
    path: str | os.PathLike,
    grid: Grid,
    names: Sequence[str],
    geo_tags: dict | None = None,
    dtype: np.dtype | type | str = np.uint8,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write bands of numbers from 0 to 1.

    Args:
        path: The file.
        grid: Its grid.
        names: The name of each band.
        geo_tags: The geo tags of the image; None: tags made from the grid.
        dtype: uint8 for the bytes of `to_bytes`, float32 for the numbers themselves.

    Yields:
        A function that writes the next rows, from numbers (bands, any h, width). NaN is no-data.
    """
    as_bytes = np.dtype(dtype) == np.uint8
    with cog.writer(
        path,
        grid,
        count=len(names),
        dtype=dtype,
        nodata=NO_BYTE if as_bytes else np.nan,
        descriptions=list(names),
        geo_tags=geo_tags,
        scale=1 / STEPS if as_bytes else None,
        overviews="average",
    ) as add:
        yield lambda values: add(to_bytes(values) if as_bytes else values.astype(dtype))
    styles.write(path, styles.of_fractions())


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Convert numbers from 0 to 1 to bytes from 0 to 254, and NaN to 255.

    >>> to_bytes(np.array([0, 0.5, 1, np.nan])).tolist()
    [0, 127, 254, 255]
    """
    known = np.isfinite(values)
    steps = np.rint(np.clip(np.where(known, values, 0), 0, 1) * STEPS)
    return np.where(known, steps, NO_BYTE).astype(np.uint8)


def category_names(names: dict[int, str]) -> str:
    """Format GDAL's auxiliary file (PAM): a name for each code from 0 to the largest.

    A code without a class has an empty name.
    """
    categories = "".join(
        f"<Category>{escape(names.get(code, ''))}</Category>\n" for code in range(max(names) + 1)
    )
    return printable(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>\n{categories}</CategoryNames>'
        "</PAMRasterBand></PAMDataset>\n",
        keep="\n",
    )
