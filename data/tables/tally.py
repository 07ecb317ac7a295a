"""Count what a class table meets in a mask, block by block: unknown codes and rounded colours.

Read beside it: tests/data/tables/test_tally.py.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from data.files import InputError


@dataclass
class Tally:
    """Counts over all blocks of a mask that have been read.

    Attributes:
        unknown: Number of pixels of each code that is missing from the class table.
        rounded: Number of pixels whose colour was rounded to one of 0 and 255 only.
        far: Number of those that were far from it: a channel of 16 to 239.
        pixels: Number of all valid pixels.
    """

    unknown: Counter[int] = field(default_factory=Counter)
    rounded: int = 0
    far: int = 0
    pixels: int = 0

    def remark(self) -> str | None:
        """Return a sentence on the rounded pixels, or None if there are none.

        >>> Tally(rounded=1234, pixels=6_000_000).remark()
        '1,234 pixels (0.02 %) were not pure colours; each channel was rounded to 0 or 255'
        """
        if not self.rounded:
            return None
        share = f"{self.rounded / self.pixels:.2%}".replace("%", " %")
        return (
            f"{self.rounded:,} pixels ({share}) were not pure colours; each channel was rounded to "
            "0 or 255"
        )


def count(codes: np.ndarray) -> Counter[int]:
    """Count the pixels of each code in codes (n,). Raises InputError if one is no whole number."""
    require_whole(codes)
    values, counts = np.unique(codes, return_counts=True)
    return Counter(dict(zip(map(int, values), counts.tolist())))


def require_whole(values: np.ndarray) -> None:
    """Raise InputError if values (n,) hold a fraction or infinity, which is no class code."""
    if values.dtype.kind != "f":
        return
    wrong = ~(np.isfinite(values) & (values == np.floor(values)))
    if wrong.any():
        raise InputError(
            f"holds fractions or infinity ({values[wrong][0]}); class codes are whole numbers"
        )
