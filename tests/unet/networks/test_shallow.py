"""The U-Net of three levels: what is left of the five, and how far it sees."""

import torch

import unet
from unet.networks.shallow import ShallowUNet
from unet.unet import UNet


def test_its_layers_are_the_upper_ones_of_the_whole_network():
    torch.manual_seed(0)
    whole = UNet(3, 2, base=4).eval()
    shallow = unet.build("unet-3", 3, 2, base=4).eval()
    names = [name for name, _ in shallow.named_children()]
    assert names == ["inc", "down1", "down2", "up3", "up4", "head_dropout", "outc"]
    shallow.load_state_dict({name: whole.state_dict()[name] for name in shallow.state_dict()})
    x = torch.rand(2, 3, 13, 18)
    x1 = whole.inc(x)
    x2 = whole.down1(x1)
    expected = whole.outc(whole.up4(whole.up3(whole.down2(x2), x2), x1))
    assert torch.equal(shallow(x), expected)


def test_a_small_image_is_the_crop_of_itself_with_the_border_repeated():
    network, x = ShallowUNet(2, 3, base=2).eval(), torch.rand(1, 2, 1, 3)
    whole = torch.nn.functional.pad(x, [0, 1, 0, 3], mode="replicate")
    assert torch.equal(network(x), network(whole)[..., :1, :3])


def test_a_pixel_depends_on_23_pixels_to_each_side():
    network = ShallowUNet(1, 1, base=2).eval().double()
    for down in (network.down1, network.down2):
        down.maxpool_conv[0] = torch.nn.AvgPool2d(2)  # all four pixels have a gradient
    with torch.no_grad():
        for value in network.parameters():
            value.abs_().add_(0.1)  # no two paths cancel
    reached = 0
    for row in range(40, 44):  # each place in a cell of 4 rows
        x = torch.rand(1, 1, 88, 4, dtype=torch.float64, requires_grad=True)
        network(x)[0, 0, row].sum().backward()
        rows = x.grad[0, 0].abs().sum(1).nonzero()
        reached = max(reached, row - rows.min().item(), rows.max().item() - row)
    assert reached == network.receptive_radius == 23
    assert network.stride == 4


def test_windows_shifted_by_the_stride_give_shifted_logits():
    network, x = ShallowUNet(2, 3, base=2).eval(), torch.rand(1, 2, 96, 8)
    inside = slice(24, 60)  # further than 23 pixels from the rim of both
    torch.testing.assert_close(
        network(x[:, :, 4:])[:, :, inside], network(x)[:, :, 28:64], rtol=0, atol=1e-6
    )
