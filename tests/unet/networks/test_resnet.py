"""ResNet-50 and its U-Net: blocks by hand, comparison with torchvision and with
segmentation_models_pytorch (smp), receptive radius.
"""

import originals
import seeded
import torch
from torch import nn

import unet
from unet.networks.resnet import Bottleneck, Decoder, ResNet50, UpJoin, pad


def image(rows):
    """A (1, 1, H, W) tensor from rows of numbers."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


# Examples to check by hand. A fresh batch normalisation does nothing in evaluation (divides by
# 1.000005).


def test_a_bottleneck_adds_what_it_has_learnt_to_its_input():
    block = Bottleneck(4, 1).eval()  # 4 channels to 1 and back
    with torch.no_grad():
        block.conv1.weight.copy_(torch.tensor([1.0, 1, 0, 0]).view(1, 4, 1, 1))
        block.conv2.weight.zero_()[0, 0, 1, 1] = 2
        block.conv3.weight.copy_(torch.tensor([1.0, -1, 0, 10]).view(4, 1, 1, 1))
    x = torch.tensor([1.0, 2, 3, 4]).view(1, 4, 1, 1)
    # 1 + 2 = 3, doubled 6, and back: 6, -6, 0, 60 are added; 2 - 6 < 0
    torch.testing.assert_close(block(x).flatten(), torch.tensor([7.0, 0, 3, 64]), rtol=1e-4, atol=0)


def test_a_bottleneck_that_has_learnt_nothing_passes_on_what_is_positive():
    block = Bottleneck(8, 2).eval()
    nn.init.zeros_(block.bn3.weight)
    x = torch.randn(2, 8, 5, 4)
    assert block.downsample is None and block(x).equal(x.clamp_min(0))


def test_where_the_size_or_the_channels_change_the_input_takes_a_1_x_1_convolution():
    block = Bottleneck(1, 1, stride=2).eval()
    nn.init.zeros_(block.bn3.weight)
    with torch.no_grad():
        block.downsample[0].weight.copy_(torch.tensor([1.0, 2, 3, -1]).view(4, 1, 1, 1))
    found = block(image([[1, 9, 2], [9, 9, 9], [3, 9, 4]]))  # each second pixel
    expected = torch.stack([k * torch.tensor([[1.0, 2], [3, 4]]) for k in (1, 2, 3, 0)])[None]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_up_join_repeats_each_pixel_and_joins_the_skip_behind():
    block = UpJoin(1, 1, 1, dropout=0)
    block.conv = nn.Identity()
    found = block(image([[1, 2]]), image([[5, 6, 7, 8], [9, 10, 11, 12]]))
    assert found[:, :1].equal(image([[1, 1, 2, 2], [1, 1, 2, 2]]))
    assert found[:, 1:].equal(image([[5, 6, 7, 8], [9, 10, 11, 12]]))
    assert block(image([[3]]), None).equal(image([[3, 3], [3, 3]]))


def test_the_decoder_has_the_size_of_the_finest_feature_or_twice_that():
    features = [torch.randn(1, c, s, s) for c, s in ((2, 8), (3, 4), (5, 2))]
    assert Decoder([2, 3, 5], [4, 6], 0).eval()(features).shape == (1, 6, 8, 8)
    assert Decoder([2, 3, 5], [4, 6, 7], 0).eval()(features).shape == (1, 7, 16, 16)


def test_padding_repeats_the_last_row_and_column_up_to_the_next_multiple():
    assert pad(image([[1, 2, 3]]), 2).equal(image([[1, 2, 3, 3], [1, 2, 3, 3]]))
    assert pad(image([[1, 2], [3, 4]]), 2).equal(image([[1, 2], [3, 4]]))


def test_the_features_are_halved_five_times_or_thrice_if_dilated():
    x = torch.randn(1, 2, 64, 33)
    with torch.no_grad():
        assert [tuple(f.shape[1:]) for f in ResNet50(2).eval()(x)] == [
            (64, 32, 17), (256, 16, 9), (512, 8, 5), (1024, 4, 3), (2048, 2, 2)
        ]  # fmt: skip
        assert [tuple(f.shape[2:]) for f in ResNet50(2, dilated=True).eval()(x)] == [
            (32, 17),
            (16, 9),
            *[(8, 5)] * 3,
        ]


# The published network.


def ours():
    return originals.outputs(
        seeded.filled(lambda: ResNet50(3)),
        originals.RESNET_LAYERS,
        seeded.image(*originals.SHAPES["resnet50"]),
    )


def test_the_encoder_has_the_parameters_of_resnet50_without_its_classifier():
    with torch.device("meta"):
        encoder = ResNet50(3)
    assert sum(p.numel() for p in encoder.parameters()) == 25_557_032 - (2048 * 1000 + 1000)


def test_each_layer_gives_what_torchvisions_gave_when_it_was_recorded():
    found, recorded = ours(), originals.recorded("resnet50")
    assert list(recorded) == originals.RESNET_LAYERS
    for layer, expected in recorded.items():
        originals.check(seeded.spread(found[layer]), expected, layer)


def test_each_layer_gives_what_torchvisions_gives():
    expected = originals.resnet50()
    for layer, found in ours().items():
        originals.check(found, expected[layer], layer)


def test_the_names_are_torchvisions():
    models = originals.installed("torchvision.models")
    with torch.device("meta"):
        theirs, encoder = models.resnet50(weights=None).state_dict(), ResNet50(3).state_dict()
    assert [*encoder, "fc.weight", "fc.bias"] == list(theirs)


def logits_of_the_unet():
    network = seeded.filled(lambda: unet.build("resnet50-unet", 3, 5))
    with torch.no_grad():
        return network(seeded.image(*originals.SHAPES["resnet50-unet"]))


def test_the_unet_gives_what_smps_gave_when_it_was_recorded():
    recorded = originals.recorded("resnet50-unet")
    assert list(recorded) == ["logits"]
    originals.check(seeded.spread(logits_of_the_unet()), recorded["logits"], "logits")


def test_the_unet_gives_what_smps_gives():
    originals.check(logits_of_the_unet(), originals.resnet50_unet()["logits"], "logits")


# Receptive radius. One channel instead of many, positive weights, and means instead of maxima, so
# that no path has a gradient of 0 by chance.


def skeleton():
    """The U-Net with the same connections, one channel each (two where a skip is joined), in double
    precision.
    """
    with torch.device("meta"):
        network = unet.build("resnet50-unet", 1, 1)
    joined = [f"decoder.blocks.{i}.conv.double_conv.0" for i in range(4)]
    for name, module in list(network.named_modules()):
        new = None
        if isinstance(module, nn.Conv2d):
            geometry = module.kernel_size, module.stride, module.padding, module.dilation
            new = nn.Conv2d(2 if name in joined else 1, 1, *geometry, bias=False)
            nn.init.uniform_(new.weight, 0.5, 1.5)
        elif isinstance(module, nn.BatchNorm2d):
            new = nn.Identity()
        elif isinstance(module, nn.MaxPool2d):
            new = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
        if new is not None:
            network.set_submodule(name, new)
    return network.double().eval()


def test_receptive_radius_is_the_distance_of_the_furthest_pixel_with_a_gradient():
    network, middle, found = skeleton(), 320, []
    x = torch.rand(32, 1, 672, 32, dtype=torch.float64, requires_grad=True)
    rows = torch.arange(middle, middle + 32)
    network(x)[torch.arange(32), 0, rows, 16].sum().backward()
    for row, gradient in zip(rows, x.grad, strict=True):
        touched = gradient.abs().sum(dim=(0, 2)).nonzero()
        found.append(max(row - touched.min(), touched.max() - row))
    assert max(found) == network.receptive_radius == 307


def test_windows_that_overlap_by_the_receptive_radius_give_what_the_whole_gives():
    network = skeleton()
    x, margin, start, size = (
        torch.rand(1, 1, 992, 32, dtype=torch.float64),
        network.receptive_radius,
        96,
        704,
    )
    whole, window = network(x), network(x[:, :, start : start + size])
    torch.testing.assert_close(
        window[:, :, margin : size - margin], whole[:, :, start + margin : start + size - margin]
    )
    assert not torch.allclose(window, whole[:, :, start : start + size])
