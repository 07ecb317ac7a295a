"""Defaults that depend on the images: network, windows, batch, weight decay and scaling."""

import numpy as np
import pytest
import small

import train
import unet
from data.raster import Raster, cog
from data.training import defaults
from data.training.defaults import complete, scaled_by_itself


def of(sides: list[tuple[int, int]], *options: str) -> tuple[list, list[str]]:
    """Return the chosen options for scenes of these sides, and what was said."""
    args, said = train.parse([*options]), []
    complete(args, [small.scene(*side) for side in sides], said.append)
    chosen = [args.model, args.size, args.batch, args.weight_decay, args.scaling]
    return chosen, said


def test_small_tiles_get_a_shallow_network_and_it_is_said():
    chosen, said = of([(128, 192), (60, 50)])
    assert chosen == ["unet-3", 32, 48, 0.05, "minmax"]
    assert said == [
        "no image is longer than 192 pixels: --model unet-3 --size 32 --batch 48 "
        "--weight-decay 0.05"
    ]
    chosen, said = of([(128, 128)], "--size", "64", "--batch", "4", "--weight-decay", "0")
    assert chosen == ["unet-3", 64, 4, 0.0, "minmax"]
    assert said[0].endswith("--model unet-3 --size 64 --batch 4 --weight-decay 0")


def test_one_larger_image_gets_the_u_net():
    assert of([(128, 128), (193, 50)]) == (["unet", None, 12, 1e-4, "minmax"], [])


@pytest.mark.parametrize("large", [(193, 50), (50, 193)])
def test_one_long_side_is_enough_for_the_u_net(large):
    assert of([(128, 128), large])[0][0] == "unet"


def test_windows_are_not_larger_than_the_largest_tile():
    assert of([(20, 24), (20, 20)])[0][1] == 24
    assert of([(20, 24)], "--size", "32")[0][1] == 32


def test_a_resumed_run_keeps_options_without_a_value():
    args = train.parse(["--model", "unet-3", "--batch", "4", "--weight-decay", "1e-4"])
    args.resume = "run/last.pt"
    complete(args, [small.scene(128, 128)], pytest.fail)
    assert (args.size, args.batch, args.weight_decay) == (None, 4, 1e-4)


def test_a_chosen_network_has_its_own_defaults():
    assert of([(128, 128)], "--model", "unet") == (["unet", None, 12, 1e-4, "minmax"], [])
    assert of([(999, 128)], "--model", "unet-3") == (["unet-3", 32, 48, 0.05, "minmax"], [])
    assert of([(128, 128)], "--optimizer", "adam")[0][1:4] == [32, 48, 1e-4]
    chosen, _ = of([(128, 128)], "--model", "segformer-b0", "--scaling", "standard")
    assert chosen == ["segformer-b0", None, 12, 1e-4, "standard"]


@pytest.mark.parametrize("side", [128, 999])
def test_large_networks_have_a_lower_learning_rate(side):
    def rate(*options: str) -> float:
        args = train.parse([*options])
        complete(args, [small.scene(side, side)], lambda line: None)
        return args.lr

    assert rate() == rate("--model", "unet") == rate("--model", "unet-3") == 2e-3
    assert {rate("--model", name) for name in unet.MODELS if not name.startswith("unet")} == {5e-4}
    assert rate("--model", "deeplabv3", "--lr", "1e-2") == 1e-2


def ground(count: int, bands: int = 3) -> list[np.ndarray]:
    """Reflectances x 10,000 (bands, 60, 70) of different places: some are dark, some are bright."""
    rng = np.random.default_rng(1)
    return [
        (rng.gamma(6, 100, (bands, 60, 70)) * rng.uniform(0.3, 2)).astype(np.uint16)
        for _ in range(count)
    ]


def stretched(image: np.ndarray, top: float, dtype: type) -> np.ndarray:
    """Stretch each band to 0 ... top, as GIS programs do for a screen."""
    low, high = (f(image, axis=(1, 2), keepdims=True).astype(float) for f in (np.min, np.max))
    return ((image - low) / (high - low) * top).astype(dtype)


def found_in(images: list[np.ndarray], **options) -> bool:
    return scaled_by_itself([small.scene(*one.shape[1:], image=one, **options) for one in images])


@pytest.mark.parametrize("form", [(255, np.uint8), (65535, np.uint16), (1, np.float32)])
def test_images_that_were_stretched_one_by_one_are_found(form):
    images = [stretched(one, *form) for one in ground(24)]
    assert found_in(images) and not found_in(images[:23])  # of few, many have an extreme by chance
    halves = [half for one in images for half in (one[:, :30], one[:, 30:])]
    assert found_in(halves)  # an extreme is in one half only


def test_stretched_images_are_found_beside_a_frame_without_data():
    framed = [np.pad(stretched(one, 200, np.uint8), ((0, 0), (9, 0), (0, 0))) for one in ground(24)]
    assert found_in([np.where(one == 0, 0, one + 20) for one in framed], nodata=0)


def test_images_with_other_numbers_of_bands_and_large_images_are_passed_over():
    images = [stretched(one, 255, np.uint8) for one in ground(24)]
    assert found_in([*images, images[0][:2], images[1][:1]])
    assert not found_in([*images[:23], images[0][:2]])
    large = [np.pad(one, ((0, 0), (0, 1000), (0, 1000)), mode="wrap") for one in images[:1]]
    assert large[0][0].size > defaults.LARGEST and not found_in(images[:23] + large)


def test_reflectances_and_photographs_were_not_stretched():
    assert not found_in(ground(24))
    photographs = [np.clip(one / 2 - 150, 0, 255).astype(np.uint8) for one in ground(24)]
    assert {(one.min(), one.max()) for one in photographs} == {(0, 255)}
    assert not found_in(photographs)
    assert not found_in([np.full((3, 60, 70), 7, np.uint8)] * 24)
    assert not found_in([np.zeros((3, 60, 70), np.uint8)] * 24, nodata=0)
    assert not scaled_by_itself([])
    # Only the dark end is that of the set, as with dead pixels.
    dead = ground(24)
    for one in dead:
        one[:, 3, 3] = 0
    assert not found_in(dead)


def test_images_that_were_stretched_are_scaled_by_themselves_and_it_is_said(tmp_path):
    small.write(tmp_path / "in", 24)
    args = small.options(tmp_path, validation=0.2)
    method, said = scaling_of(args)
    assert method == "minmax" and "stretched" not in said
    for path in sorted((tmp_path / "in/images").iterdir()):
        with Raster(path) as raster:
            pixels, grid = stretched(raster.read(), 255, np.uint8), raster.grid
        cog.write(path, pixels, grid, descriptions=small.BANDS)
    method, said = scaling_of(small.options(tmp_path, validation=0.2))
    assert method == "image" and "seem to be stretched one by one" in said
    assert scaling_of(small.options(tmp_path, scaling="standard"))[0] == "standard"


def scaling_of(args) -> tuple[str, str]:
    data, said = small.load(args)
    return data.checkpoint["scaling"]["method"], said
