"""The channels of a run: the bands that all its images have, and the spectral indices.

Read beside it: tests/data/training/test_channels.py.
"""

from collections.abc import Callable, Sequence

from data import bands
from data.files import InputError
from data.training import scl
from data.training.scenes import Scene


def common_bands(named: Sequence[str] | None, scenes: Sequence[Scene], say: Callable) -> list[str]:
    """Return the names of the bands. All scenes must have the same bands in the same order.

    Args:
        named: The option --bands: names for the bands of one date. They replace the files' names.
        scenes: The scenes.
        say: Prints a line for each band whose name in the file is that of another band.

    Raises:
        InputError: The bands of a scene differ from those of the first scene.
    """
    first = scenes[0]
    given = named and bands.dated(scl.without(named), len(first.paths))
    names, *others = (bands.names(scene.descriptions, given, scene.image_path) for scene in scenes)
    for number, theirs, ours in bands.contradictions(bands.names(first.descriptions), names):
        say(f"band {number} is {ours} by --bands, but {theirs} by {first.image_path}")
    for scene, other in zip(scenes[1:], others):
        if other != names:
            raise InputError(
                f"{scene.image_path}: {len(other)} bands ({', '.join(other)}), but "
                f"{first.image_path} has {len(names)} ({', '.join(names)}); all images of a run "
                "must have the same bands in the same order"
            )
    return names


def chosen_indices(named: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    """Return the spectral indices of each date: those of --indices, else all that are possible.

    Raises:
        InputError: The bands of an index are missing.
    """
    possible = bands.available(names)
    if named is None:
        return possible
    indices = [index + date for date in bands.dates(names) for index in named]
    if set(indices) - set(possible):
        raise InputError(
            f"--indices {' '.join(indices)}: needs bands that are not in {', '.join(names)}"
        )
    return indices


def described(names: Sequence[str], indices: Sequence[str], named: Sequence[str] | None) -> str:
    """Describe the channels, and say what their names do not tell.

    Args:
        names: The names of the bands.
        indices: The spectral indices.
        named: The option --indices.
    """
    text = f"bands: {', '.join(names)}"
    if any(name.partition("@")[0].isdecimal() for name in names):
        text += " (the files do not name them; their order counts)"
    if indices:
        return f"{text}; indices: {', '.join(indices)}"
    if named is not None:
        return text
    return f"{text}; indices: none (NDVI needs bands named NIR and Red; name the bands by --bands)"
