"""Answers to station 1."""

import math


def centre(transform, row, col):
    a, b, c, d, e, f = transform
    row, col = row + 0.5, col + 0.5
    return a * col + b * row + c, d * col + e * row + f


def pixel_at(transform, x, y):
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    row = (a * (y - f) - d * (x - c)) / determinant
    col = (e * (x - c) - b * (y - f)) / determinant
    return math.floor(row), math.floor(col)


def true_area(latitude):
    return 100 * math.cos(math.radians(latitude)) ** 2
