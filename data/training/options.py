"""The options of train.py that choose the data: files, windows, split and augmentation.

Read beside it: tests/data/training/test_pipeline.py.
"""

from argparse import Action, ArgumentTypeError
from functools import partial
from pathlib import Path
from typing import Any

from data import bands, scaling, tables
from data.terminal import Parser, Repeated, within
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


def add_data_options(parser: Parser) -> None:
    """Add the options to a parser, in three groups."""
    count, number, share = within(int, 1, 2**24), within(int, 0, 2**31), within(float, 0, below=1)

    add = parser.add_argument_group("images and masks").add_argument
    text = "images (GeoTIFF, PNG, JPEG) or folders (default: 24 synthetic towns)"
    add("--images", nargs="+", metavar="PATH", help=text)
    text = "masks or folders of them; each belongs to the image of the same name"
    add("--masks", nargs="+", metavar="PATH", help=text)
    add("--classes", default="esm", help=f"class table: a CSV file, or {tables.listed()}")
    text = "names of the bands, in the order of the file (default: as the files name them)"
    add("--bands", nargs="+", metavar="NAME", help=text)
    text = "indices to add to the bands (default: all that the bands allow)"
    add("--indices", nargs="*", choices=[*bands.INDICES], help=text)
    text = "images that share a mask are dates of one place: the network gets them together"
    add("--stack-dates", action="store_true", help=text)
    text = "pixel value that means no data (default: as the files declare)"
    add("--nodata", type=float, metavar="VALUE", help=text)
    text = "number added to each pixel; -1000 for Sentinel-2 from baseline 04.00 on"
    add("--offset", type=within(float), default=0, metavar="NUMBER", help=text)
    text = (
        "minmax: 1st and 99th percentile become 0 and 1; standard: mean 0, deviation 1; "
        "image: minmax of each image by itself; auto: image if each band of each image seems to be "
        "stretched from minimum to maximum, else minmax"
    )
    add("--scaling", choices=("auto", *scaling.METHODS), default="auto", help=text)
    text = "how a mask gets on the grid of its image: by the nearest pixel, or by votes"
    add("--align", choices=("nearest", "mode"), default="nearest", help=text)

    add = parser.add_argument_group("windows").add_argument
    add_rule = partial(add, nargs=3, action=Repeated, default=[])
    text = (
        "side of a window in pixels (default: 32 for unet-3, else the largest image side if that "
        "is <= 192, else 128)"
    )
    add("--size", type=count, metavar="N", help=text)
    text = "pixels from one training window to the next (default: --size, without overlap)"
    add("--stride", type=count, metavar="N", help=text)
    text = "leave out training windows that hold only these classes"
    add("--skip-only", nargs="+", default=[], metavar="CLASS", help=text)
    text = (
        "keep training windows whose share of these classes (a,b) is from LOW to HIGH, 0 to 1; "
        "scl:3,8,9,10 are clouds, by the band SCL of the image"
    )
    add_rule("--keep-share", metavar=("CLASSES", "LOW", "HIGH"), help=text)
    text = "draw windows more often if they hold classes with a share below T; 0: draw all alike"
    add("--oversample", type=share, default=0, metavar="T", help=text)
    text = "draw windows with more than SHARE of these classes TIMES as often as others"
    add_rule("--oversample-share", metavar=("CLASSES", "SHARE", "TIMES"), help=text)
    text = "random changes of a window each time it is trained; jitter: brightness and contrast"
    add("--augment", nargs="*", choices=augment.STEPS, default=["flip", "turn"], help=text)
    text = "learn N windows by heart, to check that images and masks fit; 0: train"
    add("--overfit", type=number, default=0, metavar="N", help=text)

    add = parser.add_argument_group("validation").add_argument
    text = "share of the windows that validate and do not train; or their images or folders"
    kind: dict[str, Any] = {"action": ShareOrPaths, "nargs": "+", "type": share_or_path}
    add("--validation", **kind, metavar="X", default=0.2, help=text)
    text = "blocks: windows on the same ground stay together; random: they do not, and flatter"
    add("--split", choices=("blocks", "random"), default="blocks", help=text)
    text = (
        "which images show the same place: a CSV file image,place, or a pattern of their names "
        "such as '(.*)_\\d+' (default: found by coordinates or masks)"
    )
    add("--places", metavar="X", help=text)
