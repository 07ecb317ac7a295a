"""CONTRIBUTING.md: the files and tests that it names are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_file_that_it_names_is_there():
    named = set(re.findall(r"`((?:data|unet|tests)/[\w/.]*|predict\.py|train\.py)`", TEXT))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_name_that_it_gives_stands_in_its_file():
    for name, file in (
        ("INDICES", "data/bands.py"),
        ("ALIASES", "data/bands.py"),
        ("LOSSES", "unet/losses.py"),
        ("MODELS", "unet/__init__.py"),
        ("STEPS", "data/training/augment.py"),
        ("GONE", "unet/training/resume.py"),
        ("GONE", "predict.py"),
        ("SUFFIXES", "data/input/finding.py"),
        ("def test_options_go_together", "tests/test_train.py"),
    ):
        assert name.removeprefix("def ") in TEXT and name in (ROOT / file).read_text(), name


def test_it_fits_a_page():
    assert len(TEXT.splitlines()) <= 60
