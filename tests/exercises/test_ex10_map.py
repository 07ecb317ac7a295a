"""Checks of station 10: data/output/areas.py, and how often intervals hold the truth."""

import numpy as np
from answers import same
from pyproj import CRS

from data.grid import Grid
from data.output.areas import Areas
from data.raster.ground import pixel_areas

GRID = Grid(CRS.from_epsg(4326), (1e-4, 0, 5.0, 0, -0.02, 60.0), 40, 30)  # degrees: rows differ


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (3, 40, 30), and which pixels have data."""
    random = np.random.default_rng(0)
    weights = random.random((3, 40, 30)) ** 2 * np.array([1, 2, 1])[:, None, None]
    return weights / weights.sum(0), random.random((40, 30)) < 0.9


def test_labels(ex):
    p = np.array([[[0.6, 0.1, 0.2]], [[0.3, 0.2, 0.5]], [[0.1, 0.7, 0.3]]])
    found = ex.labels_of(p, np.array([[True, True, False]]))
    same("labels", found, [[0, 2, 255]])
    assert found.dtype == np.uint8, f"labels: are {found.dtype}, not uint8"


def test_areas(ex):
    p, valid = scene()
    m2 = pixel_areas(GRID)
    areas = Areas(GRID, 3)
    areas.add(np.where(valid, p.argmax(0), 255).astype(np.uint8))
    counted, expected = ex.areas(p, valid, m2)
    same("counted areas", counted, areas.km2)
    by_hand = [sum((p[k] * m2)[valid]) / 1e6 for k in range(3)]
    same("expected areas", expected, by_hand)


def test_standard_error_by_hand(ex):
    # Map class 0: 80 of 100 right; class 1: 45 of 50. S = sqrt(.9^2 .16 / 99 + .1^2 .09 / 49).
    matrix, mapped = np.array([[80, 5], [20, 45]]), np.array([0.9, 0.1])
    expected = np.sqrt(0.81 * 0.16 / 99 + 0.01 * 0.09 / 49)
    same("standard error of class 0", ex.standard_error(matrix, mapped)[0], expected)
    same("standard error of class 1", ex.standard_error(matrix, mapped)[1], expected)


def test_intervals_hold_the_truth_in_95_of_100_samples(ex):
    random = np.random.default_rng(0)
    mapped = np.array([0.7, 0.2, 0.1])
    rates = np.array([[0.9, 0.07, 0.03], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])  # map, truth
    truth, sizes, hits = mapped @ rates, (300, 150, 150), np.zeros(3)
    for _ in range(600):
        matrix = np.array([random.multinomial(n, r) for n, r in zip(sizes, rates)]).T
        shares = (mapped * matrix / matrix.sum(0)).sum(1)
        hits += np.abs(shares - truth) <= 1.96 * np.asarray(ex.standard_error(matrix, mapped))
    held = hits / 600
    inside = ((held > 0.92) & (held < 0.98)).all()
    assert inside, f"intervals: {held.round(2).tolist()} of them hold the truth, not 0.95"
