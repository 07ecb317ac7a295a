"""A synthetic town to play with, without a notebook.

    python -i tests/play.py
    >>> show_image()            writes runs/play/image.png: red, green and blue of the town
    >>> show_labels()           writes runs/play/labels.png: what is built there
    >>> show_map()              writes runs/play/map.png: what a network makes of the image
    >>> image.shape, labels.shape, bands

`image` is (11, 300, 300) uint16, reflectance x 10,000. `labels` is (300, 300) uint8 on the grid of
the image: 0 other, 1 non-residential, 2 residential, 255 no data. `grid` and `table` say where the
pixels lie, and what the labels mean. load(7) loads another town.

The map is made by the best checkpoint of the newest run that knows these bands and classes, such as
that of `make train`. If there is none, a network is trained on six towns, and kept in
runs/play/quick: 25 seconds on two idle cores. Its map is rough.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import predict  # noqa: E402
import train  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.files import InputError  # noqa: E402
from data.output import preview  # noqa: E402
from data.raster import cog  # noqa: E402
from data.resample import reproject  # noqa: E402
from data.sample import towns  # noqa: E402
from unet import checkpoint  # noqa: E402
from unet.training.newest import choose  # noqa: E402

FOLDER = Path("runs/play")
QUICK = "--size 100 --batch 4 --base 8 --epochs 12 --patience 9999"
bands = list(towns.BANDS)
table = ClassTable.load("esm")
number, image, labels, grid = 4, np.empty(0), np.empty(0), None


def load(index: int = 4) -> None:
    """Load a town: `image`, `labels` and `grid`. The mask is resampled to the image's grid."""
    global number, image, labels, grid
    town = towns.make_scene(0, index)
    number, image, grid = index, town.image, town.image_grid
    labels = table.encode(reproject(town.mask, town.mask_grid, grid))
    labels[(image == 0).all(0)] = 255


def show_image() -> Path:
    """Write the bands red, green and blue as a picture. Returns its path."""
    return _picture("image", preview.rgb(image, bands, 0))


def show_labels() -> Path:
    """Write the labels in the colours of their classes, with a legend. Returns the path."""
    drawn = preview.beside(
        preview.colored(labels, table), preview.legend(labels, table, len(labels))
    )
    return _picture("labels", drawn)


def show_map(run: str | Path | None = None) -> Path:
    """Map the image, and write image, map and legend side by side. Returns the path.

    Args:
        run: a checkpoint or the folder of a run; by default as the docstring of the file says.
    """
    trained = _trained(run)
    path = FOLDER / f"town_{number:03}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    cog.write(path, image, grid, nodata=0, descriptions=bands)
    predict.main([str(path), "--checkpoint", str(trained), "--output", str(FOLDER)])
    return (FOLDER / f"town_{number:03}_landcover.png").replace(FOLDER / "map.png")


def _trained(run: str | Path | None) -> Path:
    """Return the checkpoint for `show_map`. Trains a network if there is none."""
    if run is not None:
        return checkpoint.find(run)
    try:
        found = choose(None).path
        loaded = checkpoint.load(found)
        if loaded["bands"] == bands and loaded["classes"] == table.records:
            return found
        print(f"{found} knows other bands or classes")
    except InputError as error:
        print(error)
    quick = FOLDER / "quick"
    if not (quick / "best.pt").exists():
        print("a network is trained now, in about half a minute:")
        images, masks = towns.write(FOLDER / "towns", 6)
        given = ["--images", images[0].parent, "--masks", masks[0].parent, "--output", quick]
        train.main([*map(str, given), *QUICK.split()])
    return quick / "best.pt"


def _picture(name: str, drawn: np.ndarray) -> Path:
    """Write a picture (H, W, 3) uint8 into the folder."""
    path = FOLDER / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    preview.write_png(path, drawn)
    return path


load(number)

if __name__ == "__main__":
    print(__doc__)
