"""The experiments: their commands, what each of them changes, and two of them on small scenes."""

import shlex
from pathlib import Path

import experiments
import numpy as np
import pytest
import small
import torch
from experiments import EXPERIMENTS, SHIFTED, Line, Run, WithoutSkips
from pyproj import CRS

import train
import unet
from data.files import InputError
from data.grid import Grid
from data.raster import Raster, cog
from data.terminal.options import LEARN
from unet import checkpoint
from unet.metrics import ConfusionMatrix

README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
RUNS = [run for runs in EXPERIMENTS.values() for run in runs]


def test_the_help_of_every_command_names_all_experiments():
    assert [name for name in EXPERIMENTS if name not in LEARN] == []


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.label)
def test_the_options_of_each_run_exist(run):
    args = train.parse(experiments.words(Path("f"), run, "esm", 3))
    assert args.seed == 3 and args.masks == [f"f/{run.masks}"]


def test_each_experiment_changes_one_thing_and_stands_in_help_and_readme():
    for name, (first, *others) in EXPERIMENTS.items():
        assert first == experiments.FIRST and others
        assert f"    {name} " in experiments.__doc__
        assert f"python tests/exercises/experiments.py {name}" in README
        for run in others:
            assert run != first and run.label in README


def test_without_skips_only_the_deepest_level_reaches_the_output():
    torch.manual_seed(0)
    with_skips = unet.build("unet", 3, 2, base=2).eval()
    without = WithoutSkips(3, 2, base=2).eval()
    without.load_state_dict(with_skips.state_dict())  # so both have the same size
    image = torch.randn(1, 3, 35, 50)
    before = [one(image) for one in (with_skips, without)]
    assert before[0].shape == before[1].shape == (1, 2, 35, 50)
    with torch.no_grad():
        for one in (with_skips, without):
            for up in (one.up1, one.up2, one.up3, one.up4):
                weight = up.conv.double_conv[0].weight
                weight[:, : weight.shape[1] // 2] *= 5  # of the channels of the skip
    assert not torch.allclose(with_skips(image), before[0])
    assert torch.equal(without(image), before[1])


def test_a_mask_is_stretched_by_nearest_pixel():
    mask = np.array([[1, 2, 3], [4, 5, 6]])
    assert experiments.stretched(mask, 4, 3).tolist() == [
        [1, 2, 3],
        [1, 2, 3],
        [4, 5, 6],
        [4, 5, 6],
    ]
    assert experiments.stretched(mask, 2, 2).tolist() == [[1, 3], [4, 6]]  # at 0.75 and 2.25


def test_the_displacement_of_labels_by_hand():
    crs = CRS.from_epsg(3857)
    image = Grid(crs, (10, 0, 6e5, 0, -10, 6e6), 20, 20)
    assert experiments.displacement(image, image).max() == pytest.approx(0, abs=1e-6)
    # A mask of the same extent with pixels of 20 m, which begins 30 m east and 40 m north.
    mask = Grid(crs, (20, 0, 6e5 + 30, 0, -20, 6e6 + 40), 10, 10)
    assert experiments.displacement(image, mask) == pytest.approx(np.full((20, 20), 5.0))


def test_a_shifted_mask_claims_the_grid_of_its_image(tmp_path, capsys):
    codes = np.random.default_rng(0).choice(np.array([1, 250, 255], np.uint8), (20, 30))
    image_grid = Grid(CRS.from_epsg(3857), (10, 0, 6e5, 0, -10, 6e6), 25, 28)
    mask_grid = Grid(CRS.from_epsg(3035), (10, 0, 4e6, 0, -10, 3e6), 20, 30)
    cog.write(tmp_path / "image.tif", np.ones((2, 25, 28), np.uint16), image_grid)
    cog.write(tmp_path / "mask.tif", codes, mask_grid)
    experiments.write_shifted([tmp_path / "image.tif"], [tmp_path / "mask.tif"], tmp_path / SHIFTED)
    with Raster(tmp_path / SHIFTED / "mask.tif") as raster:
        assert raster.grid.matches(image_grid)
        assert (raster.read()[0] == experiments.stretched(codes, 25, 28)).all()
    assert "pixels beside their place" in capsys.readouterr().out


def test_runs_are_trained_and_scored(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "SETTINGS", "--batch 4 --base 2 --precision float32")
    _, _, table = small.write(tmp_path, count=10, size=32)
    runs = [Run("blind", network=WithoutSkips), Run("two by heart", "--overfit 2")]
    found = experiments.conduct(tmp_path, runs, 1, 5, str(table))
    labels = ["blind", "two by heart: on these", "two by heart: on others"]
    assert [line.label for line in found] == labels
    matrix = checkpoint.load(tmp_path / "runs/blind-5/last.pt")["metrics"]["confusion"]
    truth, line = ConfusionMatrix(2, matrix), found[0]
    assert line.macro_dice == pytest.approx(truth.macro_dice(), abs=1e-3) and line.seconds > 0
    assert line.rare_iou == pytest.approx(truth.iou()[1].item(), abs=1e-3)  # water is rarer
    assert unet.MODELS["unet"] is unet.UNet  # the other network was for its run alone
    commands = [line for line in capsys.readouterr().out.splitlines() if "python train.py" in line]
    assert len(commands) == 2 and "--seed 5 --overfit 2" in commands[1]
    train.parse(shlex.split(commands[0].split("train.py ")[1]))


def test_windows_that_were_learned_by_heart_do_not_validate(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "SETTINGS", "--batch 4 --base 2")
    monkeypatch.setattr(train, "main", lambda arguments: None)
    _, _, table = small.write(tmp_path, size=32)
    with pytest.raises(InputError, match="all by heart: no other window is left to validate on"):
        experiments.conduct(tmp_path, [Run("all by heart", "--overfit 4")], 1, 0, str(table))


def test_the_table_has_means_and_ranges():
    lines = [Line("a", 0.5, 0.25, 10), Line("b", 0.1, 0.2, 4), Line("a", 0.7, 0.35, 20)]
    rows = experiments.table(lines).splitlines()
    assert rows[2] == "| a | 0.600 (0.500 to 0.700) | 0.300 (0.250 to 0.350) | 15 |"
    assert rows[3] == "| b | 0.100 | 0.200 | 4 |" and len(rows) == 4


def test_an_unknown_experiment_and_a_used_folder_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        experiments.parse(["skipz"])
    assert "skipz: is not among skips, indices" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    with pytest.raises(InputError, match="holds runs already"):
        experiments.main(["skips", "--folder", str(tmp_path)])
