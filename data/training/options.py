"""The options of train.py that choose the data: files, windows, split and augmentation.

Read beside it: tests/data/training/test_pipeline.py.
"""

from argparse import Action, ArgumentTypeError, _ArgumentGroup
from functools import partial
from pathlib import Path
from typing import Any

from data import bands, scaling, tables
from data.terminal import Repeated, within
from data.training import augment


def share_or_path(word: str) -> float | str:
    """Read a word of --validation: a number is the share of the windows, another word a path."""
    try:
        float(word)
    except ValueError:
        return word
    try:
        return within(float, above=0, below=1)(word)
    except ArgumentTypeError as error:
        hint = f"; for the folder of that name, give ./{word}" if Path(word).exists() else ""
        raise ArgumentTypeError(f"{error}{hint}") from None


class ShareOrPaths(Action):
    """The option --validation: one share as a float, or a list of paths."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        shares = [value for value in values if isinstance(value, float)]
        if shares and len(values) > 1:
            parser.error(f"{option_string}: give one share, or paths of images without a number")
        setattr(namespace, self.dest, shares[0] if shares else values)


def add_data_options(group: _ArgumentGroup) -> None:
    """Add the options to a group of the parser."""
    count, number, share = within(int, 1, 2**24), within(int, 0, 2**31), within(float, 0, below=1)
    add = group.add_argument
    add_rule = partial(add, nargs=3, action=Repeated, default=[])
    add("--images", nargs="+", metavar="PATH", help="images or folders (default: synthetic scenes)")
    add("--masks", nargs="+", metavar="PATH", help="masks or folders, paired with images by name")
    add("--classes", default="esm", help=f"class table: a CSV file, or {tables.listed()}")
    add("--bands", nargs="+", metavar="NAME", help="names of the bands (default: as in the files)")
    add("--indices", nargs="*", choices=[*bands.INDICES], help="indices to add (default: all)")
    add("--stack-dates", action="store_true", help="stack the bands of images that share a mask")
    add("--nodata", type=float, help="value of no-data pixels (default: as in the files)")
    add("--offset", type=within(float), default=0, help="added: -1000 from S2 baseline 04.00 on")
    add("--scaling", choices=scaling.METHODS, default="minmax", help="scaling of the bands")
    add("--align", choices=("nearest", "mode"), default="nearest", help="resampling of masks")
    text = "side of the windows in pixels (default: largest image side if <= 512, else 256)"
    add("--size", type=count, metavar="N", help=text)
    add("--stride", type=count, metavar="N", help="add training windows every N pixels")
    add("--skip-only", nargs="+", default=[], metavar="CLASS", help="skip windows of only these")
    text = "keep windows with LOW to HIGH of these classes, such as a,b; scl:3,8,9,10 are clouds"
    add_rule("--keep-share", metavar=("CLASSES", "LOW", "HIGH"), help=text)
    add("--oversample", type=share, default=0, metavar="T", help="oversample classes rarer than T")
    held_out = "share of the windows held out; or images or folders, all of them held out"
    kind: dict[str, Any] = {"action": ShareOrPaths, "nargs": "+", "type": share_or_path}
    add("--validation", **kind, metavar="X", default=0.2, help=held_out)
    add("--split", choices=("blocks", "random"), default="blocks", help="how the share is drawn")
    text = "draw windows with more than SHARE of these classes TIMES as often as others"
    add_rule("--oversample-share", metavar=("CLASSES", "SHARE", "TIMES"), help=text)
    text = "CSV file image,place; or pattern of names, '(.*)_\\d+' (default: known by the ground)"
    add("--places", metavar="X", help=text)
    add("--augment", nargs="*", choices=augment.STEPS, default=["flip", "turn"], help="operations")
    add("--overfit", type=number, default=0, metavar="N", help="train and validate on N windows")
