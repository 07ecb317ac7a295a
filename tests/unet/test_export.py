"""Export of a network: unet/export.py."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import unet
from data import bands
from data.classes import ClassTable
from data.files import InputError
from data.input import inputs
from data.scaling import Scaling, network_input
from unet import checkpoint, export

BANDS = ["Green", "Red", "NIR"]
TABLE = ClassTable.load("esm")


def state(size=48, method="minmax", **options) -> dict:
    """Make a checkpoint of a small network with random weights and its own running statistics."""
    torch.manual_seed(0)
    options = {"base": 4, **options}
    model = unet.build("unet", 4, 3, **options)
    with torch.no_grad():
        model(torch.randn(4, 4, 32, 32))
    fitted = {"offset": [100.0, 200.0, 50.0, -1.0], "scale": [3000.0, 2000.0, 2500.0, 2.0]}
    if method == "image":
        fitted = {"offset": [], "scale": []}
    found = {
        "model": {"name": "unet", "in_channels": 4, "num_classes": 3, "options": options},
        "weights": model.state_dict(),
        "classes": TABLE.records,
        "class_table": "esm",
        "bands": BANDS,
        "indices": ["NDVI"],
        "size": size,
        "resolution": 6.7,
        "scaling": {"method": method, **fitted},
    }
    return found | {"recipe": inputs.recipe(found, TABLE)}


class Opened(NamedTuple):
    """An exported file as torch reads it."""

    program: torch.export.ExportedProgram
    about: dict  # landcover.json
    script: str  # run.py


def read(path: Path) -> Opened:
    extra = {"landcover.json": "", "run.py": ""}
    program = torch.export.load(path, extra_files=extra)
    return Opened(program, json.loads(extra["landcover.json"]), extra["run.py"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.pt2"
    assert export.export(state(), path) == (
        "any batch, heights and widths of multiples of 16 from 32"
    )
    assert [p.name for p in path.parent.iterdir()] == ["model.pt2"]
    return path


@pytest.fixture(scope="module")
def opened(exported) -> Opened:
    """Read the file once: torch takes more than a second."""
    return read(exported)


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 48, 160), (5, 64, 32), (2, 256, 256)])
def test_any_batch_and_any_multiple_of_16_give_what_the_network_gives(opened, shape):
    network, eager = opened.program.module(), checkpoint.build_model(state())
    x = torch.randn(shape[0], 4, *shape[1:], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network(x), eager(x), rtol=1e-4, atol=1e-5)


def test_the_file_says_what_it_wants_and_what_it_gives(opened):
    about = opened.about
    assert (
        about["bands"] == BANDS
        and about["indices"] == {"NDVI": ["NIR", "Red"]}
        and about["dates"] == 1
    )
    assert (
        about["scaling"] == {**state()["scaling"], "limits": [-1, 2]}
        and about["resolution_metres"] == 6.7
    )
    assert about["classes"][2] == {
        "label": 2,
        "name": "residential",
        "code": 255,
        "color": "#D72D27",
    }
    assert about["temperature"] == 1 and "softmax(logits / temperature)" in about["output"]
    assert about["input"] == {
        "channels": 4, "multiple_of": 16, "smallest": 32,
        "sizes": "any batch, heights and widths of multiples of 16 from 32",
    }  # fmt: skip


def test_the_script_inside_maps_images_as_we_do_and_needs_torch_alone(
    exported, opened, tmp_path, monkeypatch
):
    by_itself = state(method="image")
    by_itself["metrics"] = {"temperature": 1.6}
    monkeypatch.setattr(export, "_open", lambda *_: opened.program)  # the network is the same
    export.export(by_itself, tmp_path / "image.pt2")
    shutil.copy(exported, tmp_path / "minmax.pt2")
    (tmp_path / "run.py").write_text(opened.script)
    image = np.random.default_rng(0).integers(1, 4000, (3, 48, 64)).astype(np.uint16)
    image[:, 0, 0] = 0  # 0 / 0 in the index
    torch.save(torch.from_numpy(image.astype(np.int32)), tmp_path / "numbers.pt")
    calling = (
        "import sys, torch; sys.path.insert(0, '.'); import run\n"
        "for name in 'minmax', 'image':\n"
        "    found = run.probabilities(*run.load(name + '.pt2'), torch.load('numbers.pt'))\n"
        "    torch.save(found, name + '.pt')\n"
        "assert not {'unet', 'data', 'tifffile', 'pyproj'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", calling], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for loaded in (state(), by_itself):
        fitted = Scaling.from_state(loaded["scaling"]).for_image(
            lambda: bands.stack(image, BANDS, ["NDVI"]).reshape(4, -1)
        )
        values, _ = network_input(image, BANDS, ["NDVI"], fitted, None)
        with torch.no_grad():
            logits = checkpoint.build_model(loaded)(torch.from_numpy(values)[None])[0]
        expected = (logits / checkpoint.temperature(loaded)).softmax(0)
        found = torch.load(tmp_path / f"{loaded['scaling']['method']}.pt")
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_a_network_whose_sizes_cannot_stay_open_takes_one_window(tmp_path, monkeypatch):
    class Fixed(unet.MODELS["unet"]):
        def forward(self, x):
            return super().forward(x) * float(x.shape[-1])  # a number that depends on the size

    monkeypatch.setitem(unet.MODELS, "unet", Fixed)
    assert export.export(state(size=40), tmp_path / "model.pt2") == "one window of 48 x 48 pixels"
    program, about, _ = read(tmp_path / "model.pt2")
    network, x = program.module(), torch.randn(1, 4, 48, 48)
    torch.testing.assert_close(network(x), checkpoint.build_model(state())(x), rtol=1e-4, atol=1e-4)
    assert (
        about["input"]["sizes"] == "one window of 48 x 48 pixels"
        and about["input"]["smallest"] == 48
    )


def test_a_file_that_gives_something_else_is_not_kept(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(
        export, "_open", lambda *_: opened.program
    )  # the program of another network
    other = state()
    other["weights"] = {
        **other["weights"],
        "outc.conv.bias": other["weights"]["outc.conv.bias"] + 1,
    }
    (tmp_path / "model.pt2").write_text("an earlier one")
    with pytest.raises(
        checkpoint.CheckpointError, match="model.pt2: the exported network's logits are off by"
    ):
        export.export(other, tmp_path / "model.pt2")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["an earlier one"]


def test_the_command_takes_a_checkpoint_or_the_folder_of_a_run(
    opened, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "_open", lambda *_: opened.program)
    Path("run").mkdir()
    checkpoint.save("run/best.pt", state())
    for given in ("run", "run/best.pt"):
        export.main([given, "-o", "model.pt2"])
        printed = capsys.readouterr().out
        assert printed == (
            "model.pt2: takes any batch, heights and widths of multiples of 16 from 32\n"
        )
    assert read(Path("model.pt2")).about["bands"] == BANDS
    old = {name: value for name, value in state().items() if name != "recipe"}
    checkpoint.save("old.pt", old)
    Path("model.pt2").rename("run.pt2")
    for given, output, message in (
        ("run", "model.pt", "model.pt: the name of an exported network ends in .pt2 or .onnx"),
        ("run", "no/model.pt2", "there is no folder no; make it first"),
        ("old.pt", "model.pt2", "the checkpoint is of version 1"),
        ("none.pt", "model.pt2", "none.pt: no such file"),
    ):
        with pytest.raises(InputError, match=message):
            export.main([given, "-o", output])
    assert not Path("model.pt2").exists()
