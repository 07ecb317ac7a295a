"""Prediction of windows: one pass, several passes, uncertainty, areas."""

import math

import numpy as np
import pytest
import small
import torch
from gpu import exact, needs_gpu

from data.files import InputError
from unet import checkpoint
from unet.evaluation.predictor import Predictor


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return small.untrained(tmp_path_factory.mktemp("predictor") / "net.pt", dropout=0.4)


def inputs(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 4, 64, 64), np.float32)


def test_one_pass_is_the_softmax_of_the_network(path):
    predictor = Predictor(path, "cpu", "float32")
    model = checkpoint.build_model(checkpoint.load(path))
    with torch.no_grad():
        expected = model(torch.from_numpy(inputs(2))).softmax(1).numpy()
    np.testing.assert_allclose(predictor.probabilities(inputs(2), [0, 0]), expected, atol=1e-4)
    assert (predictor.size, predictor.classes, predictor.layers) == (256, 2, 2)
    kinds = {type(module).__name__ for module in predictor.model.modules()}
    assert "Conv2d" in kinds and "BatchNorm2d" not in kinds  # folded into the convolutions
    assert predictor.checkpoint["bands"] == small.BANDS and "weights" not in predictor.checkpoint


@pytest.mark.parametrize("views", [False, True])
def test_passes_with_dropout_are_those_of_the_seeds_in_any_batch(path, views):
    predictor = Predictor(path, "cpu", "float32", 3, views)
    images = inputs(3)
    together = predictor.probabilities(images, [5, 6, 7])
    torch.manual_seed(9)  # torch's global random generator has no effect
    apart = [predictor.probabilities(images[n : n + 1], [5 + n])[0] for n in (2, 0)]
    np.testing.assert_allclose(apart, together[[2, 0]], atol=1e-5)
    other = predictor.probabilities(images, [8, 6, 7])
    assert np.abs(other - together)[0].max() > 1e-3 and np.allclose(other[1:], together[1:])
    assert together.shape == (3, 3, 64, 64) and (together[:, 2] > 0).any()


def test_uncertainty_is_entropy_and_mutual_information_as_shares_of_the_largest_entropy(path):
    even, sure = np.full((2, 1, 2), 0.5, np.float32), np.float32([[[1, 1]], [[0, 0]]])
    one = Predictor(path, "cpu", "float32")
    assert one.uncertainty_names == ["predictive entropy"]
    assert one.uncertainty_layers(even).tolist() == [[[1, 1]]]
    several = Predictor(path, "cpu", "float32", 2)
    assert several.uncertainty_names == ["predictive entropy", "mutual information"]
    layers = np.concatenate([sure, np.float32([[[0.25, 0]]])])
    assert several.uncertainty_layers(layers).tolist() == [[[0, 0]], [[0.25, 0]]]
    image = inputs(1)
    found = several.probabilities(image, [1])
    assert (found[:, 2] <= several.uncertainty_layers(found[0])[0] + 1e-6).all()
    assert found[:, 2].max() < 1 / math.log(2)


def test_areas_are_adjusted_by_the_errors_in_validation_windows(path, tmp_path):
    old = Predictor(path, "cpu", "float32")
    assert old.adjust is None and old.objection(np.ones(2), np.ones(4), "ab") == ""
    loaded = checkpoint.load(path)
    metrics = {
        "confusion": torch.tensor([[80, 20], [10, 90]]),
        "windows": torch.tensor([[[8, 2], [1, 9]]] * 10).int(),
        "scenes": torch.arange(10),
        "inputs": torch.rand(10, 4),
    }
    checkpoint.save(tmp_path / "known.pt", {**loaded, "metrics": metrics})
    known = Predictor(tmp_path / "known.pt", "cpu", "float32")
    shares, low, high = known.adjust(np.array([3.0, 3.0]), 200, 1)
    # 80 of 90 pixels mapped as the first class are of it, and 20 of 110 mapped as the second.
    assert shares.tolist() == pytest.approx([(80 / 90 + 20 / 110) / 2, (10 / 90 + 90 / 110) / 2])
    assert (low <= shares).all() and (shares <= high).all()
    assert known.objection(np.ones(2), np.full(4, 0.5), "ab") == ""
    assert f"mean {small.BANDS[1]}," in known.objection(np.ones(2), np.array([0.5, 9, 1, 1]), "ab")
    assert known.objection(np.zeros(2), np.full(4, np.nan), "ab") == ""  # nothing is mapped


@pytest.mark.parametrize("mode", [{}, {"views": True}, {"passes": 3}])
def test_logits_are_divided_by_the_temperature_in_every_mode(path, tmp_path, mode):
    """A temperature of 2 in one file, and logits of half the size in another, are the same."""
    loaded, half = checkpoint.load(path), tmp_path / "half.pt"
    for name in ("outc.conv.weight", "outc.conv.bias"):
        loaded["weights"][name] /= 2
    checkpoint.save(half, loaded)
    calibrated = tmp_path / "calibrated.pt"
    checkpoint.save(calibrated, {**checkpoint.load(path), "metrics": {"temperature": 2.0}})
    one, other, plain = (
        Predictor(file, "cpu", "float32", **mode) for file in (half, calibrated, path)
    )
    seeds = [3]
    found = other.probabilities(inputs(1), seeds)
    np.testing.assert_allclose(found, one.probabilities(inputs(1), seeds), atol=1e-4)
    assert np.abs(found - plain.probabilities(inputs(1), seeds)).max() > 0.01
    assert str(other) == "2 classes, on cpu, temperature 2"
    assert str(plain) == "2 classes, on cpu"


def test_passes_with_dropout_need_dropout(tmp_path):
    small.untrained(tmp_path / "net.pt")
    with pytest.raises(InputError, match="net.pt: --mc-dropout needs a network with dropout"):
        Predictor(tmp_path / "net.pt", "cpu", "float32", 2)


@needs_gpu
@pytest.mark.parametrize("passes", [0, 3])
def test_labels_of_a_gpu_are_those_of_the_cpu(path, passes):
    images, seeds = np.random.default_rng(0).random((4, 4, 256, 256), np.float32), [1, 2, 3, 4]
    expected = Predictor(path, "cpu", "float32").probabilities(images, seeds)[:, :2]
    assert (expected.argmax(1) == 0).mean() > 0.05 and (expected.argmax(1) == 1).mean() > 0.05
    with exact():
        found = Predictor(path, "cuda", "float32", passes).probabilities(images, seeds)
    if passes:  # a GPU draws other random numbers
        assert found.shape[1] == 3 and np.abs(found[:, :2] - expected).mean() < 0.2
        return
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.999
    half = Predictor(path, "cuda").probabilities(images, seeds)
    assert half.dtype == np.float32 and (half.argmax(1) == expected.argmax(1)).mean() > 0.95
