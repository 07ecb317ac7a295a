"""tests/bench/README.md: it names every benchmark, and its commands have options that exist."""

import re
import shlex
from pathlib import Path

import pytest

import train

BENCH = Path(__file__).with_name("bench")
TEXT = (BENCH / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (?:\w+=\w+ )?python (.*)$", TEXT.replace("\\\n", " "), re.MULTILINE)


def words(command: str) -> list[str]:
    return shlex.split(command, comments=True)


def test_it_names_every_file():
    files = [path.name for path in BENCH.glob("*.py")]
    assert files and [name for name in files if f"`{name}`" not in TEXT] == []


def test_its_links_lead_somewhere():
    titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    places = {"#" + title.lower().replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(((?!http)[^)]+)\)", TEXT)
    assert len(links) > 10
    assert [a for a in links if a not in places and not (BENCH / a).is_file()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_options_exist(command):
    script, *options = words(command)
    if script == "train.py":
        train.parse(options)
    elif "--settings" in options:
        train.parse(options[options.index("--settings") + 1].split())
    files = [script]
    if script in ("train.py", "tests/bench/folds.py"):  # folds.py hands options on to train.py
        files += ["data/training/options.py", "unet/training/options.py"]
    if script == "predict.py":
        files = ["unet/evaluation/options.py"]
    source = "".join((BENCH.parents[1] / name).read_text(encoding="utf-8") for name in files)
    given = [option for option in options if option.startswith("--") and " " not in option]
    assert [option for option in given if f'"{option}"' not in source] == []


def test_commands_are_found():
    assert len(COMMANDS) > 15 and any(command.startswith("train.py") for command in COMMANDS)
