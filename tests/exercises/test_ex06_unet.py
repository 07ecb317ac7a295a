"""Checks of station 6: receptive fields measured by gradients, and the layers of unet/unet.py."""

import torch
from answers import same
from torch import nn

import unet

ENCODER = [(3, 1), (3, 1), *[(2, 2), (3, 1), (3, 1)] * 4]  # down to the deepest level


def measured(layers: list[tuple[int, int]], side: int) -> int:
    """Count the input pixels on which the middle output pixel depends, along one axis."""
    stack = nn.Sequential(*(nn.Conv1d(1, 1, kernel, stride) for kernel, stride in layers)).double()
    for weights in stack.parameters():
        nn.init.ones_(weights)
    x = torch.zeros(1, 1, side, dtype=torch.float64, requires_grad=True)
    y = stack(x)
    y[0, 0, y.shape[-1] // 2].backward()
    return int((x.grad != 0).sum())


def test_receptive_field(ex):
    for layers in ([], [(3, 1)], [(3, 1), (3, 1)], [(2, 2), (3, 1)], [(5, 2), (3, 3), (3, 1)]):
        expected = measured(layers, 100) if layers else 1
        same(f"receptive field of {layers}", ex.receptive_field(layers), expected)
    same("receptive field of the encoder", ex.receptive_field(ENCODER), measured(ENCODER, 500))


def test_channels_into_the_decoder(ex):
    for base in (4, 16):
        network = unet.build("unet", 3, 2, base=base)
        for level, block in enumerate((network.up4, network.up3, network.up2, network.up1)):
            entering = block.conv.double_conv[0].in_channels
            what = f"channels into level {level}, base {base}"
            same(what, ex.channels_into(base, level), entering)
            enlarged = block.up.out_channels
            same(f"{what}, without skips", ex.channels_into(base, level, skips=False), enlarged)


def test_up(ex):
    torch.manual_seed(0)
    block = unet.build("unet", 3, 2, base=4).up3.eval()  # 16 channels to 8
    for height, width in ((10, 12), (11, 12), (11, 13)):
        x = torch.randn(2, 16, height // 2, width // 2)
        skip = torch.randn(2, 8, height, width)
        with torch.no_grad():
            found, expected = ex.up(x, skip, block.up, block.conv), block(x, skip)
        same(f"features for a skip of {height} x {width}", found, expected, within=1e-5)
