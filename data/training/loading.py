"""All scenes of a training: the files that the options name, each prepared, and remarks on them.

Read beside it: tests/data/training/test_pipeline.py.
"""

import hashlib
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.classes import ClassTable, table_file
from data.files import InputError, WrongTable, message_of, refuse_input
from data.input import finding, inputs
from data.input.filenames import by_mask
from data.input.pairing import pair, shared_masks
from data.raster.sidecars import named_after
from data.sample import towns
from data.tables.tally import Tally
from data.terminal import grouped
from data.training.scene_files import cache_size
from data.training.scenes import Scene, prepare


def load_scenes(
    args: Namespace,
    table: ClassTable,
    cache: Path,
    say: Callable,
    progress: Callable,
    outputs: Sequence[Path] = (),
    scl: bool = False,
) -> list[Scene]:
    """Prepare the scenes of the options, or synthetic scenes if the options name no images.

    `scl` says whether the scene classification of products is read, see data/training/scl.py.
    """
    if args.images is None:
        images, masks = towns.write(Path("runs/sample"))
        say(f"no --images: {len(images)} synthetic scenes in runs/sample")
    else:
        held_out = args.validation if isinstance(args.validation, list) else []
        images, masks = finding.find_both([*args.images, *held_out], args.masks)
    given = [file for path in (*images, *masks) for file in named_after(path)]
    others = [*([] if args.resume else args.weights), *([args.places] if args.places else [])]
    # Weights are a file, or the folder of a run.
    given += [path / "best.pt" if path.is_dir() else path for path in map(Path, others)]
    refuse_input(outputs, [*given, table_file(args.classes)])
    inputs.refuse_offset(args.offset, images)
    pairs = pair(images, masks)
    for line in shared_masks(pairs):
        say(line)
    places = by_mask(pairs) if args.stack_dates else [((image,), mask) for image, mask in pairs]
    scenes, errors = [], []
    for number, (dates, mask) in enumerate(places, start=1):
        progress(f"preparing scene {number} of {len(places)}: {dates[0].name}")
        try:
            options = args.align, args.nodata, args.bands, scl
            scenes.append(prepare(dates, mask, table, cache, *options))
        except (InputError, OSError) as error:
            if not of_one_file(error, (*dates, mask)):
                raise
            errors.append(error)
    complain(errors)
    tell(scenes, say)
    say(f"prepared scenes: {cache_size(cache)} in {cache}")
    return scenes


def tell(scenes: Sequence[Scene], say: Callable) -> None:
    """Print the remarks on all scenes, one line for equal ones."""
    rounded, pixels = np.sum([scene.rounded for scene in scenes], axis=0).tolist()
    if remark := Tally(rounded=rounded, pixels=pixels).remark():
        say(f"masks: {remark}")
    for line in grouped(remark for scene in scenes for remark in scene.remarks):
        say(line)
    with_crs = sum(scene.grid.crs is not None for scene in scenes)
    if 0 < with_crs < len(scenes):
        first = next(scene for scene in scenes if scene.grid.crs is None)
        say(f"{len(scenes) - with_crs} of {len(scenes)} images have no CRS, such as {first.name}")


def of_one_file(error: Exception, paths: Sequence[Path]) -> bool:
    """Return whether an error is about one of the files, and not about the disk or the classes."""
    about = str(getattr(error, "filename", None) or error)
    return not isinstance(error, WrongTable) and about.startswith(tuple(map(str, paths)))


def complain(errors: Sequence[Exception]) -> None:
    """Raise the errors of all files as one, so that a user can mend all at once."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listed = list(dict.fromkeys(map(message_of, errors)))
        more = f"; and {len(listed) - 5} more" * (len(listed) > 5)
        raise InputError(f"{'; '.join(listed[:5])}{more}")


def content(scenes: Sequence[Scene]) -> str:
    """Return a hash of the pixels and labels of all scenes, in their order."""
    digests = "".join(scene.digest for scene in scenes)
    return hashlib.blake2b(digests.encode(), digest_size=16).hexdigest()
