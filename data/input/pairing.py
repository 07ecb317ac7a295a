"""Decide which mask belongs to which image.

Training on wrong pairs runs without any error and gives a poor network. So names decide, never
the order of the files. The first of three rules that finds a mask for an image decides:

    town_01.tif                    town_01.png    1. the same name
    119_sat.jpg, 120_sat.jpg       119_mask.png   2. the same words and numbers in the same order;
                                                  a word does not count if all images have it and no
                                                  mask, all masks and no image, or all of both
    april_07.tif, august_07.tif    mask_07.tif    3. the same last part behind a `_`, if it is all
                                                  that the mask's name says; dates share a mask

By rule 3, south_1.png does not get the mask north_1.png, because `north` is another place. Nor do
tile_3_7.tif and tile_4_7.tif share mask_7.tif, because only dates may differ in their numbers. If
names repeat in other folders, the nearest folder decides, unless the mask is nearer to another
image:

    Tile 1/images/1.jpg            Tile 1/masks/1.png

A single mask that has no image of its name belongs to all images, unless its numbers are those of
another place. Everything else is not clear, and is an error that lists the files.

Read beside it: tests/data/input/test_pairing.py.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from data.files import InputError
from data.input.filenames import date_of, is_number, place_numbers, token, words
from data.raster.safe import NAME

Folder = tuple[str, ...]  # the parts of its path
Key = Callable[[Path], Hashable]  # what an image and its mask have in common; None: no key


def pair(
    images: list[Path], masks: list[Path], spare_masks: bool = False
) -> list[tuple[Path, Path]]:
    """Pair each image with its mask. Several images may share a mask.

    Args:
        images: Paths of the images.
        masks: Paths of the masks.
        spare_masks: Whether a mask without an image is allowed.

    Raises:
        InputError: An image has no mask, several or itself, or a mask has no image. The message
            lists all.
    """
    several_folders = min(len({path.parent for path in paths}) for paths in (images, masks)) > 1
    folders = {_folder(mask) for mask in masks} if several_folders else set()
    found: dict[Path, list[Path]] = {}  # the masks of each image
    aside = _aside(images, masks)
    for number, (image_key, mask_key) in enumerate(_rules(images, masks, aside), start=1):
        # What an earlier rule has paired is left out: the namesake of one image is no other's mask.
        taken = {mask for few in found.values() for mask in few}
        candidates = _groups((mask for mask in masks if mask not in taken), mask_key)
        for key, group in _groups((i for i in images if i not in found), image_key).items():
            if key in candidates:
                nearest = _nearest(group, candidates[key], folders)
                found |= _without_doubts(nearest, str(key), aside) if number == 3 else nearest
    if len(masks) == 1 and not found and _serves_all(masks[0], images):
        found = {image: masks for image in images}
    if problems := _problems(images, masks, found, spare_masks):
        raise InputError(
            f"{images[0].parent}: {problems}; give an image and its mask the same name, but for a "
            "word that all images or all masks have (7_sat.jpg, 7_mask.png), or for dates of one "
            "place the same last part (april_7.tif, august_7.tif, mask_7.tif)"
        )
    return [(image, found[image][0]) for image in images]


def shared_masks(pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    """Say in one line which images share a mask; an empty list if none do.

    >>> shared_masks([(Path("april_1.tif"), Path("m_1.tif")), (Path("may_1.tif"), Path("m_1.tif"))])
    ['2 images share 1 mask, such as april_1.tif and may_1.tif: m_1.tif']
    """
    users = defaultdict(list)
    for image, mask in pairs:
        users[mask].append(image)
    several = {mask: few for mask, few in users.items() if len(few) > 1}
    if not several:
        return []
    mask, (first, second, *_) = next(iter(several.items()))
    return [
        f"{sum(map(len, several.values()))} images share {len(several)} "
        f"mask{'s' * (len(several) > 1)}, such as {first.name} and {second.name}: {mask.name}"
    ]


def _aside(images: Sequence[Path], masks: Sequence[Path]) -> set[str]:
    """Return the words of all images that no mask has, and of all masks that no image has."""
    of_images, of_masks = _words(images), _words(masks)
    in_images = set.intersection(*of_images)
    if len({image.stem for image in images}) == 1:
        # The numbers of a single image are its place: tile_3_7 is not tile 3.
        in_images = {word for word in in_images if not is_number(word)}
    in_masks = set.intersection(*of_masks)
    return in_images.difference(*of_masks) | in_masks.difference(*of_images)


def _rules(images: Sequence[Path], masks: Sequence[Path], aside: set[str]) -> list[tuple[Key, Key]]:
    """Return the keys of the three rules: for each rule that of an image and that of a mask."""
    in_both = set.intersection(*_words(images), *_words(masks))
    if len({image.stem for image in images}) == 1:
        in_both = {word for word in in_both if not is_number(word)}
    ignored = aside | in_both
    # By the second rule they count, because their order does: tile_1_2 is not tile_2_1.
    ordered = {word for word in in_both if is_number(word)}

    def own_words(path: Path) -> tuple[str, ...]:
        return tuple(word for word in words(path.stem) if word not in ignored - ordered)

    names = Counter({image.stem: own_words(image) for image in images}.values())

    def words_of_one_name(image: Path) -> Hashable:
        key = own_words(image)
        return key if names[key] == 1 else None

    def parts(path: Path) -> list[str]:
        return [token(path)] if NAME.fullmatch(path.stem) else path.stem.split("_")

    def matters(part: str) -> bool:
        return not ignored.issuperset(words(part))

    def last_part(image: Path) -> Hashable:
        # A number is never left out: april_3_7 is not a date of place 3.
        behind = reversed(parts(image))
        return next((p for p in behind if (words(p) == [p] and is_number(p)) or matters(p)), None)

    def only_part(mask: Path) -> Hashable:
        kept = [part for part in parts(mask) if matters(part)]
        return kept[0] if len(kept) == 1 else None

    def stem(path: Path) -> Hashable:
        return path.stem

    return [(stem, stem), (words_of_one_name, own_words), (last_part, only_part)]


def _without_doubts(found: dict[Path, list[Path]], part: str, aside: set[str]) -> dict:
    """Keep the masks found by the last part of a name that numbers do not contradict.

    Images that share a mask are dates of one place. So they have the same numbers, but for dates,
    and the part that they share is a place and no date: north_2018 and south_2018 are two places.

    Args:
        found: The masks of each image.
        part: The last part of the images' names.
        aside: Words that do not count.
    """
    users = Counter(mask for few in found.values() for mask in few)
    a_date = date_of(Path(part)) and not place_numbers(Path(part))
    numbers = {image: _numbers(image, aside) for image in found}

    def clear(image: Path, mask: Path) -> bool:
        if users[mask] > 1 and a_date:
            return False
        others = (numbers[other] for other, few in found.items() if mask in few)
        alike = all(other == numbers[image] for other in others)
        return alike and _agree(numbers[image], _numbers(mask, aside))

    return {image: few for image, few in found.items() if all(clear(image, m) for m in few)}


def _serves_all(mask: Path, images: Sequence[Path]) -> bool:
    """Return whether the name of a single mask allows that it belongs to all images.

    It has no word of one image that another image lacks, and no numbers of another place. If it has
    numbers, all images have the same. A date alone does not show that places are the same.
    """
    of_images = _words(images)
    shared = set.union(*of_images).intersection(words(mask.stem))
    if not shared <= set.intersection(*of_images):
        return False
    if numbers := _numbers(mask):
        places = [_numbers(image) for image in images]
        return all(place == places[0] and _agree(place, numbers) for place in places)
    return len(images) == 1 or not shared or not all(map(is_number, shared))


def _numbers(path: Path, aside: Iterable[str] = ()) -> list[str]:
    """Return the numbers of a place, without words that do not count."""
    return [number for number in place_numbers(path) if number not in aside]


def _agree(numbers: list[str], others: list[str]) -> bool:
    """Return whether one list holds all numbers of the other in their order."""
    few, many = sorted((numbers, others), key=len)
    rest = iter(many)
    return all(number in rest for number in few)


def _words(paths: Sequence[Path]) -> list[set[str]]:
    return [set(words(path.stem)) for path in paths]


def _groups(paths: Iterable[Path], key: Key) -> dict[Hashable, list[Path]]:
    """Group paths by a key. Those without a key are left out."""
    groups = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    groups.pop(None, None)
    return groups


def _nearest(group: list[Path], candidates: list[Path], folders: set[Folder]) -> dict:
    """Choose among masks of one name by folder.

    Args:
        group: Images of one key.
        candidates: Masks of that key.
        folders: The folders of all masks, if images and masks lie in several folders each. Then an
            image takes no mask from a folder that is farther than the nearest of these.

    Returns:
        The nearest masks of each image, without masks that are nearer to another image.
    """
    homes, places = (
        {_folder(image) for image in group},
        {mask: _folder(mask) for mask in candidates},
    )
    folders = folders.union(places.values())
    close = {home: {folder: _closeness(home, folder) for folder in folders} for home in homes}
    to_images = {folder: max(close[home][folder] for home in homes) for folder in folders}
    found = {}
    for image in group:
        near = close[_folder(image)]
        best = max(near.values())
        own = [mask for mask, at in places.items() if near[at] == best == to_images[at]]
        if own:
            found[image] = own
    return found


def _folder(path: Path) -> Folder:
    return tuple(os.path.dirname(os.path.abspath(path)).split(os.sep))


def _closeness(folder: Folder, other: Folder) -> tuple[int, int]:
    """Count the folders that both paths begin with, and the names of folders that both have."""
    return len(os.path.commonprefix([folder, other])), len({*folder} & {*other})


def _problems(
    images: list[Path], masks: list[Path], found: dict[Path, list[Path]], spare_masks: bool
) -> str:
    """Describe images without a mask, with several or with themselves, and unused masks."""
    used = {mask for few in found.values() for mask in few}
    repeated = {name for paths in (images, masks) for name in _repeated(paths)}

    def shown(path: Path) -> str:
        return str(path) if path.name in repeated else path.name

    pairs = [(image, few[0]) for image, few in found.items() if len(few) == 1]
    problems = {
        "images without a mask": [shown(image) for image in images if image not in found],
        "images with several masks": [
            f"{shown(image)}: {', '.join(map(shown, few))}"
            for image, few in found.items()
            if len(few) > 1
        ],
        "images that are their own mask": [shown(i) for i, mask in pairs if _same_file(i, mask)],
        "masks without an image": [
            shown(mask) for mask in masks if mask not in used and not spare_masks
        ],
    }
    listed = [f"{len(few)} {what} ({', '.join(few)})" for what, few in problems.items() if few]
    return "; ".join(listed)


def _repeated(paths: Sequence[Path]) -> list[str]:
    """Return the names that several of the paths have."""
    return [name for name, count in Counter(path.name for path in paths).items() if count > 1]


def _same_file(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)
