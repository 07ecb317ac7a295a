"""Training by several processes: unet/training/processes.py. Two processes are compared with one.

This file is also the script of the two processes: `compute` runs here, in one process, and in each
of two that torchrun starts on this file. All numbers are float64, so that equal means equal to ten
digits.
"""

import gc
import os
import re
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from gpu import GPU, needs_gpu
from torch import nn
from torch.distributed.run import parse_args
from torch.utils.data import DataLoader, Dataset

import train
import unet
from data.files import InputError
from data.training.dataset import Batches
from unet import losses
from unet.networks import layers
from unet.training import passes, processes
from unet.training.device import autocast, pick_device
from unet.training.recompute import recompute

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
WEIGHT = torch.tensor([1.0, 3.0, 0.5])
# Every loss that train.py offers, so that a new one is compared, too.
LOSSES = {name: partial(loss, weight=WEIGHT) for name, loss in losses.LOSSES.items()}
LOSSES["plain dice"] = losses.dice
# Sizes of a batch: even shares, uneven shares, and one where the second process has no window.
SIZES = (6, 5, 1)


class Samples(Dataset):
    """Seven windows of noise, 3 bands, 32 x 32, with 3 classes, of which the share that is labelled
    varies widely.
    """

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(7, 3, 32, 32, generator=generator, dtype=torch.float64)
        self.targets = torch.randint(0, 3, (7, 32, 32), generator=generator).byte()
        for number in range(7):
            self.targets[number, 4 * number :] = 255  # the first has no label at all

    def __len__(self):
        return 7

    def __getitem__(self, number):
        return number

    channels = 3

    @property
    def places_of_windows(self) -> list[int]:
        return [*range(len(self))]

    def collate(self, numbers):
        numbers = torch.tensor(numbers, dtype=torch.long)
        return self.images[numbers], self.targets[numbers], numbers


def network(again: bool = False) -> torch.nn.Module:
    """The same tiny network each time; `again`: with activation checkpointing."""
    torch.manual_seed(1)
    model = unet.build("unet", 3, 3, base=2).double()
    return recompute(model, unet.BLOCKS) if again else model


def step(loss: str, size: int, again: bool = False) -> dict:
    """Loss, all gradients and running statistics after one forward and backward pass on the last
    `size` windows.
    """
    samples, model = Samples(), network(again)
    images, targets, _ = samples.collate(range(7 - size, 7)[processes.rank() :: processes.world()])
    learner = processes.synchronise(model, CPU)
    value = LOSSES[loss](learner(images), targets)
    value.backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()} | dict(
        model.named_buffers()
    )
    return found | {"loss": value.detach()}


def epochs(accumulate: int) -> dict:
    """Train two epochs of seven windows in batches of three, whose last has one, and evaluate.

    The loop is that of train.py.
    """
    samples, model = Samples(), network()
    batches = Batches(range(7), 3, processes.rank(), processes.world())
    loader = DataLoader(samples, batch_sampler=batches, collate_fn=samples.collate)
    learner = processes.synchronise(model, CPU)
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
    means = []
    for _ in range(2):
        running = passes.RunningLoss(passes.start_of_epoch(), loader, CPU, Path())
        for batch, (images, targets, numbers) in enumerate(loader, start=1):
            loss = LOSSES["dice_focal"](learner(images), targets)
            (loss / accumulate).backward()
            running.add(batch, loss, numbers)
            if batch % accumulate == 0 or batch == len(loader):
                optimizer.step()
                optimizer.zero_grad()
                running.read()
        means.append(running.mean)
        schedule.step()
    options = LOSSES["dice_focal"], 3, CPU, torch.float32
    found = passes.evaluate(learner, loader, *options)
    return {
        **model.state_dict(),
        "means": torch.tensor([*means, found.loss], dtype=torch.float64),
        "matrix": found.confusion.matrix,
        "matrices": found.metrics["windows"],
        "temperature": torch.tensor(found.metrics["temperature"]),
        "windows": running.position["windows"],
    }


def total_of_squares() -> float:
    """The gradient that reaches this process's x, 1 in the first and 2 in the second, of (sum of
    x)^2.
    """
    x = torch.tensor(processes.rank() + 1.0, requires_grad=True)
    (processes.total(x) ** 2).backward()
    return x.grad.item()


def compute(folder: Path) -> dict:
    """Compute all results that the tests below compare, by name."""
    with processes.first_alone():
        found = (folder / "made").exists()
        time.sleep(0.2 * (not found))
        (folder / "made").touch()
    torch.manual_seed(processes.rank())
    states, drawn = processes.random_states(CPU), torch.rand(3)
    processes.set_random_states(states, CPU)
    results = {
        "found": processes.gather(found),
        "largest": processes.largest(5 * processes.rank(), CPU),
        "gradient of total": total_of_squares(),
        "continues": torch.equal(torch.rand(3), drawn),
        "drawn": processes.gather(drawn.tolist()),
        "recomputed": step("cross_entropy", 5, again=True),
    }
    results |= {f"{loss} {size}": step(loss, size) for loss in LOSSES for size in SIZES}
    return results | {f"epochs {accumulate}": epochs(accumulate) for accumulate in (1, 2)}


def compute_on_gpu(device: torch.device) -> dict:
    """Compute what the tests of a GPU compare: a step with a frozen encoder and one without, and
    batches where the second process has no window, in float64 and in 16 bits.
    """
    results = {"largest": processes.largest(5 * processes.rank(), device)}
    results["states"] = len(processes.random_states(device)["cuda"])
    for frozen, size, precision in [
        (False, 5, torch.float32),
        (True, 5, torch.float32),
        (False, 1, torch.float32),
        (False, 1, torch.bfloat16),
    ]:
        torch.manual_seed(1)
        model = unet.build("unet", 3, 3, base=2)
        model = (model if precision.itemsize == 2 else model.double()).to(device)
        samples = Samples()
        share = range(7 - size, 7)[processes.rank() :: processes.world()]
        images, targets, _ = samples.collate(share)
        images = images.to(next(model.parameters()))
        if frozen:
            layers.freeze_encoder(model)
        learner = processes.synchronise(model, device).train()
        if frozen:
            layers.freeze_encoder(model)
        with autocast(device, precision):
            loss = losses.dice_cross_entropy(learner(images), targets.to(device))
        loss.backward()
        found = {name: p.grad.cpu() for name, p in model.named_parameters() if p.requires_grad}
        found |= {name: buffer.cpu() for name, buffer in model.named_buffers()}
        found["loss"] = loss.detach().cpu()
        results[f"{'frozen ' * frozen}{size} {precision}"] = found
    return results


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> dict:
    return compute(tmp_path_factory.mktemp("one"))


def end_with_the_tests() -> None:
    """End this process when its standard input ends.

    The input is a pipe from the process of the tests, which torchrun hands on. The system closes it
    even where that process is killed: torchrun's processes are in sessions of their own, so no
    signal to the tests or to torchrun reaches them for certain.
    """

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SimpleNamespace:
    """Run two processes on this file.

    Returns what each has found, how the run ended, and the seconds from the second one's failure to
    the end.
    """
    return of_two(tmp_path_factory.mktemp("two"), "cpu")


def of_two(folder: Path, device: str) -> SimpleNamespace:
    """Run two processes on this file, for the fixture `run` and on a GPU."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    read, write = os.pipe()
    try:
        ended = subprocess.run(
            [*torchrun, "--nproc-per-node", "2", __file__, folder, device],
            stdin=read,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        os.close(write)
        os.close(read)
    assert (folder / "1.pt").exists(), ended.stderr
    found = [torch.load(folder / f"{rank}.pt") for rank in range(2)]
    after = time.time() - (folder / "1.pt").stat().st_mtime
    return SimpleNamespace(ended=ended, found=found, after=after)


@pytest.fixture(scope="module")
def two(run) -> list[dict]:
    return run.found


def assert_equal(found: dict, expected: dict, tolerance: float = 1e-10) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


# By hand.


def test_what_reaches_each_x_from_two_processes_is_twice_the_slope(one, two):
    """(1 + 2)^2 has the slope 6 in each x; both processes add it. One process has 2 x = 2."""
    assert [found["gradient of total"] for found in two] == [12, 12]
    assert one["gradient of total"] == 2


def test_the_first_process_makes_what_the_others_find(two):
    assert two[0]["found"] == two[1]["found"] == [False, True]


def test_the_largest_number_is_known_to_all(one, two):
    assert [found["largest"] for found in two] == [5, 5] and one["largest"] == 0


def test_random_states_are_those_of_each_process_and_go_on(one, two):
    assert one["continues"] and all(found["continues"] for found in two)
    assert (
        two[0]["drawn"] == two[1]["drawn"]
        and two[0]["drawn"][0] == one["drawn"][0] != two[0]["drawn"][1]
    )


def test_states_of_another_number_of_processes_are_left_alone():
    before = torch.get_rng_state()
    processes.set_random_states({"torch": [torch.zeros_like(before)] * 2}, CPU)
    assert torch.equal(torch.get_rng_state(), before)


# What one process with the whole batch finds.


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_gradients_and_running_statistics_are_those_of_one_process(one, two, loss, size):
    expected = one[f"{loss} {size}"]
    assert expected["loss"] > 0 and expected["inc.double_conv.0.weight"].abs().max() > 1e-4
    for found in two:
        assert_equal(found[f"{loss} {size}"], expected)


def test_recomputed_activations_change_nothing_in_two_processes(one, two):
    assert_equal(one["recomputed"], one["cross_entropy 5"], 0)
    for found in two:
        assert_equal(found["recomputed"], one["cross_entropy 5"])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_epochs_leave_the_weights_and_the_mean_losses_of_one_process(one, two, accumulate):
    for found in two:
        assert_equal(found[f"epochs {accumulate}"], one[f"epochs {accumulate}"], 1e-7)


def test_each_validation_pixel_is_counted_once(one, two):
    """Seven windows in batches of three, shared by two: the labelled ones are rows 0 to 3 of window
    1, and so on.
    """
    for found in [one, *two]:
        matrix = found["epochs 1"]["matrix"]
        assert matrix.sum() == 32 * 4 * (1 + 2 + 3 + 4 + 5 + 6) and matrix.equal(
            one["epochs 1"]["matrix"]
        )
        assert found["epochs 1"]["windows"] == 7


def test_where_there_is_one_process_nothing_is_done():
    x, model = torch.ones(2), network()
    assert processes.total(x) is x and processes.synchronise(model, CPU) is model
    processes.start(CPU)
    assert (processes.rank(), processes.world(), torch.distributed.is_initialized()) == (
        0,
        1,
        False,
    )
    processes.stop()


# On GPUs.


@pytest.mark.parametrize(
    ("gpus", "processes_here", "backend"), [(0, 2, "gloo"), (2, 2, "nccl"), (1, 2, "gloo")]
)
def test_processes_that_share_a_gpu_use_gloo(monkeypatch, gpus, processes_here, backend):
    started = []
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes_here))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(dist, "init_process_group", lambda name, **rest: started.append(name))
    processes.start(GPU if gpus else CPU)
    assert started == [backend]


def test_on_gpus_the_share_without_windows_is_normalised_in_the_type_of_the_others(monkeypatch):
    """torch's SyncBatchNorm does not run on a CPU, so its forward pass is replaced."""
    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", lambda model, **rest: model)
    types = []

    def forward(self, x):
        types.append(x.dtype)
        return x

    monkeypatch.setattr(nn.SyncBatchNorm, "forward", forward)
    model = processes.synchronise(nn.Sequential(nn.BatchNorm2d(3)), GPU)
    for windows in (2, 0):
        assert model(torch.ones(windows, 3, 4, 4).bfloat16()).dtype == torch.bfloat16
    assert types == [torch.bfloat16, torch.float32]


@needs_gpu
def test_two_processes_on_a_gpu_find_what_one_finds(tmp_path):
    expected, two = compute_on_gpu(GPU), of_two(tmp_path, "cuda").found
    assert [found.pop("largest") for found in two] == [5, 5] and expected.pop("largest") == 0
    assert [found.pop("states") for found in two] == [2, 2] and expected.pop("states") == 1
    for name, values in expected.items():
        for found in two:
            assert_equal(found[name], values, 0.05 if "bfloat16" in name else 1e-6)
    frozen = expected[f"frozen 5 {torch.float32}"]
    assert (
        "inc.double_conv.0.weight" not in frozen and frozen["up1.conv.double_conv.0.weight"].any()
    )
    assert frozen["inc.double_conv.1.num_batches_tracked"] == 0


@needs_gpu
def test_nccl_on_one_gpu_changes_nothing(monkeypatch):
    expected = compute_on_gpu(GPU)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def as_of_two(model: nn.Module, device: torch.device) -> nn.Module:
        """Wrap the network, which `synchronise` leaves alone where there is one process."""
        with monkeypatch.context() as patched:
            patched.setattr(processes, "world", lambda: 2)
            return synchronise(model, device)

    synchronise = processes.synchronise
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": 1}
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, **address}.items():
        monkeypatch.setenv(name, str(value))
    processes.start(GPU)
    try:
        assert dist.get_backend() == "nccl"
        x = torch.ones(3, device=GPU, requires_grad=True)
        (processes._Total.apply(x) ** 2).sum().backward()
        assert x.grad.tolist() == [2, 2, 2] and processes.gather("this") == ["this"]
        with processes.first_alone():
            dist.barrier()
        monkeypatch.setattr(processes, "synchronise", as_of_two)
        found = compute_on_gpu(GPU)
    finally:
        processes.stop()
    for name in expected.keys() - {"largest", "states"}:
        assert_equal(found[name], expected[name], 0.05 if "bfloat16" in name else 1e-6)


# What goes wrong.


def test_torchrun_does_not_read_our_options(capsys):
    """In some versions of Python, torchrun takes abbreviations of its options after the script."""
    with pytest.raises(SystemExit):
        train.parse(["--help"])
    ours = re.findall("^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    assert "--output" in ours and "--images" in ours
    for name in ours:
        args = parse_args(["--nproc-per-node", "2", "train.py", name, "1"])
        assert args.training_script == "train.py" and args.training_script_args == [name, "1"]


def test_a_process_that_fails_ends_the_run_with_its_error(run):
    """The first process waits for a sum with the second one, which has failed."""
    assert (
        run.ended.returncode != 0 and "RuntimeError: the second has had enough" in run.ended.stderr
    )
    assert "the sum is there" not in run.ended.stdout
    assert run.after < 60  # torch alone would wait for hours


def test_a_lost_connection_is_one_line_and_other_errors_stay():
    for lost in (RuntimeError("[gloo/transport/tcp/pair.cc:5] reset"), dist.DistBackendError("x")):
        with pytest.raises(InputError, match="^another process of this run has stopped"):
            with processes.connected():
                raise lost
    with pytest.raises(RuntimeError, match="a bug"), processes.connected():
        raise RuntimeError("a bug")


if __name__ == "__main__":
    gc.disable()  # torch imports a thousand modules below
    end_with_the_tests()
    device = pick_device(sys.argv[2])
    processes.start(device)
    found = compute(Path(sys.argv[1])) if device == CPU else compute_on_gpu(device)
    torch.save(found, Path(sys.argv[1]) / f"{processes.rank()}.pt")
    if processes.rank() == 1 and device == CPU:
        raise RuntimeError("the second has had enough")
