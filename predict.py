"""Map the land cover of images with a trained network.

    python predict.py img.tif                        with the best checkpoint of the newest run
    python predict.py a.tif b.tif --output maps/     several, with one row each in areas.csv
    python predict.py img.tif --truth mask.tif       and say how right the map is
    torchrun --nproc-per-node 2 predict.py img.tif   two processes, one map: the same as one process makes

Leaves beside each image, or in the folder named by --output,

    img_landcover.tif   the map on the image's own grid: raster codes, colour map, CRS, no-data
    img_landcover.png   image and map side by side, thinned to 1024 pixels
    areas.csv           of several images: a row each, with share and true ground area of each class

A scene is read, mapped and written in strips, so its size is no matter: data/mapping.py has how. Several processes
share the strips of a scene or, where there are as many images as processes, the images.
Read beside it: tests/test_predict.py.
"""

import argparse
import csv
import math
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import reproject
from data import InputError, bands, geotiff, mapping, picture, ranks, scenes
from data.areas import pixel_areas
from data.classes import IGNORE, ClassTable
from data.console import Parser, duration, one_line_errors, progress, within
from data.grid import Grid, Window
from data.scaling import Scaling, network_input, sample_pixels, spread_windows, valid_pixels
from unet import checkpoint, metrics, report
from unet.device import DeviceError, autocast, pick_device, pick_precision


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = Parser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("images", nargs="+", type=Path, help="GeoTIFFs (or PNG, JPEG) to map, or folders of them")
    add("--checkpoint", type=Path, help="none: best.pt of the newest run in runs/")
    add("--output", type=Path, metavar="FOLDER", help="where maps go; none: beside each image")
    add("--truth", nargs="+", type=Path, metavar="MASK", help="masks to compare with, matched to the images by name")
    add("--overlap", type=within(int, 0), default=mapping.OVERLAP, help="pixels that neighbouring windows share")
    add("--batch", type=within(int, 1, 2**24), default=4, help="windows at a time")
    add("--nodata", type=float, help="value of pixels without data; none: as in training, else the files' own")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto", help="auto: mixed on a GPU")
    return parser.parse_args(arguments)


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
        # With the channels of a pixel side by side, convolutions are about a third faster.
        self.model = checkpoint.build_model(loaded).to(self.device, memory_format=torch.channels_last)
        self.table = ClassTable.from_records(loaded.get("class_table", "class table"), loaded["classes"], path)
        self.names, self.indices = loaded["bands"], loaded["indices"]
        self.scaling, self.size = Scaling.from_state(loaded["scaling"]), loaded["size"]
        self.nodata = loaded.get("nodata")

    @torch.inference_mode()
    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs (n, C, h, w) float32 to probabilities (n, K, h, w) float32."""
        batch = torch.from_numpy(inputs).to(self.device, memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            logits = self.model(batch)
        return logits.float().softmax(1).cpu().numpy()

    def strips(
        self, raster: geotiff.Raster, nodata: float | None, overlap: int, batch: int, thin: int, sharing: ranks.Ranks
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(labels (h, W) uint8, every `thin`-th row and column of the image) of a raster, from the top."""
        order = bands.order(self.names, bands.names(raster.descriptions), raster.path)
        shape, (size, overlap) = (raster.grid.height, raster.grid.width), mapping.layout(self.size, overlap)

        def read(window: Window) -> np.ndarray:
            return raster.read(window, order)

        places = [(read, window) for window in spread_windows(*shape)]
        scaling = self.scaling.for_image(lambda: sample_pixels(places, self.names, self.indices, nodata))
        started = time.monotonic()

        def prepare(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return network_input(image, self.names, self.indices, scaling, nodata)

        def keep(window: Window, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return valid_pixels(image, nodata), image[:, -window.row % thin :: thin, ::thin].copy()

        def finish(probabilities: np.ndarray, kept: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
            valid, thinned = kept
            return np.where(valid, probabilities.argmax(0), IGNORE).astype(np.uint8), thinned

        def tell(share: float) -> None:
            if sharing.rank == 0:
                left = (time.monotonic() - started) * (1 - share) / share
                progress(f"{raster.path.name}: {share:4.0%}, {duration(left)} left")

        own = mapping.strips(
            read, prepare, self.probabilities, keep, finish, shape, raster.block_shape, size, overlap,
            len(self.table.names), batch, sharing, tell,
        )  # fmt: skip
        with closing(own):
            yield from ranks.in_order(own, sharing, len(mapping.axis(shape[0], size, overlap).starts))


class Areas(NamedTuple):
    """What a map holds: pixels (K,), those without data, and km2 (K,) or None where the image has no CRS."""

    pixels: np.ndarray
    no_data: int
    km2: np.ndarray | None

    @property
    def shares(self) -> np.ndarray:
        """(K,) share of each class in the mapped pixels; NaN where nothing was mapped."""
        return self.pixels / self.pixels.sum() if self.pixels.any() else np.full(len(self.pixels), np.nan)


def map_image(mapper: Mapper, path: Path, target: Path, args: argparse.Namespace, sharing: ranks.Ranks) -> Areas | None:
    """Write the map of one image to `target`, its preview beside it; returns what is in it.

    Of several processes that share the image, only the first writes, and the others return None.
    """
    table = mapper.table
    with geotiff.Raster(path) as raster:
        grid, declared = raster.grid, (args.nodata, mapper.nodata, raster.nodata)
        nodata = next((value for value in declared if value is not None), None)
        small_image, small_map = (picture.Thinned(grid.height, grid.width) for _ in range(2))
        pixels, km2 = np.zeros(256, np.int64), np.zeros(256)
        made = mapper.strips(raster, nodata, args.overlap, args.batch, small_image.step, sharing)
        if sharing.rank > 0:
            deque(made, maxlen=0)
            return None

        def strips() -> Iterator[np.ndarray]:
            row = 0
            for labels, thinned in made:
                small_image.rows.append(thinned), small_map.add(labels)
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


def main(arguments: list[str] | None = None) -> None:
    """Map every image that the options name."""
    args = parse(arguments)
    together = ranks.start()
    mapper = Mapper(args.checkpoint or newest_checkpoint(), args.device, args.precision)
    size, _ = mapping.layout(mapper.size)
    if args.overlap >= size:
        raise InputError(f"--overlap {args.overlap}: must be less than the window's {size} pixels")
    images = scenes.find(args.images, "images")
    truths = dict(scenes.pair(images, scenes.find(args.truth, "masks"), spare_masks=True)) if args.truth else {}
    targets = {image: (args.output or image.parent) / f"{image.stem}{scenes.MAP}.tif" for image in images}
    twice = [target for target, count in Counter(targets.values()).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: would be the map of several images of one name; map them in separate calls")
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)

    if together.rank == 0:
        print(f"checkpoint {mapper.path}, {len(mapper.table.names)} classes, on {mapper.device}")
    each_its_own = len(images) >= together.world
    mine, sharing = (images[together.rank :: together.world], mapping.Alone()) if each_its_own else (images, together)
    done = {}
    for image in mine:
        found = map_image(mapper, image, targets[image], args, sharing)
        progress("")
        if found is None:
            continue
        print(targets[image])
        print_areas(mapper.table, found)
        confusion = compare(mapper, targets[image], truths[image]) if image in truths else None
        if confusion:
            print_metrics(mapper.table, confusion)
        done[image] = found, confusion
    done = ranks.gather(done, together)
    if together.rank == 0 and len(images) > 1:
        path = (args.output or images[0].parent) / "areas.csv"
        write_areas(path, mapper.table, [(image, done[image][0]) for image in images])
        if truths:
            print(f"all {len(images)} images")
            print_metrics(mapper.table, sum((done[image][1] for image in images[1:]), done[images[0]][1]))
        print(f"{path}: {len(images)} rows")


if __name__ == "__main__":
    known = checkpoint.CheckpointError, DeviceError, ranks.LostRank, torch.OutOfMemoryError
    with ranks.leaving(), one_line_errors("predict.py", *known):
        main()
