"""Lines for the terminal: data/terminal/lines.py."""

import signal
import sys
from pathlib import Path

from data.terminal import (
    command,
    duration,
    progress,
)

INTERRUPTIONS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def test_progress_is_silent_where_there_is_no_terminal(capsys, monkeypatch):
    progress("half done")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress("half done")
    assert capsys.readouterr().err == "\r\033[Khalf done"


def test_progress_is_cut_at_the_edge_of_the_terminal_beyond_which_it_would_stay(
    capsys, monkeypatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "12")
    progress("scene 1: a_long_name.tif")
    assert capsys.readouterr().err == "\r\033[Kscene 1: a_"


def test_durations():
    assert [duration(s) for s in (0, 59.6, 125, 3725)] == ["0:00", "1:00", "2:05", "1:02:05"]


def test_a_command_is_short_inside_the_project_and_quoted(monkeypatch, tmp_path):
    root = Path(__file__).parents[3]
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "executable", str(root / ".venv/bin/python"))
    assert command("predict.py", "my image.tif") == ".venv/bin/python predict.py 'my image.tif'"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert command("predict.py") == f"/usr/bin/python3 {root / 'predict.py'}"
