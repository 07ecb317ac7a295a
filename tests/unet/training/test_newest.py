"""The newest run: which one predict.py takes, and what it says about it."""

import os
import shutil
import time
from pathlib import Path

import finished
import pytest
import torch

from data.files import lock
from unet.checkpoint import CheckpointError
from unet.training import newest
from unet.training.newest import choose


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in an empty folder; the program is in another one, without runs."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(newest, "ROOT", tmp_path / "program")


def run(name: str, minutes: float = 1, dice: tuple[float, ...] = (0.5, 0.7, 0.6), **settings):
    """Write a run whose files are so many minutes old. Its settings have three epochs."""
    folder = finished.write(Path(name), dice, **settings)
    for path in folder.iterdir():
        os.utime(path, (time.time() - 60 * minutes,) * 2)
    return folder


def test_the_newest_finished_run_is_chosen_and_its_age_is_said():
    run("runs/b", minutes=185)
    run("runs/a", minutes=4321)
    chosen = choose(None)
    assert chosen.words == "runs/b/best.pt (newest finished run, 3 hours old)"
    assert chosen.path == Path("runs/b/best.pt") and chosen.remarks == []


def test_a_run_is_as_new_as_its_last_epoch_not_its_best_one():
    run("runs/long", minutes=90)
    run("runs/short", minutes=60)
    os.utime("runs/long/last.pt")
    assert choose(None).path == Path("runs/long/best.pt")


@pytest.mark.parametrize("patience, ended", [(99, False), (2, False), (1, True)])
def test_a_run_without_a_better_epoch_for_long_enough_has_finished(patience, ended):
    run("runs/a", epochs=9, patience=patience)  # its second epoch of three is the best
    assert ("finished run" in choose(None).words) is ended


def test_runs_that_are_trained_or_stopped_are_passed_over_with_a_remark():
    run("runs/done", minutes=60)
    run("runs/stopped", minutes=30, epochs=4)
    chosen = choose(None)
    assert chosen.path == Path("runs/done/best.pt") and "finished run, 1 hour" in chosen.words
    assert "runs/stopped: newer, but not finished" in chosen.remarks[0]
    assert "it was stopped after 3 of 4 epochs; to go on: " in chosen.remarks[0]
    assert chosen.remarks[0].endswith("; to use it, add --checkpoint runs/stopped")
    run("runs/now", minutes=0, epochs=7)
    with lock(Path("runs/now")):
        chosen = choose(None)
    assert chosen.path == Path("runs/done/best.pt") and len(chosen.remarks) == 1
    assert "runs/now and 1 more: newer" in chosen.remarks[0]
    assert "it is being trained, 3 of 7 epochs are done" in chosen.remarks[0]


def test_a_stopped_run_that_is_older_needs_no_remark():
    run("runs/stopped", minutes=60, epochs=4)
    run("runs/done", minutes=30)
    assert choose(None).remarks == []


def test_without_a_finished_run_the_newest_is_used_with_a_remark():
    run("runs/a", minutes=60, epochs=4)
    run("runs/my b", minutes=2, epochs=8)
    chosen = choose(None)
    assert chosen.words == "runs/my b/best.pt (newest run, 2 minutes old)"
    expected = "runs/my b: has not finished, and no other run has: it was stopped after 3 of 8 "
    assert chosen.remarks[0].startswith(expected)
    assert chosen.remarks[0].endswith("train.py --resume 'runs/my b'")


def test_a_finished_run_that_is_trained_longer_counts_until_its_next_epoch():
    run("runs/a")
    with lock(Path("runs/a")):
        assert "finished" in choose(None).words


def test_a_copied_best_pt_alone_counts_as_finished_and_the_later_name_wins_a_tie():
    stamp = time.time() - 300
    for name in "ab":
        Path("runs", name).mkdir(parents=True)
        path = shutil.copy(run(f"elsewhere/{name}") / "best.pt", Path("runs", name))
        os.utime(path, (stamp, stamp))
    assert choose(None).words == "runs/b/best.pt (newest finished run, 5 minutes old)"


def test_a_damaged_last_pt_is_no_sign_of_the_end():
    run("runs/done", minutes=60)
    cut = run("runs/cut") / "last.pt"
    cut.write_bytes(cut.read_bytes()[:-100])
    chosen = choose(None)
    assert chosen.path == Path("runs/done/best.pt")
    assert "runs/cut: newer" in chosen.remarks[0] and "last.pt cannot be read" in chosen.remarks[0]
    torch.save([1, 2], cut)
    assert "last.pt cannot be read" in choose(None).remarks[0]


def test_runs_beside_the_program_are_found_where_there_are_none_here(tmp_path):
    run(str(tmp_path / "program/runs/a"))
    assert choose(None).path == tmp_path / "program/runs/a/best.pt"
    run("runs/stopped", epochs=4)
    assert choose(None).path == Path("runs/stopped/best.pt")


def test_where_there_is_no_run_the_error_names_both_places(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError) as caught:
        choose(None)
    places = f"runs/*/best.pt and {tmp_path}/program/runs/*/best.pt"
    assert str(caught.value).startswith(f"{places}: no checkpoint; train a network (")
    assert str(caught.value).endswith("train.py), or name one by --checkpoint")
    (tmp_path / "program").mkdir()
    monkeypatch.chdir(tmp_path / "program")
    with pytest.raises(CheckpointError, match=r"^runs/\*/best.pt: no checkpoint"):
        choose(None)


def test_a_run_in_its_first_epoch_is_named_in_the_error():
    Path("runs/a").mkdir(parents=True)
    Path("runs/cache").mkdir()
    with lock(Path("runs/a")), pytest.raises(CheckpointError, match="wait for the first epoch of"):
        choose(None)
    with pytest.raises(CheckpointError, match="no checkpoint; train a network"):
        choose(None)


def test_what_the_user_names_is_taken_without_a_remark():
    run("runs/stopped", epochs=9)
    for path in "runs/stopped", "runs/stopped/best.pt":
        assert choose(Path(path)) == (Path("runs/stopped/best.pt"), "runs/stopped/best.pt", [])
