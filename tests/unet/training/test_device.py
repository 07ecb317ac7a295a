"""Device and precision: unet/training/device.py."""

import platform

import pytest
import torch
from gpu import GPU, needs_gpu
from torch import nn

from unet.training.device import DeviceError, autocast, own_gpu, pick_device, pick_precision

CPU = torch.device("cpu")


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
    """If torch changes a name, training would silently use float32."""
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


def test_autocast_is_on_for_half_types_alone():
    layer, x = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)
    with autocast(CPU, torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
    with autocast(CPU, torch.float32):
        assert layer(x).dtype is torch.float32


@needs_gpu
def test_a_gpu_is_the_device_that_auto_picks_and_it_computes_in_16_bits():
    layer, x = nn.Conv2d(1, 1, 1).to(GPU), torch.ones(1, 1, 2, 2, device=GPU)
    assert pick_device("auto").type == "cuda"
    for name in ("auto", "bfloat16", "float16"):
        precision = pick_precision(name, GPU)
        assert precision.itemsize == 2
        with autocast(GPU, precision):
            assert layer(x).dtype is precision and layer(x).softmax(1).dtype is torch.float32
    with autocast(GPU, torch.float32):
        assert layer(x).dtype is torch.float32
