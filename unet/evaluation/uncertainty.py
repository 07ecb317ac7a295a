"""Uncertainty of a prediction: entropy, and two methods to predict an image several times.

The entropy of the softmax p is 0 if one class has probability 1, and ln K if all K classes have
the same probability:

    H(p) = -sum_k p_k ln p_k

Several predictions p_1 ... p_N of one pixel are averaged. The entropy of their mean has two parts:

    H(mean p)            =  mean H(p_n)            +  I
    predictive entropy      uncertainty of the        mutual information: uncertainty of the
                            data                      network

I is 0 if all predictions are equal, even if each has a large entropy. An example is a mixed pixel,
where more training does not help. I is large if the predictions have high probabilities for
different classes. An example is a landscape that the training set does not have. There are two
methods to make several predictions:

    mc_dropout   Dropout stays on, so that each pass drops other channels. Gal and Ghahramani 2016,
                 Dropout as a Bayesian Approximation. Mutual information: Houlsby and others 2011,
                 Bayesian Active Learning for Classification and Preference Learning; Smith and Gal
                 2018, eq. (4)
    eight_views  Predict the eight flips and quarter turns of the image, and turn each prediction
                 back.

Read beside it: tests/unet/evaluation/test_uncertainty.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

Dropout = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


class Average(NamedTuple):
    """The mean of several predictions, and its uncertainty in nats."""

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
    """Average predictions (N, K, H, W) of the same pixels. Only one is in memory at a time.

    Raises:
        ValueError: There are no predictions.
    """
    total, of_data = torch.zeros(()), torch.zeros(())
    count = 0
    for probabilities in predictions:
        total = total + probabilities
        of_data = of_data + entropy(probabilities)
        count += 1
    if not count:
        raise ValueError("an average needs at least one prediction")
    mean = total / count
    predictive = entropy(mean)
    mutual_information = (predictive - of_data / count).clamp(min=0)  # rounding can give -1e-8
    return Average(mean, predictive, mutual_information)


def has_dropout(model: nn.Module) -> bool:
    """Whether the network has a dropout layer with a probability above 0."""
    return bool(_dropping(model))


def _dropping(model: nn.Module) -> list[Dropout]:
    """List the dropout layers with a probability above 0."""
    return [module for module in model.modules() if isinstance(module, Dropout) and module.p > 0]


@contextmanager
def mc_dropout(model: nn.Module, seeds: Sequence[int]) -> Iterator[nn.Module]:
    """Keep dropout on in a network that is otherwise in evaluation mode.

    Batch normalisation must stay in evaluation mode. In training mode it would use mean and
    variance of the batch instead of its running statistics.

    Each sample of a batch has its own random generator. Its masks depend neither on the other
    samples of the batch nor on earlier batches. Each pass inside the `with` block draws new masks.
    At the end of the block, all modes are restored.

    Args:
        model: A network with at least one dropout layer.
        seeds: Seeds of the generators, one for each sample of a batch.

    Raises:
        ValueError: No layer has a dropout probability above 0.
    """
    layers = _dropping(model)
    if not layers:
        raise ValueError("the network has no dropout, so that all passes would be the same")
    device = next(model.parameters(), torch.empty(0)).device
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    modes = {module: module.training for module in model.modules()}
    model.eval()  # a dropout layer then returns its input, and the hook replaces this result
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
    """Apply a dropout layer to x (N, ...), with generator n for sample n.

    As in torch, `nn.Dropout` drops single values, and the other classes drop whole channels, with
    probability p. The remaining values are divided by 1 - p.
    """
    shape = x.shape[1:] if type(layer) is nn.Dropout else (x.shape[1], *[1] * (x.ndim - 2))
    keep = 1 - layer.p
    masks = [x.new_empty(shape).bernoulli_(keep, generator=each) for each in generators]
    return x * torch.stack(masks).div_(keep)  # masks: (N, C, ...) or (N, C, 1, ...)


def eight_views(predict: Callable[[Tensor], Tensor], images: Tensor) -> Iterator[Tensor]:
    """Predict the eight flips and quarter turns of images, and turn the predictions back.

    Args:
        predict: (N, C, h, w) -> (N, K, h, w), where (h, w) is (H, W), or (W, H) after a quarter
            turn.
        images: (N, C, H, W).

    Yields:
        Eight predictions (N, K, H, W).
    """
    for flip in (False, True):
        for turns in range(4):
            view = torch.rot90(images.flip(-1) if flip else images, turns, dims=(-2, -1))
            prediction = torch.rot90(predict(view), -turns, dims=(-2, -1))
            yield prediction.flip(-1) if flip else prediction
