"""What windows and borders cost a map: labels that differ from the map in one piece, and classes at
the border.

    make train
    python tests/bench/bench_seams.py                         the best checkpoint of the newest run
    python tests/bench/bench_seams.py --checkpoint best.pt

With a network trained on the synthetic towns. First table: nine towns side by side, mapped in
windows of several sizes and overlaps, against one window that holds them all. Second table: squares
of 80 x 80 pixels out of the towns' middle, each mapped as if it were a scene, with and without the
mirror beyond its border; the share of each class in its outer 8 pixels and inside, in truth and
map, and how many labels differ from the map of the town.
"""

import argparse
import copy
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from data.classes import ClassTable  # noqa: E402
from data.files import IGNORE  # noqa: E402
from data.grid import Window  # noqa: E402
from data.input.inputs import Expected, Input  # noqa: E402
from data.mapping.source import Source  # noqa: E402
from data.mapping.strips import map_scene  # noqa: E402
from data.output.truth import Truth  # noqa: E402
from data.sample import towns as sample  # noqa: E402
from unet import checkpoint  # noqa: E402
from unet.evaluation.predictor import Predictor  # noqa: E402
from unet.training.newest import choose  # noqa: E402

RING, SIDE = 8, 80
MIRRORS = 0, 16, 32, 64


class Array:
    """An input (C, H, W) as the source of a map, all of it with data."""

    name, block_shape = "array", (64, 64)

    def __init__(self, image: np.ndarray):
        self.image, (self.height, self.width) = image, image.shape[1:]

    def read(self, window: Window) -> np.ndarray:
        rows = slice(window.row, window.row + window.height)
        return self.image[:, rows, window.col : window.col + window.width]

    def prepare(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return pixels, self.valid(pixels)

    def valid(self, pixels: np.ndarray) -> np.ndarray:
        return np.ones(pixels.shape[1:], bool)

    def thumbnail(self, pixels: np.ndarray, row: int) -> np.ndarray:
        return pixels[:, :0]


def mapped(predictor: Predictor, image: np.ndarray, size: int, overlap: int) -> np.ndarray:
    """Probabilities (K, H, W) of an input (C, H, W)."""
    predictor = copy.copy(predictor)
    predictor.size = size
    found = map_scene(Array(image), predictor, overlap, batch=2, with_probabilities=True)
    return np.concatenate([strip.probabilities for strip in found], axis=1)


def probabilities(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """Probabilities (K, H, W) of an input (C, H, W) in one piece."""
    return predictor.probabilities(image[None], [0])[0]


def load(
    predictor: Predictor, table: ClassTable, count: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(input (C, 300, 300), labels (300, 300)) of each town; what has no data has no label."""
    found, loaded = [], predictor.checkpoint
    for image_path, mask_path in zip(*sample.write(ROOT / "runs/sample")):
        with Input((image_path,), Expected.of(loaded)) as image:
            inputs, valid = Source(image, loaded).prepare(image.read())
            labels = Truth(mask_path, table, image.grid).next_rows(np.where(valid, 0, IGNORE))
        found.append((inputs, labels))
    return found[:count]


def seams(predictor: Predictor, towns: list[np.ndarray]) -> None:
    """The first table."""
    image = np.concatenate(
        [np.concatenate(towns[row : row + 3], axis=2) for row in (0, 3, 6)], axis=1
    )
    whole = mapped(predictor, image, 1024, 0)
    inner = np.s_[:, 128:-128, 128:-128]
    difference = "largest difference, away from the border"
    print(f"{'window':>8}{'overlap':>9}{'labels that differ':>20}{difference:>44}")
    for size, overlap in [
        (256, 0),
        (256, 32),
        (256, 64),
        (256, 128),
        (512, 32),
        (512, 64),
        (512, 128),
        (512, 224),
    ]:
        found = mapped(predictor, image, size, overlap)
        differ, largest = (
            (found.argmax(0) != whole.argmax(0)).mean(),
            np.abs(found - whole)[inner].max(),
        )
        print(f"{size:8}{overlap:9}{differ:20.4%}{largest:44.1e}", flush=True)


def borders(
    predictor: Predictor, names: list[str], towns: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    """The second table."""
    kinds = [*(f"mirror of {width}" for width in MIRRORS), "the town goes on"]
    classes = len(names)
    matrices = np.zeros((len(kinds), 2, classes, classes))  # truth and map, in the ring and inside
    differ = np.zeros((len(kinds), 2))
    ring = np.ones((SIDE, SIDE), bool)
    ring[RING:-RING, RING:-RING] = False
    for image, labels in towns:
        town = probabilities(predictor, image).argmax(0)
        for row, col in ((70, 70), (70, 150), (150, 70), (150, 150)):
            square = np.s_[row : row + SIDE, col : col + SIDE]
            for number, width in enumerate([*MIRRORS, None]):
                found = town[square]
                if width is not None:
                    wide = np.pad(
                        image[(slice(None), *square)],
                        ((0, 0), (width, width), (width, width)),
                        mode="reflect",
                    )
                    found = probabilities(predictor, wide).argmax(0)
                    found = found[width : width + SIDE, width : width + SIDE]
                for where, part in enumerate((ring, ~ring)):
                    part = part & (labels[square] != IGNORE)
                    np.add.at(matrices[number, where], (labels[square][part], found[part]), 1)
                    differ[number, where] += (found != town[square])[part].sum()
    print(f"shares of {', '.join(names)}; accuracy; labels that differ from the town's")
    for where, place in enumerate((f"outer {RING} pixels", "inside")):
        total = matrices[0, where].sum()
        print(
            f"{place}\n  {'truth':18}"
            + "".join(f"{share:8.2%}" for share in matrices[0, where].sum(1) / total)
        )
        for name, matrix, other in zip(kinds, matrices[:, where], differ[:, where]):
            shares = "".join(f"{share:8.2%}" for share in matrix.sum(0) / total)
            print(f"  {name:18}{shares}{np.trace(matrix) / total:10.2%}{other / total:10.2%}")


def main() -> None:
    """Print both tables, and what half precision changes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--towns", type=int, default=24)
    args = parser.parse_args()
    try:
        predictor = Predictor(choose(args.checkpoint).path, "cpu", "float32")
    except checkpoint.CheckpointError as error:
        sys.exit(print(f"bench_seams.py skipped: {error}"))
    loaded = predictor.checkpoint
    table = ClassTable.from_records(loaded["class_table"], loaded["classes"], predictor.path)
    towns = load(predictor, table, max(args.towns, 9))
    seams(predictor, [image for image, _ in towns])
    borders(predictor, table.names, towns)
    half, labels = Predictor(predictor.path, "cpu", "bfloat16"), []
    for each in (predictor, half):
        found = [probabilities(each, image).argmax(0) for image, _ in towns]
        labels.append(np.stack(found))
    differ = (labels[0] != labels[1]).mean()
    print(f"in bfloat16 {differ:.3%} of the labels differ from those in float32")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
