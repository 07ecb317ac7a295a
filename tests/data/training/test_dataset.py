"""Windows as samples: how often they are drawn, how they are scaled, the same in any process and
order.
"""

import numpy as np
import pytest
import torch
from small import random_scenes, scene, whole
from torch.utils.data import DataLoader

from data.files import IGNORE
from data.grid import Window
from data.scaling import Scaling, network_input
from data.training.augment import Augment
from data.training.dataset import (
    Batches,
    EpochSampler,
    Windows,
    fit_scalings,
    repeat_factors,
)
from data.training.windows import all_windows

# How often.


def test_a_class_in_one_window_of_four_is_drawn_by_the_square_root_of_its_rarity():
    counts = np.array([[100, 0], [100, 0], [100, 0], [60, 40]])
    assert repeat_factors(counts, 1.0).tolist() == [1, 1, 1, 2]  # sqrt(1 / (1/4))
    assert repeat_factors(counts, 0.36).tolist() == pytest.approx([1, 1, 1, 1.2])
    assert repeat_factors(counts, 0.25).tolist() == [1, 1, 1, 1]  # as frequent as the threshold
    assert repeat_factors(counts, 0).tolist() == [1, 1, 1, 1]


def test_the_rarest_class_of_a_window_decides_and_stray_pixels_do_not():
    counts = np.array([[50, 50, 0], [50, 0, 50], [50, 50, 0], [999, 0, 1], [0, 0, 0]])
    expected = [np.sqrt(1 / 0.4), np.sqrt(1 / 0.2), np.sqrt(1 / 0.4), np.sqrt(1 / 0.8), 1]
    assert repeat_factors(counts, 1.0).tolist() == pytest.approx(expected)


def test_each_window_comes_once_an_epoch_in_a_new_order_with_new_seeds():
    sampler = EpochSampler(50, seed=3)
    epochs = []
    for sampler.epoch in range(3):
        epochs.append(list(sampler))
        assert sorted(number for number, _ in epochs[-1]) == list(range(50)) and len(sampler) == 50
    assert len({tuple(number for number, _ in epoch) for epoch in epochs}) == 3
    assert len({seed for epoch in epochs for _, seed in epoch}) == 150


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EpochSampler(30, seed)
        sampler.epoch = epoch
        torch.rand(epoch + 1)  # whatever else draws
        return list(sampler)

    assert order(1, 4) == order(1, 4)
    assert len({str(order(seed, epoch)) for seed in range(4) for epoch in range(4)}) == 16


def test_windows_are_drawn_in_proportion_to_their_factors():
    factors = np.array([1, 1, 2, 4] * 50)
    sampler = EpochSampler(200, 0, factors)
    drawn = np.zeros(200)
    for sampler.epoch in range(200):
        epoch = list(sampler)
        assert len(epoch) == 200
        drawn += np.bincount([number for number, _ in epoch], minlength=200)
    np.testing.assert_allclose(
        drawn.reshape(50, 4).sum(0) / drawn.sum(), np.array([1, 1, 2, 4]) / 8, atol=0.01
    )
    assert (
        len({seed for _, seed in epoch}) == 200
    )  # one window drawn twice is augmented in two ways


# In batches.


def test_seven_samples_in_batches_of_three_by_hand():
    batches = Batches("abcdefg", 3)
    assert list(batches) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert len(batches) == 3 and [batches.windows(number) for number in (1, 2, 3)] == [3, 3, 1]


def test_two_processes_take_turns_in_each_batch_and_a_share_may_be_empty():
    shares = [Batches("abcdefg", 3, rank, 2) for rank in range(2)]
    assert list(shares[0]) == [["a", "c"], ["d", "f"], ["g"]]
    assert list(shares[1]) == [["b"], ["e"], []]
    assert [len(share) for share in shares] == [3, 3]
    assert [share.windows(3) for share in shares] == [1, 1]  # of both together


def test_an_epoch_can_begin_at_a_later_batch():
    batches = Batches("abcdefg", 3, 1, 2)
    for batches.begin, expected in ((1, [["e"], []]), (2, [[]]), (3, []), (0, [["b"], ["e"], []])):
        assert list(batches) == expected and len(batches) == 3


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count, size", [(1, 6), (6, 6), (7, 2), (12, 5), (13, 1)])
def test_the_shares_of_all_processes_are_the_batches_and_none_has_a_sample_twice(
    count, size, world
):
    whole = list(Batches(range(count), size))
    assert sum(whole, []) == list(range(count)) and all(len(batch) == size for batch in whole[:-1])
    for begin in range(len(whole) + 1):
        shares = [Batches(range(count), size, rank, world) for rank in range(world)]
        for share in shares:
            share.begin = begin
        together = list(zip(*map(list, shares), strict=True))  # every process has as many batches
        assert [sorted(sum(batch, [])) for batch in together] == whole[begin:]
        assert all(max(map(len, batch)) - min(map(len, batch)) <= 1 for batch in together)
    assert [shares[0].windows(number) for number in range(1, len(whole) + 1)] == [
        len(batch) for batch in whole
    ]


def test_the_order_of_an_epoch_is_read_anew():
    order = EpochSampler(10, seed=0)
    batches = Batches(order, 4)
    first, order.epoch = list(batches), 1
    assert list(batches) != first and sorted(n for batch in batches for n, _ in batch) == list(
        range(10)
    )


def test_an_empty_share_is_a_batch_of_none_and_others_are_as_torch_stacks_them():
    samples = windows(random_scenes(2))
    images, targets, numbers = samples.collate([])
    full = samples.collate([samples[1], samples[0]])
    assert images.shape == (0, *full[0].shape[1:]) and targets.shape == (0, *full[1].shape[1:])
    assert [part.dtype for part in (images, targets, numbers)] == [part.dtype for part in full]
    assert full[2].tolist() == [1, 0] and torch.equal(full[0][0], samples[1][0])
    loader = DataLoader(
        samples, batch_sampler=Batches(range(3), 2, 1, 2), collate_fn=samples.collate, num_workers=1
    )
    assert [numbers.tolist() for _, _, numbers in loader] == [[1], []]


def test_some_of_the_windows_alone_are_shown_without_augmentation():
    samples = windows(random_scenes(6), augment=Augment(crop=1, crop_min=0.3, scales=(0.5,)))
    some = samples.only([5, 2])
    assert len(some) == 2 and some.items == [samples.items[5], samples.items[2]]
    plain = windows(random_scenes(6))
    for place, number in enumerate((5, 2)):
        image, target, _ = some[place, 7]
        assert torch.equal(image, plain[number][0]) and torch.equal(target, plain[number][1])


# Scaling.


def test_scaling_is_fitted_to_the_windows_given_and_no_others():
    image = np.ones((1, 4, 8), np.uint16)
    image[:, :, :4], image[:, :, 4:] = np.arange(100, 116).reshape(4, 4), 60000
    scenes = [scene(4, 8, image=image)]
    scaling, each = fit_scalings(scenes, [whole(0, Window(0, 0, 4, 4))], ["1"], [], "minmax")
    assert each == [scaling]
    assert 100 <= scaling.offset[0] < 101 and 114 < scaling.offset[0] + scaling.scale[0] <= 115


def test_each_scene_has_its_own_no_data():
    images = [np.full((2, 10, 10), fill, np.int32) for fill in (-9999, 0, 7)]
    for image in images:
        image[:, :, :5] = np.arange(100, 200).reshape(2, 10, 5)
    scenes = [scene(10, 10, image=i, nodata=n) for i, n in zip(images, (-9999, 0, 7))]
    alone, _ = fit_scalings(scenes[:1], [whole(0, Window(0, 0, 10, 5))], ["1", "2"], [], "minmax")
    together, _ = fit_scalings(scenes, all_windows(scenes, 10), ["1", "2"], [], "minmax")
    assert together.offset == pytest.approx(
        alone.offset, abs=1
    ) and together.scale == pytest.approx(alone.scale, abs=1)


def test_nan_counts_in_no_statistic():
    image = np.random.default_rng(0).normal(50, 3, (2, 20, 20)).astype(np.float32)
    spoilt = image.copy()
    spoilt[0, ::2] = np.nan
    entire = [scene(20, 20, image=spoilt)], [whole(0, Window(0, 0, 20, 20))]
    rest = [scene(10, 20, image=image[:, 1::2])], [whole(0, Window(0, 0, 10, 20))]
    assert (
        fit_scalings(*entire, ["1", "2"], [], "standard")[0]
        == fit_scalings(*rest, ["1", "2"], [], "standard")[0]
    )


def test_images_scaled_by_themselves_end_alike_and_one_without_data_stops_nothing():
    dark = np.random.default_rng(0).integers(1, 1000, (2, 20, 20)).astype(np.float32)
    images = [dark, dark * 5, np.full_like(dark, np.nan)]
    scenes = [scene(20, 20, image=i) for i in images]
    kept, each = fit_scalings(scenes, [whole(0, Window(0, 0, 5, 5))], ["1", "2"], [], "image")
    assert kept == Scaling("image")
    values = [network_input(i, ["1", "2"], [], s, None)[0] for i, s in zip(images, each)]
    np.testing.assert_allclose(values[0], values[1], atol=1e-5)
    assert not values[2].any()


# Samples.


def windows(scenes, size=20, augment=None, names=("NIR", "Red"), indices=("NDVI",)) -> Windows:
    items = all_windows(scenes, size)
    scaling, each = fit_scalings(scenes, items, names, indices, "minmax")
    return Windows(scenes, items, list(names), list(indices), each, size, augment)


def test_a_sample_is_the_scaled_window_its_labels_and_its_number():
    scenes = random_scenes(2, 30)
    samples = windows(scenes, 20)
    assert len(samples) == 8 and samples.channels == 3
    image, target, number = samples[5]
    assert (
        number == 5
        and samples.items[5][:2] == (1, Window(0, 10, 20, 20))
        and samples.scene_of(5) is scenes[1]
    )
    expected, _ = network_input(
        scenes[1].image[:, :20, 10:], ["NIR", "Red"], ["NDVI"], samples.scalings[1], None
    )
    assert image.dtype == torch.float32 and np.array_equal(image, expected)
    assert target.dtype == torch.uint8 and np.array_equal(target, scenes[1].labels[:20, 10:])


@pytest.mark.parametrize("height, width", [(1, 1), (3, 8), (8, 5), (7, 7)])
def test_a_scene_smaller_than_the_window_is_padded_with_no_data(height, width):
    random = np.random.default_rng(0)
    image = random.integers(1, 5000, (2, height, width)).astype(np.uint16)
    labels = random.integers(0, 3, (height, width)).astype(np.uint8)
    samples = windows([scene(height, width, image=image, labels=labels)], 8)
    image, target, _ = samples[0]
    assert len(samples) == 1 and image.shape == (3, 8, 8) and target.shape == (8, 8)
    assert not image[:, height:].any() and not image[:, :, width:].any()
    assert np.array_equal(target[:height, :width], labels)
    assert (target == IGNORE).sum() == 64 - height * width


@pytest.mark.parametrize("seed", range(10))
def test_in_validation_every_labelled_pixel_counts_exactly_once(seed):
    random = np.random.default_rng(seed)
    height, width, size = random.integers(1, 60, 3).tolist()
    labels = random.choice([0, 1, 2, IGNORE], (height, width)).astype(np.uint8)
    image = random.integers(1, 5000, (2, height, width)).astype(np.uint16)
    samples = windows([scene(height, width, image=image, labels=labels)], size)
    samples.each_pixel_once = True
    counted = np.zeros((height, width), int)
    for number, (_, window, _) in enumerate(samples.items):
        _, target, _ = samples[number]
        inside = np.s_[: window.height, : window.width]
        there = np.s_[window.row :, window.col :]
        here = target.numpy()[inside]
        counts = here != IGNORE
        counted[there][inside] += counts
        assert np.array_equal(here[counts], labels[there][inside][counts])
        assert (target != IGNORE).sum() == counts.sum()  # nothing in the padding
    assert np.array_equal(counted, labels != IGNORE)


def test_in_training_a_pixel_may_be_in_two_windows():
    labels = np.zeros((4, 6), np.uint8)
    image = np.ones((2, 4, 6), np.uint16)
    samples = windows([scene(4, 6, image=image, labels=labels)], 4)
    assert [(samples[n][1] != IGNORE).sum().item() for n in (0, 1)] == [16, 16]
    samples.each_pixel_once = True
    assert [(samples[n][1] != IGNORE).sum().item() for n in (0, 1)] == [12, 12]
    assert (samples.only([1])[0][1] != IGNORE).sum() == 12


def test_no_data_is_0_in_every_channel():
    image = np.arange(3000, 3032, dtype=np.uint16).reshape(2, 4, 4)
    image[:, 1, 2], image[0, 0, 0] = 0, 0
    values, _, _ = windows([scene(4, 4, image=image, nodata=0)], 4)[0]
    assert not values[:, 1, 2].any() and values[1, 0, 0] and not values[[0, 2], 0, 0].any()


def test_a_seed_gives_one_sample_and_another_seed_another():
    samples = windows(random_scenes(2), augment=Augment(crop=0.5, jitter=0.5))
    assert all(torch.equal(a, b) for a, b in zip(samples[1, 7][:2], samples[1, 7][:2]))
    assert len({str(samples[1, seed][0].tolist()) for seed in range(20)}) > 15


def test_without_augmentation_the_seed_has_no_effect():
    samples = windows(random_scenes(2))
    assert torch.equal(samples[1, 7][0], samples[1][0]) and torch.equal(
        samples[1, 8][1], samples[1][1]
    )


def test_labels_stay_with_their_pixels_when_augmented():
    labels = np.random.default_rng(1).integers(0, 4, (20, 20)).astype(np.uint8)
    image = np.stack([labels * 100 + 1, labels * 50 + 1]).astype(np.uint16)
    samples = windows([scene(20, 20, image=image, labels=labels)], augment=Augment(crop=0.7))
    plain, target, _ = Windows(
        samples.scenes, samples.items, samples.names, samples.indices, samples.scalings, 20
    )[0]
    spectrum = {int(label): plain[:, target == label][:, 0] for label in range(4)}
    for seed in range(30):
        moved, target, _ = samples[0, seed]
        for label in range(4):
            assert (moved[:, target == label] == spectrum[label][:, None]).all()
        assert not moved[:, target == IGNORE].any()


def test_two_workers_and_none_make_the_same_batches():
    samples = windows(random_scenes(6), augment=Augment(crop=0.5, jitter=0.5))

    def two_epochs(workers: int) -> list:
        sampler = EpochSampler(len(samples), seed=5, factors=np.arange(1, 7))
        loader = DataLoader(
            samples, 4, sampler=sampler, num_workers=workers, persistent_workers=workers > 0
        )
        batches = []
        for sampler.epoch in range(2):
            batches += list(loader)
        return batches

    here, there = two_epochs(0), two_epochs(2)
    assert len(here) == len(there) == 4
    assert here[0][0].shape == (4, 3, 20, 20) and here[0][1].dtype == torch.uint8
    assert all(torch.equal(a, b) for batch in zip(here, there) for a, b in zip(*batch))
    assert not torch.equal(here[0][0], here[2][0])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [24, 40])  # 40: larger than the scenes, so windows are padded
def test_windows_turned_before_they_are_scaled_are_those_turned_after(threads, size):
    scenes = random_scenes(2, 36)
    scaling = Scaling("minmax", (100.0, 200.0), (1000.0, 900.0))
    items = all_windows(scenes, size, 0)
    windows = Windows(scenes, items, ["1", "2"], [], [scaling] * 2, size)
    plain, augment = [windows[number] for number in range(len(windows))], Augment()
    windows.augment = augment
    indices = [(number, seed) for number in range(len(windows)) for seed in range(6)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    samples = windows.__getitems__(indices)
    torch.set_num_threads(before)
    for (number, seed), (image, target, found) in zip(indices, samples, strict=True):
        generator = torch.Generator().manual_seed(seed)
        expected = augment(*plain[number][:2], generator)
        assert found == number and image.equal(expected[0]) and target.equal(expected[1])
    assert windows.__getitems__([]) == []
