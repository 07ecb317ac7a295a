"""Images and masks made to share a grid: data/training/scenes.py."""

import errno
import os
import pickle
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pyproj import CRS

from data import resample
from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid, Window
from data.raster import geotiff
from data.training import scenes

ESM = ClassTable.load("esm")
WEB, LAEA = CRS.from_epsg(3857), CRS.from_epsg(3035)


def grid(crs=WEB, left=1_000_000.0, top=6_000_000.0, height=6, width=8, pixel=10.0) -> Grid:
    return Grid(crs, (pixel, 0.0, left, 0.0, -pixel, top), height, width)


def nearest(mask: scenes.Mask, target: Grid):
    return resample.strips(mask.read, mask.grid, target, "nearest", IGNORE, np.uint8)


def never(mask, target):
    raise AssertionError("nothing to align here")


def image_and_mask(
    folder: Path, image, mask, image_grid=None, mask_grid=None, **options
) -> tuple[Path, Path]:
    geotiff.write(folder / "image.tif", image, image_grid or grid(), **options)
    geotiff.write(folder / "mask.tif", mask, mask_grid or image_grid or grid())
    return folder / "image.tif", folder / "mask.tif"


def names(pairs) -> list[tuple[str, str]]:
    return [(str(image), str(mask)) for image, mask in pairs]


def pair(images: list[str], masks: list[str], **options):
    return names(scenes.pair([Path(p) for p in images], [Path(p) for p in masks], **options))


# --- which mask belongs to which image ------------------------------------------------------------


def test_masks_are_matched_by_stem_before_the_last_part_of_the_name():
    assert pair(["i/a.tif", "i/b.tif"], ["m/b.png", "m/a.png"]) == [
        ("i/a.tif", "m/a.png"),
        ("i/b.tif", "m/b.png"),
    ]
    assert pair(["i/town_01.tif", "i/town_02.tif"], ["m/esm_02.tif", "m/esm_01.tif"]) == [
        ("i/town_01.tif", "m/esm_01.tif"),
        ("i/town_02.tif", "m/esm_02.tif"),
    ]
    # tile_0_300 and tile_300_300 end alike; the whole stem decides
    tiles = ["tile_0_300", "tile_300_300"]
    assert pair([f"i/{t}.tif" for t in tiles], [f"m/{t}.tif" for t in tiles])[0] == (
        "i/tile_0_300.tif",
        "m/tile_0_300.tif",
    )


def test_names_that_repeat_from_folder_to_folder_take_the_mask_nearby():
    images = [f"Tile {n}/images/part_1.jpg" for n in (1, 2)]
    masks = [f"Tile {n}/masks/part_1.png" for n in (1, 2)]
    assert pair(images, masks) == list(zip(images, masks))


def test_two_dates_share_a_mask_and_a_single_mask_serves_all():
    assert pair(["april_x.tif", "august_x.tif", "may_y.tif"], ["cover_x.tif", "cover_y.tif"]) == [
        ("april_x.tif", "cover_x.tif"),
        ("august_x.tif", "cover_x.tif"),
        ("may_y.tif", "cover_y.tif"),
    ]
    assert pair(["april.tif", "august.tif"], ["cover.tif"])[1] == ("august.tif", "cover.tif")


def test_a_single_mask_that_is_one_images_own_serves_no_other():
    """Of pictures without CRS nothing else would tell that the other's mask is missing."""
    with pytest.raises(InputError, match=r"1 images without a mask \(b\.png\)"):
        pair(["i/a.png", "i/b.png"], ["m/a.png"])
    with pytest.raises(InputError, match=r"1 images without a mask \(s_1\.tif\)"):
        pair(["s_0.tif", "s_1.tif"], ["m_0.tif"])


def test_all_that_does_not_match_is_listed_in_one_error():
    with pytest.raises(InputError) as error:
        pair(["i/a.tif", "i/b.tif", "i/c.tif"], ["m/a.tif", "m/x.tif", "m/y.tif"])
    for part in (
        "2 images without a mask (b.tif, c.tif)",
        "2 masks without an image (x.tif, y.tif)",
    ):
        assert part in str(error.value)
    with pytest.raises(InputError, match=r"1 images with several masks \(a\.tif\)"):
        pair(["i/a.tif", "i/b.tif"], ["m/a.tif", "m/a.png", "m/b.tif"])
    assert pair(["i/a.tif"], ["m/a.tif", "m/x.tif"], spare_masks=True) == [("i/a.tif", "m/a.tif")]


def test_folders_give_their_rasters_sorted_and_nothing_hidden(tmp_path):
    for name in ("b.tif", "a.PNG", ".hidden.tif", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    assert [p.name for p in scenes.find([tmp_path], "images")] == ["a.PNG", "b.tif"]
    assert len(scenes.find([tmp_path, tmp_path / "b.tif"], "images")) == 2  # each once
    (tmp_path / "folder.tif").mkdir()
    assert [p.name for p in scenes.find([tmp_path], "images")] == ["a.PNG", "b.tif"]
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        scenes.find([tmp_path / "nowhere"], "images")
    with pytest.raises(InputError, match="no images"):
        scenes.find([tmp_path / "deeper"], "images")


def test_maps_beside_their_images_are_not_taken_for_images(tmp_path):
    for name in ("a.tif", "a_landcover.tif", "a_landcover.png", "b_landcover.tif"):
        (tmp_path / name).touch()
    # b_landcover has no image b beside it: a mask of that name, perhaps
    assert [p.name for p in scenes.find([tmp_path], "images")] == ["a.tif", "b_landcover.tif"]
    assert [p.name for p in scenes.find([tmp_path / "a_landcover.tif"], "masks")] == [
        "a_landcover.tif"
    ]


# --- one scene ------------------------------------------------------------------------------------


def test_a_mask_on_the_same_grid_becomes_labels_and_no_data_is_ignored(tmp_path):
    image = np.arange(2 * 6 * 8, dtype=np.uint16).reshape(2, 6, 8) + 1
    image[:, 0, 0] = 0  # no-data in both bands
    image[0, 1, 1] = 0  # dark in one band only
    mask = np.array([[0, 1, 250, 255, 1, 1, 1, 1]] * 6, np.uint8)
    paths = image_and_mask(tmp_path, image, mask, nodata=0)
    scene = scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")
    assert scene.labels[1].tolist() == [0, 0, 1, 2, 0, 0, 0, 0]
    assert scene.labels[0, 0] == IGNORE and scene.labels[1, 1] == 0
    assert (scene.image[:] == image).all() and scene.grid.matches(grid())
    window = Window(2, 3, 3, 4)
    assert (scene.read(window) == image[:, 2:5, 3:7]).all()
    assert (scene.read_labels(window) == scene.labels[2:5, 3:7]).all()


def test_nan_is_no_data_and_so_is_the_value_given_by_hand(tmp_path):
    image = np.ones((1, 6, 8), np.float32)
    image[0, 0, 0], image[0, 0, 1] = np.nan, -9999
    paths = image_and_mask(tmp_path, image, np.ones((6, 8), np.uint8))
    labels = scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest", nodata=-9999).labels
    assert labels[0].tolist() == [IGNORE, IGNORE, 0, 0, 0, 0, 0, 0]


def test_a_mask_in_another_crs_lands_where_rasterio_puts_it(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    from rasterio.warp import Resampling
    from rasterio.warp import reproject as gdal_reproject

    image_grid = grid(left=1_250_000.0, top=6_200_000.0, height=40, width=50)
    random = np.random.default_rng(0)
    codes = np.kron(random.choice([1, 250, 255], (30, 30)), np.ones((4, 4))).astype(np.uint8)
    # The image's middle in EPSG:3035, and a mask around it that is larger than the image's 500 m
    from pyproj import Transformer

    x, y = Transformer.from_crs(WEB, LAEA, always_xy=True).transform(*image_grid.xy(20, 25))
    mask_grid = grid(LAEA, x - 600, y + 600, 120, 120)
    paths = image_and_mask(tmp_path, np.ones((1, 40, 50), np.uint8), codes, image_grid, mask_grid)
    labels = scenes.prepare(*paths, ESM, tmp_path / "cache", nearest, "nearest").labels
    with rasterio.open(paths[1]) as source, rasterio.open(paths[0]) as like:
        expected = np.zeros((40, 50), np.uint8)
        gdal_reproject(rasterio.band(source, 1), expected, dst_transform=like.transform, dst_crs=like.crs,
                       resampling=Resampling.nearest, tolerance=0)  # fmt: skip
    assert (labels[:] == ESM.encode(expected)).mean() > 0.999
    assert set(np.unique(labels[:])) == {0, 1, 2}


def test_without_crs_only_equal_sizes_go_together(tmp_path):
    plain = Grid(None, (1, 0, 0, 0, 1, 0), 6, 8)
    other = Grid(None, (1, 0, 0, 0, 1, 0), 5, 8)
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0], plain, plain)
    assert scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest").labels[:].shape == (
        6,
        8,
    )
    geotiff.write(paths[1], ones[0, :5], other)
    with pytest.raises(
        InputError, match=r"mask\.tif: 8 x 5 pixels for an image of 8 x 6, and neither .* has a CRS"
    ):
        scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")
    geotiff.write(paths[0], ones, grid())
    with pytest.raises(InputError, match=r"mask\.tif: .* and it has no CRS"):
        scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")


def test_unknown_codes_are_counted_over_the_whole_mask_and_nothing_is_left_behind(tmp_path):
    mask = np.ones((600, 8), np.uint8)
    mask[0, 0] = mask[-1, :3] = 7  # in the first and the last strip
    paths = image_and_mask(tmp_path, np.ones((1, 600, 8), np.uint8), mask, grid(height=600))
    with pytest.raises(InputError, match=r"mask\.tif: code 7 \(4 pixels\)"):
        scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")
    assert list((tmp_path / "cache").iterdir()) == []


def test_pictures_with_coloured_masks(tmp_path):
    table = ClassTable.load("deepglobe")
    colors = np.array([[[0, 255, 255], [0, 0, 255]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
    (tmp_path / "i.jpg").write_bytes(imagecodecs.jpeg_encode(np.full((2, 2, 3), 90, np.uint8)))
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(colors))
    scene = scenes.prepare(
        tmp_path / "i.jpg", tmp_path / "m.png", table, tmp_path / "cache", never, "nearest"
    )
    assert scene.labels[:].tolist() == [[0, 4], [IGNORE, 5]]
    assert scene.image[:].shape == (3, 2, 2) and scene.grid.crs is None


def test_a_map_made_by_a_table_of_colours_is_read_back_through_its_palette(tmp_path):
    table = ClassTable.load("deepglobe")
    labels = np.array([[0, 4, IGNORE], [5, 1, 2]], np.uint8)
    path = tmp_path / "map.tif"
    geotiff.write(path, table.decode(labels), grid(height=2, width=3), table.nodata, table.colormap)
    with scenes.Mask(path, table) as mask:
        assert mask.read(Window(0, 0, 2, 3)).tolist() == labels.tolist()
        mask.check()


def test_no_data_of_a_palette_map_is_no_class_even_if_a_class_is_black(tmp_path):
    (tmp_path / "t.csv").write_text("code,name,color\n#000000,tar,#000000\n#FFFFFF,snow,#FFFFFF\n")
    table = ClassTable.load(tmp_path / "t.csv")
    geotiff.write(
        tmp_path / "m.tif",
        np.array([[0, 1, 255]], np.uint8),
        grid(height=1, width=3),
        255,
        table.colormap,
    )
    with scenes.Mask(tmp_path / "m.tif", table) as mask:
        assert mask.read(Window(0, 0, 1, 3)).tolist() == [[0, 1, IGNORE]]
        mask.check()


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_unknown_codes_are_counted_once_however_the_mask_is_aligned(tmp_path, method):
    codes = np.ones((60, 60), np.uint8)
    codes[20:30, 20:30] = 7
    paths = image_and_mask(
        tmp_path,
        np.ones((1, 30, 30), np.uint8),
        codes,
        grid(height=30, width=30, pixel=20),
        grid(height=60, width=60),
    )

    def align(mask, target):
        return resample.strips(mask.read, mask.grid, target, method, IGNORE, np.uint8)

    with pytest.raises(InputError, match=r"code 7 \(100 pixels\)"):
        scenes.prepare(*paths, ESM, tmp_path / "cache", align, method)


def test_a_scene_is_pickled_by_name(tmp_path):
    image = np.random.default_rng(0).integers(1, 9, (3, 200, 200)).astype(np.uint8)
    square = grid(height=200, width=200)
    paths = image_and_mask(tmp_path, image, np.ones((200, 200), np.uint8), square)
    scene = scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")
    packed = pickle.dumps(scene)
    again = pickle.loads(packed)
    assert len(packed) < 5000
    assert (
        (again.image[:] == image).all()
        and (again.labels[:] == scene.labels[:]).all()
        and again.grid == scene.grid
    )


@pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the system does not list open files"
)
def test_a_scene_holds_no_file_open_so_that_there_may_be_thousands(tmp_path):
    paths = image_and_mask(tmp_path, np.ones((1, 6, 8), np.uint8), np.ones((6, 8), np.uint8))
    before = len(os.listdir("/proc/self/fd"))
    many = [scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest") for _ in range(20)]
    assert all(scene.read(Window(0, 0, 6, 8)).sum() == 48 for scene in many)
    assert len(os.listdir("/proc/self/fd")) == before


# --- the cache ------------------------------------------------------------------------------------


def test_a_scene_is_prepared_once_and_again_when_an_input_changes(tmp_path, monkeypatch):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    made = []
    original = scenes._make
    monkeypatch.setattr(scenes, "_make", lambda *a: (made.append(a), original(*a)))
    for _ in range(2):
        scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")
    assert len(made) == 1
    geotiff.write(paths[1], ones[0] * 255, grid())
    assert (scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest").labels[:] == 2).all()
    scenes.prepare(*paths, ESM, tmp_path / "cache", never, "mode")
    scenes.prepare(*paths, ESM, tmp_path / "cache", never, "mode", nodata=7)
    assert len(made) == 4


def test_no_room_on_the_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    monkeypatch.setattr(scenes.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match="make room or name another folder by --cache"):
        scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")


def test_where_the_disk_takes_no_such_file_the_folder_is_named(tmp_path, monkeypatch):
    paths = image_and_mask(tmp_path, np.ones((1, 6, 8), np.uint8), np.ones((6, 8), np.uint8))

    def too_large(*arguments):
        raise OSError(
            errno.EFBIG, "File too large"
        )  # as a file system with a limit says, and names nothing

    monkeypatch.setattr(scenes.np.lib.format, "open_memmap", too_large)
    with pytest.raises(OSError, match="File too large.*cache") as error:
        scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest")
    assert (
        error.value.filename == str(tmp_path / "cache")
        and list((tmp_path / "cache").iterdir()) == []
    )


def test_an_interruption_leaves_no_half_made_scene(tmp_path):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0], mask_grid=grid(left=1_000_010.0))

    def interrupted(mask, target):
        yield ones[0, :2] * 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scenes.prepare(*paths, ESM, tmp_path / "cache", interrupted, "nearest")
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_processes_may_prepare_a_scene_at_once_and_either_may_be_interrupted(tmp_path):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0], mask_grid=grid(left=1_000_010.0))
    cache = tmp_path / "cache"

    def other_was_faster(mask, target):
        half_made = next(cache.glob(".image-*.tmp"))
        other = cache / half_made.name.split(".")[1]
        other.mkdir()
        (
            np.save(other / "image.npy", ones.transpose(1, 2, 0)),
            np.save(other / "labels.npy", ones[0] * 2),
        )
        yield ones[0]
        if stop:
            raise KeyboardInterrupt

    stop = False
    assert (scenes.prepare(*paths, ESM, cache, other_was_faster, "nearest").labels[:] == 2).all()
    stop = True
    with pytest.raises(KeyboardInterrupt):
        scenes.prepare(*paths, ESM, cache, other_was_faster, "mode")
    assert not list(cache.glob(".*"))


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path):
    """In a container every run may be process 7."""
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    folder = Path(
        scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest").labels.path
    ).parent
    left = folder.rename(folder.with_name(f".{folder.name}.{os.getpid()}.tmp"))
    assert (scenes.prepare(*paths, ESM, tmp_path / "cache", never, "nearest").labels[:] == 0).all()
    assert not left.exists()
