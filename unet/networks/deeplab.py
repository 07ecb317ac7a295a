"""DeepLabV3: look at the surroundings at several distances at once, without losing the size.

A convolution whose nine weights stand r pixels apart (atrous, dilated by r) reaches over 2r + 1
pixels at the price of three. The encoder's last two stages dilate their kernels instead of halving
the image, so that its features keep H/8. Atrous spatial pyramid pooling (ASPP) has five branches on
these features, and joins their outputs:

    x (N, C, H, W) -> ResNet-50 -> (N, 2048, H/8, W/8)
                                          |
         +-----------+-----------+-----------+--------------+
       1 x 1       3 x 3       3 x 3       3 x 3      mean of the image
         |        rate 12     rate 24     rate 36           |
        256         256         256         256            256    joined: (N, 1280, H/8, W/8)
         +-----------+-----------+-----------+--------------+
                                          |
              1 x 1 -> 256 -> 3 x 3 -> 256 -> 1 x 1 -> (N, K, H/8, W/8) -> bilinear (N, K, H, W)

There is no skip connection: borders finer than 8 pixels are interpolated.

Chen, Papandreou, Schroff, Adam: Rethinking Atrous Convolution for Semantic Image Segmentation, 2017
(https://arxiv.org/abs/1706.05587). Parameters have the names of torchvision's deeplabv3_resnet50.
Its auxiliary classifier, a second set of logits from layer3 for a second loss in training, is left
out: the logits are the first set either way, and `transfer.py` leaves it aside where a file has it.

The test beside this file is tests/unet/networks/test_deeplab.py.
"""

import torch
from torch import Tensor, nn

from unet.networks.layers import Network
from unet.networks.resnet import ResNet50, to_size

RATES = (12, 24, 36)
WIDTH = 256


def conv_norm_relu(in_channels: int, kernel_size: int, rate: int = 1) -> list[nn.Module]:
    """A convolution to WIDTH channels that keeps the size, with batch normalisation and ReLU."""
    padding = rate * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, WIDTH, kernel_size, padding=padding, dilation=rate, bias=False)
    return [conv, nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: (N, in_channels, h, w) -> (N, 256, h, w)."""

    def __init__(self, in_channels: int, dropout: float):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*conv_norm_relu(in_channels, 1)),
                *(nn.Sequential(*conv_norm_relu(in_channels, 3, rate)) for rate in RATES),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(in_channels, 1)),
            ]
        )
        self.project = nn.Sequential(*conv_norm_relu(5 * WIDTH, 1), nn.Dropout2d(dropout))

    def forward(self, x: Tensor) -> Tensor:
        *near, mean = (conv(x) for conv in self.convs)  # four (N, 256, h, w), and (N, 256, 1, 1)
        mean = mean.expand(-1, -1, *x.shape[-2:])  # (N, 256, h, w)
        joined = torch.cat([*near, mean], dim=1)  # (N, 1280, h, w)
        return self.project(joined)  # (N, 256, h, w)


class DeepLabV3(Network):
    """(N, in_channels, H, W) -> logits (N, num_classes, H, W), for any H and W from 1.

    dropout: probability for a channel to be dropped after each stage of the encoder.
    head_dropout: the same, after the pyramid, where torchvision drops single values with 0.5.

    Training needs two images at least: the mean of a single one leaves batch normalisation nothing
    to normalise.
    """

    stride = 8
    first_layers = ("backbone.conv1",)
    last_layer = "classifier.4"
    encoders = (("backbone",),)

    def __init__(
        self, in_channels: int, num_classes: int, dropout: float = 0.0, head_dropout: float = 0.0
    ):
        super().__init__()
        self.backbone = ResNet50(in_channels, dropout, dilated=True)
        self.classifier = nn.Sequential(
            ASPP(2048, head_dropout),
            *conv_norm_relu(WIDTH, 3),
            nn.Conv2d(WIDTH, num_classes, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)[-1]  # (N, 2048, H/8, W/8)
        logits = self.classifier(features)  # (N, num_classes, H/8, W/8)
        return to_size(logits, x.shape[-2:])  # (N, num_classes, H, W)
