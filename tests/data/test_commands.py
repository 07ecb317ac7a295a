"""Commands to copy: they name the script as it was called, and a shell reads them back."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.files import ROOT, command, printable


@pytest.fixture(autouse=True)
def python(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def test_a_command_is_short_inside_the_project_and_quoted(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv/bin/python"))
    assert command("predict.py", "my image.tif") == ".venv/bin/python predict.py 'my image.tif'"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert command("predict.py") == f"/usr/bin/python3 {ROOT / 'predict.py'}"


def test_the_script_is_named_as_the_running_one_was_called(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(ROOT)
    for called in ("link/train.py", f"{tmp_path}/link/train.py"):
        monkeypatch.setattr(sys, "argv", [called])
        assert command("predict.py") == f"/usr/bin/python3 {called.replace('train', 'predict')}"
    (tmp_path / "predict.py").touch()  # another program of this name
    (tmp_path / "alone.py").symlink_to(ROOT / "train.py")
    for called in ("alone.py", "train.py", f"{ROOT}/data/output/change.py", "-c", ""):
        monkeypatch.setattr(sys, "argv", [called])
        assert command("predict.py") == f"/usr/bin/python3 {ROOT}/predict.py", called


def test_torchrun_starts_the_same_script_again_and_no_other(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    torchrun = "/usr/bin/python3 -m torch.distributed.run --nproc-per-node 2"
    assert command("train.py", "--resume", Path("a")) == f"{torchrun} train.py --resume a"
    assert command("predict.py") == "/usr/bin/python3 predict.py"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert command("train.py") == "/usr/bin/python3 train.py"


NAMES = ["a b.tif", 'it\'s "$HOME" `id`.tif', "back\\slash", "a\n'b\\'.tif", "ö\x1b[2J\u2028\x85"]


@pytest.mark.parametrize("name", [*NAMES, "cut\udcff.tif", "*", "~", "#", "=x", "!!"])
def test_a_shell_reads_the_printed_name_back(name):
    printed = printable(command("predict.py", Path(name)))
    assert "\n" not in printed and "\x1b" not in printed
    words = printed.removeprefix("/usr/bin/python3 ")
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, env={"LC_ALL": "C.UTF-8"}
    )
    script, read, _ = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    assert script.endswith("predict.py") and read == name


def test_a_path_that_looks_like_an_option_is_named_by_its_folder():
    assert command("predict.py", Path("-a.tif"), "--out").endswith("predict.py ./-a.tif --out")
