"""The version of the program, which checkpoints and maps name.

Read beside it: tests/data/test_files.py.
"""

import functools
import subprocess
from pathlib import Path

VERSION = "2.0.0"


@functools.cache
def version() -> str:
    """Return the version: the output of `git describe` in a checkout, else VERSION.

    If no tag precedes the commit, the version is VERSION+commit.
    """
    folder = str(Path(__file__).parents[2])
    command = ["git", "-C", folder, "describe", "--tags", "--always", "--dirty"]
    try:
        # As Python does, git ignores SIGXFSZ here. Ended by it, git would leave its index.lock.
        described = subprocess.run(
            command, capture_output=True, text=True, timeout=5, restore_signals=False
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # git is not installed, or hangs
        described = ""
    if "." in described or not described:
        return described or VERSION
    return f"{VERSION}+{described}"
