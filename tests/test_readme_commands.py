"""README.md: its shell commands run as they stand, on synthetic towns.

Only the trainings are shortened: one epoch, small windows, a narrow network. Lines of `torchrun`
run in one process: tests/unet/training/test_processes.py starts several.
"""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest
from warm import run

from data.sample import towns

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOUND = re.findall(r"^    (?:python|torchrun --nproc-per-node 2) (.*)$", README, re.MULTILINE)
COMMANDS = [shlex.split(line, comments=True) for line in FOUND]
SHORT = "--epochs 1 --base 4 --size 96 --batch 4 --device cpu".split()
MODULE = "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__')"


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with what the README's reader has, made of synthetic towns."""
    folder = tmp_path_factory.mktemp("readme")
    towns.write(folder / "runs/sample", 5)
    for name in "images", "masks":
        (folder / name).mkdir()
        for path in sorted((folder / "runs/sample" / name).iterdir())[:2]:
            shutil.copy(path, folder / name)
    shutil.copy(folder / "images/town_000.tif", folder / "scene.tif")
    shutil.copy(folder / "images/town_000.tif", folder / "image.tif")
    shutil.copy(folder / "masks/esm_000.tif", folder / "mask.tif")
    shutil.copy(ROOT / "data/tables/esm.csv", folder / "my_classes.csv")
    return folder


def given(words: list[str]) -> tuple[Path | str, list[str]]:
    """A script, or the text of a program that runs a module; and the words after it."""
    if words[0] == "-m":
        return MODULE, words[1:]
    more = []
    if words[0] == "train.py":
        more = ["--epochs", "2"] if "--resume" in words else SHORT
    return ROOT / words[0], [*words[1:], *more]


def test_each_command_runs(here):
    """Trainings first: other commands need their networks, and the maps of three years."""
    done = []
    for words in sorted(COMMANDS, key=lambda words: words[0] != "train.py"):
        if "model.onnx" in words and not all(map(importlib.util.find_spec, ("onnx", "onnxscript"))):
            continue
        if "data.output.change" in words:
            for year in 2015, 2018, 2021:
                shutil.copy(here / "scene_landcover.tif", here / f"map_{year}.tif")
        if "unet.evaluation.compare" in words:
            shutil.copytree(here / "runs/a", here / "runs/b")
        script, arguments = given(words)
        ended = run(script, *arguments, folder=here, PYTHONPATH=str(ROOT))
        assert ended.returncode == 0, f"{words}\n{ended.stderr}"
        done.append(words[1] if words[0] == "-m" else words[0])
    assert {"train.py", "predict.py", "reproject.py", "unet.export"} <= set(done)
    assert len(done) >= 11
    for name in "scene_landcover.tif", "compare.html", "model.pt2", "aligned_report.html":
        assert (here / name).stat().st_size > 1000, name
    assert (here / "runs/sample/images/town_004_landcover.qml").is_file()
