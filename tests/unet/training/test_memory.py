"""The check whether a training step fits into memory: unet/training/memory.py."""

import math
import sys
from pathlib import Path

import pytest
import torch
import warm
from torch import nn

import unet
from unet.training import memory
from unet.training.device import DeviceError
from unet.training.memory import (
    check_last_batch,
    check_memory,
    free_bytes,
    keep_memory,
    peak_bytes,
    training_bytes,
)

CPU = torch.device("cpu")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as Linux and glibc count")


@linux
def test_peak_memory_is_the_high_water_mark_of_the_process():
    lines = Path("/proc/self/status").read_text().splitlines()
    mark = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    assert peak_bytes(CPU) == pytest.approx(mark, rel=0.02)


def test_peak_memory_is_counted_in_bytes_on_a_mac_and_unknown_on_windows(monkeypatch):
    peak = peak_bytes(CPU)
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    # macOS counts in bytes, Linux in kilobytes.
    assert peak_bytes(CPU) == pytest.approx(peak / 1024, rel=0.1)
    monkeypatch.setattr(memory, "resource", None)
    assert math.isnan(peak_bytes(CPU))


@linux
def test_memory_that_is_freed_is_kept_for_the_next_batch():
    """Five tensors of 40 MB have 48,828 pages of 4096 bytes. By default glibc maps them again."""
    code = """if True:
        import resource, torch
        from unet.training.memory import keep_memory

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
    given_back, kept = map(int, warm.run(code).stdout.split())
    assert kept < given_back / 10


def test_another_c_library_is_left_as_it_is(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    assert keep_memory() is None


def test_memory_of_two_convolutions_counted_by_hand(monkeypatch):
    """Kept for backward: the input (2 x 1 x 8 x 8) and the first layer's output (2 x 4 x 8 x 8), 4
    bytes each.
    """
    monkeypatch.setattr(memory, "LIBRARIES", 0)

    def build():
        return nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.Conv2d(4, 3, 1, bias=False))

    kept = 4 * (2 * 1 * 64 + 2 * 4 * 64)
    weights = 4 * (4 + 12)
    passing = 3 * 4 * (2 * 4 * 64)  # gradients of the largest layer
    loss = 4 * 4 * (2 * 3 * 64)
    assert training_bytes(build, (2, 1, 8, 8)) == 4 * weights + kept + passing + loss


def test_memory_grows_with_batch_area_and_width_and_halves_with_the_type(monkeypatch):
    monkeypatch.setattr(memory, "LIBRARIES", 0)

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
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1000)
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
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    assert free_bytes(CPU) == 8_000_000 * 1024  # no container
    (tmp_path / "memory.max").write_text("4000\n")
    (tmp_path / "memory.current").write_text("3900\n")
    (tmp_path / "memory.stat").write_text("anon 500\nactive_file 1000\ninactive_file 2000\n")
    assert free_bytes(CPU) == 4000 - 3900 + 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(CPU) == 8_000_000 * 1024
