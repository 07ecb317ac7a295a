"""Answers to station 8."""

import numpy as np


def macro_dice(matrix):
    total = matrix.sum(0) + matrix.sum(1)
    occurs = total > 0
    return (2 * np.diag(matrix)[occurs] / total[occurs]).mean()


def who_pays(matrix):
    recall = np.diag(matrix) / matrix.sum(1)
    victim = int(recall.argmin())
    others = matrix[victim].copy()
    others[victim] = -1
    return victim, int(others.argmax())


def two_batchings(matrices):
    # Windows with little of the rare class have an unsteady Dice. A batch of two such windows
    # counts as much as one of two large towns. So pair like with like, and then unlike windows.
    order = sorted(range(len(matrices)), key=lambda n: macro_dice(matrices[n]))
    like = list(zip(order[::2], order[1::2]))
    unlike = list(zip(order, reversed(order)))[: len(order) // 2]
    return like, unlike


def adjusted_shares(matrix, mapped):
    return (mapped * matrix / matrix.sum(0)).sum(1)
