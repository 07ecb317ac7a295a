"""No input is ever overwritten, by any of the scripts: data.files.refuse_input."""

import os
import shutil
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import small

import predict
import reproject
import train
from data.classes import table_file
from data.files import InputError
from data.output import change
from data.raster import Raster, cog
from unet import export


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A network that was not trained, two images, and a mask."""
    folder = tmp_path_factory.mktemp("material")
    small.write(folder / "in", count=2, size=32)
    small.untrained(folder / "net.pt", size=32)
    return folder


@pytest.fixture
def here(material, tmp_path, monkeypatch) -> Path:
    """An empty folder with a.tif, b.tif, net.pt and the class table table.csv."""
    monkeypatch.chdir(tmp_path)
    for source, name in (
        ("in/images/s_0.tif", "a.tif"),
        ("in/images/s_1.tif", "b.tif"),
        ("in/masks/m_0.tif", "mask"),
        ("in/table.csv", "table.csv"),
        ("net.pt", "net.pt"),
    ):
        shutil.copy(material / source, name)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(command, arguments: str, name: str) -> None:
    """Check that a command ends with one line about a file, and leaves every file as it is."""
    before = contents(Path("."))
    with pytest.raises(InputError, match="is an input; give the output another name") as error:
        command(arguments.split())
    assert Path(str(error.value).split(": ")[0]).name == name
    assert contents(Path(".")) == before


def png_of_mask(path: str) -> None:
    with Raster("mask") as raster:
        pixels = raster.read()[0]
    Path(path).write_bytes(bytes(imagecodecs.png_encode(pixels)))


PREDICT = {
    "the truth has the name of the map": ("mask a_landcover.tif", "--truth a_landcover.tif"),
    "a second image has it": ("b.tif a_landcover.tif", "a_landcover.tif"),
    "the truth is in the folder of maps": (
        "mask masks/a_landcover.tif",
        "--truth masks --output masks",
    ),
    "by a link": ("mask real.tif link real.tif a_landcover.tif", "--truth real.tif"),
    "by a link to the input": (
        "mask a_landcover.tif link a_landcover.tif truth.tif",
        "--truth truth.tif",
    ),
    "the network is the table": (
        "net.pt a_landcover_areas.csv",
        "--checkpoint a_landcover_areas.csv",
    ),
    "the network is the table of two": ("net.pt areas.csv", "b.tif --checkpoint areas.csv"),
    "the network is the table of scores": (
        "net.pt a_landcover_scores.csv mask a_truth.tif",
        "--truth a_truth.tif --checkpoint a_landcover_scores.csv",
    ),
    "the network is the table of scores of two": (
        "net.pt scores.csv",
        "b.tif --checkpoint scores.csv",
    ),
    "the network is the report": (
        "net.pt report.html mask a_truth.tif mask b_truth.tif",
        "b.tif --truth a_truth.tif --truth b_truth.tif --checkpoint report.html",
    ),
    "the network is the file of class names": (
        "net.pt a_landcover.tif.aux.xml",
        "--checkpoint a_landcover.tif.aux.xml",
    ),
    "the network is the style": ("net.pt a_landcover.qml", "--checkpoint a_landcover.qml"),
    "the network is the style of the probabilities": (
        "net.pt a_landcover_probabilities.qml",
        "--checkpoint a_landcover_probabilities.qml",
    ),
    "the class names would belong to the truth": (
        "mask A_LANDCOVER.tif net.pt a_landcover.tif.aux.xml",
        "--truth A_LANDCOVER.tif",
    ),
    "a picture that is left out": (
        "mask m/a_landcover.tiff png m/a_landcover.png",
        "--truth m --output m",
    ),
}


@pytest.mark.parametrize("case", PREDICT)
def test_predict_refuses(here, case):
    files, options = PREDICT[case]
    words = files.split()
    while words:
        kind, name, *words = words
        Path(name).parent.mkdir(exist_ok=True)
        if kind == "png":
            png_of_mask(name)
        elif kind == "link":
            Path(words.pop(0)).symlink_to(name)
        else:
            shutil.copy(kind, name)
    network = "" if "--checkpoint" in options else " --checkpoint net.pt"
    before = contents(Path("."))
    with pytest.raises(InputError, match="is an input; give the output another name or folder"):
        predict.main(f"a.tif {options}{network}".split())
    assert contents(Path(".")) == before


def test_a_png_of_the_preview_s_name_as_truth_is_refused(here):
    png_of_mask("a_landcover.png")
    with Raster("mask") as raster:
        a, b, c, d, e, f = raster.grid.transform
    Path("a_landcover.pgw").write_text("\n".join(map(str, (a, d, b, e, c + a / 2, f + e / 2))))
    arguments = "a.tif --truth a_landcover.png --checkpoint net.pt"
    refused(predict.main, arguments, "a_landcover.png")


def test_what_predict_made_is_replaced_by_the_next_run(here):
    """Maps in a folder of images are no inputs, whatever lies beside them."""
    Path("in").mkdir()
    shutil.copy("a.tif", "in/a.tif")
    shutil.copy("mask", "truth.tif")
    for arguments in ("in", "in", "in/a.tif --truth truth.tif", "in/a.tif in/a_landcover.tif"):
        predict.main([*arguments.split(), "--checkpoint", "net.pt"])
    shutil.copy("mask", "in/a_landcover.tiff")
    predict.main("in/a.tif --truth in/a_landcover.tiff --checkpoint net.pt".split())
    assert Path("in/a_landcover.tif").exists() and Path("in/a_landcover_report.html").exists()


REPROJECT = {
    "a.tif": "a.tif",
    "m.tif": "m.tif",
    "./x/../a.tif": "a.tif",
    "link.tif": "link.tif",
    "hard.tif": "hard.tif",
    "a.tif.aux.xml": "a.tif.aux.xml",
    "a.tfw": "a.tfw",
    "m.tif.msk": "m.tif.msk",  # is not there yet, and would be the mask of m.tif
    "M.TIF.OVR": "M.TIF.OVR",
    "a.tif.msk": "a.tif.msk",
}


@pytest.mark.parametrize("output", REPROJECT)
def test_reproject_refuses(here, output, monkeypatch, capsys):
    Path("mask").rename("m.tif")
    Path("x").mkdir()
    Path("a.tif.aux.xml").write_text("<PAMDataset/>")
    Path("a.tfw").write_text("10\n0\n0\n-10\n400005\n4999995\n")
    Path("link.tif").symlink_to("a.tif")
    os.link("m.tif", "hard.tif")
    before = contents(Path("."))
    monkeypatch.setattr(sys, "argv", f"reproject.py m.tif --like a.tif -o {output}".split())
    with pytest.raises(SystemExit) as left:
        reproject.main()
    printed = capsys.readouterr().err.splitlines()
    assert left.value.code == 2 and contents(Path(".")) == before
    assert printed[-1].endswith("is an input; give the output another name or folder")
    assert REPROJECT[output] in printed[-1]


def test_an_input_does_not_become_the_mask_of_the_output(here, monkeypatch, capsys):
    Path("mask").rename("y.tif.msk")
    monkeypatch.setattr(sys, "argv", "reproject.py y.tif.msk --like a.tif -o y.tif".split())
    with pytest.raises(SystemExit):
        reproject.main()
    assert "y.tif.msk: is an input" in capsys.readouterr().err and not Path("y.tif").exists()


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("m.tif", "m.tif"),
        ("n.tif", "n.tif"),
        ("table.tif", "table.csv"),
        ("m.tiff", "m.qml"),
        ("n.tif.aux.xml", "n.tif.aux.xml"),
        ("m.tif.msk", "m.tif.msk"),
    ],
)
def test_change_refuses(here, output, name):
    Path("mask").rename("m.tif")
    shutil.copy("m.tif", "n.tif")
    Path("n.tif.aux.xml").write_text("<PAMDataset/>")
    refused(change.main, f"m.tif n.tif --classes table.csv -o {output}", name)


def test_styles_of_people_survive_reproject_and_change(here, monkeypatch, capsys):
    Path("mask").rename("m.tif")
    Path("n.qml").write_text("<qgis/>")
    predict.main("a.tif --checkpoint net.pt".split())
    monkeypatch.setattr(sys, "argv", "reproject.py a_landcover.tif --like a.tif -o n.tif".split())
    reproject.main()
    change.main("a_landcover.tif a_landcover.tif -o n.tif".split())
    assert Path("n.qml").read_text() == "<qgis/>"
    assert capsys.readouterr().err.count("note: n.qml: is kept") == 2


def test_a_class_table_of_this_package_is_a_file_like_others():
    assert table_file("esm").is_file() and table_file("esm.csv") == Path("esm.csv")


def test_export_refuses_its_checkpoint(here):
    os.link("net.pt", "net.pt2")
    refused(export.main, "net.pt -o net.pt2", "net.pt2")


def test_train_refuses_a_folder_with_a_network_and_files_that_are_its_inputs(here):
    for folder in "images", "masks", "r":
        Path(folder).mkdir()
    shutil.copy("a.tif", "images/a.tif")
    shutil.copy("mask", "masks/a.tif")
    shutil.copy("net.pt", "r/best.pt")
    options = "--images images --masks masks --classes table.csv --base 2 --epochs 1 --overfit 1"
    before = contents(Path("."))
    with pytest.raises(InputError, match=r"^r: holds a run already \(best.pt\); name another"):
        train.main([*options.split(), "--output", "r"])
    assert contents(Path(".")) == before
    train.main([*options.split(), "--output", "masks"])
    assert {k: v for k, v in contents(Path(".")).items() if k in before} == before
    Path("masks/log.csv").unlink()
    os.link("table.csv", "masks/log.csv")
    refused(train.main, "--resume masks --epochs 2", "log.csv")


def test_outputs_of_two_jobs_are_not_one_file_by_another_name(here):
    Path("link").symlink_to(".", target_is_directory=True)
    with pytest.raises(InputError, match="would be the map of several images"):
        predict.main("a.tif link/a.tif --checkpoint net.pt".split())


def test_names_beside_an_input_that_do_not_belong_to_it_are_free(here, monkeypatch):
    """m.wld is the world file of m.png and, by its name, of m.tif too."""
    with Raster("mask") as raster:
        cog.write("old.tif", np.array(raster.read()[0]), raster.grid)
        a, b, c, d, e, f = raster.grid.transform
    png_of_mask("m.png")
    Path("m.wld").write_text("\n".join(map(str, (a, d, b, e, c + a / 2, f + e / 2))))
    Path("m.png.aux.xml").write_text("<PAMDataset><SRS>EPSG:32631</SRS></PAMDataset>")
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", "reproject.py m.png --like a.tif -o m.tif".split())
        reproject.main()
    assert Path("m.tif").exists()
