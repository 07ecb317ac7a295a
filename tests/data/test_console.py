"""What the scripts say on a terminal: data/console.py."""

import argparse
import errno
import math
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from data.console import (
    Interrupted,
    Parser,
    Signals,
    command,
    duration,
    one_line_errors,
    progress,
    within,
)
from data.files import InputError

INTERRUPTIONS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture(autouse=True)
def handlers():
    """What Python did on signals before a test, it does again after it."""
    before = {number: signal.getsignal(number) for number, _ in INTERRUPTIONS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            InputError("a.tif: CRS is missing; assign one"),
            "x.py: error: a.tif: CRS is missing; assign one\n",
        ),
        (FileNotFoundError("b.tif: no such file"), "x.py: error: b.tif: no such file\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "c.tif"),
            "x.py: error: c.tif: No space left on device\n",
        ),
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


@pytest.mark.parametrize(("number", "status"), INTERRUPTIONS)
def test_an_interruption_has_the_status_that_shells_report(number, status, capsys):
    with pytest.raises(SystemExit) as left, one_line_errors("x.py"):
        raise Interrupted(number)
    assert left.value.code == status and capsys.readouterr().err == "x.py: stopped\n"


@pytest.mark.parametrize("error", [None, InputError("a.tif: odd"), ValueError("a bug")])
def test_the_handler_of_sigterm_is_restored_however_the_block_ends(error):
    def handler(number, frame):
        pass

    signal.signal(signal.SIGTERM, handler)
    with suppress(SystemExit, ValueError), one_line_errors("x.py"):
        assert signal.getsignal(signal.SIGTERM) is not handler
        if error:
            raise error
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize(("number", "status"), INTERRUPTIONS)
def test_signals_are_noted_and_disturb_nothing(number, status):
    before = [signal.getsignal(number) for number, _ in INTERRUPTIONS]
    with Signals() as signals:
        assert signals.seen == 0
        os.kill(os.getpid(), number)
        assert signals.seen == number
    assert [signal.getsignal(number) for number, _ in INTERRUPTIONS] == before


def test_a_second_ctrl_c_does_not_wait():
    with pytest.raises(Interrupted) as left, Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.seen == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on after the second")
    assert left.value.status == 130 and isinstance(left.value, KeyboardInterrupt)


def test_a_ctrl_c_after_sigterm_and_another_sigterm_still_wait():
    with Signals() as signals:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
            assert signals.seen == number


SCRIPT = """
import sys, time
from data.console import Signals, one_line_errors
with one_line_errors("x.py"):
    try:
        if "noted" in sys.argv:
            with Signals() as signals:
                print("ready", flush=True)
                while not signals.seen:
                    time.sleep(0.01)
                print("saved", flush=True)
                sys.exit(128 + signals.seen)
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("tidied up", flush=True)
"""


@pytest.mark.parametrize("noted", [[], ["noted"]])
@pytest.mark.parametrize(("number", "status"), INTERRUPTIONS)
def test_a_program_that_is_told_to_end_tidies_up_and_says_so_by_its_status(number, status, noted):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *noted],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as program:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(number)
        out, err = program.communicate(timeout=30)
    assert program.returncode == status
    assert out == "saved\n" * len(noted) + "tidied up\n" and err == (
        "" if noted else "x.py: stopped\n"
    )


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


def test_durations():
    assert [duration(s) for s in (0, 59.6, 125, 3725)] == ["0:00", "1:00", "2:05", "1:02:05"]


def test_a_command_is_short_inside_the_project_and_quoted(monkeypatch):
    here = Path.cwd()
    monkeypatch.setattr(sys, "executable", str(here / ".venv/bin/python"))
    assert command(here / "predict.py", "my image.tif") == (
        ".venv/bin/python predict.py 'my image.tif'"
    )
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    elsewhere = here.parent / "predict.py"
    assert command(elsewhere) == f"/usr/bin/python3 {elsewhere}"


def test_an_option_that_is_gone_names_what_took_its_place():
    parser = Parser("Do it.", gone={"--cut": "use --crop"})
    for arguments in (["--cut"], ["--cut", "3"], ["--cut=3"]):
        with pytest.raises(InputError, match="^--cut is gone; use --crop$"):
            parser.parse_args(arguments)


def test_help_shows_a_default_where_there_is_one(capsys):
    parser = Parser("Do it.\n\nNot shown.")
    parser.add_argument("--size", type=int, default=5, help="side")
    parser.add_argument("--crs", help="of the map")
    parser.add_argument("--fast", action="store_true", help="sooner")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "Do it." in shown and "Not shown" not in shown
    assert "side (default: 5)" in shown and shown.count("default") == 1
