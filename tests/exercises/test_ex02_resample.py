"""Checks of station 2, against data/resample.py: a pencil, a lattice, and a town in two CRSs."""

import numpy as np
from answers import same
from pyproj import CRS, Transformer

from data.grid import Grid
from data.resample import reproject

PICTURE = np.array([[1, 1, 2, 2], [1, 3, 2, 2], [1, 3, 0, 0], [3, 3, 3, 3]], np.uint8)
SOURCE = Grid(None, (10, 0, 0, 0, -10, 40), 4, 4)
TARGET = Grid(None, (25, 0, 12, 0, -25, 32), 1, 1)


def centres(grid: Grid):
    return grid.xy(*(np.indices((grid.height, grid.width)) + 0.5))


def test_by_hand(ex):
    votes, mode, nearest = ex.by_hand()
    assert set(votes) == {2, 3}, f"votes by hand: codes {sorted(votes)} vote; look at no-data"
    same("votes by hand for code 2", votes[2], 2)
    same("votes by hand for code 3", votes[3], 2)
    for method, found in (("mode", mode), ("nearest", nearest)):
        expected = reproject(PICTURE, SOURCE, TARGET, method, nodata=0).item()
        same(f"{method} by hand", found, expected)


def test_winner(ex):
    same("winner of {1: 2, 7: 5}", ex.winner({1: 2, 7: 5}), 7)
    same("winner of the tie {9: 3, 4: 3, 5: 1}", ex.winner({9: 3, 4: 3, 5: 1}), 4)
    assert ex.winner({}) is None, "winner without votes: is not None"


def test_votes_for_the_picture(ex):
    found = ex.votes(PICTURE, *centres(SOURCE), TARGET, 0, 0, 0)
    assert found == {2: 2, 3: 2}, (
        f"votes for the picture: are {found}, and should be {{2: 2, 3: 2}}"
    )


def test_vote_of_a_mask_in_another_crs(ex):
    """A mask in EPSG:3035, as the European Settlement Map has, on pixels of EPSG:3857."""
    random = np.random.default_rng(0)
    source = random.choice(np.array([0, 1, 250, 255], np.uint8), (60, 60))
    mask = Grid(CRS.from_epsg(3035), (10, 0, 3700000, 0, -10, 2100000), 60, 60)
    to_image = Transformer.from_crs(mask.crs, "EPSG:3857", always_xy=True)
    x, y = to_image.transform(*centres(mask))
    image = Grid(CRS.from_epsg(3857), (40, 0, x.min(), 0, -40, y.max()), 20, 20)
    expected = reproject(source, mask, image, "mode", nodata=0, error_threshold=0)
    known = 0
    for row, col in random.integers(4, 16, (30, 2)).tolist():
        votes = ex.votes(source, x, y, image, row, col, 0)
        if votes:
            same(f"mode of target pixel ({row}, {col})", ex.winner(votes), expected[row, col])
            known += 1
    assert known > 20, f"votes: only {known} of 30 target pixels inside the mask have any"
