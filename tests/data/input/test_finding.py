"""Which files are images and masks: what folders hold, and what is left out with a note."""

import os
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from data.classes import ClassTable
from data.files import InputError
from data.grid import IDENTITY, Grid
from data.input import finding
from data.output import maps
from data.raster import cog

PLACE = Grid(CRS.from_epsg(32631), (10, 0, 4e5, 0, -10, 5e6), 2, 3)
NOWHERE = Grid(None, IDENTITY, 2, 3)


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(paths, what="images") -> list[str]:
    return [path.name for path in finding.find(paths, what)]


def raster(path: Path, grid: Grid = PLACE) -> Path:
    cog.write(path, np.zeros((1, 2, 3), np.uint8), grid)
    return path


def test_folders_give_their_rasters_sorted_and_nothing_hidden(tmp_path):
    files(tmp_path, "b.TIF", "a.PNG", ".hidden.tif", "notes.txt", "folder.tif/x.png")
    assert found([tmp_path]) == ["a.PNG", "b.TIF"]
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder; give masks as"):
        finding.find([tmp_path / "nowhere"], "masks")


def test_each_path_counts_once_however_it_is_written(tmp_path, monkeypatch):
    files(tmp_path, "d/a.png", "d/b.png")
    monkeypatch.chdir(tmp_path)
    paths = ["d", "d/b.png", "./d/a.png", tmp_path / "d", "d/../d/a.png"]
    assert found(paths) == ["a.png", "b.png"]


def test_links_to_one_file_are_two_files_and_broken_links_are_named(tmp_path):
    files(tmp_path, "store/m.png", "masks/c.png")
    for name in ("a.png", "b.png"):
        os.symlink("../store/m.png", tmp_path / "masks" / name)
    assert found([tmp_path / "masks"], "masks") == ["a.png", "b.png", "c.png"]
    (tmp_path / "store/m.png").unlink()
    with pytest.raises(FileNotFoundError, match="a.png: is a link to ../store/m.png, which does"):
        finding.find([tmp_path / "masks"], "masks")
    with pytest.raises(FileNotFoundError, match="b.png: is a link to ../store/m.png, which does"):
        finding.find([tmp_path / "masks/b.png"], "masks")


def test_pipes_and_devices_are_refused_also_through_a_link(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    os.symlink("/dev/null", tmp_path / "b.tif")
    for path in (tmp_path, tmp_path / "b.tif", Path("/dev/zero")):
        with pytest.raises(InputError, match="(a.tif|b.tif|zero): is a pipe or a device"):
            finding.find([path])


def test_a_folder_without_images_says_where_they_are(tmp_path, capsys):
    files(tmp_path, "top/a/1.png", "top/a/2.png", "top/b/images/3.tif", "gif/1.gif", "gif/2.GIF")
    files(tmp_path, "some/1.png", "some/2.gif", "some/1.pgw")
    (tmp_path / "none").mkdir()
    for name, said in (
        ("top", "has no images, but its subfolders a/, b/images/ have (3 files); name them"),
        ("gif", "has no images (it holds 2 .gif); give files that end in .tif, .tiff, .jp2, .png"),
        ("none", "has no images; give files that end in .tif"),
    ):
        with pytest.raises(InputError) as error:
            finding.find([tmp_path / name])
        assert f"{tmp_path / name}: {said}" in str(error.value)
    # Beside other folders it is a note.
    assert found([tmp_path / "some", tmp_path / "top"]) == ["1.png"]
    notes = capsys.readouterr().err
    assert "top: has no images, but its subfolders" in notes
    assert "some: 1 .gif cannot be read, and are not used as images" in notes


# Maps of predict.py.


def test_maps_are_left_out_beside_their_images_also_when_they_are_named(tmp_path, capsys):
    raster(tmp_path / "a.tif")
    with maps.classes(tmp_path / "a_landcover.tif", PLACE, ClassTable.load("esm")) as add:
        add(np.zeros((2, 3), np.uint8))
    endings = ("_overlay.png", "_probabilities.tif", "_uncertainty.tif", "_to_b.tif", ".png")
    files(tmp_path, *(f"a_landcover{ending}" for ending in endings))
    files(tmp_path, "b.jpg")
    raster(tmp_path / "b_landcover.tif")  # of somebody else
    assert found([tmp_path]) == ["a.tif", "b.jpg", "b_landcover.tif"]
    notes = capsys.readouterr().err
    assert "a_landcover.png and 5 more files: left out, because predict.py made it" in notes
    named = [path for path in sorted(tmp_path.iterdir()) if path.suffix in (".tif", ".png")]
    assert found(named) == ["a.tif", "b_landcover.tif"]
    assert found([tmp_path / "a_landcover.tif"]) == ["a_landcover.tif"]
    away = tmp_path / "elsewhere"
    away.mkdir()
    (tmp_path / "a_landcover.tif").rename(away / "a_landcover.tif")
    assert found([tmp_path / "a.tif", away / "a_landcover.tif"]) == ["a.tif"]
    # Alone, it is an image or a mask as any other.
    assert found([away / "a_landcover.tif"]) == ["a_landcover.tif"]
    assert found([away], "masks") == ["a_landcover.tif"]


# Masks beside images.


def test_masks_in_a_folder_of_images_are_left_out_with_a_note(tmp_path, capsys):
    files(tmp_path, "d/119_sat.jpg", "d/120_sat.jpg", "d/119_mask.png", "d/gt_120.png")
    files(tmp_path, "masks/1_mask.png", "masks/2_mask.png")
    assert found([tmp_path / "d"]) == ["119_sat.jpg", "120_sat.jpg"]
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1
    assert "119_mask.png and 1 more file: left out, because the name is that of a mask" in notes[0]
    # A folder of masks alone, a file that is named, and masks as masks are what was asked for.
    assert found([tmp_path / "masks"]) == ["1_mask.png", "2_mask.png"]
    assert found([tmp_path / "d/119_sat.jpg", tmp_path / "d/119_mask.png"]) == [
        "119_sat.jpg",
        "119_mask.png",
    ]
    assert len(found([tmp_path / "d", tmp_path / "d/gt_120.png", tmp_path / "masks"])) == 5
    capsys.readouterr()
    assert len(found([tmp_path / "d"], "masks")) == 4
    assert capsys.readouterr().err == ""


# Two files of one name.


def test_of_two_files_of_one_name_the_georeferenced_one_is_taken(tmp_path, capsys):
    raster(tmp_path / "s.tif")
    files(tmp_path, "s.png", "t.jpg")
    for what in ("images", "masks"):
        assert found([tmp_path], what) == ["s.tif", "t.jpg"]
        assert "s.png: left out, because s.tif beside it has the same" in capsys.readouterr().err
    assert found([tmp_path / "s.png", tmp_path / "s.tif"]) == ["s.tif"]
    # Of an image, the suffix decides next; of a mask it does not.
    raster(tmp_path / "s.tif", NOWHERE)
    assert found([tmp_path]) == ["s.tif", "t.jpg"]
    with pytest.raises(InputError, match="s.png: s.tif beside it has the same name"):
        finding.find([tmp_path], "masks")
    raster(tmp_path / "s.tiff", NOWHERE)
    with pytest.raises(InputError, match="s.tif: s.tiff beside it has the same name, and either"):
        finding.find([tmp_path])


def test_names_of_other_folders_are_other_names(tmp_path):
    files(tmp_path, "a/1.png", "b/1.jpg")
    assert found([tmp_path / "a", tmp_path / "b"]) == ["1.png", "1.jpg"]


def test_a_note_is_printed_by_the_first_of_several_processes(tmp_path, capsys, monkeypatch):
    files(tmp_path, "s.png", "s.jpg")
    monkeypatch.setenv("RANK", "1")
    assert found([tmp_path]) == ["s.png"] and not capsys.readouterr().err


# Images and masks in one folder.


def both(images, masks) -> tuple[list[str], list[str]]:
    some = finding.find_both(images, masks)
    return [path.name for path in some[0]], [path.name for path in some[1]]


@pytest.mark.parametrize("form", ["{}_mask.png", "label-{}.png", "{} GT.png"])
def test_one_folder_for_both_is_divided_by_the_names_of_masks(tmp_path, form):
    images, masks = [f"{n}_sat.jpg" for n in (1, 2)], [form.format(n) for n in (1, 2)]
    files(tmp_path, *images, *masks)
    assert both([tmp_path], [tmp_path]) == (images, masks)
    named = [tmp_path / name for name in images]
    assert both(named, [tmp_path]) == (images, masks)
    assert both([tmp_path], [tmp_path / name for name in masks]) == (images, masks)
    assert both(named, [tmp_path / name for name in masks]) == (images, masks)


def test_one_folder_whose_names_do_not_tell_is_refused(tmp_path):
    files(tmp_path, "1.jpg", "1.png", "2.jpg", "2.png")
    with pytest.raises(InputError, match="4 files are given both as images and as masks"):
        finding.find_both([tmp_path], [tmp_path])
    with pytest.raises(
        InputError, match=r"1 files are given both as images and as masks .such as 1.jpg"
    ):
        finding.find_both([tmp_path / "1.jpg", tmp_path / "2.jpg"], [tmp_path / "1.jpg"])
    pngs, jpgs = ([tmp_path / f"{n}.{suffix}" for n in (1, 2)] for suffix in ("png", "jpg"))
    assert both(jpgs, pngs) == (["1.jpg", "2.jpg"], ["1.png", "2.png"])
