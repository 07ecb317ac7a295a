"""Windows over a raster, for training: equal sizes, none beyond the raster's edge.

How a whole scene is mapped in windows, data/mapping/strips.py has. Read beside it:
tests/data/test_tiling.py.
"""

from data.grid import Window


def starts(length: int, size: int, overlap: int = 0) -> list[int]:
    """First pixels of the windows along one axis: steps of size - overlap, the last one moved back
    inside.

    >>> starts(10, 4, 1)
    [0, 3, 6]
    >>> starts(11, 4, 1)
    [0, 3, 6, 7]
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than the size {size}")
    return [0] if length <= size else [*range(0, length - size, size - overlap), length - size]


def windows(height: int, width: int, size: int, overlap: int = 0) -> list[Window]:
    """The windows that cover a raster, row by row; all size x size, smaller only where the raster
    is.
    """
    return [
        Window(row, col, min(size, height), min(size, width))
        for row in starts(height, size, overlap)
        for col in starts(width, size, overlap)
    ]
