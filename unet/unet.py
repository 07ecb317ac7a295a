"""U-Net: a label for every pixel, from its neighbourhood at five scales.

On the way down, each level halves the image and doubles the channels: its features reach further,
but their place is less exact. On the way up, each level doubles the size again and joins the
features of the same size from the way down (the skip connection), which restores sharp borders.

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
(https://arxiv.org/abs/1505.04597). As usual today, and unlike the paper, convolutions are padded,
so that the map has the image's size, and each is followed by batch normalisation (Ioffe and Szegedy
2015). Parameters have the names of milesial/Pytorch-UNet and its checkpoints load with strict=True.

The test beside this file is tests/unet/test_unet.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoubleConv(nn.Module):
    """Twice: 3 x 3 convolution, batch normalisation, ReLU. Then dropout of whole channels.

    (N, in_channels, H, W) -> (N, out_channels, H, W). Neighbouring pixels of a channel are so alike
    that a single dropped value would hide nothing; `Dropout2d` drops channels (Tompson and others
    2015, https://arxiv.org/abs/1411.4280). It has no parameters, so names do not depend on it.
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
            # No bias: the normalisation behind it subtracts the mean, and any constant with it.
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
    """One level down: the largest of each 2 x 2 pixels, then a double convolution.

    (N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2). An odd last row or column is
    dropped here; the skip connection keeps it.
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
    """One level up: double the size, join the skip connection, then a double convolution.

    x (N, in_channels, h, w) and skip (N, in_channels / 2, H, W), with H = 2h or 2h + 1, ->
    (N, out_channels, H, W). The size is doubled by a transposed convolution that also halves the
    channels, or bilinearly, without parameters; then x has in_channels / 2 already.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bilinear: bool = False, dropout: float = 0.0
    ):
        super().__init__()
        half = in_channels // 2
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, mid_channels=half, dropout=dropout)
        else:
            self.up = nn.ConvTranspose2d(in_channels, half, kernel_size=2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels, dropout=dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)  # (N, in/2, 2h, 2w)
        rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
        # Halving an odd size has lost a row or column: zeros at the lower right take its place.
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


class UNet(nn.Module):
    """(N, in_channels, H, W) -> logits (N, num_classes, H, W), for any H and W from 1.

    base: channels of the first level; each level down doubles them.
    dropout: probability for a channel to be dropped after each double convolution.
    head_dropout: the same, before the last 1 x 1 convolution.
    bilinear: double the size by interpolation instead of transposed convolutions: fewer parameters.

    Training needs more than one value of each channel at the deepest level for batch normalisation:
    two images, or one of 32 x 16.
    """

    stride = 16  # input pixels to one of the deepest level: windows shift by multiples of it
    first_layers = ("inc.double_conv.0",)  # take the image; see networks/layers.py
    last_layer = "outc.conv"
    encoders = (("inc", "down1", "down2", "down3", "down4"),)

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
            # Four halvings would leave no pixel: repeat the last row and column, crop the logits.
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
        """Rows (or columns) from an output pixel to the furthest input pixel that can change it.

        An output row is followed back to the input, for each of its 16 places in a cell of the
        deepest level. The range of rows that it depends on grows by 2 on either side in a double
        convolution, and each doubling and halving maps it to the rows of the level before. The path
        through the deepest level reaches furthest, so the skips need not be followed.

        Inside this margin, a window that starts at a multiple of `stride` gives the logits of the
        whole image. With `bilinear` it does so only nearly: milesial's interpolation aligns the
        corners of the window, so its weights depend on the window's size. The radius holds for
        every size.
        """
        radius = 0
        for row in range(self.stride):
            low = high = row
            for _ in range(4):  # up4 to up1: a double convolution, and before it a doubling
                low, high = low - 2, high + 2
                low, high = (
                    ((low - 1) // 2, (high + 1) // 2) if self.bilinear else (low // 2, high // 2)
                )
            low, high = low - 2, high + 2  # the double convolution of the deepest level
            for _ in range(4):  # down4 to down1: a halving, and before it a double convolution
                low, high = 2 * low - 2, 2 * high + 1 + 2
            radius = max(radius, row - low, high - row)
        return radius
