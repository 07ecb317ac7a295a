"""README.md: its lines of Python run, and what it names is there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from pyproj import CRS

import predict
import train
from data.grid import Grid

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def names(tmp_path, monkeypatch) -> dict:
    """What the reader of the README has: a trained network, an image, a mask and two grids."""
    (tmp_path / "runs/a").mkdir(parents=True)
    small.untrained(tmp_path / "runs/a/best.pt")
    monkeypatch.chdir(tmp_path)
    return {
        "inputs": torch.zeros(2, 4, 32, 48),
        "mask": np.arange(16, dtype=np.uint8).reshape(4, 4),
        "mask_grid": Grid(CRS.from_epsg(32631), (10, 0, 4e5, 0, -10, 5e6), 4, 4),
        "image_grid": Grid(CRS.from_epsg(32631), (20, 0, 4e5, 0, -20, 5e6), 2, 2),
    }


def test_the_lines_of_python_run(names):
    assert len(BLOCKS) == 1
    for block in BLOCKS:
        exec(block, names)
    assert names["labels"].shape == (2, 32, 48)
    assert names["aligned"].shape == (2, 2)
    assert names["other"](torch.zeros(1, 15, 64, 64)).shape == (1, 3, 64, 64)


COMMANDS = re.findall(
    r"^    (?:python|torchrun --nproc-per-node 2) (\w+\.py .*)$",
    re.sub(r"\s*\\\n\s*", " ", README),  # a line that ends with \ goes on in the next one
    re.MULTILINE,
)


@pytest.mark.parametrize("command", [line for line in COMMANDS if "--resume" not in line])
def test_the_options_of_its_commands_exist(command):
    script, *options = shlex.split(command, comments=True)
    if script != "reproject.py":
        {"train.py": train, "predict.py": predict}[script].parse(options)
    files = {
        "train.py": ["data/training/options.py", "unet/training/options.py"],
        "predict.py": ["unet/evaluation/options.py"],
    }.get(script, [script])
    source = "".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    named = [option for option in options if option.startswith("--")]
    assert [option for option in named if f'"{option}"' not in source] == []


def test_commands_of_every_script_are_found():
    assert {command.split()[0] for command in COMMANDS} == {
        "train.py",
        "predict.py",
        "reproject.py",
    }


def test_every_file_that_it_names_is_there():
    found = set(re.findall(r"`((?:data|unet|tests)/[\w/.]*)`", README))
    found |= set(re.findall(r"\]\(((?!http)[\w/.]+)\)", README))
    found |= set(re.findall(r"^    ((?:data|unet)/\w+/) ", README, re.MULTILINE))
    assert len(found) > 20
    assert [name for name in sorted(found) if not (ROOT / name).exists()] == []


def test_it_is_short_and_the_course_comes_early():
    lines = README.splitlines()
    assert len(lines) < 220 and lines.index("## The course") < 50
    assert max(len(line) for line in lines if "|" not in line and "](" not in line) <= 105


STATIONS = re.findall(r"^\*\*(\d+)\. .*?\*\* (.*?)(?=\n\*\*\d+\. |\nSix )", README, re.M | re.S)
PICTURE = r"!\[(.+)\]\(tests/figures/pictures/(\w+\.svg)\)"


@pytest.mark.parametrize("number, text", STATIONS)
def test_a_station_has_a_lesson_a_test_an_exercise_a_formula_and_a_figure(number, text):
    linked = re.findall(r"\]\(((?:data|unet|tests)?[\w/]+\.py)\)", text)
    tests = [name for name in linked if "/test_" in name]
    exercises = [name for name in linked if name.startswith("tests/exercises/")]
    lessons = [name for name in linked if not name.startswith("tests/")]
    assert lessons and tests and all(any(test in read(name) for name in lessons) for test in tests)
    assert len(exercises) == 1 and exercises[0].startswith(f"tests/exercises/ex{int(number):02}_")
    assert re.findall(r"`[^`]*[=-][^`]*`", text), "no formula"
    ((told, name),) = re.findall(PICTURE, text)
    assert name.startswith(f"{int(number):02}_") and len(told.split()) > 5


def test_the_stations_are_the_open_lessons_and_the_scripts_in_order():
    assert [number for number, _ in STATIONS] == [str(n) for n in range(1, 11)]
    named = set(re.findall(r"\]\(((?:data|unet)/\w+\.py|train\.py|predict\.py)\)", README))
    lessons = {f"data/{p.name}" for p in ROOT.glob("data/*.py") if p.stem != "__init__"}
    lessons |= {"unet/unet.py", "unet/losses.py", "unet/metrics.py", "train.py", "predict.py"}
    assert named == lessons


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_folder_of_the_packages_stands_in_the_tour():
    rooms = [p.parent for p in ROOT.glob("data/*/__init__.py")]
    rooms += [p.parent for p in ROOT.glob("unet/*/__init__.py")]
    for room in rooms:
        assert f"    {room.parent.name}/{room.name}/" in README, room
