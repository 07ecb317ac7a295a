"""Several processes that train one network: each takes its share of every batch.

`torchrun --nproc-per-node 2 train.py ...` starts the processes. The result equals that of one
process on the whole batch. A mean over the processes would not: three things couple the samples of
a batch.

    gradients       are summed over the processes; see `total` for the mean that
                    DistributedDataParallel takes
    losses          are ratios of sums, for example of weights: numerator and denominator are
                    summed separately
    normalisation   takes mean and variance of a channel over the whole batch
                    (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167)

nccl carries the sums between GPUs, gloo between CPUs. Without torchrun no function here does
anything. This is the only file that uses torch.distributed.

The test beside this file is tests/unet/training/test_processes.py.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(
    hours=2
)  # for the first process, which prepares the scenes while the others wait


def start(device: torch.device) -> None:
    """Join the processes that torchrun has started, this one with its device. Does nothing without
    torchrun.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)


def stop() -> None:
    """Leave the other processes. They need not have come to their end."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, 0 for the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process runs the block while the others wait; then they, who find made what it has
    made.
    """
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and world() > 1:
        dist.barrier()


class _Total(torch.autograd.Function):
    """Forward: the sum of x over the processes. Backward: what each of them wants of it, summed."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.detach().clone()  # all_reduce writes where it reads
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes, with its gradient; x itself where there is one process.

    Let L = f(sum of x_r) be the loss, which every one of W processes computes. Its gradient reaches
    each x_r from all of them, so it is W dL/dx_r; DistributedDataParallel takes the mean over the
    processes, 1/W sum of W dL/dx_r dx_r/dweights, and that is the gradient of one process with the
    whole batch.
    """
    return x if world() == 1 else _Total.apply(x)


def gather(value: object) -> list:
    """The value of each process, in their order."""
    values = [value] * world()
    if world() > 1:
        dist.all_gather_object(values, value)
    return values


def largest(number: int, device: torch.device) -> int:
    """The largest of the processes' numbers; `device` is where they compute."""
    if world() > 1:
        tensor = torch.tensor(number, device=device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        number = int(tensor)
    return number


def random_states(device: torch.device) -> dict:
    """{"torch": [state of each process], "cuda": [...] on GPUs}: of the generators that dropout
    draws from.
    """
    states = {"torch": gather(torch.get_rng_state())}
    if device.type == "cuda":
        states["cuda"] = gather(torch.cuda.get_rng_state(device))
    return states


def set_random_states(states: dict, device: torch.device) -> None:
    """Continue the random generators of this process, if there were as many processes."""
    if len(states["torch"]) == world():
        torch.set_rng_state(states["torch"][rank()])
        if device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"][rank()], device)


class BatchNorm(nn.BatchNorm2d):
    """torch.nn.SyncBatchNorm, which runs on GPUs alone, in five lines for CPUs. (N, C, H, W), N may
    be 0.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = total(values.new_tensor(float(x.numel() // x.shape[1])))
        mean = total(values.sum((0, 2, 3))) / count  # (C,)
        centred = values - mean[:, None, None]
        variance = total((centred**2).sum((0, 2, 3))) / count  # (C,)
        with (
            torch.no_grad()
        ):  # the running variance is that of the population, as everywhere in torch
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def synchronise(model: nn.Module, device: torch.device, changing: bool = False) -> nn.Module:
    """The network as several processes train it: normalisation over all, gradients of all. Itself
    if there is one.

    Parameters and their names stay those of `model`, which remains the one to save and to evaluate.
    `changing` tells that some of them will learn only at times.
    """
    if world() == 1:
        return model
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = BatchNorm
    return nn.parallel.DistributedDataParallel(
        model, forward_sync_buffers=False, find_unused_parameters=changing
    )
