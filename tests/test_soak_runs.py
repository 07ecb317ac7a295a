"""A short run of tests/bench/soak_runs.py, and what its checks find."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("rasterio")
sys.path.append(str(Path(__file__).with_name("bench")))

import soak_runs  # noqa: E402
import started  # noqa: E402
from started import Started, changed, damaged, different, leftovers  # noqa: E402

FEW = {
    "kill reproject.py": 1,
    "stop reproject.py": 1,
    "full disk, reproject.py": 2,
    "two reproject.py": 1,
    "strange checkpoints": 2,
    "strange SAFE folders": 2,
}


def test_a_few_tries_of_the_trials_lose_nothing(tmp_path):
    counts, findings = soak_runs.soak(FEW, seed=0, processes=1, keep=tmp_path)
    assert findings == []
    assert {name: counts[name, "tries"] for name in FEW} == FEW
    assert f"| all | {sum(FEW.values())} | 0 | 0 | 0 |" in soak_runs.table(counts)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", []),
        ("raise SystemExit(2)", ["tracebacks"]),
        ("print('a.py: error: b'); raise SystemExit(2)", []),
        ("print('a.py: error: b'); raise SystemExit(3)", ["tracebacks"]),
        ("raise KeyError(1)", ["tracebacks"]),
        ("import os; os.kill(os.getpid(), 9)", ["tracebacks"]),
        ("import time; time.sleep(60)", ["tracebacks"]),
        ("bytes(2**34)", ["tracebacks"]),
        # The fork does not inherit the pages of libraries, so its peak is more than 2**30 by far.
        ("b'x' * (2**31 - 2**28)", ["tracebacks"]),
        ("import subprocess; subprocess.Popen(['sleep', '60'])", ["leftovers"]),
    ],
)
def test_a_traceback_a_crash_a_hang_and_an_orphan_are_found(tmp_path, monkeypatch, code, expected):
    monkeypatch.setattr(started, "CHILDREN", 0.2)
    monkeypatch.setattr(started, "MEMORY", 2**30)
    (tmp_path / "script.py").write_text(code)
    with Started(tmp_path, str(tmp_path / "script.py")) as process:
        found = process.problems(0, 2, seconds=1 if "time" in code else 60)
    assert [kind for kind, _ in found] == expected
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_signal_arrives_in_the_block_of_one_line_errors(tmp_path):
    (tmp_path / "script.py").write_text(
        "import os, signal, time\n"
        "from data import terminal\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "with terminal.one_line_errors('script.py'):\n"
        "    time.sleep(60)\n"
    )
    with Started(tmp_path, str(tmp_path / "script.py")) as process:
        assert process.problems(128 + signal.SIGINT) == []
    assert "script.py: stopped" in process.text()


@pytest.mark.parametrize("name", ["a.csv", "a.pt", "a.json", "a.xml", "a.html", "a.tif", "a.npy"])
def test_half_a_file_is_found_and_a_temporary_one_is_a_leftover(tmp_path, name):
    (tmp_path / name).write_text('{"a"')
    assert [kind for kind, _ in damaged(tmp_path)] == ["lost"]
    (tmp_path / name).rename(tmp_path / f".{name}.0123456789ab.tmp")
    assert damaged(tmp_path) == []
    assert [kind for kind, _ in leftovers(tmp_path)] == ["leftovers"]


def test_changed_files_and_other_weights_are_found(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"new")
    assert changed(tmp_path, {"a.txt": b"old"}, {"a.txt": b"new"}) == []
    assert [kind for kind, _ in changed(tmp_path, {"a.txt": b"old"}, {})] == ["lost"]
    for run, weight in (("one", 1.0), ("same", 1.0), ("other", 1.0 + 1e-7)):
        (tmp_path / run).mkdir()
        state = {"weights": {"w": torch.tensor([weight] * 2000)}, "history": [{"seconds": weight}]}
        for name in ("best.pt", "last.pt"):
            torch.save(state, tmp_path / run / name)
        (tmp_path / run / "log.csv").write_text("a,b\n1,2\n")
        (tmp_path / run / "report.html").write_text("</html>")
        (tmp_path / run / "train.log").touch()
    assert different(tmp_path / "same", tmp_path / "one") == []
    assert [kind for kind, _ in different(tmp_path / "other", tmp_path / "one")] == ["lost"] * 2
    (tmp_path / "same/report.html").unlink()
    assert [kind for kind, _ in different(tmp_path / "same", tmp_path / "one")] == ["lost"]
