"""What every room agrees on: errors a user can mend, files written whole or not at all, and the
label of no label.

Read beside it: tests/data/test_files.py.
"""

import contextlib
import errno
import os
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


def refuse_input(output: str | os.PathLike, *inputs: str | os.PathLike) -> None:
    """Raise InputError if an output is one of some inputs, also through a symbolic or hard link."""
    if os.path.exists(output) and any(os.path.samefile(path, output) for path in inputs):
        raise InputError(f"{output}: is an input; give the output another name")
