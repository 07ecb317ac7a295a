"""Windows of scenes, the classes in them, and which of them are left out."""

import numpy as np
import pytest
from small import scene, whole

from data.files import IGNORE
from data.grid import Window
from data.training.windows import all_windows, automatic_size, class_counts, useful


def test_scenes_up_to_512_pixels_are_one_window_and_larger_ones_are_cut():
    assert automatic_size([scene(150, 192), scene(40, 60)]) == 192
    assert automatic_size([scene(150, 192), scene(193, 60)]) == 128


def test_windows_of_all_scenes_by_number():
    assert all_windows([scene(4, 6), scene(3, 9)], 4) == [
        (0, Window(0, 0, 4, 4), Window(0, 0, 4, 3)),
        (0, Window(0, 2, 4, 4), Window(0, 3, 4, 3)),
        (1, Window(0, 0, 3, 4), Window(0, 0, 3, 4)),
        (1, Window(0, 4, 3, 4), Window(0, 4, 3, 2)),
        (1, Window(0, 5, 3, 4), Window(0, 6, 3, 3)),
    ]


def test_a_stride_adds_windows_behind_the_others_which_own_no_part_and_count_whole():
    labels = np.array([[0, 1, 1, 2, 2, 2, 2]] * 4, np.uint8)
    scenes = [scene(4, 7, labels=labels), scene(3, 9)]
    plain = all_windows(scenes, 4)
    added = [(0, Window(0, 2, 4, 4), None)]  # after column 0, before the last one, 3
    added += [(1, Window(0, col, 3, 4), None) for col in (2,)]  # columns 0, 4 and 5 are there
    assert all_windows(scenes, 4, 2) == plain + added
    assert all_windows(scenes, 4, 4) == plain
    assert class_counts(scenes, all_windows(scenes, 4, 2), 3)[-2].tolist() == [0, 4, 12]


@pytest.mark.parametrize("seed", range(10))
def test_windows_begin_at_every_stride_that_fits_and_none_comes_twice(seed):
    height, width, size, stride = np.random.default_rng(seed).integers(1, 40, 4).tolist()
    items = all_windows([scene(height, width)], size, stride)
    plain = all_windows([scene(height, width)], size)
    begun = {(item.window.row, item.window.col) for item in items}
    expected = {(item.window.row, item.window.col) for item in plain}
    rows = [row for row in range(0, height, stride) if row + size <= height] or [0]
    cols = [col for col in range(0, width, stride) if col + size <= width] or [0]
    assert {(row, col) for row in rows for col in cols} <= begun and len(begun) == len(items)
    assert items[: len(plain)] == plain and expected <= begun
    assert all(item.own is None for item in items[len(plain) :])
    inside = [(w.row + w.height <= height, w.col + w.width <= width) for _, w, _ in items]
    assert all(map(all, inside))


def test_labels_are_counted_window_by_window_without_the_ignored():
    labels = np.array([[0, 0, 2], [1, IGNORE, IGNORE]], np.uint8)
    items = [
        whole(0, Window(0, 0, 2, 2)),
        whole(0, Window(0, 2, 2, 1)),
        whole(0, Window(1, 1, 1, 2)),
    ]
    assert class_counts([scene(2, 3, labels=labels)], items, 3).tolist() == [
        [2, 1, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]


def test_two_windows_that_overlap_count_each_pixel_once():
    labels = np.array([[0, 1, 1, 2, 2, 2]] * 4, np.uint8)
    one = scene(4, 6, labels=labels)
    counts = class_counts([one], all_windows([one], 4), 3)  # columns 0 to 3, and 2 to 5
    assert counts.tolist() == [[4, 8, 0], [0, 0, 12]]


@pytest.mark.parametrize("seed", range(10))
def test_counts_of_all_windows_add_up_to_the_histogram_of_the_labels(seed):
    random = np.random.default_rng(seed)
    scenes = [
        scene(*shape, labels=random.choice([0, 1, 2, IGNORE], shape).astype(np.uint8))
        for shape in random.integers(1, 60, (3, 2)).tolist()
    ]
    counts = class_counts(scenes, all_windows(scenes, int(random.integers(1, 40))), 3)
    together = np.concatenate([one.labels.ravel() for one in scenes])
    assert counts.sum(0).tolist() == np.bincount(together, minlength=256)[:3].tolist()


def test_windows_without_label_and_windows_of_water_alone_are_left_out_and_counted():
    counts = np.array([[5, 0, 0], [0, 0, 0], [0, 7, 0], [1, 9, 0], [0, 2, 3], [0, 0, 4]])
    keep, unlabelled, skipped = useful(counts, [1])
    assert (keep.tolist(), unlabelled, skipped) == ([True, False, False, True, True, True], 1, 1)
    keep, unlabelled, skipped = useful(counts)
    assert (keep.sum(), unlabelled, skipped) == (5, 1, 0)
    keep, unlabelled, skipped = useful(counts, [1, 2])
    assert (keep.tolist(), unlabelled, skipped) == ([True, False, False, True, False, False], 1, 3)
