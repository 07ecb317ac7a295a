"""Small georeferenced scenes for the tests of the scripts. A network learns them in seconds."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from pyproj import CRS

import train
import unet
from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Grid, Window
from data.raster import cog
from data.training import pipeline
from data.training.scenes import Scene
from data.training.windows import Item
from unet import checkpoint

BANDS = ["Green", "Red", "NIR", "SWIR1"]
UTM31 = CRS.from_epsg(32631)
TABLE = "code,name,color,ignore\n0,nothing,#000000,true\n10,land,#C8B478,\n20,water,#0064C8,\n"


def write(
    folder: Path, count: int = 4, size: int = 48, seed: int = 0, crs: int | None = 32631
) -> tuple[Path, Path, Path]:
    """Write scenes of dark lakes in bright land.

    Returns:
        The folder of images, the folder of masks, and the class table.
    """
    random = np.random.default_rng(seed)
    images, masks, table = folder / "images", folder / "masks", folder / "table.csv"
    images.mkdir(parents=True)
    masks.mkdir()
    table.write_text(TABLE)
    rows, cols = np.mgrid[:size, :size]
    for number in range(count):
        row, col, radius = random.uniform(0.3, 0.7, 2).tolist() + [random.uniform(0.15, 0.3)]
        lake = np.hypot(rows / size - row, cols / size - col) < radius
        image = np.where(lake, 400, 2000) + random.normal(0, 150, (len(BANDS), size, size))
        grid = Grid(
            crs and CRS.from_epsg(crs), (10, 0, 4e5 + 1e4 * number, 0, -10, 5e6), size, size
        )
        cog.write(
            images / f"s_{number}.tif",
            image.clip(1).astype(np.uint16),
            grid,
            nodata=0,
            descriptions=BANDS,
        )
        cog.write(masks / f"m_{number}.tif", np.where(lake, 20, 10).astype(np.uint8), grid)
    return images, masks, table


def trained(folder: Path) -> Path:
    """Write small scenes to folder/in, and train a network on them: folder/runs/lakes/best.pt."""
    images, masks, table = write(folder / "in")
    options = "--overfit 4 --base 8 --epochs 4 --lr 0.01 --batch 2".split()
    places = ["--images", images, "--masks", masks, "--classes", table]
    train.main([*options, *map(str, places), "--output", str(folder / "runs/lakes")])
    return folder


def untrained(path: Path, base: int = 4, size: int = 256, dropout: float = 0) -> Path:
    """Write a checkpoint of a U-Net with random weights, which still predicts both classes."""
    torch.manual_seed(0)
    table = path.with_suffix(".csv")
    table.write_text(TABLE)
    classes = ClassTable.load(table)
    made = {"base": base, "dropout": dropout}
    model = {"name": "unet", "in_channels": 4, "num_classes": 2, "options": made}
    network = unet.build("unet", 4, 2, **made).eval()
    with torch.no_grad():
        logits = network(torch.rand(1, 4, 64, 64))
        difference = logits[:, 1] - logits[:, 0]
        network.outc.conv.weight *= 2 / difference.std()
        network.outc.conv.bias *= 2 / difference.std()
        network.outc.conv.bias[0] += 2 * difference.median() / difference.std()
        # What both logits share is large. It would take the digits of 16 bits.
        network.outc.conv.weight -= network.outc.conv.weight.mean(0)
        network.outc.conv.bias -= network.outc.conv.bias.mean()
    weights = network.state_dict()
    scaling = {"method": "minmax", "offset": [0.0] * 4, "scale": [4000.0] * 4}
    state = {
        "model": model,
        "weights": weights,
        "classes": classes.records,
        "class_table": classes.name,
    }
    checkpoint.save(
        path, {**state, "bands": BANDS, "indices": [], "size": size, "scaling": scaling}
    )
    return path


def options(folder: Path, **changes) -> Namespace:
    """Return the options of train.py for the scenes of `write` in `folder`, with `changes`."""
    images, masks, table = folder / "in/images", folder / "in/masks", folder / "in/table.csv"
    if not images.exists():
        write(folder / "in")
    given = {"images": [images], "masks": [masks], "classes": table, "validation": 0.25}
    given |= {"model": "unet", "batch": 2}
    return Namespace(**{**vars(train.parse([])), **given, "output": folder / "run", **changes})


def load(args: Namespace) -> tuple[pipeline.Data, str]:
    """Load the data of a run with these options. Returns the data and the printed lines."""
    lines: list[str] = []
    cache, table = args.output.parent / "cache", ClassTable.load(args.classes)
    data = pipeline.load(args, table, cache, lines.append, lambda text: None)
    return data, "\n".join(lines)


def scene(
    height=64,
    width=64,
    crs=UTM31,
    transform=(10, 0, 4e5, 0, -10, 4.6e6),
    mask="mask",
    image=None,
    labels=None,
    nodata=None,
) -> Scene:
    """Make a scene of arrays, without files."""
    grid = Grid(crs, transform, height, width)
    image = np.broadcast_to(np.uint16(1), (1, height, width)) if image is None else image
    labels = np.broadcast_to(np.uint8(0), (height, width)) if labels is None else labels
    return Scene(
        "scene", Path("scene.tif"), Path(mask), grid, image, labels, (None,) * len(image), nodata
    )


def whole(number: int, window: Window) -> Item:
    """Make the item of a window that overlaps no other window."""
    return Item(number, window, window)


def random_scenes(count=3, size=20, seed=0, **changes) -> list[Scene]:
    """Make scenes of two bands, with four classes and some unlabelled pixels."""
    random = np.random.default_rng(seed)
    labels = [
        random.choice([0, 1, 2, 3, IGNORE], (size, size)).astype(np.uint8) for _ in range(count)
    ]
    images = [random.integers(1, 5000, (2, size, size)).astype(np.uint16) for _ in range(count)]
    places = [(10, 0, 4e5 + 1e5 * n, 0, -10, 4.6e6) for n in range(count)]
    return [
        scene(size, size, transform=t, image=i, labels=m, **changes)
        for t, i, m in zip(places, images, labels)
    ]
