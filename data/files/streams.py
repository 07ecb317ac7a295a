"""Standard output and standard error, which may be closed, full, or a pipe that nobody reads.

A program whose standard output is a closed pipe (`| head -1`) ends quietly. Lines for standard
error that cannot be written are dropped, because a remark must not end the work.

Read beside it: tests/data/test_streams.py.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def usable_streams() -> Iterator[None]:
    """Make standard output and standard error usable in a block, whatever they are.

    A closed one (`2>&-`) becomes the null device. Otherwise the next file that is opened would get
    its number, and messages of libraries would be written into that file. Characters that the
    encoding lacks are printed as question marks.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the smallest free number, which is this one
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        # Python itself would report a closed pipe at its end with a traceback.
        put("", end="")
        put_error("", end="")


def put(text: str, end: str = "\n") -> None:
    """Print a text on standard output.

    Raises:
        SystemExit: Nobody reads the pipe. The status is that of a program which SIGPIPE ended.
        OSError: The text cannot be written otherwise.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        _silence(sys.stdout)
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        _silence(sys.stdout)
        raise type(error)(error.errno, error.strerror, "standard output") from None


def put_error(text: str, end: str = "\n") -> None:
    """Print a text on standard error, if it can be written."""
    if sys.stderr is None:  # print would take standard output
        return
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Connect a stream to the null device. What waits in it would fail again at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
