"""What the names of files say: the place of an image, and the dates of one place in order.

Read beside it: tests/data/input/test_filenames.py.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.files import InputError
from data.raster.safe import NAME


def token(path: Path) -> str:
    """Return the part of a file's name that identifies the place.

    It is the tile of a Sentinel-2 product, and the part behind the last `_` of any other name.

    >>> token(Path("april_07.tif"))
    '07'
    >>> token(Path("S2B_MSIL2A_20240830T100559_N0511_R022_T32TPS_20240830T134009.SAFE"))
    'T32TPS'
    """
    product = NAME.fullmatch(path.stem)
    return product[2] if product else path.stem.rsplit("_", 1)[-1]


def by_place(images: Sequence[Path], dates: int) -> list[tuple[Path, ...]]:
    """Group images by place, with the dates of each place in order.

    Args:
        images: Images of any number of places.
        dates: Number of dates that the network was trained on. With 1, each image is a place.
            Exactly `dates` images are one place. Other numbers of images are grouped by `token`.

    Raises:
        InputError: The number of images of a place is not `dates`.
    """
    if dates == 1:
        return [(image,) for image in images]
    places = defaultdict(list)
    for image in images:
        places[None if len(images) == dates else token(image)].append(image)
    for name, group in places.items():
        if len(group) != dates:
            several = f"s ({', '.join(path.name for path in group)})" if len(group) > 1 else ""
            raise InputError(
                f"{group[0]}: {len(group)} image{several} of the place '{name}', but the "
                f"checkpoint was trained on {dates} dates of each; give {dates} images that share "
                "the part of the name behind the last '_'"
            )
    return [in_order(group) for group in places.values()]


def in_order(dates: Sequence[Path]) -> tuple[Path, ...]:
    """Sort dates by name, and by folder where the names are equal.

    Products are sorted by the sensing time in the name, so S2B can come before S2A.
    """

    def sort_key(path: Path) -> tuple[str, str]:
        product = NAME.fullmatch(path.stem)
        return product[1] if product else path.name, str(path)

    return tuple(sorted(dates, key=sort_key))


def by_mask(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[tuple[Path, ...], Path]]:
    """Group pairs (image, mask) by mask, with the dates of each mask in order.

    Raises:
        InputError: Masks differ in their number of dates, or each has only one.
    """
    places = defaultdict(list)
    for image, mask in pairs:
        places[mask].append(image)
    counts = [len(dates) for dates in places.values()]
    usual = max(counts, key=counts.count)
    odd = [f"{mask.name} has {len(dates)}" for mask, dates in places.items() if len(dates) != usual]
    if odd:
        raise InputError(
            f"--stack-dates: every mask needs the same number of dates; most have {usual}, but "
            f"{', '.join(odd)}"
        )
    if usual == 1:
        raise InputError(
            "--stack-dates: every mask has one image; dates of one place share a mask by the part "
            "of the name behind the last '_' (april_07.tif, august_07.tif, mask_07.tif)"
        )
    return [(in_order(dates), mask) for mask, dates in places.items()]
