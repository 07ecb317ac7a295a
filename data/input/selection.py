"""The bands of an image in the order that a network expects.

Bands are matched by name: the names of the network's bands come from its checkpoint, those of the
image from its file or from --bands. Names from different sources can contradict each other. That is
an error, because bands in the wrong order give a bad map and no other sign.

Read beside it: tests/data/input/test_selection.py.
"""

from collections.abc import Sequence

from data.bands import ALIASES, contradictions, dated, names
from data.files import InputError


def order(wanted: Sequence[str], found: Sequence[str], path: object = "image") -> list[int]:
    """Find the bands `wanted` among the bands `found` of an image.

    Bands are matched by name where both sides have names, else taken in the order of the file.

    Returns:
        Band numbers from 1, one for each wanted band.

    Raises:
        InputError: A wanted band is missing, the numbers of bands differ, or a named band would
            stand in for another one.
    """
    numbered = all(name.partition("@")[0].isdecimal() for name in wanted)
    if set(wanted) <= set(found) and (len(found) == len(wanted) or not numbered):
        return [found.index(name) + 1 for name in wanted]
    if len(found) != len(wanted):
        some_found = any(name in found for name in wanted) and not numbered
        missing = ", ".join(name for name in wanted if name not in found)
        advice = "give an image with these bands, or --bands"
        raise InputError(
            f"{path}: {len(found)} bands ({', '.join(found)}), but the checkpoint was trained on "
            f"{len(wanted)} ({', '.join(wanted)}); "
            + (f"{missing} cannot be done without" if some_found else advice)
        )
    if any(name in ALIASES for name in found) and any(name in ALIASES for name in wanted):
        strange = ", ".join(name for name in found if name not in wanted)
        raise InputError(
            f"{path}: has the bands {', '.join(found)}, but the checkpoint was trained on "
            f"{', '.join(wanted)}; {strange} cannot stand in for another band; if the names are "
            "wrong, give --bands as numbers"
        )
    return list(range(1, len(wanted) + 1))  # one side has no names: the order counts


def select(
    wanted: Sequence[str],
    descriptions: Sequence[str | None],
    path: object = "image",
    given: Sequence[str] | None = None,
    dates: int = 1,
    by_hand: bool = False,
) -> list[int]:
    """Select the bands of an image that a network expects.

    Args:
        wanted: Names of the network's bands, of all dates.
        descriptions: The image's name of each band, or None.
        path: The image, for messages.
        given: --bands: names or numbers of the bands of one date, or None.
        dates: Number of stacked dates.
        by_hand: Whether the names in `wanted` were given by --bands in training.

    Returns:
        Band numbers of the image from 1, one for each wanted band.

    Raises:
        InputError: The bands are not there, or names contradict each other.
    """
    found = names(descriptions, path=path)
    if given and all(text.isdecimal() for text in given):
        return _numbers(wanted, given, len(descriptions) // dates, dates, path)
    advice = "if the file is wrong, give --bands as numbers: the file's band for each of "
    advice += ", ".join(wanted)
    if given:
        called = names(descriptions, dated(given, dates), path)
        for number, theirs, ours in contradictions(found, called):
            raise InputError(
                f"{path}: band {number} is {ours} by --bands, but {theirs} by the file; {advice}"
            )
        return order(wanted, called, path)
    numbers = order(wanted, found, path)
    if by_hand and numbers != sorted(numbers):
        raise InputError(
            f"{path}: its bands are named {', '.join(found)}, but --bands in training named them "
            f"{', '.join(wanted)}; give --bands; {advice}"
        )
    return numbers


def _numbers(
    wanted: Sequence[str], given: Sequence[str], count: int, dates: int, path: object
) -> list[int]:
    """The numbers `given` for one date of `count` bands, repeated for each date."""
    numbers = [int(text) for text in given]
    fitting = all(1 <= number <= count for number in numbers)
    if len(numbers) * dates != len(wanted) or not fitting:
        each = len(wanted) // dates
        raise InputError(
            f"{path}: --bands {' '.join(given)}: give {each} numbers from 1 to {count}, for "
            f"{', '.join(wanted[:each])}"
        )
    return [number + count * date for date in range(dates) for number in numbers]
