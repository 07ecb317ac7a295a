"""From train.py to predict.py --truth: which ground was trained on, and the scores of the rest."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import small
import torch

import predict
import train
from data.files import InputError
from data.raster import cog, geotiff
from unet import checkpoint

TRAINED = "--base 2 --epochs 1 --batch 4 --size 24 --lr 0.01 --classes in/table.csv".split()
FILES = ["--images", "in/images", "--masks", "in/masks"]


@pytest.fixture(scope="module")
def lakes(tmp_path_factory) -> Path:
    """A folder with five scenes and r, a run on 75 % of s_0 and all of s_1 and s_2, held out s_3.

    s_4 shows nothing but the no-label of the mask, but for its left half.
    """
    folder = tmp_path_factory.mktemp("held-out")
    small.write(folder / "in")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with geotiff.Raster(Path("in/masks/m_0.tif")) as raster:
            codes, grid = raster.read()[0], raster.grid
        shutil.copy("in/masks/m_0.tif", "m_0.tif")  # the whole mask
        codes[24:, 24:] = 0
        cog.write("in/masks/m_0.tif", codes, grid)
        train.main([*TRAINED, *FILES, "--output", "r", "--validation", "in/images/s_3.tif"])
    return folder


@pytest.fixture
def here(lakes, tmp_path, monkeypatch) -> Path:
    shutil.copytree(lakes, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def mapped(*words: str) -> None:
    predict.main([*words, "--checkpoint", "r", "--output", "maps"])


def pixels(text: str) -> list[int]:
    return [int(line.split("pixels ")[1].replace(",", "")) for line in text.splitlines()
            if "  pixels " in line]  # fmt: skip


def test_split_csv_has_the_part_of_every_window(here):
    with open("r/split.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    windows = [tuple(row.values()) for row in rows]
    expected = [
        (
            f"in/images/s_{n}.tif",
            str(row),
            str(col),
            "24",
            "24",
            "validation" * (n == 3) or "training",
        )
        for n in range(4)
        for row in (0, 24)
        for col in (0, 24)
        if (n, row, col) != (0, 24, 24)  # has no label
    ]
    assert windows == expected


def test_an_image_of_both_has_two_tables_and_the_summary_has_them_too(here, capsys):
    shutil.copy("m_0.tif", "in/masks/m_0.tif")
    mapped("in/images", "--truth", "in/masks")
    said = capsys.readouterr().out
    parts = said.split("_landcover.tif\n")
    assert "75.0 % of s_0.tif was trained on; the rest, held-out ground, has a table" in parts[1]
    assert pixels(parts[1]) == [2304, 576]
    assert "all of s_1.tif was trained on: these scores do not hold" in parts[2]
    assert "none of s_3.tif was trained on" in parts[4]
    assert pixels(parts[2]) == pixels(parts[4].split("areas.csv")[0]) == [2304]
    summary = said.split("areas.csv")[1]
    assert "all 4 images\n68.8 % of all 4 images was trained on" in summary
    assert pixels(summary) == [4 * 2304, 2304 + 576]
    report = Path("maps/report.html").read_text()
    dice = summary.split("macro Dice ")[2].split()[0]
    assert f"<dt>macro Dice on held-out ground</dt><dd>{dice}</dd>" in report


def test_the_held_out_scores_are_those_of_the_other_pixels(here, capsys):
    """The image is another grid of the place: south-up, 30 rows of it from row 10 on."""
    with geotiff.Raster(Path("in/images/s_0.tif")) as raster:
        image, grid = raster.read()[:, 10:40], raster.grid
    with geotiff.Raster(Path("m_0.tif")) as raster:
        codes = raster.read()[0, 10:40]
    a, b, c, d, e, f = grid.transform
    other = type(grid)(grid.crs, (a, b, c, d, -e, f + 40 * e), 30, 48)
    cog.write("flipped.tif", image[:, ::-1], other, nodata=0, descriptions=small.BANDS)
    cog.write("truth.tif", codes[::-1], other)
    mapped("flipped.tif", "--truth", "truth.tif")
    said = capsys.readouterr().out
    with geotiff.Raster(Path("maps/flipped_landcover.tif")) as raster:
        made = raster.read()[0]
    rest = np.zeros((30, 48), bool)
    rest[:16, 24:] = True  # rows 24 to 39 of the image, from below
    truth, found = codes[::-1][rest] == 20, made[rest] == 20
    dice = [
        2 * (t & p).sum() / max(1, t.sum() + p.sum()) for t, p in ((~truth, ~found), (truth, found))
    ]
    assert pixels(said) == [30 * 48, 16 * 24]
    table = said.split("held-out ground ")[1].splitlines()
    values = [float(line.split()[2].replace("-", "0")) for line in table[1:3]]
    assert values == pytest.approx(dice, abs=6e-4)


def test_a_checkpoint_of_an_older_version_is_remarked_once(here, capsys):
    state = checkpoint.load("r/best.pt")
    del state["split"]
    checkpoint.save("r/best.pt", state)
    mapped("in/images", "--truth", "in/masks")
    printed = capsys.readouterr()
    assert printed.err.count("the checkpoint does not say which ground it was trained on") == 1
    assert "trained on" not in printed.out and printed.out.count("against the truth") == 5
    assert "held-out" not in Path("maps/report.html").read_text()


def test_without_truth_nothing_is_said(here, capsys):
    state = checkpoint.load("r/best.pt")
    del state["split"]
    checkpoint.save("old.pt", state)
    for network in ("r", "old.pt"):
        predict.main(["in/images/s_0.tif", "--checkpoint", network, "--output", "maps"])
        assert "trained on" not in "".join(capsys.readouterr())


def test_a_resumed_run_keeps_its_split_also_where_its_files_were_moved(here, capsys):
    before = Path("r/split.csv").read_bytes(), checkpoint.load("r/last.pt")["split"]
    train.main(["--resume", "r", "--epochs", "2"])
    assert Path("r/split.csv").read_bytes() == before[0]
    Path("in/images/s_3.tif").rename("s_3.tif")
    with pytest.raises(FileNotFoundError, match="in/images/s_3.tif: no such file"):
        train.main(["--resume", "r", "--epochs", "3"])
    train.main(["--resume", "r", "--epochs", "3", "--validation", "s_3.tif"])
    after = Path("r/split.csv").read_bytes(), checkpoint.load("r/last.pt")["split"]
    assert after[0] == before[0].replace(b"in/images/s_3.tif", b"s_3.tif")
    assert torch.equal(after[1]["windows"], before[1]["windows"])
    assert checkpoint.load("r/last.pt")["epoch"] == 3 and before[1]["images"][3].startswith("in/")


@pytest.mark.parametrize(
    "given, message",
    [
        (["in/images/s_2.tif"], "r/last.pt: the data have changed since .*split"),
        (["0.25"], "--validation: the run in r began with"),
    ],
)
def test_a_resumed_run_validates_on_no_other_windows(here, given, message):
    with pytest.raises(InputError, match=message):
        train.main(["--resume", "r", "--epochs", "2", "--validation", *given])


def test_a_run_of_an_older_version_is_resumed_and_gets_its_split(here):
    train.main([*TRAINED, *FILES, "--output", "old"])
    expected = Path("old/split.csv").read_bytes()
    Path("old/split.csv").unlink()
    for name in ("best.pt", "last.pt"):
        state = checkpoint.load(Path("old") / name)
        del state["split"]
        del state["settings"]["split"]
        checkpoint.save(Path("old") / name, state)
    train.main(["--resume", "old", "--epochs", "2", "--validation", "0.2"])
    assert Path("old/split.csv").read_bytes() == expected
    assert checkpoint.load("old/last.pt")["epoch"] == 2


def test_split_csv_is_no_input_that_may_be_overwritten(here):
    Path("new").mkdir()
    shutil.copy("in/table.csv", "new/split.csv")
    words = [*TRAINED[:-1], "new/split.csv", *FILES, "--output", "new"]
    with pytest.raises(InputError, match="new/split.csv: is an input"):
        train.main(words)
    assert Path("new/split.csv").read_bytes() == Path("in/table.csv").read_bytes()
