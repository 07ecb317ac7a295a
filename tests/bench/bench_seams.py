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
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import predict  # noqa: E402
from data import resample  # noqa: E402
from data.files import IGNORE, InputError  # noqa: E402
from data.mapping import strips as mapping  # noqa: E402
from data.raster import geotiff  # noqa: E402
from data.sample import towns as sample  # noqa: E402
from data.scaling import network_input  # noqa: E402
from data.training.scenes import Mask  # noqa: E402

RING, SIDE = 8, 80
MIRRORS = 0, 16, 32, 64


def mapped(mapper: predict.Mapper, image: np.ndarray, size: int, overlap: int) -> np.ndarray:
    """Probabilities (K, H, W) of an input (C, H, W)."""

    def read(window) -> np.ndarray:
        return image[
            :, window.row : window.row + window.height, window.col : window.col + window.width
        ]

    strips = mapping.strips(
        read, lambda x: (x, np.ones(x.shape[1:], bool)), mapper.probabilities, lambda window, x: None,
        lambda probabilities, kept: probabilities.copy(), image.shape[1:], (64, 64), size, overlap,
        len(mapper.table.names), batch=2,
    )  # fmt: skip
    return np.concatenate(list(strips), axis=1)


def load(mapper: predict.Mapper, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(input (C, 300, 300), labels (300, 300)) of each town; what has no data has no label."""
    found = []
    for image_path, mask_path in zip(*sample.write(ROOT / "runs/sample")):
        with geotiff.Raster(image_path) as raster, Mask(mask_path, mapper.table) as mask:
            pixels = network_input(
                raster.read(), mapper.names, mapper.indices, mapper.scaling, raster.nodata
            )
            strips = resample.strips(mask.read, mask.grid, raster.grid, "nearest", IGNORE, np.uint8)
            found.append((pixels[0], np.where(pixels[1], np.concatenate(list(strips)), IGNORE)))
    return found[:count]


def seams(mapper: predict.Mapper, towns: list[np.ndarray]) -> None:
    """The first table."""
    image = np.concatenate(
        [np.concatenate(towns[row : row + 3], axis=2) for row in (0, 3, 6)], axis=1
    )
    whole = mapped(mapper, image, 1024, 0)
    inner = np.s_[:, 128:-128, 128:-128]
    print(
        f"{'window':>8}{'overlap':>9}{'labels that differ':>20}{'largest difference, away from the border':>44}"
    )
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
        found = mapped(mapper, image, size, overlap)
        differ, largest = (
            (found.argmax(0) != whole.argmax(0)).mean(),
            np.abs(found - whole)[inner].max(),
        )
        print(f"{size:8}{overlap:9}{differ:20.4%}{largest:44.1e}", flush=True)


def borders(mapper: predict.Mapper, towns: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """The second table."""
    names, classes = (
        [f"mirror of {width}" for width in MIRRORS] + ["the town goes on"],
        len(mapper.table.names),
    )
    matrices = np.zeros((len(names), 2, classes, classes))  # truth and map, in the ring and inside
    differ = np.zeros((len(names), 2))
    ring = np.ones((SIDE, SIDE), bool)
    ring[RING:-RING, RING:-RING] = False
    for image, labels in towns:
        town = mapper.probabilities(image[None])[0].argmax(0)
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
                    found = mapper.probabilities(wide[None])[0].argmax(0)
                    found = found[width : width + SIDE, width : width + SIDE]
                for where, part in enumerate((ring, ~ring)):
                    part = part & (labels[square] != IGNORE)
                    np.add.at(matrices[number, where], (labels[square][part], found[part]), 1)
                    differ[number, where] += (found != town[square])[part].sum()
    print(
        f"shares of {', '.join(mapper.table.names)}; accuracy; labels that differ from the town's"
    )
    for where, place in enumerate((f"outer {RING} pixels", "inside")):
        total = matrices[0, where].sum()
        print(
            f"{place}\n  {'truth':18}"
            + "".join(f"{share:8.2%}" for share in matrices[0, where].sum(1) / total)
        )
        for name, matrix, other in zip(names, matrices[:, where], differ[:, where]):
            shares = "".join(f"{share:8.2%}" for share in matrix.sum(0) / total)
            print(f"  {name:18}{shares}{np.trace(matrix) / total:10.2%}{other / total:10.2%}")


def main() -> None:
    """Print both tables, and what half precision changes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--towns", type=int, default=24)
    args = parser.parse_args()
    try:
        mapper = predict.Mapper(args.checkpoint or predict.newest_checkpoint(), "cpu", "float32")
    except InputError as error:
        sys.exit(print(f"bench_seams.py skipped: {error}"))
    towns = load(mapper, max(args.towns, 9))
    seams(mapper, [image for image, _ in towns])
    borders(mapper, towns)
    half, labels = predict.Mapper(mapper.path, "cpu", "bfloat16"), []
    for each in (mapper, half):
        labels.append(
            np.stack([each.probabilities(image[None])[0].argmax(0) for image, _ in towns])
        )
    print(
        f"in bfloat16 {(labels[0] != labels[1]).mean():.3%} of the labels differ from those in float32"
    )


if __name__ == "__main__":
    with torch.inference_mode():
        main()
