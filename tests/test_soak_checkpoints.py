"""A short run of tests/bench/soak_checkpoints.py, and of what it would find."""

import copy
import math
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).with_name("bench")))

import soak_checkpoints  # noqa: E402

from data.files import InputError  # noqa: E402


def test_strange_checkpoints_are_read_or_refused_in_one_line(tmp_path):
    counts, findings = soak_checkpoints.trial(10, seed=5, keep=tmp_path, exported=False)
    assert findings == []
    kinds = Counter(kind for (_, kind), number in counts.items() for _ in range(number))
    assert sum(kinds.values()) == 30 and min(kinds["done"], kinds["refused"]) > 4


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> soak_checkpoints.Programs:
    return soak_checkpoints.Programs(tmp_path_factory.mktemp("soak"))


def test_an_unchanged_checkpoint_is_read_by_all_programs(programs):
    assert programs.try_all(programs.folder / "run/last.pt") == dict.fromkeys(
        ["predict.py", "--resume", "--weights", "unet.export"], "done"
    )


# Values that were found by this trial.
@pytest.mark.parametrize(("place", "value", "refused"), [
    (("indices", 0), "XY", ["predict.py", "--resume"]),
    (("indices", 0), "NDVI@3", ["predict.py", "--resume"]),
    (("indices", 0), "\x1b[2J", ["predict.py", "--resume"]),
    (("settings", "offset"), torch.tensor([math.nan, 1]), ["predict.py", "--resume", "--weights"]),
    (("settings", "offset"), "x", ["predict.py", "--resume", "--weights"]),
    (("settings", "epochs"), "2", ["predict.py", "--resume", "--weights"]),
    (("settings",), {}, ["--resume"]),
    (("settings", "size"), torch.ones(1), ["predict.py", "--resume", "--weights"]),
    (("recipe", "bands"), torch.ones(1), ["predict.py", "--resume", "--weights"]),
    (("nodata",), 2**70, ["predict.py", "--resume", "--weights"]),
    (("history", 0), {"epoch": 1}, ["--resume"]),
    (("history", 0, "epoch"), 2, ["predict.py", "--resume", "--weights"]),
    (("history", 0, "seconds"), 2**2000, ["predict.py", "--resume", "--weights"]),
    (("settings", "bands"), torch.zeros(0), ["predict.py", "--resume", "--weights"]),
    (("position", "batch"), 2**53, ["--resume"]),
    (("position", "batch"), 1, ["--resume"]),
    (("position", "windows"), 3, ["--resume"]),
    (("position", "loss"), math.inf, ["predict.py", "--resume", "--weights"]),
])  # fmt: skip
def test_a_value_that_no_run_has_written_is_refused_where_it_is_used(
    programs, tmp_path, place, value, refused
):
    state = copy.deepcopy(programs.states["last.pt"])
    inner = state
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    torch.save(state, tmp_path / "a.pt")
    outcomes = programs.try_all(tmp_path / "a.pt", exported=False)
    assert outcomes == {name: "refused" if name in refused else "done" for name in outcomes}


def raises(error: BaseException):
    raise error


@pytest.mark.parametrize(("program", "expected"), [
    (lambda: print("\ud800"), "done"),
    (lambda: raises(InputError("a.pt: bad; mend it")), "refused"),
    (lambda: (print("x.py: error: \x1b[2J", file=sys.stderr), sys.exit(2)), "not one line"),
    (lambda: sys.exit(2), "not one line"),
    (lambda: raises(KeyError("epochs")), "KeyError: 'epochs'"),
    (lambda: time.sleep(9), "more than 0.2 s"),
])  # fmt: skip
def test_a_traceback_and_a_hang_are_findings(program, expected):
    assert expected in soak_checkpoints.outcome(program, 0.2)
