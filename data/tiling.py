"""Windows over a raster for training, and the part of each window that it owns.

All windows have one size and none reaches beyond the raster's edge, so the last window of a row or
column is moved back inside and overlaps the one before it. Along one axis, 10 pixels in windows of
size 4:

    0 1 2 3                   window 0
            4 5 6 7           window 1
                6 7 8 9       window 2
    0 0 0 0 1 1 1 2 2 2       the window that owns each pixel

A network may learn from a pixel twice. A count of pixels (of a class, or of the right ones among
them) may not: it takes from each window only the part that the window owns. In an overlap the
border runs through the middle, as far as possible from the rims of both windows, where a network
sees least. The own parts of all windows hold each pixel of the raster once.

Read beside it: tests/data/test_tiling.py. How a whole scene is mapped in windows that overlap and
blend: data/mapping/strips.py.
"""

from data.grid import Window


def starts(length: int, size: int) -> list[int]:
    """Return the first pixels of the windows along one axis of `length` pixels.

    >>> starts(8, 4)
    [0, 4]
    >>> starts(10, 4)
    [0, 4, 6]
    """
    return [0] if length <= size else [*range(0, length - size, size), length - size]


def own_parts(length: int, size: int) -> list[tuple[int, int]]:
    """Return the first pixel, and the end, of what each window of `starts` owns along one axis.

    >>> own_parts(10, 4)
    [(0, 4), (4, 7), (7, 10)]
    """
    first = starts(length, size)
    borders = [(before + size + after) // 2 for before, after in zip(first, first[1:])]
    return list(zip([0, *borders], [*borders, length]))


def windows(height: int, width: int, size: int) -> list[Window]:
    """Return the windows that cover a raster, row by row.

    All are size x size pixels; a window is smaller only where the raster is.
    """
    return [
        Window(row, col, min(size, height), min(size, width))
        for row in starts(height, size)
        for col in starts(width, size)
    ]


def owned(height: int, width: int, size: int) -> list[Window]:
    """Return the part that each window of `windows` owns, in the same order.

    Together the parts hold every pixel of the raster exactly once.
    """
    return [
        Window(top, left, bottom - top, right - left)
        for top, bottom in own_parts(height, size)
        for left, right in own_parts(width, size)
    ]
