"""Activation checkpointing: less memory, but more time.

Training keeps the output of each layer until the backward pass needs it. With activation
checkpointing, a block keeps only its input, and the backward pass computes its other outputs again.
This second forward pass takes about a third more time. Chen, Xu, Zhang, Guestrin: Training Deep
Nets with Sublinear Memory Cost, 2016 (https://arxiv.org/abs/1604.06174).

Gradients and weights are the same to the last bit. torch repeats the same dropout, and this file
prevents batch normalisation from counting a batch twice in its running statistics.

Read beside it: tests/unet/training/test_recompute.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def _uncounted(block: nn.Module) -> Iterator[None]:
    """Keep the running statistics of `block` unchanged while the block of `with` runs."""
    kind = nn.modules.batchnorm._BatchNorm
    norms = [module for module in block.modules() if isinstance(module, kind) and module.training]
    counts = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # running = 1 * running + 0 * batch
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, counts):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def recompute(model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> nn.Module:
    """Let each block of a `kind` in `model` keep only its input in training.

    Names, weights and results do not change. Blocks inside such a block are not wrapped again.

    Returns:
        The same model, changed in place.
    """

    def wrap(block: nn.Module) -> None:
        forward = block.forward

        def again(*inputs):
            if not block.training:
                return forward(*inputs)
            contexts = lambda: (nullcontext(), _uncounted(block))  # noqa: E731
            return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts)

        block.forward = again

    def visit(module: nn.Module) -> None:
        for child in module.children():
            if isinstance(child, kind):
                wrap(child)
            else:
                visit(child)

    visit(model)
    return model
