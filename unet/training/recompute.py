"""Activation checkpointing: memory for time.

Training keeps the output of each layer until the backward pass needs it. A block that keeps only
its input computes the rest again: one more forward pass, about a third more time, for a fraction of
the memory. Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost, 2016
(https://arxiv.org/abs/1604.06174).

Gradients and weights are the same to the last bit: torch repeats the dropout, and batch
normalisation is kept from counting the same batch twice in its running statistics.

The test beside this file is tests/unet/training/test_recompute.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def _uncounted(block: nn.Module) -> Iterator[None]:
    """Keep the running statistics of `block` as they are."""
    norms = [
        m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training
    ]
    counts = [(m.momentum, m.num_batches_tracked.clone()) for m in norms]
    for norm in norms:
        norm.momentum = 0.0  # running = 1 * running + 0 * batch
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, counts):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def recompute(model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> nn.Module:
    """Let each block of a `kind` in `model` keep only its input while it trains.

    Names, weights and results do not change. A block inside such a block is part of it.

    Returns:
        The same model.
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
            wrap(child) if isinstance(child, kind) else visit(child)

    visit(model)
    return model
