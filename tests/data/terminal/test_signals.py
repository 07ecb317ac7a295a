"""Errors in one line and signals: data/terminal/signals.py."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from data.files import InputError
from data.terminal import (
    Interrupted,
    Signals,
    of_memory,
    one_line_errors,
)

INTERRUPTIONS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture(autouse=True)
def handlers():
    """Restore the handlers of signals after a test."""
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
def test_signals_are_noted_and_interrupt_at_the_end_of_the_block(number, status):
    before = [signal.getsignal(number) for number, _ in INTERRUPTIONS]
    with pytest.raises(Interrupted) as left, Signals() as signals:
        assert signals.seen == 0
        os.kill(os.getpid(), number)
        assert signals.seen == number
    assert left.value.status == status
    assert [signal.getsignal(number) for number, _ in INTERRUPTIONS] == before


def test_a_second_ctrl_c_does_not_wait():
    with pytest.raises(Interrupted) as left, Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.seen == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on after the second")
    assert left.value.status == 130 and isinstance(left.value, KeyboardInterrupt)


def test_a_ctrl_c_after_sigterm_and_another_sigterm_still_wait():
    with pytest.raises(Interrupted), Signals() as signals:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
            assert signals.seen == number


SCRIPT = """
import sys, time
from data.terminal import Signals, one_line_errors
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


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't start new thread"), RuntimeError("another")]
)
def test_a_full_memory_is_one_line_and_other_errors_are_left(error):
    found = of_memory(error, "a.tif")
    if "another" in str(error):
        assert found is error
        return
    assert isinstance(found, InputError) and str(found).startswith("a.tif: the memory is full")
    with pytest.raises(SystemExit, match="2"), one_line_errors("x.py"):
        raise error


UNUSUAL = """
from data.terminal import one_line_errors, say
with one_line_errors("x.py"):
    say("class \\u6c34\\u4f53")
    raise OSError("file \\udcff.tif")
"""


def test_characters_that_the_terminal_lacks_do_not_end_a_run():
    result = subprocess.run(
        [sys.executable, "-c", UNUSUAL],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )
    assert (result.returncode, result.stdout) == (2, "class ??\n")
    assert result.stderr == "x.py: error: file \\xff.tif\n"


@pytest.mark.parametrize("noted", [[], ["noted"]])
@pytest.mark.parametrize(("number", "status"), INTERRUPTIONS)
def test_a_signal_ends_a_program_after_its_cleanup_with_the_right_status(number, status, noted):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *noted],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as program:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(number)
        out, err = program.communicate(timeout=30)
    assert program.returncode == status
    assert out == "saved\n" * len(noted) + "tidied up\n" and err == (
        "" if noted else "x.py: stopped\n"
    )
