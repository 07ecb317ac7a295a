"""The record of the split in a checkpoint, and split.csv: which windows of which images trained.

    image, row, column, height, width   the window in pixels of the image
    part                                training, validation, or left out: it shares ground with a
                                        validation window

Windows without labels, and windows of skipped classes only, are in no part. The values of the
record are described where it is made, in data/training/held_out.py.

Read beside it: tests/unet/training/test_split_record.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data.files import write_csv
from unet.training import processes
from unet.training.rules import is_dense, list_of, record, rule, text

COLUMNS = "image row column height width part".split()
PARTS = "training", "validation", "left out"  # by their numbers in the record


def table(dtype: torch.dtype, columns: int):
    """Make the rule for a tensor (n, columns)."""
    return rule(
        f"a tensor of {dtype} with {columns} columns",
        lambda value: is_dense(value, dtype) and value.ndim == 2 and value.shape[1] == columns,
    )


FORM = record(
    {
        "images": list_of(text),
        "pixels": list_of(text),
        "crs": list_of(text),
        "places": table(torch.int32, 4),
        "transforms": table(torch.float64, 6),
        "windows": table(torch.int32, 6),
    }
)


def obeys(split: Any, place: str) -> None:
    """Accept the record of a split whose values fit each other: a rule, see `rules`."""
    FORM(split, place)
    images, places, transforms = len(split["images"]), split["places"].long(), split["transforms"]
    if {images} != {len(split["pixels"]), len(places), len(transforms)}:
        raise ValueError(f"{place} has lists of different lengths")
    crs, height, width = places[:, 0], places[:, 2], places[:, 3]
    if ((crs < -1) | (crs >= len(split["crs"])) | (height < 1) | (width < 1)).any():
        raise ValueError(f"{place}['places'] has an unknown CRS or a size below 1")
    a, b, _, d, e, _ = transforms.T
    if not transforms.isfinite().all() or (a * e - b * d == 0).any():
        raise ValueError(f"{place}['transforms'] has a transform that cannot be inverted")
    image, row, col, tall, wide, part = split["windows"].long().T
    if ((image < 0) | (image >= images) | (part < 0) | (part >= len(PARTS))).any():
        raise ValueError(f"{place}['windows'] has an unknown image or part")
    inside = (row >= 0) & (col >= 0) & (tall > 0) & (wide > 0)
    inside &= (row + tall <= height[image]) & (col + wide <= width[image])
    if not inside.all():
        raise ValueError(f"{place}['windows'] has a window outside its image")


def write(path: Path, constants: Mapping) -> None:
    """Write split.csv from the entry "split" of a run, if it has one. The first process writes.

    A run that is resumed has the same windows, and may have other paths of moved images.
    """
    if processes.rank() == 0 and "split" in constants:
        images = constants["split"]["images"]
        windows = constants["split"]["windows"].tolist()
        rows = ([images[image], *window, PARTS[part]] for image, *window, part in windows)
        write_csv(path, [COLUMNS, *rows])


def same(one: Mapping | None, other: Mapping) -> bool:
    """Whether two records have the same windows. The files of a resumed run may have been moved.

    A run of a version without the record has None, and another hash of its data is enough.
    """
    return one is None or torch.equal(one["windows"], other["windows"])
