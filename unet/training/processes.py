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
anything. In prediction the processes share the strips of a scene and send each other `Messages`.
This is the only file that uses torch.distributed.

The test beside this file is tests/unet/training/test_processes.py.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from data.files import InputError

PATIENCE = timedelta(
    hours=2
)  # for the first process, which prepares the scenes while the others wait


FOREVER = timedelta(days=30)  # for messages: a strip of a map takes as long as it takes


def start(device: torch.device, patience: timedelta = PATIENCE) -> None:
    """Join the processes that torchrun has started, this one with its device. Does nothing without
    torchrun.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)


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
def leaving() -> Iterator[None]:
    """Leave the other processes at the end of the block.

    On SystemExit the process ends at once: its threads may wait for another process for ever.
    """
    try:
        yield
    except SystemExit as error:
        if not dist.is_initialized():
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)  # predict.py exits by numbers
    finally:
        stop()


class Messages:
    """Messages between the processes of a map, by gloo, whatever device computes.

    `data.mapping.sharing.Processes` describes the interface. A process that fails closes its
    connections, which raises InputError in those that wait for it.
    """

    def __init__(self):
        self.rank, self.world = rank(), world()
        # Arrays have a group of their own, because arrays and objects are sent from two threads.
        self._arrays = dist.new_group(backend="gloo", timeout=FOREVER)
        self._sent = []

    def send(self, array: np.ndarray, to: int) -> None:
        """Start to send an array, and return while the other process still computes.

        The array must not change afterwards. Waits for the array that was sent before.
        """
        with _lost_connection():
            for message in self._sent:
                message.wait()
            self._sent = [dist.isend(torch.from_numpy(array), to, self._arrays)]

    def receive(self, shape: tuple[int, ...], source: int) -> np.ndarray:
        """Wait for an array of float32 of this shape."""
        array = torch.empty(shape)
        with _lost_connection():
            dist.recv(array, source, self._arrays)
        return array.numpy()

    def send_object(self, value: Any, to: int) -> None:
        """Send any value that pickle takes."""
        with _lost_connection():
            dist.send_object_list([value], to)

    def receive_object(self, source: int) -> Any:
        """Wait for a value of `send_object`."""
        box = [None]
        with _lost_connection():
            dist.recv_object_list(box, source)
        return box[0]

    def gather(self, value: Any) -> list:
        """Return the value of each process, in their order, once all have come here."""
        with _lost_connection():
            values = gather(value)
            dist.barrier()  # a process that left would close connections that others still read
        return values


def messages() -> Messages | None:
    """Return this process's messages to the others; None where there is one process."""
    return Messages() if world() > 1 else None


@contextmanager
def _lost_connection() -> Iterator[None]:
    """Turn what gloo raises about a closed connection into an error of one line."""
    try:
        yield
    except RuntimeError as error:
        message = "another process of this run has stopped; see its error"
        raise InputError(message) from error


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process run the block before the others, which then find its files."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and world() > 1:
        dist.barrier()


class _Total(torch.autograd.Function):
    """Forward: the sum of x over the processes. Backward: the sum of their gradients."""

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
    """Sum x over all processes, with its gradient. One process gets x itself.

    Let L = f(sum of x_r) be the loss, which each of W processes computes. x_r receives a gradient
    from each of them, W dL/dx_r in all. DistributedDataParallel takes the mean over the processes,
    1/W sum over r of W dL/dx_r dx_r/dweights. That is the gradient of one process with the whole
    batch.
    """
    return x if world() == 1 else _Total.apply(x)


def gather(value: object) -> list:
    """Return the values of all processes, in the order of their ranks."""
    values = [value] * world()
    if world() > 1:
        dist.all_gather_object(values, value)
    return values


def largest(number: int, device: torch.device) -> int:
    """Return the largest of the processes' numbers. `device` is where they compute."""
    if world() > 1:
        tensor = torch.tensor(number, device=device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        number = int(tensor)
    return number


def random_states(device: torch.device) -> dict:
    """Return the states of the random generators: "torch" and on GPUs "cuda", one per process."""
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
    """Batch normalisation over all processes on CPUs. torch.nn.SyncBatchNorm runs on GPUs only.

    Takes (N, C, H, W), where N may be 0.
    """

    momentum: float  # 0.1, or 0 while recompute.py computes again

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = total(values.new_tensor(float(x.numel() // x.shape[1])))
        mean = total(values.sum((0, 2, 3))) / count  # (C,)
        centred = values - mean[:, None, None]
        variance = total((centred**2).sum((0, 2, 3))) / count  # (C,)
        with torch.no_grad():
            # As everywhere in torch, the running variance is the unbiased one.
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def synchronise(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a network for several processes; one process gets the network itself.

    Normalisation then runs over the whole batch, and gradients are those of the whole batch. The
    parameters and their names stay those of `model`, which is the one to save and to evaluate.
    """
    if world() == 1:
        return model
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = BatchNorm
    return nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)
