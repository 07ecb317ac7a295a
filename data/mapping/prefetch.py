"""A generator that runs ahead in a thread: reading, the network and writing work at the same time.

A chain of generators does one thing at a time: the network waits while a file is read. `prefetch`
moves a generator into a thread. A short queue hands its items to the consumer:

    write(prefetch(network(prefetch(read()))))    three threads, two queues of up to `depth` items

Decompression, numpy and torch release Python's lock while they compute, so the threads run at the
same time. An exception in a thread is raised where its items are consumed. When the consumer stops,
the threads stop, too.

Read beside it: tests/data/mapping/test_prefetch.py.
"""

from collections.abc import Generator, Iterable
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
# Seconds. A thread that waits for room in its queue checks this often if the consumer has stopped.
WAKE = 0.1
# Seconds to wait for the end of a thread. The thread may itself wait for another process.
PATIENCE = 10


def prefetch(items: Iterable[Item], depth: int = 1) -> Generator[Item, None, None]:
    """Yield the same items in the same order, made in a thread that runs ahead.

    The thread starts when the first item is requested. It ends after the last item, at the first
    exception, or soon after this generator is closed. If `items` is a generator, the thread closes
    it at its own end.

    Args:
        items: Any iterable.
        depth: Largest number of finished items in the queue.
    """
    queue: Queue[Any] = Queue(depth)
    abandoned, last = Event(), object()

    def put(item: object, error: BaseException | None = None) -> None:
        while not abandoned.is_set():
            with suppress(Full):
                queue.put((item, error), timeout=WAKE)
                return

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(item)
                del item  # otherwise it stays in memory while the next one is made
                if abandoned.is_set():
                    break
            put(last)
        except BaseException as error:
            put(None, error)
        finally:
            getattr(iterator, "close", lambda: None)()

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is last:
                return
            yield item
            del item
    finally:
        abandoned.set()
        with suppress(Empty):
            queue.get_nowait()
        thread.join(PATIENCE)
