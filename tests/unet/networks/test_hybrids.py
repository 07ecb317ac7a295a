"""SegFormer in a U-Net: the features of each encoder, and the effect of near and distant pixels."""

import pytest
import seeded
import torch

import unet
from unet.networks.hybrids import STAGES
from unet.networks.resnet import CHANNELS

NAMES = ["segformer-unet", "segformer-resnet-unet"]


def network(name):
    return seeded.filled(lambda: unet.build(name, 2, 3))


def test_the_stem_is_finer_than_the_stages_and_each_feature_half_the_one_before():
    model, x = network("segformer-unet"), torch.randn(1, 2, 32, 64)
    with torch.no_grad():
        features = model.features(x)
        assert [f.shape[1] for f in features] == [16, 32, *STAGES]
        assert [tuple(f.shape[2:]) for f in features] == [
            (32 // 2**i, 64 // 2**i) for i in range(6)
        ]
        assert all(a.equal(b) for a, b in zip(features[2:], model.encoder(x), strict=True))


def test_resnet_and_stages_see_the_same_image_and_are_joined_scale_by_scale():
    model, x = network("segformer-resnet-unet"), torch.randn(1, 2, 32, 64)
    with torch.no_grad():
        joined, resnet, stages = model.features(x), model.resnet(x), model.encoder(x)
        assert joined[0].equal(resnet[0])
        for both, one, other, channels in zip(
            joined[1:], resnet[1:], stages, CHANNELS[1:], strict=True
        ):
            assert both[:, :channels].equal(one) and both[:, channels:].equal(other)


@pytest.mark.parametrize("name", NAMES)
def test_a_pixel_changes_its_own_logits_and_those_at_the_other_end_of_the_image(name):
    model = network(name)
    x = torch.zeros(1, 2, 32, 1024)  # wider than ResNet's receptive radius of 307 pixels
    changed = x.clone()
    changed[..., 0, 0] = 5
    with torch.no_grad():
        difference = (model(x) - model(changed)).abs().amax(dim=(0, 1))
    assert difference[0, 0] > 1e-3 and difference[:, -1].max() > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_any_size_is_the_crop_of_itself_with_the_border_repeated_to_a_multiple_of_32(
    name,
):
    model, x = network(name), torch.randn(1, 2, 30, 40)
    padded = torch.cat([x, x[:, :, -1:].expand(1, 2, 2, 40)], dim=2)
    padded = torch.cat([padded, padded[..., -1:].expand(1, 2, 32, 24)], dim=3)
    with torch.no_grad():
        assert model(x).equal(model(padded)[..., :30, :40])


@pytest.mark.parametrize(
    "name, millions", [("segformer-unet", 5.6), ("segformer-resnet-unet", 36.9)]
)
def test_the_number_of_parameters_is_as_documented(name, millions):
    with torch.device("meta"):
        model = unet.build(name, 4, 3)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
