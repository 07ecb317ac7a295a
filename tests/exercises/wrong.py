"""Answers that are wrong in the ways in which readers go wrong. The checks must refuse each.

WRONG has (exercise, function, wrong function, pattern of the line that the reader gets).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from answers import HERE, STATIONS, load

RIGHT = {name: load(HERE / "solved" / f"{name}.py") for name in STATIONS}


def corner(transform, row, col):
    a, b, c, d, e, f = transform
    return a * col + b * row + c, d * col + e * row + f


def north_up_only(transform, x, y):
    a, _, c, _, e, f = transform
    return math.floor((y - f) / e), math.floor((x - c) / a)


def truncated(transform, x, y):
    a, b, c, d, e, f = transform
    inverse = np.linalg.inv([[b, a], [e, d]]) @ [x - c, y - f]
    return int(inverse[0]), int(inverse[1])


def stretched_once(latitude):
    return 100 * math.cos(math.radians(latitude))


def no_data_votes(source, x, y, target_grid, row, col, nodata):
    return RIGHT["ex02_resample"].votes(source, x, y, target_grid, row, col, -1)


def rounded(source, x, y, target_grid, row, col, nodata):
    rows, cols = target_grid.rowcol(x, y)
    here = (np.round(rows) == row) & (np.round(cols) == col) & (source != nodata)
    codes, counts = np.unique(source[here], return_counts=True)
    return dict(zip(codes.tolist(), counts.tolist()))


def silent(raster, table, nodata=None):
    lookup = np.full(256, 255, np.uint8)
    for code, label in table.items():
        lookup[code] = label
    return lookup[raster]


def declared_first(raster, table, nodata=None):
    labels = RIGHT["ex03_classes"].encode(raster, table, nodata)
    return labels if nodata is None else np.where(raster == nodata, 255, labels).astype(np.uint8)


def overflowing(a, b):
    total = a + b
    return np.where(total == 0, 0, (a - b) / np.where(total == 0, 1, total))


def with_no_data(band, nodata):
    return np.nanpercentile(band, (1, 99))


def not_cleaned(band, limits, nodata):
    low, high = limits
    return np.clip((band - low) / (high - low), -1, 2)


def each_alone(value, first, second):
    found = RIGHT["ex04_scaling"].scaled_three_times(value, first, second)
    return *found[:2], sum(found[:2]) / 2


def flat(size, overlap, ramp):
    return np.ones(size)


def sloping(size, overlap, ramp):
    """A weight that begins to rise at the rim."""
    pixel = np.arange(size)
    return np.clip((np.minimum(pixel, size - 1 - pixel) + 0.5) / overlap, 0, 1)


def not_divided(predictions, starts, length, weights):
    sums = np.zeros(length)
    for prediction, start in zip(predictions, starts):
        sums[start : start + len(prediction)] += weights * prediction
    return sums


def without_steps(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


def skip_last(x, skip, enlarge, convolve):
    x = enlarge(x)
    rows, cols = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
    return convolve(torch.cat([F.pad(x, [0, cols, 0, rows]), skip], dim=1))


def ignoring_nothing(logits, target, alpha, beta, ignore_index=255):
    return RIGHT["ex07_losses"].tversky(logits, target % 255, alpha, beta)


def exchanged(logits, target, alpha, beta, ignore_index=255):
    return RIGHT["ex07_losses"].tversky(logits, target, beta, alpha, ignore_index)


def without_gradient(logits, target, alpha, beta, ignore_index=255):
    return RIGHT["ex07_losses"].tversky(logits.detach(), target, alpha, beta, ignore_index)


def absent_is_nan(matrix):
    with np.errstate(invalid="ignore"):
        return float(np.mean(2 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1))))


def lowest_precision(matrix):
    return RIGHT["ex08_metrics"].who_pays(matrix.T)


def one_batching_twice(matrices):
    like, _ = RIGHT["ex08_metrics"].two_batchings(matrices)
    return like, like


def by_rows(matrix, mapped):
    return RIGHT["ex08_metrics"].adjusted_shares(matrix.T, mapped)


def slopes_left(model, optimizer, loss_function, batches):
    windows = sum(len(images) for images, _ in batches)
    total = sum(loss_function(model(x), y) * len(x) / windows for x, y in batches)
    total.backward()
    optimizer.step()
    return total.item()


def mean_of_means(model, optimizer, loss_function, batches):
    optimizer.zero_grad()
    total = sum(loss_function(model(x), y) for x, y in batches) / len(batches)
    total.backward()
    optimizer.step()
    return total.item()


def overlapping_only(boxes, validation):
    smaller = [(place, row, col, size - 1) for place, row, col, size in boxes]
    return RIGHT["ex09_loop"].leaks(smaller, validation)


def at_random(boxes, share, seed):
    return (np.random.default_rng(seed).random(len(boxes)) < share).tolist()


def same_places(boxes, share, seed):
    return RIGHT["ex09_loop"].split(boxes, share, 0)


def no_data_is_a_class(probabilities, valid):
    return probabilities.argmax(0).astype(np.uint8)


def equal_pixels(probabilities, valid, pixel_areas):
    return RIGHT["ex10_map"].areas(probabilities, valid, np.full_like(pixel_areas, 100))


def of_all_pixels(matrix, mapped):
    shares = RIGHT["ex08_metrics"].adjusted_shares(matrix, mapped)
    return np.sqrt(shares * (1 - shares) / matrix.sum())


WRONG = [
    ("ex01_grid", "centre", corner, r"centre of pixel \(0, 0\), at 0: is 500000"),
    ("ex01_grid", "pixel_at", north_up_only, r"pixel at row .* of \(8, 6"),
    ("ex01_grid", "pixel_at", truncated, r"pixel at row -0.2"),
    ("ex01_grid", "true_area", stretched_once, r"m2 of ground at 41.4 degrees"),
    ("ex02_resample", "by_hand", lambda: ({0: 2, 2: 2, 3: 2}, 0, 0), r"look at no-data"),
    ("ex02_resample", "by_hand", lambda: ({2: 2, 3: 2}, 3, 0), r"mode by hand"),
    ("ex02_resample", "by_hand", lambda: ({2: 2, 3: 2}, 2, 2), r"nearest by hand"),
    ("ex02_resample", "votes", no_data_votes, r"votes for the picture"),
    ("ex02_resample", "votes", rounded, r"votes for the picture"),
    ("ex02_resample", "winner", lambda votes: max(votes, key=votes.get), r"tie \{9: 3, 4: 3"),
    ("ex03_classes", "encode", silent, r"unknown code 77: no ValueError"),
    ("ex03_classes", "encode", declared_first, r"file that declares 0"),
    ("ex03_classes", "free_code", lambda table: 0, r"free code of \{0, 1, 250, 255\}"),
    ("ex04_scaling", "normalized_difference", overflowing, r"index of uint16 bands"),
    ("ex04_scaling", "fit", with_no_data, r"no-data and NaN"),
    ("ex04_scaling", "scale", not_cleaned, r"scaled band"),
    ("ex04_scaling", "scaled_three_times", each_alone, r"scaled three times, at 2"),
    ("ex05_tiling", "weight", flat, r"sum of the weights of neighbours"),
    ("ex05_tiling", "weight", sloping, r"weight of an inner window"),
    ("ex05_tiling", "blend", not_divided, r"blend of two windows"),
    ("ex05_tiling", "least_overlap", lambda radius, ramp: radius + ramp, r"a seam of .* is left"),
    ("ex05_tiling", "least_overlap", lambda radius, ramp: 2 * radius + ramp + 4, r"are enough"),
    ("ex06_unet", "receptive_field", without_steps, r"receptive field of \[\(2, 2\), \(3, 1\)\]"),
    ("ex06_unet", "channels_into", lambda base, level, skips=True: base * 2**level, r"level 0"),
    ("ex06_unet", "up", skip_last, r"features for a skip of 10 x 12"),
    ("ex06_unet", "up", lambda x, skip, e, c: c(torch.cat([skip, e(x)], 1)), r"Sizes of tensors"),
    ("ex07_losses", "tversky", ignoring_nothing, r"Tversky with ignored pixels"),
    ("ex07_losses", "tversky", exchanged, r"Tversky of four pixels"),
    ("ex07_losses", "tversky", without_gradient, r"does not require grad"),
    ("ex07_losses", "alpha_beta", lambda wanted: (1, 1), r"Tversky as Dice"),
    ("ex07_losses", "alpha_beta", lambda wanted: (0.5, 0.5), r"Tversky as IoU"),
    ("ex08_metrics", "macro_dice", absent_is_nan, r"does not occur: is nan"),
    ("ex08_metrics", "who_pays", lowest_precision, r"victim and taker, at 1: is"),
    ("ex08_metrics", "two_batchings", one_batching_twice, r"too near"),
    ("ex08_metrics", "two_batchings", lambda m: ([(0, 1)] * 4, []), r"not each of 0..7 once"),
    ("ex08_metrics", "adjusted_shares", by_rows, r"adjusted shares"),
    ("ex09_loop", "step", slopes_left, r"after step 2"),
    ("ex09_loop", "step", mean_of_means, r"mean loss of step 1"),
    ("ex09_loop", "leaks", overlapping_only, r"leaks of neighbours"),
    ("ex09_loop", "split", at_random, r"lie at places of the training"),
    ("ex09_loop", "split", same_places, r"all seeds hold out the same windows"),
    ("ex10_map", "labels_of", no_data_is_a_class, r"labels, at \(0, 2\): is 1, and should be 255"),
    ("ex10_map", "areas", equal_pixels, r"counted areas"),
    ("ex10_map", "standard_error", of_all_pixels, r"standard error of class 0"),
]
