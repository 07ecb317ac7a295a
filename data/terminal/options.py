"""Options of the command line: argparse with one-line errors, and limits for numbers.

Read beside it: tests/data/terminal/test_options.py.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from typing import NoReturn

from data.files import InputError, version
from data.terminal.lines import say

LEARN = """to learn by trying:
    make exercises                                  ten exercises with checks
    python tests/exercises/experiments.py skips     a minute or two; also: indices, dropout, shift,
                                                    losses, overfit
    python -i tests/play.py                         a town to play with"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help texts with the default value, unless it is none or the text names it itself."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        value, text = action.default, action.help or ""
        if value in (None, [], argparse.SUPPRESS) or action.nargs == 0 or "(default: " in text:
            return text
        words = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        return f"{text} (default: {words.replace('%', '%%')})"


class _Version(argparse.Action):
    """Print the version and exit. Only then is git run to find the version."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        say(version())
        parser.exit()


class Repeated(argparse.Action):
    """Collect the words of an option that may be given several times, in one list.

    The first use replaces the default. So a resumed run may be given the same options again.
    """

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, values if before is self.default else before + values)


class Parser(argparse.ArgumentParser):
    """argparse with errors in one line. argparse itself prints all options before an error.

    The help ends with LEARN, which names what a reader can try.

    Args:
        manual: The docstring of the script, which `python -OO` leaves out. Its first paragraph
            becomes the description. The second, if it is indented, holds examples for the end.
        gone: {option of earlier versions: advice}.
    """

    def __init__(self, manual: str | None, gone: Mapping[str, str] | None = None):
        about, examples, *_ = [*(manual or "").split("\n\n"), ""]
        end = f"examples:\n{examples}\n\n{LEARN}" if examples.startswith("    ") else LEARN
        super().__init__(description=about, epilog=end, formatter_class=_Help)
        self.gone = gone or {}
        self.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")

    def error(self, message: str) -> NoReturn:
        """Raise InputError for a mistake in the options. argparse calls this method."""
        for word in message.split():
            option = word.split("=")[0].rstrip(":")
            if option in self.gone:
                raise InputError(f"{option} is gone; {self.gone[option]}")
        raise InputError(f"{message}; --help lists the options")


def within(
    kind: type,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> Callable[[str], float]:
    """Make a `type` for argparse that accepts a finite int or float within limits.

    Args:
        kind: int or float.
        least: Smallest allowed value.
        most: Largest allowed value.
        above: Lower limit that is not allowed itself.
        below: Upper limit that is not allowed itself.

    >>> within(float, above=0, below=1)("0.2")
    0.2
    """
    limits = {"at least": least, "at most": most, "above": above, "below": below}

    def parse(text: str) -> float:
        value = kind(text)
        # NaN and infinity fail this comparison.
        if not (least <= value <= most and above < value < below):
            finite = {name: limit for name, limit in limits.items() if math.isfinite(limit)}
            described = " and ".join(f"{name} {limit:,}" for name, limit in finite.items())
            raise argparse.ArgumentTypeError(f"{text} must be a number {described}")
        return value

    parse.__name__ = kind.__name__  # for argparse's message "invalid float value"
    return parse


def vote_weights(text: str) -> dict[int, float] | str:
    """Parse --vote-weights of reproject.py: "inverse", or CODE=WEIGHT pairs with commas between."""
    if text == "inverse":
        return text
    pairs = [item.split("=") for item in text.split(",")]
    try:
        weight_of = {int(code): float(weight) for code, weight in pairs}
    except ValueError:
        weight_of = {}
    if len(weight_of) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text} must be inverse, or CODE=WEIGHT once per code")
    return weight_of
