"""Work that runs ahead: reading, the network and writing at once, each waiting for the next only
when it must.

A chain of generators does one thing at a time: the network waits while a file is read. `prefetch`
moves what is before it into a thread of its own, with a short queue between:

    write(prefetch(network(prefetch(read()))))     three threads, and at most `depth` items between two of them

Decompression, numpy and torch let go of Python's lock while they compute, so the threads do run at
once. Whatever a thread raises is raised where its items are consumed; when the consumer stops, the
threads stop, too.

Read beside it: tests/data/mapping/test_prefetch.py.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
WAKE = 0.1  # seconds after which a thread that waits for room looks whether anybody still wants its items
PATIENCE = (
    10  # seconds to wait for a thread's end; one that waits for another process may wait in vain
)


def prefetch(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """The same items in the same order, made in a thread that is at most `depth` finished items
    ahead.

    The thread starts with the first item asked for. It ends with the items, with their first
    exception, or soon after this generator is closed; a generator `items` is then closed in that
    thread.
    """
    queue, abandoned, last = Queue(depth), Event(), object()

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
                del item  # or it would stay in memory while the next one is made
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
