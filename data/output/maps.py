"""The files of a map: classes with their names and colours, and bands of probability or
uncertainty.

What each program shows of a class map's names was found by trying, and by reading QGIS and GDAL:

    class_250=residential   items of the tag GDAL_METADATA: inside the file, listed by `gdalinfo` and by QGIS's
                            layer properties, but in no legend
    map.tif.aux.xml         GDAL's category names, one for each code from 0 on. QGIS labels the legend with them.
                            GDAL looks for them in this file beside the map only, so they stay behind where the
                            map is sent alone
    ColorMap                the colours, inside the file

Probabilities are bytes, a quarter of the room of floats: value = round(254 p), and 255 is no-data.
Were it round(255 p), the surest pixels would be no-data. The file declares the scale 1/254, so that
GDAL and QGIS show 0 to 1, and the step of 0.004 is finer than any network is calibrated. Read
beside it: tests/data/output/test_maps.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from data.classes import ClassTable
from data.files import replacing
from data.grid import Grid
from data.raster import cog

STEPS, NO_BYTE = 254, 255  # a byte is round(STEPS * fraction), or NO_BYTE where there is no data


@contextlib.contextmanager
def classes(
    path: str | os.PathLike, grid: Grid, table: ClassTable, geo_tags: dict | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that takes strips (any h, width) of labels from the top; they are written as the
    table's codes.
    """
    names, colors = dict(zip(table.codes, table.names)), table.colormap
    with coded(path, grid, table.dtype, table.nodata, names, colors, "land cover", geo_tags) as add:
        yield lambda labels: add(table.decode(labels))


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
    """A function that takes strips (any h, width) of codes whose names and colours are given.

    The sidecar with the category names is written after the map, or removed where the codes are no
    bytes.
    """
    items = {f"class_{code}": name for code, name in names.items()}
    with cog.writer(path, grid, 1, dtype, nodata, colors, [title], geo_tags, items) as add:
        yield lambda codes: add(codes[None])
    sidecar = Path(f"{os.fspath(path)}.aux.xml")
    if np.dtype(dtype) != np.uint8:
        sidecar.unlink(missing_ok=True)  # that of an earlier map
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
    """A function that takes strips (bands, any h, width) of numbers 0..1, NaN where there is no
    data.

    `dtype` uint8 writes bytes as the head of this file says, float32 the numbers themselves and
    NaN.
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
        yield (
            (lambda values: add(to_bytes(values)))
            if as_bytes
            else (lambda values: add(values.astype(dtype)))
        )


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Numbers 0..1 as bytes 0..254; NaN becomes 255.

    >>> to_bytes(np.array([0, 0.5, 1, np.nan])).tolist()
    [0, 127, 254, 255]
    """
    known = np.isfinite(values)
    return np.where(
        known, np.rint(np.clip(np.where(known, values, 0), 0, 1) * STEPS), NO_BYTE
    ).astype(np.uint8)


def category_names(names: dict[int, str]) -> str:
    """GDAL's auxiliary file (PAM) with a name for each code from 0 to the largest; codes of no
    class have none.
    """
    categories = "".join(
        f"<Category>{escape(names.get(code, ''))}</Category>\n" for code in range(max(names) + 1)
    )
    return (
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>\n{categories}</CategoryNames>'
        "</PAMRasterBand></PAMDataset>\n"
    )
