"""A generator that runs ahead in a thread: reading, the network and writing work at the same time.

A chain of generators does one thing at a time: the network waits while a file is read. `prefetch`
moves the generator that it is given into a thread, with a short queue between the two:

    write(prefetch(network(prefetch(read()))))    three threads, two queues of up to `depth` items

Decompression, numpy and torch release Python's lock while they compute, so the threads do run at
the same time. An exception in a thread is raised where its items are consumed. When the consumer
stops, the threads stop, too.

Read beside it: tests/data/mapping/test_prefetch.py.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
WAKE = (
    0.1  # seconds after which a thread that waits for room checks whether the consumer has stopped
)
PATIENCE = 10  # seconds to wait for the end of a thread, which may itself wait for another process


def prefetch(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """Yield the same items in the same order, made in a thread that runs ahead.

    The thread starts when the first item is requested. It ends with the items, with their first
    exception, or soon after this generator is closed; a generator `items` is then closed in that
    thread.

    Args:
        items: Any iterable.
        depth: Finished items that wait in the queue, at most.
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
