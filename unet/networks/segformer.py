"""SegFormer: attention over the whole image at four scales, and a head of linear layers.

The encoder (Mix Transformer, MiT) has four stages. The first divides the image into overlapping
patches and applies attention between them (`attention.py`). Each other stage does the same with the
features of the stage before. All four features depend on the whole image. Therefore the head
(right) needs only linear layers. D is the number of channels of the head.

    x (N, C, H, W)
      | overlapping patches 7 x 7, every 4th pixel; blocks of attention and Mix-FFN
    c1, H/4, W/4    --- linear, 1 x  ---+
      | patches 3 x 3, every 2nd        |
    c2, H/8, W/8    --- linear, 2 x  ---+
      |                                 +--- join 4 D -> 1 x 1 -> D -> 1 x 1 -> (N, K, H/4, W/4)
    c3, H/16, W/16  --- linear, 4 x  ---+         and bilinear, 4 x, to (N, K, H, W)
      |                                 |
    c4, H/32, W/32  --- linear, 8 x  ---+

Xie, Wang, Yu, Anandkumar, Alvarez, Luo: SegFormer: Simple and Efficient Design for Semantic
Segmentation with Transformers, 2021 (https://arxiv.org/abs/2105.15203). Parameters have the names
in the published files of SegformerForSemanticSegmentation of the package transformers.

Read beside it: tests/unet/networks/test_segformer.py.
"""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unet.networks.attention import Block, to_image, to_tokens
from unet.networks.layers import Network
from unet.networks.resnet import to_size

# For each size: channels of the four stages, blocks of the four stages, channels of the head (D).
SIZES = {
    "b0": ((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "b1": ((64, 128, 320, 512), (2, 2, 2, 2), 256),
    "b2": ((64, 128, 320, 512), (3, 4, 6, 3), 768),
    "b3": ((64, 128, 320, 512), (3, 4, 18, 3), 768),
    "b4": ((64, 128, 320, 512), (3, 8, 27, 3), 768),
    "b5": ((64, 128, 320, 512), (3, 6, 40, 3), 768),
}
HEADS, SHRINK, DROP_PATH = (1, 2, 5, 8), (8, 4, 2, 1), 0.1


class PatchEmbedding(nn.Module):
    """Make a token of each of the overlapping patches of an image.

    (N, in_channels, H, W) -> tokens (N, H W / stride^2, channels), and (H / stride, W / stride).
    """

    def __init__(self, in_channels: int, channels: int, patch: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, patch, stride, padding=patch // 2)
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        x = self.proj(x)  # (N, channels, H/stride, W/stride)
        return self.layer_norm(to_tokens(x)), (x.shape[-2], x.shape[-1])


class MixTransformer(nn.Module):
    """The encoder (MiT): (N, in_channels, H, W) -> four features (N, c, H / s, W / s).

    s is 4, 8, 16 and 32. Sizes are rounded up. H and W must be 29 or more: the first stage reduces
    its keys by a factor of 8, and a smaller image would have none.
    """

    def __init__(self, size: str, in_channels: int, dropout: float = 0.0):
        super().__init__()
        channels, depths, _ = SIZES[size]
        self.patch_embeddings = nn.ModuleList(
            PatchEmbedding(inside, out, *patch)
            for inside, out, patch in zip(
                (in_channels, *channels), channels, ((7, 4), (3, 2), (3, 2), (3, 2))
            )
        )
        rates = iter(torch.linspace(0, DROP_PATH, sum(depths), device="cpu").tolist())
        self.block = nn.ModuleList(
            nn.ModuleList(Block(c, heads, shrink, dropout, next(rates)) for _ in range(depth))
            for c, heads, shrink, depth in zip(channels, HEADS, SHRINK, depths)
        )
        self.layer_norm = nn.ModuleList(nn.LayerNorm(c) for c in channels)
        self.apply(initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for embed, blocks, norm in zip(self.patch_embeddings, self.block, self.layer_norm):
            tokens, size = embed(x)  # (N, H W / s^2, c)
            for block in blocks.children():
                tokens = block(tokens, size)
            x = to_image(norm(tokens), size)  # (N, c, H/s, W/s)
            features.append(x)
        return features


def initialise(module: nn.Module) -> None:
    """Draw the initial weights of a layer, as the authors' code does."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Head(nn.Module):
    """The head: features of the encoder -> logits (N, num_classes, H/4, W/4).

    A linear layer gives each feature D channels, and interpolation the size of the finest one.
    """

    def __init__(self, channels: tuple[int, ...], width: int, num_classes: int, dropout: float):
        super().__init__()
        self.linear_c = nn.ModuleList(
            nn.Sequential(OrderedDict(proj=nn.Linear(c, width))) for c in channels
        )
        self.linear_fuse = nn.Conv2d(len(channels) * width, width, kernel_size=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        size, same = features[0].shape[-2:], []
        for linear, x in zip(self.linear_c, features):
            x = to_image(linear(to_tokens(x)), x.shape[-2:])  # (N, D, H/s, W/s)
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
            same.append(x)  # (N, D, H/4, W/4)
        x = torch.cat(same[::-1], dim=1)  # coarsest first, (N, 4D, H/4, W/4)
        x = F.relu(self.batch_norm(self.linear_fuse(x)))  # (N, D, H/4, W/4)
        return self.classifier(self.dropout(x))  # (N, num_classes, H/4, W/4)


class SegFormer(Network):
    """SegFormer: (N, in_channels, H, W) -> logits (N, num_classes, H, W), for any H and W from 1.

    An output pixel depends on the whole image, because of the attention.

    Args:
        size: b0 to b5, a key of SIZES.
        in_channels: channels of the image, C.
        num_classes: channels of the logits, K.
        dropout: probability that a value is dropped after attention and in the Mix-FFN.
        head_dropout: probability that a channel is dropped before the last convolution.
    """

    stride = 32
    first_layers = ("segformer.encoder.patch_embeddings.0.proj",)
    last_layer = "decode_head.classifier"
    encoders = (("segformer",),)

    def __init__(
        self,
        size: str,
        in_channels: int,
        num_classes: int,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
    ):
        super().__init__()
        channels, _, width = SIZES[size]
        self.segformer = nn.ModuleDict({"encoder": MixTransformer(size, in_channels, dropout)})
        self.decode_head = Head(channels, width, num_classes, head_dropout)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        right, below = max(self.stride - width, 0), max(self.stride - height, 0)
        x = F.pad(x, [0, right, 0, below], mode="replicate")
        features = self.segformer["encoder"](x)  # (N, c1, H/4, W/4) to (N, c4, H/32, W/32)
        logits = self.decode_head(features)  # (N, num_classes, H/4, W/4)
        logits = to_size(logits, x.shape[-2:])
        return logits[..., :height, :width]  # (N, num_classes, H, W)
