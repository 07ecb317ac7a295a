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

from data.files import InputError, printable, put_error, usable_streams
from data.terminal.lines import progress


class Interrupted(KeyboardInterrupt):
    """Raised when a signal ends the program: Ctrl-C (SIGINT), or SIGTERM from the system.

    Args:
        number: The number of the signal.

    Attributes:
        status: The exit status that shells report for the signal, 128 + number.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class Signals:
    """A block in which SIGINT and SIGTERM do not interrupt; `seen` is the number of the last one.

    So the code in the block can stop at a point from which it can be resumed. A second SIGINT
    raises Interrupted at once.
    """

    def __enter__(self) -> "Signals":
        self.seen = 0
        self.before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if number == signal.SIGINT == self.seen:
            raise Interrupted(number)
        self.seen = number


def _interrupt(number: int, frame: object) -> None:
    """The handler of SIGTERM inside `one_line_errors`."""
    raise Interrupted(number)


@contextmanager
def one_line_errors(script: str, *others: type[Exception]) -> Iterator[None]:
    """Turn InputError, OSError and `others` into `script: error: ...` and exit status 2.

    Ctrl-C gives status 130 and SIGTERM status 143, after the inner blocks have cleaned up. Any
    other exception is a bug and keeps its traceback. The handler of SIGTERM is restored at the end.
    Standard output and standard error may be closed, see data/files/streams.py.
    """
    reported: tuple[type[Exception], ...] = (InputError, OSError, *others)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with usable_streams():
            yield
    except reported as error:
        say_error(script, error)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        progress("")
        put_error(f"{script}: stopped")
        sys.exit(getattr(interrupt, "status", 130))
    finally:
        # None means that the handler was not set by Python, and cannot be restored.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def message_of(error: Exception) -> str:
    """Return the message of an error; `file: reason` for an OSError.

    >>> message_of(FileNotFoundError(2, "No such file or directory", "a.tif"))
    'a.tif: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


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
    put_error(f"{script}: error: {printable(' '.join(message.split()))}")
