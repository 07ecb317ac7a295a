"""Lines for the terminal: messages, progress and durations.

All that the scripts print goes through `say`, `note`, `progress` or `say_error`. So no name of a
file, class or band controls the terminal.

Read beside it: tests/data/terminal/test_lines.py.
"""

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.files import printable, put, put_error

COUNTS = re.compile(r"[\d.,]+(?= pixels| ?%)")


def say(*lines: object) -> None:
    """Print lines. They replace the progress line. Control characters in them are escaped."""
    progress("")
    put("\n".join(map(printable, lines)))


def note(text: str) -> None:
    """Print a remark on standard error, `note: ...`. It replaces the progress line."""
    progress("")
    put_error(f"note: {printable(text)}")


def grouped(remarks: Iterable[tuple[str | Path, str]]) -> list[str]:
    """Join equal remarks on several files to one line each.

    Args:
        remarks: Pairs (file, remark).

    >>> grouped([("a.tif", "no CRS"), ("b.tif", "no CRS"), ("c.tif", "no CRS")])
    ['a.tif and 2 more files: no CRS']
    """
    files: dict[str, dict[str, None]] = {}
    for file, text in remarks:
        files.setdefault(text, {})[str(file)] = None
    lines = []
    for text, (first, *others) in files.items():
        more = f" and {len(others)} more file{'s' * (len(others) > 1)}" if others else ""
        lines.append(f"{first}{more}: {text}")
    return lines


class Notes:
    """Remarks on the files of a run. The first of each kind is printed, and others are counted.

    Two remarks `file: text` are of one kind if the texts differ in no more than counts of pixels
    and shares in %.
    """

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._files: dict[str, set[str]] = {}

    def say(self, *remarks: str) -> None:
        """Print each remark that is the first of its kind."""
        for remark in remarks:
            file, colon, text = remark.partition(": ")
            kind = COUNTS.sub("", text if colon else remark)
            if kind not in self._first:
                self._first[kind] = remark
                note(remark)
            self._files.setdefault(kind, set()).add(file)

    def say_counts(self) -> None:
        """Print on how many more files there was a remark of each kind."""
        for kind, files in self._files.items():
            if more := len(files) - 1:
                note(f"{more} more file{'s' * (more > 1)} like {self._first[kind]}")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Join names; of many, the first ones.

    >>> listed(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def progress(text: str) -> None:
    """Show a line that the next line overwrites. Without a terminal, nothing is shown."""
    if sys.stderr and sys.stderr.isatty():
        text = printable(text)[: shutil.get_terminal_size().columns - 1]
        put_error(f"\r\033[K{text}", end="")


def duration(seconds: float) -> str:
    """Format a duration as minutes:seconds or hours:minutes:seconds.

    >>> duration(125), duration(3725)
    ('2:05', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
