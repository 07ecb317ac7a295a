"""The losses against those of other libraries, in float64 to 1e-9, value and gradient:
unet/losses.py.

PyTorch's cross-entropy is equal to ours. The losses of segmentation_models.pytorch (smp) differ
from ours in some cases, which `ours` computes:

    dice            the same where all classes occur
    weighted dice   the same: both are a mean over the classes, weighted by the class weights
    absent class    smp gives a class without pixels a loss of 0; here its loss is the share of the
                    pixels that it wrongly takes
    focal           the same for two classes, where the softmax is a sigmoid of logit 1 - logit 0;
                    for more classes, smp adds up one sigmoid for each class against the rest
    alpha           smp's alpha is a factor before a plain mean over the pixels; here the weights
                    make a weighted mean

RECORDED is what smp 0.6.0 with torch 2.13.0 gave for the logits and labels of `case`. Where smp is
installed, `python tests/unet/test_losses_peers.py` prints the table again, and the tests compare
with smp itself as well.
"""

from functools import partial

import originals
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unet.losses import cross_entropy, dice, focal

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
CLASSES = {"dice": 3, "weighted dice": 3, "absent class": 3, "focal": 2, "alpha": 2}
WEIGHT = torch.tensor([1.0, 2.0, 6.0])
ALPHA = 0.75
# fmt: off
RECORDED = {  # (loss, one pixel ignored): (value, gradient of the logits in their order)
    ("dice", False): (0.614680510481, [
        -0.00555155711285, 0.00132578264569, 0.0411483568688, 0.00474952227466,
        -0.00229073108977, 0.000182550969817, 0.000802034838183, 0.000964948444085,
        -0.0413309078386, -0.00336671682544, 9.65722834608e-05, 0.0450541159072,
        0.00244894418217, -0.00179051942807, 0.000363850359443, 0.000917772643265,
        0.00169394714461, -0.0454179662666,
    ]),
    ("dice", True): (0.584095728866, [
        -0.00609233679429, 0, 0.0434096414131, 0.00524797521578,
        0, 0.000159792034773, 0.000844361578506, 0,
        -0.0435694334479, -0.0036732077696, 0.00188279358776, 0.0475214645057,
        0.00270608235122, -0.00331439141549, 0.000350594175233, 0.000967125418385,
        0.00143159782772, -0.0478720586809,
    ]),
    ("weighted dice", False): (0.536899952788, [
        -0.00252093806588, -0.00134800542986, 0.072365351889, 0.00157359528264,
        -0.00148312206083, 0.000489102790601, 0.000947342783242, 0.00283112749069,
        -0.0728544546796, -0.00187841278588, -0.00384492317095, 0.0792781426994,
        0.000809317843298, -0.00116893953395, 0.000810303979573, 0.00106909494258,
        0.00501386270489, -0.0800884466789,
    ]),
    ("weighted dice", True): (0.524348390498, [
        -0.00273363000729, 0, 0.0733749672185, 0.00176179574041,
        0, 0.000484989290314, 0.000971834266876, 0,
        -0.0738599565088, -0.00200366019021, -0.00284580769999, 0.0803813427344,
        0.000906379592315, -0.00216946891635, 0.00081051817993, 0.00109728059789,
        0.00501527661634, -0.0811918609143,
    ]),
    ("absent class", False): (0.439771873797, [
        -0.00370135518647, 0.00277613315382, -0.0113061282929, 0.0034223714239,
        -0.00227216004061, 0.000162103191084, 0.000278983762569, -0.00050397311321,
        0.0111440251018, -0.00209134362725, 0.00268336564342, -0.0123237884491,
        0.00176554244652, -0.00176959538665, 0.000115269069747, 0.000325801180734,
        -0.000913770256772, 0.0122085193794,
    ]),
    ("absent class", True): (0.413122977623, [
        -0.00396023624895, 0, -0.0119113342843, 0.00366679713686,
        0, 0.000175119856238, 0.000293439112083, 0,
        0.0117362144281, -0.00223458490383, 0.00438672762281, -0.0129823340451,
        0.00189165397362, -0.00327908608931, 0.000125839685114, 0.000342930930215,
        -0.00110764153349, 0.01285649436,
    ]),
    ("focal", False): (1.41538962406, [
        -0.000184765588469, 0.174584543082, -1.863125507e-07, 0.000184765588469,
        -0.174584543082, 1.863125507e-07, 6.98646212165e-08, -0.183878638404,
        0.0355697592488, -6.98646212165e-08, 0.183878638404, -0.0355697592488,
    ]),
    ("focal", True): (0.719072344245, [
        -0.000221718706163, 0, -2.2357506084e-07, 0.000221718706163,
        0, 2.2357506084e-07, 8.38375454598e-08, -0.220654366085,
        0.0426837110985, -8.38375454598e-08, 0.220654366085, -0.0426837110985,
    ]),
    ("alpha", False): (0.771419665314, [
        -4.61913971173e-05, 0.130938407311, -4.6578137675e-08, 4.61913971173e-05,
        -0.130938407311, 4.6578137675e-08, 5.23984659124e-08, -0.0459696596009,
        0.0266773194366, -5.23984659124e-08, 0.0459696596009, -0.0266773194366,
    ]),
    ("alpha", True): (0.19115719491, [
        -5.54296765408e-05, 0, -5.589376521e-08, 5.54296765408e-05,
        0, 5.589376521e-08, 6.28781590949e-08, -0.0551635915211,
        0.0320127833239, -6.28781590949e-08, 0.0551635915211, -0.0320127833239,
    ]),
}
# fmt: on


def case(name: str, ignored: bool, size: int = 3, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Make the logits (2, K, 1, size) and labels (2, 1, size) of a comparison.

    The labels repeat the classes in turn, and the second may be ignored. The logits are sines,
    which are the same in every release of torch.
    """
    classes = CLASSES[name]
    numbers = torch.arange(2 * classes * size, dtype=torch.float64).reshape(2, classes, 1, size)
    target = torch.arange(2 * size).reshape(2, 1, size) % classes
    if name == "absent class":
        target[target == 2] = 0
    if ignored:
        target[0, 0, 1] = 255
    return (3 * torch.sin(7 * numbers + seed)).requires_grad_(), target


def value_and_gradient(loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    value = loss(logits)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def sigmoid_logits(logits: Tensor) -> Tensor:
    """(N, 2, H, W) to z (N, H, W), whose sigmoid is the softmax of class 1."""
    return logits[:, 1] - logits[:, 0]


def theirs(losses, name: str, logits: Tensor, target: Tensor) -> Tensor:
    """Compute the loss of smp. `losses` is its module."""
    if name in ("focal", "alpha"):
        alpha = ALPHA if name == "alpha" else None
        loss = losses.FocalLoss("binary", alpha=alpha, gamma=2.0, ignore_index=255)
        return loss(sigmoid_logits(logits), target)
    weight = WEIGHT if name == "weighted dice" else None
    return losses.DiceLoss("multiclass", ignore_index=255, class_weights=weight)(logits, target)


def ours(name: str, logits: Tensor, target: Tensor) -> Tensor:
    """Compute the same number from our losses."""
    if name == "focal":
        return focal(logits, target)
    if name == "alpha":
        weight = torch.tensor([1 - ALPHA, ALPHA], dtype=torch.float64)
        return focal(logits, target, weight) * weight[target[target != 255]].mean()
    if name == "weighted dice":
        return dice(logits, target, WEIGHT)
    if name == "absent class":
        taken = logits.softmax(1)[:, 2][target != 255].mean()
        return dice(logits, target) - taken / 3
    return dice(logits, target)


@pytest.fixture(scope="module")
def smp():
    originals.installed("torchvision")  # which smp imports
    return originals.installed("segmentation_models_pytorch").losses


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_value_and_gradient_are_those_that_smp_gave(name, ignored):
    logits, target = case(name, ignored)
    value, gradient = value_and_gradient(lambda x: ours(name, x, target), logits)
    recorded = [torch.tensor(numbers, dtype=torch.float64) for numbers in RECORDED[name, ignored]]
    torch.testing.assert_close([value, gradient.flatten()], recorded, **CLOSE)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_value_and_gradient_are_those_that_smp_gives(smp, name, ignored, seed):
    logits, target = case(name, ignored, size=50, seed=seed)
    found = value_and_gradient(lambda x: ours(name, x, target), logits)
    expected = value_and_gradient(lambda x: theirs(smp, name, x, target), logits)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_for_three_classes_the_focal_loss_of_smp_is_another(smp):
    logits, target = case("dice", False, size=50)
    theirs_of_three = smp.FocalLoss("multiclass", gamma=2.0)(logits, target)
    assert abs(theirs_of_three - focal(logits, target)) > 0.1 * theirs_of_three
    one_against_rest = [
        smp.FocalLoss("binary", gamma=2.0)(logits[:, k], (target == k).long()) for k in range(3)
    ]
    torch.testing.assert_close(torch.stack(one_against_rest).mean(), theirs_of_three, **CLOSE)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("weight", [None, (1.0, 0.1, 30.0)])
def test_cross_entropy_is_that_of_torch(weight, ignored):
    logits, target = case("dice", ignored, size=50)
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    expected = value_and_gradient(
        lambda x: F.cross_entropy(x, target, weight, ignore_index=255), logits
    )
    torch.testing.assert_close(
        value_and_gradient(lambda x: cross_entropy(x, target, weight), logits), expected, **CLOSE
    )


if __name__ == "__main__":
    originals.installed("torchvision")
    peer = originals.installed("segmentation_models_pytorch").losses
    for name in CLASSES:
        for ignored in (False, True):
            logits, target = case(name, ignored)
            loss = partial(theirs, peer, name, target=target)
            value, gradient = value_and_gradient(loss, logits)
            numbers = [f"{number:.12g}, " for number in gradient.flatten().tolist()]
            print(f'    ("{name}", {ignored}): ({value.item():.12g}, [')
            for first in range(0, len(numbers), 4):
                print("        " + "".join(numbers[first : first + 4]).rstrip())
            print("    ]),")
