"""Run the scripts as processes that can be stopped at any moment, and check what they leave.

For tests/bench/soak_runs.py. A script is run in a fork of this process, which has imported torch
once. So a run takes a second, and a random moment falls into its work. A process that starts
scripts must have no threads.
"""

import atexit
import contextlib
import csv
import json
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import torch
import torch._dynamo  # an optimizer imports it, which takes seconds

import predict  # noqa: F401  so that a run does not import it
import reproject  # noqa: F401
import train  # noqa: F401
from data import terminal
from data.files import version

ROOT = Path(__file__).parents[1]
SECONDS = 120  # a run that takes longer hangs
HEEDED = 20  # seconds between a signal and the end of the process, on a busy machine
CHILDREN = 15  # seconds that worker processes may outlive the main process
MEMORY = 2**31  # bytes beyond those of this process; the largest run takes a third of it
version()  # is cached, so that an edit of the program does not change it in the middle
SIGNALS = {signal.SIGINT, signal.SIGTERM}
BAD = "Traceback", "Exception ignored", "Fatal Python error"
TIMES = "seconds", "images_per_second", "peak_memory_mb"


class Finding(NamedTuple):
    """What should not have happened. The kinds are the columns of the table."""

    kind: str  # "lost", "tracebacks" or "leftovers"
    text: str


class Started:
    """A script that runs in a session of its own. A context manager, which ends all its processes.

    Args:
        folder: The current folder of the script. Its output goes to output_N.txt there.
        script: "train.py", or a module such as "data.output.change".
        words: The command line.
        temporary: The folder for temporary files of the system; by default tmp in `folder`.
        most_bytes: The size of the largest file that the script may write.
    """

    def __init__(
        self,
        folder: Path,
        script: str,
        *words: object,
        temporary: Path | None = None,
        most_bytes: int | None = None,
    ):
        self.command = f"{script} {' '.join(map(str, words))}"
        self.temporary, self.most_bytes = temporary or folder / "tmp", most_bytes
        self.temporary.mkdir(exist_ok=True)
        self.status: int | None = None
        self._output = folder / f"output_{len([*folder.glob('output_*')])}.txt"
        self._output.touch()
        self._inherited = resident(os.getpid())  # what this process holds, the fork holds, too
        # A signal waits until the script handles it, as if its imports took no time.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.pid = os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        else:
            status = 1
            try:
                status = self._run(folder, script, [str(word) for word in words])
            finally:
                os._exit(status)

    def _run(self, folder: Path, script: str, words: list[str]) -> int:
        """Become the script. Return the exit status."""
        os.setsid()
        output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # pytest has replaced both.
        sys.stdout = open(1, "w", encoding="utf-8")
        sys.stderr = open(2, "w", encoding="utf-8", buffering=1, errors="backslashreplace")
        os.chdir(folder)
        os.environ["TMPDIR"], tempfile.tempdir = str(self.temporary), None
        multiprocessing.set_start_method(None, force=True)  # the caller may start by "spawn"
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        terminal.one_line_errors = _unblocked(terminal.one_line_errors)
        with contextlib.suppress(OSError, ValueError):  # before it does harm
            resource.setrlimit(resource.RLIMIT_DATA, (4 * MEMORY, 4 * MEMORY))
        if self.most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.most_bytes, self.most_bytes))
        sys.argv = [script, *words]
        status = 0
        try:
            if script.endswith(".py"):
                runpy.run_path(str(ROOT / script), run_name="__main__")
            else:
                runpy.run_module(script, run_name="__main__", alter_sys=True)
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
        except BaseException:
            traceback.print_exc()
            status = 1
        atexit._run_exitfuncs()  # ends worker processes
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *error) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def runs(self) -> bool:
        """Return whether the process has not ended yet."""
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                self.memory = peak - self._inherited
        return self.status is None

    def wait(self, until: Callable[[], bool] = lambda: False, seconds: float = SECONDS) -> None:
        """Wait until a condition holds, the process ends, or the time is over."""
        end = time.monotonic() + seconds
        while self.runs() and not until() and time.monotonic() < end:
            time.sleep(0.001)

    def send(self, number: int) -> None:
        """Send a signal to the process, SIGINT to its children, too, as a terminal does."""
        if self.runs():
            try:
                (os.killpg if number == signal.SIGINT else os.kill)(self.pid, number)
            except ProcessLookupError:  # it has no group yet
                os.kill(self.pid, number)

    def text(self) -> str:
        """Return what the script has printed."""
        return self._output.read_text("utf-8", "replace")

    def problems(self, *allowed: int, seconds: float = SECONDS) -> list[Finding]:
        """Wait for the end. Return a finding if it is not one of the allowed exit statuses."""
        self.wait(seconds=seconds)
        text, found = self.text(), []
        if self.status is None:
            found.append(Finding("tracebacks", f"no end after {seconds} s"))
        elif any(bad in text for bad in BAD):
            found.append(Finding("tracebacks", "a traceback"))
        elif self.status not in allowed:
            found.append(Finding("tracebacks", f"status {self.status}, not {allowed}"))
        elif self.status == 2 and text.count(": error: ") != 1:
            found.append(Finding("tracebacks", "not one line of error"))
        elif self.memory > MEMORY:
            found.append(Finding("tracebacks", f"{self.memory >> 20} MiB of memory"))
        if self.status is not None:
            # A worker process looks every five seconds whether the main process still runs.
            self._wait_for_children(CHILDREN)
            if left := self._children():
                found.append(Finding("leftovers", f"processes {left}"))
        last = f"{self.command!r}: {' / '.join(text.strip().splitlines()[-3:])[-300:]}"
        return [Finding(kind, f"{what}: {last}") for kind, what in found]

    def _wait_for_children(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._children() and time.monotonic() < end:
            time.sleep(0.1)

    def _children(self) -> list[str]:
        """List the processes of the session that still run, without those that have ended."""
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return []
        listed = subprocess.run(
            ["ps", "-A", "-o", "pgid=,stat=,pid="], capture_output=True, text=True
        )
        rows = [line.split() for line in listed.stdout.splitlines()]
        return [
            pid
            for group, state, pid in rows
            if group == str(self.pid) and not state.startswith("Z")
        ]


def _unblocked(handler: Callable) -> Callable:
    """Let SIGINT and SIGTERM arrive only inside a block of `one_line_errors`."""

    @contextlib.contextmanager
    def block(*arguments):
        with handler(*arguments):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    return block


def resident(pid: int) -> int:
    """Return the memory of a process in bytes."""
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
    return int(listed.stdout or 0) * 1024


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files in a folder, by their path in it, without temporary ones."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".tmp")
    }


def leftovers(folder: Path) -> list[Finding]:
    """Find temporary files of the product, and anything in folders tmp."""
    left = {*folder.rglob(".*.tmp"), *folder.glob("tmp/*"), *folder.glob("*/tmp/*")}
    # torch keeps an empty folder for compiled code.
    left = {path for path in left if not path.name.startswith("torchinductor_")}
    return [Finding("leftovers", str(path)) for path in sorted(left)]


def read(path: Path) -> None:
    """Read a whole file by its suffix. Raise an exception if it is not complete."""
    if path.suffix == ".pt":
        torch.load(path, weights_only=True)
    elif path.suffix == ".npy":
        np.load(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".xml":
        ElementTree.parse(path)
    elif path.suffix == ".csv":
        with open(path, newline="") as file:
            header, *rows = csv.reader(file)
        if not rows or any(len(row) != len(header) for row in rows):
            raise ValueError("a row is not complete")
    elif path.suffix == ".html":
        if not path.read_text().rstrip().endswith("</html>"):
            raise ValueError("its end is missing")
    elif path.suffix == ".png":
        imagecodecs.png_decode(path.read_bytes())
    elif path.suffix == ".tif":
        import rasterio

        with rasterio.open(path) as raster:
            raster.read()


def damaged(folder: Path) -> list[Finding]:
    """Find files in a folder that are not complete, without temporary ones."""
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            try:
                read(path)
            except Exception as error:
                found.append(Finding("lost", f"{path}: {error!r}"))
    return found


def changed(folder: Path, *allowed: dict[str, bytes]) -> list[Finding]:
    """Find files in a folder whose bytes are in none of several sets of files."""
    return [
        Finding("lost", f"{folder / name}: other bytes")
        for name, content in contents(folder).items()
        if all(files.get(name) != content for files in allowed)
    ]


def different(run: Path, expected: Path) -> list[Finding]:
    """Find differences between two trainings: weights, states and rows, but not times."""
    found = damaged(run)
    for name in () if found else ("best.pt", "last.pt", "log.csv", "report.html", "train.log"):
        if not (run / name).exists():
            found.append(Finding("lost", f"{run / name}: is missing"))
    for name in () if found else ("best.pt", "last.pt"):
        one, other = (_state(folder / name) for folder in (run, expected))
        wrong = [key for key in other if not equal(one.get(key), other[key])]
        if wrong:
            found.append(Finding("lost", f"{run / name}: differs in {', '.join(wrong)}"))
    return found


def equal(one: object, other: object) -> bool:
    """Return whether two nested values are equal to the last bit. NaN is equal to NaN."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        alike = (one.dtype, one.shape) == (other.dtype, other.shape)
        return alike and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return repr(one) == repr(other)


def _state(path: Path) -> dict:
    """Load a checkpoint without what differs from run to run: times and options."""
    state = torch.load(path, weights_only=True)
    state["history"] = [
        {name: value for name, value in row.items() if name not in TIMES}
        for row in state["history"]
    ]
    return {name: value for name, value in state.items() if name != "settings"}
