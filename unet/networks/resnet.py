"""ResNet-50 as an encoder, for which trained weights are published, and a U-Net with this encoder.

The output of a residual block is x + f(x): the convolutions f learn what to add to the input x. The
gradient also flows through the term x, past the convolutions. Therefore a network of fifty layers
trains as easily as one of five. The block is a bottleneck: a 1 x 1 convolution to fewer channels, a
3 x 3 convolution, and a 1 x 1 convolution to four times as many channels.

    ResNet50                                Decoder: repeat pixels, join, double convolution
    x       C, H, W                         16, H, W ---> head (N, K, H, W)
    conv1   64, H/2, W/2    ---- skip --->  32, H/2, W/2   ^
    layer1  256, H/4, W/4   ---- skip --->  64, H/4, W/4   |
    layer2  512, H/8, W/8   ---- skip --->  128, H/8, W/8  |
    layer3  1024, H/16, W/16 --- skip --->  256, H/16, W/16
    layer4  2048, H/32, W/32 -------------------^

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015
(https://arxiv.org/abs/1512.03385). The stride is in the 3 x 3 convolution, as is usual today. The
parameters of the encoder have the names of torchvision's resnet50, and its files load
(`transfer.py`). The decoder is that of the U-Net (Ronneberger and others 2015). The whole network
is equal to Unet("resnet50") of segmentation_models_pytorch.

Read beside it: tests/unet/networks/test_resnet.py.
"""

from collections.abc import Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unet.networks.layers import Network
from unet.unet import DoubleConv

CHANNELS = (64, 256, 512, 1024, 2048)  # channels of the encoder's five features
WIDTHS = (256, 128, 64, 32, 16)  # channels of the decoder's five blocks


class Bottleneck(nn.Module):
    """relu(x + f(x)), with the convolutions 1 x 1, 3 x 3 and 1 x 1 in f.

    (N, in_channels, H, W) -> (N, 4 * width, H / stride, W / stride).

    Where f changes the size or the number of channels, a 1 x 1 convolution (`downsample`) changes
    x in the same way.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1 or in_channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))  # (N, width, H, W)
        residual = self.relu(self.bn2(self.conv2(residual)))  # (N, width, H/stride, W/stride)
        residual = self.bn3(self.conv3(residual))  # (N, 4 width, H/stride, W/stride)
        if self.downsample is not None:
            x = self.downsample(x)  # (N, 4 width, H/stride, W/stride)
        return self.relu(residual + x)


def stage(
    in_channels: int, width: int, blocks: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)
) -> nn.Sequential:
    """Make a stage: a sequence of bottlenecks.

    Args:
        in_channels: channels of the input.
        width: channels inside each bottleneck. Its output has 4 * width.
        blocks: number of bottlenecks.
        stride: stride of the first block.
        dilations: dilation of the first block, and of the others.
    """
    first = Bottleneck(in_channels, width, stride, dilations[0])
    return nn.Sequential(
        first, *(Bottleneck(4 * width, width, 1, dilations[1]) for _ in range(blocks - 1))
    )


class ResNet50(nn.Module):
    """The encoder: (N, in_channels, H, W) -> five features of CHANNELS channels, finest first.

    Each feature has half the size of the one before, rounded up.

    Args:
        in_channels: channels of the image.
        dropout: probability that a channel is dropped after each stage.
        dilated: the last two stages dilate their kernels and keep the size H/8, as in DeepLab.
    """

    def __init__(self, in_channels: int, dropout: float = 0.0, dilated: bool = False):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = stage(64, 64, 3)
        self.layer2 = stage(256, 128, 4, stride=2)
        self.layer3 = (
            stage(512, 256, 6, dilations=(1, 2)) if dilated else stage(512, 256, 6, stride=2)
        )
        self.layer4 = (
            stage(1024, 512, 3, dilations=(2, 4)) if dilated else stage(1024, 512, 3, stride=2)
        )
        self.dropout = nn.Dropout2d(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        x0 = self.relu(self.bn1(self.conv1(x)))  # (N, 64, H/2, W/2)
        x1 = self.dropout(self.layer1(self.maxpool(x0)))  # (N, 256, H/4, W/4)
        x2 = self.dropout(self.layer2(x1))  # (N, 512, H/8, W/8)
        x3 = self.dropout(self.layer3(x2))  # (N, 1024, H/16, W/16); H/8, W/8 if dilated
        x4 = self.dropout(self.layer4(x3))  # (N, 2048, H/32, W/32); H/8, W/8 if dilated
        return [x0, x1, x2, x3, x4]


class UpJoin(nn.Module):
    """Double the size, join the skip connection if there is one, then a double convolution.

    x (N, in_channels, h, w) and skip (N, skip_channels, 2h, 2w) -> (N, out_channels, 2h, 2w).

    Each pixel is repeated 2 x 2 times. Its gradient on a GPU is summed in the same order each time,
    so that runs can be repeated. The gradient of an interpolation is not.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, dropout: float):
        super().__init__()
        self.conv = DoubleConv(in_channels + skip_channels, out_channels, dropout=dropout)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest")  # (N, in, 2h, 2w)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)  # (N, in + skip, 2h, 2w)
        return self.conv(x)  # (N, out, 2h, 2w)


class Decoder(nn.Module):
    """The decoder: features of an encoder, finest first -> (N, widths[-1], H, W).

    Each feature has half the size of the one before. With as many blocks as features, the last
    block doubles the size without a skip connection, to twice that of the finest feature. With one
    block fewer, the output has the size of the finest feature.

    Args:
        channels: channels of the features, finest first.
        widths: channels of the blocks, deepest first.
        dropout: probability that a channel is dropped in each block.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int], dropout: float):
        super().__init__()
        deepest, *skips = reversed(channels)
        sizes = zip_longest((deepest, *widths[:-1]), skips, widths, fillvalue=0)
        self.blocks = nn.ModuleList(UpJoin(*size, dropout) for size in sizes)

    def forward(self, features: list[Tensor]) -> Tensor:
        x, *skips = reversed(features)
        for block, skip in zip_longest(self.blocks, skips):
            x = block(x, skip)  # (N, width, 2h, 2w)
        return x


def pad(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples of `multiple`.

    Features of the decoder then have the sizes of the skip connections.
    """
    height, width = x.shape[-2:]
    return F.pad(x, [0, -width % multiple, 0, -height % multiple], mode="replicate")


def to_size(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate coarse logits (N, K, h, w) to the size of the image, (N, K, *size).

    torch.compile must end its graph before this function. With torch 2.13 on a CPU, the compiled
    backward pass of a graph that holds a whole SegFormer and this function computes gradients of 0,
    without an error (similar to https://github.com/pytorch/pytorch/issues/185509).
    """
    if torch.compiler.is_dynamo_compiling():
        torch._dynamo.graph_break()
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class ResNetUNet(Network):
    """The U-Net: (N, in_channels, H, W) -> logits (N, num_classes, H, W), for any H and W from 1.

    Args:
        in_channels: channels of the image, C.
        num_classes: channels of the logits, K.
        dropout: probability that a channel is dropped after each stage of the encoder and each
            block of the decoder.
        head_dropout: probability that a channel is dropped before the last convolution.
    """

    stride = 32
    first_layers = ("encoder.conv1",)
    last_layer = "head"
    encoders = (("encoder",),)

    def __init__(
        self, in_channels: int, num_classes: int, dropout: float = 0.0, head_dropout: float = 0.0
    ):
        super().__init__()
        self.encoder = ResNet50(in_channels, dropout)
        self.decoder = Decoder(CHANNELS, WIDTHS, dropout)
        self.head_dropout = nn.Dropout2d(head_dropout)
        self.head = nn.Conv2d(WIDTHS[-1], num_classes, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        features = self.encoder(pad(x, self.stride))  # (N, 64, H/2, W/2) to (N, 2048, H/32, W/32)
        x = self.decoder(features)  # (N, 16, H, W)
        logits = self.head(self.head_dropout(x))  # (N, num_classes, H, W)
        return logits[..., :height, :width]

    @property
    def receptive_radius(self) -> int:
        """Largest distance in pixels from an input pixel to an output pixel that depends on it.

        Computed as in `UNet.receptive_radius`: through the deepest level, for each of the 32
        positions of a row in its cell.
        """
        radius = 0
        for row in range(self.stride):
            low, high = row - 1, row + 1  # the head
            for _ in WIDTHS:  # backwards: the double convolution, then the doubling before it
                low, high = (low - 2) // 2, (high + 2) // 2
            for blocks, halved in ((3, True), (6, True), (4, True), (3, False)):  # layer4 to layer1
                low, high = low - (blocks - halved), high + (blocks - halved)
                low, high = (2 * low - 1, 2 * high + 1) if halved else (low, high)
            low, high = 2 * low - 1, 2 * high + 1  # the pooling
            low, high = 2 * low - 3, 2 * high + 3  # conv1
            radius = max(radius, row - low, high - row)
        return radius
