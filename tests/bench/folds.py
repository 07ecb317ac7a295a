"""Folds of a data set by place: each keeps a third of the places aside, and trains a network.

    python tests/bench/folds.py ../shared/realdata/hls-worldcover folds/hls \
        --classes ../shared/realdata/worldcover.csv \
        --places ../shared/realdata/hls-worldcover/places.csv --epochs 42

The first folder holds images/ and masks/. Writes folds/hls/0, /1 and /2, each with dev/ and test/
(links to the images and masks), and run/, a training on dev. bench_areas.py and
bench_calibration.py measure the networks on test. Without --places each image is a place. All other
options are those of train.py.
"""

import argparse
import csv
import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from data.input import finding  # noqa: E402
from data.input.pairing import pair  # noqa: E402

FOLDS = 3


def places(images: list[Path], file: Path | None) -> dict[Path, str]:
    """Return the place of each image; without a file of places, its name."""
    if file is None:
        return {image: image.stem for image in images}
    with open(file, newline="", encoding="utf-8") as opened:
        rows = [list(row.values()) for row in csv.DictReader(opened)]
    known = {Path(image).stem: place for image, place in rows}
    return {image: known[image.stem] for image in images}


def link(folder: Path, pairs: list[tuple[Path, Path]]) -> None:
    """Make folder/images and folder/masks with links to the files."""
    for name, files in zip(("images", "masks"), zip(*pairs)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in set(files):
            target = folder / name / file.name
            if not target.is_symlink():
                os.symlink(file.resolve(), target)


def main() -> None:
    """Make the folds, and train one network in each that has none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--places", type=Path)
    args, options = parser.parse_known_args()
    images, masks = finding.find_both([args.data / "images"], [args.data / "masks"])
    pairs = pair(images, masks, spare_masks=True)
    place = places(images, args.places)
    drawn = sorted(set(place.values()))
    random.Random(0).shuffle(drawn)
    fold_of = {name: number % FOLDS for number, name in enumerate(drawn)}
    named = ["--places", str(args.places)] if args.places else []
    for fold in range(FOLDS):
        folder = args.output / str(fold)
        for part, inside in (("test", True), ("dev", False)):
            chosen = [p for p in pairs if (fold_of[place[p[0]]] == fold) == inside]
            link(folder / part, chosen)
        if (folder / "run" / "report.html").exists():
            continue
        data = ["--images", folder / "dev" / "images", "--masks", folder / "dev" / "masks"]
        command = [sys.executable, ROOT / "train.py", *data, "--output", folder / "run"]
        subprocess.run([*command, *named, *options], check=True)


if __name__ == "__main__":
    main()
