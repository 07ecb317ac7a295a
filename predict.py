"""Map the land cover of images with a trained network.

    python predict.py img.tif                        use the best checkpoint of the newest run
    python predict.py a.tif b.tif --output maps/     map several images, and write one areas.csv
    python predict.py img.tif --truth mask.tif       also compare the map with a mask
    python predict.py april_7.tif august_7.tif       two dates, for a network of --stack-dates
    torchrun --nproc-per-node 2 predict.py img.tif   two processes that make one map

Writes beside each image, or into the folder of --output:
    img_landcover.tif         the map on the image's grid: codes, colours, CRS, no-data
    img_landcover.qml         style with which QGIS shows the map; class names in .tif.aux.xml
    img_landcover.png         image (at most 1024 pixels wide), map and legend side by side
    img_landcover_areas.csv   share and ground area of each class, as counted and adjusted for known
                              errors; areas.csv for several images

Options add img_landcover_probabilities and _uncertainty (.tif, .png), _overlay.png. --truth adds
img_landcover_scores.csv and _report.html, or scores.csv and report.html for several images.

A scene is read, mapped and written in strips, so that memory does not depend on its height
(data/mapping/strips.py). Several processes share the strips of a single image. With several
images, each process maps some.

Read beside it: tests/test_predict.py.
"""

from argparse import Namespace
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import torch

from data.classes import ClassTable
from data.files import InputError
from data.input.inputs import Expected, Input
from data.mapping.source import Source
from data.mapping.strips import map_scene
from data.output import area_tables, jobs, samples
from data.output.areas import Areas
from data.output.jobs import Job
from data.output.mapfiles import MapFiles, thumbnail_step
from data.output.trained import Trained
from data.output.truth import Truth
from data.terminal import Notes, Parser, listed, of_memory, one_line_errors, say, say_error, within
from data.tiling import OVERLAP, layout
from unet.evaluation import image_scores, report, scores
from unet.evaluation.options import add_map_options
from unet.evaluation.predictor import Predictor
from unet.evaluation.unseen import MapConfusion
from unet.training import processes
from unet.training.newest import choose
from unet.training.processes import Messages

# Options of earlier versions, and what takes their place.
GONE = {
    "--export": "use python -m unet.export CHECKPOINT -o model.pt2",
    "--compare": "use python -m data.output.change MAP_BEFORE MAP_AFTER",
}


def parse(arguments: list[str] | None = None) -> Namespace:
    """Read the options."""
    parser = Parser(__doc__, gone=GONE)
    add_map_options(parser, within, OVERLAP)
    args, rest = parser.parse_known_args(arguments)
    if rest:
        parser.error(f"{' '.join(rest)}: give images before options, and one path per --truth")
    # In `--bands 4 3 2 img.tif`, argparse takes the image for a fourth band.
    if args.bands and not args.images:
        args.images = [Path(word) for word in args.bands if Path(word).exists()]
        args.bands = [word for word in args.bands if not Path(word).exists()]
    if not args.images:
        parser.error("the following arguments are required: images")
    return args


class Result(NamedTuple):
    """The areas of a map and, with a mask, the confusion matrix and a sample for the report."""

    areas: Areas
    confusion: MapConfusion | None
    sample: dict


def map_image(
    job: Job,
    predictor: Predictor,
    table: ClassTable,
    args: Namespace,
    messages: Messages | None,
    notes: Notes,
) -> Result | None:
    """Map one image: read, predict, blend and write strip by strip.

    Where several processes share the image, the first one writes, and the others return None.
    """
    loaded, confusion = predictor.checkpoint, MapConfusion(predictor.classes)
    expected, keep = Expected.of(loaded), bool(args.probabilities or args.uncertainty)
    with ExitStack() as opened:
        options = args.bands, args.offset, args.nodata
        image = opened.enter_context(Input(job.dates, expected, *options))
        source = Source(image, loaded, thumbnail_step(image.grid))
        made = map_scene(source, predictor, args.overlap, args.batch, keep, messages)
        opened.enter_context(closing(made))
        if messages and messages.rank > 0:
            next(made, None)  # maps all strips of this process, and sends them to the first
            return None
        notes.say(*image.remarks)
        truth = Truth(job.truth, table, image.grid, notes.say) if job.truth else None
        trained = Trained(loaded, job.dates, image.grid, notes.say) if truth else None
        measures = predictor.uncertainty_names if args.uncertainty else []
        files = MapFiles(job.target, image, table, args.probabilities, measures, args.overlay)
        opened.enter_context(files)
        for strip in made:
            files.add(strip.labels, strip.thumbnail)
            layers = strip.probabilities
            if layers is not None and args.probabilities:
                files.add_probabilities(layers[: predictor.classes])
            if layers is not None and args.uncertainty:
                files.add_uncertainty(predictor.uncertainty_layers(layers))
            if truth:
                target = truth.next_rows(strip.labels)
                confusion.count(strip.labels, target, trained.held_out(target))
    means = source.means(files.thumbnail)
    files.areas.objection = predictor.objection(files.areas.measured, means, table.names)
    say(*files.paths, *area_tables.area_table(table, files.areas, predictor.adjust).split("\n"))
    if truth is None:
        return Result(files.areas, None, {})
    truth.check()
    say(*scores.score_tables(table.names, confusion, job.image.name).split("\n"))
    sample = {"title": str(job.image), "truth": truth.picture(), **files.pictures()}
    return Result(files.areas, confusion, sample | image_scores.figures(confusion, table.names))


def write_tables(
    todo: list[Job], results: dict, predictor: Predictor, table: ClassTable, args: Namespace
) -> None:
    """Write the table of areas of all maps and, with masks, their scores and a report."""
    paths = [jobs.table_path(todo, args.output, name) for name in jobs.TABLES]
    done = {job.image: results[job] for job in todo if job in results}
    areas = [(image, one.areas) for image, one in done.items()]
    area_tables.write(paths[0], table, areas, predictor.adjust)
    say(paths[0])
    compared = {str(image): one for image, one in done.items() if one.confusion}
    if not compared:
        return
    matrices = [one.confusion for one in compared.values()]
    if len(todo) > 1:
        ground, total = f"all {len(matrices)} images", sum(matrices[1:], matrices[0])
        say(ground, *scores.score_tables(table.names, total, ground).split("\n"))
    images, groups = list(zip(compared, matrices)), area_tables.groups(table)
    image_scores.write(paths[1], images, table.names, groups)
    title, classes = f"Maps by {predictor.path}", [*zip(table.names, table.colors)]
    page = scores.page(title, classes, matrices, groups, vars(args), [*compared])
    shown = samples.worst_and_best(one.sample for one in compared.values())
    report.write(paths[2], page | samples.gallery(shown, table))
    say(*paths[1:])


def main(arguments: list[str] | None = None) -> None:
    """Map every image that the options name."""
    args = parse(arguments)
    processes.start(torch.device("cpu"), processes.FOREVER)
    path, words, remarks = processes.gather(choose(args.checkpoint))[0]  # the same for all
    predictor = Predictor(path, args.device, args.precision, args.mc_dropout or 0, args.tta)
    loaded, notes = predictor.checkpoint, Notes()
    if processes.rank() == 0:
        say(f"checkpoint {words}, {predictor}")
        notes.say(*remarks)
    table = ClassTable.from_records(loaded.get("class_table", "classes"), loaded["classes"], path)
    if args.overlap >= (size := layout(predictor.size)[0]):
        raise InputError(f"--overlap {args.overlap}: must be less than the window's {size} pixels")
    dates = Expected.of(loaded).dates
    todo = jobs.find(args.images, args.truth or [], args.output, dates, [predictor.path])
    messages, rank = processes.messages(), processes.rank()
    # Processes share a single image. Several images are divided among them, so that an error stops
    # the map of one image only.
    several, results = len(todo) > 1, {}
    shared = None if several else messages
    for job in todo[rank :: processes.world()] if several else todo:
        try:
            results[job] = map_image(job, predictor, table, args, shared, notes)
            samples.forget_others(done.sample for done in results.values() if done)
        except Exception as error:  # whatever it is, the other images are still mapped
            if not several:
                raise of_memory(error, job.image) from None
            say_error("predict.py", of_memory(error, job.image), job.image)
    notes.say_counts()
    for part in messages.gather(results) if messages else []:
        results |= {job: result for job, result in part.items() if result}
    if rank > 0:
        return
    if results:
        write_tables(todo, results, predictor, table, args)
    if failed := [str(job.image) for job in todo if job not in results]:
        raise InputError(f"{len(failed)} of {len(todo)} images failed: {listed(failed)}; see above")


if __name__ == "__main__":
    with processes.leaving(), one_line_errors("predict.py", torch.OutOfMemoryError):
        main()
