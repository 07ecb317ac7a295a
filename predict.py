"""Map the land cover of images with a trained network.

    python predict.py img.tif                        with the best checkpoint of the newest run
    python predict.py a.tif b.tif --output maps/     several, with one row each in areas.csv
    python predict.py img.tif --truth mask.tif       and say how right the map is
    python predict.py --export model.pt2             the network as a file that runs without this program
    python predict.py april_7.tif august_7.tif       a network trained with --stack-dates takes its dates together

Leaves beside each image, or in the folder named by --output,

    img_landcover.tif   the map on the image's own grid: raster codes, colour map, CRS, no-data
    img_landcover.png   image and map side by side, thinned to 1024 pixels
    areas.csv           of several images: a row each, with share and true ground area of each class

A scene is read, mapped and written in windows, so its size is no matter. Read beside it: tests/test_predict.py.
"""

import argparse
import csv
import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import reproject
from data import InputError, geotiff, picture, scenes, stack, tiling
from data.areas import pixel_areas
from data.classes import IGNORE, ClassTable
from data.console import Parser, one_line_errors, progress, say_error, within
from data.grid import Grid, Window
from data.inputs import Input, Wanted, recipe
from data.scaling import Scaling, network_input, sample_pixels, spread_windows, valid_pixels
from unet import checkpoint, export, metrics, report
from unet.device import DeviceError, autocast, pick_device, pick_precision


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = Parser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("images", nargs="*", type=Path, help="GeoTIFFs (or PNG, JPEG) to map, or folders of them")
    add("--checkpoint", type=Path, help="none: best.pt of the newest run in runs/")
    add("--output", type=Path, metavar="FOLDER", help="where maps go; none: beside each image")
    add("--truth", nargs="+", type=Path, metavar="MASK", help="masks to compare with, matched to the images by name")
    add("--overlap", type=within(int, 0), help="pixels that neighbouring windows share; none: a quarter of the window")
    add("--batch", type=within(int, 1, 2**24), default=4, help="windows at a time")
    add("--bands", nargs="+", metavar="BAND", help="names of the images' bands, or the number of each that is wanted")
    add("--offset", type=within(float), default=0, help="added to the images' numbers before all else: -1000 makes "
        "Sentinel-2 numbers since baseline 04.00 (2022) what they were before; SAFE folders know theirs")  # fmt: skip
    add("--nodata", type=float, help="value of pixels without data; none: as in training, else the files' own")
    add("--export", type=Path, metavar="FILE.pt2", help="write the network as a file that runs without this program")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto", help="auto: mixed on a GPU")
    args = parser.parse_args(arguments)
    if not args.images and not args.export:
        parser.error("the following arguments are required: images")
    return args


def newest_checkpoint() -> Path:
    """best.pt of the run that improved last."""
    found = sorted(Path("runs").glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("runs/*/best.pt: no checkpoint; train one with train.py, or name one by --checkpoint")
    return found[-1]


class Mapper:
    """A checkpoint made ready: the network, and how it wants its input."""

    def __init__(self, path: Path, device: str, precision: str):
        loaded = checkpoint.load(path)
        self.path = path
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.model = checkpoint.build_model(loaded).to(self.device)
        self.table = ClassTable.from_records(loaded.get("class_table", "class table"), loaded["classes"], path)
        self.names, self.indices = loaded["bands"], loaded["indices"]
        self.scaling, self.size = Scaling.from_state(loaded["scaling"]), loaded["size"]
        self.wanted = Wanted.of(loaded)

    @torch.no_grad()
    def probabilities(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Inputs (C, h, w) of one size to probabilities (n, K, h, w) float32."""
        batch = torch.from_numpy(np.stack(inputs)).to(self.device)
        with autocast(self.device, self.precision):
            logits = self.model(batch)
        return logits.float().softmax(1).cpu().numpy()

    def label_strips(
        self, raster: Input, nodata: float | None, overlap: int, batch: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(labels (h, W) uint8, the image's bands (C, h, W)) of a raster, strip by strip from the top."""
        read = raster.read
        places = [(read, window) for window in spread_windows(raster.grid.height, raster.grid.width)]
        scaling = self.scaling.for_image(lambda: sample_pixels(places, self.names, self.indices, nodata))
        windows = tiling.windows(raster.grid.height, raster.grid.width, self.size, overlap)

        def predictions() -> Iterator[tuple[Window, np.ndarray]]:
            remaining = iter(windows)
            done = 0
            while group := list(islice(remaining, batch)):
                inputs = [network_input(read(w), self.names, self.indices, scaling, nodata)[0] for w in group]
                yield from zip(group, self.probabilities(inputs))
                done += len(group)
                progress(f"{raster.path.name}: {done / len(windows):4.0%}")

        row = 0
        for strip in tiling.stitch(predictions(), raster.grid.height, raster.grid.width):
            image = read(Window(row, 0, strip.shape[1], strip.shape[2]))
            labels = strip.argmax(0).astype(np.uint8)
            labels[~valid_pixels(image, nodata)] = IGNORE
            yield labels, image
            row += strip.shape[1]


class Areas(NamedTuple):
    """What a map holds: pixels (K,), those without data, and km2 (K,) or None where the image has no CRS."""

    pixels: np.ndarray
    no_data: int
    km2: np.ndarray | None

    @property
    def shares(self) -> np.ndarray:
        """(K,) share of each class in the mapped pixels; NaN where nothing was mapped."""
        return self.pixels / self.pixels.sum() if self.pixels.any() else np.full(len(self.pixels), np.nan)


def map_image(mapper: Mapper, dates: tuple[Path, ...], target: Path, args: argparse.Namespace) -> Areas:
    """Write the map of one image, or of a place's dates, to `target`, its preview beside it; returns what is in it."""
    table = mapper.table
    overlap = mapper.size // 4 if args.overlap is None else args.overlap
    with Input(dates, mapper.wanted, args.bands, args.offset, args.nodata) as raster:
        grid, nodata = raster.grid, raster.nodata
        for remark in raster.remarks:
            print(f"note: {remark}")
        small_image, small_map = (picture.Thinned(grid.height, grid.width) for _ in range(2))
        pixels, km2 = np.zeros(256, np.int64), np.zeros(256)

        def strips() -> Iterator[np.ndarray]:
            row = 0
            for labels, image in mapper.label_strips(raster, nodata, overlap, args.batch):
                small_image.add(image), small_map.add(labels)
                pixels[:] += np.bincount(labels.ravel(), minlength=256)
                if grid.crs:
                    ground = pixel_areas(grid.window(Window(row, 0, *labels.shape)))
                    km2[:] += np.bincount(labels.ravel(), ground.ravel() / 1e6, minlength=256)
                row += len(labels)
                yield table.decode(labels)[None]

        geotiff.write_blocks(
            target,
            strips(),
            grid,
            count=1,
            dtype=table.dtype,
            nodata=table.nodata,
            colormap=table.colormap,
            descriptions=["land cover"],
            geo_tags=raster.geo_tags,
        )
    preview = picture.beside(
        picture.rgb(small_image.array(), mapper.names, nodata), picture.colored(small_map.array(), table)
    )
    with geotiff.replacing(target.with_suffix(".png")) as temporary:
        temporary.write_bytes(report.png(preview))
    classes = slice(len(table.names))
    return Areas(pixels[classes], int(pixels[IGNORE]), km2[classes] if grid.crs else None)


def compare(mapper: Mapper, target: Path, truth: Path) -> metrics.ConfusionMatrix:
    """The confusion matrix of a map against a mask, over the pixels that have both."""
    confusion = metrics.ConfusionMatrix(len(mapper.table.names))

    def align(mask: scenes.Mask, grid: Grid) -> Iterator[np.ndarray]:
        return reproject.strips(mask.read, mask.grid, grid, "nearest", IGNORE, np.uint8)

    with scenes.Mask(truth, mapper.table) as mask, scenes.Mask(target, mapper.table) as mapped:
        row = 0
        for labels in scenes.labels_on(mask, mapped.grid, align):
            predicted = mapped.read(Window(row, 0, *labels.shape))
            both = (labels != IGNORE) & (predicted != IGNORE)
            confusion.update(torch.from_numpy(predicted[both]), torch.from_numpy(labels[both]))
            row += len(labels)
    return confusion


def print_areas(table: ClassTable, found: Areas) -> None:
    """class, code, share, km2: the table under each map."""
    unit = "pixels" if found.km2 is None else "km2"
    width = max(map(len, [*table.names, "no data"]))
    print(f"  {'class':{width}}  {'code':>5}  {'share':>7}  {unit:>12}")
    for k, name in enumerate(table.names):
        area = f"{found.pixels[k]:12,}" if found.km2 is None else f"{found.km2[k]:12.4f}"
        share = f"{found.shares[k]:.2%}" if found.pixels.any() else "-"
        print(f"  {name:{width}}  {table.codes[k]:5}  {share:>7}  {area}")
    if found.no_data:
        print(f"  {'no data':{width}}  {table.nodata:5}  {'':7}  {found.no_data:12,} pixels")


def figure(value: float) -> str:
    """Three decimals, or a dash for 0/0: the class neither occurs nor was predicted."""
    return "     -" if math.isnan(value) else f"{value:6.3f}"


def print_metrics(table: ClassTable, confusion: metrics.ConfusionMatrix) -> None:
    """Figures of a map against its truth."""
    width = max(map(len, table.names))
    columns = [c.tolist() for c in (confusion.iou(), confusion.dice(), confusion.precision(), confusion.recall())]
    print(f"  {'against the truth':{max(width, 17)}}  {'IoU':>6}  {'Dice':>6}  {'prec.':>6}  {'recall':>6}")
    for k, name in enumerate(table.names):
        print(f"  {name:{max(width, 17)}}  " + "  ".join(figure(column[k]) for column in columns))
    print(
        f"  macro Dice {confusion.macro_dice():.4f}  weighted Dice {confusion.weighted_dice():.4f}  "
        f"mean IoU {confusion.mean_iou():.4f}  accuracy {confusion.accuracy():.4f}  "
        f"pixels {confusion.matrix.sum().item():,}"
    )


def write_areas(path: Path, table: ClassTable, rows: list[tuple[Path, Areas]]) -> None:
    """areas.csv: one row an image, share and km2 of each class."""
    with geotiff.replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        header = ["image", "mapped pixels", "pixels without data"]
        writer.writerow(header + [f"{what} {name}" for what in ("share", "km2") for name in table.names])
        for image, found in rows:
            km2 = [""] * len(table.names) if found.km2 is None else [f"{value:.6f}" for value in found.km2]
            shares = [f"{value:.6f}" for value in found.shares]
            writer.writerow([image, found.pixels.sum(), found.no_data, *shares, *km2])


def write_export(path: Path, loaded: Path, table: ClassTable) -> None:
    """The network of a checkpoint as a .pt2 file."""
    if path.suffix != ".pt2":
        raise InputError(f"--export {path}: is a .pt2 file; end its name so")
    if not path.parent.is_dir():
        raise InputError(f"--export {path}: there is no folder {path.parent}; make it first")
    state = checkpoint.load(loaded)
    print(f"{path}: takes {export.export(state, path, recipe(state, table))}")


def main(arguments: list[str] | None = None) -> None:
    """Map every image that the options name."""
    args = parse(arguments)
    mapper = Mapper(args.checkpoint or newest_checkpoint(), args.device, args.precision)
    if args.export:
        write_export(args.export, mapper.path, mapper.table)
        if not args.images:
            return
    if (args.overlap or 0) >= mapper.size:
        raise InputError(f"--overlap {args.overlap}: must be less than the window's {mapper.size} pixels")
    places = {dates[0]: dates for dates in stack.by_place(scenes.find(args.images, "images"), mapper.wanted.dates)}
    images = list(places)
    truths = dict(scenes.pair(images, scenes.find(args.truth, "masks"), spare_masks=True)) if args.truth else {}
    targets = {image: (args.output or image.parent) / f"{image.stem}{scenes.MAP}.tif" for image in images}
    twice = [target for target, count in Counter(targets.values()).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: would be the map of several images of one name; map them in separate calls")
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)

    print(f"checkpoint {mapper.path}, {len(mapper.table.names)} classes, on {mapper.device}")
    rows, failed, total = [], [], metrics.ConfusionMatrix(len(mapper.table.names))
    for image, target in targets.items():
        try:
            found = map_image(mapper, places[image], target, args)
            progress("")
            print(f"{target}")
            print_areas(mapper.table, found)
            rows.append((image, found))
            if image in truths:
                confusion = compare(mapper, target, truths[image])
                print_metrics(mapper.table, confusion)
                total += confusion
        except (InputError, OSError) as error:
            if len(images) == 1:
                raise
            failed.append(image)  # and on with the others
            say_error("predict.py", error)
    if len(images) > 1 and rows:
        path = (args.output or images[0].parent) / "areas.csv"
        write_areas(path, mapper.table, rows)
        if truths:
            print(f"all {len(rows)} images")
            print_metrics(mapper.table, total)
        print(f"{path}: {len(rows)} rows")
    if failed:
        raise InputError(f"{len(failed)} of {len(images)} images failed: {', '.join(map(str, failed))}; see above why")


if __name__ == "__main__":
    with one_line_errors("predict.py", checkpoint.CheckpointError, DeviceError, torch.OutOfMemoryError):
        main()
