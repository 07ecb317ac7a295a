"""Files of weights: unet/networks/weight_files.py. Which files are read, and which are errors."""

import struct
from argparse import Namespace

import originals
import pytest
import torch

from unet.checkpoint import CheckpointError
from unet.networks.weight_files import read_safetensors, read_weights


class Stranger:
    def __reduce__(self):
        return print, ("code from a stranger has run",)


@pytest.mark.parametrize(
    "content",
    [
        Stranger(),
        {"inc": Stranger()},
        {"inc": torch.zeros(2), "args": Namespace(lr=Stranger())},
        [1, 2],
        {"epoch": 3},
        torch.zeros(2),
        {1: torch.zeros(2)},
    ],
)
def test_a_file_without_weights_is_an_error_and_runs_no_code(content, tmp_path, capsys):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="a.pth: (damaged|holds no weights by name)"):
        read_weights(tmp_path / "a.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("zipped", [True, False])
def test_options_beside_the_weights_are_read_and_left(zipped, tmp_path):
    content = {"inc": torch.ones(2), "args": Namespace(lr=0.03, mode=["s2c"])}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    found = read_weights(tmp_path / "a.pth")
    assert [*found] == ["inc"] and found["inc"].equal(torch.ones(2))


def test_a_missing_or_damaged_file_is_an_error(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"<!DOCTYPE html> not found")
    with pytest.raises(CheckpointError, match="a.pth: damaged"):
        read_weights(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="b.pth: no such file"):
        read_weights(tmp_path / "b.pth")


def test_safetensors_come_back_with_their_types_and_shapes(tmp_path):
    tensors = {
        "a": torch.randn(2, 3),
        "odd": torch.tensor(
            [1, 2, 3], dtype=torch.float16
        ),  # 6 bytes, so that the next tensor does not start at a multiple of 4
        "b": torch.randn(3, 1, 2),
        "c": torch.randn(4).bfloat16(),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }
    found = read_safetensors(originals.write_safetensors(tmp_path / "a.safetensors", tensors))
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert (
            found[name].equal(tensor)
            and found[name].dtype == tensor.dtype
            and found[name].shape == tensor.shape
        )


@pytest.mark.parametrize(
    "more, message",
    [
        ({"data_offsets": [0, 4000]}, "outside"),
        ({"data_offsets": [-24, 0]}, "outside"),
        ({"data_offsets": [24, 0]}, "outside"),
        ({"data_offsets": [0, 20]}, "20 bytes for the shape"),
        ({"data_offsets": [0]}, "values to unpack"),
        ({"shape": [2, -3]}, "outside"),
        ({"shape": [10**6, 10**6]}, "24 bytes for the shape"),
        ({"shape": "23"}, ""),
        ({"dtype": "F4"}, "F4"),
    ],
)
def test_a_header_that_does_not_fit_its_file_is_an_error(more, message, tmp_path):
    path = originals.write_safetensors(tmp_path / "a.safetensors", {"a": torch.randn(2, 3)}, **more)
    with pytest.raises(
        CheckpointError, match=f"a.safetensors: no whole .safetensors file .*{message}"
    ):
        read_safetensors(path)


def test_safetensors_cut_anywhere_are_an_error(tmp_path):
    path = originals.write_safetensors(tmp_path / "a.safetensors", {"a": torch.randn(2, 3)})
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 7), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="no whole .safetensors file"):
            read_safetensors(path)
    for head in (
        b"\xff" * 8,
        struct.pack("<Q", 2**62),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{",
    ):
        path.write_bytes(head)
        with pytest.raises(CheckpointError, match="no whole .safetensors file"):
            read_safetensors(path)


def test_safetensors_equal_what_their_own_library_reads(tmp_path):
    library = originals.installed("safetensors.torch")
    tensors = {
        "a": torch.randn(5, 3),
        "b": torch.arange(7),
        "c": torch.randn(3, 3).half(),
        "d": torch.tensor([True]),
    }
    library.save_file(tensors, tmp_path / "a.safetensors")
    found = read_safetensors(tmp_path / "a.safetensors")
    assert set(found) == set(tensors) and all(found[name].equal(tensors[name]) for name in tensors)
