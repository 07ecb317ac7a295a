"""Errors that the user can correct, and the checks of files that raise them.

Read beside it: tests/data/test_files.py.
"""

import contextlib
import os
import stat
from collections.abc import Iterator


class InputError(ValueError):
    """An error that the user can correct: `file: what is wrong; what to do` in one line.

    The scripts print it without a traceback and exit with status 2. Errors of the program are other
    exceptions and keep their traceback.
    """


class WrongTable(InputError):
    """A mask does not fit the class table. The other masks of a training do not fit it either."""


def require_file(path: str | os.PathLike) -> None:
    """Raise InputError if a path is a pipe, a device or a folder: to open it could wait for ever.

    Raises FileNotFoundError if there is nothing.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; check its name and folder") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"{path}: is {kind}; give a file")


def read_bytes(path: str | os.PathLike, most: int = -1) -> bytes:
    """Read at most `most` bytes of a regular file, by default all. Every error names the file."""
    require_file(path)
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:  # an error of reading has no file name in Python
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Add the name of a file to an InputError that does not name it."""
    try:
        yield
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None


def refuse_input(output: str | os.PathLike, *inputs: str | os.PathLike) -> None:
    """Raise InputError if the output is the same file as an input, also through links."""
    if os.path.exists(output) and any(os.path.samefile(path, output) for path in inputs):
        raise InputError(f"{output}: is an input; give the output another name")
