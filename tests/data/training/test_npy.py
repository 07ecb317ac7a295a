"""Arrays in .npy files, and whether they are whole: data/training/npy.py."""

import io
import os

import numpy as np
import pytest

from data.training import npy

FORM = np.dtype(np.int16), (3, 5, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5, 2), (30000, 20000, 13)])
def test_the_header_is_that_of_numpy(dtype, shape):
    file = io.BytesIO(npy.header(np.dtype(dtype), shape))
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == (shape, False, np.dtype(dtype))
    assert not file.read()


def test_an_array_that_is_written_part_by_part_is_mapped(tmp_path):
    array = np.arange(30, dtype=np.int16).reshape(FORM[1])
    with open(tmp_path / "a.npy", "wb") as file:
        file.write(npy.header(*FORM))
        for part in array:
            file.write(part.data)
    assert npy.is_whole(tmp_path / "a.npy", *FORM)
    mapped = npy.MemoryMap(tmp_path / "a.npy", (2, 0, 1))
    assert (mapped[1, 2:] == array[2:, :, 1]).all() and (np.load(tmp_path / "a.npy") == array).all()


def test_a_file_of_another_size_type_or_shape_is_not_whole(tmp_path):
    path = tmp_path / "a.npy"
    assert not npy.is_whole(path, *FORM)
    np.save(path, np.zeros(FORM[1], FORM[0]))
    content = path.read_bytes()
    others = np.zeros((5, 3, 2), np.int16), np.zeros((3, 5, 2), np.uint16), np.zeros((15, 2), "<i2")
    for other in others:
        np.save(path, other)
        assert not npy.is_whole(path, *FORM)
    for damaged in (b"", content[:100], content[:-1], content + b"\0", b"\0" * len(content)):
        path.write_bytes(damaged)
        assert not npy.is_whole(path, *FORM)
    path.write_bytes(content)
    assert npy.is_whole(path, *FORM)


def test_a_folder_and_a_pipe_are_not_whole(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert not npy.is_whole(tmp_path / "folder", *FORM)
    assert not npy.is_whole(tmp_path / "pipe", *FORM)
