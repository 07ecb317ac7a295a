"""Uncertainty of a prediction: entropy, and two ways to predict an image several times.

The entropy of the softmax is 0 if one class has all probability, and ln K if all classes have the
same:

    H(p) = -sum_k p_k ln p_k

Several predictions p_1 ... p_N of one pixel are averaged. The entropy of their mean has two parts:

    H(mean p)            =  mean H(p_n)    +   I
    predictive entropy      of the data        of the network: mutual information

I is 0 where all predictions are the same, even if each is undecided: a mixed pixel, which no
training cures. I is large where each prediction is sure of another class: ground unlike the
training set. The predictions come from

    mc_dropout   dropout stays on, so that each pass is through another network: Gal and
                 Ghahramani 2016, Dropout as a Bayesian Approximation; mutual information: Houlsby
                 and others 2011, Bayesian Active Learning for Classification and Preference
                 Learning; Smith and Gal 2018, eq. (4)
    eight_views  the eight flips and quarter turns of the image, each prediction turned back

Read beside it: tests/unet/evaluation/test_uncertainty.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

Dropout = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


class Average(NamedTuple):
    """The mean of several predictions and its uncertainty, in nats."""

    mean: Tensor  # (N, K, H, W) probabilities
    entropy: Tensor  # (N, H, W) predictive entropy
    mutual_information: Tensor  # (N, H, W) from 0 to the entropy


def entropy(probabilities: Tensor, dim: int = 1) -> Tensor:
    """Compute Shannon's entropy of (N, K, ...) probabilities in nats, with 0 ln 0 = 0.

    Returns:
        (N, ...).

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [0.6931471824645996, 0.0]
    """
    return torch.special.entr(probabilities).sum(dim)


def average(predictions: Iterable[Tensor]) -> Average:
    """Average predictions (N, K, H, W) of the same pixels, one at a time.

    Raises:
        ValueError: There are none.
    """
    total, of_data = torch.zeros(()), torch.zeros(())
    count = 0
    for probabilities in predictions:
        total = total + probabilities
        of_data = of_data + entropy(probabilities)
        count += 1
    if not count:
        raise ValueError("an average needs one prediction at least")
    mean = total / count
    predictive = entropy(mean)
    mutual_information = (predictive - of_data / count).clamp(min=0)  # by rounding it can be -1e-8
    return Average(mean, predictive, mutual_information)


def has_dropout(model: nn.Module) -> bool:
    """Return whether the network has a layer of dropout with a probability above 0."""
    return bool(_dropping(model))


def _dropping(model: nn.Module) -> list[Dropout]:
    """List the layers of dropout with a probability above 0."""
    return [module for module in model.modules() if isinstance(module, Dropout) and module.p > 0]


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


def dropped(layer: Dropout, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Apply a layer of dropout to x (N, ...), drawing sample n from generator n.

    As in torch, `nn.Dropout` drops single values and the others drop whole channels, with
    probability p; what stays is divided by 1 - p.
    """
    shape = x.shape[1:] if type(layer) is nn.Dropout else (x.shape[1], *[1] * (x.ndim - 2))
    masks = [x.new_empty(shape).bernoulli_(1 - layer.p, generator=g) for g in generators]
    return x * torch.stack(masks).div_(1 - layer.p)  # (N, C, ...) or (N, C, 1, ...)


def eight_views(predict: Callable[[Tensor], Tensor], images: Tensor) -> Iterator[Tensor]:
    """Predict each flip and quarter turn of images, and turn the predictions back.

    Args:
        predict: (N, C, h, w) -> (N, K, h, w). Of images that are not square it gets windows of
            both (H, W) and (W, H).
        images: (N, C, H, W).

    Yields:
        Eight predictions (N, K, H, W).
    """
    for flip in (False, True):
        for turns in range(4):
            view = torch.rot90(images.flip(-1) if flip else images, turns, dims=(-2, -1))
            prediction = torch.rot90(predict(view), -turns, dims=(-2, -1))
            yield prediction.flip(-1) if flip else prediction
