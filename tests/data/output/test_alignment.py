"""Shares before and after alignment: which images come first, what is written, what is drawn."""

import csv
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from landcover import NO, grid, patches

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Window
from data.output import aligned_pictures, alignment
from data.raster import cog
from data.training.dataset import Windows
from data.training.scenes import Scene, prepare
from data.training.windows import all_windows
from reproject import reproject_file

ESM = ClassTable.load("esm")
IMAGE = grid("EPSG:3857", 1_113_300, 6_799_900, 10, 25, 20)
MASK = grid("EPSG:3035", 4_321_000, 3_210_000, 10, 40, 40)


def scene(name: str, before, after) -> Scene:
    areas = None if before is None else (tuple(before), tuple(after))
    image, labels = np.ones((1, 25, 20), np.uint8), np.zeros((25, 20), np.uint8)
    files = Path(f"in/{name}.tif"), Path("gone.tif")
    return Scene(name, *files, IMAGE, image, labels, ("Red",), None, areas=areas)


def windows(*scenes: Scene) -> Windows:
    return Windows(list(scenes), all_windows(scenes, 25), ["Red"], [], [], 25)


SCENES = [
    scene("same", None, None),
    scene("little", (60, 20, 20), (61, 20, 19)),
    scene("much", (5, 1, 4), (8, 3, 9)),
    scene("nothing", (0, 0, 0), (0, 0, 0)),
]
LINE = (
    "3 masks aligned by mode: largest change of a share 10.00 percentage points, other in much.tif "
    "(50.00 % before, 40.00 % after)"
)


def test_the_line_names_the_largest_change_and_there_is_none_without_alignment():
    assert alignment.lines(SCENES, ESM, "mode") == [LINE]
    assert alignment.lines(SCENES[:1], ESM, "mode") == []
    assert alignment.lines(SCENES[3:], ESM, "mode") == [
        "1 mask aligned by mode: the shares of the classes are the same as before"
    ]


def test_a_report_lists_images_by_change_and_tells_once_that_masks_are_gone(tmp_path, capsys):
    path = tmp_path / "alignment.csv"
    found = alignment.report(windows(*SCENES), ESM, "mode", path)["alignment"]
    assert [one["image"] for one in found["images"]] == ["much.tif", "little.tif", "nothing.tif"]
    assert found["text"] == LINE and found["classes"] == list(zip(ESM.names, ESM.colors))
    assert found["samples"] == []
    said = capsys.readouterr().err
    assert said.startswith("note: no picture of 3 of 3 masks: gone.tif: no such file")
    assert said.count("\n") == 1
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "class", "share before", "share after"] and len(rows) == 10
    assert rows[1:3] == [
        ["much.tif", "other", "0.5", "0.4"],
        ["much.tif", "non-residential", "0.1", "0.15"],
    ]
    assert rows[-1] == ["nothing.tif", "residential", "nan", "nan"]


def test_without_alignment_there_is_neither_section_nor_file(tmp_path):
    assert alignment.report(windows(SCENES[0]), ESM, "mode", tmp_path / "alignment.csv") == {}
    assert not (tmp_path / "alignment.csv").exists()


def test_images_of_one_name_are_told_apart_by_their_folders():
    twice = [scene("a", (1, 0, 0), (1, 0, 0)), scene("a", (1, 0, 0), (1, 0, 0))]
    assert [one.image for _, one in alignment.of_scenes(twice)] == ["in/a.tif", "in/a.tif"]


def test_a_training_shows_image_and_both_masks(tmp_path):
    codes = np.array([1, 250, 255], np.uint8)[patches(40, 40, classes=3)]
    cog.write(tmp_path / "image.tif", np.full((1, 25, 20), 9, np.uint8), IMAGE)
    cog.write(tmp_path / "mask.tif", codes, MASK)
    paths = tmp_path / "image.tif", tmp_path / "mask.tif"
    made = prepare(*paths, ESM, tmp_path / "cache", "nearest")
    found = alignment.report(windows(made), ESM, "nearest", tmp_path / "a.csv")["alignment"]
    (sample,) = found["samples"]
    assert sample["title"].startswith("mask.tif: largest change of a share ")
    image, before, after = map(imagecodecs.png_decode, sample["pictures"].values())
    assert (image == 9).all() and image.shape == after.shape == (250, 200, 3)
    assert np.array_equal(after[::10, ::10], np.array(ESM.colors)[made.labels[:]])
    cog.write(tmp_path / "mask.tif", codes, grid(None, 0, 0, 1, 40, 40))  # changed meanwhile
    assert alignment.report(windows(made), ESM, "nearest", tmp_path / "a.csv")["alignment"]
    pale = (before.min(2) >= 180) & (before != ESM.colors[0]).any(2)
    assert 0.2 < pale.mean() < 0.6


# Pictures.


def reader(array):
    return lambda w: array[w.row : w.row + w.height, w.col : w.col + w.width]


def test_the_mask_is_drawn_on_its_own_grid_and_pale_outside_the_image():
    """An image of 2 x 2 pixels in the middle of a mask of 6 x 6; two pixels are kept around it."""
    source = grid("EPSG:3857", 0, 0, 10, 6, 6)
    target = grid("EPSG:3857", 20, -20, 10, 2, 2)
    labels = np.full((6, 6), 2, np.uint8)
    labels[2, 2] = IGNORE
    masks = (reader(labels), source), (reader(labels[2:4, 2:4]), target)
    window, pictures = aligned_pictures.draw(*masks, ESM)
    assert window == (0, 0, 2, 2) and list(pictures) == [
        "mask before, pale outside the image",
        "mask after",
    ]
    before, after = map(imagecodecs.png_decode, pictures.values())
    red, pale = ESM.colors[2], tuple(int(0.25 * part + 0.75 * 255) for part in ESM.colors[2])
    assert before.shape == (252, 252, 3) and after.shape == (256, 256, 3)
    assert before[::42, ::42][2:4, 2:4].tolist() == [[[0, 0, 0], list(red)], [list(red)] * 2]
    outside = np.ones((6, 6), bool)
    outside[2:4, 2:4] = False
    assert (before[::42, ::42][outside] == pale).all()
    assert (after[:128, :128] == 0).all() and (after[200, 200] == red).all()


def test_of_a_large_image_the_part_with_the_most_borders_is_drawn(monkeypatch):
    monkeypatch.setattr(aligned_pictures, "SIDE", 8)
    where, labels = grid("EPSG:3857", 0, 0, 10, 40, 8), np.zeros((40, 8), np.uint8)
    labels[20:30] = patches(10, 8, classes=3)
    labels[::2, :4][:5] = IGNORE  # no borders between classes
    masks = (reader(labels), where), (reader(labels), where)
    window, pictures = aligned_pictures.draw(*masks, ESM, lambda w: np.zeros((8, 8, 3), np.uint8))
    assert window == Window(21, 0, 8, 8) and len(pictures) == 3


def test_few_pixels_of_a_large_mask_are_read_for_a_picture(monkeypatch):
    monkeypatch.setattr(aligned_pictures, "MOST_PIXELS", 10_000)
    monkeypatch.setattr(aligned_pictures, "SHOWN", 30)
    source, target = grid("EPSG:3857", 0, 0, 1, 10**6, 10**6), grid("EPSG:3857", 0, 0, 20, 300, 300)
    read = []

    def large(window):
        read.append(window.height * window.width)
        return np.zeros((window.height, window.width), np.uint8)

    masks = (large, source), (reader(np.zeros((300, 300), np.uint8)), target)
    window, pictures = aligned_pictures.draw(*masks, ESM)
    assert window[2:] == (2, 2) and sum(read) <= 10_000  # and not the 124 x 124 around 4 x 4
    before = imagecodecs.png_decode(pictures["mask before, pale outside the image"])
    assert max(before.shape) <= 30 * 9


# Files of reproject.py.


def test_files_of_any_codes_are_compared(tmp_path):
    codes = np.array([-3, 70_000, 2, NO], np.int32)[patches(40, 40, classes=4)]
    cog.write(tmp_path / "mask.tif", codes, MASK, nodata=NO)
    reproject_file(tmp_path / "mask.tif", tmp_path / "out.tif", IMAGE, "mode")
    files = tmp_path / "mask.tif", tmp_path / "out.tif"
    found = alignment.of_files(*files, None, "mode", None)
    assert [name for name, _ in found["classes"]] == ["code -3", "code 2", "code 70000"]
    assert len({color for _, color in found["classes"]}) == 3
    (one,) = found["images"]
    assert sum(one["before"]) == pytest.approx(1) and sum(one["after"]) == pytest.approx(1)
    assert one["before"] == pytest.approx(one["after"], abs=0.05)
    assert not np.array_equal(one["before"], one["after"])
    assert list(found["samples"][0]["pictures"]) == [
        "mask before, pale outside the image",
        "mask after",
    ]


def test_codes_beyond_the_commonest_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(alignment, "MOST_CODES", 2)
    codes = np.array([[5, 5, 5, 6], [7, 7, 5, 5]], np.uint8)
    where = grid("EPSG:3857", 0, 0, 10, 2, 4)
    cog.write(tmp_path / "mask.tif", codes, where, colormap={5: (1, 2, 3), 7: (4, 5, 6)})
    found = alignment.of_files(tmp_path / "mask.tif", tmp_path / "mask.tif", None, "mode", None)
    assert found["classes"] == [("code 5", (1, 2, 3)), ("code 7", (4, 5, 6))]
    assert found["images"][0]["before"] == pytest.approx([5 / 8, 2 / 8], abs=1e-6)
    assert found["text"].endswith("; the 2 commonest of 3 codes are listed")
