"""Full disks for the tests: a limit of file sizes, and a small disk where root may mount one."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a disk of `size` bytes at a folder, or skip the test."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        refused = os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode
    except FileNotFoundError:
        refused = True
    if refused:
        pytest.skip("only root may mount a small disk, and only on Linux")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
