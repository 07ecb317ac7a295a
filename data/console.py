"""The command line: options, errors and progress in one line each, signals, durations, paths.

A script wraps its work in `one_line_errors` and exits with the status that shells expect: 2 for an
error that the user can correct, 130 for Ctrl-C (SIGINT), 143 for SIGTERM.

Read beside it: tests/data/test_console.py.
"""

import argparse
import math
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data.files import InputError, version


class Interrupted(KeyboardInterrupt):
    """Raised when the program is to end: by Ctrl-C (SIGINT), or by the system (SIGTERM).

    Args:
        number: The signal. `status` is the exit status that shells report for it, 128 + number.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class Signals:
    """A block in which SIGINT and SIGTERM are noted in `seen` and do not interrupt.

    The work inside can then stop at a point from which it can be resumed. A second SIGINT raises
    Interrupted at once.
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

    Ctrl-C becomes status 130 and SIGTERM 143, after the blocks inside have cleaned up. Any other
    exception is a bug and keeps its traceback. The handler of SIGTERM is restored at the end.
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
    """Print `script: error: ...` in one line; for an OSError the file and the reason."""
    named = isinstance(error, OSError) and error.strerror and error.filename
    message = f"{error.filename}: {error.strerror}" if named else str(error)
    progress("")
    print(f"{script}: error: {' '.join(message.split())}", file=sys.stderr, flush=True)


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help with the defaults, where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default not in (None, False, [])
        return super()._get_help_string(action) if shown else action.help


class _Version(argparse.Action):
    """Print the version and end. It is looked up when it is wanted."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        print(version())
        parser.exit()


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors, where it would print all options first.

    Args:
        manual: docstring of the script. Its first paragraph stands in the help.
        gone: options of earlier versions, and what to do instead.
    """

    def __init__(self, manual: str, gone: Mapping[str, str] | None = None):
        super().__init__(description=manual.split("\n\n")[0], formatter_class=_Help)
        self.gone = gone or {}
        self.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")

    def error(self, message: str) -> None:
        """Raise InputError for a mistake in the options. argparse calls this."""
        for word in message.split():
            option = word.split("=")[0]
            if option in self.gone:
                raise InputError(f"{option} is gone; {self.gone[option]}")
        raise InputError(f"{message}; --help lists the options")


def within(
    kind: type,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> Callable[[str], float]:
    """Make a `type` for argparse: a finite int or float within limits.

    Args:
        kind: int or float.
        least: Smallest value, included.
        most: Largest value, included.
        above: Lower limit, excluded.
        below: Upper limit, excluded.

    >>> within(float, above=0, below=1)("0.2")
    0.2
    """
    limits = {"at least": least, "at most": most, "above": above, "below": below}

    def parse(text: str) -> float:
        value = kind(text)
        # NaN and infinity are not in these limits.
        if not (least <= value <= most and above < value < below):
            finite = {name: limit for name, limit in limits.items() if math.isfinite(limit)}
            described = " and ".join(f"{name} {limit:,}" for name, limit in finite.items())
            raise argparse.ArgumentTypeError(f"{text} must be a number {described}")
        return value

    parse.__name__ = kind.__name__  # for argparse's message "invalid float value"
    return parse


def say(text: str) -> None:
    """Print a line, in the place of the progress line."""
    progress("")
    print(text, flush=True)


def progress(text: str) -> None:
    """Show a line that the next one overwrites; only on a terminal, and cut to its width."""
    if sys.stderr.isatty():
        text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Format a duration.

    >>> duration(125), duration(3725)
    ('2:05', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def from_here(path: str | Path) -> str:
    """Return a path as one types it in the current folder, such as .venv/bin/python."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def command(script: str | Path, *arguments: object) -> str:
    """Return the shell command that runs a script with this Python from the current folder."""
    words = [from_here(sys.executable), from_here(script), *map(str, arguments)]
    return shlex.join(words)
