"""Lines for the user: help texts, the next command, and the files that were written."""

import argparse
import html
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small

import predict
import train
from data.raster import cog
from data.raster.geotiff import Raster

ROOT = Path(__file__).parents[1]
FILES = [*ROOT.glob("*.py"), *ROOT.glob("data/**/*.py"), *ROOT.glob("unet/**/*.py")]
# Every command of the project. run_exported.py is copied into an exported network.
COMMANDS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in FILES
    if 'if __name__ == "__main__":' in path.read_text() and path.stem != "run_exported"
]


def call(name: str, *words: object) -> None:
    """Run a command in this process. The SystemExit of a success is swallowed."""
    before, sys.argv = sys.argv, [name, *map(str, words)]
    try:
        importlib.import_module(name).main()
    except SystemExit as left:
        assert not left.code
    finally:
        sys.argv = before


def test_the_commands_were_found():
    known = {"train", "predict", "reproject", "data.output.change", "data.sample.towns"}
    assert {*known, "unet.export", "unet.evaluation.compare"} <= {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_defaults_in_plain_words(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1000")
    call(name, "--help")
    text = capsys.readouterr().out
    assert "usage: " in text
    for default in re.findall(r"\(default: (.*?)\)(?:\n|$)", text):
        assert not re.search(r"^$|None|False|True|[\[\]{}]|^'|Posix", default), default


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_each_default_once(name, monkeypatch):
    found = []

    def stop(parser, *arguments):
        found.append(parser)
        raise SystemExit(0)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
    call(name)
    (parser,) = found
    for action in parser._actions:
        text = parser._get_formatter()._expand_help(action) if action.help else ""
        valued = action.option_strings and action.nargs != 0 and not action.required
        shown = valued and action.default is not None and action.default != []
        assert text.count("(default: ") in ([1] if shown else [0, 1]), (action.dest, text)


# The next command.


def shell_words(line: str) -> list[str]:
    """Return the words that a shell reads in a line."""
    printf = ["bash", "-c", f"printf '%s\\0' {line}"]
    return subprocess.run(printf, capture_output=True, text=True, check=True).stdout.split("\0")[
        :-1
    ]


def type_next(said: str, run: Path) -> None:
    """Run the command of the line `next`, which the report shows, too."""
    (line,) = re.findall(r"^next +(.*)$", said, re.MULTILINE)
    page = (run / "report.html").read_text()
    assert f"<pre>{line}</pre>" in html.unescape(page)
    python, script, *words = shell_words(line)
    assert os.path.samefile(python, sys.executable)
    assert os.path.samefile(script, ROOT / "predict.py")
    assert os.path.samefile(words[words.index("--checkpoint") + 1], run / "best.pt")
    predict.main(words)


TINY = "--overfit 4 --base 2 --epochs 1 --batch 4".split()


def trained(folder: Path, run: Path, *words: object) -> Path:
    """Train on the images in a folder."""
    places = ["--images", folder / "images", "--masks", folder / "masks"]
    places += ["--classes", folder / "table.csv", "--output", run]
    train.main([*TINY, *map(str, places), *map(str, words)])
    return run


@pytest.mark.parametrize("absolute", [False, True])
def test_the_next_line_can_be_typed_whatever_the_names_are(tmp_path, monkeypatch, capsys, absolute):
    monkeypatch.chdir(tmp_path)
    folder, run = Path('it\'s "a"  $b'), Path("my 'runs'/-1")
    small.write(folder)
    trained(folder, run.absolute() if absolute else run)
    type_next(capsys.readouterr().out, run)
    assert (folder / "images/s_0_landcover.tif").exists()


def test_the_next_line_repeats_the_offset_and_nothing_else(tmp_path, monkeypatch, capsys):
    """Bands without names and the no-data value are known from the checkpoint."""
    monkeypatch.chdir(tmp_path)
    images, _, _ = small.write(Path("in"))
    for path in images.iterdir():
        with Raster(path) as raster:
            pixels, grid = raster.read(), raster.grid
        cog.write(path, np.where(pixels < 300, 7, pixels), grid)
    bands = ["--bands", *small.BANDS, "--nodata", 7, "--offset", "-10.5"]
    type_next(trained(Path("in"), Path("run"), *bands) and capsys.readouterr().out, Path("run"))
    said = capsys.readouterr()
    assert "--offset" not in said.err and "bands are taken in the file's order" in said.err
    with Raster("in/images/s_0_landcover.tif") as mapped:
        assert 0 < (mapped.read() == 0).mean() < 0.5  # the no-data value of the training


def test_the_next_line_names_all_dates(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images, masks, _ = small.write(Path("in"))
    for path in [*images.iterdir()]:
        (images / f"april_{path.stem[-1]}.tif").write_bytes(path.read_bytes())
        path.rename(images / f"may_{path.stem[-1]}.tif")
    for path in [*masks.iterdir()]:
        path.rename(masks / f"mask_{path.stem[-1]}.tif")
    trained(Path("in"), Path("run"), "--stack-dates")
    type_next(capsys.readouterr().out, Path("run"))
    assert "april_0.tif + may_0.tif: dates" in capsys.readouterr().err


def test_an_unfinished_training_names_the_command_that_continues_it(tmp_path, monkeypatch):
    """The message of Ctrl-C has the same command, see tests/test_resume.py."""
    monkeypatch.chdir(tmp_path)
    small.write(Path("in"))
    run = trained(Path("in"), Path("my run"))
    with pytest.raises(ValueError, match="holds a run already; name another folder by") as caught:
        trained(Path("in"), run)
    line = str(caught.value).partition("or continue the run: ")[2]
    python, script, *words = shell_words(line)
    assert os.path.samefile(script, ROOT / "train.py") and words == ["--resume", "my run"]
    train.main([*words, "--epochs", "2"])


# The files that were written.


def files() -> set[Path]:
    """Return the files in the current folder, without the cache of prepared scenes."""
    return {path for path in Path().rglob("*") if path.is_file() and "cache" not in path.parts}


def test_every_file_that_a_command_writes_is_printed_and_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small.write(Path("in"))

    def said_of(name: str, *words: object) -> None:
        before = files()
        capsys.readouterr()
        call(name, *words)
        said, new = capsys.readouterr().out, {str(path) for path in files() - before}
        # A file has a line of its own, in those of a training behind what it is.
        lines = re.sub(r"^(checkpoint|report) +", "", said, flags=re.M)
        told = set(re.findall(r"^([\w./-]+\.\w+)(?:$|  )", lines, re.M))
        for names in re.findall(r"^also +(.*) beside it$", said, re.M):
            told |= {f"{words[-1]}/{file}" for file in names.split(", ")}
        assert new and told == new

    places = ["--images", "in/images", "--masks", "in/masks", "--classes", "in/table.csv"]
    said_of("train", *TINY, *places, "--output", "runs/a")
    said_of("train", *TINY, *places, "--output", "runs/b")
    images = ["in/images/s_0.tif", "--overlay", "--probabilities", "--uncertainty"]
    said_of("predict", *images, "--truth", "in/masks/m_0.tif", "--checkpoint", "runs/a")
    said_of("predict", "in/images", "--truth", "in/masks", "--output", "maps")
    said_of("reproject", "in/masks/m_0.tif", "--like", "in/images/s_0.tif", "-o", "m.tif")
    said_of("reproject", *"in/masks/m_1.tif --like in/images/s_1.tif -o r.tif --report".split())
    masks = ["in/masks/m_0.tif"] + [f"in/masks/copy_{n}.tif" for n in range(2)]
    for copy in masks[1:]:
        Path(copy).write_bytes(Path(masks[0]).read_bytes())
    said_of("data.output.change", *masks[:2], "--classes", "in/table.csv", "-o", "two.tif")
    said_of("data.output.change", *masks, "--classes", "in/table.csv", "-o", "three.tif")
    said_of("unet.evaluation.compare", "runs/a", "runs/b", "-o", "runs.html")
