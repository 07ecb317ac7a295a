"""The pixels of a scene: each is read once, ahead of the network but not far, and then released."""

import weakref

import numpy as np
import pytest
from pyproj import CRS
from scene import Array, Function, cut, mapped, noise

from data.grid import Grid, Window
from data.input.inputs import Expected, Input
from data.mapping.source import Source
from data.mapping.strips import map_scene
from data.raster import cog
from data.scaling import Scaling


@pytest.mark.parametrize(
    "height, width", [(1, 1), (3, 400), (300, 301), (257, 256), (700, 131), (1, 900)]
)
@pytest.mark.parametrize("of", [(256, 0), (256, 64), (256, 224)])
def test_what_looks_at_single_pixels_gives_the_same_in_windows_and_each_pixel_is_read_once(
    height, width, of
):
    image, times = noise(height, width, 2), np.zeros((height, width), int)

    def read(window: Window) -> np.ndarray:
        times[window.row : window.row + window.height, window.col : window.col + window.width] += 1
        assert window.row % 40 == 0 and window.col % 70 == 0  # whole blocks
        return cut(image, window)

    source = Array(image, (40, 70))
    source.read = read
    found = mapped(source, lambda x: x + 1, 2, *of)
    np.testing.assert_allclose(found, image + 1, rtol=1e-6)
    assert (times == 1).all()


def test_reading_runs_ahead_but_not_far():
    image, last = noise(5000, 64), []

    def read(window: Window) -> np.ndarray:
        last.append(window.row)
        return cut(image, window)

    source = Array(image)
    source.read = read
    made = map_scene(source, Function(lambda x: x, 1))
    next(made)
    assert max(last) < 2500
    made.close()
    assert max(last) < 2500


def test_parts_of_the_source_are_released_as_the_map_goes_down():
    """Memory does not grow with the height: as many parts are alive at the end as in the middle."""
    image, parts, alive = noise(6000, 64), [], []

    def read(window: Window) -> np.ndarray:
        pixels = cut(image, window).copy()
        parts.append(weakref.ref(pixels))
        alive.append(sum(part() is not None for part in parts))
        return pixels

    source = Array(image)
    source.read = read
    mapped(source, lambda x: x)
    assert len(parts) == len(range(0, 6000, 64)) and max(alive) <= 16  # of 94


def test_the_input_is_the_bands_by_name_scaled_with_their_indices(tmp_path):
    pixels = np.stack([np.full((5, 7), 1000), np.full((5, 7), 3000)]).astype(np.uint16)
    pixels[:, 2, 3] = 0
    grid = Grid(CRS.from_epsg(32631), (10, 0, 0, 0, -10, 0), 5, 7)
    cog.write(tmp_path / "a.tif", pixels[::-1], grid, nodata=0, descriptions=["NIR", "Red"])
    scaling = Scaling("minmax", (0.0, 0.0, 0.0), (2000.0, 2000.0, 1.0))
    checkpoint = {"bands": ["Red", "NIR"], "indices": ["NDVI"], "scaling": scaling.state()}
    with Input((tmp_path / "a.tif",), Expected.of(checkpoint)) as image:
        source = Source(image, checkpoint, step=2)
        found = source.read(Window(0, 0, 5, 7))
        inputs, valid = source.prepare(found)
        assert (source.name, source.height, source.width) == ("a.tif", 5, 7)
        assert inputs[:, 0, 0].tolist() == [0.5, 1.5, 0.5] and not inputs[:, 2, 3].any()
        assert np.array_equal(valid, source.valid(found)) and np.argwhere(~valid).tolist() == [
            [2, 3]
        ]
        assert np.array_equal(source.thumbnail(found[:, 1:], 1), pixels[:, 2::2, ::2])


def test_a_scaling_of_each_image_by_itself_is_fitted_to_the_image(tmp_path):
    pixels = np.arange(10_000, dtype=np.uint16).reshape(1, 100, 100) + 500
    grid = Grid(None, (1, 0, 0, 0, 1, 0), 100, 100)
    cog.write(tmp_path / "a.tif", pixels, grid, descriptions=["Red"])
    checkpoint = {"bands": ["Red"], "indices": [], "scaling": Scaling("image").state()}
    with Input((tmp_path / "a.tif",), Expected.of(checkpoint)) as image:
        inputs, _ = Source(image, checkpoint).prepare(pixels)
    low, high = np.percentile(pixels, (1, 99))
    np.testing.assert_allclose(inputs, (pixels - low) / (high - low), atol=1e-6)
