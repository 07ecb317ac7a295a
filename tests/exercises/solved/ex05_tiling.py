"""Answers to station 5."""

import numpy as np


def weight(size, overlap, ramp):
    pixel = np.arange(size)
    distance = np.minimum(pixel + 0.5, size - pixel - 0.5)
    return np.clip((distance - (overlap - ramp) / 2) / ramp, 0, 1)


def blend(predictions, starts, length, weights):
    total, sums = np.zeros(length), np.zeros(length)
    for prediction, start in zip(predictions, starts):
        here = slice(start, start + len(prediction))
        sums[here] += weights * prediction
        total[here] += weights
    return np.divide(sums, total, out=np.full(length, np.nan), where=total > 0)


def least_overlap(radius, ramp):
    return 2 * radius + ramp
