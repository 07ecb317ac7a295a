"""Windows as batches of a network's input: mirrored at the border, full, and none without data."""

from itertools import product

import numpy as np
import pytest
from scene import Array, mapped, noise

from data.mapping.batches import Batch, RowEnd, batches
from data.tiling import STRIDE, Tiling, axis


def test_beyond_its_border_a_scene_is_seen_in_a_mirror():
    # The network answers with the pixel two to the left: at the border that is the mirrored one.
    image = np.arange(600, dtype=np.float32)[None, None].repeat(3, axis=1)
    found = mapped(image, lambda x: np.roll(x, 2, axis=3), 1)
    assert found[0, 1].tolist() == [2, 1, *range(598)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 300), (5, 1)])
def test_a_scene_smaller_than_the_mirror_is_mirrored_again_and_again(shape):
    seen = []
    image = noise(*shape)
    mapped(image, lambda x: seen.append(x) or x, 1)
    wide = np.pad(image, ((0, 0), (STRIDE, STRIDE), (STRIDE, STRIDE)), mode="reflect")
    assert np.array_equal(
        seen[0][0][:, : wide.shape[1], : min(wide.shape[2], 256)], wide[:, :, :256]
    )


def test_windows_without_data_cost_no_pass_and_data_beside_them_is_mapped_in_full():
    image, seen = noise(1000, 900), []
    image[:, :600], image[:, :, 300:] = np.nan, np.nan  # data in the lower left corner
    found = mapped(image, lambda x: seen.append(len(x)) or x + 1, 1)
    rows, cols = axis(1000, 256, 64), axis(900, 256, 64)
    with_data = [
        (row, col)
        for row, col in product(range(len(rows.starts)), range(len(cols.starts)))
        if rows.support(row)[1] > 600 and cols.support(col)[0] < 300
    ]
    assert sum(seen) == len(with_data) < len(rows.starts) * len(cols.starts) / 3
    np.testing.assert_allclose(found[:, 600:, :300], image[:, 600:, :300] + 1, rtol=1e-6)
    assert np.isnan(found[:, :600]).all()


def test_a_scene_without_any_data_never_meets_the_network():
    assert np.isnan(mapped(np.full((2, 300, 700), np.nan), None, 4)).all()


def test_batches_are_full_until_a_row_of_windows_ends():
    sizes = []
    mapped(noise(300, 1500), lambda x: sizes.append(len(x)) or x, 1, batch=3)
    assert len(axis(1500, 256, 64).starts) == 8 and sizes == [3, 3, 2] * 2


def test_a_row_of_windows_ends_with_what_is_kept_of_the_image_for_its_strip():
    image = noise(1000, 300)
    image[0, 200:210, 5] = np.nan
    items = list(batches(Array(image, step=3), Tiling(1000, 300, 256, 64), range(5), 4))
    ends = [item for item in items if isinstance(item, RowEnd)]
    assert [type(item) for item in items] == [Batch, RowEnd] * 5 and len(ends) == 5
    for end, top, bottom in zip(ends, [0, 188, 380, 572, 764], [188, 380, 572, 764, 828]):
        assert np.array_equal(end.valid, ~np.isnan(image[0, top:bottom]))
        assert np.array_equal(
            end.thumbnail, image[:, top + -top % 3 : bottom : 3, ::3], equal_nan=True
        )
