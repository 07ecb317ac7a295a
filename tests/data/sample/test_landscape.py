"""The landscapes of the synthetic scenes: streets, codes, the rim, and shares of the classes."""

import numpy as np

from data.sample import landscape
from data.sample.landscape import HALF, RIM, Landscape, Settlement
from data.sample.materials import ASPHALT, CODE
from data.sample.surface import ground


def square(side: int = 150, half: float = HALF) -> tuple[np.ndarray, np.ndarray]:
    """Positions (side * side,) of a raster's pixel centres, from the north-west."""
    ticks = ((np.arange(side) + 0.5) / side * 2 - 1) * half
    x, y = np.meshgrid(ticks, -ticks)
    return x.ravel(), y.ravel()


def test_a_street_runs_along_the_edge_of_a_block_and_has_the_label_of_the_block():
    # One industrial estate, its streets running east: blocks of 200 x 100 with a corner at the
    # centre.
    estate = Settlement(x=0.0, y=0.0, radius=400.0, angle=0.0, width=200.0, depth=100.0, sheds=1.0)
    alone = Landscape(seed=4, settlements=[estate], roads=[], river=(0.0, 0.0, 0.0), woods=2.0)
    x, y = np.array([2.0, 100.0, 100.0, 1400.0]), np.array([50.0, 2.0, 50.0, 1400.0])
    assert landscape.codes(alone, x, y).tolist() == [250, 250, 250, 1]
    at_the_west_edge, at_the_south_edge = ground(alone, x, y).base[:2]
    assert at_the_west_edge == at_the_south_edge == ASPHALT


def test_the_code_at_a_position_does_not_depend_on_the_others():
    drawn = landscape.draw_landscape(0, 3)
    x, y = square()
    some = np.random.default_rng(0).permutation(len(x))[:500]
    codes = landscape.codes(drawn, x, y)
    np.testing.assert_array_equal(codes[some], landscape.codes(drawn, x[some], y[some]))


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
