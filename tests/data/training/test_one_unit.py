"""Scenes of two units, of other scales, and with undeclared fill values, in one training."""

import numpy as np
import pytest
import small

from data.files import InputError
from data.input import image
from data.raster import Raster, cog
from data.scaling import Scaling
from data.training.one_unit import in_one_unit


def scenes(*factors: float) -> list:
    """Scenes of the same numbers times a factor: below 1 as float32, else as uint16."""
    numbers = np.random.default_rng(0).uniform(300, 4000, (2, 40, 50))
    types = [np.float32 if factor < 1 else np.uint16 for factor in factors]
    images = [(numbers * factor).astype(dtype) for factor, dtype in zip(factors, types)]
    return [small.scene(40, 50, image=one) for one in images]


def converted(*factors: float, offset=0.0, method="minmax") -> tuple[list, list[str]]:
    said: list[str] = []
    return in_one_unit(scenes(*factors), offset, method, said.append), said


def test_the_rarer_unit_becomes_the_usual_one_and_it_is_said():
    found, said = converted(1, 1e-4, 1)
    first, changed, _ = (
        scene.image if not scene.unit else scene.read(whole(scene)) for scene in found
    )
    np.testing.assert_allclose(first, changed, atol=1.01)
    assert changed.dtype == np.float32
    assert said == [
        "scene.tif: is in reflectance, the training images are in reflectance x 10,000: "
        "multiplied by 10000"
    ]
    found, said = converted(1, 1e-4, 1e-4)
    assert found[0].read(whole(found[0])).max() < 1 and "multiplied by 0.0001" in said[0]


def whole(scene) -> tuple[int, int, int, int]:
    return 0, 0, scene.grid.height, scene.grid.width


def test_scenes_of_one_unit_and_scenes_scaled_by_themselves_are_not_changed():
    for factors in ((1, 2, 0.5), (1e-4, 2e-4)):
        found, said = converted(*factors)
        assert said == [] and not any(scene.unit for scene in found)
    found, said = converted(1, 1e-4, method="image")
    assert said == [] and not any(scene.unit for scene in found)


def test_an_offset_is_added_to_the_numbers_of_all_scenes():
    plain, shifted = scenes(1)[0], converted(1, offset=-1000)[0][0]
    expected = np.maximum(plain.image.astype(np.float32) - 1000, 1)
    assert np.array_equal(shifted.read(whole(shifted)), expected) and shifted.nodata is None


def test_an_offset_is_in_ten_thousandths_where_scenes_are_in_both_units():
    found, _ = converted(1, 1e-4, 1, offset=-100.0)
    first, changed, _ = (scene.read(whole(scene)) for scene in found)
    np.testing.assert_allclose(first, changed, atol=1.01)
    found, _ = converted(1, 1e-4, 1e-4, offset=-100.0)  # the usual unit is reflectance
    assert np.isclose(found[0].read(whole(found[0])).max(), 0.39, atol=0.001)


def test_an_offset_far_above_all_numbers_is_refused():
    with pytest.raises(InputError, match="--offset -1000: the numbers of the images are about 0.4"):
        converted(1e-4, 1e-4, offset=-1000)


@pytest.mark.parametrize("factors", [(0.5, 0.5, 0.005), (1, 1, 60)])
def test_scenes_of_other_units_than_reflectance_are_told(factors):
    numbers = np.random.default_rng(0).uniform(300, 4000, (2, 40, 50))
    made = [small.scene(40, 50, image=(numbers * f).astype(np.float64)) for f in factors]
    said: list[str] = []
    in_one_unit(made, 0, "minmax", said.append)
    assert len(said) == 1 and said[0].startswith("the numbers of the images differ much")
    said.clear()
    in_one_unit(made, 0, "image", said.append)
    in_one_unit(made[:2], 0, "minmax", said.append)
    assert said == []


def test_decibels_beside_powers_are_told():
    power = np.random.default_rng(0).uniform(0.1, 0.9, (1, 40, 50)).astype(np.float32)
    made = [small.scene(40, 50, image=one) for one in (power, 10 * np.log10(power) - 3)]
    said: list[str] = []
    in_one_unit(made, 0, "minmax", said.append)
    assert "differ much" in said[0]


def test_a_fill_value_is_told_once_for_all_files_that_have_it():
    some = scenes(1, 1, 1)
    some[0].image[:, :10] = 65535
    some[2].image[:, :30] = 65535
    said: list[str] = []
    in_one_unit(some, 0, "minmax", said.append)
    assert said == [
        "scene.tif: 50.0% of the numbers are 65535, far from all others; if that is no data, "
        "give --nodata=65535"
    ]


# As a user meets it.


def rewritten(args, change) -> None:
    """Change the pixels of the images of a training, by their number."""
    for number, path in enumerate(sorted((args.output.parent / "in/images").iterdir())):
        with Raster(path) as raster:
            pixels, grid = raster.read(), raster.grid
        cog.write(path, change(number, pixels), grid, nodata=0, descriptions=small.BANDS)


def test_half_of_the_scenes_in_reflectance_give_the_scaling_of_all_in_one_unit(tmp_path):
    args = small.options(tmp_path)
    before = Scaling.from_state(small.load(args)[0].checkpoint["scaling"])
    rewritten(args, lambda number, pixels: np.float32(pixels / 1e4) if number % 2 else pixels)
    data, said = small.load(args)
    after = Scaling.from_state(data.checkpoint["scaling"])
    np.testing.assert_allclose(after.offset, before.offset, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.scale, before.scale, rtol=1e-4)
    assert "s_1.tif and 1 more file: is in reflectance, the training images are in" in said
    values = [data.training.image(number) for number in range(len(data.training))]
    assert max(abs(v[:4].mean() - values[0][:4].mean()) for v in values) < 0.2


def test_scenes_of_two_scales_become_equal(tmp_path, monkeypatch):
    class Scaled(Raster):
        """Files with odd numbers have an offset of 1000, and say so."""

        def __init__(self, path):
            super().__init__(path)
            odd = self.path.stem in ("s_1", "s_3")
            self.scales = ((1e-4, -0.1 if odd else 0.0),) * self.count

    args = small.options(tmp_path)
    before = small.load(args)[0].checkpoint["scaling"]
    rewritten(args, lambda n, p: np.where(p, p + 1000, 0).astype(np.uint16) if n % 2 else p)
    monkeypatch.setattr(image, "Raster", Scaled)
    after = small.load(args)[0].checkpoint["scaling"]
    np.testing.assert_allclose(np.array(after["offset"][:4]) * 1e4, before["offset"][:4], rtol=1e-3)
    np.testing.assert_allclose(np.array(after["scale"][:4]) * 1e4, before["scale"][:4], rtol=1e-3)


def test_an_offset_in_training_gives_the_scaling_of_numbers_without_it(tmp_path):
    args = small.options(tmp_path)
    before = small.load(args)[0].checkpoint["scaling"]
    rewritten(args, lambda _, pixels: np.where(pixels, pixels + 1000, 0).astype(np.uint16))
    args.offset = -1000.0
    assert small.load(args)[0].checkpoint["scaling"] == before


def test_a_product_has_its_own_offset(tmp_path):
    args = small.options(tmp_path, offset=-1000.0)
    (tmp_path / "in/images/a.SAFE").mkdir()
    with pytest.raises(InputError, match="a.SAFE: --offset -1000: a SAFE folder has its own"):
        small.load(args)
