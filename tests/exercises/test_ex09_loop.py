"""Checks of station 9: a step equals that of one large batch, and a memory that a leak flatters."""

import copy

import numpy as np
import torch
from answers import same

import unet
from unet import losses


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return losses.cross_entropy(logits, targets)


def batches(sizes: list[int], seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(n, 2, 16, 16, generator=random).double(),
            torch.randint(0, 3, (n, 16, 16), generator=random),
        )
        for n in sizes
    ]


def test_a_step_of_several_batches_is_that_of_one_large_batch(ex):
    torch.manual_seed(0)
    # In evaluation mode the normalisation does not depend on the batch.
    model = unet.build("unet", 2, 3, base=2).double().eval()
    twin = copy.deepcopy(model)
    optimizers = [torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, twin)]
    for turn, sizes in enumerate(([3, 1, 2], [1, 4])):
        given = batches(sizes, turn)
        images, targets = map(torch.cat, zip(*given))
        optimizers[1].zero_grad()
        expected = loss_of(twin(images), targets)
        expected.backward()
        optimizers[1].step()
        found = ex.step(model, optimizers[0], loss_of, given)
        same(f"mean loss of step {turn + 1}", found, expected.item())
        for name, weights in model.named_parameters():
            truth = twin.get_parameter(name).detach()
            same(f"weights {name} after step {turn + 1}", weights.detach(), truth)


BOXES = [(place, row, col, 8) for place in range(10) for row in (0, 8, 16) for col in (0, 8, 16)]


def test_leaks(ex):
    three = [("a", 0, 0, 8), ("a", 0, 8, 8), ("b", 0, 0, 8), ("a", 4, 40, 8), ("a", 12, 32, 8)]
    same("leaks of neighbours", ex.leaks(three, [True, False, True, False, False]), [0])
    same("leaks of two at a corner", ex.leaks(three, [False, False, True, True, False]), [3])
    assert ex.leaks(three, [True, True, True, False, False]) == [], "leaks: there is none here"
    random = np.random.default_rng(0).random(len(BOXES)) < 0.3
    found = ex.leaks(BOXES, random.tolist())
    assert len(found) > 20, f"leaks of a random split: {len(found)}, and should be most of 27"


def memorised(validation: np.ndarray) -> float:
    """Score a network that only knows its training by heart: each window gets its nearest's class.

    Each place has colours and a class of its own, and windows of a place look alike.
    """
    random = np.random.default_rng(1)
    place = np.array([box[0] for box in BOXES])
    looks = random.normal(0, 1, (10, 4))[place] + random.normal(0, 0.1, (len(BOXES), 4))
    classes = random.permutation([0, 1] * 5)[place]
    distance = np.linalg.norm(looks[validation][:, None] - looks[~validation], axis=2)
    return float((classes[~validation][distance.argmin(1)] == classes[validation]).mean())


def test_a_split_without_leaks(ex):
    scores = []
    for seed in range(8):
        found = np.array(ex.split(BOXES, 0.3, seed))
        assert found.dtype == bool and len(found) == len(BOXES), "split: is no list of bool"
        same("share of validation windows", found.mean(), 0.3, within=0.1)
        leaking = [
            n
            for n in np.flatnonzero(found)
            if BOXES[n][0] in {b[0] for b, v in zip(BOXES, found) if not v}
        ]
        assert not leaking, (
            f"split, seed {seed}: {len(leaking)} validation windows lie at places of the training"
        )
        scores.append(memorised(found))
    assert len({tuple(ex.split(BOXES, 0.3, seed)) for seed in range(8)}) > 3, (
        "split: all seeds hold out the same windows"
    )
    careless = memorised(np.random.default_rng(0).random(len(BOXES)) < 0.3)
    # The lesson: by heart, the random split reaches 100 %, and new places about what chance gives.
    assert careless == 1 and np.mean(scores) < 0.7, (careless, scores)
