"""The options of train.py that choose the network, its training, the machine and the run.

Read beside it: tests/test_train.py.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import unet
from unet import checkpoint, losses
from unet.training.device import PRECISIONS
from unet.training.monitor import MONITORS
from unet.training.optimizer import OPTIMIZERS, SCHEDULES


def add_training_options(parser: ArgumentParser, within: Callable) -> None:
    """Add the options to a parser, in four groups.

    Args:
        parser: The parser of the script.
        within: `data.terminal.within`, which makes the types of numbers.
    """
    # Upper limits: more than any machine can do, but small enough not to overflow.
    count, number, share = within(int, 1, 2**24), within(int, 0, 2**31), within(float, 0, below=1)

    add = parser.add_argument_group("network").add_argument
    text = (
        "network (default: that of a run in --weights; without --weights unet-3 if no image is "
        "longer than 192 pixels; else unet)"
    )
    add("--model", choices=[*unet.MODELS], help=text)
    add(
        "--base",
        type=count,
        default=16,
        metavar="CHANNELS",
        help="channels of the first level; each level below has twice as many; 64 in the paper",
    )
    text = "share of the values that dropout sets to 0 in each block, from 0 to below 1"
    add("--dropout", type=share, default=0.0, metavar="SHARE", help=text)
    text = "published weights to begin with, or the best.pt of another training"
    add("--weights", nargs="+", default=[], metavar="FILE", help=text)
    text = "learning rate of the pretrained part, 0 to leave it as it is (default: that of --lr)"
    add("--encoder-lr", type=within(float, 0), metavar="RATE", help=text)

    add = parser.add_argument_group("training").add_argument
    text = "times that the training sees all windows, at most"
    add("--epochs", type=count, default=100, metavar="N", help=text)
    text = (
        "windows in a batch, over all processes; fewer need less memory (default: 48 for unet-3, "
        "else 12)"
    )
    add("--batch", type=count, metavar="N", help=text)
    text = "batches that together change the weights once: like a larger batch in less memory"
    add("--accumulate", type=count, default=1, metavar="N", help=text)
    text = "what the training makes small; see unet/losses.py"
    add("--loss", choices=[*losses.LOSSES], default="dice_cross_entropy", help=text)
    text = "none: all 1; inverse or sqrt: larger for rare classes; or a number for each: 1,4,2"
    add("--class-weights", default="sqrt", metavar="WEIGHTS", help=text)
    add("--optimizer", choices=[*OPTIMIZERS], default="adamw", help="rule that changes the weights")
    text = (
        "learning rate: the size of a step of the optimizer (default: 0.002 for unet and unet-3, "
        "else 0.0005)"
    )
    add("--lr", type=within(float, above=0), metavar="RATE", help=text)
    text = (
        "share of each weight, times --lr, that a step takes away (default: 0.05 for unet-3 and "
        "adamw, else 1e-4)"
    )
    add("--weight-decay", type=within(float, 0), metavar="SHARE", help=text)
    text = "learning rate: falls in a curve, falls when the validation stands still, or constant"
    add("--schedule", choices=[*SCHEDULES], default="cosine", help=text)
    kind: dict[str, Any] = {"dest": "monitor", "choices": [*MONITORS], "default": "macro_dice"}
    # torchrun takes --monitor for an option of its own.
    text = "the best epoch has the highest mean Dice of the classes, or the lowest loss"
    add("--best-by", "--monitor", **kind, help=text)
    text = "epochs without a better one after which the training stops"
    add("--patience", type=count, default=15, metavar="N", help=text)
    text = "number that all random numbers come from; the same one repeats a run"
    add("--seed", type=number, default=0, metavar="N", help=text)

    add = parser.add_argument_group("machine").add_argument
    add("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1 or mps")
    text = "numbers that the network computes with; auto: of 16 bits where they are fast"
    add("--precision", choices=PRECISIONS, default="auto", help=text)
    text = "processes that load windows (default: 4 for a GPU, else 0)"
    add("--workers", type=number, metavar="N", help=text)
    text = "compile the network: minutes at the start, then faster on a GPU"
    add("--compile", action="store_true", help=text)
    text = "compute values twice in place of keeping them: less memory, a third more time"
    add("--recompute", action="store_true", help=text)

    add = parser.add_argument_group("run").add_argument
    text = "folder of the run (default: runs/<date-time>)"
    add("--output", type=Path, metavar="FOLDER", help=text)
    text = "continue a run: its folder, or its last.pt"
    add("--resume", type=Path, metavar="RUN", help=text)
    add("--tensorboard", action="store_true", help="also write the log for TensorBoard")


def require_known_to_network(args: Namespace, parser: ArgumentParser) -> None:
    """End the program if --base has no meaning for the chosen network."""
    if not args.model:  # unet or unet-3, which both have it
        return
    if args.base != parser.get_default("base") and "base" not in unet.options(args.model):
        parser.error(f"--base: has no effect on {args.model}; leave it out")


def network_of(paths: Sequence[str | Path]) -> str:
    """Return the name of the network of the first checkpoint of train.py among files, else unet.

    Raises:
        CheckpointError: a checkpoint of train.py is damaged.
    """
    for path in map(checkpoint.find, paths):
        try:
            return checkpoint.load(path)["model"]["name"]
        except checkpoint.ForeignFileError:
            continue
    return "unet"
