"""Rules for plain values: what the rules of a checkpoint (checkpoint_format.py) are made of.

A rule is a function (value, place) that raises ValueError if the value breaks the rule. The place
is the address of the value in the checkpoint, such as "scaling['scale'][2]". Types are compared
exactly, because True is also an int, and a numpy.float64 also a float.

Read beside it: tests/unet/training/test_checkpoint_format.py.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from data.files import CONTROL

PLAIN = (type(None), bool, int, float, str, Tensor)
LARGEST = 3.4e38  # of float32, which the network computes in
DEPTH, VALUES = 64, 2**21  # limits of `bounded`, beyond any checkpoint of train.py

Rule = Callable[[Any, str], None]


def fail(place: str, value: object, expected: str) -> None:
    """Raise ValueError with the value, or with its type if it is not a number or text."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    shown = f"a {module}{kind.__qualname__}"
    if kind in (int, float, str, bool, type(None)):
        shown = f"{value!r}"[:60]
    raise ValueError(f"{place} is {shown}, expected {expected}")


def rule(expected: str, holds: Callable[[Any], bool]) -> Rule:
    """Make the rule that `holds(value)` is true. `expected` describes it in the message."""

    def apply(value: Any, place: str) -> None:
        if not holds(value):
            fail(place, value, expected)

    return apply


def whole(least: int, most: int = 2**53) -> Rule:
    """Make the rule for an integer from `least` to `most`."""
    return rule(
        f"a whole number from {least:,} to {most:,}",
        lambda value: type(value) is int and least <= value <= most,
    )


def one_of(*values: str) -> Rule:
    """Make the rule for one of several texts."""
    return rule(f"one of {', '.join(values)}", lambda value: type(value) is str and value in values)


def optional(inner: Rule) -> Rule:
    """Make the rule for None, or a value of the inner rule."""
    return lambda value, place: None if value is None else inner(value, place)


def both(one: Rule, other: Rule) -> Rule:
    """Make the rule that a value obeys two rules."""

    def apply(value: Any, place: str) -> None:
        one(value, place)
        other(value, place)

    return apply


def list_of(inner: Rule, least: int = 0) -> Rule:
    """Make the rule for a list of at least `least` values of the inner rule."""

    def apply(value: Any, place: str) -> None:
        if type(value) is not list or len(value) < least:
            fail(place, value, f"a list of {least} or more")
        for number, item in enumerate(value):
            inner(item, f"{place}[{number}]")

    return apply


def dict_of(inner: Rule, keys: type = str) -> Rule:
    """Make the rule for a dict with keys of one type and values of the inner rule."""

    def apply(value: Any, place: str) -> None:
        if type(value) not in (dict, OrderedDict):
            fail(place, value, "a dict")
        for key, item in value.items():
            if type(key) is not keys:
                fail(f"{place} has a key that", key, f"{keys.__name__} keys")
            inner(item, f"{place}[{key!r}]")

    return apply


def record(needed: dict[str, Rule], others: dict[str, Rule] | None = None) -> Rule:
    """Make the rule for a dict with a rule for each key. The keys in `others` may be missing."""

    def apply(value: Any, place: str) -> None:
        dict_of(anything)(value, place)
        for key, inner in {**needed, **(others or {})}.items():
            if key in value:
                inner(value[key], f"{place}[{key!r}]")
            elif key in needed:
                raise ValueError(f"{place} has no {key!r}")

    return apply


def anything(value: Any, place: str) -> None:
    """Accept any value: a rule."""


def plain(value: Any, place: str, kinds: tuple[type, ...] = PLAIN) -> None:
    """Accept plain Python values and tensors, also in dicts, lists and tuples: a rule."""
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            if type(key) not in (str, int):
                fail(f"{place} has a key that", key, "str or int keys")
            plain(item, f"{place}[{key!r}]", kinds)
    elif type(value) in (list, tuple):
        for number, item in enumerate(value):
            plain(item, f"{place}[{number}]", kinds)
    elif type(value) not in kinds:
        fail(place, value, "a plain value" + " or a tensor" * (Tensor in kinds))


def without_tensors(value: Any, place: str) -> None:
    """Accept plain Python values, also in dicts, lists and tuples: a rule."""
    plain(value, place, PLAIN[:-1])


def is_finite(value: Any) -> bool:
    """Whether a value is a number that float32 can represent."""
    return type(value) in (int, float) and abs(value) <= LARGEST  # False for NaN


def is_dense(value: Any, *dtypes: torch.dtype) -> bool:
    """Whether a value is an ordinary tensor in memory, of one of `dtypes` if any are given."""
    ordinary = type(value) is Tensor and value.layout is torch.strided
    ordinary = ordinary and value.device.type == "cpu" and not value.is_quantized
    return ordinary and (not dtypes or value.dtype in dtypes)


text = rule("a text", lambda value: type(value) is str and value.strip() != "")
name_of_class = rule(
    "a text without control characters",
    lambda value: type(value) is str and value.strip() != "" and not CONTROL.search(value),
)
number = rule(
    "a number of 64 bits",
    lambda value: type(value) is float or type(value) is int and -(2**63) <= value < 2**64,
)
finite = rule("a finite number", is_finite)
positive = rule("a finite number above 0", lambda value: is_finite(value) and value > 0)
tensor = rule("a tensor of numbers", is_dense)
counts = rule("a tensor of int64", lambda value: is_dense(value, torch.int64))
random_state = rule(
    "a random state", lambda value: is_dense(value, torch.uint8) and value.ndim == 1
)
color = rule(
    "a colour such as #C8B478",
    lambda value: type(value) is str and re.fullmatch("#[0-9A-Fa-f]{6}", value) is not None,
)


def bounded(state: dict) -> None:
    """Raise ValueError if a checkpoint is nested too deeply, or has too many values.

    A list that contains one list twice, which contains another one twice, and so on, has few bytes
    in a file, but 2 to the power of its depth values.
    """
    waiting: list[tuple[object, int]] = [(state, 0)]
    values = 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if depth > DEPTH or values > VALUES:
            raise ValueError(f"has values nested in more than {DEPTH} levels, or too many values")
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += [(item, depth + 1) for item in value]
