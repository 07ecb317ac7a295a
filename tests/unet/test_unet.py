"""The U-Net, layer by layer: examples to check by hand, an independent forward pass, then
properties.
"""

import originals
import pytest
import seeded
import torch
import torch.nn.functional as F
from torch import nn

import unet
from unet.unet import DoubleConv, Down, OutConv, Up


def image(rows):
    """A (1, 1, H, W) tensor from rows of numbers."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def set_centre(conv, value):
    """Set the kernel of a 3 x 3 convolution of one channel: `value` in the centre, 0 elsewhere."""
    with torch.no_grad():
        conv.weight.zero_()[0, 0, 1, 1] = value


# Examples to check by hand. A fresh batch normalisation does nothing in evaluation (divides by
# 1.000005).


def test_double_conv_is_convolution_and_relu_twice():
    layer = DoubleConv(1, 1).eval()
    set_centre(layer.double_conv[0], 2.0)
    set_centre(layer.double_conv[3], -3.0)
    # 1 -> 2 -> relu 2 -> -6 -> relu 0; -1 -> -2 -> relu 0 -> 0
    assert layer(image([[1, -1]])).flatten().tolist() == [0, 0]
    set_centre(layer.double_conv[3], 3.0)  # 1 -> 2 -> 6; -1 -> -2 -> relu 0 -> 0
    torch.testing.assert_close(layer(image([[1, -1]])), image([[6, 0]]), rtol=1e-4, atol=0)


def test_convolution_sees_the_8_neighbours_and_zeros_outside_the_image():
    layer = DoubleConv(1, 1).eval()
    nn.init.ones_(layer.double_conv[0].weight)
    set_centre(layer.double_conv[3], 1.0)
    counts = image([[4, 6, 4], [6, 9, 6], [4, 6, 4]])  # how many of the 9 pixels lie inside
    torch.testing.assert_close(layer(torch.ones(1, 1, 3, 3)), counts, rtol=1e-4, atol=0)


def test_batch_normalisation_in_training_makes_mean_0_and_deviation_1():
    layer = DoubleConv(1, 1).train()
    set_centre(layer.double_conv[0], 1.0)
    set_centre(layer.double_conv[3], 1.0)
    # 10, 14 -> normalised -1, 1 -> relu 0, 1 -> normalised -1, 1 -> relu 0, 1
    torch.testing.assert_close(layer(image([[10, 14]])), image([[0, 1]]), rtol=0, atol=1e-4)


def test_down_keeps_the_largest_of_each_2_x_2_and_drops_an_odd_row_and_column():
    down = Down(1, 1)
    down.maxpool_conv[1] = nn.Identity()
    x = image([[1, 5, 2, 0, 9], [3, 4, 8, 1, 9], [0, 0, 7, 6, 9], [2, 0, 0, 0, 9], [9, 9, 9, 9, 9]])
    assert down(x).equal(image([[5, 8], [2, 7]]))


def test_up_spreads_each_pixel_over_2_x_2_pads_at_the_lower_right_and_joins_the_skip_in_front():
    up = Up(2, 1)
    up.conv = nn.Identity()
    with torch.no_grad():
        weight = torch.tensor([[[[1.0, 2], [3, 4]]], [[[0, 0], [0, 100]]]])  # (in, out, 2, 2)
        up.up.weight.copy_(weight)
        up.up.bias.fill_(0.5)
    x = torch.tensor([[[[10.0]], [[1.0]]]])  # two channels of one pixel
    skip = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    joined = up(x, skip)
    assert joined[:, :1].equal(skip)
    assert joined[:, 1:].equal(image([[10.5, 20.5, 0], [30.5, 140.5, 0], [0, 0, 0]]))


def test_bilinear_up_interpolates_between_aligned_corners():
    up = Up(2, 1, bilinear=True)
    up.conv = nn.Identity()
    assert up(image([[0, 3]]), torch.zeros(1, 1, 2, 4))[:, 1:].equal(
        image([[0, 1, 2, 3], [0, 1, 2, 3]])
    )


def test_out_conv_is_a_dot_product_in_each_pixel():
    out = OutConv(2, 1)
    with torch.no_grad():
        out.conv.weight.copy_(torch.tensor([[[[2.0]], [[-1.0]]]]))
        out.conv.bias.fill_(10)
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # pixels (1, 3) and (2, 4)
    assert out(x).equal(image([[2 - 3 + 10, 4 - 4 + 10]]))


def test_dropout_drops_whole_channels_and_scales_the_others_up():
    torch.manual_seed(0)
    plain, layer, x = DoubleConv(1, 64), DoubleConv(1, 64, dropout=0.25), torch.randn(1, 1, 8, 8)
    layer.load_state_dict(plain.state_dict())
    found, undropped = layer(x)[0], plain(x)[0]  # (64, 8, 8)
    dropped = (found == 0).flatten(1).all(dim=1)
    assert 0 < dropped.sum() < 32  # 16 expected
    torch.testing.assert_close(found[~dropped], undropped[~dropped] / 0.75)


# The published network: names, number of parameters, meaning.


def published_keys():
    """Names in milesial/Pytorch-UNet's checkpoints (transposed convolutions), in their order."""
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    double = ["0.weight", *(f"1.{n}" for n in norm), "3.weight", *(f"4.{n}" for n in norm)]
    keys = [f"inc.double_conv.{name}" for name in double]
    keys += [f"down{i}.maxpool_conv.1.double_conv.{name}" for i in (1, 2, 3, 4) for name in double]
    for i in (1, 2, 3, 4):
        keys += [
            f"up{i}.up.weight",
            f"up{i}.up.bias",
            *(f"up{i}.conv.double_conv.{name}" for name in double),
        ]
    return [*keys, "outc.conv.weight", "outc.conv.bias"]


def parameter_count(channels, classes, b, bilinear):
    """Count by hand: 9 in out for a convolution, 2 out for its normalisation, 4 in out + out for a
    transposed convolution.
    """

    def double(inside, out, middle=None):
        middle = middle or out
        return 9 * inside * middle + 2 * middle + 9 * middle * out + 2 * out

    down = double(channels, b) + double(b, 2 * b) + double(2 * b, 4 * b) + double(4 * b, 8 * b)
    if bilinear:
        down += double(8 * b, 8 * b)
        up = sum(double(k * b, k * b // 4, k * b // 2) for k in (16, 8, 4)) + double(2 * b, b, b)
    else:
        down += double(8 * b, 16 * b)
        up = sum(
            4 * k * b * (k * b // 2) + k * b // 2 + double(k * b, k * b // 2) for k in (16, 8, 4, 2)
        )
    return down + up + b * classes + classes


@pytest.mark.parametrize("bilinear, total", [(False, 31_037_698), (True, 17_263_042)])
def test_names_and_number_of_parameters_are_those_of_milesials_unet(bilinear, total):
    network = unet.build("unet", 3, 2, bilinear=bilinear, dropout=0.2, head_dropout=0.3)
    keys = [key for key in published_keys() if not (bilinear and ".up." in key)]
    assert list(network.state_dict()) == keys
    assert sum(p.numel() for p in network.parameters()) == total
    assert parameter_count(3, 2, 64, bilinear) == total
    small = unet.build("unet", 15, 7, base=6, bilinear=bilinear)
    assert sum(p.numel() for p in small.parameters()) == parameter_count(15, 7, 6, bilinear)


def functional_forward(weights, x, bilinear):
    """Run the published network without our classes, from the names of its weights."""

    def double(x, name):
        for conv, norm in (("0", "1"), ("3", "4")):
            x = F.conv2d(x, weights[f"{name}.double_conv.{conv}.weight"], padding=1)
            mean, variance, scale, shift = (
                weights[f"{name}.double_conv.{norm}.{part}"][:, None, None]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp_min(0)
        return x

    levels = [double(x, "inc")]
    for i in (1, 2, 3, 4):
        levels.append(double(F.max_pool2d(levels[-1], 2), f"down{i}.maxpool_conv.1"))
    x = levels.pop()
    for i in (1, 2, 3, 4):
        skip = levels.pop()
        if bilinear:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        else:
            x = F.conv_transpose2d(
                x, weights[f"up{i}.up.weight"], weights[f"up{i}.up.bias"], stride=2
            )
        padded = torch.zeros(x.shape[0], x.shape[1], *skip.shape[-2:])
        padded[..., : x.shape[-2], : x.shape[-1]] = x
        x = double(torch.cat([skip, padded], 1), f"up{i}.conv")
    return F.conv2d(x, weights["outc.conv.weight"], weights["outc.conv.bias"])


@pytest.mark.parametrize("bilinear", [False, True])
def test_forward_equals_an_independent_one_at_even_and_odd_sizes(bilinear):
    torch.manual_seed(1)
    network = unet.build("unet", 4, 3, base=4, bilinear=bilinear, dropout=0.5, head_dropout=0.5)
    network(torch.randn(4, 4, 32, 32))  # changes the running means and variances
    network.eval()
    for size in ((16, 16), (33, 48), (31, 47)):
        x = torch.randn(2, 4, *size)
        expected = functional_forward(network.state_dict(), x, bilinear)
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bilinear", [False, True])
def test_each_layer_gives_what_milesials_gave_when_it_was_recorded(bilinear):
    network = seeded.filled(lambda: unet.build("unet", 3, 5, bilinear=bilinear))
    recorded = originals.recorded("unet-bilinear" if bilinear else "unet")
    assert list(recorded) == originals.UNET_LAYERS
    found = originals.outputs(
        network, originals.UNET_LAYERS, seeded.image(*originals.SHAPES["unet"])
    )
    for layer, expected in recorded.items():
        originals.check(seeded.spread(found[layer]), expected, layer)


# Properties.


@pytest.mark.parametrize(
    "channels, classes, bilinear", [(1, 2, False), (4, 7, True), (15, 2, False)]
)
def test_logits_have_the_size_of_the_input_whatever_it_is(channels, classes, bilinear):
    network = unet.build("unet", channels, classes, base=2, bilinear=bilinear).eval()
    sizes = torch.randint(
        1, 41, (12, 2), generator=torch.Generator().manual_seed(channels)
    ).tolist()
    for height, width in [(1, 1), (15, 16), (17, 31), (40, 1), *sizes]:
        logits = network(torch.randn(2, channels, height, width))
        assert logits.shape == (2, classes, height, width)
        assert logits.isfinite().all()


def test_a_small_image_is_the_crop_of_itself_with_the_border_repeated():
    network = unet.build("unet", 1, 2, base=2).eval()
    x = torch.randn(1, 1, 9, 20)
    padded = torch.cat([x, x[:, :, -1:].expand(1, 1, 7, 20)], dim=2)
    torch.testing.assert_close(network(x), network(padded)[:, :, :9])


def test_training_works_down_to_two_values_at_the_deepest_level():
    network = unet.build("unet", 1, 2, base=2).train()
    assert network(torch.randn(1, 1, 32, 16)).isfinite().all()
    assert network(torch.randn(2, 1, 5, 5)).isfinite().all()


@pytest.mark.parametrize("bilinear", [False, True])
def test_gradient_reaches_every_parameter(bilinear):
    torch.manual_seed(0)
    network = unet.build("unet", 4, 3, base=4, bilinear=bilinear).train()
    network(torch.randn(2, 4, 35, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("bilinear", [False, True])
def test_dropout_stands_after_each_double_convolution_and_before_the_last_convolution(bilinear):
    network = unet.build("unet", 3, 2, base=2, dropout=0.2, head_dropout=0.3, bilinear=bilinear)
    found = {name: m.p for name, m in network.named_modules() if isinstance(m, nn.Dropout2d)}
    assert found.pop("head_dropout") == 0.3
    assert len(found) == 9 and set(found.values()) == {0.2}


@pytest.mark.parametrize("options", [{"dropout": 0.4}, {"head_dropout": 0.4}])
def test_dropout_changes_training_and_not_evaluation(options):
    torch.manual_seed(0)
    network, x = unet.build("unet", 3, 2, base=4, **options), torch.randn(2, 3, 32, 32)
    plain = unet.build("unet", 3, 2, base=4)
    plain.load_state_dict(network.state_dict())
    assert not network(x).equal(network(x))
    plain.load_state_dict(network.state_dict())
    assert network.eval()(x).equal(plain.eval()(x))


def test_the_same_seed_makes_the_same_network_and_another_seed_another():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in unet.build("unet", 3, 2, base=2).parameters()])

    assert weights(5).equal(weights(5)) and not weights(5).equal(weights(6))


def furthest_influence(network, middle, length):
    """Rows from output rows middle ... middle + 15 to the furthest input row with a gradient, by
    autograd.

    All weights are positive and pooling takes means, so that no gradient is 0 by chance.
    """
    for module in network.modules():
        if isinstance(module, Down):
            module.maxpool_conv[0] = nn.AvgPool2d(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.1)
    x = torch.rand(16, 1, length, 16, dtype=torch.float64, requires_grad=True)
    logits = network.double().eval()(x)
    rows = torch.arange(middle, middle + 16)
    logits[torch.arange(16), 0, rows, 8].sum().backward()
    touched = [g.abs().sum(dim=(0, 2)).nonzero() for g in x.grad]
    distances = [
        torch.stack([row - t.min(), t.max() - row]) for row, t in zip(rows, touched, strict=True)
    ]
    return torch.stack(distances).max().item()


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("middle, length", [(128, 272), (880, 1024)])
def test_receptive_radius_is_the_distance_of_the_furthest_pixel_with_a_gradient(
    bilinear, middle, length
):
    network = unet.build("unet", 1, 1, base=1, bilinear=bilinear)
    assert furthest_influence(network, middle, length) == network.receptive_radius


def test_windows_that_overlap_by_the_receptive_radius_give_what_the_whole_gives():
    torch.manual_seed(0)
    network = unet.build("unet", 2, 3, base=2)
    network(torch.randn(4, 2, 32, 32))
    network.eval()
    x, margin = torch.randn(1, 2, 400, 16), network.receptive_radius
    whole = network(x)
    start = 48  # a multiple of the stride
    window = network(x[:, :, start : start + 240])
    inside = slice(start + margin, start + 240 - margin)
    assert inside.stop - inside.start > 16
    torch.testing.assert_close(
        window[:, :, margin : 240 - margin], whole[:, :, inside], rtol=0, atol=1e-5
    )


def test_the_network_compiles_without_graph_breaks():
    network, x = unet.build("unet", 2, 2, base=2, dropout=0.1).eval(), torch.randn(1, 2, 17, 32)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))


def test_an_unknown_name_is_an_error_that_lists_the_names():
    with pytest.raises(ValueError, match="'u-net'.*: unet"):
        unet.build("u-net", 3, 2)


def test_an_unknown_option_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="'depth'; it has: base, dropout, head_dropout, bilinear"):
        unet.build("unet", 3, 2, depth=5)
