"""A U-Net of three levels in place of five, for few small images.

It is the upper part of the drawing in unet/unet.py: inc, down1, down2, up3, up4 and outc. A pixel
of the map depends on 23 pixels to each side, in place of 107. The network has a sixteenth of the
parameters. With small windows and large batches, it made better maps of other places than five
levels did, from few small tiles (tests/bench/README.md, "What helps").

Read beside it: tests/unet/networks/test_shallow.py.
"""

import torch.nn.functional as F
from torch import Tensor

from unet.unet import UNet


class ShallowUNet(UNet):
    """The upper three levels of a U-Net: (N, in_channels, H, W) -> logits (N, num_classes, H, W).

    H and W are any numbers from 1. In training, batch normalisation needs more than one value of
    each channel at the deepest level: two images, or one image of 8 x 4.

    Args:
        in_channels: channels of the image, C.
        num_classes: channels of the logits, K.
        base: channels of the first level, b. Each deeper level has twice as many.
        dropout: probability that a channel is dropped after each double convolution.
        head_dropout: probability that a channel is dropped before the last convolution.
    """

    stride, halvings = 4, 2
    encoders = (("inc", "down1", "down2"),)

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        base: int = 64,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
    ):
        super().__init__(in_channels, num_classes, base, dropout, head_dropout)
        del self.down3, self.down4, self.up1, self.up2

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        # Two halvings need 4 pixels. Repeat the last row and column; crop the logits.
        x = F.pad(x, [0, max(4 - width, 0), 0, max(4 - height, 0)], mode="replicate")
        x1 = self.inc(x)  # (N, b, H, W)
        x2 = self.down1(x1)  # (N, 2b, H/2, W/2)
        x3 = self.down2(x2)  # (N, 4b, H/4, W/4)
        x = self.up3(x3, x2)  # (N, 2b, H/2, W/2)
        x = self.up4(x, x1)  # (N, b, H, W)
        logits = self.outc(self.head_dropout(x))  # (N, num_classes, H, W)
        return logits[..., :height, :width]
