"""What was tried for compare.py: each row changes one thing of the default recipe.

Most rows are options of train.py. The others are written here, because they did not earn a place in
the product. tests/bench/README.md has their table, with those that did not help.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data.files import IGNORE
from unet import losses
from unet.networks.attention import Block
from unet.unet import DoubleConv, UNet

Batch = tuple[Tensor, Tensor]  # images (N, C, S, S), targets (N, S, S)


def cosine(share: float) -> float:
    """Return the learning rate, relative to --lr, after a share of the training."""
    return (1 + math.cos(math.pi * share)) / 2


def one_cycle(share: float, warm: float = 0.3) -> float:
    """Rise from a 25th along a cosine, then fall along a cosine (Smith and Topin 2018)."""
    if share < warm:
        return 1 - 0.96 * cosine(share / warm)
    return cosine((share - warm) / (1 - warm))


def warm_up(share: float, warm: float = 0.1) -> float:
    """Rise along a line, then fall along a cosine."""
    return share / warm if share < warm else cosine((share - warm) / (1 - warm))


def unchanged(images: Tensor, targets: Tensor) -> Batch:
    """Return a batch as it is."""
    return images, targets


def ignore_rim(images: Tensor, targets: Tensor) -> Batch:
    """Ignore the pixels on both sides of a border between two labels."""
    down, right = targets[:, 1:] != targets[:, :-1], targets[..., 1:] != targets[..., :-1]
    rim = F.pad(down, (0, 0, 0, 1)) | F.pad(down, (0, 0, 1, 0))
    rim |= F.pad(right, (0, 1)) | F.pad(right, (1, 0))
    return images, targets.masked_fill(rim, IGNORE)


def cutmix(images: Tensor, targets: Tensor) -> Batch:
    """Paste a square of another window into every second one (French and others 2020)."""
    count, size, device = len(images), images.shape[-1], images.device
    chance, share, row, col = torch.rand(4, count, 1, 1, device=device)
    side = (0.1 + 0.4 * share).sqrt() * (chance < 0.5)  # shares of the window's side
    at = torch.arange(size, device=device) / size
    row, col = at[:, None] - row * (1 - side), at - col * (1 - side)
    pasted = (row >= 0) & (row < side) & (col >= 0) & (col < side)
    mixed = torch.where(pasted[:, None], images.roll(1, 0), images)
    return mixed, torch.where(pasted, targets.roll(1, 0), targets)


def jitter(images: Tensor, targets: Tensor, strength: float) -> Batch:
    """Change each channel of every window by a random gain and offset."""
    shape = 2, *images.shape[:2], 1, 1
    gain, offset = (torch.rand(shape, device=images.device) * 2 - 1) * strength
    valid = (images != 0).any(1, keepdim=True)
    return torch.where(valid, images * (1 + gain) + offset / 2, images), targets


def copy_rare(images: Tensor, targets: Tensor) -> Batch:
    """Paste the pixels of another window's rarer classes into every second one.

    Those are the classes with less than a tenth of the labelled pixels of the batch (Ghiasi and
    others 2021, Simple Copy-Paste, for instances).
    """
    labels = torch.arange(IGNORE, device=targets.device)
    flat = targets.flatten().long()
    counts = torch.zeros(IGNORE + 1, device=labels.device).scatter_add_(
        0, flat, torch.ones_like(flat, dtype=torch.float32)
    )[labels]
    rare = F.pad((counts > 0) & (counts < 0.1 * counts.sum()), (0, 1))
    chosen = torch.rand(len(images), 1, 1, device=labels.device) < 0.5
    others = targets.roll(1, 0)
    pasted = rare[others.long()] & chosen
    mixed = torch.where(pasted[:, None], images.roll(1, 0), images)
    return mixed, torch.where(pasted, others, targets)


class Residual(nn.Module):
    """A double convolution with a residual connection: relu(skip(x) + f(x)).

    Args:
        block: the double convolution.
        drop: probability that f is left out for an image (Huang and others 2016, stochastic depth).
    """

    def __init__(self, block: DoubleConv, drop: float = 0.0):
        super().__init__()
        layers = block.double_conv
        self.body, self.drop = nn.Sequential(*layers[:5]), drop
        self.skip = nn.Conv2d(layers[0].in_channels, layers[3].out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.training and self.drop:
            y = y * (torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop) / (1 - self.drop)
        return F.relu(self.skip(x) + y)


def replaced(model: nn.Module, kind: type, make: Callable) -> nn.Module:
    """Replace all modules of a kind."""
    for name, child in model.named_children():
        setattr(model, name, make(child)) if isinstance(child, kind) else replaced(
            child, kind, make
        )
    return model


def group_norm(layer: nn.BatchNorm2d) -> nn.GroupNorm:
    """Make a group normalisation with groups of 8 channels (Wu and He 2018)."""
    return nn.GroupNorm(max(1, layer.num_features // 8), layer.num_features)


class Texture(nn.Module):
    """Give a network the mean and the deviation of each channel around each pixel, too."""

    def __init__(self, make: Callable[[int], nn.Module], channels: int, sides=(7, 31)):
        super().__init__()
        self.net, self.sides = make(channels * (1 + 2 * len(sides))), sides
        self.norm = nn.BatchNorm2d(channels * (1 + 2 * len(sides)), affine=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            found = [x]
            for side in self.sides:
                mean, square = box(x, side), box(x * x, side)
                found += [mean, (square - mean * mean).clamp_min(0).sqrt()]
            x = self.norm(torch.cat(found, 1))
        return self.net(x.contiguous(memory_format=torch.channels_last))


def box(x: Tensor, side: int) -> Tensor:
    """Compute the mean of a square around each pixel, as far as it is in the window."""
    x = F.avg_pool2d(x, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, side), 1, (0, side // 2), count_include_pad=False)


def textured(net: UNet) -> nn.Module:
    """Give a U-Net means and deviations as channels, too."""
    layer = net.inc.double_conv[0]

    def wider(channels: int) -> nn.Module:
        net.inc = DoubleConv(channels, layer.out_channels)
        return net

    return Texture(wider, layer.in_channels)


class MixStyle(nn.Module):
    """Mix mean and deviation of the features of two images (Zhou and others 2021).

    In half of the batches, each image gets statistics between its own and those of another image,
    as if it had that image's haze and light.
    """

    def __init__(self, block: nn.Module, alpha: float = 0.1):
        super().__init__()
        self.block, self.share = block, torch.distributions.Beta(alpha, alpha)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        if not self.training or torch.rand(()) < 0.5:
            return x
        values, order = x.float(), torch.randperm(len(x), device=x.device)
        deviation, mean = torch.std_mean(values.detach(), (2, 3), keepdim=True)
        share = self.share.sample((len(x), 1, 1, 1)).to(x.device)
        mixed = [share * own + (1 - share) * own[order] for own in (deviation + 1e-6, mean)]
        return ((values - mean) / (deviation + 1e-6) * mixed[0] + mixed[1]).to(x.dtype)


def mix_styles(net: UNet) -> nn.Module:
    """Mix the statistics after the first two levels of a U-Net."""
    net.inc, net.down1 = MixStyle(net.inc), MixStyle(net.down1)
    return net


class TwoLevels(nn.Module):
    """The upper two levels of a U-Net."""

    def __init__(self, net: UNet):
        super().__init__()
        self.inc, self.down1, self.up4 = net.inc, net.down1, net.up4
        self.head = nn.Sequential(net.head_dropout, net.outc)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.inc(x)
        return self.head(self.up4(self.down1(fine), fine))


class Half(nn.Module):
    """A network at half of the resolution: four times the ground in as many pixels."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        small = F.avg_pool2d(x, 2, ceil_mode=True).contiguous(memory_format=torch.channels_last)
        return F.interpolate(self.net(small), size=x.shape[-2:], mode="bilinear")


def drop_paths(model: nn.Module, factor: float) -> nn.Module:
    """Multiply the rates of stochastic depth of a SegFormer, 0 to 0.1, by a factor."""
    for module in model.modules():
        if isinstance(module, Block):
            module.drop_path.p *= factor
    return model


def same(model: nn.Module) -> nn.Module:
    """Return a model as it is."""
    return model


def plain_dice(logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
    """Compute cross-entropy with the weights of the classes + Dice loss without them."""
    return losses.cross_entropy(logits, targets, weight) + losses.dice(logits, targets)


@dataclass
class Change:
    """What differs from the default recipe.

    Args:
        options: options of train.py.
        build: changes the network.
        batch: changes a batch, after the augmentation.
        rate: learning rate, relative to --lr, after a share of the training.
        ema: decay of a moving average of the weights, which is what is measured; 0 for none. The
            decay of step n is (1 + n) / (10 + n), at most.
        loss: replaces that of --loss.
        turns: whether the probabilities are means over the eight flips and turns of a window.
    """

    options: str = ""
    build: Callable[[nn.Module], nn.Module] = same
    batch: Callable[[Tensor, Tensor], Batch] = unchanged
    rate: Callable[[float], float] = cosine
    ema: float = 0.0
    turns: bool = False
    loss: Callable | None = None
    average: AveragedModel | None = None

    def after_step(self, model: nn.Module, step: int) -> None:
        """Update the moving average."""
        if self.ema:
            decay = min(self.ema, (1 + step) / (10 + step))
            self.average = self.average or AveragedModel(model, use_buffers=True)
            self.average.multi_avg_fn = get_ema_multi_avg_fn(decay)
            self.average.update_parameters(model)

    def finished(self, model: nn.Module) -> nn.Module:
        """Return the network to measure."""
        return self.average.module if self.average else model

    def probabilities(self, model: nn.Module, images: Tensor) -> Tensor:
        """Compute the probabilities (N, K, S, S) of images."""
        if not self.turns:
            return model(images).float().softmax(1)
        total = torch.zeros(())
        for turns in range(4):
            for flip in ([], [3]):
                turned = images.rot90(turns, (2, 3)).flip(flip)
                logits = model(turned.contiguous(memory_format=torch.channels_last))
                total = total + logits.float().softmax(1).flip(flip).rot90(-turns, (2, 3))
        return total / 8


CHANGES = {
    "lr-4e-3": Change("--lr 4e-3"),
    "lr-1e-3": Change("--lr 1e-3"),
    "warm-up": Change(rate=warm_up),
    "one-cycle": Change("--lr 6e-3", rate=one_cycle),
    "ema-constant": Change(ema=0.995, rate=lambda share: 1.0),
    "ema": Change(ema=0.995),
    "turns": Change(turns=True),
    "base-8": Change("--base 8"),
    "base-32": Change("--base 32"),
    "batch-4": Change("--batch 4"),
    "batch-24": Change("--batch 24"),
    "size-64": Change("--size 64"),
    "size-128": Change("--size 128"),
    "size-224": Change("--size 224"),
    "jitter": Change("--augment flip turn jitter"),
    "crop": Change("--augment flip turn crop"),
    "scale": Change("--augment flip turn scale"),
    "scaling-image": Change("--scaling image"),
    "scaling-standard": Change("--scaling standard"),
    "dropout": Change("--dropout 0.1"),
    "weight-decay": Change("--weight-decay 0.05"),
    "oversample": Change("--oversample 0.3"),
    "rim": Change(batch=ignore_rim),
    "cutmix": Change(batch=cutmix),
    "copy-rare": Change(batch=copy_rare),
    "no-drop-path": Change("--model segformer-b0", build=partial(drop_paths, factor=0.0)),
    "drop-path-0.3": Change("--model segformer-b0", build=partial(drop_paths, factor=3.0)),
    "residual": Change(build=partial(replaced, kind=DoubleConv, make=Residual)),
    "drop-path": Change(build=partial(replaced, kind=DoubleConv, make=partial(Residual, drop=0.1))),
    "jitter-0.2": Change(batch=partial(jitter, strength=0.2)),
    "jitter-0.4": Change(batch=partial(jitter, strength=0.4)),
    "texture": Change(build=textured),
    "mix-style": Change(build=mix_styles),
    "two-levels": Change(build=TwoLevels),
    "half": Change("--size 256", build=Half),
    "group-norm": Change(build=partial(replaced, kind=nn.BatchNorm2d, make=group_norm)),
    "cross-entropy": Change("--loss cross_entropy"),
    "dice-plain": Change(loss=plain_dice),
    "no-weights": Change("--class-weights none"),
}
