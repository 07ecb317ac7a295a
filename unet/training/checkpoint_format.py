"""The format of a checkpoint: a rule for every key, and a check of all values.

A checkpoint may come from a stranger. `checkpoint.load` calls `check` once, and the rest of the
program trusts the values. Three tables have a rule for each key:

    NEEDED   keys for a map: every checkpoint has them
    RECORD   further keys for a map, which may be missing
    RESUME   further keys for `train.py --resume`

A rule is a function (value, place) that raises ValueError if the value breaks the rule. The place
is the address of the value in the checkpoint, such as "scaling['scale'][2]". Keys that are in no
table are not checked. The names of classes, bands and indices are only checked to be texts, because
only the package `data` knows their meaning.

Read beside it: tests/unet/training/test_checkpoint_format.py.
"""

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unet import MODELS, build

FORMAT = 1
PLAIN = (type(None), bool, int, float, str, Tensor)
LARGEST = 3.4e38  # of float32, which the network computes in

Rule = Callable[[Any, str], None]


# Rules. Types are compared exactly, because True is also an int, and a numpy.float64 also a float.


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


def plain(value: Any, place: str) -> None:
    """Accept plain Python values and tensors, also in dicts, lists and tuples: a rule."""
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            if type(key) not in (str, int):
                fail(f"{place} has a key that", key, "str or int keys")
            plain(item, f"{place}[{key!r}]")
    elif type(value) in (list, tuple):
        for number, item in enumerate(value):
            plain(item, f"{place}[{number}]")
    elif type(value) not in PLAIN:
        fail(place, value, "a plain value or a tensor")


def _finite(value: Any) -> bool:
    """Whether a value is a number that float32 can represent."""
    return type(value) in (int, float) and abs(value) <= LARGEST  # False for NaN


def _dense(value: Any, *dtypes: torch.dtype) -> bool:
    """Whether a value is an ordinary tensor in memory, of one of `dtypes` if any are given."""
    ordinary = type(value) is Tensor and value.layout is torch.strided
    ordinary = ordinary and value.device.type == "cpu" and not value.is_quantized
    return ordinary and (not dtypes or value.dtype in dtypes)


text = rule("a text", lambda value: type(value) is str and value.strip() != "")
number = rule("a number", lambda value: type(value) in (int, float))
finite = rule("a finite number", _finite)
positive = rule("a finite number above 0", lambda value: _finite(value) and value > 0)
tensor = rule("a tensor of numbers", _dense)
counts = rule("a tensor of int64", lambda value: _dense(value, torch.int64))
state = rule("a random state", lambda value: _dense(value, torch.uint8) and value.ndim == 1)
color = rule(
    "a colour such as #C8B478",
    lambda value: type(value) is str and re.fullmatch("#[0-9A-Fa-f]{6}", value) is not None,
)


# The format.

CLASS = record({"code": text, "name": text, "color": color}, {"ignore": one_of("", "true")})
OPTION = rule("a number, true or false", lambda value: type(value) is bool or _finite(value))
MODEL = {
    "name": one_of(*MODELS),
    "in_channels": whole(1, 2**16),
    "num_classes": whole(1, 254),
    "options": dict_of(OPTION),
}
SCALING = {
    "method": one_of("minmax", "standard", "image"),
    "offset": list_of(finite),
    "scale": list_of(positive),
}
POSITION = {"batch": whole(0), "windows": whole(0), "loss": number}
OPTIMIZER = {
    "state": dict_of(dict_of(plain), int),
    "param_groups": list_of(record({"params": list_of(whole(0)), "lr": finite}), 1),
}

NEEDED = {
    "model": record(MODEL),  # the arguments of `unet.build`
    "weights": dict_of(tensor),  # state_dict of the network itself, names without "module."
    "classes": list_of(CLASS, 1),  # rows of the class table
    "bands": list_of(text, 1),  # names of the bands of the image, in their order, of all dates
    "indices": list_of(text),  # names of the spectral indices added behind them
    "scaling": record(SCALING),  # for each band and index; with "image" both lists may be empty
    "size": whole(1, 2**24),  # side of the windows in pixels
}
RECORD = {
    "recipe": dict_of(plain),  # description of input and output, for unet/export.py
    "version": text,  # of the program that wrote the checkpoint
    "class_table": text,  # name of the class table
    "nodata": optional(number),  # value of pixels without data, if one was given by hand
    "content": text,  # hash of the pixels and labels of all scenes
    "resolution": optional(positive),  # side of a pixel in metres on the ground; None without CRS
    "dates": whole(1, 2**16),  # images of one place, stacked into one input; missing: 1
    "waiting_since": whole(0),  # epoch from which --patience counts; missing: best_epoch
    "metrics": record({}, {"confusion": counts}),  # of the last validation; the matrix is (K, K)
}
RESUME = {
    "settings": dict_of(plain),  # every option of the training
    "epoch": whole(0),  # number of finished epochs
    "position": record(POSITION),  # in the next epoch: batches, windows, the sum of their losses
    "best": number,  # best validation macro Dice so far, -inf before the first
    "best_epoch": whole(0),  # the epoch of `best`
    "history": list_of(dict_of(number)),  # the rows of log.csv
    "optimizer": record(OPTIMIZER),  # state_dict
    "scheduler": dict_of(plain),  # state_dict
    "scaler": dict_of(plain),  # state_dict of the gradient scaler, empty but for float16
    "random": record({"torch": list_of(state, 1)}, {"cuda": list_of(state, 1)}),  # of each process
}


def check(state: dict, to_resume: bool = False) -> None:
    """Check all values of a checkpoint.

    Args:
        state: the checkpoint as it was read from the file.
        to_resume: whether the keys of RESUME must exist too.

    Raises:
        ValueError: a value breaks its rule. The message has the place of the first one.
    """
    needed = {**NEEDED, **(RESUME if to_resume else {})}
    missing = [key for key in needed if key not in state]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    for key, its_rule in {**NEEDED, **RECORD, **RESUME}.items():
        if key in state:
            its_rule(state[key], key)
    _check_lengths(state)
    _check_history(state)
    _check_weights(state)


def _check_lengths(state: dict) -> None:
    """Raise ValueError if the numbers of bands, classes and scalings do not fit the network."""
    channels, classes = state["model"]["in_channels"], state["model"]["num_classes"]
    named = len(state["bands"]) + len(state["indices"])
    if named != channels:
        raise ValueError(f"bands and indices are {named}, the network's channels {channels}")
    if len(state["bands"]) % state.get("dates", 1):
        raise ValueError(f"bands are {len(state['bands'])}, no multiple of {state['dates']} dates")
    names = {row["name"].strip() for row in state["classes"] if not row.get("ignore")}
    if len(names) != classes:
        raise ValueError(f"classes have {len(names)} names, the network {classes} classes")
    scaling = state["scaling"]
    lengths = len(scaling["offset"]), len(scaling["scale"])
    if lengths != (channels, channels) and (scaling["method"], *lengths) != ("image", 0, 0):
        raise ValueError(f"scaling has {lengths[0]} offsets and {lengths[1]} scales for {channels}")
    matrix = state.get("metrics", {}).get("confusion")
    if matrix is not None and (matrix.shape != (classes, classes) or (matrix < 0).any()):
        raise ValueError(f"metrics['confusion'] is not {classes} x {classes} counts")


def _check_history(state: dict) -> None:
    """Raise ValueError if the numbers of epochs do not fit the rows of the history."""
    rows = state.get("history", [])
    epoch = state.get("epoch", len(rows))
    if "history" in state and len(rows) != epoch:
        raise ValueError(f"history has {len(rows)} rows, epoch is {epoch}")
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError("history has rows of different columns")
    if state.get("best_epoch", epoch) > epoch:
        raise ValueError(f"best_epoch is {state['best_epoch']}, epoch is {epoch}")


def _check_weights(state: dict) -> None:
    """Raise ValueError unless the weights have the names and shapes of the network.

    The network is built on the meta device, which needs no memory.
    """
    model, weights = state["model"], state["weights"]
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about layers without channels
            network = build(
                model["name"], model["in_channels"], model["num_classes"], **model["options"]
            )
    except Exception as error:  # impossible options raise errors of many kinds
        raise ValueError(f"model: its network cannot be built: {error}") from error
    own = network.state_dict()
    for name in sorted(own.keys() ^ weights.keys()):
        raise ValueError(f"weights {'lack' if name in own else 'have a strange'} {name}")
    for name, needed in own.items():
        given = weights[name]
        if given.shape != needed.shape or given.is_floating_point() != needed.is_floating_point():
            sizes = f"{tuple(given.shape)} {given.dtype}, expected {tuple(needed.shape)}"
            raise ValueError(f"weights[{name!r}] is {sizes}")
    if "optimizer" in state:
        tensors = sum(len(group["params"]) for group in state["optimizer"]["param_groups"])
        if tensors != len(list(network.parameters())):
            raise ValueError(f"optimizer has {tensors} tensors, not those of the network")
