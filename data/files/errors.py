"""Errors that the user can correct, and the checks of files that raise them.

Read beside it: tests/data/test_files.py.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.files.names import printable


class InputError(ValueError):
    """An error that the user can correct: `file: what is wrong; what to do` in one line.

    The scripts print it without a traceback and exit with status 2. Errors of the program are other
    exceptions and keep their traceback.
    """


class WrongTable(InputError):
    """A mask does not fit the class table. The other masks of a training do not fit it either."""


def message_of(error: Exception) -> str:
    """Return the message of an error; `file: reason` for an OSError.

    >>> message_of(FileNotFoundError(2, "No such file or directory", "a.tif"))
    'a.tif: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{printable(error.filename)}: {error.strerror}"
    return str(error)


def one_line(message: str) -> str:
    r"""Join the lines of a message. Spaces in it stay as they are, because a name may have several.

    >>> one_line("a  b.tif: cut off;\n   take another")
    'a  b.tif: cut off; take another'
    """
    return " ".join(line.strip() for line in message.splitlines())


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


def refuse_input(outputs: Iterable[Path | str], inputs: Iterable[Path | str]) -> None:
    """Raise InputError if a command would write over one of its inputs.

    Files are compared, not names: through links, and where the system ignores case. A script calls
    this function before it writes anything.

    Args:
        outputs: Every file that the command may write.
        inputs: Every file that it may read, with the files that belong to them, see
            data/raster/sidecars.py; and folders, for all files in them. A name that does not exist
            yet is compared, too: a new file x.tif.msk would be the mask of x.tif.
    """
    waiting, given = [*inputs], set()
    while waiting:
        path = waiting.pop()
        given.add(_identity(path))
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                # A link could lead to the root of the disk.
                waiting += [e.path for e in entries if not (e.is_symlink() and e.is_dir())]
    for path in outputs:
        if _identity(path) in given:
            raise InputError(f"{path}: is an input; give the output another name or folder")


def _identity(path: Path | str) -> tuple:
    """Return device and inode of a file; of a missing one, its folder and its name without case."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino
    except OSError:
        folder, name = os.path.split(path)
        return _identity(folder or "."), name.casefold()
