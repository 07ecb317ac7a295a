"""The three recipes of tests/bench/README.md, on small data of the kind that their authors had.

Each command line runs as it stands. Only the number of epochs and the width of the network are
smaller. Then predict.py maps one image.
"""

import re
import shlex
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pyproj import CRS

import predict
import train
from data.classes import ClassTable
from data.grid import Grid
from data.raster import Raster, cog
from data.raster.targetgrid import target_grid_for
from unet import checkpoint

README = (Path(__file__).parent / "bench/README.md").read_text(encoding="utf-8")


def command(system: str) -> list[str]:
    """The options of train.py in the recipe of a system."""
    lines = re.sub(r"\s*\\\n\s*", " ", README).splitlines()
    found = [line for line in lines if f"--output runs/{system} " in f"{line} "]
    assert len(found) == 1 and found[0].startswith("    python train.py ")
    return shlex.split(found[0])[2:]


def fields(height: int, width: int, values: list, seed: int, side: int = 12) -> np.ndarray:
    """A raster of square fields. Each of the values occurs, if there are enough fields."""
    random = np.random.default_rng(seed)
    rows, cols = -(-height // side), -(-width // side)
    drawn = np.resize(np.arange(len(values)), rows * cols)
    coarse = random.permutation(drawn).reshape(rows, cols)
    return np.array(values)[np.kron(coarse, np.ones((side, side), int))[:height, :width]]


def write_mask(path: Path, grid: Grid, crs: int, pixel: float, codes: list, seed: int) -> None:
    """Write a mask in another CRS, which covers a grid."""
    place = target_grid_for(grid, f"EPSG:{crs}", pixel)
    side = round(12 * grid.transform[0] / pixel)
    mask = fields(place.height, place.width, codes, seed, side).astype(np.uint8)
    cog.write(path, mask, place)


def write_image(path: Path, grid: Grid, bands: int, seed: int) -> None:
    """Write reflectances x 10,000 as uint16, without names of the bands."""
    random = np.random.default_rng(seed)
    image = random.integers(200, 4000, (bands, grid.height, grid.width)).astype(np.uint16)
    cog.write(path, image, grid, nodata=0)


def utm(number: int, crs: int, side: int) -> Grid:
    return Grid(CRS.from_epsg(crs), (10, 0, 4e5 + 5000 * number, 0, -10, 4.6e6), side, side)


def write_esm() -> list[str]:
    """300 x 300 pixels in EPSG:3857 become 60 x 60; the mask has 10 m in EPSG:3035."""
    for number in range(8):
        grid = utm(number, 3857, 60)
        write_image(Path(f"esm/images/town_{number}.tif"), grid, 11, number)
        path = Path(f"esm/masks/esm_{number}.tif")
        write_mask(path, grid, 3035, 10, [0, 1, 250, 255], number)
    return ["esm/images/town_3.tif"]


def write_catalonia() -> list[str]:
    """Two seasons of 10 bands and 10 m in EPSG:32631; the mask has 1 m in EPSG:25831."""
    for number in range(3):
        grid = utm(number, 32631, 64)
        for month, season in enumerate(("april", "august")):
            path = Path(f"catalonia/images/{season}_{number}.tif")
            write_image(path, grid, 10, 2 * number + month)
        path = Path(f"catalonia/masks/mask_{number}.tif")
        write_mask(path, grid, 25831, 1, list(range(13)), number)
    return ["catalonia/images/april_1.tif", "catalonia/images/august_1.tif"]


def write_deepglobe() -> list[str]:
    """One picture of the published size, and small ones. The masks hold 254 for 255.

    A corner of each picture has labels. So only one window of the large one is used.
    """
    colors = np.array([*np.ndindex(2, 2, 2)], np.uint8)[[3, 6, 5, 2, 1, 7, 0]] * 254
    for number, side in ((119, 2448), (606, 200), (855, 200)):
        classes = fields(side, side, list(range(7)), number, side // 8)
        mask = colors[classes]
        image = mask // 2 + 40
        mask[side // 4 :] = mask[:, side // 4 :] = 0
        folder = Path("deepglobe/train")
        (folder / f"{number}_sat.jpg").write_bytes(imagecodecs.jpeg_encode(image, level=80))
        (folder / f"{number}_mask.png").write_bytes(imagecodecs.png_encode(mask, level=1))
    return ["deepglobe/train/119_sat.jpg"]


@pytest.mark.parametrize(
    ("write", "channels", "crs", "values", "said"),
    [
        (write_esm, 11 + 4, 3035, {0, 1, 250, 255}, "training labels: other "),
        (write_catalonia, 2 * 10, 25831, {*range(13)}, "2 dates of each place are stacked"),
        (write_deepglobe, 3, None, {0, 254}, "not pure colours; each channel was rounded to 0 or"),
    ],
    ids=["esm", "catalonia", "deepglobe"],
)
def test_a_recipe_runs_on_data_of_its_kind_and_its_network_makes_a_map(
    tmp_path, monkeypatch, capsys, write, channels, crs, values, said
):
    monkeypatch.chdir(tmp_path)
    system = write.__name__.removeprefix("write_")
    options = command(system)
    for name in ("--images", "--masks"):
        Path(options[options.index(name) + 1]).mkdir(parents=True, exist_ok=True)
    images = write()
    masks = Path(options[options.index("--masks") + 1])
    with Raster(next(path for path in masks.iterdir() if path.suffix != ".jpg")) as mask:
        assert mask.grid.crs == (crs and CRS.from_epsg(crs))
        assert set(np.unique(mask.read()).tolist()) == values
    run = train.main([*options, "--epochs", "1", "--base", "2"])
    out, err = capsys.readouterr()
    assert said in out + err
    table, best = ClassTable.load(system), checkpoint.load(run / "best.pt")
    assert best["model"]["in_channels"] == channels
    assert best["classes"] == table.records
    settings = vars(train.parse(options))
    kept = ("loss", "optimizer", "lr", "weight_decay", "schedule", "batch", "patience", "monitor")
    given = [name for name in kept if settings[name] is not None]
    assert [best["settings"][name] for name in given] == [settings[name] for name in given]

    predict.main([*images, "--checkpoint", str(run), "--output", "maps"])
    (path,) = Path("maps").glob("*_landcover.tif")
    with Raster(path) as made, Raster(images[0]) as image:
        assert made.grid == image.grid and made.count == 1
        assert set(np.unique(made.read())) <= {*table.codes}
    assert (path.with_name(f"{path.name}.aux.xml")).exists()
