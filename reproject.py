"""Put a raster of classes on another raster's grid.

    python reproject.py mask.tif --like image.tif -o aligned.tif
    python reproject.py cover_1m.tif --crs EPSG:3857 --resolution 10 --method mode -o cover_10m.tif
    python reproject.py cover_1m.tif --like image.tif --method mode --vote-weights inverse -o houses.tif

The methods are those of data/resample.py. Read tests/test_reproject.py beside this file.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable, Iterator

import numpy as np

from data.console import Parser, duration, one_line_errors, progress, within
from data.files import InputError
from data.grid import Grid, Window
from data.raster import Raster, writer
from data.raster.warp import EDGE, between, parts, target_grid_for
from data.resample import METHODS, TILE, reproject, strips

__all__ = ["reproject", "reproject_file"]

CACHE_BYTES = 2**27  # of decoded source blocks
NO_CRS = "CRS is missing; assign it, for example with gdal_edit.py -a_srs"


def _block_reader(raster: Raster) -> Callable[[Window], np.ndarray]:
    """`read` for a file: whole blocks, or several small ones at a time; those used last are kept
    decoded.
    """
    size, (block_height, block_width) = (raster.grid.height, raster.grid.width), raster.block_shape
    width = min(size[1], block_width * max(1, 512 // block_width))
    height = min(size[0], block_height * max(1, min(512, 2**20 // width) // block_height))

    @functools.lru_cache(maxsize=max(4, CACHE_BYTES // (height * width * raster.dtype.itemsize)))
    def block(row: int, col: int) -> np.ndarray:
        return raster.read(Window(row, col, min(height, size[0] - row), min(width, size[1] - col)))[
            0
        ]

    def read(window: Window) -> np.ndarray:
        out = np.empty((window.height, window.width), raster.dtype)
        for part in parts(window, height, width):
            row, col = part.row % height, part.col % width
            pixels = block(part.row - row, part.col - col)[
                row : row + part.height, col : col + part.width
            ]
            row, col = part.row - window.row, part.col - window.col
            out[row : row + part.height, col : col + part.width] = pixels
        return out

    return read


def _rows(raster: Raster, target: Grid) -> int:
    """How many rows of the target to make at a time: fewer where a block is as wide as the file,
    and many are met.
    """
    rows, middle = TILE, Window(target.height // 2, target.width // 2, 1, 1)
    low, high = between(raster.grid, target, 1)[0].patch(middle, pad=1).span()
    per_row = (high[0] - low[0]) / 2 * raster.grid.width * raster.dtype.itemsize
    while (
        raster.block_shape[1] >= raster.grid.width and rows > 1 and rows * per_row > CACHE_BYTES / 2
    ):
        rows //= 2
    return rows


def _covers(source: Grid, target: Grid) -> bool:
    """Whether the centre of every pixel along the target's rim lies in the source."""
    rows, cols = np.arange(target.height) + 0.5, np.arange(target.width) + 0.5
    rim = [np.meshgrid(rows[[0, -1]], cols), np.meshgrid(rows, cols[[0, -1]])]
    rim = np.hstack([np.reshape(side, (2, -1)) for side in rim])
    row, col = between(source, target, 0)[0].exact(*rim) + EDGE
    return bool(np.all((row >= 0) & (row < source.height) & (col >= 0) & (col < source.width)))


def reproject_file(
    source_path,
    output_path,
    target_grid: Grid,
    method="nearest",
    nodata: int | None = None,
    geo_tags=None,
    **options,
) -> None:
    """Write the one-band raster `source_path` on `target_grid`, with its colour map, description
    and no-data.

    `nodata` None: the source's own; if it has none, the largest value of its type, provided that it
    is no class. `geo_tags` are those of the raster whose grid it is, to be written as they are; all
    else is as for `strips`. Raises InputError, and OSError such as for a full disk. An earlier
    output is then as it was.
    """
    _refuse_input(output_path, source_path)
    with Raster(source_path) as raster:
        if raster.count > 1 or raster.dtype.kind not in "iu":
            has = f"{raster.count} band{'s' * (raster.count > 1)} of {raster.dtype}"
            raise InputError(
                f"{source_path}: has {has}, and classes are one band of integers; convert it first"
            )
        if raster.grid.crs is None or target_grid.crs is None:
            raise InputError(f"{'the target' if raster.grid.crs else source_path}: {NO_CRS}")
        decoded, largest, start = (
            _block_reader(raster),
            np.iinfo(raster.dtype).max,
            time.monotonic(),
        )
        nodata = raster.nodata if nodata is None else nodata
        undeclared = nodata is None and not _covers(raster.grid, target_grid)
        nodata = largest if undeclared else nodata

        def read(window: Window) -> np.ndarray:
            block = decoded(window)
            if undeclared and (block == largest).any():
                raise InputError(
                    f"declares no no-data, and {largest} is a class; choose a code with --nodata"
                )
            return block

        def with_progress(made: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            done = 0
            for strip in made:
                yield strip[None]
                done += len(strip)
                left = (time.monotonic() - start) * (target_grid.height - done) / done
                progress(f"{done:,} of {target_grid.height:,} rows, {duration(left)} left")
            progress("")

        tags = nodata, raster.colormap, raster.descriptions, geo_tags
        try:
            options["rows"] = _rows(raster, target_grid)
            made = strips(read, raster.grid, target_grid, method, nodata, raster.dtype, **options)
            with writer(output_path, target_grid, 1, raster.dtype, *tags) as add:
                for strip in with_progress(made):
                    add(strip)
        except InputError as error:
            raise InputError(f"{source_path}: {error}") from error


def _refuse_input(output_path, input_path) -> None:
    """Raise InputError if both are one file, also through symbolic or hard links."""
    if os.path.exists(output_path) and os.path.samefile(input_path, output_path):
        raise InputError(f"{output_path}: is an input; give the output another name")


def _vote_weights(text: str) -> dict[int, float] | str:
    """The `type` of --vote-weights for argparse."""
    if text == "inverse":
        return text
    try:
        pairs = [item.split("=") for item in text.split(",")]
        weights = {int(code): float(weight) for code, weight in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} must be 'inverse' or CODE=WEIGHT,... such as 1=1,3=2.5"
        ) from None
    if len(weights) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text}: a code has two weights; give one")
    return weights


def main() -> None:
    """The script."""
    parser = Parser(description="Put a raster of classes on another raster's grid.")
    parser.add_argument("source", help="raster of classes: one band of integers")
    parser.add_argument("-o", "--output", required=True, help="GeoTIFF to write")
    parser.add_argument(
        "--like", metavar="RASTER", help="a raster whose CRS, pixels and extent to take"
    )
    parser.add_argument(
        "--crs", help="or the output's CRS, such as EPSG:3857; it then holds all of the source"
    )
    parser.add_argument(
        "--resolution",
        type=within(float, above=0),
        help="with --crs: pixel size in its units (default: as fine)",
    )
    parser.add_argument("--method", choices=METHODS, default="nearest", help="default: %(default)s")
    parser.add_argument(
        "--nodata", type=int, help="no-data of source and output (default: as declared)"
    )
    parser.add_argument(
        "--vote-weights", type=_vote_weights, metavar="inverse|CODE=W,...", help="for mode"
    )
    with one_line_errors("reproject.py"):
        args = parser.parse_args()
        if bool(args.like) == bool(args.crs) or (args.resolution is not None and args.like):
            parser.error("give either --like, or --crs and perhaps --resolution")
        if args.vote_weights and args.method != "mode":
            parser.error("--vote-weights is for --method mode")
        if args.like:
            _refuse_input(args.output, args.like)
        with Raster(path := args.like or args.source) as raster:
            grid, tags = raster.grid, raster.geo_tags if args.like else None
        if grid.crs is None:
            raise InputError(f"{path}: {NO_CRS}")
        if args.crs:
            grid = target_grid_for(grid, args.crs, args.resolution)
        options = args.method, args.nodata, tags
        reproject_file(args.source, args.output, grid, *options, vote_weights=args.vote_weights)


if __name__ == "__main__":
    main()
