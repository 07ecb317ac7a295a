"""Entropy and mutual information by hand, dropout that stays on, and the eight views."""

import math

import pytest
import torch
from torch import nn

import unet
from unet.evaluation.uncertainty import average, eight_views, entropy, mc_dropout


def pixel(*probabilities: float) -> torch.Tensor:
    """Probabilities (1, K, 1, 1) of one pixel."""
    return torch.tensor(probabilities, dtype=torch.float64).view(1, -1, 1, 1)


def test_entropy_is_0_if_sure_and_ln_k_if_all_classes_are_the_same():
    assert entropy(pixel(0, 1, 0)).item() == 0
    assert entropy(pixel(0.25, 0.25, 0.25, 0.25)).item() == pytest.approx(math.log(4))


def test_entropy_by_hand():
    # -(1/2 ln 1/2 + 1/4 ln 1/4 + 1/4 ln 1/4) = 1/2 ln 2 + 1/2 ln 4 = 3/2 ln 2
    assert entropy(pixel(0.5, 0.25, 0.25)).item() == pytest.approx(1.5 * math.log(2))


def test_two_sure_predictions_that_contradict_are_all_mutual_information():
    mean, whole, mutual = average([pixel(1, 0), pixel(0, 1)])
    assert mean.flatten().tolist() == [0.5, 0.5]
    assert whole.item() == pytest.approx(math.log(2)) and mutual.item() == pytest.approx(
        math.log(2)
    )


def test_two_undecided_predictions_that_agree_have_none():
    _, whole, mutual = average([pixel(0.5, 0.5), pixel(0.5, 0.5)])
    assert whole.item() == pytest.approx(math.log(2)) and mutual.item() == 0


def test_mutual_information_by_hand():
    # (3/4, 1/4) and (1/4, 3/4): mean (1/2, 1/2) with H = ln 2; each has H = ln 4 - 3/4 ln 3
    _, whole, mutual = average([pixel(0.75, 0.25), pixel(0.25, 0.75)])
    assert whole.item() == pytest.approx(math.log(2))
    assert mutual.item() == pytest.approx(math.log(2) - math.log(4) + 0.75 * math.log(3))


def test_mutual_information_lies_between_0_and_the_entropy():
    torch.manual_seed(0)
    predictions = [torch.randn(2, 5, 6, 7).softmax(1) for _ in range(4)]
    mean, whole, mutual = average(iter(predictions))
    torch.testing.assert_close(mean, torch.stack(predictions).mean(0))
    assert (
        mutual.shape == whole.shape == (2, 6, 7) and (mutual >= 0).all() and (mutual <= whole).all()
    )
    with pytest.raises(ValueError, match="one prediction"):
        average([])


def test_only_dropout_stays_on_and_all_modes_come_back():
    model = unet.build("unet", 3, 2, base=2, dropout=0.5).train()
    model.inc.eval()  # a mode of the caller's own
    images = torch.randn(2, 3, 32, 32)
    before = [module.training for module in model.modules()]
    with torch.no_grad(), mc_dropout(model, [0, 1]):
        assert not any(module.training for module in model.modules())
        assert not torch.equal(model(images), model(images))
    assert [module.training for module in model.modules()] == before
    with pytest.raises(RuntimeError), mc_dropout(model, [0, 1]):
        raise RuntimeError
    assert [module.training for module in model.modules()] == before
    with torch.no_grad():
        assert torch.equal(model.eval()(images), model(images))


def test_passes_differ_and_the_statistics_of_training_stay():
    torch.manual_seed(0)
    model = unet.build("unet", 3, 2, base=4, dropout=0.5).eval()
    images = torch.randn(2, 3, 32, 32)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad(), mc_dropout(model, [0, 1]):
        passes = [model(images).softmax(1) for _ in range(8)]
    assert not torch.equal(passes[0], passes[1]) and average(passes).mutual_information.mean() > 0
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dropout", [nn.Dropout(0.4), nn.Dropout2d(0.4)])
def test_a_sample_is_dropped_by_its_seed_in_any_batch(dropout):
    model, images = nn.Sequential(dropout, nn.ReLU(), dropout), torch.rand(3, 20, 6, 6) + 1
    with mc_dropout(model, [7, 8, 9]):
        together = [model(images) for _ in range(2)]
    with mc_dropout(model, [9, 7]):
        turned = [model(images[[2, 0]]) for _ in range(2)]
    for whole, part in zip(together, turned):
        assert torch.equal(whole[[2, 0]], part)
    assert not torch.equal(together[0], together[1])
    kept = (together[0] > 0).flatten(2)
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(kept.any(2), kept.all(2)) == isinstance(dropout, nn.Dropout2d)


@pytest.mark.parametrize("dropout", [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d])
def test_a_single_sample_is_dropped_as_torch_does_with_its_generator(dropout):
    x = torch.rand(
        1, 40, *[5] * (3 if dropout is nn.Dropout3d else 1 if dropout is nn.Dropout1d else 2)
    )
    torch.manual_seed(3)
    expected = dropout(0.3)(x)
    with mc_dropout(nn.Sequential(dropout(0.3)), [3]) as model:
        assert torch.equal(model(x), expected)


def test_the_mean_of_many_passes_is_the_expectation():
    """Dropout of a single number x at 1/2 gives 0 or 2x: the sigmoid's mean is known."""
    model = nn.Sequential(nn.Dropout(0.5)).eval()
    logit = torch.full((1, 1, 100, 100), 1.0)
    with mc_dropout(model, [0]):
        passes = (
            torch.cat([torch.zeros_like(logit), model(logit)], 1).softmax(1) for _ in range(20)
        )
        mean = average(passes).mean[:, 1].mean().item()
    assert mean == pytest.approx((0.5 + 1 / (1 + math.exp(-2))) / 2, abs=0.005)


def test_a_network_without_dropout_is_refused():
    with (
        pytest.raises(ValueError, match="no dropout"),
        mc_dropout(unet.build("unet", 3, 2, base=2), [0]),
    ):
        pass


@pytest.mark.parametrize("shape", [(6, 6), (5, 8)])
def test_every_view_is_turned_back(shape):
    """A prediction that is the image itself comes back as it is, all eight times, and the network
    saw eight.
    """
    images, seen = torch.randn(2, 3, *shape), []

    def predict(view):
        seen.append(view)
        return view

    assert all(torch.equal(view, images) for view in eight_views(predict, images))
    different = {view.numpy().tobytes() + bytes(view.shape) for view in seen}
    assert len(seen) == 8 and len(different) == 8


def test_the_average_of_the_views_turns_with_the_image():
    """A convolution is not symmetric, so only the average of the views turns with the image."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 4, 3, padding=1)
    images = torch.randn(1, 3, 9, 9)

    def predict(view):
        return network(view).softmax(1)

    with torch.no_grad():
        turned = torch.rot90(images, 1, dims=(-2, -1)).flip(-2)
        upright, other = (
            average(eight_views(predict, images)).mean,
            average(eight_views(predict, turned)).mean,
        )
        torch.testing.assert_close(torch.rot90(upright, 1, dims=(-2, -1)).flip(-2), other)
        assert not torch.allclose(
            torch.rot90(predict(images), 1, dims=(-2, -1)).flip(-2), predict(turned), atol=1e-3
        )
