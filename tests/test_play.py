"""tests/play.py: three calls write three pictures, as `python -i` runs them."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import play
import pytest
import small
import torch

import train
import unet
from data.files import IGNORE
from data.sample import towns
from unet import checkpoint
from unet.training.newest import choose

ROOT = Path(__file__).parents[1]


def network(path: Path) -> Path:
    """Write a checkpoint of an untrained network for the towns."""
    torch.manual_seed(0)
    model = {"name": "unet", "in_channels": 11, "num_classes": 3, "options": {"base": 2}}
    state = {"model": model, "weights": unet.build("unet", 11, 3, base=2).state_dict()}
    state |= {"classes": play.table.records, "class_table": "esm", "bands": play.bands}
    scaling = {"method": "minmax", "offset": [0.0] * 11, "scale": [4000.0] * 11}
    path.parent.mkdir(parents=True)
    checkpoint.save(path, {**state, "indices": [], "size": 256, "scaling": scaling})
    return path


def picture(path: Path) -> np.ndarray:
    return imagecodecs.png_decode(path.read_bytes())


def test_three_calls_in_python_write_three_pictures(tmp_path):
    network(tmp_path / "runs/a/best.pt")
    done = subprocess.run(
        [sys.executable, "-i", ROOT / "tests/play.py"],
        input="show_image()\nshow_labels()\nshow_map()\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "checkpoint runs/a/best.pt" in done.stdout and "show_labels()" in done.stdout
    assert picture(tmp_path / "runs/play/image.png").shape == (300, 300, 3)
    drawn = picture(tmp_path / "runs/play/labels.png")[:300, :300]
    for label, color in [*enumerate(play.table.colors), (IGNORE, (0, 0, 0))]:
        assert ((drawn == color).all(2) == (play.labels == label)).all()
    wide = picture(tmp_path / "runs/play/map.png")
    assert wide.shape[0] >= 300 and wide.shape[1] > 600


def test_the_labels_are_the_codes_of_the_town_on_the_grid_of_its_image():
    town = towns.make_scene(0, 4)
    assert (play.image == town.image).all() and play.grid == town.image_grid
    row, col = 150, 150
    x, y = play.grid.xy(row + 0.5, col + 0.5)
    left, top = play.grid.xy(0, 0)
    landscape = towns.draw_landscape(0, 4)
    positions = np.array([x - left - towns.HALF]), np.array([y - top + towns.HALF])
    code = towns.codes(landscape, *positions).item()
    assert play.table.codes[play.labels[row, col]] == code


@pytest.mark.parametrize("before", ["no run", "a run with other bands"])
def test_without_a_fitting_run_a_network_is_trained_once(before, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if before == "no run":
        monkeypatch.setattr(play, "choose", lambda path: choose(tmp_path / "no.pt"))
    else:
        (tmp_path / "runs/a").mkdir(parents=True)
        small.untrained(tmp_path / "runs/a/best.pt")
    trainings = []

    def main(arguments: list[str]) -> None:
        trainings.append(train.parse(arguments))
        network(trainings[-1].output / "best.pt")

    monkeypatch.setattr(train, "main", main)
    monkeypatch.setattr(towns, "write", lambda folder, count: ([Path("i/1")], [Path("m/1")]))
    for _ in range(2):
        assert play.show_map() == Path("runs/play/map.png")
    assert len(trainings) == 1 and picture(Path("runs/play/map.png")).any()
    text = capsys.readouterr().out
    reason = "no such file" if before == "no run" else "knows other bands or classes"
    assert text.count(reason) == 2 and text.count("a network is trained now") == 1
