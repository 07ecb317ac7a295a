"""DeepLabV3: convolutions with several dilation rates, on features of an eighth of the size.

The nine weights of a dilated (atrous) 3 x 3 convolution are r pixels apart. It covers 2r + 1 pixels
along each axis, at the cost of a plain 3 x 3 convolution. In the encoder, the last two stages
dilate their kernels instead of halving the image, so that the features keep the size H/8. Atrous
spatial pyramid pooling (ASPP) has five branches on these features and joins their outputs:

    x (N, C, H, W) -> ResNet-50 -> (N, 2048, H/8, W/8)
                                          |
         +-----------+-----------+-----------+--------------+
       1 x 1       3 x 3       3 x 3       3 x 3      mean of the image
         |        rate 12     rate 24     rate 36           |
        256         256         256         256            256    joined: (N, 1280, H/8, W/8)
         +-----------+-----------+-----------+--------------+
                                          |
              1 x 1 -> 256 -> 3 x 3 -> 256 -> 1 x 1 -> (N, K, H/8, W/8) -> bilinear (N, K, H, W)

There is no skip connection. Details finer than 8 pixels are interpolated.

Chen, Papandreou, Schroff, Adam: Rethinking Atrous Convolution for Semantic Image Segmentation, 2017
(https://arxiv.org/abs/1706.05587). Parameters have the names of torchvision's deeplabv3_resnet50.
torchvision's network also has an auxiliary classifier: second logits, from layer3, for a second
loss in training. It is left out here, and `transfer.py` ignores its weights in a file.

Read beside it: tests/unet/networks/test_deeplab.py.
"""

import torch
from torch import Tensor, nn

from unet.networks.layers import Network
from unet.networks.resnet import ResNet50, to_size

RATES = (12, 24, 36)
WIDTH = 256


def conv_norm_relu(in_channels: int, kernel_size: int, rate: int = 1) -> list[nn.Module]:
    """Make a convolution to WIDTH channels that keeps the size, batch normalisation and ReLU."""
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
    """DeepLabV3: (N, in_channels, H, W) -> logits (N, num_classes, H, W), for any H and W from 1.

    An output pixel depends on the whole image, because one branch takes its mean. Training needs at
    least two images: the mean of a single image is one value a channel, which batch normalisation
    cannot normalise.

    Args:
        in_channels: channels of the image, C.
        num_classes: channels of the logits, K.
        dropout: probability that a channel is dropped after each stage of the encoder.
        head_dropout: probability that a channel is dropped after the pyramid. torchvision drops
            single values there, with probability 0.5.
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
