"""Ground of the training in images: against every pixel centre, located in every window by hand."""

from pathlib import Path

import imagecodecs
import numpy as np
import pyproj
import pytest
import small
import torch
from pyproj import CRS

from data.files import IGNORE, InputError
from data.grid import Grid, Window
from data.input.image import Image
from data.output.trained import Trained, filled, straight
from data.raster import cog, geotiff
from data.training.held_out import record
from data.training.places import located, same_masks
from data.training.scene_files import pixel_digest
from data.training.windows import all_windows

LON, LAT = 5.9, 41.7  # where zones 31 and 32 both reach


def around(crs, pixel, height, width, turn=0.0, lon=LON, lat=LAT, down=1, shift=0.0) -> Grid:
    """A grid of pixels of that size about a place, turned; upside down if `down` is -1."""
    crs = CRS(crs)
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    a, b = pixel * np.cos(turn), pixel * np.sin(turn) * down
    d, e = pixel * np.sin(turn), -pixel * np.cos(turn) * down
    x, y = x + shift * pixel, y - shift * pixel
    left, top = x - (a * width + b * height) / 2, y - (d * width + e * height) / 2
    return Grid(crs, (a, b, left, d, e, top), height, width)


def scenes_on(*grids: Grid) -> list:
    named = enumerate(grids)
    return [small.scene(g.height, g.width, g.crs, g.transform, mask=f"{n}") for n, g in named]


def checkpoint_of(scenes, size: int, share: float = 0.5, seed: int = 0) -> tuple[dict, list]:
    """A checkpoint whose training had a random share of the windows, and these windows."""
    items = all_windows(scenes, size)
    order = np.random.default_rng(seed).permutation(len(items))
    training = order[: max(1, round(share * len(items)))].tolist()
    spots = located(scenes, same_masks(scenes))
    split = record(scenes, items, spots, training, order[len(training) :][:3].tolist())
    return {"split": split}, [items[number] for number in training]


def found(checkpoint: dict, grid: Grid, heights=(7, 1, 1000), dates=()) -> np.ndarray:
    """Which pixels of an image `Trained` says were trained on, asked in strips."""
    trained, target = Trained(checkpoint, dates, grid, pytest.fail), np.zeros((0, 0), np.uint8)
    parts, row = [], 0
    for height in heights:
        target = np.full((min(height, grid.height - row), grid.width), 3, np.uint8)
        parts.append(trained.held_out(target))
        row += len(target)
    labels = np.concatenate(parts)
    assert labels.shape == (grid.height, grid.width) and {*np.unique(labels)} <= {3, IGNORE}
    return labels == IGNORE


def by_hand(scenes, windows, grid: Grid, rim: float = 0.0) -> np.ndarray:
    """Whether each pixel centre lies in a window, without a rim of that many pixels."""
    inside = np.zeros((grid.height, grid.width), bool)
    row, col = np.mgrid[: grid.height, : grid.width] + 0.5
    for number, scene in enumerate(scenes):
        there = scene.grid
        convert = pyproj.Transformer.from_crs(grid.crs, there.crs, always_xy=True).transform
        r, c = there.rowcol(*convert(*grid.xy(row, col)))
        for top, left, height, width in (window for n, window, _ in windows if n == number):
            down = (r >= top + rim) & (r < top + height - rim)
            inside |= down & (c >= left + rim) & (c < left + width - rim)
    return inside


GRIDS = {
    "the same grid": around("EPSG:32631", 10, 75, 64),
    "a shifted grid": around("EPSG:32631", 10, 53, 81, shift=7.3),
    "larger pixels": around("EPSG:32631", 23, 50, 41),
    "smaller pixels": around("EPSG:32631", 4, 117, 99),
    "south-up": around("EPSG:32631", 10, 75, 64, down=-1),
    "turned": around("EPSG:32631", 10, 66, 71, turn=0.7),
}
OTHER_CRS = {
    "another zone": around("EPSG:32632", 10, 75, 64),
    "degrees": around("EPSG:4326", 1e-4, 80, 91),
    "south-up degrees": around("EPSG:4326", 1e-4, 80, 91, down=-1),
    "a cone, turned": around("EPSG:3035", 12, 61, 77, turn=-1.0),
    "web mercator": around("EPSG:3857", 13.4, 70, 66),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_in_one_crs_every_pixel_is_that_of_the_windows(grid):
    scenes = scenes_on(
        around("EPSG:32631", 10, 75, 64), around("EPSG:32631", 10, 40, 50, shift=30.3)
    )
    checkpoint, windows = checkpoint_of(scenes, 20)
    expected = by_hand(scenes, windows, grid)
    assert 0.2 < expected.mean() < 0.9
    assert np.array_equal(found(checkpoint, grid), expected)


@pytest.mark.parametrize("grid", OTHER_CRS.values(), ids=OTHER_CRS)
def test_in_another_crs_pixels_differ_at_the_rim_of_a_window_alone(grid):
    scenes = scenes_on(around("EPSG:32631", 10, 75, 64), around("EPSG:25831", 7, 60, 50, turn=0.4))
    checkpoint, windows = checkpoint_of(scenes, 20)
    pixels = found(checkpoint, grid)
    assert 0.2 < pixels.mean() < 0.95
    assert pixels[by_hand(scenes, windows, grid, rim=0.02)].all()
    assert not pixels[~by_hand(scenes, windows, grid, rim=-0.02)].any()


def test_an_image_inside_the_ground_of_the_training_was_trained_on_in_every_crs():
    checkpoint, _ = checkpoint_of(scenes_on(around("EPSG:32631", 10, 200, 200)), 33, share=1)
    for grid in (around("EPSG:32631", 3, 60, 81, turn=0.3), around("EPSG:4326", 5e-5, 50, 40)):
        assert found(checkpoint, grid).all()


def test_an_image_elsewhere_was_not_trained_on():
    checkpoint, _ = checkpoint_of(scenes_on(around("EPSG:32631", 10, 60, 60)), 20, share=1)
    for lon, lat in ((5.9, 41.8), (-174.1, -41.7), (100, 0)):
        zone = "EPSG:32631" if lon == 5.9 else "EPSG:3857"
        assert not found(checkpoint, around(zone, 10, 30, 30, lon=lon, lat=lat)).any()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_windows_across_180_degrees_are_found_on_its_side_of_the_map(crs):
    scenes = scenes_on(around("EPSG:32760", 10, 100, 100, lon=180.0, lat=-17))
    checkpoint, windows = checkpoint_of(scenes, 30, share=0.6)
    pixel = 1e-4 if crs == "EPSG:4326" else 10.5
    for lon in (179.9962, -179.9962):
        grid = around(crs, pixel, 90, 70, lon=lon, lat=-17)
        pixels = found(checkpoint, grid)
        assert 0.1 < pixels.mean() < 0.95
        assert pixels[by_hand(scenes, windows, grid, rim=0.02)].all()
        assert not pixels[~by_hand(scenes, windows, grid, rim=-0.02)].any()


def test_validation_and_left_out_windows_were_not_trained_on():
    scenes = scenes_on(around("EPSG:32631", 10, 20, 60))
    spots = located(scenes, [])
    split = record(scenes, all_windows(scenes, 20), spots, [0], [1])
    assert split["windows"][:, 5].tolist() == [0, 1, 2]
    columns = found({"split": split}, scenes[0].grid).all(0)
    assert columns.tolist() == [True] * 20 + [False] * 40


def test_outlines_of_one_row_of_pixels_and_beyond_the_image():
    """A window of rows 1.2 to 2.4 holds the centre of row 1.5 alone, and one to the right none."""
    thin = np.array([(1.2, -3), (1.2, 0), (1.2, 3), (2, 3), (2.4, 3), (2.4, 0), (2.4, -3), (2, -3)])
    pixels = filled(np.stack([thin, thin + (0, 100)]), Window(0, 0, 4, 5))
    assert np.flatnonzero(pixels.any(1)).tolist() == [1] and pixels[1].tolist() == [1, 1, 1, 0, 0]
    assert filled(thin[None], Window(1, 0, 1, 5))[0].tolist() == [1, 1, 1, 0, 0]
    beyond = np.full_like(thin, np.inf)
    kinds = straight(np.stack([thin, np.where(thin == 0, 90, thin), beyond]))
    assert kinds.tolist() == [True, False, False]


# Files without a CRS.


def without_crs(tmp_path, **changes) -> tuple[dict, Path]:
    """Load 4 images without a CRS, one held out: the checkpoint, and the folder of the images."""
    images, masks, table = small.write(tmp_path / "plain", crs=None)
    for number, path in enumerate(sorted(images.iterdir())):  # without a transform, too
        with geotiff.Raster(path) as raster:
            pixels = raster.read()
        grid = Grid(None, (1, 0, 0, 0, 1, 0), 48, 48)
        cog.write(path, pixels, grid, nodata=0, descriptions=small.BANDS)
        with geotiff.Raster(masks / f"m_{number}.tif") as raster:
            codes = raster.read()[0]
        cog.write(masks / f"m_{number}.tif", codes, grid)
    options = {"images": [images], "masks": [masks], "classes": table, "size": 24, **changes}
    return small.load(small.options(tmp_path, **options))[0].checkpoint, images


def grid_of(path: Path) -> Grid:
    with geotiff.Raster(path) as raster:
        return raster.grid


def test_without_a_crs_an_image_is_known_by_its_pixels_under_any_name(tmp_path):
    checkpoint, images = without_crs(tmp_path)
    split = checkpoint["split"]
    trained = 0
    for number, name in enumerate(split["images"]):
        copy = tmp_path / f"of another name {number}.tif"
        with geotiff.Raster(name) as raster:
            pixels, grid = raster.read(), raster.grid
        cog.write(copy, pixels, grid, nodata=0, descriptions=small.BANDS)
        expected = np.zeros((48, 48), bool)
        for image, row, col, height, width, part in split["windows"].tolist():
            if image == number and part == 0:
                expected[row : row + height, col : col + width] = True
        trained += expected.sum()
        assert np.array_equal(found(checkpoint, grid, dates=[copy]), expected)
    assert 0 < trained < 4 * 48 * 48
    pixels[0, 0, 0] += 1
    cog.write(copy, pixels, grid, nodata=0, descriptions=small.BANDS)
    assert not found(checkpoint, grid, dates=[copy]).any()


def test_a_copy_that_lost_its_crs_and_one_that_got_one_are_known(tmp_path):
    args = small.options(tmp_path, overfit=1)
    checkpoint = small.load(args)[0].checkpoint
    windows = checkpoint["split"]["windows"]
    path = Path(checkpoint["split"]["images"][int(windows[windows[:, 5] == 0][0, 0])])
    with geotiff.Raster(path) as raster:
        pixels = raster.read()
    plain = Grid(None, (1, 0, 0, 0, 1, 0), 48, 48)
    cog.write(tmp_path / "plain.tif", pixels, plain, nodata=0)
    assert found(checkpoint, plain, dates=[tmp_path / "plain.tif"]).all()

    checkpoint, images = without_crs(tmp_path, split="random")
    placed = around("EPSG:32631", 10, 48, 48)
    name = checkpoint["split"]["images"][0]
    with geotiff.Raster(name) as raster:
        cog.write(tmp_path / "placed.tif", raster.read(), placed, nodata=0)
    expected = found(checkpoint, plain, dates=[Path(name)])
    assert expected.any() and np.array_equal(
        found(checkpoint, placed, dates=[tmp_path / "placed.tif"]), expected
    )


def test_a_png_of_the_pixels_of_a_tiff_is_a_copy(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "i").mkdir()
    (tmp_path / "m").mkdir()
    grid = Grid(None, (1, 0, 0, 0, 1, 0), 20, 30)
    for number in range(2):
        rgb = random.integers(1, 255, (3, 20, 30)).astype(np.uint8)
        cog.write(tmp_path / f"i/{number}.tif", rgb, grid)
        codes = random.choice([10, 20], (20, 30)).astype(np.uint8)
        cog.write(tmp_path / f"m/{number}.tif", codes, grid)
        png = imagecodecs.png_encode(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
        (tmp_path / f"{number}.png").write_bytes(png)
    (tmp_path / "t.csv").write_text(small.TABLE)
    places = {"images": [tmp_path / "i"], "masks": [tmp_path / "m"], "classes": tmp_path / "t.csv"}
    checkpoint = small.load(small.options(tmp_path, **places, validation=0.5))[0].checkpoint
    shares = [found(checkpoint, grid, dates=[tmp_path / f"{n}.png"]).mean() for n in range(2)]
    assert sorted(shares) == [0, 1]


def test_dates_without_a_crs_that_share_a_mask_are_one_ground(tmp_path):
    """Date 0 trained on the left half, date 1 validated on it."""
    plain = {"height": 20, "width": 40, "crs": None, "transform": (1, 0, 0, 0, 1, 0)}
    scenes = [small.scene(**plain, mask="m") for _ in range(2)]
    paths = [tmp_path / f"{n}.tif" for n in range(2)]
    for number, path in enumerate(paths):
        pixels = np.full((1, 20, 40), number, np.uint8)
        cog.write(path, pixels, scenes[0].grid)
    digests = []
    for path in paths:
        with Image(path) as image:
            digests.append(pixel_digest(image))
    spots = located(scenes, same_masks(scenes))
    split = record(scenes, all_windows(scenes, 20), spots, [0], [2])
    split["pixels"] = digests
    for path in paths:
        columns = found({"split": split}, scenes[0].grid, dates=[path]).all(0)
        assert columns.tolist() == [True] * 20 + [False] * 20


def test_stacked_dates_are_known_together_and_by_their_ground(tmp_path):
    """Two places, April and August of each; the network takes both dates."""
    plain = Grid(None, (1, 0, 0, 0, 1, 0), 48, 48)
    for crs, grid in ((32631, None), (None, plain)):
        folder = tmp_path / f"dates {crs}"
        images, masks, table = small.write(folder, count=2, crs=crs)
        for number in range(2):
            first = images / f"s_{number}.tif"
            with geotiff.Raster(first) as raster:
                pixels, own = raster.read(), grid or raster.grid
            for month, more in (("april", 0), ("august", 7)):
                path = images / f"{month}_{number}.tif"
                cog.write(path, pixels + np.uint16(more), own, descriptions=small.BANDS)
            first.unlink()
            with geotiff.Raster(masks / f"m_{number}.tif") as raster:
                codes = raster.read()[0]
            cog.write(masks / f"m_{number}.tif", codes, own)
        places = {"images": [images], "masks": [masks], "classes": table, "stack_dates": True}
        args = small.options(tmp_path, **places, validation=[str(images / "august_1.tif")])
        args.output = folder / "run"
        data, said = small.load(args)
        assert "1 for training, 1 for validation, 0 left out" in said
        for number, expected in ((0, True), (1, False)):
            dates = [images / f"{month}_{number}.tif" for month in ("april", "august")]
            assert (found(data.checkpoint, grid_of(dates[0]), dates=dates) == expected).all()


def test_a_checkpoint_without_a_record_is_remarked_and_one_of_a_strange_crs_refused():
    said = []
    grid = around("EPSG:32631", 10, 5, 5)
    trained = Trained({}, [], grid, said.append)
    assert not trained.known and trained.held_out(np.zeros((5, 5), np.uint8)) is None
    assert len(said) == 1 and "does not say which ground it was trained on" in said[0]
    checkpoint, _ = checkpoint_of(scenes_on(grid), 5, share=1)
    checkpoint["split"]["crs"] = ["no WKT"]
    with pytest.raises(InputError, match="the checkpoint has a CRS that cannot be read"):
        Trained(checkpoint, [], grid, said.append)
    assert torch.is_tensor(checkpoint["split"]["windows"])
