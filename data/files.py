"""What every room agrees on: errors a user can mend, files written whole or not at all, and the
label of no label.

Read beside it: tests/data/test_files.py.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

IGNORE = 255  # the label of a pixel that has none: it counts in no statistic, loss or metric


class InputError(ValueError):
    """Something a user can mend: the message is one line, `file: what is wrong; what to do`.

    The scripts print it without a traceback and leave with status 2. Mistakes of a programmer stay
    ordinary exceptions and keep their traceback.
    """


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it becomes `path` when the block ends well.

    When it does not, whatever the exception, the temporary file is removed and an earlier `path` is
    as it was. Raises FileNotFoundError for a folder that does not exist, and OSError naming `path`
    on a full disk.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file in it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename == str(
            temporary
        ):  # no right to write here, say: the user knows `path` alone
            raise type(error)(error.errno, error.strerror, str(path)) from error
        # Python does not know the name of the file when a write fails.
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(
                error.errno, f"{error.strerror}; make room and run again", str(path)
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


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
