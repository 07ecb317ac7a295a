"""The bands of an image in the order that a network expects.

Bands are matched by name. The names of the network's bands come from its checkpoint. The names of
the image's bands come from its file or from --bands. Names that contradict each other are an error,
because bands in the wrong order give a bad map without any other sign.

Read beside it: tests/data/input/test_selection.py.
"""

from collections.abc import Sequence

from data.bands import ALIASES, contradictions, dated, names
from data.files import InputError


def order(expected: Sequence[str], available: Sequence[str], path: object = "image") -> list[int]:
    """Find the bands that a network expects among those of an image.

    Bands are matched by name where both sides have names, else taken in the order of the file.

    Returns:
        Band numbers from 1, one for each expected band.

    Raises:
        InputError: An expected band is missing, the numbers of bands differ, or a band would be
            used in place of a band of another name.
    """
    numbered = all(name.partition("@")[0].isdecimal() for name in expected)
    if set(expected) <= set(available) and (len(available) == len(expected) or not numbered):
        return [available.index(name) + 1 for name in expected]
    if len(available) != len(expected):
        some_found = any(name in available for name in expected) and not numbered
        missing = ", ".join(name for name in expected if name not in available)
        advice = "give an image with these bands, or --bands"
        raise InputError(
            f"{path}: {len(available)} bands ({', '.join(available)}), but the checkpoint was "
            f"trained on {len(expected)} ({', '.join(expected)}); "
            + (f"{missing} must be in the image" if some_found else advice)
        )
    if any(name in ALIASES for name in available) and any(name in ALIASES for name in expected):
        strange = ", ".join(name for name in available if name not in expected)
        raise InputError(
            f"{path}: has the bands {', '.join(available)}, but the checkpoint was trained on "
            f"{', '.join(expected)}; {strange} cannot replace another band; if the names are "
            "wrong, give --bands as numbers"
        )
    # One side has no names, so bands are matched by their order.
    return list(range(1, len(expected) + 1))


def select(
    expected: Sequence[str],
    descriptions: Sequence[str | None],
    path: object = "image",
    given: Sequence[str] | None = None,
    dates: int = 1,
    named_by_user: bool = False,
) -> list[int]:
    """Select the bands of an image that a network expects.

    Args:
        expected: Names of the network's bands, of all dates.
        descriptions: The image's name of each band, or None.
        path: The image, for messages.
        given: The option --bands: names or numbers of the bands of one date, or None.
        dates: Number of stacked dates.
        named_by_user: Whether the names in `expected` come from --bands in training.

    Returns:
        Band numbers of the image from 1, one for each expected band.

    Raises:
        InputError: Bands are missing, or names contradict each other.
    """
    available = names(descriptions, path=path)
    if given and all(text.isdecimal() for text in given):
        return _numbers(expected, given, len(descriptions) // dates, dates, path)
    advice = "if the file's names are wrong, give --bands as numbers: one of the file's bands for "
    advice += f"each of {', '.join(expected)}"
    if given:
        named = names(descriptions, dated(given, dates), path)
        for number, theirs, ours in contradictions(available, named):
            raise InputError(
                f"{path}: band {number} is {ours} by --bands, but {theirs} by the file; {advice}"
            )
        return order(expected, named, path)
    numbers = order(expected, available, path)
    if named_by_user and numbers != sorted(numbers):
        raise InputError(
            f"{path}: its bands are named {', '.join(available)}, but --bands in training named "
            f"them {', '.join(expected)}; give --bands; {advice}"
        )
    return numbers


def asked(expected: Sequence[str], given: Sequence[str] | None) -> Sequence[str | int]:
    """Return the bands that are read of a file, for `data.input.image.Image`.

    Args:
        expected: Names of the network's bands, of one date.
        given: The option --bands. Without it, the file may have the network's bands.
    """
    if given and all(text.isdecimal() for text in given):
        return [int(text) for text in given]
    return given or expected


def assumed(
    expected: Sequence[str], descriptions: Sequence[str | None], numbers: Sequence[int]
) -> list[str]:
    """Say which bands are taken for which, where names do not tell.

    Args:
        expected: Names of the network's bands.
        descriptions: The image's name of each band, or None.
        numbers: What `select` returned.
    """
    own = names(descriptions)
    taken = [own[number - 1] for number in numbers]
    if taken == list(expected):
        return []
    return [f"bands are taken in the file's order: {', '.join(taken)} as {', '.join(expected)}"]


def _numbers(
    expected: Sequence[str], given: Sequence[str], count: int, dates: int, path: object
) -> list[int]:
    """Repeat the numbers `given` for one date of `count` bands for each date."""
    numbers = [int(text) for text in given]
    fitting = all(1 <= number <= count for number in numbers)
    if len(numbers) * dates != len(expected) or not fitting:
        each = len(expected) // dates
        raise InputError(
            f"{path}: --bands {' '.join(given)}: give {each} numbers from 1 to {count}, for "
            f"{', '.join(expected[:each])}"
        )
    return [number + count * date for date in range(dates) for number in numbers]
