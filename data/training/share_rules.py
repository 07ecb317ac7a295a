"""Windows chosen by the share of some classes in them.

    --keep-share residential,non-residential 0.17 0.85    windows with 17 to 85 % built-up
    --keep-share scl:3,8,9,10 0 0.05                      windows with up to 5 % clouds and shadows
    --oversample-share 5,7,8,10,11 0.05 4                 windows with more than 5 % are drawn
                                                          4 times as often as others

Classes are given by name or by code. The shares of several classes are added. A class whose name
has a comma is given alone, or by its code. `scl:` stands for classes of the scene classification
(data/training/scl.py). Each option may be given several times. A window must then pass every
--keep-share, and the largest TIMES of --oversample-share counts.

A share is that of all labelled pixels of a window, or of all its pixels with a scene class. With
several dates, a pixel counts that is of these scene classes at any date. With a --size of the
longest side of the images, each image is one window. So these options choose images there.

Read beside it: tests/data/training/test_share_rules.py.
"""

from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Window
from data.terminal import within
from data.training import scl
from data.training.dataset import repeat_factors
from data.training.scenes import Scene
from data.training.windows import Item

PREFIX = "scl:"
MOST = 1000  # times as often


class Rule(NamedTuple):
    """One use of --keep-share (LOW, HIGH) or --oversample-share (SHARE, TIMES)."""

    text: str  # the option with its words and the names of its classes
    labels: tuple[int, ...]  # of the class table, or classes of SCL
    scl: bool
    first: float  # LOW or SHARE
    second: float  # HIGH or TIMES


def rules(option: str, words: Sequence[str], table: ClassTable) -> list[Rule]:
    """Read the words of an option: CLASSES and two numbers, once or several times.

    Raises:
        InputError: A class is unknown, a number is outside its limits, or LOW is above HIGH.
    """
    found = []
    second = within(float, 0, 1) if option == "--keep-share" else within(float, 1, MOST)
    for classes, *numbers in zip(words[::3], words[1::3], words[2::3], strict=True):
        text = f"{option} {' '.join((classes, *numbers))}"
        try:
            limits = within(float, 0, 1)(numbers[0]), second(numbers[1])
        except (ArgumentTypeError, ValueError) as error:
            raise InputError(f"{text}: {error}; give two numbers behind the classes") from None
        if option == "--keep-share" and limits[0] > limits[1]:
            raise InputError(
                f"{text}: {numbers[0]} is above {numbers[1]}; give the lower one first"
            )
        of_scl = classes not in table.names and classes.lower().startswith(PREFIX)
        labels = _scl_classes(classes, text) if of_scl else _labels(classes, table, option)
        if not of_scl:
            text = f"{option} {', '.join(table.names[n] for n in labels)} {' '.join(numbers)}"
        found.append(Rule(text, labels, of_scl, *limits))
    return found


def label(word: str, table: ClassTable, option: str) -> int:
    """Return the label of a class that an option names, by its name or code.

    Raises:
        InputError: The table has no such class.
    """
    form = "#{:06X}".format if table.coded_by_color else str
    codes = {form(code): name for code, name, _, ignore in table.rows if not ignore}
    name = word if word in table.names else codes.get(word.upper())
    if name is None:
        raise InputError(
            f"{option} {word}: no such class; the classes are {', '.join(table.names)}"
        )
    return table.names.index(name)


def _labels(words: str, table: ClassTable, option: str) -> tuple[int, ...]:
    """Return the labels of classes separated by commas, each once."""
    names = [words] if words in table.names else map(str.strip, words.split(","))
    return tuple(dict.fromkeys(label(name, table, option) for name in names))


def _scl_classes(words: str, text: str) -> tuple[int, ...]:
    """Return the classes of a word such as scl:8,9."""
    names = words[len(PREFIX) :].split(",")
    if not {name.strip() for name in names} <= {str(number) for number in range(1, scl.LAST + 1)}:
        raise InputError(
            f"{text}: the scene classification has the classes 1 to {scl.LAST}, such as "
            f"{PREFIX}3,8,9,10 (clouds and their shadows) and {PREFIX}11 (snow)"
        )
    return tuple(map(int, names))


def share(scene: Scene, window: Window, rule: Rule) -> float:
    """Return the share of the classes of a rule in a window; 0 if no pixel has a class.

    Raises:
        InputError: The scene has no scene classification, or a number of it is no class.
    """
    if rule.scl and not scene.scl:
        raise InputError(
            f"{scene.image_path}: has no band SCL, but {rule.text} needs it; give Sentinel-2 "
            "Level-2A products, or images with a band named SCL"
        )
    # (dates, h, w), or (1, h, w) of labels.
    codes = scene.read_scl(window) if rule.scl else scene.read_labels(window)[None]
    found = np.isin(codes, rule.labels).any(axis=0)
    known = (codes != (0 if rule.scl else IGNORE)).any(axis=0)
    return int(found.sum()) / max(1, int(known.sum()))


def _shares(scenes: Sequence[Scene], items: Sequence[Item], rule: Rule) -> np.ndarray:
    """Return the shares (n,) of windows, also of those pixels that other windows own."""
    return np.array([share(scenes[item.scene], item.window, rule) for item in items])


def keep(
    scenes: Sequence[Scene],
    items: list[Item],
    counts: np.ndarray,
    chosen: Sequence[Rule],
    say: Callable,
) -> tuple[list[Item], np.ndarray]:
    """Leave out windows by --keep-share, and print how many.

    Args:
        scenes: The scenes.
        items: Their windows.
        counts: (windows, K), from `windows.class_counts`.
        chosen: The rules of --keep-share.
        say: Prints a line.

    Returns:
        The windows that pass all rules, and their counts.

    Raises:
        InputError: No window is left that may be drawn for validation.
    """
    for rule in chosen:
        found = _shares(scenes, items, rule)
        low, high = found < rule.first, found > rule.second
        say(
            f"{rule.text}: left out {(low | high).sum()} of {len(items)} windows "
            f"({low.sum()} with less, {high.sum()} with more)"
        )
        kept = np.flatnonzero(~(low | high))
        if all(items[number].own is None for number in kept):
            raise InputError(
                f"{rule.text}: no window is left; the shares of {len(items)} windows are "
                f"{found.min():.3g} to {found.max():.3g}; give other limits"
            )
        items, counts = [items[number] for number in kept], counts[kept]
    return items, counts


def draw_factors(
    scenes: Sequence[Scene],
    items: Sequence[Item],
    counts: np.ndarray,
    threshold: float,
    often: Sequence[Rule],
    say: Callable,
) -> np.ndarray | None:
    """Compute how often each training window is drawn, relative to others, and print it.

    Args:
        scenes: The scenes.
        items: The training windows.
        counts: (n, K), from `windows.class_counts`.
        threshold: The option --oversample, see `dataset.repeat_factors`.
        often: The rules of --oversample-share.
        say: Prints a line.

    Returns:
        (n,) float64, 1 or more: the largest factor of all rules. None without a rule.
    """
    if not threshold and not often:
        return None
    factors = repeat_factors(counts, threshold)
    if threshold:
        rare = f"{(factors > 1).sum()} of {len(items)} training windows"
        say(
            f"--oversample {threshold:g}: {rare} are drawn up to {factors.max():.3g} times as often"
        )
    for rule in often:
        found = _shares(scenes, items, rule) > rule.first
        some = f"{found.sum()} of {len(items)} training windows"
        say(f"{rule.text}: {some} are drawn {rule.second:g} times as often")
        factors[found] = np.maximum(factors[found], rule.second)
    return factors
