"""The options of a resumed run: those with which the run began.

Options that change the result are read from the checkpoint and cannot be changed. The options in
CHANGEABLE can be changed: the number of epochs, the options about the machine, and paths of data
that were moved. `Run.resume` compares the content of the data with that of the run.

Read beside it: tests/test_resume.py.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.files import InputError
from unet import checkpoint

# Options that may change when a run is resumed. They do not change the result of an epoch.
CHANGEABLE = frozenset(
    "epochs patience device workers compile recompute tensorboard output resume "
    "images masks classes".split()
)

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
    known = vars(parser.parse_args([]))
    unknown = [name for name in settings if name not in known]
    if unknown:
        options = [f"--{name.replace('_', '-')}" for name in unknown]
        gone = "; ".join(f"{option}: {GONE.get(option, 'removed')}" for option in options)
        raise InputError(
            f"{path}: is a run of an earlier version, with options that are gone ({gone}); begin "
            f"another run from its weights, by --weights {path}"
        )
    parser.set_defaults(
        **{name: value for name, value in settings.items() if name not in ("resume", "output")}
    )
    args = parser.parse_args(arguments)
    if args.output:
        raise InputError(f"--output: --resume continues in {path.parent}; leave --output out")
    for name, value in settings.items():
        if name not in CHANGEABLE and not same(plain(getattr(args, name)), value):
            raise InputError(
                f"--{name.replace('_', '-')}: the run in {path.parent} began with {value}; begin "
                f"another run from its weights, by --weights {path}"
            )
    args.resume, args.output = path, path.parent
    return args


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
