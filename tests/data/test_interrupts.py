"""The end of a program by a signal: data/files/interrupts.py. Each program here is a process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBERS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
BEGIN = """
import ctypes, multiprocessing, os, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from data.files import replacing, replacing_folder
from data.terminal import Signals, one_line_errors

def ready():
    print("ready", flush=True)

with one_line_errors("x.py"), replacing("a.tif"), replacing_folder("cache") as folder:
    (folder / "image.npy").write_text("half of it")
"""
# Each of these waits a minute, unless the program is ended.
WAITS = {
    "python": "ready(); time.sleep(60)",
    # The signal does not reach the main thread, which never comes back to Python.
    "library": "signal.pthread_sigmask(signal.SIG_BLOCK, [2, 15]); ready(); "
    "ctypes.CDLL(None).sleep(60)",
    "thread": "ThreadPoolExecutor().submit(time.sleep, 60); ready(); time.sleep(60)",
    "finally": """
    try:
        ready()
        time.sleep(60)
    finally:
        time.sleep(60)""",
    "child": "multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,)).start(); "
    "ready(); time.sleep(60)",
    "error": """
    try:
        ready()
        time.sleep(60)
    except BaseException:
        raise RuntimeError("the library failed")""",
    "ignored": """
    try:
        ready()
        time.sleep(60)
    except BaseException:
        pass""",
}


def start(folder: Path, code: str) -> subprocess.Popen:
    """Start a program, and wait until it is ready."""
    program = subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN}    {code.strip()}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert program.stdout.readline() == "ready\n"
    return program


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize(("number", "status"), NUMBERS)
def test_a_signal_ends_a_program_at_once_whatever_it_waits_for(tmp_path, wait, number, status):
    with start(tmp_path, WAITS[wait]) as program:
        began = time.monotonic()
        program.send_signal(number)
        _, err = program.communicate(timeout=50)  # the pipes are open until children have ended
    assert (program.returncode, err) == (status, "x.py: stopped\n")
    assert time.monotonic() - began < 20 and list(tmp_path.glob(".*")) == []


NOTED = """
    with Signals() as signals:
        {child}
        ready()
        while not signals.seen:
            time.sleep(0.01)
        print("noted", flush=True)
        {then}"""
BLOCKED = "signal.pthread_sigmask(signal.SIG_BLOCK, [2, 15]); ctypes.CDLL(None).sleep(60)"


def test_a_noted_signal_ends_the_program_at_the_end_of_the_block(tmp_path):
    with start(tmp_path, NOTED.format(child="", then="time.sleep(2); print('saved')")) as program:
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=50)
    assert (program.returncode, out, err) == (130, "noted\nsaved\n", "x.py: stopped\n")


def test_a_second_ctrl_c_ends_a_program_that_notes_the_first(tmp_path):
    with start(tmp_path, NOTED.format(child="", then=BLOCKED)) as program:
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "noted\n"
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=50)
    assert (program.returncode, err) == (130, "x.py: stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_signals_of_a_forked_process_do_not_end_its_parent(tmp_path):
    """A terminal sends Ctrl-C to all processes."""
    child = """child = os.fork()
        if not child:
            try:
                signal.raise_signal(2)
                signal.raise_signal(2)
            finally:
                os._exit(0)
        os.waitpid(child, 0)"""
    with start(tmp_path, NOTED.format(child=child, then="time.sleep(1)")) as program:
        time.sleep(1)
        assert program.poll() is None
        program.send_signal(signal.SIGINT)
        out, _ = program.communicate(timeout=50)
    assert (program.returncode, out) == (130, "noted\n")
