"""Training by several processes: each computes a share of every batch.

`torchrun --nproc-per-node 2 train.py ...` starts the processes. The result equals that of one
process on the whole batch. Three quantities depend on the whole batch, so that a plain mean over
the processes would be wrong for them:

    gradients       are summed over the processes; DistributedDataParallel takes a mean
                    over them, and `total` corrects this
    losses          are ratios of two sums; each sum is taken over the processes before the
                    division
    normalisation   uses mean and variance of a channel over the whole batch
                    (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167)

The library nccl computes the sums between GPUs, gloo between CPUs and between processes that share
a GPU, which nccl refuses. Without torchrun there is one process, and the functions below change
nothing. In prediction, the processes share the strips of a scene and exchange `Messages`. This is
the only file that uses torch.distributed.

Read beside it: tests/unet/training/test_processes.py.
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

# How long a process waits for another one: the first process prepares the scenes for all.
PATIENCE = timedelta(hours=2)
# How long it waits for a message in prediction. A strip of a map may take any time.
FOREVER = timedelta(days=30)
STOPPED = "another process of this run has stopped; see its error"


@contextmanager
def _lost_connection() -> Iterator[None]:
    """Turn gloo's error about a closed connection into an error of one line."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(STOPPED) from error


@contextmanager
def connected() -> Iterator[None]:
    """Turn the error about another process that has ended into an InputError."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise InputError(STOPPED) from error


def start(device: torch.device, patience: timedelta = PATIENCE) -> None:
    """Connect this process to the others that torchrun has started. Without it, do nothing.

    Args:
        device: device of this process.
        patience: longest time to wait for another process.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return
    alone = False  # whether this process has a GPU of its own
    if device.type == "cuda":
        torch.cuda.set_device(device)
        alone = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    dist.init_process_group("nccl" if alone else "gloo", timeout=patience)


def stop() -> None:
    """Disconnect from the other processes, without waiting for them."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process. Process 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", 0))


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def leaving() -> Iterator[None]:
    """Disconnect from the other processes at the end of the block.

    SystemExit ends the process at once, because its threads could wait for another process without
    end.
    """
    try:
        yield
    except SystemExit as error:
        if not dist.is_initialized():
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)
    finally:
        stop()


class Messages:
    """Messages between the processes of a prediction. They use gloo for all devices.

    `data.mapping.sharing.Processes` describes the interface. A process that fails closes its
    connections. This raises InputError in the processes that wait for it.
    """

    def __init__(self):
        self.rank, self.world = rank(), world()
        # Arrays have their own group, because one thread sends arrays and another one objects.
        with _lost_connection():
            self._arrays = dist.new_group(backend="gloo", timeout=FOREVER)
            dist.barrier()  # a process that fails at once must not leave others half connected
        self._sent = []

    def send(self, array: np.ndarray, to: int) -> None:
        """Start to send an array, and return before the other process has received it.

        First wait until the array that was sent last has been received. The array must not
        change afterwards.
        """
        with _lost_connection():
            for message in self._sent:
                message.wait()
            self._sent = [dist.isend(torch.from_numpy(array), to, self._arrays)]

    def receive(self, shape: tuple[int, ...], source: int) -> np.ndarray:
        """Wait for a float32 array of this shape from the process `source`."""
        array = torch.empty(shape)
        with _lost_connection():
            dist.recv(array, source, self._arrays)
        return array.numpy()

    def send_object(self, value: Any, to: int) -> None:
        """Send any value that pickle can write to the process `to`."""
        with _lost_connection():
            dist.send_object_list([value], to)

    def receive_object(self, source: int) -> Any:
        """Wait for a value from the process `source`, sent by `send_object`."""
        box = [None]
        with _lost_connection():
            dist.recv_object_list(box, source)
        return box[0]

    def gather(self, value: Any) -> list:
        """Return the values of all processes, by rank. All processes must call this function."""
        with _lost_connection():
            values = gather(value)
            dist.barrier()  # nobody may disconnect while others still read
        return values


def messages() -> Messages | None:
    """Return the messages of this process. None if it is the only one."""
    return Messages() if world() > 1 else None


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process run the block before the others, so that they find its files."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and world() > 1:
        dist.barrier()


class _Total(torch.autograd.Function):
    """Forward: the sum of x over the processes. Backward: the sum of their gradients."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.detach().clone()  # all_reduce works in place
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


def total(x: Tensor) -> Tensor:
    """Sum x over all processes, with its gradient. With one process the result is x itself.

    x_r is the x of process r. All W processes compute the same loss L = f(sum over r of x_r), and
    x_r gets the gradient dL/dx_r from each of them, in total W dL/dx_r. The mean that
    DistributedDataParallel takes divides by W. So the gradient of the weights is the sum over r
    of dL/dx_r dx_r/dweights, as in one process with the whole batch.
    """
    return x if world() == 1 else _Total.apply(x)


@connected()
def gather(value: object) -> list:
    """Return the values of all processes, in the order of their ranks."""
    values = [value] * world()
    if world() > 1:
        dist.all_gather_object(values, value)
    return values


def largest(number: int, device: torch.device) -> int:
    """Return the largest number of all processes. `device` is that of this process."""
    if world() > 1:
        tensor = torch.tensor(number, device=device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        number = int(tensor)
    return number


def random_states(device: torch.device) -> dict:
    """Return the states of the random generators.

    Returns:
        "torch" and, on GPUs, "cuda": lists with a state of each process.
    """
    states = {"torch": gather(torch.get_rng_state())}
    if device.type == "cuda":
        states["cuda"] = gather(torch.cuda.get_rng_state(device))
    return states


def set_random_states(states: dict, device: torch.device) -> None:
    """Restore the random generators of this process, if the number of processes is the same."""
    if len(states["torch"]) == world():
        torch.set_rng_state(states["torch"][rank()])
        if device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"][rank()], device)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all processes on CPUs. torch.nn.SyncBatchNorm runs only on GPUs.

    (N, C, H, W) -> (N, C, H, W), where N may be 0.
    """

    momentum: float  # torch also allows None, which no network here uses

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = total(values.new_tensor(float(x.numel() // x.shape[1])))
        mean = total(values.sum((0, 2, 3))) / count  # (C,)
        centred = values - mean[:, None, None]
        variance = total((centred**2).sum((0, 2, 3))) / count  # (C,)
        with torch.no_grad():
            # torch's running variance is the unbiased one.
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class SyncBatchNorm(nn.SyncBatchNorm):
    """torch's batch normalisation over all processes on GPUs, also for N = 0 in 16 bits.

    torch gathers the statistics of a process without windows in the type of x, and those of the
    other processes in float32. The processes would then wait for different numbers of bytes.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if len(x) else x.float()).to(x.dtype)


def synchronise(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a network for several processes. With one process the result is the network itself.

    The wrapped network normalises over the whole batch and gives its gradients. It has the
    parameters of `model`, which is the one to save.
    """
    if world() == 1:
        return model
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = BatchNorm
        elif type(module) is nn.SyncBatchNorm:
            module.__class__ = SyncBatchNorm
    return nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)
