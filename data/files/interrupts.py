"""The end of a program by a signal: Ctrl-C (SIGINT), or SIGTERM from the system.

Python runs the handler of a signal in the main thread, and only between two steps of Python. While
a library decodes a large image or records a network, no handler runs for many seconds. After that,
`finally` blocks and the end of Python wait for other threads. Therefore a thread of its own waits
for signals, too. The main thread gets the exception Interrupted, and GRACE seconds for its
`finally` blocks. Then the thread removes the temporary files of this process and ends it.

A block that notes signals by handlers of its own (data.terminal.Signals) is not ended by its first
signal.

Read beside it: tests/data/test_interrupts.py.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from data.files.streams import put_error
from data.files.writing import MAKING, remove_own

NUMBERS = (signal.SIGINT, signal.SIGTERM)
GRACE = 0.5  # seconds
FOLDERS: set[str] = set()  # folders that Python removes at its end, which `leave` skips


class Interrupted(KeyboardInterrupt):
    """Raised when a signal ends the program.

    Args:
        number: The number of the signal.

    Attributes:
        status: The exit status that shells report for the signal, 128 + number.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class _End:
    """The end of a program: the signal that caused it, and whether it was told."""

    def __init__(self, script: str):
        self.script, self.number, self._untold = script, 0, threading.Lock()
        # Python writes the number of each signal that has a handler to the one socket.
        self.waker, self._signals = socket.socketpair()
        self.waker.setblocking(False)

    def interrupt(self, number: int, frame: object) -> None:
        """Handle a signal in the main thread. Later signals do not disturb the tidying up."""
        if not self.number:
            self.number = number
            raise Interrupted(number)

    def tell(self) -> None:
        """Print `script: stopped` once, in place of the progress line."""
        if self._untold.acquire(blocking=False):
            clear = "\r\033[K" if sys.stderr.isatty() else ""
            put_error(f"{clear}{self.script}: stopped")

    def ignored(self, raised) -> None:
        """Print an exception where Python ignores exceptions, unless `interrupt` raised it."""
        if not isinstance(raised.exc_value, Interrupted):
            sys.__unraisablehook__(raised)

    def watch(self) -> None:
        """Wait for a signal that ends the program, then for the end. Runs in a thread."""
        noted = 0
        while number := self._signals.recv(1)[0]:
            # Other handlers note a signal. A second Ctrl-C does not wait for what they note.
            noted += number == signal.SIGINT
            if number in NUMBERS and (noted > 1 or signal.getsignal(number) == self.interrupt):
                break
        else:
            return  # the block has ended
        self._signals.settimeout(GRACE)
        with contextlib.suppress(TimeoutError):
            while self._signals.recv(1)[0] not in NUMBERS:  # a second signal
                pass
        self.leave(number)

    def leave(self, number: int) -> None:
        """End this process and its children, whatever its threads do."""
        MAKING.acquire(timeout=GRACE)  # from here on, no other thread makes a temporary file
        remove_own()
        for child in multiprocessing.active_children():
            child.kill()
        for folder in FOLDERS:
            shutil.rmtree(folder, ignore_errors=True)
        # A thread may wait for the reader of standard output, so this one does not.
        telling = threading.Thread(target=self.tell, daemon=True)
        telling.start()
        telling.join(GRACE / 2)
        os._exit(128 + (self.number or number))


@contextlib.contextmanager
def stopping(script: str) -> Iterator[None]:
    """End the program within about a second after Ctrl-C or SIGTERM, wherever it is in the block.

    The program prints `script: stopped` and exits with status 130 after Ctrl-C, and 143 after
    SIGTERM. Its temporary files are removed, and its child processes are ended.
    """
    end = _End(script)
    wakened = signal.set_wakeup_fd(end.waker.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, end.interrupt) for number in NUMBERS}
    sys.unraisablehook, hook = end.ignored, sys.unraisablehook
    threading.Thread(target=end.watch, daemon=True).start()
    try:
        yield
        if end.number:  # the exception was raised where Python ignores exceptions
            raise Interrupted(end.number)
    except BaseException as error:
        # After a signal, a library may have turned the exception into one of its own.
        if not end.number and not isinstance(error, KeyboardInterrupt):
            raise
        end.tell()
        remove_own()  # the signal may have come between the making of a file and its block
        sys.exit(getattr(error, "status", 128 + (end.number or signal.SIGINT)))
    finally:
        if not end.number:  # otherwise the thread ends the process if its other threads do not end
            for number, handler in before.items():
                # None means that the handler was not set by Python, and cannot be restored.
                signal.signal(number, handler or signal.SIG_DFL)
            signal.set_wakeup_fd(wakened)
            sys.unraisablehook = hook
            end.waker.send(b"\0")


# A forked process has no such thread, and must not wake that of its parent.
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
