"""Images with labels on one grid, prepared once and kept in a cache."""

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import disks
import imagecodecs
import numpy as np
import pytest
from pyproj import CRS, Transformer

from data.classes import ClassTable
from data.files import IGNORE, InputError, writing
from data.grid import Grid, Window
from data.raster import cog
from data.training import scene_files, scenes
from data.training.mask import Mask, labels_on

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


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_areas_before_and_after_alignment_are_measured_and_kept_in_the_cache(tmp_path, method):
    """Before: points of each pixel in the image. After: pixels of the aligned mask."""
    mask_grid = Grid(CRS.from_epsg(3035), (10, 0, 4_321_040, 0, -10, 3_209_880), 20, 20)
    image_grid = grid(left=1_113_300, top=6_799_900, height=25, width=20)
    codes = np.random.default_rng(0).choice([1, 250, 255], (10, 10)).repeat(2, 0).repeat(2, 1)
    image = np.ones((1, 25, 20), np.uint8)
    image[:, :9] = 0  # no-data of the image does not change the shares of the mask
    paths = image_and_mask(tmp_path, image, codes.astype(np.uint8), image_grid, mask_grid, nodata=0)
    made = prepare(paths, tmp_path, method)
    assert prepare(paths, tmp_path, method) == made
    points = (np.arange(600) + 0.5) / 30
    x, y = mask_grid.xy(*np.meshgrid(points, points, indexing="ij"))
    to_image = Transformer.from_crs(3035, 3857, always_xy=True)
    row, col = image_grid.rowcol(*to_image.transform(x, y))
    inside = (row >= 0) & (row < 25) & (col >= 0) & (col < 20)
    fine = codes.repeat(30, 0).repeat(30, 1)
    before, after = (np.array(areas) / sum(areas) for areas in made.areas)
    expected = [(fine[inside] == code).mean() for code in (1, 250, 255)]
    assert before == pytest.approx(expected, abs=2e-3)
    with Mask(paths[1], ESM) as mask:
        aligned = np.concatenate(list(labels_on(mask, image_grid, method)))
    assert after == pytest.approx(np.bincount(aligned.ravel()) / 500, abs=1e-4)
    assert sum(made.areas[0]) == pytest.approx(sum(made.areas[1]), rel=1e-3)


def test_a_mask_on_the_grid_of_its_image_has_no_areas(tmp_path):
    paths = image_and_mask(tmp_path, np.ones((1, 6, 8), np.uint8), np.ones((6, 8), np.uint8))
    assert prepare(paths, tmp_path).areas is None and prepare(paths, tmp_path).areas is None


def test_areas_after_alignment_are_those_of_each_row(tmp_path):
    """Latitudes 75 to 0 degrees, in two strips of rows; on a sphere, ground is a sine of them."""
    degrees = CRS.from_epsg(4326)
    image_grid = Grid(degrees, (0.25, 0, 0, 0, -0.25, 75), 300, 2)
    mask_grid = Grid(degrees, (0.5, 0, 0, 0, -0.5, 75), 150, 1)
    codes = np.repeat(np.uint8([1, 250, 255]), 50)[:, None]
    paths = image_and_mask(tmp_path, np.ones((1, 300, 2), np.uint8), codes, image_grid, mask_grid)
    expected = -np.diff(np.sin(np.radians([75, 50, 25, 0]))) / np.sin(np.radians(75))
    for areas in prepare(paths, tmp_path).areas:
        assert np.array(areas) / sum(areas) == pytest.approx(expected, abs=2e-3)


def test_measuring_a_mask_of_colours_counts_no_pixel_twice_and_leaves_none_out(tmp_path):
    table, pixels = ClassTable.load("deepglobe"), np.zeros((3, 6, 20), np.uint8)
    pixels[1:] = 254
    pixels[0, :, 6:] = pixels[2, :, 6:] = 255
    cog.write(tmp_path / "image.tif", np.ones((1, 6, 6), np.uint8), grid(left=1_000_020, width=6))
    cog.write(tmp_path / "mask.tif", pixels, grid(width=20))
    paths = tmp_path / "image.tif", tmp_path / "mask.tif"
    made = scenes.prepare(*paths, table, tmp_path / "cache", "nearest")
    assert made.rounded == (120, 120)
    for areas in made.areas:  # four columns of one class and two of another
        assert sorted(np.array(areas) / sum(areas))[-2:] == pytest.approx([1 / 3, 2 / 3], abs=1e-6)


# The cache.


def test_a_scene_is_prepared_once_and_again_when_an_input_changes(tmp_path, monkeypatch):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    made = []
    original = scene_files.make
    monkeypatch.setattr(scene_files, "make", lambda *a: (made.append(a), original(*a)))
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


@pytest.mark.parametrize("most", [0, 100, 1000, 5000])
def test_a_disk_that_becomes_full_is_an_error_that_names_the_cache(tmp_path, most):
    """labels.npy has 1,728 bytes, image.npy has 6,528. A map would end the process by SIGBUS."""
    square = grid(height=40, width=40)
    paths = image_and_mask(
        tmp_path, np.ones((2, 40, 40), np.uint16), np.ones((40, 40), np.uint8), square
    )
    with disks.largest_file(most), pytest.raises(OSError, match="File too large; raise the limit"):
        try:
            prepare(paths, tmp_path)
        except OSError as error:
            assert error.filename == str(tmp_path / "cache")
            raise
    assert list((tmp_path / "cache").iterdir()) == []
    assert (prepare(paths, tmp_path).image[:] == 1).all()


def test_the_hash_is_that_of_type_shape_and_both_arrays_in_strips_of_256_rows(tmp_path):
    """A run is resumed only with data of the same hash, so it must not change with versions."""
    random = np.random.default_rng(0)
    image = random.integers(0, 9, (2, 300, 4)).astype(np.uint16)
    mask = random.choice(np.array([0, 1, 250, 255], np.uint8), (300, 4))
    paths = image_and_mask(tmp_path, image, mask, grid(height=300, width=4), nodata=0)
    scene = prepare(paths, tmp_path)
    digest = hashlib.blake2b(b"(dtype('uint16'), (300, 4, 2))", digest_size=16)
    labels = np.array([0, 0, 1, 2], np.uint8)[np.searchsorted([0, 1, 250, 255], mask)]
    labels[(image == 0).all(axis=0)] = 255
    assert (scene.labels[:] == labels).all() and (scene.image[:] == image).all()
    for rows in (slice(0, 256), slice(256, 300)):
        digest.update(image[:, rows].transpose(1, 2, 0).tobytes())
        digest.update(labels[rows].tobytes())
    assert scene.digest == digest.hexdigest()


def test_an_interruption_leaves_no_half_made_scene(tmp_path, monkeypatch):
    paths = image_and_mask(tmp_path, np.ones((1, 6, 8), np.uint8), np.ones((6, 8), np.uint8))

    def interrupted(mask, target, method, other):
        yield np.zeros((2, 8), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(scene_files, "labels_on", interrupted)
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

    def other_is_faster(mask, target, method, named):
        half_made = next(cache.glob(".image-*.tmp"))
        other = cache / half_made.name.split(".")[1]
        other.mkdir()
        np.save(other / "image.npy", ones.transpose(1, 2, 0))
        np.save(other / "labels.npy", ones[0] * 2)
        about = {
            "digest": "of the other process",
            "pixels": "",
            "remarks": [],
            "rounded": [0, 0],
            "areas": None,
        }
        (other / "scene.json").write_text(json.dumps(about))
        yield ones[0]
        if stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(scene_files, "labels_on", other_is_faster)
    if stop:
        with pytest.raises(KeyboardInterrupt):
            prepare(paths, tmp_path)
    else:
        assert (prepare(paths, tmp_path).labels[:] == 2).all()
    assert not list(cache.glob(".*"))


def test_what_a_killed_process_left_is_removed_and_no_hindrance(tmp_path):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    folder = Path(prepare(paths, tmp_path).labels.path).parent
    left = folder.rename(folder.with_name(f".{folder.name}.0123456789ab.tmp"))
    writing.remove_left.cache_clear()  # a new process looks once
    assert (prepare(paths, tmp_path).labels[:] == 0).all()
    assert not left.exists()


def truncated(folder: Path) -> None:
    os.truncate(folder / "image.npy", (folder / "image.npy").stat().st_size - 1)


def longer(folder: Path) -> None:
    os.truncate(folder / "labels.npy", (folder / "labels.npy").stat().st_size + 1)


def of_another_type(folder: Path) -> None:
    content = (folder / "image.npy").read_bytes()
    (folder / "image.npy").write_bytes(content.replace(b"|u1", b"|i1"))


def of_another_shape(folder: Path) -> None:
    content = (folder / "labels.npy").read_bytes()
    (folder / "labels.npy").write_bytes(content.replace(b"(6, 8)", b"(8, 6)"))


def without_image(folder: Path) -> None:
    (folder / "image.npy").unlink()


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    "damage",
    [truncated, longer, of_another_type, of_another_shape, without_image, empty]
    + [None, b"", b"{}", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"digest": 1, "remarks": [1]}']
    + [b'{"digest": "", "remarks": [], "rounded": [0, 0], "areas": [[1, 2], [3]]}'],
)
def test_a_damaged_scene_is_made_anew_and_told(tmp_path, capsys, damage):
    image = np.arange(48, dtype=np.uint8).reshape(1, 6, 8)
    paths = image_and_mask(tmp_path, image, np.ones((6, 8), np.uint8))
    first = prepare(paths, tmp_path)
    folder = Path(first.labels.path).parent
    if callable(damage):
        damage(folder)
    else:
        (folder / "scene.json").unlink()
        if damage is not None:
            (folder / "scene.json").write_bytes(damage)
    again = prepare(paths, tmp_path)
    assert capsys.readouterr().err == f"note: {folder}: is damaged; it is made anew\n"
    assert again == first and (again.image[:] == image).all() and (again.labels[:] == 0).all()
    assert prepare(paths, tmp_path) == first and capsys.readouterr().err == ""


def test_a_damaged_scene_that_cannot_be_removed_is_an_error(tmp_path, monkeypatch):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    truncated(Path(prepare(paths, tmp_path).labels.path).parent)
    monkeypatch.setattr(scenes.shutil, "rmtree", lambda *arguments, **options: None)
    with pytest.raises(InputError, match="is damaged and cannot be replaced; remove it"):
        prepare(paths, tmp_path)


def test_a_scene_that_another_process_completes_meanwhile_is_not_taken_for_damaged(
    tmp_path, monkeypatch, capsys
):
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    about, late = scene_files.about, []

    def completed_after_the_look(folder, raster):
        if late:
            return about(folder, raster)
        late.append(folder)
        scene_files.make(folder, raster, paths[1], ESM, "nearest")
        (folder / "of the other process").touch()
        return None

    monkeypatch.setattr(scene_files, "about", completed_after_the_look)
    assert (prepare(paths, tmp_path).image[:] == 1).all()
    assert (late[0] / "of the other process").exists() and capsys.readouterr().err == ""


def test_the_size_of_a_cache_is_that_of_all_its_scenes(tmp_path):
    cache = tmp_path / "cache"
    assert scene_files.cache_size(cache) == "0.0 MB"
    for name, size in (("a", 1_200_000), ("b", 300_000)):
        (cache / name).mkdir(parents=True)
        (cache / name / "image.npy").write_bytes(bytes(size))
    assert scene_files.cache_size(cache) == "1.5 MB"
    os.truncate(cache / "a/image.npy", 2_300_000_000)  # without blocks on the disk
    assert scene_files.cache_size(cache) == "2.3 GB"


def test_the_size_of_a_cache_is_known_while_another_run_removes_a_scene(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.npy").write_bytes(bytes(1_500_000))
    get_size, left = os.path.getsize, ["a", "b", "c"]

    def removes_another(path):
        for name in left[:]:
            if name != Path(path).parent.name and len(left) > 1:
                left.remove(name)
                shutil.rmtree(tmp_path / name)
        return get_size(path)

    monkeypatch.setattr(scene_files.os.path, "getsize", removes_another)
    assert scene_files.cache_size(tmp_path) == "1.5 MB"


@pytest.mark.parametrize("name", ["image.tif.aux.xml", "image.tif.msk", "image.tfw", "mask.tfw"])
def test_a_file_beside_image_or_mask_makes_the_scene_again(tmp_path, name):
    """It may hold the mask, the no-data value, scales or the georeference."""
    ones = np.ones((1, 6, 8), np.uint8)
    paths = image_and_mask(tmp_path, ones, ones[0])
    before = scenes._key(paths[:1], paths[1], ESM)
    (tmp_path / name).write_bytes(b"")
    assert scenes._key(paths[:1], paths[1], ESM) != before
