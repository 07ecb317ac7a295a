"""What all packages share: an error for the user, the label IGNORE, and files that are written
whole.

A file is written under a temporary name in its own folder, flushed to the disk, and then renamed.
The rename is atomic (POSIX rename(2)): under its name there is at any time the earlier file or the
complete new one, whatever stops the program.

Read beside it: tests/data/test_files.py.
"""

import contextlib
import csv
import errno
import functools
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

IGNORE = 255  # label of a pixel without a class; it counts in no statistic, loss or metric

VERSION = "2.0.0"


class InputError(ValueError):
    """An error that the user can correct: `file: what is wrong; what to do` in one line.

    The scripts print it without a traceback and exit with status 2. Errors of the program are other
    exceptions and keep their traceback.
    """


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give an empty temporary file beside `path`; rename it to `path` when the block ends.

    On an exception the temporary file is removed and an earlier `path` stays as it was. Every call
    has a temporary file of its own, so two writers of one path do not mix their contents.

    Args:
        path: The file to write. It gets the permissions of an ordinary new file.

    Raises:
        FileNotFoundError: `path` is in a folder that does not exist.
        IsADirectoryError: `path` is a folder.
        OSError: The file cannot be written, or the disk is full; `filename` is `path`.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file in it")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        open(temporary, "x").close()  # "x": no other writer may have this name
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename == str(temporary):  # the user knows only `path`
            raise type(error)(error.errno, error.strerror, str(path)) from error
        # A failed write has no file name in Python.
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = f"{error.strerror}; make room and run again"
            raise OSError(error.errno, advice, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def refuse_input(output: str | os.PathLike, *inputs: str | os.PathLike) -> None:
    """Raise InputError if an output is one of some inputs, also through a symbolic or hard link."""
    if os.path.exists(output) and any(os.path.samefile(path, output) for path in inputs):
        raise InputError(f"{output}: is an input; give the output another name")


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it becomes `path` when the block ends well.

    When it does not, whatever the exception, the temporary folder is removed. Where another process
    has made `path` in the meantime, that folder stays. Raises OSError naming the parent folder
    where it takes no such file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # A killed process may have had the same number: in a container, numbers come again.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    except OSError as error:
        if error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path.parent)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_csv(path: str | os.PathLike, rows: Iterable[Iterable]) -> None:
    """Write rows of cells as a CSV file in UTF-8, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@functools.cache
def version() -> str:
    """Return the version: what `git describe` says of a checkout, else VERSION.

    Where no tag precedes the commit, VERSION stands before the commit's number.
    """
    folder = str(Path(__file__).parents[1])
    command = ["git", "-C", folder, "describe", "--tags", "--always", "--dirty"]
    try:
        described = subprocess.run(
            command, capture_output=True, text=True, timeout=5
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # no git here
        described = ""
    if "." in described or not described:
        return described or VERSION
    return f"{VERSION}+{described}"
