"""ONNX files of a network for QGIS and onnxruntime: unet/evaluation/export_onnx.py."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import unet
from data import tiling
from data.bands import available, stack
from data.classes import ClassTable
from data.files import InputError
from data.input import inputs
from data.input.units import Unit
from data.sample import towns
from data.scaling import Scaling, network_input
from unet import checkpoint, export
from unet.evaluation import export_onnx, run_exported
from unet.evaluation.command import one_line_errors
from unet.evaluation.predictor import Predictor
from unet.networks import segformer

BANDS = list(towns.BANDS)
INDICES = available(BANDS)
TABLE = ClassTable.load("esm")
SIDE = 64  # of the tiles of these tests
CORNERS = (70, 70), (50, 50), (120, 90)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Three windows of an embedded scene, (3, 11, SIDE, SIDE) uint16, with pixels of no data."""
    scene = towns.make_scene(0, 0).image
    scene[:, 100:140, 100:140] = 0  # a hole
    scene[3, 60:90, 60:90] = 0  # a hole in one band
    return np.stack([scene[:, row : row + SIDE, col : col + SIDE] for row, col in CORNERS])


def state(images: np.ndarray, name="unet", method="minmax", nodata=0, **settings) -> dict:
    """Make a checkpoint of a network with random weights that predicts all three classes."""
    torch.manual_seed(0)
    options = {"base": 4} if name == "unet" else {}
    channels = len(BANDS) + len(INDICES)
    network = unet.build(name, channels, 3, **options).eval()
    pixels = stack(images[0], BANDS, INDICES).reshape(channels, -1)
    scaling = Scaling.fit(pixels, method) if method != "image" else Scaling("image")
    last = network.get_submodule(network.last_layer)
    with torch.no_grad():
        values = network_input(images[0], BANDS, INDICES, scaling.for_image(lambda: pixels), 0)[0]
        logits = network(torch.from_numpy(values)[None])
        last.weight *= 2 / logits.std((0, 2, 3)).reshape(-1, 1, 1, 1)
        logits = network(torch.from_numpy(values)[None])
        last.bias -= logits.mean((0, 2, 3))
    found = {
        "model": {"name": name, "in_channels": channels, "num_classes": 3, "options": options},
        "weights": network.state_dict(),
        "classes": TABLE.records,
        "class_table": "esm",
        "bands": BANDS,
        "indices": INDICES,
        "size": 48,
        "resolution": 6.7,
        "scaling": scaling.state(),
        "settings": {"offset": 0.0, **settings},
        "metrics": {"temperature": 1.5},
    }
    about = {**inputs.recipe(found, TABLE), "nodata_value": nodata, "crs_resolution_metres": 10.0}
    return {**found, "recipe": about}


def expected(found: dict, images: np.ndarray, path: Path) -> np.ndarray:
    """Compute the probabilities (N, 3, SIDE, SIDE) as predict.py does."""
    checkpoint.save(path, found)
    predictor = Predictor(path, "cpu", "float32")
    scaling = Scaling.from_state(found["scaling"])
    unit = Unit(found["settings"]["offset"], (1.0,) * len(BANDS), found["recipe"]["nodata_value"])
    nodata = unit.nodata if unit.unchanged else None
    values = [network_input(unit.apply(one), BANDS, INDICES, scaling, nodata)[0] for one in images]
    return predictor.probabilities(np.stack(values), [0] * len(values))


def assert_same_labels(found: np.ndarray, probabilities: np.ndarray) -> None:
    """Assert that labels are equal. Only where two classes have one probability they may differ."""
    ranked = np.sort(probabilities, axis=1)
    tie = ranked[:, -1] - ranked[:, -2] < 1e-5
    assert found.shape == probabilities.shape and tie.mean() < 1e-3
    assert ((found.argmax(1) == probabilities.argmax(1)) | tie).all()
    assert min(np.bincount(found.argmax(1).ravel(), minlength=3)) > 0.02 * tie.size


# What needs no package: the computation that the file records, its metadata, the messages.


@pytest.mark.parametrize("method", ["minmax", "standard"])
@pytest.mark.parametrize("nodata, offset", [(0, 0.0), (None, 0.0), (0, -300.0), (7000, 0.0)])
def test_the_recorded_input_is_that_of_predict(images, method, nodata, offset):
    if nodata == 7000:  # a value that is no measurement marks the whole pixel
        images = np.where(images == 0, np.uint16(7000), images)
    loaded = state(images, method=method, nodata=nodata, offset=offset)
    images = images.copy()
    images[1, :, 5, 5] = 7001  # is not 7000
    images[1, :, 6, 6] = 60000  # beyond the limits of the scaling
    unit = Unit(offset, (1.0,) * len(BANDS), nodata)
    given, scaling = unit.apply(images[1]), Scaling.from_state(loaded["scaling"])
    values, _ = network_input(given, BANDS, INDICES, scaling, None if offset else nodata)
    raw = torch.from_numpy(images[1].astype(np.float32))[None]
    found = run_exported.network_input(export.description(loaded), raw)
    np.testing.assert_allclose(found[0], values, rtol=1e-5, atol=1e-6)
    raw[0, 4, 3, 3] = torch.inf
    holes = run_exported.network_input(export.description(loaded), raw)
    assert (holes[0, :, 3, 3] == 0).all() and (found[0, :, 3, 3] != 0).any()


def test_the_logits_are_divided_by_the_temperature_of_the_checkpoint():
    def network(x):
        return torch.cat([x, -x], 1)

    scaling = {"method": "minmax", "offset": [0.0], "scale": [10.0], "limits": [-1, 2]}
    about = {"bands": ["1"], "indices": {}, "scaling": scaling}
    about |= {"nodata_value": None, "image_offset": 0, "temperature": 2.0}
    found = run_exported.softmax(network, about, torch.full((1, 1, 1, 1), 6.0))
    assert found.flatten()[0].item() == pytest.approx(1 / (1 + np.exp(-0.6)))


def test_the_metadata_makes_the_plugin_feed_the_numbers_of_the_raster(images):
    given = export_onnx.metadata(export.description(state(images)), 320)
    values = {name: json.loads(value) for name, value in given.items()}
    about = values.pop("landcover")
    assert about["bands"] == BANDS and about["indices"]["NDVI"] == ["NIR", "Red"]
    assert (about["temperature"], about["nodata_value"]) == (1.5, 0)
    mean, std = values.pop("standardization_mean"), values.pop("standardization_std")
    assert values == {
        "model_type": "Segmentor",
        "class_names": {"0": "other", "1": "non-residential", "2": "residential"},
        "tile_size": 320, "tiles_size": 320, "tiles_overlap": 20, "resolution": 1000.0,
        "seg_thresh": 0, "seg_small_segment": 0,
    }  # fmt: skip
    fed = (np.float32(images[0].T * 1.0 / 255.0) - np.float32(mean)) / np.float32(std)
    np.testing.assert_allclose(fed, images[0].T, rtol=3e-7)
    loaded = state(images)
    del loaded["recipe"]["crs_resolution_metres"]  # an older checkpoint
    about = export.description(loaded)
    assert json.loads(export_onnx.metadata(about, 256)["resolution"]) == 670
    about["resolution_metres"] = None
    assert "resolution" not in export_onnx.metadata(about, 256)


def test_tiles_and_overlap_are_those_of_predict():
    for size in (32, 48, 256, 300, 512, 700):
        side, overlap = tiling.layout(size)
        assert export_onnx.window(size) == side and export_onnx.OVERLAP == overlap


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_missing_packages_are_named_in_one_line(images, tmp_path, monkeypatch, capsys, missing):
    monkeypatch.chdir(tmp_path)
    checkpoint.save("best.pt", state(images))
    monkeypatch.setitem(sys.modules, "onnx", ModuleType("onnx"))
    monkeypatch.setitem(sys.modules, "onnxscript", ModuleType("onnxscript"))
    monkeypatch.setitem(sys.modules, missing, None)  # its import fails
    with pytest.raises(SystemExit) as stopped, one_line_errors("unet.export"):
        export.main(["best.pt", "-o", "model.onnx"])
    assert stopped.value.code == 2 and capsys.readouterr() == (
        "",
        "unet.export: error: model.onnx: needs the packages onnx and onnxscript; "
        "pip install onnx onnxscript\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_a_scaling_by_the_whole_image_is_refused(images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", ModuleType("onnx"))
    monkeypatch.setitem(sys.modules, "onnxscript", ModuleType("onnxscript"))
    with pytest.raises(InputError, match="model.onnx: --scaling image fits the scaling to the who"):
        export.export(state(images, method="image"), tmp_path / "model.onnx")


# What needs the packages.


def exported(found: dict, path: Path):
    """Export a checkpoint with small tiles, and open the file."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export_onnx, "LEAST", SIDE)
        assert export.export(found, path) == (
            f"any number of images of {SIDE} x {SIDE} pixels, bands as in the raster: "
            + ", ".join(BANDS)
        )
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def unet_file(images, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    exported(state(images), path)
    return path


def assert_gives_our_labels(session, found: dict, images: np.ndarray, folder: Path) -> None:
    """Assert that one image and three images get our labels and probabilities."""
    ours, raw = expected(found, images, folder / "best.pt"), images.astype(np.float32)
    for batch in (raw[:1], raw):
        (theirs,) = session.run(None, {"image": batch})
        assert_same_labels(theirs, ours[: len(batch)])
    with torch.no_grad():
        whole = export_onnx.WholePath(checkpoint.build_model(found), export.description(found))
        np.testing.assert_allclose(theirs, whole(torch.from_numpy(raw)).numpy(), atol=1e-4)


def test_onnxruntime_gives_our_labels_for_a_unet(unet_file, images, tmp_path):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(unet_file))
    assert_gives_our_labels(session, state(images), images, tmp_path)
    (given,), (got,) = session.get_inputs(), session.get_outputs()
    assert given.shape == ["batch", len(BANDS), SIDE, SIDE] and given.type == "tensor(float)"
    assert got.shape == ["batch", 3, SIDE, SIDE]
    metadata = session.get_modelmeta().custom_metadata_map
    about = export.description(state(images))
    assert metadata == export_onnx.metadata(about, SIDE)
    fed = np.float32(images / 255) / np.float32(json.loads(metadata["standardization_std"])[0])
    (theirs,) = session.run(None, {"image": fed})  # as the plugin feeds them
    assert_same_labels(theirs, expected(state(images), images, tmp_path / "best.pt"))
    content = unet_file.read_bytes()
    assert str(Path(export.__file__).parents[1]).encode() not in content
    assert pytest.importorskip("onnx").load_from_string(content).ir_version == 8


def test_onnxruntime_gives_our_labels_for_a_transformer(images, tmp_path, monkeypatch):
    monkeypatch.setitem(segformer.SIZES, "b0", ((32, 64, 160, 256), (1, 1, 1, 1), 64))
    found = state(images, "segformer-b0", "standard")
    session = exported(found, tmp_path / "model.onnx")
    assert_gives_our_labels(session, found, images, tmp_path)


def test_the_evaluator_of_onnx_compares_where_onnxruntime_is_missing(
    unet_file, images, monkeypatch
):
    content, raw = unet_file.read_bytes(), images[:1].astype(np.float32)
    raw[0, 2, 5, 5] = np.nan
    by_runtime = export_onnx._runner(content)(raw)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    by_evaluator = export_onnx._runner(content)(raw)
    np.testing.assert_allclose(by_evaluator, by_runtime, atol=1e-5)
    assert np.isfinite(by_runtime).all()


def test_a_file_that_gives_something_else_is_not_kept(unet_file, images, tmp_path, monkeypatch):
    onnx, other = pytest.importorskip("onnx"), state(images)
    other["weights"]["outc.conv.bias"] = other["weights"]["outc.conv.bias"] + torch.tensor(
        [1, 0, 0]
    )
    program = SimpleNamespace(model_proto=onnx.load(unet_file))  # of the network without the 1
    monkeypatch.setattr(export_onnx, "LEAST", SIDE)
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    with pytest.raises(checkpoint.CheckpointError, match="model.onnx: the exported network's prob"):
        export.export(other, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
    export.export(state(images), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
