"""Names of files, classes and bands that hold commands of a terminal, XML, HTML or formulas."""

import csv
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import small
import tifffile
import torch

import predict
import reproject
import train
from data import terminal
from data.classes import ClassTable
from data.files import InputError
from data.output import maps
from data.raster import Raster, cog, gdaltags
from data.raster.auxxml import read as read_aux
from unet import checkpoint
from unet.evaluation import report

ODD = "a\x1b]0;pwned\x07\n\x9b2J<b>&\u202e_7.tif"  # sets the title of the window, clears it
SHOWN = r"a\x1b]0;pwned\x07\n\x9b2J<b>&\u202e_7.tif"
TABLE = 'code,name,color\n10,=1+1,#C8B478\n20,"<i>&""@"",",#0064C8\n'
CLASSES = ["=1+1", '<i>&"@",']
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run on one image, whose file, bands and classes have odd names: r, images, masks."""
    folder = tmp_path_factory.mktemp("names")
    small.write(folder / "in", count=1, size=32)
    for part in "images", "masks":
        (folder / part).mkdir()
    with Raster(folder / "in/images/s_0.tif") as raster:
        pixels, grid = raster.read(), raster.grid
    cog.write(folder / "images" / ODD, pixels, grid, nodata=0)
    # The file .aux.xml of a stranger: XML can hold the character CSI, \x9b.
    bands = "".join(
        f'<PAMRasterBand band="{n}"><Description>=b{n}&#x9b;2J&#10;</Description></PAMRasterBand>'
        for n in (1, 2, 3, 4)
    )
    Path(folder / "images" / f"{ODD}.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    shutil.copy(folder / "in/masks/m_0.tif", folder / "masks/m_7.tif")
    (folder / "t.csv").write_text(TABLE)
    return folder


def test_nothing_that_a_name_holds_reaches_the_terminal_or_breaks_an_output(
    trained, monkeypatch, capsys
):
    monkeypatch.chdir(trained)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    options = "--images images --masks masks --classes t.csv --base 2 --epochs 1 --overfit 1"
    train.main([*options.split(), "--output", "r"])
    given = [f"images/{ODD}", "--truth", "masks/m_7.tif", "--checkpoint", "r/best.pt"]
    predict.main([*given, "--output", "maps"])
    predict.main(["images", "--truth", "masks", "--checkpoint", "r/best.pt", "--output", "maps"])
    printed = capsys.readouterr()
    shown = printed.out + printed.err.replace("\r\033[K", "")  # which shows the progress
    assert not CONTROL.search(shown) and SHOWN in printed.err
    assert SHOWN.replace(".tif", "_landcover.tif") in printed.out
    log = Path("r/train.log").read_text()
    assert not CONTROL.search(log) and r"=b1\x9b2J" in log

    stem = ODD.removesuffix(".tif")
    root = ElementTree.parse(f"maps/{stem}_landcover.tif.aux.xml").getroot()
    assert [each.text for each in root.iter("Category") if each.text][:2] == ["no data", CLASSES[0]]
    root = ElementTree.parse(f"maps/{stem}_landcover.qml").getroot()
    assert [each.get("label") for each in root.iter("paletteEntry")] == CLASSES
    with tifffile.TiffFile(f"maps/{stem}_landcover.tif") as tif:
        items = ElementTree.fromstring(tif.pages.first.tags[gdaltags.METADATA].value)
    assert items is not None
    assert maps.class_table(f"maps/{stem}_landcover.tif").names == CLASSES

    with open(f"maps/{stem}_landcover_areas.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["'=1+1", CLASSES[1]]
    assert rows[0]["image"] == f"images/{ODD}"  # by which a program finds the file
    for page in ("r/report.html", f"maps/{stem}_landcover_report.html"):
        check_page(Path(page).read_text(encoding="utf-8"))


def check_page(page: str) -> None:
    """Check that a report has no control characters, and no elements of the names."""
    found: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append(tag)

    Tags().feed(page)
    assert not CONTROL.search(page) and not {"b"} & {*found}
    assert SHOWN.replace("<b>&", "&lt;b&gt;&amp;") in page and "&lt;i&gt;&amp;" in page


def test_band_names_with_control_characters_give_xml_that_is_read_back(tmp_path):
    names = ["a\x1bb", "\ud800", "\x00\uffff", "<&\"'>\nb\t", "&#27;", None]
    pixels = np.zeros((6, 4, 4), np.uint8)
    grid = small.Grid(None, (1, 0, 0, 0, -1, 0), 4, 4)
    cog.write(tmp_path / "a.tif", pixels, grid, descriptions=names)
    shown = (r"a\x1bb", r"\ud800", r"\x00\uffff", "<&\"'>\nb\t", "&#27;", None)
    with Raster(tmp_path / "a.tif") as raster:
        assert raster.descriptions == shown
    xml = maps.category_names({0: "a\x1bb\ud800", 2: "<&>"})
    assert [each.text for each in ElementTree.fromstring(xml).iter("Category")] == [
        r"a\x1bb\ud800",
        None,
        "<&>",
    ]


def test_reproject_hands_a_band_name_on_without_its_commands(tmp_path, monkeypatch):
    with tifffile.TiffWriter(tmp_path / "m.tif") as tif:
        xml = '<GDALMetadata><Item name="D" sample="0" role="description">a\x9bb</Item>'
        tif.write(
            np.ones((4, 4), np.uint8),
            extratags=[
                (33550, "d", 3, (1.0, 1.0, 0.0)),
                (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 4e6, 0.0)),
                (34735, "H", 12, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32631)),
                (42112, "s", 0, (xml + "</GDALMetadata>").encode()),
            ],
        )
    options = ["--crs", "EPSG:32631", "-o", str(tmp_path / "o.tif")]
    monkeypatch.setattr(sys, "argv", ["reproject.py", str(tmp_path / "m.tif"), *options])
    reproject.main()
    with Raster(tmp_path / "o.tif") as raster:
        assert raster.descriptions == (r"a\x9bb",)
    assert not read_aux(tmp_path / "o.tif.aux.xml").items


@pytest.mark.parametrize("name", ["a\x1bb", "two\nlines", "a\x9bb", "a\u2028b", "tab\there"])
def test_a_class_table_with_control_characters_is_refused_with_its_row(tmp_path, name):
    path = tmp_path / "t.csv"
    path.write_text(f'code,name,color\n1,fine,#000000\n2,"{name}",#FFFFFF\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"t.csv, line 3: the name .* has control characters"):
        ClassTable.load(path)


@pytest.mark.parametrize("name", ["a\x1bb", "\ud800", "a\nb"])
def test_a_checkpoint_with_such_a_class_is_refused(tmp_path, name):
    small.untrained(tmp_path / "net.pt", size=32)
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    state["classes"][1]["name"] = name
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InputError, match="expected a text without control characters") as error:
        checkpoint.load(tmp_path / "net.pt")
    assert not CONTROL.search(str(error.value))


def test_a_report_has_no_control_characters_whatever_it_is_given():
    page = report.html(
        {
            "title": "\x1b[2J\ud800",
            "classes": [("a\x00b", (0, 0, 0)), ("c", (1, 1, 1))],
            "matrix": [[1, 0], [0, 1]],
            "settings": {"images": ["x\x07"], "\x1b": "\x9b"},
            "samples": [{"title": "\x1b", "pictures": {"a\x1b": b"png"}}],
        }
    )
    assert not CONTROL.search(page) and page.encode() and r"\x1b[2J\ud800" in page


@pytest.mark.parametrize("door", ["say", "note", "progress", "say_error"])
def test_each_door_to_the_terminal_escapes_names(door, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    error = OSError(2, "No such file", ODD)
    terminal.say_error("x.py", error) if door == "say_error" else getattr(terminal, door)(ODD)
    printed = capsys.readouterr()
    text = (printed.out + printed.err).replace("\r\033[K", "")
    assert SHOWN in text and not CONTROL.search(text) and text.count("\n") == (door != "progress")


def test_the_traceback_of_an_image_that_fails_is_escaped(capsys):
    terminal.say_error("x.py", ValueError("\x1b[2J"), Path(ODD))
    printed = capsys.readouterr().err
    assert printed.count("\n") > 1 and not CONTROL.search(printed)
