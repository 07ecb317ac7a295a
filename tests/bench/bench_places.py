"""The ground of tiles without a CRS: which of them the look joins, and what the split keeps apart.

    python tests/bench/bench_places.py --tiles ../shared/realdata/hls-worldcover

The folder holds masks/, and places.csv with the true place of each tile. The class table is
worldcover.csv beside the folder. The true shift of two tiles of one place is found by correlating
their masks at all shifts.
"""

import argparse
import csv
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Window
from data.training.mask import Mask
from data.training.places import find_spots, joined
from data.training.scenes import Scene
from data.training.shared_ground import agreement, equal_labels
from data.training.split import split
from data.training.windows import all_windows

CLASSES, SMALLEST = 16, 200  # labels that are correlated; smallest overlap in pixels


def read(path: Path, table: ClassTable) -> Scene:
    with Mask(path, table) as mask:
        grid = mask.grid
        labels = mask.read(Window(0, 0, grid.height, grid.width))
    return Scene(path.stem, path, path, grid, np.zeros((1, *labels.shape)), labels, (None,), None)


def spectrum(labels: np.ndarray, side: int) -> np.ndarray:
    """Return the Fourier transform (K + 1, ...) of each class, and of all labelled pixels."""
    layers = [labels == label for label in range(CLASSES)] + [labels != IGNORE]
    return np.fft.rfft2(np.stack(layers).astype(np.float32), (side, side))


def best_shift(one: np.ndarray, other: np.ndarray, side: int) -> tuple[int, int]:
    """Return the shift at which the share of equal labels is highest, by correlation."""
    products = one * other.conj()
    equal = np.fft.irfft2(products[:-1].sum(0), (side, side))
    both = np.fft.irfft2(products[-1], (side, side))
    share = np.where(both >= SMALLEST, equal / np.maximum(both, 1), 0) + both * 1e-9
    shift = np.array(np.unravel_index(share.argmax(), share.shape))
    row, col = np.where(shift >= side // 2, shift - side, shift).tolist()
    return row, col


def shared_classes(one: Scene, other: Scene, row: int, col: int) -> int:
    """Count the classes on the shared ground."""
    height, width = one.labels.shape
    labels = one.labels[max(row, 0) : height + min(row, 0), max(col, 0) : width + min(col, 0)]
    return len(np.unique(labels[labels != IGNORE]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=Path, default="../shared/realdata/hls-worldcover")
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    if not args.tiles.is_dir():
        print(f"{args.tiles}: no such folder; give --tiles")
        return
    table = ClassTable.load(args.tiles.with_name("worldcover.csv"))
    scenes = [read(path, table) for path in sorted((args.tiles / "masks").iterdir())]
    with open(args.tiles / "places.csv", newline="") as file:
        named = {row["tile"]: row["place"] for row in csv.DictReader(file)}
    place = np.array([named[scene.name] for scene in scenes])

    began = time.process_time()
    links = equal_labels(scenes)
    seconds = time.process_time() - began
    equal, _ = joined(len(scenes), [link for link in links if link.equal])
    alike, _ = joined(len(scenes), links)

    side = 2 * max(max(scene.labels.shape) for scene in scenes)
    pairs = [(a, b) for a, b in combinations(range(len(scenes)), 2) if place[a] == place[b]]
    spectra = [spectrum(scene.labels, side) for scene in scenes]
    wanted = []
    for one, other in pairs:
        shift = best_shift(spectra[one], spectra[other], side)
        _, share, _ = agreement(scenes[one], scenes[other], *shift)
        if share == 1 and shared_classes(scenes[one], scenes[other], *shift) >= 3:
            wanted.append((one, other))
    found = sum(equal[one] == equal[other] for one, other in wanted)
    print(f"{len(scenes)} tiles, {len({*place})} places; the look took {seconds:.2f} s")
    print(f"pairs of one place with three classes on shared ground: {len(wanted)}")
    print(f"found: {found} ({found / len(wanted):.1%})")
    for name, ground in (("equal", equal), ("equal or nearly equal", alike)):
        wrong = sum(
            ground[one] == ground[other] and place[one] != place[other]
            for one, other in combinations(range(len(scenes)), 2)
        )
        print(f"pairs joined by {name} labels that places.csv has on two places: {wrong}")

    items = all_windows(scenes, max(scenes[0].labels.shape))
    for name, spots in (("before", None), ("after", find_spots(scenes, None)[0])):
        rows = []
        for seed in range(args.seeds):
            training, validation, left_out = split(scenes, items, 0.2, seed, spots)
            seen = np.isin(place[validation], place[training]).mean()
            rows.append((len(training), len(validation), left_out, 100 * seen))
        low, high, mean = np.min(rows, 0), np.max(rows, 0), np.mean(rows, 0)
        words = ("training", "validation", "left out", "% of validation on training places")
        print(name)
        for a, b, m, w in zip(low, high, mean, words):
            print(f"    {m:.1f} ({a:.0f} to {b:.0f}) {w}")


if __name__ == "__main__":
    main()
