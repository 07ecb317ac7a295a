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
from unet.unet import DoubleConv

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


def unchanged(images: Tensor, targets: Tensor, generator: torch.Generator) -> Batch:
    """Return a batch as it is."""
    return images, targets


def ignore_rim(images: Tensor, targets: Tensor, generator: torch.Generator) -> Batch:
    """Ignore the pixels on both sides of a border between two labels."""
    down, right = targets[:, 1:] != targets[:, :-1], targets[..., 1:] != targets[..., :-1]
    rim = F.pad(down, (0, 0, 0, 1)) | F.pad(down, (0, 0, 1, 0))
    rim |= F.pad(right, (0, 1)) | F.pad(right, (1, 0))
    return images, targets.masked_fill(rim, IGNORE)


def cutmix(images: Tensor, targets: Tensor, generator: torch.Generator) -> Batch:
    """Paste a rectangle of another window into every second one (French and others 2020)."""
    count, size = len(images), images.shape[-1]
    others = torch.randperm(count, generator=generator).tolist()
    mixed, labels = images.clone(), targets.clone()
    for number, other in enumerate(others):
        if torch.rand((), generator=generator) < 0.5:
            continue
        side = int(size * math.sqrt(0.1 + 0.4 * torch.rand((), generator=generator).item()))
        row, col = torch.randint(size - side + 1, (2,), generator=generator).tolist()
        part = ..., slice(row, row + side), slice(col, col + side)
        mixed[number][part], labels[number][part] = images[other][part], targets[other][part]
    return mixed, labels


def copy_rare(images: Tensor, targets: Tensor, generator: torch.Generator) -> Batch:
    """Paste the pixels of another window's rarer classes into every second one.

    Those are the classes with less than a tenth of the labelled pixels of the batch (Ghiasi and
    others 2021, Simple Copy-Paste, for instances).
    """
    counts = targets.flatten().bincount(minlength=IGNORE + 1)[:IGNORE]
    rare = F.pad((counts > 0) & (counts < 0.1 * counts.sum()), (0, 1))
    others = torch.randperm(len(images), generator=generator)
    chosen = torch.rand(len(images), 1, 1, generator=generator) < 0.5
    pasted = rare[targets[others].long()] & chosen
    mixed = torch.where(pasted[:, None], images[others], images)
    return mixed, torch.where(pasted, targets[others], targets)


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
            y = y * (torch.rand(len(y), 1, 1, 1) >= self.drop) / (1 - self.drop)
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


def same(model: nn.Module) -> nn.Module:
    """Return a model as it is."""
    return model


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
        turns: whether the probabilities are means over the eight flips and turns of a window.
    """

    options: str = ""
    build: Callable[[nn.Module], nn.Module] = same
    batch: Callable[[Tensor, Tensor, torch.Generator], Batch] = unchanged
    rate: Callable[[float], float] = cosine
    ema: float = 0.0
    turns: bool = False
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
    "residual": Change(build=partial(replaced, kind=DoubleConv, make=Residual)),
    "drop-path": Change(build=partial(replaced, kind=DoubleConv, make=partial(Residual, drop=0.1))),
    "group-norm": Change(build=partial(replaced, kind=nn.BatchNorm2d, make=group_norm)),
    "cross-entropy": Change("--loss cross_entropy"),
    "no-weights": Change("--class-weights none"),
}
