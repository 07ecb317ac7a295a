"""Where the network runs, and what it will need: unet/training/device.py."""

import math
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import unet
from unet.training import device
from unet.training.device import (
    DeviceError,
    autocast,
    check_last_batch,
    check_memory,
    free_bytes,
    keep_memory,
    own_gpu,
    peak_bytes,
    pick_device,
    pick_precision,
    training_bytes,
)

CPU = torch.device("cpu")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as Linux and glibc count")


def test_a_device_that_is_not_there_is_an_error_with_its_name():
    for name in ("nonsense", "meta"):  # meta keeps shapes alone
        with pytest.raises(DeviceError, match=f"--device {name}"):
            pick_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--device cuda"):
            pick_device("cuda")
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize(
    ("rank", "there", "expected"), [(None, 0, 0), (None, 2, 0), (1, 2, 1), (3, 2, 1)]
)
def test_each_process_of_torchrun_has_a_gpu_of_its_own_while_there_are_enough(
    monkeypatch, rank, there, expected
):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", str(rank))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    assert own_gpu() == f"cuda:{expected}"


def test_precision_is_float32_on_a_cpu_unless_asked():
    assert pick_precision("auto", CPU) is torch.float32
    assert pick_precision("bfloat16", CPU) is torch.bfloat16


@pytest.mark.parametrize(("able", "expected"), [
    ({}, torch.float32),
    ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, torch.float32),
    ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
    ({"amx_bf16": True}, torch.bfloat16),
])  # fmt: skip
def test_training_is_in_bfloat16_on_a_cpu_that_multiplies_in_it_unless_asked(
    monkeypatch, able, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert pick_precision("auto", CPU, training=True) is expected
    assert pick_precision("auto", CPU) is torch.float32
    assert pick_precision("auto", torch.device("mps"), training=True) is torch.float32
    assert pick_precision("float16", CPU, training=True) is torch.float16


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the names are of x86")
def test_torch_knows_the_names_of_an_x86_processors_capabilities():
    """A name that torch does not know would be float32 for ever, unnoticed."""
    assert {"avx512_bf16", "amx_bf16"} & set(torch.cpu.get_capabilities())


def test_training_has_a_precision_on_the_processor_at_hand():
    assert pick_precision("auto", CPU, training=True) in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("has_bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float16)]
)
def test_on_a_gpu_auto_is_the_half_type_it_has(monkeypatch, has_bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat16)
    for training in (False, True):
        assert pick_precision("auto", torch.device("cuda"), training) is expected


@linux
def test_peak_memory_is_the_high_water_mark_of_the_process():
    lines = Path("/proc/self/status").read_text().splitlines()
    mark = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    assert peak_bytes(CPU) == pytest.approx(mark, rel=0.02)


def test_peak_memory_is_counted_in_bytes_on_a_mac_and_unknown_on_windows(monkeypatch):
    peak = peak_bytes(CPU)
    monkeypatch.setattr(device.sys, "platform", "darwin")
    assert peak_bytes(CPU) == pytest.approx(
        peak / 1024, rel=0.1
    )  # macOS counts in bytes, Linux in kilobytes
    monkeypatch.setattr(device, "resource", None)
    assert math.isnan(peak_bytes(CPU))


@linux
def test_memory_that_is_freed_is_kept_for_the_next_batch():
    """Pages of 4096 bytes that the system maps anew for five tensors of 40 MB: 48,828 in glibc's
    own way, else none.
    """
    code = """if True:
        import resource, torch
        from unet.training.device import keep_memory

        def faults(times):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(times):
                torch.ones(10_000_000)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        faults(5)
        given_back = faults(5)
        keep_memory()
        faults(20)  # until there is a place for each
        print(given_back, faults(5))
    """
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    given_back, kept = map(int, ended.stdout.split())
    assert kept < given_back / 10


def test_another_c_library_is_left_as_it_is(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(device.ctypes, "CDLL", missing)
    assert keep_memory() is None


def test_autocast_is_on_for_half_types_alone():
    layer, x = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)
    with autocast(CPU, torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
    with autocast(CPU, torch.float32):
        assert layer(x).dtype is torch.float32


def test_memory_of_two_convolutions_counted_by_hand(monkeypatch):
    """Kept for backward: the input (2 x 1 x 8 x 8) and the first layer's output (2 x 4 x 8 x 8), 4
    bytes each.
    """
    monkeypatch.setattr(device, "LIBRARIES", 0)

    def build():
        return nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.Conv2d(4, 3, 1, bias=False))

    kept = 4 * (2 * 1 * 64 + 2 * 4 * 64)
    weights = 4 * (4 + 12)
    passing = 3 * 4 * (2 * 4 * 64)  # gradients of the largest layer
    loss = 4 * 4 * (2 * 3 * 64)
    assert training_bytes(build, (2, 1, 8, 8)) == 4 * weights + kept + passing + loss


def test_memory_grows_with_batch_area_and_width_and_halves_with_the_type(monkeypatch):
    monkeypatch.setattr(device, "LIBRARIES", 0)

    def needed(batch, size, base, itemsize=4):
        return training_bytes(
            lambda: unet.build("unet", 4, 3, base=base), (batch, 4, size, size), itemsize
        )

    one = needed(8, 128, 16)
    assert needed(16, 128, 16) / one == pytest.approx(2, rel=0.1)  # the weights are the same
    assert needed(8, 256, 16) / one == pytest.approx(4, rel=0.1)
    assert needed(8, 128, 32) / one == pytest.approx(2, rel=0.15)
    assert 0.5 < needed(8, 128, 16, 2) / one < 0.6  # all but weights and loss


def test_a_batch_that_cannot_fit_is_refused_with_the_batch_that_does(monkeypatch):
    def build():
        return unet.build("unet", 4, 3, base=16)

    check_memory(build, 2, 4, 64, CPU, torch.float32)
    with pytest.raises(
        DeviceError, match=r"--batch 1000000: .* needs about .* GB are free on cpu; try --batch \d+"
    ):
        check_memory(build, 1_000_000, 4, 256, CPU, torch.float32)
    monkeypatch.setattr(device, "free_bytes", lambda _: 1000)
    with pytest.raises(DeviceError, match="smaller --size or --base"):
        check_memory(build, 2, 4, 64, CPU, torch.float32)


@pytest.mark.parametrize(("windows", "batch", "size", "enough"), [
    (4, 2, 31, True),  # two windows, of one pixel each at the deepest level
    (4, 2, 5, True),  # and so with smaller ones, which are padded to 16 x 16
    (3, 2, 31, False),  # the third window makes a batch of its own
    (3, 2, 32, True),  # which is enough where it has 2 x 2 pixels
    (4, 1, 31, False),
    (1, 6, 31, False),
])  # fmt: skip
def test_batch_normalisation_needs_two_pixels_at_the_bottom(windows, batch, size, enough):
    def build():
        return unet.build("unet", 1, 2, base=2)

    model = build().train()
    last = torch.zeros(windows % batch or batch, 1, size, size)
    if enough:
        check_last_batch(build, windows, batch, 1, size)
        model(last)  # and torch agrees
    else:
        with pytest.raises(
            DeviceError, match=f"--batch {batch}: .* batch normalisation; give another --batch"
        ):
            check_last_batch(build, windows, batch, 1, size)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model(last)


@pytest.mark.parametrize(("name", "windows", "batch", "size", "advice"), [
    ("unet", 3, 2, 31, "another --batch, or a --size of at least 32"),
    ("unet", 3, 2, 32, None),
    ("resnet50-unet", 3, 2, 32, "another --batch, or a --size of at least 64"),
    ("resnet50-unet", 3, 2, 33, None),  # padded to 64
    ("deeplabv3", 3, 2, 300, "another --batch"),  # one mean, however large the window
    ("deeplabv3", 4, 2, 8, None),
    ("segformer-b0", 1, 6, 1, None),  # 8 x 8 values, padded to 32 x 32
    ("segformer-unet", 7, 3, 32, None),
    ("segformer-resnet-unet", 7, 3, 32, "another --batch, or a --size of at least 64"),
])  # fmt: skip
def test_the_last_batch_must_suffice_for_the_network_at_hand(name, windows, batch, size, advice):
    def build():
        return unet.build(name, 2, 3)

    if advice is None:
        check_last_batch(build, windows, batch, 2, size)
    else:
        with pytest.raises(
            DeviceError, match=f"--batch {batch}: .* batch of 1, .*; give {advice}$"
        ):
            check_last_batch(build, windows, batch, 2, size)


def test_free_memory_of_this_machine_is_plausible():
    assert 1e8 < free_bytes(CPU) < 1e15


def test_a_container_has_what_its_limit_leaves_and_pages_of_read_files_are_free(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(device, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(device, "CONTAINER", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    assert free_bytes(CPU) == 8_000_000 * 1024  # no container
    (tmp_path / "memory.max").write_text("4000\n")
    (tmp_path / "memory.current").write_text("3900\n")
    (tmp_path / "memory.stat").write_text("anon 500\nactive_file 1000\ninactive_file 2000\n")
    assert free_bytes(CPU) == 4000 - 3900 + 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(CPU) == 8_000_000 * 1024
