"""Garbage collection around the collection of the tests."""

import gc


def pytest_collection() -> None:
    """Collect no garbage while pytest imports the tests: that takes a fifth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, but not among the modules and the tests, which stay until the end."""
    gc.freeze()
    gc.enable()
