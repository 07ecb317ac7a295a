"""The end of a script: errors in one line, signals, and the exit status.

A script does its work in a block `with one_line_errors(...)`. The exit status is the one that
shells expect: 2 for an error that the user can correct, 130 for Ctrl-C (SIGINT), 143 for SIGTERM.

Read beside it: tests/data/terminal/test_signals.py.
"""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.files import (
    InputError,
    Interrupted,
    message_of,
    one_line,
    printable,
    put_error,
    stopping,
    usable_streams,
)
from data.terminal.lines import progress


class Signals:
    """A block in which SIGINT and SIGTERM do not interrupt; `seen` is the number of the last one.

    So the code in the block can stop at a point from which it can be resumed. A second SIGINT
    raises Interrupted at once. Where the code has not stopped, the end of the block raises it.
    """

    def __enter__(self) -> "Signals":
        self.seen = 0
        self.before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, kind: type | None, *exception) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.seen and kind is None:
            raise Interrupted(self.seen)

    def _note(self, number: int, frame: object) -> None:
        if number == signal.SIGINT == self.seen:
            raise Interrupted(number)
        self.seen = number


@contextmanager
def one_line_errors(script: str, *others: type[Exception]) -> Iterator[None]:
    """Turn InputError, OSError and `others` into `script: error: ...` and exit status 2.

    Ctrl-C and SIGTERM end the program as `data.files.stopping` describes. Any other exception is a
    bug and keeps its traceback. Standard output and standard error may be closed, see
    data/files/streams.py.
    """
    reported: tuple[type[Exception], ...] = (InputError, OSError, *others)
    with usable_streams(), stopping(script):
        try:
            yield
        except reported as error:
            say_error(script, error)
            sys.exit(2)
        except (MemoryError, RuntimeError) as error:
            short = of_memory(error)
            if short is error:
                raise
            say_error(script, short)
            sys.exit(2)


def of_memory(error: Exception, file: object = "the memory") -> Exception:
    """Return an InputError if an error means that the memory is full, else the error.

    Args:
        error: Any error. torch and Python raise several kinds when the memory is full.
        file: The file that was processed.
    """
    signs = "can't start new thread", "could not create a primitive", "can't allocate memory"
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in signs):
        return InputError(f"{file}: the memory is full ({str(error)[:60]}); close other programs")
    return error


def say_error(script: str, error: Exception, file: Path | None = None) -> None:
    """Print `script: error: ...` in one line. An OSError is printed as `file: reason`.

    Args:
        script: Name of the script.
        error: The error.
        file: The file that was processed. With it, an error of the program, which is neither an
            InputError nor an OSError, is printed with its traceback and the name of the file.
    """
    message = message_of(error)
    if file and not isinstance(error, (InputError, OSError)):
        put_error(printable("".join(traceback.format_exception(error)), keep="\n"))
        message = f"{file}: {type(error).__name__}: {error}"
    progress("")
    put_error(f"{script}: error: {printable(one_line(message))}")
