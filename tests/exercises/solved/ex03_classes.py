"""Answers to station 3."""

import numpy as np

IGNORE = 255


def encode(raster, table, nodata=None):
    labels = np.full(raster.shape, IGNORE, np.uint8)
    known = np.zeros(raster.shape, bool)
    for code, label in table.items():
        here = raster == code
        labels[here] = label
        known |= here
    if nodata is not None:
        known |= raster == nodata
    codes, counts = np.unique(raster[~known], return_counts=True)
    if len(codes):
        named = ", ".join(f"code {code} ({count} pixels)" for code, count in zip(codes, counts))
        raise ValueError(f"{named}: not in the class table")
    return labels


def free_code(table):
    return next(code for code in range(256) if code not in table)
