"""Draw the README's pictures of maps: image, truth and map, and below them overlay and doubt.

    make train && .venv/bin/python tests/bench/pictures.py
    python tests/bench/pictures.py --image S2Hand.tif --mask LabelHand.tif \\
        --classes sen1floods11.csv --checkpoint runs/flood/best.pt \\
        --crop 20 200 240 300 --name flood

The first takes a validation scene of the newest run, which must be that of `make train`, and writes
tests/bench/pictures/first_map.png. Doubt is the entropy of the probabilities: white is ln K, all
classes alike.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import predict  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.output import preview  # noqa: E402
from data.raster import geotiff  # noqa: E402
from data.sample import towns  # noqa: E402
from data.training.mask import Mask, labels_on  # noqa: E402
from unet import checkpoint  # noqa: E402
from unet.training.newest import choose  # noqa: E402


def main() -> None:
    """Map the image, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--image", type=Path, help="none: town 4 of the synthetic scenes")
    parser.add_argument("--mask", type=Path)
    parser.add_argument("--classes", default="esm")
    parser.add_argument("--checkpoint", type=Path, help="none: of the newest run")
    parser.add_argument("--crop", type=int, nargs=4, metavar=("ROW", "COL", "HEIGHT", "WIDTH"))
    parser.add_argument("--name", default="first_map")
    args = parser.parse_args()
    if not args.image:
        images, masks = towns.write(ROOT / "runs/sample")
        args.image, args.mask = images[4], masks[4]
    table = ClassTable.load(args.classes)
    with tempfile.TemporaryDirectory() as folder:
        path = choose(args.checkpoint).path
        predict.main(
            [str(args.image), "--output", folder, "--uncertainty", "--checkpoint", str(path)]
        )
        with Mask(next(Path(folder).glob("*_landcover.tif")), table) as mapped:
            labels = np.concatenate(list(labels_on(mapped, mapped.grid, "nearest")))
        with geotiff.Raster(args.image) as image:
            shown = preview.rgb(image.read(), checkpoint.load(path)["bands"], image.nodata)
        with geotiff.Raster(next(Path(folder).glob("*_uncertainty.tif"))) as raster:
            doubt = raster.read()[:1].repeat(3, axis=0).transpose(1, 2, 0)
        with Mask(args.mask, table) as mask:
            truth = np.concatenate(list(labels_on(mask, mapped.grid, "nearest")))
    row, col, height, width = args.crop or (0, 0, *labels.shape)
    shown, truth, labels, doubt = (
        part[row : row + height, col : col + width] for part in (shown, truth, labels, doubt)
    )
    above = preview.beside(shown, preview.colored(truth, table), preview.colored(labels, table))
    below = preview.beside(
        preview.overlay(shown, labels, table), doubt, preview.legend(labels, table, height)
    )
    wide = max(above.shape[1], below.shape[1])
    rows = [
        np.pad(part, ((0, 8), (0, wide - part.shape[1]), (0, 0)), constant_values=255)
        for part in (above, below)
    ]
    path = ROOT / f"tests/bench/pictures/{args.name}.png"
    path.parent.mkdir(exist_ok=True)
    preview.write_png(path, np.concatenate(rows)[:-8])
    print(path)


if __name__ == "__main__":
    main()
