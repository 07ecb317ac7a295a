"""Map the land cover of images with a trained network.

    python predict.py img.tif                        with the best checkpoint of the newest run
    python predict.py a.tif b.tif --output maps/     several, with a row for each image and class in areas.csv
    python predict.py img.tif --truth mask.tif       and say how right the map is
    python predict.py --export model.pt2             the network as a file that runs without this program
    python predict.py april_7.tif august_7.tif       a network trained with --stack-dates takes its dates together
    torchrun --nproc-per-node 2 predict.py img.tif   two processes, one map: the same as one process makes

Leaves beside each image, or in the folder named by --output:
    img_landcover.tif         the map on the image's own grid, a cloud-optimised GeoTIFF: codes, colours, CRS, no-data
    img_landcover.tif.aux.xml the classes' names, for the legend of QGIS
    img_landcover.png         image, map and legend side by side, thinned to 1024 pixels
    img_landcover_areas.csv   share and true ground area of each class, as counted and freed from known errors;
                              of several images one areas.csv

and with options img_landcover_probabilities.tif, _uncertainty.tif, _overlay.png, with --truth a
report (report.html of several images), with --compare a_landcover_to_b.tif and .csv.

A scene is read, mapped and written in strips, so its size is no matter: data/mapping/strips.py has
how. Several processes share the strips of a scene or, where there are as many, the images. Read
beside it: tests/test_predict.py.
"""

import argparse
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from data.classes import ClassTable
from data.console import Parser, duration, one_line_errors, progress, say_error, within
from data.files import IGNORE, InputError, replacing
from data.grid import Window
from data.input import pairing, stack
from data.input.inputs import Input, Wanted, recipe
from data.mapping import ranks
from data.mapping import strips as mapping
from data.output import area_tables, change, maps, preview
from data.output.areas import Areas
from data.output.samples import gallery
from data.raster import geotiff
from data.scaling import Scaling, network_input, sample_pixels, spread_windows, valid_pixels
from data.training.mask import Mask, labels_on
from unet import checkpoint, export, metrics
from unet.evaluation import area_estimation, report, scores, uncertainty
from unet.training.device import DeviceError, autocast, pick_device, pick_precision

SAMPLES = 6  # images with truth that the report shows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("images", nargs="*", type=Path, help="GeoTIFFs (or PNG, JPEG) to map, or folders of them")
    add("--checkpoint", type=Path, help="none: best.pt of the newest run in runs/")
    add("--output", type=Path, metavar="FOLDER", help="where maps go; none: beside each image")
    add(
        "--truth",
        nargs="+",
        type=Path,
        metavar="MASK",
        help="masks to compare with, matched to the images by name",
    )
    add(
        "--overlap",
        type=within(int, 0),
        default=mapping.OVERLAP,
        help="pixels that neighbouring windows share",
    )
    add("--batch", type=within(int, 1, 2**24), default=4, help="windows at a time")
    add(
        "--bands",
        nargs="+",
        metavar="BAND",
        help="names of the images' bands, or the number of each that is wanted",
    )
    add(
        "--offset",
        type=within(float),
        default=0,
        help="added to numbers: -1000 for Sentinel-2 since baseline 04.00",
    )
    add(
        "--nodata",
        type=float,
        help="value of pixels without data; none: as in training, else the files' own",
    )
    add(
        "--export",
        type=Path,
        metavar="FILE.pt2",
        help="write the network as a file that runs without this program",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add(
        "--precision",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="auto: mixed on a GPU",
    )
    add = parser.add_argument_group("output").add_argument
    add(
        "--overlay",
        action="store_true",
        help="also a picture of the map, half transparent, over the image",
    )
    add(
        "--probabilities",
        nargs="?",
        const="uint8",
        choices=("uint8", "float32"),
        help="also a band for each class",
    )
    add(
        "--uncertainty",
        action="store_true",
        help="also each pixel's entropy; of several opinions mutual information",
    )
    add(
        "--mc-dropout",
        type=within(int, 2),
        metavar="N",
        help="ask N times with dropout on, and average the opinions",
    )
    add(
        "--tta",
        action="store_true",
        help="ask for the eight flips and quarter turns, and average the opinions",
    )
    add(
        "--compare",
        action="store_true",
        help="what became what between two dates of one place, by their names' dates",
    )
    args = parser.parse_args(arguments)
    if not args.images and not args.export:
        parser.error("the following arguments are required: images")
    return args


def newest_checkpoint() -> Path:
    """best.pt of the run that improved last."""
    found = sorted(Path("runs").glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(
            "runs/*/best.pt: no checkpoint; train one with train.py, or name one by --checkpoint"
        )
    return found[-1]


class Mapper:
    """A checkpoint made ready: the network, and how it wants its input."""

    def __init__(
        self, path: Path, device: str, precision: str, passes: int = 0, views: bool = False
    ):
        loaded = checkpoint.load(path)
        self.path = path
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        # With the channels of a pixel side by side, convolutions are about a third faster.
        self.model = checkpoint.build_model(loaded).to(
            self.device, memory_format=torch.channels_last
        )
        self.table = ClassTable.from_records(
            loaded.get("class_table", "class table"), loaded["classes"], path
        )
        self.names, self.indices = loaded["bands"], loaded["indices"]
        self.scaling, self.size = Scaling.from_state(loaded["scaling"]), loaded["size"]
        self.wanted = Wanted.of(loaded)
        self.confusion = loaded.get("metrics", {}).get("confusion")
        self.passes, self.views = passes, views
        torch.manual_seed(0)  # dropout is random, but the same command gives the same map
        if passes and not uncertainty.has_dropout(self.model):
            raise InputError(
                f"{path}: --mc-dropout needs a network with dropout; train one with --dropout 0.2"
            )

    @torch.inference_mode()
    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs (n, C, h, w) float32 to probabilities (n, K, h, w) float32.

        Of several opinions their mean, and behind the classes one more layer: mutual information by
        ln K.
        """
        batch = torch.from_numpy(inputs).to(self.device, memory_format=torch.channels_last)

        def ask(images: torch.Tensor) -> torch.Tensor:
            with autocast(self.device, self.precision):
                return self.model(images).float().softmax(1)

        if not self.passes and not self.views:
            return ask(batch).cpu().numpy()
        with uncertainty.mc_dropout(self.model) if self.passes else nullcontext():
            rounds = (
                uncertainty.eight_views(ask, batch) if self.views else [ask(batch)]
                for _ in range(self.passes or 1)
            )
            mean, _, mutual = uncertainty.average(chain.from_iterable(rounds))
        return torch.cat([mean, mutual[:, None] / self.most_entropy], 1).cpu().numpy()

    @property
    def most_entropy(self) -> float:
        """ln K: all classes have the same probability."""
        return math.log(max(2, len(self.table.names)))

    def label_strips(
        self, raster: Input, overlap: int, batch: int, thin: int, whole: bool, sharing: ranks.Ranks
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """(labels (h, W) uint8, every `thin`-th row and column of the image, `probabilities` (K, h,
        W)), from the top.

        The probabilities, NaN without data, only if the `whole` of them is wanted.
        """
        read, nodata, shape = raster.read, raster.nodata, (raster.grid.height, raster.grid.width)
        classes, (size, overlap) = len(self.table.names), mapping.layout(self.size, overlap)
        places = [(read, window) for window in spread_windows(*shape)]
        scaling = self.scaling.for_image(
            lambda: sample_pixels(places, self.names, self.indices, nodata)
        )
        started = time.monotonic()

        def prepare(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return network_input(image, self.names, self.indices, scaling, nodata)

        def keep(window: Window, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return valid_pixels(image, nodata), image[:, -window.row % thin :: thin, ::thin].copy()

        def finish(found: np.ndarray, kept: tuple[np.ndarray, np.ndarray]) -> tuple:
            valid, thinned = kept
            labels = np.where(valid, found[:classes].argmax(0), IGNORE).astype(np.uint8)
            return labels, thinned, np.where(valid, found, np.float32(np.nan)) if whole else None

        def tell(share: float) -> None:
            if sharing.rank == 0:
                left = (time.monotonic() - started) * (1 - share) / share
                progress(f"{raster.path.name}: {share:4.0%}, {duration(left)} left")

        layers = classes + bool(self.passes or self.views)
        own = mapping.strips(
            read, prepare, self.probabilities, keep, finish, shape, raster.block_shape, size, overlap,
            layers, batch, sharing, tell,
        )  # fmt: skip
        with closing(own):
            yield from ranks.in_order(
                own, sharing, len(mapping.axis(shape[0], size, overlap).starts)
            )


def map_image(
    mapper: Mapper,
    dates: tuple[Path, ...],
    target: Path,
    args: argparse.Namespace,
    sharing: ranks.Ranks,
) -> tuple[Areas, tuple[np.ndarray, np.ndarray]] | None:
    """Write the map of one image, or of a place's dates, to `target`, and what else is wanted
    beside it.

    Returns what is in the map, and (image, labels) as small pictures. Of several processes that
    share the image, only the first writes, and the others return None.
    """
    table, classes = mapper.table, len(mapper.table.names)
    with (
        Input(dates, mapper.wanted, args.bands, args.offset, args.nodata) as raster,
        ExitStack() as files,
    ):
        grid, nodata = raster.grid, raster.nodata
        small_image, small_map = (preview.Thinned(grid.height, grid.width) for _ in range(2))
        whole = bool(args.probabilities or args.uncertainty)
        made = mapper.label_strips(
            raster, args.overlap, args.batch, small_image.step, whole, sharing
        )
        if sharing.rank > 0:
            deque(made, maxlen=0)
            return None
        for remark in raster.remarks:
            print(f"note: {remark}")
        areas = Areas(grid, classes)

        def layers(what: str, names: list[str], dtype: str) -> Callable[[np.ndarray], None]:
            return files.enter_context(
                maps.fractions(beside(target, what), grid, names, raster.geo_tags, dtype)
            )

        add_map = files.enter_context(maps.classes(target, grid, table, raster.geo_tags))
        add_shares = (
            layers("probabilities", table.names, args.probabilities) if args.probabilities else None
        )
        kinds = ["predictive entropy", "mutual information"][
            : 2 if mapper.passes or mapper.views else 1
        ]
        add_doubts = layers("uncertainty", kinds, "uint8") if args.uncertainty else None
        for labels, thinned, found in made:
            (
                add_map(labels),
                areas.add(labels),
                small_image.rows.append(thinned),
                small_map.add(labels),
            )
            if add_shares:
                add_shares(found[:classes])
            if add_doubts:
                entropy = uncertainty.entropy(torch.from_numpy(found[:classes]), dim=0).numpy()[
                    None
                ]
                add_doubts(np.concatenate([entropy / mapper.most_entropy, found[classes:]]))
    image, labels = preview.rgb(small_image.array(), mapper.names, nodata), small_map.array()
    legend = preview.legend(labels, table, len(labels))
    write_png(
        target.with_suffix(".png"), preview.beside(image, preview.colored(labels, table), legend)
    )
    if args.overlay:
        write_png(
            beside(target, "overlay", ".png"),
            preview.beside(preview.overlay(image, labels, table), legend),
        )
    return areas, (preview.small(image), preview.small(labels))


class Mapped(NamedTuple):
    """What came of one image: areas, and with a truth its confusion matrix and the small pictures
    of a sample.
    """

    areas: Areas
    confusion: metrics.ConfusionMatrix | None
    sample: dict


def map_one(
    mapper: Mapper,
    dates: tuple[Path, ...],
    target: Path,
    truth: Path | None,
    args: argparse.Namespace,
    adjust: area_tables.Adjust | None,
    sharing: ranks.Ranks,
) -> Mapped | None:
    """Map one image, say what is in the map and how right it is; None where another process does
    the saying.
    """
    found = map_image(mapper, dates, target, args, sharing)
    progress("")
    if found is None:
        return None
    areas, (image, labels) = found
    print(f"{target}\n{area_tables.area_table(mapper.table, areas, adjust)}")
    if truth is None:
        return Mapped(areas, None, {})
    confusion, small_truth = confusion_of(mapper.table, target, truth)
    print(scores.score_table(mapper.table.names, confusion))
    return Mapped(areas, confusion, {"rgb": image, "truth": small_truth, "prediction": labels})


def beside(target: Path, what: str, suffix: str = ".tif") -> Path:
    """img_landcover_overlay.png beside img_landcover.tif."""
    return target.with_name(f"{target.stem}_{what}{suffix}")


def write_png(path: Path, drawn: np.ndarray) -> None:
    """A picture (H, W, 3) uint8."""
    with replacing(path) as temporary:
        temporary.write_bytes(preview.png(drawn))


def pairs(
    table: ClassTable, map_path: Path, other: Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels (h, W) of a map and of another raster on the map's grid, strip by strip from the top."""
    with Mask(map_path, table) as mapped, Mask(other, table) as mask:
        row = 0
        for labels in labels_on(mask, mapped.grid, "nearest"):
            yield mapped.read(Window(row, 0, *labels.shape)), labels
            row += len(labels)


def confusion_of(
    table: ClassTable, target: Path, truth: Path
) -> tuple[metrics.ConfusionMatrix, np.ndarray]:
    """The confusion matrix of a map against a mask, over the pixels that have both; and the mask as
    a small picture.
    """
    confusion = metrics.ConfusionMatrix(len(table.names))
    with geotiff.Raster(target) as raster:
        thinned = preview.Thinned(raster.grid.height, raster.grid.width)
    for predicted, labels in pairs(table, target, truth):
        thinned.add(labels)
        both = (labels != IGNORE) & (predicted != IGNORE)
        confusion.update(torch.from_numpy(predicted[both]), torch.from_numpy(labels[both]))
    return confusion, preview.small(thinned.array())


def write_changes(table: ClassTable, before: Path, after: Path, path: Path) -> None:
    """From one map to a later one of the same place: the matrix as a CSV file and on the terminal,
    the change map.
    """
    with geotiff.Raster(before) as raster:
        grid, geo_tags = raster.grid, raster.geo_tags
    changes = change.Changes(grid, len(table.names))
    with change.change_map(path, grid, table, geo_tags) as add:
        for old, new in pairs(table, before, after):
            changes.add(old, new), add(old, new)
        if not changes.matrix.any():
            raise InputError(
                f"{after}: no pixel in common with {before}; compare two dates of one place"
            )
    change.write_csv(path.with_suffix(".csv"), table, changes)
    print(f"{path}\n{change.change_table(table, changes)}")


def write_report(
    path: Path, mapper: Mapper, matrices: list, samples: list[dict], settings: dict
) -> None:
    """report.html of maps with known truth."""
    table = mapper.table
    towns = area_tables.built_up(table.names)
    groups = {"built-up": towns} if towns else {name: [k] for k, name in enumerate(table.names)}
    classes = list(zip(table.names, table.colors))
    page = scores.page(f"Maps by {mapper.path}", classes, matrices, groups, settings)
    page |= gallery(samples, table)
    with replacing(path) as temporary:
        temporary.write_text(report.html(page), encoding="utf-8")


def adjustment(mapper: Mapper) -> area_tables.Adjust | None:
    """How areas are freed from the errors that the validation found; None for a checkpoint without
    its matrix.
    """
    if mapper.confusion is None:
        return None
    confusion = metrics.ConfusionMatrix(len(mapper.table.names), mapper.confusion)

    def adjust(mapped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple(
            part.numpy() for part in area_estimation.stratified(confusion, torch.from_numpy(mapped))
        )

    return adjust


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
    together = ranks.start()
    mapper = Mapper(
        args.checkpoint or newest_checkpoint(),
        args.device,
        args.precision,
        args.mc_dropout or 0,
        args.tta,
    )
    if args.export:
        write_export(args.export, mapper.path, mapper.table)
        if not args.images:
            return
    size, _ = mapping.layout(mapper.size)
    if args.overlap >= size:
        raise InputError(f"--overlap {args.overlap}: must be less than the window's {size} pixels")
    places = {
        dates[0]: dates
        for dates in stack.by_place(pairing.find(args.images, "images"), mapper.wanted.dates)
    }
    images = list(places)
    truths = (
        dict(pairing.pair(images, pairing.find(args.truth, "masks"), spare_masks=True))
        if args.truth
        else {}
    )
    targets = {
        image: (args.output or image.parent) / f"{image.stem}{pairing.MAP}.tif" for image in images
    }
    twice = [target for target, count in Counter(targets.values()).items() if count > 1]
    if twice:
        raise InputError(
            f"{twice[0]}: would be the map of several images of one name; map them in separate calls"
        )
    if args.compare and len(images) != 2:
        raise InputError(f"--compare: {len(images)} images; give two, the earlier one first")
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)

    if together.rank == 0:
        print(f"checkpoint {mapper.path}, {len(mapper.table.names)} classes, on {mapper.device}")
    # Processes share a single image; of several each takes its own, so that one that fails takes
    # none with it.
    several = len(images) > 1
    mine, sharing = (
        (images[together.rank :: together.world], mapping.Alone())
        if several
        else (images, together)
    )
    adjust, done = adjustment(mapper), {}
    for image in mine:
        try:
            if mapped := map_one(
                mapper, places[image], targets[image], truths.get(image), args, adjust, sharing
            ):
                done[image] = mapped
        except (InputError, OSError) as error:
            if not several:
                raise
            done[image] = None  # and on with the others
            say_error("predict.py", error)
    done = ranks.gather(done, together)
    if together.rank > 0:
        return
    failed = [image for image in images if done[image] is None]
    rows = [(image, done[image].areas) for image in images if done[image]]
    told = [(image, done[image]) for image in images if done[image] and done[image].confusion]
    matrices = [one.confusion for _, one in told]
    samples = [{"title": str(image), **one.sample} for image, one in told[:SAMPLES]]
    folder, first = args.output or images[0].parent, targets[images[0]]
    if rows:
        path = folder / "areas.csv" if several else beside(first, "areas", ".csv")
        area_tables.write(path, mapper.table, rows, adjust)
        print(path)
    if matrices:
        if several:
            print(
                f"all {len(matrices)} images\n{scores.score_table(mapper.table.names, sum(matrices[1:], matrices[0]))}"
            )
        path = folder / "report.html" if several else beside(first, "report", ".html")
        write_report(path, mapper, matrices, samples, vars(args))
        print(path)
    if args.compare and not failed:
        days = [area_tables.date_in(image.name) for image in images]
        before, after = images if not all(days) or days[0] <= days[1] else images[::-1]
        path = targets[before].with_name(f"{targets[before].stem}_to_{after.stem}.tif")
        write_changes(mapper.table, targets[before], targets[after], path)
    if failed:
        raise InputError(
            f"{len(failed)} of {len(images)} images failed: {', '.join(map(str, failed))}; see above why"
        )


if __name__ == "__main__":
    known = checkpoint.CheckpointError, DeviceError, ranks.LostRank, torch.OutOfMemoryError
    with ranks.leaving(), one_line_errors("predict.py", *known):
        main()
