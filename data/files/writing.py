"""Files and folders that are written whole or not at all.

A file is written under a temporary name in its own folder, flushed to the disk, and then renamed.
The rename is atomic (POSIX rename(2)). So the name always belongs to the earlier file or to the
complete new file, even if the program is stopped. A temporary file that a killed program left is
removed by the next program that writes into its folder.

Read beside it: tests/data/test_files.py.
"""

import contextlib
import csv
import errno
import fcntl
import functools
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.files.names import cell

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")  # the names that `temporary_beside` gives
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a quota, a limit of file sizes
OWN: set[Path] = set()  # the temporary files and folders of this process
MAKING = threading.Lock()  # held while one is made


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary file beside `path`, and rename it to `path` when the block ends.

    On an exception the temporary file is removed, and an earlier file at `path` is unchanged. Every
    call has its own temporary file, so two writers of one path do not mix their contents.

    Args:
        path: The file to write. It gets the permissions of an ordinary new file.

    Raises:
        FileNotFoundError: `path` is in a folder that does not exist.
        IsADirectoryError: `path` is a folder.
        OSError: The file cannot be written, or the disk is full. The error names `path`.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file in it")
    try:
        with naming_full_disk(path), temporary_beside(path, folder=False) as temporary:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        if is_temporary(error.filename, path):  # name `path`, the file that the user knows
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


@contextlib.contextmanager
def naming_full_disk(
    path: str | os.PathLike, advice: str = "make room and run again"
) -> Iterator[None]:
    """Name a file or folder, and what to do, in the OSError of a write to a full disk.

    In Python the error of a failed write has no file name. So an error without one, of a block that
    writes several files, is named at the write itself.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        if error.errno == errno.EFBIG:
            advice = "raise the limit of file sizes (ulimit -f), or name another disk"
        raise OSError(error.errno, f"{error.strerror}; {advice}", os.fspath(path)) from error


@contextlib.contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """Make the folder of a file; what was made and is empty when the block ends is removed."""
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a folder that is not empty
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def temporary_beside(path: Path, folder: bool) -> Iterator[Path]:
    """Yield a new temporary file or folder beside `path`. It is removed when the block ends.

    The process holds a lock on it. The lock ends with the process, also if it is killed. So what
    `remove_left` finds without a lock was left by a killed process.
    """
    remove_left(path.parent.resolve())
    with contextlib.ExitStack() as held:
        while True:
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
            with MAKING:
                OWN.add(temporary)
                temporary.mkdir() if folder else open(temporary, "x").close()
            try:
                held.enter_context(lock(temporary))
            except (BlockingIOError, FileNotFoundError):
                OWN.discard(temporary)
                continue  # another process found it before it was locked, and removes it
            except OSError:
                break  # a file system without locks
            if temporary.exists():
                break
        try:
            yield temporary
        finally:
            _remove(temporary)
            OWN.discard(temporary)


@functools.cache
def remove_left(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder.

    A process does this once for each folder.
    """
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError), lock(path):
                _remove(path)


def remove_own() -> None:
    """Remove the temporary files and folders of this process, which is about to end."""
    for path in list(OWN):
        with contextlib.suppress(OSError):
            _remove(path)


def is_temporary(name: object, path: Path) -> bool:
    """Return whether a file name is that of a temporary file of `path`, or in such a folder."""
    parts = Path(name).parts[-2:] if isinstance(name, str) else ()
    return any(part.startswith(f".{path.name}.") for part in parts)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file or folder. It ends with the block or with the process.

    Raises:
        BlockingIOError: Another process holds it.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file or folder. Several may ask at once."""
    opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks
    finally:
        os.close(opened)
    return False


def _remove(path: Path) -> None:
    """Remove a file or folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, and rename it to `path` when the block ends.

    On an exception the temporary folder is removed. If another process has made `path` in the
    meantime, the folder of that process is kept.

    Raises:
        OSError: The folder cannot be written, or the disk is full. The error names the parent
            folder.
    """
    path = Path(path)
    try:
        with naming_full_disk(path.parent), temporary_beside(path, folder=True) as temporary:
            yield temporary
            try:
                temporary.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
    except OSError as error:
        if error.errno and (error.filename is None or is_temporary(error.filename, path)):
            raise OSError(error.errno, error.strerror, str(path.parent)) from error
        raise


def write_csv(path: str | os.PathLike, rows: Iterable[Iterable]) -> None:
    """Write rows of cells as a CSV file in UTF-8, whole or not at all.

    Names of files keep their bytes, also where they are not UTF-8. No text is a formula: `cell`.
    """
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file).writerows(map(cell, row) for row in rows)
