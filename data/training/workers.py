"""The worker processes that load windows, and their errors in one line.

torch.utils.data.DataLoader starts the processes. If the system kills one of them, or an error is
raised in one of them, DataLoader raises an error with many lines in the process of the training.

Read beside it: tests/data/training/test_workers.py.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from multiprocessing.util import get_temp_dir
from typing import Any

from torch.utils.data import DataLoader

from data.files import InputError
from data.files.interrupts import FOLDERS, NUMBERS

KILLED = "DataLoader worker (pid"  # the messages of torch about a process that has ended
RAISED = "in DataLoader worker process"  # and about an error that was raised in a process


class Loader(DataLoader):
    """A DataLoader whose workers do not get the signals that all processes get."""

    def __iter__(self):
        """Start the workers, if they are not started yet, and return the batches.

        A process inherits the mask of signals. So Ctrl-C does not end a worker before
        `start_worker` runs in it.
        """
        if self.num_workers:
            share_temporary_folder()
            context = self.multiprocessing_context or multiprocessing.get_context()
            if context.get_start_method() != "fork":
                resource_tracker.ensure_running()  # its start unblocks the signals
        before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(number: int) -> None:
    """Prepare worker `number`, in its process.

    A terminal or a batch system may send Ctrl-C and SIGTERM to all processes. A worker ignores
    them: the process of the training heeds them, and then ends its workers. If that process is
    killed, the worker ends at once. torch's own watch of the parent starts later, and does not see
    a parent that was killed before.
    """
    for received in NUMBERS:
        signal.signal(received, signal.SIG_IGN)
    sys.excepthook = tell_unless_left_alone
    threading.Thread(target=_end_with_parent, daemon=True).start()


def tell_unless_left_alone(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print an uncaught error of a worker, but not that a connection broke.

    The process of the training breaks it if another worker was killed, and tells that in one line.
    """
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def _end_with_parent() -> None:
    """Wait for the end of the training's process, then end this worker."""
    connection.wait([multiprocessing.parent_process().sentinel])
    shutil.rmtree(get_temp_dir(), ignore_errors=True)
    os._exit(1)


def share_temporary_folder() -> None:
    """Let all workers keep their sockets in one temporary folder of this process.

    multiprocessing removes it at the end, and data/files/interrupts.py after a signal. Each worker
    would make its own, and leave it if it is killed. Call this before the workers are started.
    """
    os.makedirs(folder := get_temp_dir(), exist_ok=True)  # without it, a worker would never answer
    FOLDERS.add(folder)


@contextmanager
def supervised() -> Iterator[None]:
    """End the workers when the block ends, and turn their errors into errors of one line.

    Raises:
        InputError: A worker was killed, or an InputError or OSError was raised in it.
    """
    others = set(multiprocessing.active_children())
    try:
        yield
    except (RuntimeError, InputError, OSError, EOFError) as error:
        text = str(error)
        # A worker that is killed while it sends a batch breaks the connection.
        if text.startswith(KILLED) or isinstance(error, (ConnectionError, EOFError)):
            raise InputError(
                "a worker process that loads windows was killed, perhaps because memory is short; "
                "try fewer --workers"
            ) from error
        if RAISED in text and not isinstance(error, RuntimeError):
            # The last line is that of a traceback: `class: message`.
            raise InputError(text.strip().splitlines()[-1].partition(": ")[2]) from error
        raise
    finally:
        # torch's handler raises an error when a worker ends.
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()
            worker.join()
        signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
