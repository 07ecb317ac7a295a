"""Standard output and error that are closed, full, or not read: data/files/streams.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).parents[2]
# fd 2 must not become the number of the file that is opened next.
PROGRAM = """
import os, sys
from data.terminal import note, one_line_errors, progress, say
with one_line_errors("x.py"):
    progress("half")
    say("one")
    sys.stdout.write("")  # as libraries do
    sys.stderr.write("")
    with open(sys.argv[1], "w") as file:
        os.write(1, b"from a library") if sys.argv[2] == "1" else os.write(2, b"from a library")
        note("two")
        file.write("content")
    say("three")
    if len(sys.argv) > 3:
        raise OSError("bad")
"""
# With this variable nothing waits in memory, and nothing can fail when Python ends.
BUFFERED = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
SHELL = '"$0" -c "$1" "$2" {number} {more} {redirect}'


def run(file: Path, redirect: str, number: int = 2, more: str = "") -> subprocess.CompletedProcess:
    line = SHELL.format(number=number, more=more, redirect=redirect)
    command = ["bash", "-c", line, sys.executable, PROGRAM, file]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=BUFFERED)


@pytest.mark.parametrize(("redirect", "number"), [("2>&-", 2), (">&-", 1), ("<&- >&- 2>&-", 2)])
def test_a_closed_stream_is_the_null_device_and_no_other_file(tmp_path, redirect, number):
    done = run(tmp_path / "a.txt", redirect, number)
    assert done.returncode == 0
    assert done.stdout == ("" if ">&-" in redirect.replace("2>&-", "") else "one\nthree\n")
    assert done.stderr == ("" if "2>&-" in redirect else "note: two\n")
    assert (tmp_path / "a.txt").read_text() == "content"


def test_an_error_keeps_its_status_where_nobody_can_read_it(tmp_path):
    for redirect in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        done = run(tmp_path / "a.txt", redirect, more="fail")
        assert (done.returncode, done.stderr) == (2, "")


def without_reader(*command) -> tuple[int, str]:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        options = {"stdout": writer, "stderr": subprocess.PIPE, "text": True, "env": BUFFERED}
        done = subprocess.run(command, cwd=ROOT, **options)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


def test_a_pipe_that_nobody_reads_ends_the_program_quietly(tmp_path):
    assert without_reader(sys.executable, "-c", PROGRAM, tmp_path / "a", "2") == (141, "")
    assert not (tmp_path / "a").exists()
    status, printed = without_reader(sys.executable, "reproject.py", "--help")
    assert status in (0, 141) and printed == ""  # argparse of some versions drops the error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
def test_a_full_disk_behind_standard_output_is_one_line(tmp_path):
    done = run(tmp_path / "a.txt", "> /dev/full")
    expected = "x.py: error: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, expected)


# What `python -OO` does, but only to our own modules: it would compile torch and numpy, too.
WITHOUT_DOCSTRINGS = """
import sys
from importlib.machinery import SourceFileLoader

def get_code(loader, name):
    path = loader.get_filename(name)
    return compile(loader.get_data(path), path, "exec", dont_inherit=True, optimize=2)

SourceFileLoader.get_code = get_code
for name in [*sys.modules]:
    if name.partition(".")[0] in ("data", "unet"):
        del sys.modules[name]
import data.classes
if data.classes.__doc__:
    raise SystemExit("data.classes has its docstring")
script = sys.argv.pop(1)
code = compile(open(script).read(), script, "exec", optimize=2)
exec(code, {"__name__": "__main__", "__doc__": None})
"""


@pytest.mark.parametrize(
    ("script", "option"),
    [("train", "--keep-share"), ("predict", "--overlay"), ("reproject", "--vote-weights")],
)
def test_a_script_runs_without_its_docstrings(script, option):
    done = warm.run(WITHOUT_DOCSTRINGS, ROOT / f"{script}.py", "--help")
    assert done.returncode == 0 and option in done.stdout, done.stderr


def test_a_console_that_knows_only_ascii(tmp_path):
    """LC_ALL=C: the system's names of files are bytes, and standard output has only ASCII."""
    missing = tmp_path / "\N{SNOWMAN}.tif"
    command = [sys.executable, "reproject.py", missing, "--crs", "EPSG:3857", "-o", missing]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert r"\xe2\x98\x83.tif: no such file" in done.stderr
