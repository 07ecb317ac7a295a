"""Folds of a data set by place: each keeps a third of the ground aside, and trains a network.

    python tests/bench/folds.py ../shared/realdata/hls-worldcover folds/hls \
        --classes ../shared/realdata/worldcover.csv \
        --places ../shared/realdata/hls-worldcover/places.csv --model unet --epochs 42

The first folder holds images/ and masks/. Writes folds/hls/0, /1 and /2, each with dev/ and test/
(links to the images and masks), and run/, a training on dev. bench_areas.py and
bench_calibration.py measure the networks on test. All other options are those of train.py.

Images share ground if --places names one place for them, or if train.py finds that they overlap.
Such images are in one fold, also where they are linked by a chain of others. The largest ground
goes to the smallest fold.
"""

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.training.loading import load_scenes  # noqa: E402
from data.training.places import find_spots, named  # noqa: E402
from data.training.scenes import Scene  # noqa: E402
from data.training.split import footprints, sharing_ground  # noqa: E402
from data.training.windows import all_windows  # noqa: E402

FOLDS = 3


def grounds(scenes: Sequence[Scene], places: Sequence[Hashable]) -> list[int]:
    """Return a number for each scene: scenes with equal numbers share ground.

    Args:
        scenes: The scenes.
        places: The name of the place of each scene.
    """
    spots, _ = find_spots(scenes, None)
    items = all_windows(scenes, max(max(s.grid.height, s.grid.width) for s in scenes))
    where = footprints(spots, items)
    ground = np.arange(len(scenes))

    def join(these: np.ndarray) -> None:
        ground[np.isin(ground, ground[these])] = ground[these].min()

    for place in set(places):
        join(np.array([name == place for name in places]))
    for number in range(len(items)):
        chosen = np.arange(len(items)) == number
        shared = chosen | sharing_ground(spots, items, *where, chosen)
        join(np.array([items[n].scene for n in np.flatnonzero(shared)]))
    return ground.tolist()


def deal(ground: Sequence[int]) -> list[int]:
    """Return the fold of each scene, 0 to FOLDS - 1, from the ground of each scene."""
    drawn = sorted(set(ground))
    random.Random(0).shuffle(drawn)
    fold_of: dict[int, int] = {}
    sizes = [0] * FOLDS
    for one in sorted(drawn, key=lambda one: -ground.count(one)):
        fold_of[one] = sizes.index(min(sizes))
        sizes[fold_of[one]] += ground.count(one)
    return [fold_of[one] for one in ground]


def scenes_of(options: list[str], cache: Path) -> list[Scene]:
    """Prepare the scenes that options of train.py name."""
    args = train.parse(options)
    return load_scenes(args, ClassTable.load(args.classes), cache, lambda _: None, lambda _: None)


def link(folder: Path, scenes: Sequence[Scene]) -> None:
    """Make folder/images and folder/masks with links to the files."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        for name, file in (("images", scene.image_path), ("masks", scene.mask_path)):
            target = folder / name / file.name
            if not target.is_symlink():
                os.symlink(file.resolve(), target)


def main() -> None:
    """Make the folds, and train one network in each that has none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--places")
    args, options = parser.parse_known_args()
    files = ["--images", str(args.data / "images"), "--masks", str(args.data / "masks")]
    scenes = scenes_of([*files, *options], args.output / "cache")
    names = named(scenes, args.places) if args.places else [s.image_path for s in scenes]
    fold_of = deal(grounds(scenes, names))
    places = ["--places", args.places] if args.places else []
    for fold in range(FOLDS):
        folder = args.output / str(fold)
        for part, inside in (("test", True), ("dev", False)):
            chosen = [scene for scene, number in zip(scenes, fold_of) if (number == fold) == inside]
            link(folder / part, chosen)
        if (folder / "run" / "report.html").exists():
            continue
        data = ["--images", folder / "dev" / "images", "--masks", folder / "dev" / "masks"]
        command = [sys.executable, ROOT / "train.py", *data, "--output", folder / "run"]
        subprocess.run([*command, *places, *options], check=True)


if __name__ == "__main__":
    main()
