"""Images with labels on one grid, prepared once and kept in a cache."""

import errno
import json
import os
import pickle
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pyproj import CRS

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid, Window
from data.raster import cog
from data.training import scenes

ESM = ClassTable.load("esm")
WEB = CRS.from_epsg(3857)


def grid(crs=WEB, left=1_000_000.0, top=6_000_000.0, height=6, width=8, pixel=10.0) -> Grid:
    return Grid(crs, (pixel, 0.0, left, 0.0, -pixel, top), height, width)


def image_and_mask(
    folder: Path, image, mask, image_grid=None, mask_grid=None, **options
) -> tuple[Path, Path]:
    cog.write(folder / "image.tif", image, image_grid or grid(), **options)
    cog.write(folder / "mask.tif", mask, mask_grid or image_grid or grid())
    return folder / "image.tif", folder / "mask.tif"


def prepare(paths: tuple[Path, Path], folder: Path, method="nearest", **options) -> scenes.Scene:
    return scenes.prepare(*paths, ESM, folder / "cache", method, **options)


# One scene.


def test_a_mask_on_the_same_grid_becomes_labels_and_no_data_is_ignored(tmp_path):
    image = np.arange(2 * 6 * 8, dtype=np.uint16).reshape(2, 6, 8) + 1
    image[:, 0, 0] = 0  # no-data in both bands
    image[0, 1, 1] = 0  # dark in one band only
    mask = np.array([[0, 1, 250, 255, 1, 1, 1, 1]] * 6, np.uint8)
    paths = image_and_mask(tmp_path, image, mask, nodata=0)
    scene = prepare(paths, tmp_path)
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
    labels = prepare(paths, tmp_path, nodata=-9999).labels
    assert labels[0].tolist() == [IGNORE, IGNORE, 0, 0, 0, 0, 0, 0]


def test_a_mask_that_is_refused_leaves_nothing_behind(tmp_path):
    paths = image_and_mask(tmp_path, np.ones((1, 6, 8), np.uint8), np.full((6, 8), 7, np.uint8))
    with pytest.raises(InputError, match=r"mask\.tif: code 7 \(48 pixels\)"):
        prepare(paths, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


def test_pictures_with_coloured_masks(tmp_path):
    table = ClassTable.load("deepglobe")
    colors = np.array([[[0, 255, 255], [0, 0, 255]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
    (tmp_path / "i.jpg").write_bytes(imagecodecs.jpeg_encode(np.full((2, 2, 3), 90, np.uint8)))
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(colors))
    scene = scenes.prepare(
        tmp_path / "i.jpg", tmp_path / "m.png", table, tmp_path / "cache", "nearest"
    )
    assert scene.labels[:].tolist() == [[0, 4], [IGNORE, 5]]
    assert scene.image[:].shape == (3, 2, 2) and scene.grid.crs is None


def test_a_scene_is_pickled_by_name(tmp_path):
    image = np.random.default_rng(0).integers(1, 9, (3, 200, 200)).astype(np.uint8)
    square = grid(height=200, width=200)
    paths = image_and_mask(tmp_path, image, np.ones((200, 200), np.uint8), square)
    scene = prepare(paths, tmp_path)
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
    many = [prepare(paths, tmp_path) for _ in range(20)]
    assert all(scene.read(Window(0, 0, 6, 8)).sum() == 48 for scene in many)
    assert len(os.listdir("/proc/self/fd")) == before


# The cache.


def test_a_scene_is_prepared_once_and_again_when_an_input_changes(tmp_path, monkeypatch):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    made = []
    original = scenes._make
    monkeypatch.setattr(scenes, "_make", lambda *a: (made.append(a), original(*a)))
    for _ in range(2):
        prepare(paths, tmp_path)
    assert len(made) == 1
    cog.write(paths[1], ones[0] * 255, grid())
    assert (prepare(paths, tmp_path).labels[:] == 2).all()
    prepare(paths, tmp_path, "mode")
    prepare(paths, tmp_path, "mode", nodata=7)
    assert len(made) == 4


def test_too_small_a_disk_is_an_error_before_anything_is_written(tmp_path, monkeypatch):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    monkeypatch.setattr(scenes.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match="make room, or give --output a folder on another disk"):
        prepare(paths, tmp_path)


def test_where_the_disk_takes_no_such_file_the_folder_is_named(tmp_path, monkeypatch):
    paths = image_and_mask(tmp_path, np.ones((1, 6, 8), np.uint8), np.ones((6, 8), np.uint8))

    def too_large(*arguments):
        raise OSError(
            errno.EFBIG, "File too large"
        )  # as a file system with a limit says, and names nothing

    monkeypatch.setattr(scenes.np.lib.format, "open_memmap", too_large)
    with pytest.raises(OSError, match="File too large.*cache") as error:
        prepare(paths, tmp_path)
    assert (
        error.value.filename == str(tmp_path / "cache")
        and list((tmp_path / "cache").iterdir()) == []
    )


def test_an_interruption_leaves_no_half_made_scene(tmp_path, monkeypatch):
    paths = image_and_mask(tmp_path, np.ones((1, 6, 8), np.uint8), np.ones((6, 8), np.uint8))

    def interrupted(mask, target, method):
        yield np.zeros((2, 8), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(scenes, "labels_on", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(paths, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("stop", [False, True])
def test_two_processes_may_prepare_a_scene_at_once_and_either_may_be_interrupted(
    tmp_path, monkeypatch, stop
):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    cache = tmp_path / "cache"

    def other_is_faster(mask, target, method):
        half_made = next(cache.glob(".image-*.tmp"))
        other = cache / half_made.name.split(".")[1]
        other.mkdir()
        np.save(other / "image.npy", ones.transpose(1, 2, 0))
        np.save(other / "labels.npy", ones[0] * 2)
        about = {"digest": "of the other process", "remarks": [], "rounded": [0, 0]}
        (other / "scene.json").write_text(json.dumps(about))
        yield ones[0]
        if stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(scenes, "labels_on", other_is_faster)
    if stop:
        with pytest.raises(KeyboardInterrupt):
            prepare(paths, tmp_path)
    else:
        assert (prepare(paths, tmp_path).labels[:] == 2).all()
    assert not list(cache.glob(".*"))


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path):
    """In a container every run may be process 7."""
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    folder = Path(prepare(paths, tmp_path).labels.path).parent
    left = folder.rename(folder.with_name(f".{folder.name}.{os.getpid()}.tmp"))
    assert (prepare(paths, tmp_path).labels[:] == 0).all()
    assert not left.exists()


@pytest.mark.parametrize("name", ["image.tif.aux.xml", "image.tif.msk", "image.tfw", "mask.tfw"])
def test_a_file_beside_image_or_mask_makes_the_scene_again(tmp_path, name):
    """It may hold the mask, the no-data value, scales or the georeference."""
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    before = scenes._key(paths[:1], paths[1], ESM)
    (tmp_path / name).write_bytes(b"")
    assert scenes._key(paths[:1], paths[1], ESM) != before
