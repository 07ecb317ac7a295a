"""Lines for the terminal: data/terminal/lines.py."""

import signal
import sys

from data.terminal import (
    Notes,
    duration,
    listed,
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


def test_remarks_of_one_kind_are_printed_once_and_counted(capsys):
    notes = Notes()
    for name, count in (("a", "1,234"), ("b", "7"), ("b", "7"), ("c", "8")):
        notes.say(f"{name}.tif: {count} pixels (0.02 %) are not pure")
        notes.say(f"{name}.tif: pixels of {2 if name == 'c' else 10} m")
        notes.say("--offset is not given")
    notes.say_counts()
    assert capsys.readouterr().err.splitlines() == [
        "note: a.tif: 1,234 pixels (0.02 %) are not pure",
        "note: a.tif: pixels of 10 m",
        "note: --offset is not given",
        "note: c.tif: pixels of 2 m",
        "note: 2 more files like a.tif: 1,234 pixels (0.02 %) are not pure",
        "note: 1 more file like a.tif: pixels of 10 m",
    ]


def test_five_names_are_listed_and_the_others_counted():
    assert listed("abcde") == "a, b, c, d, e" and listed("abcdefg") == "a, b, c, d, e and 2 more"


def test_durations():
    assert [duration(s) for s in (0, 59.6, 125, 3725)] == ["0:00", "1:00", "2:05", "1:02:05"]
