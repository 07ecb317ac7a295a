"""Attention between the pixels of an image, and the block that SegFormer repeats.

A token is the feature vector of a pixel, or of a small patch of the image. Each token has a query
q, a key k and a value v. Its output is a weighted mean of the values of all tokens. The weight of a
token is large if the product of its key with the query is large:

    attention(q, k, v) = softmax(q k^T / sqrt(d)) v        q, k, v: (number of tokens, d)

The H W tokens of an image need (H W)^2 products. To save most of them, keys and values are made
from a smaller image, which a strided convolution (`sr`, spatial reduction) computes.

Positions are not encoded, so the network takes images of any size. Mix-FFN, a 3 x 3 convolution
between two linear layers, gives information about positions, because it pads the border of the
image with zeros. C is the number of channels.

    tokens - norm - attention - + - norm - linear to 4C - 3 x 3 - GELU - linear to C - + -> tokens
       |                        ^ |                                                    ^
       +------------------------+ +----------------------------------------------------+

Attention: Vaswani and others, Attention Is All You Need, 2017 (https://arxiv.org/abs/1706.03762).
Spatial reduction: Wang and others, Pyramid Vision Transformer, 2021
(https://arxiv.org/abs/2102.12122). Mix-FFN: Xie and others, SegFormer, 2021
(https://arxiv.org/abs/2105.15203). Parameters have the names of the published SegFormer files of
the package transformers.

Read beside it: tests/unet/networks/test_segformer.py.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def to_tokens(x: Tensor) -> Tensor:
    """List the pixels of an image as tokens, row by row: (N, C, H, W) -> (N, H W, C)."""
    return x.flatten(2).transpose(1, 2)


def to_image(tokens: Tensor, size: Sequence[int]) -> Tensor:
    """Arrange tokens as an image again: (N, H W, C) -> (N, C, H, W)."""
    return tokens.transpose(1, 2).unflatten(2, size)


class SelfAttention(nn.Module):
    """Attention in `heads` groups of channels: (N, H W, C) -> (N, H W, C).

    Keys and values are made from the image reduced by the factor `shrink`. Rows and columns at the
    end that do not fill a patch of `shrink` pixels have no key and no value.
    """

    def __init__(self, channels: int, heads: int, shrink: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.sr: nn.Module | None = None
        self.layer_norm: nn.Module | None = None
        if shrink > 1:
            self.sr = nn.Conv2d(channels, channels, shrink, stride=shrink)
            self.layer_norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        reduced = tokens
        if self.sr is not None and self.layer_norm is not None:
            reduced = to_tokens(self.sr(to_image(tokens, size)))  # (N, H W / shrink^2, C)
            reduced = self.layer_norm(reduced)
        # Each (N, heads, number of tokens, C / heads).
        q, k, v = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear, x in ((self.query, tokens), (self.key, reduced), (self.value, reduced))
        )
        mean = F.scaled_dot_product_attention(q, k, v)  # (N, heads, H W, C / heads)
        return mean.transpose(1, 2).flatten(2)  # (N, H W, C)


class MixFFN(nn.Module):
    """Two linear layers with a 3 x 3 convolution of each channel between them.

    (N, H W, C) -> (N, H W, C).
    """

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        hidden = 4 * channels
        self.dense1 = nn.Linear(channels, hidden)
        conv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.dwconv = nn.Sequential(OrderedDict(dwconv=conv))
        self.dense2 = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        x = to_image(self.dense1(tokens), size)  # (N, 4C, H, W)
        x = to_tokens(self.dwconv(x))  # (N, H W, 4C)
        return self.dropout(self.dense2(self.dropout(F.gelu(x))))  # (N, H W, C)


class Block(nn.Module):
    """Attention, then Mix-FFN. Each takes normalised tokens, and its result is added to the tokens.

    (N, H W, C) -> (N, H W, C).

    With stochastic depth (Huang and others 2016, https://arxiv.org/abs/1603.09382), each of the two
    is skipped for a sample with the probability `drop_path`.
    """

    def __init__(self, channels: int, heads: int, shrink: int, dropout: float, drop_path: float):
        super().__init__()
        self.layer_norm_1 = nn.LayerNorm(channels)
        attention = SelfAttention(channels, heads, shrink)
        output = nn.Sequential(OrderedDict(dense=nn.Linear(channels, channels)))
        self.attention = nn.ModuleDict({"self": attention, "output": output})
        self.dropout = nn.Dropout(dropout)
        self.layer_norm_2 = nn.LayerNorm(channels)
        self.mlp = MixFFN(channels, dropout)
        self.drop_path = nn.Dropout(drop_path)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        one = tokens.new_ones(tokens.shape[0], 1, 1)  # drop_path makes each 0 or 1 / (1 - p)
        x = self.attention["self"](self.layer_norm_1(tokens), size)
        tokens = tokens + self.drop_path(one) * self.dropout(self.attention["output"](x))
        return tokens + self.drop_path(one) * self.mlp(self.layer_norm_2(tokens), size)
