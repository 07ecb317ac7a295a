"""Work that runs ahead: order, how far it may run, errors, and threads that end."""

import threading
import time

import pytest

from data.mapping.prefetch import prefetch


def wait_for(condition) -> bool:
    """Whether it comes true within five seconds."""
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_items_come_in_order_and_none_is_lost():
    assert list(prefetch(range(1000), 3)) == list(range(1000))
    assert list(prefetch([])) == [] and list(prefetch([None, None])) == [None, None]


def test_the_next_items_are_made_while_one_is_used_and_no_more_than_depth():
    made = []

    def items():
        for number in range(10):
            made.append(number)
            yield number

    ahead = prefetch(items(), depth=2)
    assert next(ahead) == 0
    assert wait_for(
        lambda: made == [0, 1, 2, 3]
    )  # two that wait, and one in hand that has no room yet
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]
    ahead.close()


def test_the_maker_and_the_user_of_items_work_at_once():
    """Each waits for the other at a barrier, which a single thread would never pass."""
    barrier = threading.Barrier(2, timeout=5)

    def items():
        yield 0
        barrier.wait()
        yield 1

    ahead = prefetch(items())
    assert next(ahead) == 0
    barrier.wait()
    assert next(ahead) == 1


def test_an_error_comes_after_the_items_made_before_it():
    def items():
        yield 1
        raise OSError("the disk is gone")

    ahead = prefetch(prefetch(items()))
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_a_consumer_that_stops_ends_the_threads_and_closes_the_source():
    before, closed = threading.active_count(), []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread())

    ahead = prefetch(prefetch(items()))
    next(ahead)
    assert threading.active_count() == before + 2
    ahead.close()
    assert threading.active_count() == before and len(closed) == 1
    assert closed[0] is not threading.main_thread()


def test_an_item_is_not_kept_while_the_next_is_made():
    """A strip of a scene is large: only as many as the queues allow should be in memory."""

    class Large:
        alive = 0

        def __init__(self):
            Large.alive += 1

        def __del__(self):
            Large.alive -= 1

    most = 0
    for item in prefetch((Large() for _ in range(50)), depth=1):
        del item
        most = max(most, Large.alive)
    assert most <= 4 and wait_for(lambda: Large.alive == 0)
