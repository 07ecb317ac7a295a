"""SegFormer's encoder in a U-Net: attention for distant pixels, convolutions for near ones.

SegFormer's features depend on the whole image, but the finest ones have a quarter of its size. A
U-Net has features of the full size, but they depend on a limited neighbourhood. Two networks
combine both, with the decoder of `resnet.py`:

    SegFormerUNet                           SegFormerResNetUNet
    x        C, H                           x                  C, H              16, H -> head
    stem1    16, H    - skip -> 16 -> head  conv1              64, H/2   - skip -> 32
    stem2    32, H/2  - skip -> 32  ^       layer1 + stage 1   256 + 32, H/4    -> 64  ^
    stage 1  32, H/4  - skip -> 64  |       layer2 + stage 2   512 + 64, H/8    -> 128 |
    stage 2  64, H/8  - skip -> 128 |       layer3 + stage 3   1024 + 160, H/16 -> 256 |
    stage 3  160, H/16 -------> 256 |       layer4 + stage 4   2048 + 256, H/32 -------^
    stage 4  256, H/32 -------------^

On the left, a stem of convolutions computes the features of sizes H and H/2, as in a U-Net. On the
right, ResNet-50 and the stages of SegFormer both take the image, and the decoder joins the features
of both at each scale.

The parts are from Ronneberger, Fischer, Brox: U-Net, 2015 (https://arxiv.org/abs/1505.04597); He
and others: Deep Residual Learning, 2015 (https://arxiv.org/abs/1512.03385); Xie and others:
SegFormer, 2021 (https://arxiv.org/abs/2105.15203). The combinations are our own and are not
published elsewhere. The parameters of the encoders have the published names, preceded by `encoder.`
and `resnet.`.

Read beside it: tests/unet/networks/test_hybrids.py.
"""

import torch
from torch import Tensor, nn

from unet.networks.layers import Network
from unet.networks.resnet import CHANNELS, WIDTHS, Decoder, ResNet50, pad
from unet.networks.segformer import SIZES, MixTransformer
from unet.unet import DoubleConv, Down

SIZE = "b0"
STAGES = SIZES[SIZE][0]  # channels of SegFormer's features
STEM = (16, 32)


class Hybrid(Network):
    """The common part: (N, in_channels, H, W) -> logits (N, num_classes, H, W), H and W from 1.

    An output pixel depends on the whole image, because of the attention.

    Args:
        in_channels: channels of the image, C.
        num_classes: channels of the logits, K.
        channels: channels of the `features`, finest first.
        dropout: probability that a channel is dropped in stem, ResNet and decoder, and a single
            value in SegFormer's stages.
        head_dropout: probability that a channel is dropped before the last convolution.
    """

    stride = 32
    last_layer = "head"

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: list[int],
        dropout: float,
        head_dropout: float,
    ):
        super().__init__()
        self.encoder = MixTransformer(SIZE, in_channels, dropout)
        self.decoder = Decoder(channels, WIDTHS, dropout)
        self.head_dropout = nn.Dropout2d(head_dropout)
        self.head = nn.Conv2d(WIDTHS[-1], num_classes, kernel_size=3, padding=1)

    def features(self, x: Tensor) -> list[Tensor]:
        """Compute the features for the decoder, finest first."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        features = self.features(pad(x, self.stride))
        x = self.decoder(features)  # (N, 16, H, W)
        logits = self.head(self.head_dropout(x))  # (N, num_classes, H, W)
        return logits[..., :height, :width]


class SegFormerUNet(Hybrid):
    """SegFormer's stages, a stem of two double convolutions, and a U-Net's decoder: see Hybrid."""

    first_layers = ("encoder.patch_embeddings.0.proj", "stem1.double_conv.0")
    encoders = (("encoder",),)

    def __init__(
        self, in_channels: int, num_classes: int, dropout: float = 0.0, head_dropout: float = 0.0
    ):
        super().__init__(in_channels, num_classes, [*STEM, *STAGES], dropout, head_dropout)
        self.stem1 = DoubleConv(in_channels, STEM[0], dropout=dropout)
        self.stem2 = Down(STEM[0], STEM[1], dropout)

    def features(self, x: Tensor) -> list[Tensor]:
        x1 = self.stem1(x)  # (N, 16, H, W)
        x2 = self.stem2(x1)  # (N, 32, H/2, W/2)
        return [x1, x2, *self.encoder(x)]  # encoder: (N, 32, H/4, W/4) to (N, 256, H/32, W/32)


class SegFormerResNetUNet(Hybrid):
    """SegFormer's stages, ResNet-50, and a U-Net's decoder: see Hybrid."""

    first_layers = ("encoder.patch_embeddings.0.proj", "resnet.conv1")
    encoders = (("encoder",), ("resnet",))

    def __init__(
        self, in_channels: int, num_classes: int, dropout: float = 0.0, head_dropout: float = 0.0
    ):
        channels = [CHANNELS[0], *(r + s for r, s in zip(CHANNELS[1:], STAGES))]
        super().__init__(in_channels, num_classes, channels, dropout, head_dropout)
        self.resnet = ResNet50(in_channels, dropout)

    def features(self, x: Tensor) -> list[Tensor]:
        fine, *coarser = self.resnet(x)  # (N, 64, H/2); (N, 256, H/4) to (N, 2048, H/32)
        stages = self.encoder(x)  # (N, 32, H/4) to (N, 256, H/32)
        joined = [torch.cat(pair, dim=1) for pair in zip(coarser, stages)]
        return [fine, *joined]  # joined: (N, 256 + 32, H/4) to (N, 2048 + 256, H/32)
