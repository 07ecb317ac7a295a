"""Station 2, two grids meet: a vote for one pixel. Read data/resample.py first.

Words. A *mask* is a raster of classes: each pixel holds a *code*, such as 1 for forest. Image and
mask often have different grids. To compare them, the mask is *resampled*: each pixel of the image's
grid (the target) gets one code of the mask (the source). Codes cannot be averaged: 1 (forest) and 3
(water) do not make 2 (field). Two rules are usual:

    nearest   the code of the source pixel in which the centre of the target pixel lies
    mode      each source pixel votes for the target pixel in which its own centre lies. The code
              with the most votes wins. On a tie the lower code wins. No-data does not vote.

Task. Solve the first one with a pencil, then write the other two.
"""


def by_hand():
    """Resample to a single target pixel with a pencil.

    The source has pixels of 10 x 10 m, and 0 is no-data:

         y
        40 +----+----+----+----+
           | 1  | 1  | 2  | 2  |
        30 +----+----+----+----+
           | 1  | 3  | 2  | 2  |
        20 +----+----+----+----+
           | 1  | 3  | 0  | 0  |
        10 +----+----+----+----+
           | 3  | 3  | 3  | 3  |
         0 +----+----+----+----+
           0    10   20   30   40  x

    The target pixel is the square of 25 x 25 m from x = 12 to 37 and from y = 7 to 32.

    Returns:
        (votes, mode, nearest): the votes {code: number}, and the result of each rule.
    """
    raise NotImplementedError


def votes(source, x, y, target_grid, row, col, nodata):
    """Count the votes for the target pixel (row, col).

    `target_grid.rowcol(x, y)` gives the row and column of points as fractions; np.floor gives the
    pixel.

    Args:
        source: (H, W) codes.
        x, y: (H, W) coordinates of the centres of the source pixels, already in the CRS of the
            target. (pyproj has converted them.)
        target_grid: a data.grid.Grid.
        row, col: which target pixel.
        nodata: the code that does not vote.

    Returns:
        {code: votes}, an empty dict if no source pixel votes.
    """
    raise NotImplementedError


def winner(votes):
    """Return the code with the most votes, the lower code on a tie, None without votes."""
    raise NotImplementedError
