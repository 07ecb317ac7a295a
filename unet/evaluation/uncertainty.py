"""How sure a network is of a pixel, and two ways to ask it more than once.

A softmax is one opinion. Its entropy says how undecided it is:

    H(p) = -sum_k p_k ln p_k          0 if one class has it all, ln K if all classes have the same

Several opinions p_1 ... p_N of one pixel are averaged, and their entropy falls into two parts:

    H(mean p)            =  mean H(p_n)   +  I           predictive entropy
    total uncertainty       of the data      of the network: mutual information

I is 0 where all say the same, even if that is "fifty-fifty" (a mixed pixel, which no training
cures), and large where each is sure of something else (ground unlike any seen in training). The
opinions come from

    mc_dropout   dropout stays on in prediction, so that every pass is another network: Gal and Ghahramani 2016,
                 Dropout as a Bayesian Approximation; mutual information: Houlsby and others 2011, Bayesian Active
                 Learning for Classification and Preference Learning; Smith and Gal 2018, eq. (4)
    eight_views  ground has no up: the window in its eight flips and quarter turns, each prediction turned back

The test beside this file is tests/unet/evaluation/test_uncertainty.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

DROPOUTS = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d


class Opinion(NamedTuple):
    """What several predictions say together; entropies in nats."""

    mean: Tensor  # (N, K, H, W) probabilities
    entropy: Tensor  # (N, H, W) of the mean: predictive entropy
    mutual_information: Tensor  # (N, H, W), from 0 up to the entropy


def entropy(probabilities: Tensor, dim: int = 1) -> Tensor:
    """(N, K, ...) to (N, ...): Shannon's entropy in nats, with 0 ln 0 = 0.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [0.6931471824645996, 0.0]
    """
    return torch.special.entr(probabilities).sum(dim)


def average(opinions: Iterable[Tensor]) -> Opinion:
    """Several probabilities (N, K, H, W) of the same pixels, summed as they come; ValueError if
    there are none.
    """
    total, uncertain, count = 0.0, 0.0, 0
    for probabilities in opinions:
        total = total + probabilities
        uncertain = uncertain + entropy(probabilities)
        count += 1
    if not count:
        raise ValueError("an average needs one opinion at least")
    mean = total / count
    whole = entropy(mean)
    return Opinion(
        mean, whole, (whole - uncertain / count).clamp(min=0)
    )  # rounding can make it -1e-8


def has_dropout(model: nn.Module) -> bool:
    """Whether any layer drops something in training."""
    return bool(_dropping(model))


def _dropping(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, DROPOUTS) and module.p > 0]


@contextmanager
def mc_dropout(model: nn.Module, seeds: Sequence[int]) -> Iterator[nn.Module]:
    """Keep dropout on in a network that is otherwise in evaluation mode.

    Batch normalisation must not be in training mode: it would normalise by the window instead of by
    what it learned. Sample n of each batch draws its masks from a generator of its own, so that a
    window has the same masks whatever windows are in its batch, or were predicted before. Each pass
    within the block draws new masks. Afterwards all modes are as before.

    Args:
        model: A network with at least one layer of dropout.
        seeds: One for each sample of the batches that pass within the block.

    Raises:
        ValueError: If no layer drops anything.
    """
    layers = _dropping(model)
    if not layers:
        raise ValueError("the network has no dropout, so that all passes would be the same")
    device = next(model.parameters(), torch.empty(0)).device
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    modes = {module: module.training for module in model.modules()}
    model.eval()  # in which a layer of dropout returns its input, and the hook replaces that
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, output: dropped(layer, inputs[0], generators)
        )
        for layer in layers
    ]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode


def dropped(layer: nn.Module, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Apply a layer of dropout to x (N, ...), drawing sample n from generator n.

    As in torch, `nn.Dropout` drops single values and the others drop whole channels, with
    probability p; what stays is divided by 1 - p.
    """
    shape = x.shape[1:] if type(layer) is nn.Dropout else (x.shape[1], *[1] * (x.ndim - 2))
    masks = [x.new_empty(shape).bernoulli_(1 - layer.p, generator=g) for g in generators]
    return x * torch.stack(masks).div_(1 - layer.p)  # (N, C, ...) or (N, C, 1, ...)


def eight_views(predict: Callable[[Tensor], Tensor], images: Tensor) -> Iterator[Tensor]:
    """Eight predictions (N, K, H, W) of images (N, C, H, W): of each flip and turn, turned back.

    `predict` must take windows of (W, H) where the images are not square.
    """
    for flip in (False, True):
        for turns in range(4):
            view = torch.rot90(images.flip(-1) if flip else images, turns, dims=(-2, -1))
            seen = torch.rot90(predict(view), -turns, dims=(-2, -1))
            yield seen.flip(-1) if flip else seen
