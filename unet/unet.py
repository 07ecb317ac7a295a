"""U-Net: a label for every pixel, from its neighbourhood at five scales.

The encoder (left) halves the image and doubles the channels at each level. A deeper feature depends
on a larger part of the image, but its position is less exact. The decoder (right) doubles the size
again at each level. A skip connection appends the encoder's features of the same size to those of
the decoder. This restores sharp borders. N images are computed at a time. C is the number of
channels of the image, K the number of classes, and b the option `base`. A feature is a computed
channel. The logits are K raw numbers for each pixel. The largest of them is that of the class.

    (N, C, H, W)                                                            (N, K, H, W)
         |                                                                        ^
        inc                                                                      outc
         |                                                                        |
     b, H, W  ------------------------------ skip ---------------------------->  up4  b
         | down1                                                                  ^
      2b, H/2, W/2  ------------------------ skip ------------------------->  up3  2b
            | down2                                                           ^
         4b, H/4, W/4  --------------------- skip ---------------------->  up2  4b
               | down3                                                     ^
            8b, H/8, W/8  ------------------ skip ------------------->  up1  8b
                  | down4                                               ^
              16b, H/16, W/16  -----------------------------------------+

Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015
(https://arxiv.org/abs/1505.04597). Two things differ from the paper, as is usual today.
Convolutions are padded, so that the map has the size of the image. Each convolution is followed by
batch normalisation: each channel minus its mean, divided by its standard deviation over the batch
(Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167). Parameters have the
names of milesial/Pytorch-UNet. Checkpoints of that project load with strict=True.

Read beside it: tests/unet/test_unet.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unet.networks.layers import Network


class DoubleConv(nn.Module):
    """Twice: 3 x 3 convolution, batch normalisation, ReLU (max(x, 0)); then dropout of channels.

    (N, in_channels, H, W) -> (N, out_channels, H, W).

    Dropout sets random values to 0 in training. A network could restore a single value from its
    neighbours, which are similar. Therefore `Dropout2d` drops whole channels (Tompson and others
    2015, https://arxiv.org/abs/1411.4280). It has no parameters and comes last, so it changes no
    parameter's name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mid_channels: int | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        mid_channels = mid_channels or out_channels
        self.double_conv = nn.Sequential(
            # No bias: the normalisation subtracts the mean, which would include it.
            nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    """One level of the encoder: the maximum of each square of 2 x 2 pixels, then a DoubleConv.

    (N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2). An odd last row or column is
    dropped here. The skip connection keeps it.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0):
        super().__init__()
        self.maxpool_conv = nn.Sequential(
            nn.MaxPool2d(2),
            DoubleConv(in_channels, out_channels, dropout=dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    """One level of the decoder: double the size, join the skip connection, double convolution.

    x (N, in_channels, h, w) and skip (N, in_channels / 2, H, W) -> (N, out_channels, H, W), where H
    is 2h or 2h + 1 and W is 2w or 2w + 1.

    A transposed convolution doubles the size and halves the channels. With `bilinear`,
    interpolation doubles the size, and x must have in_channels / 2 channels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bilinear: bool = False, dropout: float = 0.0
    ):
        super().__init__()
        half = in_channels // 2
        if bilinear:
            self.up: nn.Module = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, mid_channels=half, dropout=dropout)
        else:
            self.up = nn.ConvTranspose2d(in_channels, half, kernel_size=2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels, dropout=dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)  # (N, in/2, 2h, 2w)
        rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
        # The encoder dropped an odd last row or column. Zeros at the lower right replace it.
        padding = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        x = F.pad(x, padding)  # (N, in/2, H, W)
        x = torch.cat([skip, x], dim=1)  # (N, in, H, W)
        return self.conv(x)  # (N, out, H, W)


class OutConv(nn.Module):
    """A linear classifier of each pixel's channels: a 1 x 1 convolution.

    (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class UNet(Network):
    """The U-Net: (N, in_channels, H, W) -> logits (N, num_classes, H, W), for any H and W from 1.

    In training, batch normalisation needs more than one value of each channel at the deepest level:
    two images, or one image of 32 x 16.

    Args:
        in_channels: channels of the image, C.
        num_classes: channels of the logits, K.
        base: channels of the first level. Each deeper level has twice as many.
        dropout: probability that a channel is dropped after each double convolution.
        head_dropout: probability that a channel is dropped before the last convolution.
        bilinear: double the size by interpolation instead of transposed convolutions. The network
            then has fewer parameters.
    """

    stride, halvings = 16, 4
    first_layers = ("inc.double_conv.0",)
    last_layer = "outc.conv"
    encoders: tuple[tuple[str, ...], ...] = (("inc", "down1", "down2", "down3", "down4"),)

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        base: int = 64,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
        bilinear: bool = False,
    ):
        super().__init__()
        self.bilinear = bilinear
        b, half = base, 2 if bilinear else 1
        self.inc = DoubleConv(in_channels, b, dropout=dropout)
        self.down1 = Down(b, 2 * b, dropout)
        self.down2 = Down(2 * b, 4 * b, dropout)
        self.down3 = Down(4 * b, 8 * b, dropout)
        self.down4 = Down(8 * b, 16 * b // half, dropout)
        self.up1 = Up(16 * b, 8 * b // half, bilinear, dropout)
        self.up2 = Up(8 * b, 4 * b // half, bilinear, dropout)
        self.up3 = Up(4 * b, 2 * b // half, bilinear, dropout)
        self.up4 = Up(2 * b, b, bilinear, dropout)
        self.head_dropout = nn.Dropout2d(head_dropout)
        self.outc = OutConv(b, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if min(height, width) < self.stride:
            # Four halvings would leave no pixel. Repeat the last row and column; crop the logits.
            right, below = max(self.stride - width, 0), max(self.stride - height, 0)
            x = F.pad(x, [0, right, 0, below], mode="replicate")
        x1 = self.inc(x)  # (N, b, H, W)
        x2 = self.down1(x1)  # (N, 2b, H/2, W/2)
        x3 = self.down2(x2)  # (N, 4b, H/4, W/4)
        x4 = self.down3(x3)  # (N, 8b, H/8, W/8)
        x5 = self.down4(x4)  # (N, 16b, H/16, W/16); 8b if bilinear
        x = self.up1(x5, x4)  # (N, 8b, H/8, W/8); 4b if bilinear
        x = self.up2(x, x3)  # (N, 4b, H/4, W/4); 2b if bilinear
        x = self.up3(x, x2)  # (N, 2b, H/2, W/2); b if bilinear
        x = self.up4(x, x1)  # (N, b, H, W)
        logits = self.outc(self.head_dropout(x))  # (N, num_classes, H, W)
        return logits[..., :height, :width]

    @property
    def receptive_radius(self) -> int:
        """Largest distance in pixels from an input pixel to an output pixel that depends on it.

        The code traces an output row back to the range of input rows that it depends on. A double
        convolution widens the range by 2 rows on both sides. Where the size is doubled or halved,
        the range is converted to row numbers of the next level. The result depends on the position
        of the row in its cell of 16 rows, so all 16 are tried. The deepest path has the widest
        range, so the skip connections are not traced.

        A window that starts at a multiple of `stride` has the same logits as the whole image,
        except within this distance of the window's border. With `bilinear` they are only nearly
        equal: milesial's interpolation aligns the corners, so its weights depend on the size of
        the window. The distance is correct for every size of the window.
        """
        radius = 0
        for row in range(self.stride):
            low = high = row
            for _ in range(self.halvings):  # up4 to up1, backwards: convolutions, then doubling
                low, high = low - 2, high + 2
                if self.bilinear:
                    low, high = low - 1, high + 1
                low, high = low // 2, high // 2
            low, high = low - 2, high + 2  # the double convolution of the deepest level
            for _ in range(self.halvings):  # down4 to down1: halving, then convolutions before it
                low, high = 2 * low - 2, 2 * high + 1 + 2
            radius = max(radius, row - low, high - row)
        return radius
