"""The ground of the synthetic scenes: functions of the position, which answer the same whoever
asks.
"""

import numpy as np

from data.sample import landscape
from data.sample.landscape import CODE, HALF, RIM, SPECTRA, Ground, Landscape, Settlement


def square(side: int = 150, half: float = HALF) -> tuple[np.ndarray, np.ndarray]:
    """Positions (side * side,) of a raster's pixel centres, from the north-west."""
    ticks = ((np.arange(side) + 0.5) / side * 2 - 1) * half
    x, y = np.meshgrid(ticks, -ticks)
    return x.ravel(), y.ravel()


def test_random_at_depends_on_nothing_but_the_numbers():
    i, j = np.array([3.0, -7.0, 3.0]), np.array([5.0, 2.0, 5.0])
    first = landscape.random_at(1, i, j)
    assert first[0] == first[2] != first[1]
    assert landscape.random_at(1, i[1:2], j[1:2]) == first[1]
    assert (landscape.random_at(2, i, j) != first).all()


def test_random_at_is_spread_evenly_and_neighbours_do_not_resemble_each_other():
    i, j = (a.ravel() for a in np.mgrid[-100:100, -100:100])
    values = landscape.random_at(7, i, j)
    shares = np.histogram(values, bins=10, range=(0, 1))[0] / len(values)
    assert abs(shares - 0.1).max() < 0.01
    for di, dj in ((1, 0), (0, 1), (1, 1)):
        assert abs(np.corrcoef(values, landscape.random_at(7, i + di, j + dj))[0, 1]) < 0.02
    assert abs(np.corrcoef(values, landscape.random_at(8, i, j))[0, 1]) < 0.02


def test_noise_has_the_lattice_heights_at_its_nodes_and_their_mean_half_way():
    nodes = np.array([10.0, 20.0])  # of a lattice of 10 m: (1, 1) and (2, 1)
    heights = 2 * landscape.random_at(5, np.array([1, 2]), np.array([1, 1])) - 1
    np.testing.assert_allclose(
        landscape.noise(5, nodes, np.array([10.0, 10.0]), 10), heights, atol=1e-6
    )
    half_way = landscape.noise(5, np.array([15.0]), np.array([10.0]), 10)
    np.testing.assert_allclose(half_way, heights.mean(), atol=1e-6)


def test_noise_is_continuous_and_bounded():
    x, y = np.linspace(-300, 300, 20001), np.full(20001, 12.3)
    values = landscape.noise(3, x, y, 50)
    assert abs(values).max() <= 1
    # A height changes by 2 at most over 50 m, and u * u * (3 - 2 * u) is nowhere steeper than 1.5.
    assert abs(np.diff(values)).max() < 1.01 * 2 * 1.5 * (x[1] - x[0]) / 50


def test_paint_replaces_where_it_is_told_and_keeps_what_is_none():
    ground = Ground(np.array([1, 1, 1]), np.array([2, 2, 2]), np.array([0.1, 0.2, 0.3]), np.ones(3))
    ground.paint(np.array([True, False, True]), 9, None, np.array([0.7, 0.8, 0.9]))
    assert ground.base.tolist() == [9, 1, 9]
    assert ground.leaf.tolist() == [2, 2, 2]
    assert ground.cover.tolist() == [0.7, 0.2, 0.9]
    assert ground.light.tolist() == [1, 1, 1]


def test_a_street_runs_along_the_edge_of_a_block_and_has_the_label_of_the_block():
    # One industrial estate, its streets running east: blocks of 200 x 100 with a corner at the
    # centre.
    estate = Settlement(x=0.0, y=0.0, radius=400.0, angle=0.0, width=200.0, depth=100.0, sheds=1.0)
    alone = Landscape(seed=4, settlements=[estate], roads=[], river=(0.0, 0.0, 0.0), woods=2.0)
    x, y = np.array([2.0, 100.0, 100.0, 1400.0]), np.array([50.0, 2.0, 50.0, 1400.0])
    assert landscape.codes(alone, x, y).tolist() == [250, 250, 250, 1]
    at_the_west_edge, at_the_south_edge = landscape.ground(alone, x, y).base[:2]
    assert at_the_west_edge == at_the_south_edge == landscape.ASPHALT


def test_the_ground_at_a_position_does_not_depend_on_what_else_is_asked():
    drawn = landscape.draw_landscape(0, 3)
    x, y = square()
    some = np.random.default_rng(0).permutation(len(x))[:500]
    for whole, part in zip(
        landscape.ground(drawn, x, y), landscape.ground(drawn, x[some], y[some])
    ):
        np.testing.assert_array_equal(whole[some], part)
    codes = landscape.codes(drawn, x, y)
    np.testing.assert_array_equal(codes[some], landscape.codes(drawn, x[some], y[some]))


def test_materials_exist_and_cover_is_a_share():
    x, y = square(100, HALF + 100)
    for index in range(4):
        base, leaf, cover, light = landscape.ground(landscape.draw_landscape(1, index), x, y)
        assert 0 <= min(base.min(), leaf.min()) <= max(base.max(), leaf.max()) < len(SPECTRA)
        assert 0 <= cover.min() and cover.max() <= 1
        assert 0.2 < light.min() and light.max() < 2


def test_the_rim_has_no_data_and_no_town_reaches_into_it():
    x, y = square(200, HALF + 50)
    outside = np.maximum(abs(x), abs(y)) >= HALF - RIM
    for index in range(40):
        drawn = landscape.draw_landscape(0, index)
        codes = landscape.codes(drawn, x, y)
        assert set(np.unique(codes)) <= {0, 1, 250, 255}
        np.testing.assert_array_equal(codes == 0, outside)
        built = CODE[landscape.blocks(drawn, x[outside], y[outside])[0]] > 1
        assert not built.any(), f"scene {index} builds in the rim"


def test_class_shares_are_those_of_small_towns_and_both_built_up_classes_occur_in_most_scenes():
    x, y = square(100, HALF - RIM)
    codes = np.stack(
        [landscape.codes(landscape.draw_landscape(0, index), x, y) for index in range(40)]
    )
    residential, other_buildings = (codes == 255).mean(1), (codes == 250).mean(1)
    assert 0.05 <= residential.mean() <= 0.20
    assert 0.02 <= other_buildings.mean() <= 0.08
    assert (residential > 0.02).mean() >= 0.95
    assert (other_buildings > 0.005).mean() >= 0.95
