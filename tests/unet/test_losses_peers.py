"""The losses against those of other libraries, in float64 to 1e-9, value and gradient:
unet/losses.py.

PyTorch's cross-entropy is the same as ours. Those of segmentation_models.pytorch (smp) are so in
part:

    Dice     the same where all classes occur. A class that does not costs nothing there, and the mean is over all K
             classes all the same; here it costs the share that it wrongly takes.
             With class weights both are a weighted mean.
    focal    the same for two classes, where the softmax is a sigmoid of z = logit 1 - logit 0. For more, smp adds up
             one sigmoid for each class against the rest, and the paper's alpha is a factor before a plain mean.

RECORDED is what smp 0.6.0 gives for the logits and labels of `case`; `python
tests/unet/test_losses_peers.py` prints it anew where smp is installed, and where it is the tests
ask it as well.
"""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from unet.losses import cross_entropy, dice, focal

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
# fmt: off
RECORDED = {  # (loss, one pixel ignored): (value, gradient of the logits in their order)
    ("dice", False): (0.614680510481, [
        -0.00555155711285, 0.00132578264569, 0.0411483568688, 0.00474952227466, -0.00229073108977, 0.000182550969817,
        0.000802034838183, 0.000964948444085, -0.0413309078386, -0.00336671682544, 9.65722834608e-05, 0.0450541159072,
        0.00244894418217, -0.00179051942807, 0.000363850359443, 0.000917772643265, 0.00169394714461, -0.0454179662666,
    ]),
    ("dice", True): (0.584095728866, [
        -0.00609233679429, 0.0, 0.0434096414131, 0.00524797521578, 0.0, 0.000159792034773,
        0.000844361578506, 0.0, -0.0435694334479, -0.0036732077696, 0.00188279358776, 0.0475214645057,
        0.00270608235122, -0.00331439141549, 0.000350594175233, 0.000967125418385, 0.00143159782772, -0.0478720586809,
    ]),
    ("focal", False): (1.41538962406, [
        -0.000184765588469, 0.174584543082, -1.863125507e-07, 0.000184765588469, -0.174584543082, 1.863125507e-07,
        6.98646212165e-08, -0.183878638404, 0.0355697592488, -6.98646212165e-08, 0.183878638404, -0.0355697592488,
    ]),
    ("focal", True): (0.719072344245, [
        -0.000221718706163, 0, -2.2357506084e-07, 0.000221718706163, 0, 2.2357506084e-07,
        8.38375454598e-08, -0.220654366085, 0.0426837110985, -8.38375454598e-08, 0.220654366085, -0.0426837110985,
    ]),
}
# fmt: on


def case(
    classes: int, ignored: bool, size: int = 3, seed: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, K, 1, size), and labels (2, 1, size) that go round the classes; the second is
    ignored, or not.

    Made of sines, which no release of torch draws in another way.
    """
    numbers = torch.arange(2 * classes * size, dtype=torch.float64).reshape(2, classes, 1, size)
    target = torch.arange(2 * size).reshape(2, 1, size) % classes
    if ignored:
        target[0, 0, 1] = 255
    return (3 * torch.sin(7 * numbers + seed)).requires_grad_(), target


def value_and_gradient(loss, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    value = loss(logits)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def sigmoid_logits(logits: torch.Tensor) -> torch.Tensor:
    """(N, 2, H, W) to z (N, H, W), whose sigmoid is the softmax of class 1."""
    return logits[:, 1] - logits[:, 0]


def theirs(losses, name: str, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if name == "dice":
        return losses.DiceLoss("multiclass", ignore_index=255)(logits, target)
    return losses.FocalLoss("binary", gamma=2.0, ignore_index=255)(sigmoid_logits(logits), target)


OURS = {"dice": dice, "focal": focal}
CASES = {"dice": 3, "focal": 2}  # classes


@pytest.fixture(scope="module")
def smp():
    try:
        from segmentation_models_pytorch import losses
    except (
        ImportError,
        RuntimeError,
    ) as error:  # a torchvision for another torch raises the latter
        pytest.skip(f"segmentation_models.pytorch cannot be imported: {error}")
    return losses


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("name", OURS)
def test_value_and_gradient_are_those_that_smp_gave(name, ignored):
    logits, target = case(CASES[name], ignored)
    value, gradient = value_and_gradient(lambda x: OURS[name](x, target), logits)
    recorded_value, recorded_gradient = RECORDED[name, ignored]
    torch.testing.assert_close(value, torch.tensor(recorded_value, dtype=torch.float64), **CLOSE)
    torch.testing.assert_close(
        gradient.flatten(), torch.tensor(recorded_gradient, dtype=torch.float64), **CLOSE
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("name", OURS)
def test_value_and_gradient_are_those_that_smp_gives(smp, name, ignored, seed):
    logits, target = case(CASES[name], ignored, size=50, seed=seed)
    expected = value_and_gradient(lambda x: theirs(smp, name, x, target), logits)
    torch.testing.assert_close(
        value_and_gradient(lambda x: OURS[name](x, target), logits), expected, **CLOSE
    )


def test_a_class_that_does_not_occur_is_free_in_smp_and_not_here(smp):
    logits, target = case(3, True, size=50)
    target[target == 2] = 0
    taken = logits.softmax(1)[:, 2][target != 255].sum() / (target != 255).sum()
    torch.testing.assert_close(
        dice(logits, target) - theirs(smp, "dice", logits, target), taken / 3, **CLOSE
    )


def test_weighted_dice_is_that_of_smp(smp):
    logits, target = case(3, True, size=50)
    weight = torch.tensor([1.0, 2.0, 6.0])
    their_loss = smp.DiceLoss("multiclass", ignore_index=255, class_weights=weight)(logits, target)
    torch.testing.assert_close(dice(logits, target, weight), their_loss, **CLOSE)


def test_alpha_of_smp_is_a_factor_and_our_weights_are_a_weighted_mean(smp):
    logits, target = case(2, True, size=50)
    weight = torch.tensor([0.25, 0.75])
    their_loss = smp.FocalLoss("binary", alpha=0.75, gamma=2.0, ignore_index=255)(
        sigmoid_logits(logits), target
    )
    mean = weight.double()[target[target != 255]].mean()
    torch.testing.assert_close(mean * focal(logits, target, weight), their_loss, **CLOSE)


def test_for_three_classes_the_focal_loss_of_smp_is_another(smp):
    logits, target = case(3, False, size=50)
    theirs_of_three = smp.FocalLoss("multiclass", gamma=2.0)(logits, target)
    assert abs(theirs_of_three - focal(logits, target)) > 0.1 * theirs_of_three
    one_against_rest = [
        smp.FocalLoss("binary", gamma=2.0)(logits[:, k], (target == k).long()) for k in range(3)
    ]
    torch.testing.assert_close(torch.stack(one_against_rest).mean(), theirs_of_three, **CLOSE)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("weight", [None, (1.0, 0.1, 30.0)])
def test_cross_entropy_is_that_of_torch(weight, ignored):
    logits, target = case(3, ignored, size=50)
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    expected = value_and_gradient(
        lambda x: F.cross_entropy(x, target, weight, ignore_index=255), logits
    )
    torch.testing.assert_close(
        value_and_gradient(lambda x: cross_entropy(x, target, weight), logits), expected, **CLOSE
    )


if __name__ == "__main__":
    from segmentation_models_pytorch import losses as theirs_of_smp

    for name in OURS:
        for ignored in (False, True):
            logits, target = case(CASES[name], ignored)
            value, gradient = value_and_gradient(
                partial(theirs, theirs_of_smp, name, target=target), logits
            )
            numbers = ", ".join(f"{number:.12g}" for number in gradient.flatten().tolist())
            print(f'    ("{name}", {ignored}): ({value.item():.12g}, [{numbers}]),')
