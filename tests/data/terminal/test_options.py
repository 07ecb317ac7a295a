"""Options and their errors: data/terminal/options.py."""

import argparse
import importlib
import math
import re
import signal
import sys
from pathlib import Path

import pytest

from data.files import InputError
from data.terminal import (
    Parser,
    Repeated,
    within,
)
from data.terminal.options import LEARN

INTERRUPTIONS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def test_an_option_given_twice_collects_its_words_and_the_first_replaces_the_default():
    parser = Parser("Test.")
    parser.add_argument("--rule", nargs=2, action=Repeated, default=[])
    assert parser.parse_args([]).rule == []
    parser.set_defaults(rule=["a", "b"])  # as --resume does
    assert parser.parse_args([]).rule == ["a", "b"]
    assert parser.parse_args("--rule a b".split()).rule == ["a", "b"]
    assert parser.parse_args("--rule c d --rule e f".split()).rule == ["c", "d", "e", "f"]
    with pytest.raises(InputError, match="--rule: expected 2 arguments"):
        parser.parse_args(["--rule", "a"])


def test_numbers_lie_in_their_limits_and_are_finite():
    assert (
        within(int, 1)("1") == 1
        and within(float, 0, 1)("1e-3") == 0.001
        and within(float, 0)("0") == 0
    )
    open_interval = within(float, above=0, below=1)
    for text in ("0", "1", "nan", "inf", "-inf", "-0.5"):
        with pytest.raises(
            argparse.ArgumentTypeError, match=f"{text} must be a number above 0 and below 1"
        ):
            open_interval(text)
    with pytest.raises(argparse.ArgumentTypeError, match="inf must be a number at least 0"):
        within(float, 0)(str(math.inf))
    with pytest.raises(ValueError):
        within(int, 1)("1.5")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--lr", "0"], "argument --lr: 0 must be a number above 0; --help lists the options"),
        (["--lr", "fast"], "argument --lr: invalid float value: 'fast'; --help lists the options"),
        (["--speed", "1"], "unrecognized arguments: --speed 1; --help lists the options"),
    ],
)
def test_a_mistake_in_the_options_is_one_line_too(options, line):
    parser = Parser("Do it.")
    parser.add_argument("--lr", type=within(float, above=0))
    with pytest.raises(InputError) as error:
        parser.parse_args(options)
    assert str(error.value) == line


def test_an_option_that_is_gone_names_what_took_its_place():
    parser = Parser("Do it.", gone={"--cut": "use --crop"})
    for arguments in (["--cut"], ["--cut", "3"], ["--cut=3"]):
        with pytest.raises(InputError, match="^--cut is gone; use --crop$"):
            parser.parse_args(arguments)


def test_help_shows_a_default_where_there_is_one(capsys):
    parser = Parser("Do it.\n\nNot shown.\n\nNor this.")
    parser.add_argument("--size", type=int, default=5, help="side")
    parser.add_argument("--seed", type=int, default=0, help="seed")
    parser.add_argument("--crs", help="of the map")
    parser.add_argument("--fast", action="store_true", help="sooner")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "Do it." in shown and "Not shown" not in shown and "Nor" not in shown
    assert "side (default: 5)" in shown and "seed (default: 0)" in shown
    assert shown.count("default") == 2


def test_help_of_paths_between_options_shows_no_word_of_argparse(capsys):
    parser = Parser("Do it.")
    parser.add_argument("first", help="a map")
    parser.add_argument("more", nargs="*", help="further maps")
    with pytest.raises(SystemExit):
        parser.parse_intermixed_args(["--help"])
    shown = capsys.readouterr().out
    assert "further maps\n" in shown and "SUPPRESS" not in shown


def test_help_ends_with_the_examples_as_they_are_written(capsys):
    examples = "    python do.py a.tif            once\n    python do.py a.tif --twice    twice"
    with pytest.raises(SystemExit):
        Parser(f"Do it.\n\n{examples}\n\nMore.").parse_args(["--help"])
    assert capsys.readouterr().out.endswith(f"\n\nexamples:\n{examples}\n\n{LEARN}\n")


@pytest.mark.parametrize("script", ["train", "predict", "reproject"])
def test_each_option_of_a_script_is_explained_and_examples_can_be_parsed(
    script, capsys, monkeypatch
):
    module = importlib.import_module(script)
    parse = getattr(module, "parse", None) or module.parse_options
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit):
        parse()
    options, examples = capsys.readouterr().out.split("\n\nexamples:\n")
    for option in re.findall(r"^  (--[a-z-]+)", options, re.M):
        explained = re.search(rf"^  {option}\b.*\n?(?: {{20,}}(.*))?", options, re.M)
        assert len(explained[0].split()) >= 4, option
    lines = [line for line in examples.splitlines() if f"python {script}.py" in line]
    assert len(lines) >= 2
    for line in lines:
        words = re.split(r" {3,}", line.strip())[0].split()[2:]
        if "<date-time>" not in line:
            monkeypatch.setattr(sys, "argv", [script, *words])
            parse()


def test_the_help_ends_with_what_to_try_and_every_file_that_it_names_is_there():
    root = Path(__file__).parents[3]
    assert Parser("Test.").format_help().endswith(f"\n\n{LEARN}\n")
    named = re.findall(r"tests/[\w/]+\.py", LEARN)
    assert len(named) == 2 and all((root / name).is_file() for name in named)
    assert re.search(r"^exercises:", (root / "Makefile").read_text(), re.MULTILINE)
