"""The surface of the synthetic scenes: layers painted over each other, a function of position."""

import numpy as np

from data.sample.landscape import HALF, draw_landscape
from data.sample.materials import SPECTRA
from data.sample.surface import Ground, ground


def square(side: int, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (side * side,) of a lattice."""
    x, y = np.meshgrid(*[np.linspace(-half, half, side)] * 2)
    return x.ravel(), y.ravel()


def test_paint_replaces_the_given_positions_and_keeps_a_layer_that_is_none():
    found = Ground(np.array([1, 1, 1]), np.array([2, 2, 2]), np.array([0.1, 0.2, 0.3]), np.ones(3))
    found.paint(np.array([True, False, True]), 9, None, np.array([0.7, 0.8, 0.9]))
    assert found.base.tolist() == [9, 1, 9]
    assert found.leaf.tolist() == [2, 2, 2]
    assert found.cover.tolist() == [0.7, 0.2, 0.9]
    assert found.light.tolist() == [1, 1, 1]


def test_the_surface_at_a_position_does_not_depend_on_the_others():
    drawn = draw_landscape(0, 3)
    x, y = square(150, HALF)
    some = np.random.default_rng(0).permutation(len(x))[:500]
    for whole, part in zip(ground(drawn, x, y), ground(drawn, x[some], y[some])):
        np.testing.assert_array_equal(whole[some], part)


def test_materials_exist_and_cover_is_a_share():
    x, y = square(100, HALF + 100)
    for index in range(4):
        base, leaf, cover, light = ground(draw_landscape(1, index), x, y)
        assert 0 <= min(base.min(), leaf.min()) <= max(base.max(), leaf.max()) < len(SPECTRA)
        assert 0 <= cover.min() and cover.max() <= 1
        assert 0.2 < light.min() and light.max() < 2
