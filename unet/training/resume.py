"""The options of a resumed run: those with which the run began.

Options that change the result are read from the checkpoint and cannot be changed. The options in
CHANGEABLE can be changed: the number of epochs, the options about the machine, and paths of data
that were moved, except of --places. `Run.resume` compares the content with that of the run.

Read beside it: tests/test_resume.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.files import InputError
from unet import checkpoint
from unet.training import split_record

# Options that may change when a run is resumed. They do not change the result of an epoch.
CHANGEABLE = frozenset(
    "epochs patience device workers compile recompute tensorboard output resume "
    "images masks classes".split()
)
PATHS = "validation"  # may change if it is a list of paths; the windows must be the same

# Options of earlier versions, and what to use instead.
GONE = {
    **dict.fromkeys(("--flip", "--turn", "--crop", "--jitter"), "use --augment"),
    "--crop-min": "use --augment crop, whose crops are of 0.75 of a side or more",
    "--strength": "use --augment jitter, whose strength is 0.1",
    "--scales": "use --augment scale, which draws from 0.75, 1 and 1.25",
    "--gamma": "it is always 2 now",
    "--head-dropout": "it is always 0.1 now; --dropout sets the dropout of the blocks",
    "--freeze-encoder": "use --encoder-lr 0",
    "--finetune": "use --weights",
    "--cache": "prepared scenes are in `cache`, next to the folder of the run (--output)",
    "--stop-after": "stop the run by Ctrl-C or SIGTERM, and continue it by --resume",
}


def resumed_options(
    parser: argparse.ArgumentParser, run: Path, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Return the options of a run, with the changes of the command line.

    Args:
        parser: parser of train.py. Its defaults are replaced by the options of the run.
        run: the folder of the run, or a checkpoint in it.
        arguments: the command line.

    Raises:
        InputError: an option of the command line would change the result.
        CheckpointError: the checkpoint cannot be read.
    """
    path = checkpoint.find(run, "last.pt")
    settings = checkpoint.load(path, to_resume=True)["settings"]
    if not {"images", "epochs"} <= settings.keys():
        raise InputError(f"{path}: its settings are not those of train.py; begin another run")
    known = vars(parser.parse_args([]))
    unknown = [name for name in settings if name not in known]
    if unknown:
        options = [f"--{name.replace('_', '-')}" for name in unknown]
        gone = "; ".join(f"{option}: {GONE.get(option, 'removed')}" for option in options)
        raise InputError(
            f"{path}: is a run of an earlier version, with options that are gone ({gone}); begin "
            f"another run from its weights, by --weights {path}"
        )
    accepted = {
        action.dest: _accepted(action, settings[action.dest], path)
        for action in parser._actions
        if action.dest in settings and action.dest not in ("resume", "output")
    }
    # A run of an earlier version lacks the options that are new. It had their defaults.
    began = {name: plain(value) for name, value in known.items()} | accepted
    parser.set_defaults(**accepted)
    args = parser.parse_args(arguments)
    if args.output:
        raise InputError(f"--output: --resume continues in {path.parent}; leave --output out")
    for name, value in began.items():
        given = plain(getattr(args, name))
        moved = name == PATHS and isinstance(given, list) and isinstance(value, list)
        if name not in CHANGEABLE and not moved and not same(given, value):
            raise InputError(
                f"--{name.replace('_', '-')}: the run in {path.parent} began with {value}; begin "
                f"another run from its weights, by --weights {path}"
            )
    args.resume, args.output = path, path.parent
    return args


def _accepted(action: argparse.Action, value: Any, path: Path) -> object:
    """Return the value of a setting as the command line reads it; InputError if it does not."""

    def read(word: object) -> object:
        converted = action.type(str(word)) if callable(action.type) else str(word)
        if action.choices and converted not in action.choices:
            raise ValueError(f"it is not among {', '.join(action.choices)}")
        return converted

    try:
        if value is None:
            return None
        if action.nargs == 0:  # without a value, such as --compile
            return {True: True, False: False}[value]
        if action.nargs in ("+", "*", 3) and not isinstance(value, float):  # --validation 0.2
            return [read(word) for word in list(value)]
        return read(value)
    except (argparse.ArgumentTypeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: the setting {action.dest} is {value!r:.60}, which train.py does not accept; "
            f"begin another run from its weights, by --weights {path}"
        ) from error


def require_same_data(path: Path, state: Mapping, constants: Mapping) -> None:
    """Raise CheckpointError if a checkpoint is of other data or another network than this run.

    Args:
        path: path of the checkpoint.
        state: the checkpoint.
        constants: entries that do not change during the run.
    """
    changed = [
        name
        for name, value in constants.items()
        if name not in ("settings", "class_table") and not _same(name, state.get(name), value)
    ]
    if changed:
        raise checkpoint.CheckpointError(
            f"{path}: the data have changed since ({', '.join(changed)}); begin another run"
        )


def _same(name: str, one: Any, other: Any) -> bool:
    """Return whether two entries are the same for a training."""
    if name == "split":
        return split_record.same(one, other)
    if name == "classes":  # which class is background is for reports
        one, other = (
            [{key: text for key, text in row.items() if key != "background"} for row in rows]
            for rows in (one, other)
        )
    return same(one, other)


def require_form(state: dict, parts: Mapping) -> None:
    """Raise ValueError unless saved states have the form of the parts of this run.

    torch loads other states, too. The first step would then fail, or use wrong numbers.

    Args:
        state: a checked checkpoint.
        parts: the optimizer, scheduler and scaler of this run.
    """
    for name in ("scheduler", "scaler"):
        _require_like(parts[name].state_dict(), state[name], name)
    # torch copies all entries of a scheduler's state into its __dict__.
    for key in state["scheduler"]:
        if callable(getattr(type(parts["scheduler"]), key, None)):
            raise ValueError(f"scheduler[{key!r}] would replace a function")
    if missing := sorted(parts["scaler"].state_dict().keys() - state["scaler"].keys()):
        raise ValueError(f"scaler lacks {missing[0]}")
    own, saved = parts["optimizer"].state_dict(), state["optimizer"]
    _require_like(own["param_groups"], saved["param_groups"], "optimizer['param_groups']")
    for one, other in zip(own["param_groups"], saved["param_groups"]):
        # torch adds flags that another version lacks, but no numbers, such as lr, betas and eps.
        numbers = {key for key, value in one.items() if isinstance(value, (float, tuple))}
        if missing := sorted(numbers - other.keys()):
            raise ValueError(f"optimizer['param_groups'] lacks {missing[0]}")
        for key in sorted(one.keys() & other.keys() - {"lr"}):  # only the rate changes in a run
            if not same(one[key], other[key]):
                change = f"{other[key]!r:.60}, not {one[key]!r:.60}"
                raise ValueError(f"optimizer['param_groups'] has another {key}: {change}")
    parameters = [p for group in parts["optimizer"].param_groups for p in group["params"]]
    order = [number for group in saved["param_groups"] for number in group["params"]]
    shape_of = {number: tuple(p.shape) for number, p in zip(order, parameters)}
    for number, moments in saved["state"].items():
        expected = {"step": (), "exp_avg": shape_of[number], "exp_avg_sq": shape_of[number]}
        shapes = {name: tuple(getattr(value, "shape", "?")) for name, value in moments.items()}
        if shapes != expected:
            raise ValueError(f"optimizer['state'][{number}] has shapes {shapes}, not {expected}")


def _require_like(own: object, saved: object, place: str) -> None:
    """Raise ValueError unless a saved value has the type of an own one; numbers are one type.

    Keys may be missing or added, as in another version of torch.
    """
    if isinstance(own, dict) and isinstance(saved, dict):
        for key in own.keys() & saved.keys():
            _require_like(own[key], saved[key], f"{place}[{key!r}]")
    elif isinstance(own, (list, tuple)) and isinstance(saved, (list, tuple)):
        if len(own) != len(saved):
            raise ValueError(f"{place} has {len(saved)} values, not {len(own)}")
        for number, (one, other) in enumerate(zip(own, saved)):
            _require_like(one, other, f"{place}[{number}]")
    elif not isinstance(own, (int, float)) or not isinstance(saved, (int, float)):
        if type(own) is not type(saved):
            kinds = f"{type(saved).__name__}, not a {type(own).__name__}"
            raise ValueError(f"{place} is a {kinds}")


def plain(value: object) -> object:
    """Return a value whose paths are texts, also in lists and dicts, for a checkpoint."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def same(one: object, other: object) -> bool:
    """Whether two plain values are equal. NaN, a possible no-data value, is equal to NaN here."""
    return repr(one) == repr(other)
