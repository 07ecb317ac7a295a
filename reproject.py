"""Put a raster of classes on another raster's grid, from file to file.

    python reproject.py mask.tif --like image.tif -o aligned.tif
    python reproject.py cover_1m.tif --crs EPSG:3857 --resolution 10 --method mode -o cover_10m.tif
    python reproject.py cover.tif --like image.tif --method mode --vote-weights inverse -o kept.tif

The output is a cloud-optimised GeoTIFF with the colour map, names and no-data value of the source.
If classes have names and colours, QGIS gets a style (aligned.qml). --report also writes a page,
aligned_report.html. data/resample.py explains the methods. Read tests/test_reproject.py beside it.
"""

import argparse
import time
from pathlib import Path

from data import terminal
from data.files import naming, refuse_input, replacing
from data.grid import Grid
from data.output import alignment, maps, styles
from data.raster import Raster
from data.raster.cache import rows_that_fit
from data.raster.classsource import class_file, told
from data.raster.sidecars import with_sidecars
from data.raster.targetgrid import require_crs, target_grid_for
from data.resample import METHODS, TILE, reproject, strips
from data.terminal import Parser, duration, vote_weights, within
from unet.evaluation.alignment import html

__all__ = ["reproject", "reproject_file"]


def reproject_file(
    source_path: str | Path,
    output_path: str | Path,
    target_grid: Grid,
    method: str = "nearest",
    nodata: int | None = None,
    geo_tags: dict | None = None,
    **options,
) -> None:
    """Resample a file of classes; write the result whole or not at all.

    Args:
        source_path: A raster of classes, see data/raster/classfile.py.
        method: "nearest" or "mode".
        nodata: Value of pixels without a class, by default the value that the source declares. If
            it declares none and there are such pixels: the largest of its type.
        geo_tags: `Raster.geo_tags` of the raster that has the target grid; written unchanged.
        options: Other arguments of `data.resample.strips`.

    Raises:
        InputError: A file or the no-data value is unsuitable.
        OSError: A file cannot be read or written.
    """
    refuse_input(styles.outputs(output_path), with_sidecars(source_path))
    with Raster(source_path) as raster:
        read, grid, dtype, nodata = class_file(raster, target_grid, nodata)
        options["rows"] = rows_that_fit(raster, grid, target_grid, TILE)
        named = maps.class_names(raster), raster.colormap, raster.descriptions[0]
        start, done, height = time.monotonic(), 0, target_grid.height
        with naming(source_path):
            resampled = strips(read, grid, target_grid, method, nodata, dtype, **options)
            with maps.coded(output_path, target_grid, dtype, nodata, *named, geo_tags) as add:
                for strip in told(resampled, raster, grid, target_grid, nodata):
                    add(strip)
                    done += len(strip)
                    left = duration((time.monotonic() - start) * (height - done) / done)
                    terminal.progress(f"{done:,} of {height:,} rows, {left} left")
        terminal.progress("")


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("source", help="raster of classes: one band of whole numbers")
    add("-o", "--output", required=True, help="GeoTIFF to write")
    add("--like", metavar="RASTER", help="raster whose CRS, pixels and extent the output gets")
    add("--crs", help="CRS of an output that covers the source, such as EPSG:3857")
    side = "side of a pixel, in units of --crs (default: about as in the source)"
    add("--resolution", type=within(float, above=0), metavar="SIZE", help=side)
    add("--method", choices=METHODS, default="nearest", help="nearest pixel, or most votes")
    add("--nodata", type=int, help="no-data value of both rasters (default: as declared)")
    text = "weights of votes for mode: inverse, or CODE=WEIGHT,... (default: 1 each)"
    add("--vote-weights", type=vote_weights, metavar="WEIGHTS", help=text)
    add("--report", action="store_true", help="write a page about what changed beside the output")
    args = parser.parse_args()
    if bool(args.like) == bool(args.crs) or (args.resolution is not None and args.like):
        parser.error("give either --like, or --crs and perhaps --resolution")
    if args.vote_weights and args.method != "mode":
        parser.error("--vote-weights is for --method mode")
    return args


def main() -> None:
    """Run the script."""
    with terminal.one_line_errors("reproject.py"):
        args = parse_options()
        page = Path(args.output).with_name(f"{Path(args.output).stem}_report.html")
        with Raster(args.like or args.source) as raster:
            refuse_input([*styles.outputs(args.output), page], with_sidecars(raster.path))
            grid, tags = raster.grid, raster.geo_tags if args.like else None
            for remark in raster.remarks if args.like else ():
                terminal.note(f"{raster.path}: {remark}")
        if args.crs:
            require_crs(raster)
            grid = target_grid_for(grid, args.crs, args.resolution)
        given = args.method, args.nodata, tags
        reproject_file(args.source, args.output, grid, *given, vote_weights=args.vote_weights)
        if args.report:
            files = args.source, args.output, args.like
            found = alignment.of_files(*files, args.method, args.nodata)
            with replacing(page) as temporary:
                text = html(f"{Path(args.source).name} aligned", found, vars(args))
                temporary.write_text(text, "utf-8", "replace")
        terminal.say(args.output, *[page] * args.report)


if __name__ == "__main__":
    main()
