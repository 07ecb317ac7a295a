"""What `make` runs, as `make --dry-run` prints it: Makefile."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from unet.training.run import Run

ROOT = Path(__file__).parents[1]


def dry_run(target: str, *variables: str) -> str:
    """What `make target variables` would run, also when the tests themselves run under make."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["make", "-n", target, *variables], capture_output=True, text=True, cwd=ROOT, env=clean
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("\\\n", "")


def command(target: str, *variables: str) -> list[str]:
    """The words of the call of train.py or predict.py that `make target variables` would make."""
    lines = dry_run(target, *variables)
    return shlex.split(lines[lines.rindex(".venv/bin/python ") :])


def test_without_images_the_demo_is_trained_in_its_own_settings():
    words = command("train")
    assert "--images" not in words and {"--size", "--batch", "--epochs"} <= set(words)


def test_clean_removes_the_runs_and_the_cache_of_scenes_beside_them():
    assert str(Run().cache.parent) in shlex.split(dry_run("clean").splitlines()[-1])


def test_images_of_ones_own_get_the_defaults_of_train_py():
    words = command("train", "IMAGES=i", "MASKS=m", "CLASSES=esm", "EPOCHS=7")
    assert words[1:] == [
        "train.py",
        "--images",
        "i",
        "--masks",
        "m",
        "--classes",
        "esm",
        "--epochs",
        "7",
    ]
    assert command("train", "IMAGES=i", "MASKS=m")[1:] == [
        "train.py",
        "--images",
        "i",
        "--masks",
        "m",
    ]


def test_a_path_may_hold_spaces_and_several_are_several(tmp_path):
    (tmp_path / "my images").mkdir(), (tmp_path / "my masks").mkdir()
    words = command("train", f"IMAGES={tmp_path}/my images", f"MASKS={tmp_path}/my masks")
    assert words[1:] == [
        "train.py",
        "--images",
        f"{tmp_path}/my images",
        "--masks",
        f"{tmp_path}/my masks",
    ]
    assert command("predict", f"IMAGE={tmp_path}/my images")[1:] == [
        "predict.py",
        f"{tmp_path}/my images",
    ]
    assert command("train", "IMAGES=a b", "MASKS=c d")[2:] == [
        "--images",
        "a",
        "b",
        "--masks",
        "c",
        "d",
    ]


@pytest.mark.parametrize("given", ["IMAGES=i", "MASKS=m"])
def test_images_without_masks_are_left_to_train_py_to_complain_about(given):
    assert command("train", given)[1:] == [
        "train.py",
        f"--{given.split('=')[0].lower()}",
        given[-1],
    ]
