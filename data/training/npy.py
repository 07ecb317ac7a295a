"""Arrays in .npy files: written part by part, checked by their size, and mapped for reading.

A file holds a header with the type and shape of the array, then its numbers. The parts are written,
and the file is mapped only when it is complete. A write to a full disk is an error that Python can
report. A write to a map of a full disk ends the process by a signal (SIGBUS).

Specification: numpy.lib.format. Read beside it: tests/data/training/test_npy.py.
"""

import functools
import io
import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.files import InputError, read_bytes


@dataclass(frozen=True)
class MemoryMap:
    """The array in a .npy file, with its axes in the order `axes`. Indexing reads a part of it.

    The file is opened for each reading, because every map that stays open takes an open file. A
    process may have about a thousand of them, too few for 700 images. Its header is read once,
    which takes longer than a small window. A pickle holds the path only.
    """

    path: Path
    axes: tuple[int, ...]

    def __getitem__(self, where) -> np.ndarray:
        with open(self.path, "rb") as file:
            dtype, offset, shape = _layout(self.path, os.fstat(file.fileno()).st_mtime_ns)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(shape, dtype, mapped, offset).transpose(self.axes)[where]


@functools.lru_cache(1 << 16)
def _layout(path: Path, changed: int) -> tuple[np.dtype, int, tuple[int, ...]]:
    """Return type, first byte and shape of the array in a file, which was changed at a time."""
    stored = np.load(path, mmap_mode="r")
    return stored.dtype, stored.offset, stored.shape


def header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """Return the header of an array whose last axis varies fastest."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    described = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()


def is_whole(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> bool:
    """Return whether a file has the header and the size of an array. Its numbers are not read."""
    expected = header(dtype, shape)
    size = len(expected) + math.prod(shape) * dtype.itemsize
    try:
        return path.stat().st_size == size and read_bytes(path, len(expected)) == expected
    except (OSError, InputError):  # it is missing, cannot be read, or is no file
        return False
