"""Random numbers and noise: functions of position and seed, evenly spread, continuous."""

import numpy as np

from data.sample.noise import noise, random_at


def test_random_at_depends_on_nothing_but_the_numbers():
    i, j = np.array([3.0, -7.0, 3.0]), np.array([5.0, 2.0, 5.0])
    first = random_at(1, i, j)
    assert first[0] == first[2] != first[1]
    assert random_at(1, i[1:2], j[1:2]) == first[1]
    assert (random_at(2, i, j) != first).all()


def test_random_at_is_spread_evenly_and_neighbours_do_not_resemble_each_other():
    i, j = (a.ravel() for a in np.mgrid[-100:100, -100:100])
    values = random_at(7, i, j)
    shares = np.histogram(values, bins=10, range=(0, 1))[0] / len(values)
    assert abs(shares - 0.1).max() < 0.01
    for di, dj in ((1, 0), (0, 1), (1, 1)):
        assert abs(np.corrcoef(values, random_at(7, i + di, j + dj))[0, 1]) < 0.02
    assert abs(np.corrcoef(values, random_at(8, i, j))[0, 1]) < 0.02


def test_noise_has_the_lattice_heights_at_its_nodes_and_their_mean_half_way():
    nodes = np.array([10.0, 20.0])  # of a lattice of 10 m: (1, 1) and (2, 1)
    heights = 2 * random_at(5, np.array([1, 2]), np.array([1, 1])) - 1
    np.testing.assert_allclose(noise(5, nodes, np.array([10.0, 10.0]), 10), heights, atol=1e-6)
    half_way = noise(5, np.array([15.0]), np.array([10.0]), 10)
    np.testing.assert_allclose(half_way, heights.mean(), atol=1e-6)


def test_noise_is_continuous_and_bounded():
    x, y = np.linspace(-300, 300, 20001), np.full(20001, 12.3)
    values = noise(3, x, y, 50)
    assert abs(values).max() <= 1
    # A height changes by 2 at most over 50 m, and u * u * (3 - 2 * u) is nowhere steeper than 1.5.
    assert abs(np.diff(values)).max() < 1.01 * 2 * 1.5 * (x[1] - x[0]) / 50
