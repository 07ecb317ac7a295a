"""Draw the README's picture of a first map: a validation scene of the newest run, its truth, its map.

    make train && .venv/bin/python tests/bench/pictures.py

Writes tests/bench/pictures/first_map.png.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import predict  # noqa: E402
import reproject  # noqa: E402
from data import geotiff, picture, sample, scenes  # noqa: E402
from data.classes import IGNORE, ClassTable  # noqa: E402
from unet import report  # noqa: E402


def main(number: int = 4) -> None:
    """Scene `number` of the synthetic ones, which must not be one that the run was trained on."""
    images, masks = sample.write(ROOT / "runs/sample")
    table = ClassTable.load("esm")
    with tempfile.TemporaryDirectory() as folder:
        predict.main([str(images[number]), "--output", folder])
        with scenes.Mask(next(Path(folder).glob("*.tif")), table) as mapped, geotiff.Raster(images[number]) as image:
            labels = np.concatenate(list(mapped.strips()))
            shown = picture.rgb(image.read(), sample.BANDS, image.nodata)
        with scenes.Mask(masks[number], table) as mask:
            truth = reproject.strips(mask.read, mask.grid, mapped.grid, "nearest", IGNORE, np.uint8)
            truth = np.concatenate(list(truth))
    drawn = picture.beside(shown, picture.colored(truth, table), picture.colored(labels, table))
    path = ROOT / "tests/bench/pictures/first_map.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(report.png(drawn))
    print(path)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
