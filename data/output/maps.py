"""Rasters of classes with names and colours, and rasters of probabilities or uncertainty.

A class map stores names and colours in three places, because programs look in different places:

    GDAL_METADATA      items such as class_250=residential, inside the file. `gdalinfo` and the
                       layer properties of QGIS list them, but no legend shows them.
    map.tif.aux.xml    GDAL's category names, one for each code from 0 on. QGIS shows them in its
                       legend. GDAL reads them from this file beside the map only, so they are
                       lost if the map is sent alone.
    ColorMap           the colours, inside the file

Probabilities p are stored as bytes, a quarter of the size of floats: byte = round(254 p). 255 is
no-data. With round(255 p) the pixels of probability 1 would be no-data. The file declares the scale
1/254, so that GDAL and QGIS show 0 to 1.

Read beside it: tests/data/output/test_maps.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from data.classes import ClassTable
from data.files import InputError, printable, replacing
from data.grid import Grid
from data.raster import Raster, cog

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
    names, colors = dict(zip(table.codes, table.names)), table.colormap
    with coded(path, grid, table.dtype, table.nodata, names, colors, "land cover", geo_tags) as add:
        yield lambda labels: add(table.decode(labels))


def class_table(path: str | Path) -> ClassTable:
    """Read the class table of a map that `classes` wrote, from its metadata and colours.

    Raises:
        InputError: The raster holds no names of classes.
    """
    with Raster(path) as raster:
        items, colors, nodata = raster.items, raster.colormap or {}, raster.nodata
    named = {name.removeprefix("class_"): text for name, text in items.items()}
    records = [
        {"code": code, "name": name, "color": "#%02X%02X%02X" % colors.get(int(code), GREY)}
        for code, name in named.items()
        if f"class_{code}" in items and code.isdigit()
    ]
    if not records:
        raise InputError(f"{path}: has no names of classes; give its class table by --classes")
    if nodata is not None:
        records.append(
            {"code": str(nodata), "name": "no data", "color": "#000000", "ignore": "true"}
        )
    return ClassTable.from_records("map", records, path)


def files_of(path: str | os.PathLike) -> list[Path]:
    """List what `coded` has written: the raster and, for 8-bit codes, the file of their names."""
    files = Path(path), Path(f"{os.fspath(path)}.aux.xml")
    return [file for file in files if file.exists()]


@contextlib.contextmanager
def coded(
    path: str | os.PathLike,
    grid: Grid,
    dtype: np.dtype,
    nodata: int,
    names: dict[int, str],
    colors: dict[int, tuple[int, int, int]] | None,
    title: str,
    geo_tags: dict | None = None,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a raster of codes that have names and colours.

    The file of category names is written after the map. It exists for 8-bit codes only. For other
    codes the file of an earlier map is removed.

    Args:
        path: The file.
        grid: Its grid.
        dtype: The type of the codes.
        nodata: The code of no-data.
        names: {code: name}.
        colors: {code: (red, green, blue)}, or None.
        title: The description of the band.
        geo_tags: The geo tags of the image; None: tags made from the grid.

    Yields:
        A function that writes the next rows, from codes (any h, width).
    """
    items = {f"class_{code}": name for code, name in names.items()}
    with cog.writer(path, grid, 1, dtype, nodata, colors, [title], geo_tags, items) as add:
        yield lambda codes: add(codes[None])
    sidecar = Path(f"{os.fspath(path)}.aux.xml")
    if np.dtype(dtype) != np.uint8:
        sidecar.unlink(missing_ok=True)
        return
    with replacing(sidecar) as temporary:
        temporary.write_text(category_names(names | {nodata: "no data"}), encoding="utf-8")


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
