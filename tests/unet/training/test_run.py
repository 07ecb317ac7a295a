"""The files and the progress of a run: unet/training/run.py. See also tests/test_resume.py."""

import csv
import math

import pytest
import torch

from data.files import InputError
from unet import checkpoint
from unet.evaluation.scores import epoch_row
from unet.metrics import ConfusionMatrix
from unet.training.passes import start_of_epoch
from unet.training.run import Run

CONFUSION = ConfusionMatrix(2, [[6, 2], [1, 1]])
METRICS = {"confusion": CONFUSION.matrix}


def row(epoch: int, macro_dice: float) -> dict:
    return {"epoch": epoch, "macro_dice": macro_dice, "seconds": 1.0}


def test_epochs_are_counted_and_the_best_is_kept(tmp_path):
    run = Run(tmp_path)
    run.begin({}, {}, torch.device("cpu"))
    assert [run.end_epoch(row(n, dice), METRICS) for n, dice in ((1, 0.5), (2, 0.4))] == [
        True,
        False,
    ]
    assert (run.epoch, run.best, run.best_epoch, run.waiting_since) == (2, 0.5, 1, 1)
    assert run.position == start_of_epoch() and run.metrics["confusion"].sum() == 10
    run.save()
    with open(tmp_path / "log.csv", newline="") as file:
        assert [one["macro_dice"] for one in csv.DictReader(file)] == ["0.5", "0.4"]


def test_with_the_loss_as_monitor_the_lowest_loss_is_best_whatever_the_dice(tmp_path):
    run = Run(tmp_path, monitor="loss")
    losses = [math.nan, 0.5, 0.6, 0.4, 0.4]
    rows = [row(n, n / 10) | {"val_loss": loss} for n, loss in enumerate(losses, start=1)]
    found = [run.end_epoch(one, METRICS) for one in rows]
    assert found == [False, True, False, True, False]
    assert (run.best, run.best_epoch, run.waiting_since) == (0.4, 4, 4)
    assert run.has_ended(epochs=9, patience=1) and not run.has_ended(epochs=9, patience=2)


def test_a_run_that_goes_on_from_an_earlier_version_has_one_set_of_columns(tmp_path):
    run = Run(tmp_path)
    run.begin({}, {}, torch.device("cpu"))
    run.history = [{"epoch": 1, "macro_dice": 0.5, "iou_a": 0.25, "foreground_accuracy": 0.1}]
    run.end_epoch(row(2, 0.6) | {"iou_a": 0.5, "dice_a": 0.75}, METRICS)
    run.save()
    with open(tmp_path / "log.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["epoch", "macro_dice", "seconds", "iou_a", "dice_a"]
    assert first["iou_a"] == "0.25" and first["dice_a"] == "nan" and second["dice_a"] == "0.75"


def test_a_run_ends_with_its_epochs_or_its_patience(tmp_path):
    run = Run(tmp_path)
    assert not run.has_ended(epochs=1, patience=1)
    run.epoch, run.waiting_since = 3, 1
    assert run.has_ended(epochs=3, patience=9) and run.has_ended(epochs=9, patience=2)
    assert not run.has_ended(epochs=4, patience=3)


def test_lines_wait_until_the_run_begins_so_that_a_mistake_leaves_nothing(tmp_path):
    run = Run(tmp_path)
    run.log("one")
    assert not list(tmp_path.iterdir())
    run.begin({}, {}, torch.device("cpu"))
    run.log("two\x1b", "three")
    assert (tmp_path / "train.log").read_text() == "one\ntwo\\x1b\nthree\n"


def test_a_folder_with_a_run_is_refused_unless_it_is_resumed(tmp_path):
    (tmp_path / "last.pt").touch()
    (tmp_path / "train.log").write_text("before\n")
    with pytest.raises(InputError, match="holds a run already; name another folder"):
        Run(tmp_path)
    assert Run(tmp_path, tmp_path / "last.pt").printed == ["before"]


@pytest.mark.parametrize("name", ["best.pt", "log.csv", "report.html", "samples.json"])
def test_a_folder_with_one_file_of_a_run_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"holds a run already \({name}\); name another folder"):
        Run(tmp_path)


def test_a_run_that_ended_before_its_first_checkpoint_can_be_begun_anew(tmp_path):
    """It left only lines, and these are kept."""
    (tmp_path / "train.log").write_text("killed in epoch 1\n")
    with Run(tmp_path) as run:
        run.begin({}, {}, torch.device("cpu"))
        run.log("again")
        run.save()  # a signal in the first epoch: there is no row yet
    assert (tmp_path / "train.log").read_text() == "killed in epoch 1\nagain\n"
    assert not (tmp_path / "log.csv").exists()


def test_a_row_is_written_after_the_checkpoint_from_which_the_run_is_resumed(tmp_path, monkeypatch):
    with Run(tmp_path) as run:
        run.begin({}, {}, torch.device("cpu"))
        run.history = [{"epoch": 1}]
        monkeypatch.setattr(checkpoint, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.save("last.pt")
        assert [*tmp_path.iterdir()] == []
        monkeypatch.setattr(checkpoint, "save", lambda *_: None)
        run.save("last.pt")
    assert (tmp_path / "log.csv").read_text().split() == ["epoch", "1"]


def test_the_time_left_is_that_of_the_epochs_since_the_resume(tmp_path, monkeypatch):
    """Half an epoch took 10 s, and two and a half remain: 50 s."""
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("unet.training.run.time.monotonic", lambda: next(clock))
    run = Run(tmp_path)
    run.epoch = 7
    run.begin({}, {}, torch.device("cpu"))
    assert run.progress(0.5, 10, "loss 1") == "epoch 8/10  50%  loss 1  time left 0:00:50"


def test_a_row_of_the_log_by_hand():
    """TP 6 and 1; rows 8 and 2, columns 7 and 3: IoU 6/9 and 1/4, Dice 12/15 and 2/5.

    Of the 8 pixels of land 6 are right, of the 2 of water 1.
    """
    found = epoch_row(3, 0.1, 0.5, 0.6, CONFUSION, ["land", "water"], [1])
    assert found["dice_land"] == pytest.approx(0.8) and found["dice_water"] == pytest.approx(0.4)
    assert (found["accuracy_land"], found["accuracy_water"]) == (6 / 8, 1 / 2)
    assert found["iou_land"] == pytest.approx(6 / 9) and found["iou_water"] == pytest.approx(1 / 4)
    assert found["macro_dice"] == pytest.approx(0.6) and found["accuracy"] == pytest.approx(0.7)
    assert found["weighted_dice"] == pytest.approx(0.8 * 0.8 + 0.2 * 0.4)
    assert found["foreground_accuracy"] == pytest.approx(1 / 2)
    assert math.isclose(found["mean_iou"], (6 / 9 + 1 / 4) / 2) and found["lr"] == 0.1
    without = epoch_row(3, 0.1, 0.5, 0.6, CONFUSION, ["land", "water"])
    assert found.keys() - without.keys() == {"foreground_accuracy"}


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    folder = tmp_path / "run"
    with Run(folder) as first:
        first.begin({}, {}, torch.device("cpu"))
        with pytest.raises(InputError, match="run: another training writes into it"), Run(folder):
            pass
        # A run that began before the folder existed finds it locked when it begins to write.
        late = Run(folder)
        with pytest.raises(InputError, match="run: another training writes into it"):
            late.begin({}, {}, torch.device("cpu"))
    late = Run(folder)
    (folder / "last.pt").write_bytes(b"of another run")
    with pytest.raises(InputError, match="run: holds a run already"), late:
        late.begin({}, {}, torch.device("cpu"))
    with Run(folder, folder / "last.pt"):
        pass
