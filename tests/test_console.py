"""What the scripts say on a terminal: data/console.py."""

import errno
import sys
from pathlib import Path

import pytest

from data import InputError
from data.console import duration, one_line_errors, progress, python_command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.tif: CRS is missing; assign one"), "x.py: error: a.tif: CRS is missing; assign one\n"),
        (FileNotFoundError("b.tif: no such file"), "x.py: error: b.tif: no such file\n"),
        (OSError(errno.ENOSPC, "No space left on device", "c.tif"), "x.py: error: c.tif: No space left on device\n"),
        (InputError("two\n  lines"), "x.py: error: two lines\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_status_2(error, line, capsys):
    with pytest.raises(SystemExit) as left, one_line_errors("x.py"):
        raise error
    assert left.value.code == 2
    assert capsys.readouterr().err == line


def test_other_kinds_can_be_named_and_the_rest_keeps_its_traceback():
    with pytest.raises(SystemExit), one_line_errors("x.py", KeyError):
        raise KeyError("named")
    with pytest.raises(ValueError, match="a bug"), one_line_errors("x.py"):
        raise ValueError("a bug")


def test_ctrl_c_is_status_130():
    with pytest.raises(SystemExit) as left, one_line_errors("x.py"):
        raise KeyboardInterrupt
    assert left.value.code == 130


def test_progress_is_silent_where_there_is_no_terminal(capsys, monkeypatch):
    progress("half done")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress("half done")
    assert capsys.readouterr().err == "\r\033[Khalf done"


def test_durations():
    assert [duration(s) for s in (0, 59.6, 125, 3725)] == ["0:00", "1:00", "2:05", "1:02:05"]


def test_the_command_for_this_python_is_short_inside_the_project(monkeypatch):
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv/bin/python"))
    assert python_command() == ".venv/bin/python"
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert python_command() == "/usr/bin/python3"
