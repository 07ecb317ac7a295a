"""The whole way on real imagery, where it is at hand: skipped elsewhere."""

import csv
from pathlib import Path

import numpy as np
import pytest

import predict
import train
from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Window
from data.input.finding import find_both
from data.input.pairing import pair
from data.raster import geotiff
from data.training import scenes
from data.training.mask import Mask

REAL = Path(__file__).parents[2] / "shared/realdata"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="no real imagery beside the project")


def run(folder: Path, images, masks, table: str, *more) -> Path:
    options = [
        "--images",
        *images,
        "--masks",
        *masks,
        "--classes",
        REAL / table,
    ]
    options += ["--output", folder / "run", "--base", 4, "--epochs", 2, "--lr", 0.01, *more]
    return train.main([str(option) for option in options])


def test_a_georeferenced_sentinel_2_chip_is_learned_and_mapped_on_its_own_grid(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    image = REAL / "sen1floods11/Spain_7370579_S2Hand.tif"
    truth = REAL / "sen1floods11/Spain_7370579_LabelHand.tif"
    folder = run(tmp_path, [image], [truth], "sen1floods11.csv", "--size", 128, "--batch", 4)
    with open(folder / "log.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    predict.main([str(image), "--checkpoint", str(folder / "best.pt"), "--output", str(tmp_path)])
    with (
        rasterio.open(image) as given,
        rasterio.open(tmp_path / f"{image.stem}_landcover.tif") as made,
    ):
        assert (made.crs, made.transform, made.shape) == (given.crs, given.transform, given.shape)
        codes = made.read(1)
        assert made.nodata == 255 and set(np.unique(codes)) <= {
            0,
            1,
            255,
        }  # -1 does not fit a palette
        empty = (given.read() == 0).all(0)
        assert ((codes == 255) == empty).all()


def test_codes_below_zero_and_bands_by_their_numbers(tmp_path):
    """13 bands B1 to B12: the four indices are found, and -1 in the mask is no label."""
    image = REAL / "sen1floods11/Spain_7370579_S2Hand.tif"
    truth = REAL / "sen1floods11/Spain_7370579_LabelHand.tif"
    scene = scenes.prepare(
        image, truth, ClassTable.load(REAL / "sen1floods11.csv"), tmp_path, "nearest"
    )
    with geotiff.Raster(truth) as raster:
        codes = raster.read()[0]
    assert ((scene.labels[:] == IGNORE) >= (codes == -1)).all()
    assert (scene.labels[codes == 1] == 1).mean() > 0.99
    assert scene.descriptions[7] == "B8"


def test_tiles_of_seven_bands_with_codes_of_worldcover(tmp_path):
    names = [f"{n}.tif" for n in (86, 185, 216, 190, 221, 187, 152, 87)]
    images, masks = (
        [REAL / "hls-worldcover" / part / name for name in names] for part in ("images", "masks")
    )
    folder = run(tmp_path, images, masks, "worldcover.csv")
    text = (folder / "train.log").read_text()
    chosen = "--model unet-3 --size 32 --batch 48 --weight-decay 0.05"
    assert f"no image is longer than 192 pixels: {chosen}" in text
    assert "8 scenes, 128 windows of 32 x 32" in text
    assert "bands: Coastal, Blue, Green, Red, NIR, SWIR1, SWIR2; indices: NDVI, NDTI, MNDWI" in text


def test_pictures_with_coloured_masks_whose_names_repeat_in_six_folders():
    folders = [sorted((REAL / "dubai-aerial").glob(f"*/{part}")) for part in ("images", "masks")]
    pairs = pair(*find_both(*folders))
    assert len(pairs) == 54 and all(
        i.parent.parent == m.parent.parent and i.stem == m.stem for i, m in pairs
    )
    table = ClassTable.load(REAL / "dubai.csv")
    for _, path in pairs[::9]:
        with Mask(path, table) as mask:
            labels = mask.read(Window(0, 0, mask.grid.height, mask.grid.width))
            mask.check()
        assert (labels != IGNORE).mean() > 0.5
