"""The command line of a module of this package, such as `python -m unet.export`.

The scripts of the project use data.terminal for this. The package unet knows only data.files.

Read beside it: tests/unet/evaluation/test_command.py.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from data.files import (
    InputError,
    message_of,
    one_line,
    printable,
    put_error,
    stopping,
    usable_streams,
)


class Parser(argparse.ArgumentParser):
    """A parser of options. A mistake in them is an InputError."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError for a mistake in the options."""
        raise InputError(f"{message}; --help lists the options")


@contextmanager
def one_line_errors(module: str) -> Iterator[None]:
    """Turn InputError and OSError into `module: error: ...` and exit status 2.

    Ctrl-C and SIGTERM end the program as `data.files.stopping` describes.
    """
    with usable_streams(), stopping(module):
        try:
            yield
        except (InputError, OSError) as error:
            put_error(f"{module}: error: {printable(one_line(message_of(error)))}")
            sys.exit(2)
