"""Answers to station 2."""

import numpy as np


def by_hand():
    # The centres in the square: x of 15, 25, 35 and y of 25, 15. The codes there are 3 2 2 and
    # 3 0 0. The centre of the square (24.5, 19.5) lies in the pixel of x 20 to 30, y 10 to 20.
    return {3: 2, 2: 2}, 2, 0


def votes(source, x, y, target_grid, row, col, nodata):
    rows, cols = target_grid.rowcol(x, y)
    here = (np.floor(rows) == row) & (np.floor(cols) == col) & (source != nodata)
    codes, counts = np.unique(source[here], return_counts=True)
    return dict(zip(codes.tolist(), counts.tolist()))


def winner(votes):
    return min(votes, key=lambda code: (-votes[code], code)) if votes else None
