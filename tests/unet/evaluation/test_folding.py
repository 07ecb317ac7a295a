"""Folding of batch normalisation: the same logits, and no normalisation left."""

import pytest
import torch
from torch import nn

import unet
from unet.evaluation.folding import fold

SMALL = {"unet": {"base": 4}}
# segformer-b1 to b5 are segformer-b0 with more layers.
SMALLEST = [name for name in unet.MODELS if name not in {f"segformer-b{n}" for n in range(1, 6)}]


def normalisations(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def test_a_folded_convolution_has_scaled_weights_and_a_shifted_bias():
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0)
    for tensor, value in [
        (conv.weight, 2.0),
        (conv.bias, 1.0),
        (norm.weight, 6.0),  # gamma
        (norm.bias, 5.0),  # beta
        (norm.running_mean, 4.0),
        (norm.running_var, 9.0),
    ]:
        tensor.data.fill_(value)
    folded = fold(nn.Sequential(conv, norm).eval())[0]
    # 6 (2 x + 1 - 4) / sqrt(9) + 5 = 4 x - 1
    assert folded.weight.item() == pytest.approx(4) and folded.bias.item() == pytest.approx(-1)


@pytest.mark.parametrize("name", SMALLEST)
def test_every_network_has_the_same_logits_without_its_normalisations(name):
    torch.manual_seed(0)
    model = unet.build(name, 3, 4, **SMALL.get(name, {})).eval()
    assert normalisations(model)
    for norm in normalisations(model):
        for tensor, low in [
            (norm.weight, 0.5),
            (norm.bias, -0.5),
            (norm.running_mean, -0.5),
            (norm.running_var, 0.5),
        ]:
            nn.init.uniform_(tensor, low, low + 1)
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        expected = model(image)
        found = fold(model)(image)
    assert not normalisations(model)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
