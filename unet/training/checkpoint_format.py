"""The format of a checkpoint: a rule for every key, and a check of all values.

A checkpoint may come from a stranger. `checkpoint.load` calls `check` once, and the rest of the
program trusts the values. Three tables have a rule for each key:

    NEEDED   keys for a map: every checkpoint has them
    RECORD   further keys for a map, which may be missing
    RESUME   further keys for `train.py --resume`

rules.py has the parts of the rules. Keys that are in no table are not checked. The names of
classes, bands and indices are only checked to be texts, because only the package `data` knows their
meaning.

Read beside it: tests/unet/training/test_checkpoint_format.py.
"""

import warnings

import torch

from unet import MODELS, build
from unet.evaluation.calibration import HIGHEST, LOWEST
from unet.training import split_record
from unet.training.monitor import MONITORS
from unet.training.rules import (
    both,
    bounded,
    color,
    counts,
    dict_of,
    finite,
    is_dense,
    is_finite,
    list_of,
    name_of_class,
    number,
    one_of,
    optional,
    plain,
    positive,
    random_state,
    record,
    rule,
    tensor,
    text,
    whole,
    without_tensors,
)

FORMAT = 1

# The format.

CLASS = record(
    {"code": text, "name": name_of_class, "color": color},
    {"ignore": one_of("", "true"), "background": one_of("", "true")},
)
OPTION = rule("a number, true or false", lambda value: type(value) is bool or is_finite(value))
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
METRICS = {
    "confusion": counts,  # (K, K), rows truth, columns prediction
    "windows": rule("a tensor of int32", lambda value: is_dense(value, torch.int32)),
    "scenes": counts,  # (n,) number of the place or image of each window, from 0
    "inputs": rule(
        "a tensor of finite float32",
        lambda value: is_dense(value, torch.float32) and bool(value.isfinite().all()),
    ),  # (n, C) mean of each input channel in each window
    "temperature": rule(
        f"a number from {LOWEST} to {HIGHEST}",
        lambda value: type(value) is float and LOWEST <= value <= HIGHEST,
    ),  # of unet/evaluation/calibration.py; missing: 1
}
POSITION = {"batch": whole(0), "windows": whole(0), "loss": finite}
# Of the options only those whose values are used again.
SETTINGS = {
    "epochs": whole(1),
    "bands": optional(list_of(text)),
    "offset": finite,
    "monitor": one_of(*MONITORS),  # missing: macro_dice
}
# Columns of log.csv that the report shows.
COLUMNS = "epoch lr train_loss val_loss macro_dice weighted_dice mean_iou seconds".split()
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
    "recipe": dict_of(without_tensors),  # description of input and output, for unet/export.py
    "version": text,  # of the program that wrote the checkpoint
    "class_table": text,  # name of the class table
    "nodata": optional(number),  # value of pixels without data, if one was given by hand
    "content": text,  # hash of the pixels and labels of all scenes
    "resolution": optional(positive),  # side of a pixel in metres on the ground; None without CRS
    "split": split_record.obeys,  # which windows of which images trained, and where these lie
    "dates": whole(1, 2**16),  # images of one place, stacked into one input; missing: 1
    "waiting_since": whole(0),  # epoch from which --patience counts; missing: best_epoch
    "metrics": record({}, METRICS),  # of the last validation
}
RESUME = {
    "settings": both(dict_of(without_tensors), record({}, SETTINGS)),  # every option of train.py
    "epoch": whole(0),  # number of finished epochs
    "position": record(POSITION),  # in the next epoch: batches, windows, the sum of their losses
    "best": number,  # best value of the monitored figure so far; the worst one before the first
    "best_epoch": whole(0),  # the epoch of `best`
    "history": list_of(dict_of(number)),  # the rows of log.csv
    "optimizer": record(OPTIMIZER),  # state_dict
    "scheduler": dict_of(plain),  # state_dict
    "scaler": dict_of(plain),  # state_dict of the gradient scaler, empty but for float16
    "random": record(
        {"torch": list_of(random_state, 1)}, {"cuda": list_of(random_state, 1)}
    ),  # of each process
}


def check(state: dict, to_resume: bool = False) -> None:
    """Check all values of a checkpoint.

    Args:
        state: the checkpoint as it was read from the file.
        to_resume: whether the keys of RESUME must exist too.

    Raises:
        ValueError: a value breaks its rule. The message has the place of the first one.
    """
    bounded(state)
    needed = {**NEEDED, **(RESUME if to_resume else {})}
    missing = [key for key in needed if key not in state]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    for key, its_rule in {**NEEDED, **RECORD, **RESUME}.items():
        if key in state:
            its_rule(state[key], key)
    _check_lengths(state)
    _check_metrics(state.get("metrics", {}), state["model"])
    _check_history(state, to_resume)
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


def _check_metrics(metrics: dict, model: dict) -> None:
    """Raise ValueError if the counts of the validation do not fit the classes and each other."""
    classes = model["num_classes"]
    matrix, windows, scenes = (metrics.get(key) for key in ("confusion", "windows", "scenes"))
    if matrix is not None and (matrix.shape != (classes, classes) or (matrix < 0).any()):
        raise ValueError(f"metrics['confusion'] is not {classes} x {classes} counts")
    if windows is None and scenes is None:
        return
    if matrix is None or windows is None or scenes is None:
        raise ValueError("metrics has only some of confusion, windows and scenes")
    if windows.shape[1:] != (classes, classes) or (windows < 0).any():
        raise ValueError(f"metrics['windows'] is not n x {classes} x {classes} counts")
    if not windows.sum(0).equal(matrix):
        raise ValueError("metrics['windows'] has another sum than metrics['confusion']")
    if scenes.shape != windows.shape[:1] or (scenes < 0).any():
        raise ValueError(f"metrics['scenes'] is not {len(windows)} numbers of 0 or more")
    shape = len(windows), model["in_channels"]
    if metrics.get("inputs", torch.zeros(shape)).shape != shape:
        raise ValueError(f"metrics['inputs'] is not {shape[0]} x {shape[1]} means")


def _check_history(state: dict, to_resume: bool) -> None:
    """Raise ValueError if the numbers of epochs do not fit the rows of the history.

    Args:
        state: the checkpoint.
        to_resume: whether the rows must also have the columns that the report shows.
    """
    rows = state.get("history", [])
    epoch = state.get("epoch", len(rows))
    if "history" in state and len(rows) != epoch:
        raise ValueError(f"history has {len(rows)} rows, epoch is {epoch}")
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError("history has rows of different columns")
    missing = [name for name in COLUMNS if rows and name not in rows[0]] if to_resume else []
    if missing:
        raise ValueError(f"history has no column {missing[0]}")
    if any(row.get("epoch", at) != at for at, row in enumerate(rows, start=1)):
        raise ValueError("history has rows of other epochs than 1, 2, 3, ...")
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
        if not given.isfinite().all():
            raise ValueError(f"weights[{name!r}] has NaN or infinity; no map can be made")
    if "optimizer" in state:
        tensors = sum(len(group["params"]) for group in state["optimizer"]["param_groups"])
        if tensors != len(list(network.parameters())):
            raise ValueError(f"optimizer has {tensors} tensors, not those of the network")
