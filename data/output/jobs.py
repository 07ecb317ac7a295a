"""Which images are mapped, against which masks, and where their maps go.

The dates of one place are one job. No output replaces a file that the command reads.

Read beside it: tests/data/output/test_jobs.py.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data import terminal
from data.files import InputError, refuse_input
from data.input import filenames, finding
from data.input.pairing import pair, shared_masks
from data.output.mapfiles import beside, written
from data.raster.sidecars import with_sidecars

TABLES = "areas.csv", "scores.csv", "report.html"  # see `table_path`


class Job(NamedTuple):
    """One image, or the dates of one place, to be mapped."""

    dates: tuple[Path, ...]
    target: Path  # the map's file
    truth: Path | None

    @property
    def image(self) -> Path:
        """The image's file, or that of the first date."""
        return self.dates[0]


def find(
    images: Sequence[Path],
    masks: Sequence[Path],
    folder: Path | None,
    dates: int,
    others: Sequence[Path] = (),
) -> list[Job]:
    """Find the images and their masks, and name the maps.

    Args:
        images: Files, or folders of them.
        masks: Files, or folders of them; may be empty.
        folder: Where the maps go; None: beside each image.
        dates: Number of dates of a place that the network takes.
        others: Other files that the command reads.

    Raises:
        InputError: An image has no mask, two maps would have the same name, an output would replace
            a file that is read, or `folder` is a file.
        FileNotFoundError: A file or folder does not exist.
    """
    if folder and folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give --output a folder")
    images, masks = finding.find_both(images, masks) if masks else (finding.find(images), [])
    places = filenames.by_place(images, dates)
    first = [place[0] for place in places]
    pairs = pair(first, masks, spare_masks=True) if masks else []
    for line in shared_masks(pairs):
        finding.tell(line)
    truths = dict(pairs)
    targets = _map_paths(first, folder)
    jobs = [Job(tuple(p), to, truths.get(p[0])) for p, to in zip(places, targets)]
    read = [path for place in places for path in place] + masks
    outputs = [path for job in jobs for path in written(job.target)]
    outputs += [table_path(jobs, folder, name) for name in TABLES]
    stems = {image.stem for image in images}
    same = [each for path in read for each in finding.same_image(path, stems)]
    refuse_input(outputs, [*others, *(file for path in same for file in with_sidecars(path))])
    return jobs


def command(dates: Sequence[Path], checkpoint: Path, offset: float) -> str:
    """Return the command that maps an image of the training.

    Args:
        dates: The image, or one image for each date.
        checkpoint: The file.
        offset: The option --offset of the training. Its other options are in the checkpoint.
    """
    again = [f"--offset={offset:.12g}"] if offset else []
    return terminal.command("predict.py", *dates, "--checkpoint", checkpoint, *again)


def _map_paths(images: Sequence[Path], folder: Path | None) -> list[Path]:
    """Name the map of each image: in `folder`, or beside the image.

    Raises:
        InputError: Two maps would have the same name.
    """
    targets = [(folder or image.parent) / f"{image.stem}{finding.MAP}.tif" for image in images]
    counts = Counter(files := [target.parent.resolve() / target.name for target in targets])
    twice = [target for target, file in zip(targets, files) if counts[file] > 1]
    if twice:
        raise InputError(
            f"{twice[0]}: would be the map of several images of the same name; map them one by one"
        )
    return targets


def table_path(jobs: Sequence[Job], folder: Path | None, name: str) -> Path:
    """Name a table: areas.csv for several images, img_landcover_areas.csv for one.

    Args:
        jobs: All jobs of the command.
        folder: Where the maps are; None: beside each image.
        name: Name of the file for several images.
    """
    if len(jobs) == 1:
        return beside(jobs[0].target, name)
    return (folder or jobs[0].image.parent) / name
