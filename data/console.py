"""How the scripts talk with people: options, errors and progress in one line each, Ctrl-C,
durations, commands to copy.

Read beside it: tests/data/test_console.py.
"""

import argparse
import math
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.files import InputError


class Interrupted(KeyboardInterrupt):
    """Somebody wants the program to end: a person by Ctrl-C (SIGINT), or the system (SIGTERM)."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number  # as shells report it: 130 and 143


class Signals:
    """While it is entered, SIGINT and SIGTERM are noted in `seen` and disturb nothing.

    So that work can be left at a place from which it can go on. A second SIGINT raises at once, for
    those in a hurry.
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
    raise Interrupted(number)


@contextmanager
def one_line_errors(script: str, *others: type[Exception]) -> Iterator[None]:
    """Turn InputError, OSError (no such file, disk full) and `others` into `script: error: ...` and
    status 2.

    Ctrl-C becomes status 130 and SIGTERM 143, after what was begun has been tidied up. Whatever
    else is raised is a bug, and keeps its traceback.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except (InputError, OSError, *others) as error:
        say_error(script, error)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        progress("")
        print(f"{script}: stopped", file=sys.stderr)
        sys.exit(getattr(interrupt, "status", 130))
    finally:
        # None stands for a handler that was not set by Python and cannot be set again.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def say_error(script: str, error: Exception) -> None:
    """`script: error: ...` in one line; of an OSError the file and the reason."""
    named = isinstance(error, OSError) and error.strerror and error.filename
    message = f"{error.filename}: {error.strerror}" if named else str(error)
    progress("")
    print(f"{script}: error: {' '.join(message.split())}", file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are InputErrors: one line, where it would print all the options first."""

    def error(self, message: str) -> None:
        """What argparse calls for every mistake in the options."""
        raise InputError(f"{message}; --help lists the options")


def within(
    kind: type,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> Callable[[str], float]:
    """A `type` for argparse: a finite int or float in the limits; `least` and `most` are among the
    values.

    >>> within(float, above=0, below=1)("0.2")
    0.2
    """
    limits = {"at least": least, "at most": most, "above": above, "below": below}

    def parse(text: str) -> float:
        value = kind(text)
        if not (
            least <= value <= most and above < value < below
        ):  # False for NaN, and for infinity
            said = " and ".join(
                f"{name} {limit:,}" for name, limit in limits.items() if math.isfinite(limit)
            )
            raise argparse.ArgumentTypeError(f"{text} must be a number {said}")
        return value

    parse.__name__ = kind.__name__  # argparse says "invalid float value"
    return parse


def progress(text: str) -> None:
    """A line that the next one overwrites; only on a terminal, and cut at its edge, beyond which it
    would stay.
    """
    if sys.stderr.isatty():
        text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """'2:05' or '1:02:05'."""
    minutes, seconds = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        if minutes >= 60
        else f"{minutes}:{seconds:02}"
    )


def from_here(path: str | Path) -> str:
    """A path as one types it in the current folder: .venv/bin/python rather than a long one."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def python_command() -> str:
    """How to call this Python from here."""
    return from_here(sys.executable)
