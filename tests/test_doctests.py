"""The examples in docstrings of data/ and unet/: each shows what it says."""

import doctest
import importlib

import pytest
from test_house import MODULES

LIBRARY = [name for name in MODULES if name.startswith(("data", "unet"))]


@pytest.mark.parametrize("name", LIBRARY)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in LIBRARY]
    examples = sum(len(test.examples) for one in modules for test in finder.find(one))
    assert examples >= 12
