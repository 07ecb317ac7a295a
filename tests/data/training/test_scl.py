"""The scene classification of Sentinel-2: which band it is, and what its numbers are."""

from pathlib import Path

import numpy as np
import pytest
import small
from products import write

from data.files import IGNORE, InputError
from data.grid import Window
from data.raster import cog
from data.raster.safe import Safe
from data.training import channels, scenes, scl
from data.training.scenes import prepare

TABLE = small.ClassTable.from_records(
    "t", [{"code": str(code), "name": name, "color": "#000000"} for code, name in enumerate("ab")]
)


def test_the_band_is_known_by_name_also_of_later_dates():
    assert scl.positions(["Red", "scl", "NIR", "Red@2", "SCL@2", "NIR@2"], None, 2) == (1, 4)
    assert scl.positions(["Red", None, "SCLERA"], None, 1) == ()
    assert scl.positions(["SCL"], None, 1) == ()  # an image of this band alone is left as it is


def test_names_by_hand_count_if_they_name_all_bands():
    assert scl.positions([None, None], ["Red", "SCL"], 1) == (1,)
    assert scl.positions([None] * 4, ["Red", "SCL"], 2) == (1, 3)
    assert scl.positions(["Red", "SCL"], ["Red", "Height"], 1) == ()
    assert scl.positions(["Red", "SCL"], ["Red"], 1) == (1,)


def test_numbers_become_classes_and_no_data_becomes_0():
    stored = np.array([[[3.0, 11, np.nan, -9999]]], np.float32)
    assert scl.classes(stored, -9999, Path("a.tif")).tolist() == [[[3, 11, 0, 0]]]
    for strange in (0.0004, 12, -1):
        with pytest.raises(InputError, match=rf"a\.tif: the band SCL holds {strange}, expected"):
            scl.classes(np.array([[[4, strange]]]), None, Path("a.tif"))


def product(folder: Path, numbers, day=30, **bands) -> Path:
    """A product of 4 x 4 pixels of 10 m, whose SCL has 2 x 2 pixels of 20 m."""
    bands = {("B04", 10): np.full((4, 4), 3000)} | bands
    return write(folder, bands | {("SCL", 20): np.array(numbers)}, day=day)


def test_a_product_gives_its_classes_unscaled_on_the_grid_of_10_m_only_if_asked(tmp_path):
    bands = {("B04", 10): np.full((4, 4), 300), ("SCL", 20): np.array([[0, 3], [11, 4]])}
    path = write(tmp_path, bands, offset=-100, quantification=1000)
    with Safe(path) as plain, Safe(path, scl=True) as asked:
        assert plain.descriptions == ("Red",) and asked.descriptions == ("Red", "SCL")
        expected = np.kron([[0, 3], [11, 4]], np.ones((2, 2), int))
        assert (asked.read()[1] == expected).all() and (asked.read()[0] == 2000).all()


def test_a_product_of_60_m_gives_the_classes_of_60_m_though_there_are_finer_ones(tmp_path):
    bands = {("B04", 60): np.full((1, 2), 3000), ("SCL", 60): np.array([[8, 4]])}
    path = write(tmp_path, bands | {("SCL", 20): np.full((3, 6), 9)})
    with Safe(path, scl=True) as asked:
        assert asked.grid.resolution == (60, 60) and asked.read()[:, 0].tolist()[1] == [8, 4]


def prepared(images, folder: Path, **options) -> scenes.Scene:
    first = images[0] if isinstance(images, list) else images
    if not (folder / "m.tif").exists():
        with Safe(first) as opened:
            cog.write(folder / "m.tif", np.ones((4, 4), np.uint8), opened.grid)
    return prepare(images, folder / "m.tif", TABLE, folder / "cache", "nearest", **options)


def test_a_scene_shows_the_bands_without_the_classes_also_of_two_dates(tmp_path):
    one = product(tmp_path, [[4, 3], [11, 4]])
    two = product(tmp_path, [[9, 4], [4, 0]], day=29)
    for _ in range(2):  # made, then from the cache
        scene = prepared([one, two], tmp_path, with_scl=True)
        window = Window(0, 1, 4, 3)
        assert scene.descriptions == ("Red", "Red@2") and scene.read(window).shape == (2, 4, 3)
        assert (scene.read(window) == 2000).all()
        assert scene.read_scl(window)[:, ::2, ::2].tolist() == [[[4, 3], [11, 4]], [[9, 4], [4, 0]]]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert scene.in_unit(-1000, [1, 1]).read_scl(window)[0, 0].tolist() == [4, 3, 3]


def test_a_scene_prepared_without_classes_is_not_taken_for_one_with_them(tmp_path):
    path = product(tmp_path, [[4, 3], [11, 4]])
    assert prepared(path, tmp_path).scl == ()
    asked = prepared(path, tmp_path, with_scl=True)
    assert asked.scl == (1,) and asked.digest != prepared(path, tmp_path).digest
    file = next(path.rglob("*_SCL_20m.jp2"))
    product(tmp_path / "other", [[8, 8], [8, 8]])
    file.write_bytes(next((tmp_path / "other").rglob("*_SCL_20m.jp2")).read_bytes())
    again = prepared(path, tmp_path, with_scl=True)
    assert (again.read_scl(Window(0, 0, 4, 4)) == 8).all() and again.digest != asked.digest


def test_a_band_of_classes_is_no_input_and_says_nothing_of_no_data(tmp_path):
    bands = np.full((3, 4, 4), 7, np.uint16)
    bands[:2, 0] = 0  # no data, though its class is 7
    path = tmp_path / "image.tif"
    cog.write(path, bands, small.scene(4, 4).grid, nodata=0, descriptions=["Red", "NIR", "SCL"])
    cog.write(tmp_path / "m.tif", np.ones((4, 4), np.uint8), small.scene(4, 4).grid)
    scene = prepare(path, tmp_path / "m.tif", TABLE, tmp_path / "cache", "nearest")
    assert scene.labels[:].tolist() == [[IGNORE] * 4] + [[1] * 4] * 3
    assert (path, scl.REMARK) in scene.remarks
    said: list[str] = []
    assert channels.common_bands(None, [scene], said.append) == ["Red", "NIR"]
    assert channels.common_bands(["NIR", "Red", "SCL"], [scene], said.append) == ["NIR", "Red"]
