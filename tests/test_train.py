"""The training script: train.py."""

import base64
import csv
import os
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import small
import torch
import warm

import predict
import train
import unet
from data.files import InputError
from data.grid import Grid
from data.raster import cog, geotiff
from unet import checkpoint
from unet.evaluation import samples_file
from unet.losses import LOSSES

ROOT = Path(__file__).parents[1]
PAIRS = ["--images", "in/images", "--masks", "in/masks"]
LAKES = [*PAIRS, "--classes", "in/table.csv", "--model", "unet"]


def run(tmp_path: Path, *more, **scenes) -> Path:
    """Train a tiny network for three epochs on small scenes. Returns the folder of the run."""
    folder = tmp_path / "in"
    if not folder.exists():
        small.write(folder, **scenes)
    options = ["--images", folder / "images", "--masks", folder / "masks"]
    options += ["--classes", folder / "table.csv", "--output", tmp_path / "run"]
    options += "--model unet --base 4 --epochs 3 --batch 2 --lr 0.01".split()
    return train.main([str(option) for option in (*options, *more)])


def log(folder: Path) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def without_times(rows):
    times = ("seconds", "images_per_second", "peak_memory_mb")
    return [{key: value for key, value in row.items() if key not in times} for row in rows]


def test_a_run_leaves_checkpoints_log_and_report(tmp_path, capsys):
    folder = run(tmp_path)
    files = "best.pt last.pt log.csv report.html samples.json split.csv train.log".split()
    assert sorted(path.name for path in folder.iterdir()) == files
    assert "Alignment" not in (folder / "report.html").read_text()
    rows = log(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    best = checkpoint.load(folder / "best.pt")
    assert best["best"] == max(float(row["macro_dice"]) for row in rows)
    assert best["bands"] == small.BANDS and best["indices"] == ["NDVI", "MNDWI"]
    assert best["size"] == 48
    assert best["settings"]["lr"] == 0.01
    kept = samples_file.read(folder / "samples.json")["samples"]
    pictures = [picture for sample in kept for picture in sample["pictures"].values()]
    page = (folder / "report.html").read_text()
    assert len(pictures) == page.count("<img") > 0
    assert all(base64.b64encode(picture).decode() in page for picture in pictures)
    last = checkpoint.load(folder / "last.pt")
    assert last["epoch"] == 3 and last["metrics"]["confusion"].sum() == 48 * 48
    assert float(rows[-1]["accuracy"]) == pytest.approx(
        (last["metrics"]["confusion"].diag().sum() / last["metrics"]["confusion"].sum()).item()
    )
    assert last["metrics"]["windows"].shape == (1, 2, 2)
    assert last["metrics"]["scenes"].tolist() == [best["metrics"]["scenes"].item()]
    temperature = checkpoint.temperature(best)
    assert temperature == 1  # one place is not enough
    assert "<h2>Calibration</h2>" in page and "without temperature scaling (T = 1)." in page
    printed = capsys.readouterr().out
    assert f"report      {folder / 'report.html'}" in printed
    command = printed.splitlines()[-1].split(maxsplit=1)[1]
    assert "predict.py " in command and command.endswith(f"--checkpoint {folder / 'best.pt'}")
    # The printed command works.
    python, script, *words = shlex.split(command)
    assert os.path.samefile(python, sys.executable)
    assert warm.run(Path(script), *words).returncode == 0
    assert (folder / "train.log").read_text() == printed


def test_alignment_is_printed_and_reported_also_from_the_cache_and_without_masks(
    tmp_path, capsys, monkeypatch
):
    _, masks, _ = small.write(tmp_path / "in")
    for path in masks.iterdir():
        with geotiff.Raster(path) as raster:
            a, b, c, d, e, f = raster.grid.transform
            aside = Grid(raster.grid.crs, (a, b, c + 4, d, e, f - 3), 48, 48)
            pixels = raster.read()
        cog.write(path, pixels, aside)
    first = run(tmp_path, "--epochs", 1)
    said = capsys.readouterr().out
    assert "4 masks aligned by nearest: largest change of a share 0." in said
    page = (first / "report.html").read_text()
    assert "<h2>Alignment</h2>" in page and page.count('alt="mask after"') == 4
    with open(first / "alignment.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("s_0.tif", "s_3.tif"):
        for share in ("share before", "share after"):
            found = [float(row[share]) for row in rows if row["image"] == name]
            assert len(found) == 2 and sum(found) == pytest.approx(1)

    finish = train.finish

    def finish_without_masks(*arguments):
        for path in masks.iterdir():
            path.unlink()
        finish(*arguments)

    monkeypatch.setattr(train, "finish", finish_without_masks)
    second = run(tmp_path, "--epochs", 1, "--output", tmp_path / "second")
    out, err = capsys.readouterr()
    assert (
        "4 masks aligned by nearest" in out and err.count("note: no picture of 4 of 4 masks") == 1
    )
    assert (second / "alignment.csv").read_bytes() == (first / "alignment.csv").read_bytes()
    assert "<h2>Alignment</h2>" in (second / "report.html").read_text()


def test_the_report_maps_whole_tiles_in_batches_of_as_many_pixels_as_in_training(
    tmp_path, monkeypatch
):
    seen, predict_all = [], train.predict

    def record(model, loader, *more):
        seen.append((loader.dataset.size, loader.batch_size))
        return predict_all(model, loader, *more)

    monkeypatch.setattr(train, "predict", record)
    run(tmp_path, "--size", 16, "--batch", 20, "--validation", 0.5, "--epochs", 1)
    assert seen == [(48, 2)]  # 20 windows of 16 x 16 have the pixels of 2.2 tiles of 48 x 48


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path):
    def rows(name: str, *more) -> list[dict[str, str]]:
        options = ["--augment", "crop", "jitter", "--output", tmp_path / name]
        return without_times(log(run(tmp_path, *options, *more)))

    first, again = rows("a"), rows("b")
    workers, other = rows("c", "--workers", 2), rows("d", "--seed", 1)
    assert first == again == workers
    assert first != other


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_learns_the_lakes(tmp_path, loss):
    folder = run(tmp_path, "--overfit", 4, "--loss", loss, "--epochs", 4, "--base", 8)
    assert float(log(folder)[-1]["macro_dice"]) > 0.95


@pytest.mark.parametrize(
    "options",
    [
        "--optimizer adam --schedule plateau --class-weights inverse",
        "--schedule constant --class-weights 1,4 --oversample 0.5 --scaling standard",
        "--scaling image --precision bfloat16 --indices --dropout 0.2 --size 32",
    ],
)
def test_options_go_together(tmp_path, options):
    rows = log(run(tmp_path, *options.split(), "--epochs", 1))
    assert np.isfinite(float(rows[0]["train_loss"])) and 0 <= float(rows[0]["macro_dice"]) <= 1


def test_a_network_without_a_base_takes_no_other_one():
    assert train.parse(["--model", "unet-3", "--base", "8"]).base == 8
    train.parse(["--model", "deeplabv3", "--dropout", "0.2"])
    with pytest.raises(InputError, match="--base: has no effect on deeplabv3; leave it out"):
        train.parse(["--model", "deeplabv3", "--base", "8"])


def test_a_run_begins_with_the_network_of_its_weights(tmp_path):
    first = run(tmp_path, "--epochs", 1, "--model", "unet-3", "--output", tmp_path / "first")
    small_tiles = ["--images", tmp_path / "in/images", "--masks", tmp_path / "in/masks"]
    small_tiles += ["--classes", tmp_path / "in/table.csv", "--base", 4, "--epochs", 1]
    names = []
    for weights in ([], ["--weights", first], ["--weights", run(tmp_path, "--epochs", 1)]):
        words = [*small_tiles, *weights, "--output", tmp_path / f"next{len(names)}"]
        folder = train.main([str(word) for word in words])
        names.append(checkpoint.load(folder / "last.pt")["model"]["name"])
    assert names == ["unet-3", "unet-3", "unet"]


def test_a_base_is_refused_for_the_network_of_the_weights_too(tmp_path):
    options = ["--model", "segformer-b0", "--epochs", 1, "--base", 16]
    folder = run(tmp_path, *options)
    assert train.parse(["--weights", str(folder)]).model == "segformer-b0"
    with pytest.raises(InputError, match="--base: has no effect on segformer-b0; leave it out"):
        train.parse(["--weights", str(folder), "--base", "8"])


def test_accumulated_batches_step_as_one_batch_does(tmp_path, monkeypatch):
    """The network has no batch normalisation, and all batches have the same number of labels."""

    def convolution(in_channels, num_classes, base=16, dropout=0.0, head_dropout=0.0):
        return torch.nn.Conv2d(in_channels, num_classes, kernel_size=3, padding=1)

    def sgd(groups, fused):  # Adam's step does not change with the scale of the gradient
        return torch.optim.SGD(groups)

    monkeypatch.setitem(unet.MODELS, "unet", convolution)
    monkeypatch.setitem(train.OPTIMIZERS, "adamw", sgd)
    small.write(tmp_path / "in", count=10)
    common = ["--loss", "cross_entropy", "--class-weights", "none", "--epochs", 2]
    common += ["--precision", "float32", "--validation", 0.2]
    weights = []
    for batch, accumulate in ((4, 1), (2, 2), (1, 4)):
        options = ["--batch", batch, "--accumulate", accumulate]
        folder = run(tmp_path, *common, *options, "--output", tmp_path / f"run-{batch}")
        weights.append(torch.load(folder / "last.pt", weights_only=True)["weights"]["weight"])
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0], rtol=1e-4, atol=1e-5)


def test_it_stops_when_nothing_gets_better(tmp_path, capsys):
    run(tmp_path, "--epochs", 30, "--patience", 2, "--lr", 1e-9, "--schedule", "constant")
    assert "no better macro Dice in 2 epochs: stopped" in capsys.readouterr().out
    assert len(log(tmp_path / "run")) < 30
    folder = tmp_path / "run"
    best, last = (checkpoint.load(folder / name) for name in ("best.pt", "last.pt"))
    assert best["epoch"] == last["best_epoch"] == last["epoch"] - 2


def test_the_monitor_loss_chooses_the_checkpoint_and_all_texts_name_it(
    tmp_path, monkeypatch, capsys
):
    """The losses of four epochs are given. The best one is the second; two more are patience."""
    evaluate, losses = train.evaluate, iter([0.9, 0.5, 0.7, 0.6])
    monkeypatch.setattr(
        train, "evaluate", lambda *given: evaluate(*given)._replace(loss=next(losses))
    )
    more = ["--monitor", "loss", "--patience", 2, "--schedule", "plateau", "--epochs", 9]
    folder = run(tmp_path, *more, "--base", 2)
    best = checkpoint.load(folder / "best.pt")
    assert (best["epoch"], best["best"]) == (2, 0.5) and len(log(folder)) == 4
    schedule = checkpoint.load(folder / "last.pt")["scheduler"]
    assert (schedule["best"], schedule["num_bad_epochs"]) == (0.5, 2)
    printed = capsys.readouterr().out
    assert "no better loss in 2 epochs: stopped" in printed
    assert "best.pt  (epoch 2, validation loss 0.5000)" in printed
    lines = [line for line in printed.splitlines() if line.startswith("epoch")]
    assert [line.endswith("  best") for line in lines] == [True, True, False, False]
    report = (folder / "report.html").read_text()
    assert "<dd>2 of 4, by loss</dd>" in report and "<dt>loss</dt><dd>0.5000</dd>" in report


def test_the_log_and_the_report_have_each_class(tmp_path):
    folder = run(tmp_path, "--epochs", 1, "--validation", 0.5, "--base", 2)
    report, columns = (folder / "report.html").read_text(), log(folder)[0].keys()
    measures = ("iou", "dice", "accuracy")
    assert {f"{one}_{name}" for one in measures for name in ("land", "water")} <= columns
    assert "foreground_accuracy" not in columns  # the table names no background
    assert "Share of land" in report and "Share of water" in report
    assert 'aria-label="water"' in report


def test_the_foreground_is_all_but_the_background_of_the_table(tmp_path):
    small.write(tmp_path / "in")
    text = "code,name,color,background\n10,land,#C8B478,true\n20,water,#0064C8,\n"
    (tmp_path / "in/table.csv").write_text(text)
    folder = run(tmp_path, "--epochs", 1, "--validation", 0.5, "--base", 2)
    row = log(folder)[0]
    assert row["foreground_accuracy"] == row["accuracy_water"]
    report = (folder / "report.html").read_text()
    assert "Share of water" in report and "Share of land" not in report
    rows = checkpoint.load(folder / "best.pt")["classes"]
    assert [row["background"] for row in rows] == ["true", ""]


def test_weights_of_a_run_are_taken_and_a_frozen_encoder_keeps_them(tmp_path):
    """Parameters and running statistics of the encoder stay, and the decoder learns."""
    first = run(tmp_path, "--output", tmp_path / "a", "--epochs", 1)
    options = ["--weights", first / "last.pt", "--encoder-lr", 0, "--epochs", 1]
    second = run(tmp_path, "--output", tmp_path / "b", *options)
    before, after = (checkpoint.load(f / "last.pt")["weights"] for f in (first, second))
    same = {name.split(".")[0] for name in before if before[name].equal(after[name])}
    changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert {"inc", "down1", "down2", "down3", "down4"} <= same - changed
    assert {"up1", "up4", "outc"} <= changed


def test_class_weights_reach_the_loss(tmp_path):
    losses = []
    for weights in ("none", "1,4"):
        options = ["--loss", "cross_entropy", "--class-weights", weights, "--epochs", 1]
        losses.append(log(run(tmp_path, *options, "--output", tmp_path / weights))[0]["train_loss"])
    assert losses[0] != losses[1]


def test_images_without_crs_and_with_no_data_train(tmp_path):
    small.write(tmp_path / "in", crs=None)
    path = tmp_path / "in/images/s_1.tif"
    with geotiff.Raster(path) as raster:
        pixels, grid = raster.read().astype(np.float32), raster.grid
    pixels[:, :10], pixels[0, 20] = 0, np.nan
    cog.write(path, pixels, grid, nodata=0, descriptions=small.BANDS)
    rows = log(run(tmp_path))
    assert all(np.isfinite(float(row["train_loss"])) for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "nowhere", "--masks", "nowhere"], "nowhere: no such file or folder"),
        ([*PAIRS, "--classes", "none.csv"], "none.csv: no such class table"),
        ([*PAIRS, "--classes", "esm"], "m_0.tif: code 10 ("),
        (
            [*LAKES, "--batch", "10000000"],
            "--batch 10000000: a step on 10000000 windows of 48 x 48 needs about",
        ),
        (
            [*LAKES, "--class-weights", "1,x"],
            "--class-weights 1,x: write none, inverse, sqrt, or 2 numbers such as 1,4,2.5",
        ),
        ([*LAKES, "--lr", "1e30", "--epochs", "9"], "loss became"),
        (["--images", "in/images"], "give both --images and --masks"),
        (["--jitter", "0.5"], "--jitter is gone; use --augment"),
        (["--compile", "--recompute"], "--recompute: torch.compile cannot follow it; leave out"),
        (["--model", "segformer-b0"], "--base: has no effect on segformer-b0; leave it out"),
        (["--lr", "nan"], "argument --lr: nan must be a number above 0"),
        (["--weight-decay", "-1"], "--weight-decay: -1 must be"),
        (["--dropout", "1.5"], "--dropout: 1.5 must be"),
        (["--encoder-lr", "nan"], "--encoder-lr: nan must be"),
        (["--encoder-lr", "0"], "--encoder-lr: no part is pretrained without --weights"),
        (["--oversample", "inf"], "--oversample: inf must be"),
        (["--validation", "1"], "--validation: 1 must be"),
        (["--epochs", "0"], "--epochs: 0 must be"),
        (["--patience", "0"], "--patience: 0 must be"),
        (["--workers", "-1"], "--workers: -1 must be"),
        (["--seed", "-1"], "--seed: -1 must be"),
        (["--seed", "9" * 20], "--seed: " + "9" * 20 + " must be"),
        (["--device", "meta"], "--device meta is not available"),
        (
            [*LAKES, "--size", "31", "--batch", "1"],
            "too small for this network's batch normalisation",
        ),
        ([*LAKES, "--output", "in/table.csv"], "in/table.csv: File exists"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, options, message, monkeypatch, capsys):
    small.write(tmp_path / "in", count=3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", *options, "--base", "2"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    assert left.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("train.py: error: ") and message in lines[0]
    if "--lr" not in options:
        assert not Path("runs").exists() or [p.name for p in Path("runs").iterdir()] == ["cache"]


def test_an_earlier_run_is_not_overwritten(tmp_path):
    before = (run(tmp_path, "--epochs", 1) / "best.pt").read_bytes()
    with pytest.raises(InputError, match="holds a run already; name another folder by --output"):
        run(tmp_path)
    assert (tmp_path / "run/best.pt").read_bytes() == before


def test_two_runs_that_begin_in_the_same_second_do_not_share_a_folder(tmp_path, monkeypatch):
    images, masks, table = small.write(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train.time, "strftime", lambda _: "now")
    Path("runs/now").mkdir(parents=True)  # the folder of the other run, without a checkpoint yet
    with pytest.raises(FileExistsError):
        train.main(
            ["--images", str(images), "--masks", str(masks), "--classes", str(table), "--base", "2"]
        )


def test_checkpoints_hold_no_code(tmp_path):
    loaded = torch.load(run(tmp_path, "--epochs", 1) / "last.pt", weights_only=True)
    assert loaded["epoch"] == 1 and "exp_avg" in loaded["optimizer"]["state"][0]


def test_a_single_class_trains_and_has_no_share_to_report(tmp_path):
    small.write(tmp_path / "in")
    (tmp_path / "in/table.csv").write_text(
        "code,name,color\n10,ground,#C8B478\n20,ground,#C8B478\n"
    )
    folder = run(tmp_path, "--epochs", 1, "--class-weights", "inverse", "--loss", "dice_focal")
    assert float(log(folder)[0]["macro_dice"]) == 1
    assert "Share of" not in (folder / "report.html").read_text()


def test_one_may_train_again_where_maps_lie_beside_the_images(tmp_path):
    folder = run(tmp_path, "--epochs", 1)
    predict.main([str(tmp_path / "in/images"), "--checkpoint", str(folder / "best.pt")])
    assert len(list((tmp_path / "in/images").glob("*_landcover.tif"))) == 4
    assert len(log(run(tmp_path, "--epochs", 1, "--output", tmp_path / "again"))) == 1
