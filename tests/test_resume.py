"""train.py --resume: a stopped or killed run has the same results as a run that was not stopped."""

import csv
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small
import torch
from gpu import needs_gpu
from warm import Warm

import train
from data.files import InputError
from data.raster import cog, geotiff
from data.terminal import Interrupted
from unet import checkpoint
from unet.evaluation.predictor import Predictor
from unet.training.resume import require_form
from unet.training.run import Run

ROOT = Path(__file__).parents[1]
TIMES = ("seconds", "images_per_second", "peak_memory_mb")
# All options that draw random numbers or keep a state: dropout, augmentation, oversampling,
# plateau, accumulation; and the rules of windows.
STATEFUL = (
    "--dropout 0.2 --augment flip turn crop jitter scale --oversample 0.9 --schedule plateau "
    "--accumulate 2 --class-weights sqrt --loss dice_cross_entropy --keep-share water 0 0.9 "
    "--keep-share 10 0 1 --stride 16 --oversample-share water,land 0.5 2"
).split()


def options(folder: Path, *more) -> list[str]:
    if not (folder / "in").exists():
        small.write(folder / "in", count=9, size=32)
    given = ["--images", folder / "in/images", "--masks", folder / "in/masks"]
    given += ["--classes", folder / "in/table.csv"]
    given += "--model unet --base 2 --batch 2 --lr 0.01 --epochs 4 --patience 99".split()
    return [str(option) for option in (*given, *more)]


def result(run: Path) -> tuple[list, dict, dict]:
    """Read (log.csv without times, last checkpoint, best checkpoint) of a run."""
    with open(run / "log.csv", newline="") as file:
        rows = [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]
    return rows, checkpoint.load(run / "last.pt"), checkpoint.load(run / "best.pt")


def assert_same(one: Path, other: Path) -> None:
    (rows, *states), (other_rows, *other_states) = result(one), result(other)
    assert rows == other_rows
    for state, expected in zip(states, other_states):
        assert (state["epoch"], state["best"], state["best_epoch"]) == tuple(
            expected[name] for name in ("epoch", "best", "best_epoch")
        )
        for name, tensor in expected["weights"].items():
            assert torch.equal(state["weights"][name], tensor), name
        for name, value in expected["metrics"].items():
            assert torch.as_tensor(state["metrics"][name]).equal(torch.as_tensor(value)), name
        assert torch.equal(state["random"]["torch"][0], expected["random"]["torch"][0])
        for number, moments in expected["optimizer"]["state"].items():
            for name, value in moments.items():
                assert torch.equal(state["optimizer"]["state"][number][name], value), (number, name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Return a folder with the run `whole`, which has four epochs and was never stopped."""
    folder = tmp_path_factory.mktemp("resume")
    train.main(options(folder, *STATEFUL, "--output", folder / "whole"))
    return folder


class Killed(BaseException):
    """Raised where the process would be killed."""


def killed_after(epoch: int, monkeypatch, arguments: list[str]) -> None:
    """Train until the checkpoint of an epoch has been written, then stop as if killed."""
    save = Run.save

    def save_and_end(run: Run, *names: str) -> None:
        save(run, *names)
        if run.epoch == epoch:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save_and_end)
        with pytest.raises(Killed):
            train.main(arguments)


@pytest.mark.parametrize(("epoch", "workers"), [(1, 0), (2, 0), (3, 0), (2, 2)])
def test_killed_after_any_epoch_and_resumed_is_the_same_to_the_last_bit(
    whole, monkeypatch, epoch, workers
):
    run = whole / f"killed-{epoch}-{workers}"
    arguments = options(whole, *STATEFUL, "--output", run, "--workers", workers)
    killed_after(epoch, monkeypatch, arguments)
    assert checkpoint.load(run / "last.pt")["epoch"] == epoch
    train.main(["--resume", str(run)])
    assert_same(run, whole / "whole")


def test_the_rules_of_windows_may_be_given_again_but_not_changed(whole):
    given = STATEFUL[STATEFUL.index("--keep-share") :]
    args = train.parse(["--resume", str(whole / "whole"), *given])
    assert args.keep_share == ["water", "0", "0.9", "10", "0", "1"] and args.stride == 16
    assert args.oversample_share == ["water,land", "0.5", "2"]
    for option, words in (("keep_share", "water 0 0.9"), ("oversample_share", "20 0.5 2")):
        name = f"--{option.replace('_', '-')}"
        with pytest.raises(InputError, match=f"{name}: the run in .*whole began with .*'water"):
            train.parse(["--resume", str(whole / "whole"), name, *words.split()])


def test_two_epochs_prolonged_by_two_are_four(whole):
    """This holds for a schedule that does not depend on the number of epochs."""
    run = whole / "prolonged"
    train.main(options(whole, *STATEFUL, "--output", run, "--epochs", 2))
    train.main(["--resume", str(run), "--epochs", "4"])
    assert_same(run, whole / "whole")


def test_a_cosine_that_is_prolonged_follows_the_longer_curve(tmp_path):
    """After two of four epochs the rate is lr (1 + cos(pi / 2)) / 2, half of the first one."""
    run = tmp_path / "run"
    train.main(options(tmp_path, "--output", run, "--schedule", "cosine", "--epochs", 2))
    train.main(["--resume", str(run), "--epochs", "4"])
    rates = [row["lr"] for row in checkpoint.load(run / "last.pt")["history"]]
    expected = [0.01 * (1 + math.cos(math.pi * done / 4)) / 2 for done in (2, 3)]
    assert rates[2:] == pytest.approx(expected)


def test_a_run_whose_options_the_images_chose_is_resumed_with_them(tmp_path):
    run, chosen = tmp_path / "run", options(tmp_path, "--epochs", 1)
    for name in ("--model", "--batch"):
        at = chosen.index(name)
        del chosen[at : at + 2]
    train.main([*chosen, "--output", str(run)])
    train.main(["--resume", str(run), "--epochs", "2"])
    rows, last, _ = result(run)
    settings = last["settings"]
    assert len(rows) == 2 and last["model"]["name"] == settings["model"] == "unet-3"
    assert (settings["size"], settings["batch"], settings["scaling"]) == (32, 48, "minmax")


@pytest.mark.parametrize(
    ("number", "status", "call"),
    [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 4), (signal.SIGINT, 130, 8)],
)
def test_a_signal_in_the_middle_of_an_epoch_loses_nothing(
    whole, monkeypatch, capsys, number, status, call
):
    run = whole / f"signal-{number}-{call}"
    calls = iter(range(100))

    def progress(text: str) -> None:
        if text.startswith("epoch") and next(calls) == call:
            signal.raise_signal(number)

    monkeypatch.setattr(train.terminal, "progress", progress)
    with pytest.raises(Interrupted) as left:
        train.main(options(whole, *STATEFUL, "--output", run))
    assert left.value.status == status
    assert f"train.py --resume {run}\n" in capsys.readouterr().out
    position = checkpoint.load(run / "last.pt")["position"]
    assert position["batch"] > 0 and position["windows"] > 0  # the run stopped inside an epoch
    train.main(["--resume", str(run)])
    assert_same(run, whole / "whole")


def new_python(script: Path, *words: str) -> subprocess.Popen:
    """Start a script as a user does."""
    command, pipe = [sys.executable, str(script), *words], subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize(
    ("start", "number", "status"),
    [(new_python, signal.SIGINT, 130), (Warm, signal.SIGINT, 130), (Warm, signal.SIGTERM, 143)],
)
def test_the_exit_status_is_that_of_the_signal(tmp_path, start, number, status):
    given = options(tmp_path, "--epochs", 9999, "--output", tmp_path / "run")
    process = start(ROOT / "train.py", *given)
    while not (tmp_path / "run/best.pt").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == "train.py: stopped\n" and "stopped in epoch" in out
    assert checkpoint.load(tmp_path / "run/last.pt")["epoch"] > 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the children are read in /proc")
def test_a_worker_that_is_killed_ends_the_run_which_can_be_resumed(tmp_path):
    """The system kills the largest process if memory is short."""
    run = tmp_path / "run"
    arguments = options(tmp_path, "--output", run, "--workers", 2, "--epochs", 9999)
    process = Warm(ROOT / "train.py", *arguments)
    while not (run / "last.pt").exists():
        assert process.poll() is None
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and err.startswith("train.py: error: a worker process")
    assert err.endswith("; try fewer --workers\n") and err.count("\n") == 1
    epoch = checkpoint.load(run / "last.pt")["epoch"]
    train.main(["--resume", str(run), "--workers", "0", "--epochs", str(epoch + 1)])
    assert checkpoint.load(run / "last.pt")["epoch"] == epoch + 1


def test_killed_seven_times_at_random_moments_and_resumed_each_time(tmp_path):
    """After kill -9 at any moment the checkpoint loads, and the final result is the same.

    tests/bench/soak_runs.py tries it more often.
    """
    draw, run, last = random.Random(0), tmp_path / "killed", tmp_path / "killed/last.pt"
    fresh = options(tmp_path, *STATEFUL, "--epochs", 16)

    def begin(*arguments: str) -> Warm:
        return Warm(ROOT / "train.py", *arguments)

    def saved() -> int:
        return last.stat().st_mtime_ns if last.exists() else 0

    reached = set()
    for number in range(7):
        before = saved()
        process = begin("--resume", run) if before else begin(*fresh, "--output", run)
        if number % 3:  # kill it while it trains and saves; every third time while it starts
            while saved() == before and process.poll() is None:
                time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.05))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if last.exists():
            reached.add(checkpoint.load(last)["epoch"])
            checkpoint.load(run / "best.pt")
    assert len(reached) >= 4
    for process in (begin("--resume", run), begin(*fresh, "--output", tmp_path / "whole")):
        assert process.wait() == 0
    assert_same(run, tmp_path / "whole")


@pytest.mark.parametrize(("more", "message"), [
    (["--base", "8"], "--base: the run in .*whole began with 2"),
    (["--seed", "1"], "--seed: the run in .*whole began with 0"),
    (["--output", "x"], "--output: --resume continues in .*whole"),
    (["--weights", "x.pt"], "--weights: the run in .*whole began with"),
    (["--monitor", "loss"], "--monitor: the run in .*whole began with macro_dice"),
])  # fmt: skip
def test_what_shapes_the_result_cannot_be_changed(whole, more, message):
    with pytest.raises(InputError, match=message):
        train.main(["--resume", str(whole / "whole"), *more])


@pytest.mark.parametrize(("name", "value"), [
    ("batch", "twelve"), ("batch", [1]), ("loss", "mine"), ("compile", "yes"), ("augment", 3),
    ("seed", -1), ("lr", float("nan")), ("oversample", {"a": 1}),
])  # fmt: skip
def test_a_setting_that_the_command_line_would_refuse_is_refused(whole, tmp_path, name, value):
    state = checkpoint.load(whole / "whole/last.pt")
    state["settings"][name] = value
    checkpoint.save(tmp_path / "last.pt", state)
    with pytest.raises(InputError, match=f"last.pt: the setting {name} is .* does not accept"):
        train.main(["--resume", str(tmp_path)])


def put(state: dict, place: tuple, value: object) -> None:
    """Replace the value at a place of a nested state; `...` drops it."""
    *path, key = place
    for name in path:
        state = state[name]
    if value is ...:
        del state[key]
    else:
        state[key] = value


@pytest.mark.parametrize(("place", "value", "message"), [
    (("optimizer", "state", 0, "exp_avg"), torch.zeros(7), r"'exp_avg': \(7,\)"),
    (("scheduler", "step"), 3, "would replace a function"),
    (("random", "torch", 0), torch.zeros(3, dtype=torch.uint8), "states are not those of this run"),
])  # fmt: skip
def test_states_of_another_form_are_refused(whole, tmp_path, place, value, message):
    state = checkpoint.load(whole / "whole/last.pt")
    put(state, place, value)
    shutil.copy(whole / "whole/best.pt", tmp_path)
    checkpoint.save(tmp_path / "last.pt", state)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        train.main(["--resume", str(tmp_path), "--epochs", "9"])


@pytest.mark.parametrize(("place", "value", "message"), [
    (("optimizer", "state", 0, "step"), 3, "has shapes"),
    (("optimizer", "param_groups", 0, "betas"), 3, "betas"),
    (("optimizer", "param_groups", 0, "betas"), ..., "lacks betas"),
    (("optimizer", "param_groups", 0, "betas"), (0.5, 2.0), "another betas"),
    (("optimizer", "param_groups", 0, "maximize"), 0, "another maximize"),
    (("optimizer", "param_groups", 0, "amsgrad"), True, "another amsgrad"),
    (("scheduler", "best"), "x", r"scheduler\['best'\] is a str, not a float"),
])  # fmt: skip
def test_states_of_another_form_are_refused_before_torch_loads_them(whole, place, value, message):
    state = checkpoint.load(whole / "whole/last.pt")
    parameters = [
        torch.nn.Parameter(moments["exp_avg"]) for moments in state["optimizer"]["state"].values()
    ]
    fused = state["optimizer"]["param_groups"][0]["fused"]
    optimizer = torch.optim.AdamW(parameters, 0.01, weight_decay=1e-4, fused=fused)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max")
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    parts = {"optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    require_form(state, parts)
    put(state, place, value)
    with pytest.raises(ValueError, match=message):
        require_form(state, parts)


@pytest.mark.parametrize("more", [[], ["--nodata", "nan"]])
def test_no_data_may_be_nan(tmp_path, monkeypatch, more):
    run = tmp_path / "run"
    arguments = options(tmp_path, "--output", run, "--nodata", "nan", "--epochs", 2)
    killed_after(1, monkeypatch, arguments)
    train.main(["--resume", str(run), *more])
    assert checkpoint.load(run / "last.pt")["epoch"] == 2


def test_other_data_are_noticed(tmp_path, monkeypatch):
    run = tmp_path / "run"
    killed_after(1, monkeypatch, options(tmp_path, "--output", run))
    small.write(tmp_path / "more", count=2, size=32, seed=9)
    for path in (tmp_path / "more").glob("*/*_0.tif"):
        path.rename(tmp_path / "in" / path.parent.name / path.name.replace("_0", "_77"))
    with pytest.raises(checkpoint.CheckpointError, match="the data have changed since"):
        train.main(["--resume", str(run)])


def test_data_that_were_moved_are_named_anew_and_data_of_other_content_are_refused(
    tmp_path, monkeypatch
):
    train.main(options(tmp_path, "--epochs", 2, "--output", tmp_path / "whole"))
    killed_after(1, monkeypatch, options(tmp_path, "--epochs", 2, "--output", tmp_path / "run"))
    moved = tmp_path / "moved"
    (tmp_path / "in").rename(moved)
    resume = ["--resume", str(tmp_path / "run")]
    with pytest.raises(InputError, match="table.csv: no such class table"):
        train.main(resume)
    resume += ["--images", str(moved / "images"), "--masks", str(moved / "masks")]
    (moved / "table.csv").rename(moved / "renamed.csv")
    resume += ["--classes", str(moved / "renamed.csv")]
    # One label of one mask is another one: no statistic of the bands would show it.
    mask = next((moved / "masks").iterdir())
    before = mask.read_bytes()
    with geotiff.Raster(mask) as raster:
        labels, grid = raster.read()[0], raster.grid
    labels[0, 0] = 30 - labels[0, 0]
    cog.write(mask, labels, grid)
    with pytest.raises(checkpoint.CheckpointError, match="the data have changed since .content"):
        train.main(resume)
    mask.write_bytes(before)
    train.main(resume)
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_a_run_whose_best_checkpoint_is_gone_is_not_resumed(whole, tmp_path):
    state = checkpoint.load(whole / "whole/last.pt")
    checkpoint.save(tmp_path / "last.pt", {**state, "best_epoch": state["epoch"] - 1})
    with pytest.raises(checkpoint.CheckpointError, match="best.pt is not beside it"):
        train.main(["--resume", str(tmp_path), "--epochs", "9"])


def test_a_finished_run_is_not_trained_on_and_its_report_is_written_if_it_is_missing(whole, capsys):
    """A run has no report if it was killed between the last checkpoint and the report."""
    run, log = whole / "whole", (whole / "whole/log.csv").read_bytes()
    (run / "report.html").unlink()
    (run / "log.csv").write_bytes(log[: log.rindex(b"\n", 0, -1) + 1])
    train.main(["--resume", str(run)])
    assert (run / "report.html").exists() and (run / "log.csv").read_bytes() == log
    printed = capsys.readouterr().out
    assert "has ended after epoch 4 of 4; give more --epochs to train longer" in printed


def test_a_run_that_patience_ended_has_ended_unless_there_is_more_patience(tmp_path, capsys):
    run = tmp_path / "run"
    patient = ["--lr", 1e-9, "--schedule", "constant", "--epochs", 9, "--patience", 2]
    train.main(options(tmp_path, "--output", run, *patient))
    ended = checkpoint.load(run / "last.pt")["epoch"]
    assert ended < 9
    for more in ([], ["--epochs", "9"], ["--patience", "2"]):
        train.main(["--resume", str(run), *more])
        assert checkpoint.load(run / "last.pt")["epoch"] == ended
        assert f"has ended after epoch {ended} of 9" in capsys.readouterr().out
    train.main(["--resume", str(run), "--patience", "3"])
    assert checkpoint.load(run / "last.pt")["epoch"] == ended + 1
    train.main(["--resume", str(run), "--epochs", "12"])
    assert checkpoint.load(run / "last.pt")["epoch"] > ended + 1


def test_a_run_of_an_earlier_version_goes_on_with_the_defaults_of_new_options(
    tmp_path, monkeypatch
):
    """Its settings have no monitor, its rows fewer columns, and its classes no background."""
    small.write(tmp_path / "in", count=9, size=32)
    table = "code,name,color,background\n10,land,#C8B478,true\n20,water,#0064C8,\n"
    (tmp_path / "in/table.csv").write_text(table)
    run = tmp_path / "run"
    killed_after(1, monkeypatch, options(tmp_path, "--output", run, "--epochs", 2))
    for path in (run / "last.pt", run / "best.pt"):
        state = checkpoint.load(path)
        del state["settings"]["monitor"], state["history"][0]["dice_land"]
        state["classes"] = [
            {key: text for key, text in row.items() if key != "background"}
            for row in state["classes"]
        ]
        checkpoint.save(path, state)
    with pytest.raises(InputError, match="--monitor: the run in .* began with macro_dice"):
        train.main(["--resume", str(run), "--monitor", "loss"])
    train.main(["--resume", str(run)])
    history = checkpoint.load(run / "last.pt")["history"]
    assert math.isnan(history[0]["dice_land"]) and history[1]["dice_land"] >= 0


def test_the_error_for_a_run_of_an_earlier_version_names_the_new_options(whole, tmp_path):
    state = checkpoint.load(whole / "whole/last.pt")
    state["settings"] |= {"jitter": 0.5, "stop_after": None}
    checkpoint.save(tmp_path / "last.pt", state)
    with pytest.raises(InputError, match="earlier version.*--jitter: use --augment"):
        train.main(["--resume", str(tmp_path)])


def test_the_scale_of_float16_is_resumed_and_a_state_of_another_form_is_refused():
    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(layer.parameters())
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    scaler = torch.amp.GradScaler("cpu")
    parts = {"optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    state = {name: part.state_dict() for name, part in parts.items()}
    assert state["scaler"]["scale"] == 65536
    require_form(state, parts)
    with pytest.raises(ValueError, match=r"scaler\['scale'\] is a str, not a float"):
        require_form(state | {"scaler": {**state["scaler"], "scale": "1"}}, parts)
    with pytest.raises(ValueError, match="scaler lacks _growth_tracker"):
        require_form(state | {"scaler": {}}, parts)


@needs_gpu
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_run_on_a_gpu_is_resumed_and_its_checkpoints_are_read_on_a_cpu(tmp_path, precision):
    given = options(tmp_path, *STATEFUL, "--device", "cuda", "--precision", precision)
    given += ["--epochs", "3"]
    train.main([*given, "--output", str(tmp_path / "whole")])
    train.main([*given, "--output", str(tmp_path / "parts"), "--epochs", "1"])
    half = checkpoint.load(tmp_path / "parts/last.pt")
    train.main(["--resume", str(tmp_path / "parts"), "--epochs", "3"])
    rows, last, best = result(tmp_path / "parts")
    expected, whole_last, _ = result(tmp_path / "whole")
    assert half["epoch"] == 1 and last["epoch"] == 3 and len(rows) == 3
    assert bool(half["scaler"]) == (precision == "float16") and len(half["random"]["cuda"]) == 1
    # The GPU adds in any order, so the two runs are close, but not equal.
    losses = [[float(row["train_loss"]) for row in some] for some in (rows, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert last["random"]["cuda"][0].equal(whole_last["random"]["cuda"][0])
    assert not last["random"]["cuda"][0].equal(half["random"]["cuda"][0])
    for state in (last, best):
        assert {weights.device.type for weights in state["weights"].values()} == {"cpu"}
    window = torch.rand(1, best["model"]["in_channels"], 32, 32).numpy()
    found = Predictor(tmp_path / "parts/best.pt", "cpu").probabilities(window, [0])
    assert found.shape == (1, 2, 32, 32)
