"""Start scripts in forks of a process that has imported them, torch included, once for all tests.

A start takes milliseconds of a processor; that of a new Python takes three seconds. The fork has
the command line, folder, environment, signals and streams that a new process would have. The
process that forks has no threads, and holds nothing of the tests. What Python itself does when it
starts (its options, closed streams, the encoding) is tested by a new Python in
tests/data/test_streams.py.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["train", "predict", "reproject", "torch._dynamo"])


def context() -> multiprocessing.context.ForkServerContext:
    """Start the process that forks, unless it runs. Return the context of its forks."""
    here = os.getcwd()
    os.chdir(ROOT)  # where the first start of all finds the scripts
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(here)
    return CONTEXT


class Warm:
    """A script that runs in a session of its own, with the interface of subprocess.Popen.

    Args:
        script: The path of a script, or the text of a program.
        words: Its command line.
        folder: Its current folder; by default that of the tests.
        environment: Variables beside those of the tests.
    """

    def __init__(
        self, script: Path | str, *words: object, folder: Path | None = None, **environment
    ):
        self._files = [tempfile.NamedTemporaryFile() for _ in range(2)]
        names = [file.name for file in self._files]
        here, environment = os.getcwd(), {**os.environ, **environment}
        arguments = script, [*map(str, words)], folder or here, environment, names
        self._process = CONTEXT.Process(target=_become, args=arguments)
        context()
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    poll = returncode.fget

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 300) -> int:
        """Wait for the end. A process that does not end is killed."""
        self._process.join(timeout)
        if self.returncode is None:
            self._process.kill()
            raise subprocess.TimeoutExpired("fork", timeout)
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for the end. Return what the script has printed: standard output and error."""
        self.wait(timeout)
        out, err = (Path(file.name).read_text("utf-8") for file in self._files)
        return out, err


def run(script: Path | str, *words: object, **options) -> subprocess.CompletedProcess:
    """Run a script as `Warm` does. Return its exit status and what it has printed."""
    process = Warm(script, *words, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess([script, *words], process.returncode, out, err)


def _become(script: Path | str, words: list[str], folder: Path, environment: dict, files: list):
    """Become the script in this process."""
    os.setsid()
    for number, name in enumerate(files, start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # What multiprocessing has handed on from the process of the tests.
    tempfile.tempdir = None
    multiprocessing.current_process()._config.pop("tempdir", None)
    multiprocessing.set_start_method(None, force=True)
    try:
        if isinstance(script, Path):
            sys.argv = [str(script), *words]
            runpy.run_path(str(script), run_name="__main__")
        else:
            sys.argv = ["-c", *words]
            exec(script, {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # a fork skips what a new Python does at its end
