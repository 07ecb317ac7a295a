"""A short run of tests/bench/soak_rasters.py, and of what it would find."""

import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
sys.path.append(str(Path(__file__).with_name("bench")))

import soak_rasters  # noqa: E402
from mutants import mutate, originals  # noqa: E402

from data.files import InputError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


def test_damaged_files_are_read_or_refused_by_name(tmp_path):
    counts, findings = soak_rasters.trial(300, seed=5, processes=2, keep=tmp_path)
    assert findings == []
    kinds = Counter(kind for (_, kind), number in counts.items() for _ in range(number))
    assert sum(kinds.values()) == 300 and min(kinds["read"], kinds["refused"]) > 50


def test_the_originals_are_read_and_a_seed_gives_the_same_mutations(tmp_path):
    files = originals(tmp_path)
    assert len(files) > 20
    assert {soak_rasters.outcome(tmp_path / name) for name in files} == {"read"}
    for name, content in files.items():
        one, other = (mutate(content, name, np.random.default_rng(3)) for _ in range(2))
        assert one == other
    changed = [soak_rasters.changed(files, 0, number) for number in range(100)]
    assert sum(content == files[name] for name, content in changed) < 10


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError("{path}: bad; mend it"), "refused"),
        (OSError(5, "Input/output error", "{path}"), "refused"),
        (InputError("bad"), "the file is not named"),
        (OSError(5, "Input/output error"), "the file is not named"),
        (KeyError("bad"), "KeyError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_an_error_without_the_name_and_a_traceback_are_findings(
    tmp_path, monkeypatch, error, expected
):
    path = tmp_path / "odd.tif"
    error.args = tuple(str(a).format(path=path) if isinstance(a, str) else a for a in error.args)
    if isinstance(error, OSError) and error.filename:
        error.filename = str(path)

    def fails(*arguments):
        raise error

    monkeypatch.setattr("data.raster.Raster", fails)
    assert expected in soak_rasters.outcome(path)


def kill_itself(connection, *_):
    connection.recv()
    os.kill(os.getpid(), 11)


def hang(connection, *_):
    connection.recv()
    time.sleep(60)


@pytest.mark.parametrize(
    ("work", "expected"),
    [(kill_itself, "the process ended with -11"), (hang, "more than 0.5 s")],
)
def test_a_crash_and_a_hang_are_findings(monkeypatch, work, expected):
    monkeypatch.setattr(soak_rasters, "work", work)
    monkeypatch.setattr(soak_rasters, "SECONDS", 0.5)
    monkeypatch.setattr(soak_rasters, "STARTING", 20 if work is kill_itself else 0)
    worker = soak_rasters.Worker({}, 0, Path())
    try:
        assert worker(0) == expected
    finally:
        worker.stop()
