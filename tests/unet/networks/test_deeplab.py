"""DeepLabV3: dilation by hand, and layer by layer against torchvision."""

import originals
import pytest
import seeded
import torch
from torch import nn

import unet
from unet.networks.deeplab import ASPP


def ours():
    return seeded.filled(lambda: unet.build("deeplabv3", 3, 5)), seeded.image(
        *originals.SHAPES["deeplabv3"]
    )


@pytest.mark.parametrize("branch, rate", [(1, 12), (2, 24), (3, 36)])
def test_a_branch_of_the_pyramid_sees_nine_pixels_that_stand_its_rate_apart(branch, rate):
    """The features are larger than the recorded ones, which no rate fits into."""
    conv = ASPP(1, dropout=0).convs[branch][0]
    nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 2 * rate + 5, 2 * rate + 5)
    x[..., rate + 2, rate + 2] = 1
    seen = conv(x)[0, 0].nonzero().tolist()
    places = (2, rate + 2, 2 * rate + 2)
    assert seen == [[row, column] for row in places for column in places]


def test_the_last_branch_of_the_pyramid_is_the_mean_of_the_image_everywhere():
    pyramid = ASPP(1, dropout=0).eval()
    nn.init.ones_(pyramid.convs[4][1].weight)
    pyramid.project = nn.Identity()
    joined = pyramid(torch.tensor([[1.0, 2, 6]])[None, None])  # (1, 5 * 256, 1, 3)
    torch.testing.assert_close(
        joined[:, 4 * 256 :], torch.full((1, 256, 1, 3), 3.0), rtol=1e-4, atol=0
    )


def test_the_number_of_parameters_is_torchvisions_without_the_auxiliary_classifier():
    with torch.device("meta"):
        network = unet.build("deeplabv3", 3, 21)
    auxiliary = 9 * 1024 * 256 + 2 * 256 + 256 * 21 + 21
    assert sum(p.numel() for p in network.parameters()) == 42_004_074 - auxiliary


def test_each_layer_gives_what_torchvisions_gave_when_it_was_recorded():
    network, x = ours()
    found, recorded = (
        originals.outputs(network, originals.DEEPLAB_LAYERS, x),
        originals.recorded("deeplabv3"),
    )
    assert list(recorded) == [*originals.DEEPLAB_LAYERS, "logits"]
    with torch.no_grad():
        found["logits"] = network(x)
    for layer, expected in recorded.items():
        originals.check(seeded.spread(found[layer]), expected, layer)


def test_names_and_logits_are_torchvisions():
    theirs, (network, _) = originals.deeplabv3_model(), ours()
    assert [name for name in theirs.state_dict() if not name.startswith("aux_")] == list(
        network.state_dict()
    )
    for shape in ((1, 3, 49, 66), (2, 3, 8, 17), (1, 3, 1, 1)):
        x = seeded.image(*shape)
        with torch.no_grad():
            torch.testing.assert_close(network(x), theirs(x)["out"], rtol=1e-5, atol=1e-5)


def test_training_needs_two_images_because_one_has_one_mean():
    network, _ = ours()
    network.train()
    assert network(torch.randn(2, 3, 9, 9)).isfinite().all()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 3, 64, 64))
