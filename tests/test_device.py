"""Where the network runs, and what it will need: unet/device.py."""

import pytest
import torch
from torch import nn

import unet
from unet import device
from unet.device import DeviceError, autocast, check_memory, free_bytes, pick_device, pick_precision, training_bytes

CPU = torch.device("cpu")


def test_a_device_that_is_not_there_is_an_error_with_its_name():
    with pytest.raises(DeviceError, match="--device nonsense"):
        pick_device("nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--device cuda"):
            pick_device("cuda")
    assert pick_device("cpu") == CPU


def test_precision_is_float32_on_a_cpu_unless_asked():
    assert pick_precision("auto", CPU) is torch.float32
    assert pick_precision("bfloat16", CPU) is torch.bfloat16


def test_autocast_is_on_for_half_types_alone():
    layer, x = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)
    with autocast(CPU, torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
    with autocast(CPU, torch.float32):
        assert layer(x).dtype is torch.float32


def test_memory_of_two_convolutions_counted_by_hand(monkeypatch):
    """Kept for backward: the input (2 x 1 x 8 x 8) and the first layer's output (2 x 4 x 8 x 8), 4 bytes each."""
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
        return training_bytes(lambda: unet.build("unet", 4, 3, base=base), (batch, 4, size, size), itemsize)

    one = needed(8, 128, 16)
    assert needed(16, 128, 16) / one == pytest.approx(2, rel=0.1)  # the weights are the same
    assert needed(8, 256, 16) / one == pytest.approx(4, rel=0.1)
    assert needed(8, 128, 32) / one == pytest.approx(2, rel=0.15)
    assert 0.5 < needed(8, 128, 16, 2) / one < 0.6  # all but weights and loss


def test_a_batch_that_cannot_fit_is_refused_with_the_batch_that_does(monkeypatch):
    def build():
        return unet.build("unet", 4, 3, base=16)

    check_memory(build, 2, 4, 64, CPU, torch.float32)
    with pytest.raises(DeviceError, match=r"--batch 1000000: .* needs about .* GB are free on cpu; try --batch \d+"):
        check_memory(build, 1_000_000, 4, 256, CPU, torch.float32)
    monkeypatch.setattr(device, "free_bytes", lambda _: 1000)
    with pytest.raises(DeviceError, match="smaller --size or --base"):
        check_memory(build, 2, 4, 64, CPU, torch.float32)


def test_batch_normalisation_needs_two_pixels_at_the_bottom():
    def build():
        return unet.build("unet", 1, 2, base=2)

    with pytest.raises(DeviceError, match="batch normalisation"):
        check_memory(build, 1, 1, 31, CPU, torch.float32)
    check_memory(build, 2, 1, 31, CPU, torch.float32)
    unet.build("unet", 1, 2, base=2).train()(torch.zeros(2, 1, 31, 31))  # and torch agrees


def test_free_memory_of_this_machine_is_plausible():
    assert 1e8 < free_bytes(CPU) < 1e15
