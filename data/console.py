"""What the scripts say on a terminal: errors in one line, progress in one line, durations, commands to copy.

Read beside it: tests/test_console.py.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data import InputError


@contextmanager
def one_line_errors(script: str, *others: type[Exception]) -> Iterator[None]:
    """Turn InputError, OSError (no such file, disk full) and `others` into `script: error: ...` and status 2.

    Ctrl-C becomes status 130. Whatever else is raised is a bug, and keeps its traceback.
    """
    try:
        yield
    except (InputError, OSError, *others) as error:
        named = isinstance(error, OSError) and error.strerror and error.filename
        message = f"{error.filename}: {error.strerror}" if named else str(error)
        progress("")
        print(f"{script}: error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        progress("")
        print(f"{script}: stopped", file=sys.stderr)
        sys.exit(130)


def progress(text: str) -> None:
    """A line that the next one overwrites; only on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """'2:05' or '1:02:05'."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"


def python_command() -> str:
    """How to call this Python from here: .venv/bin/python rather than a long path."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
