"""Checks of station 3, against the table esm of data/classes.py."""

import numpy as np
from answers import raises, same

from data.classes import ClassTable

ESM = {0: 0, 1: 0, 250: 1, 255: 2}


def test_labels_of_the_settlement_map(ex):
    raster = np.random.default_rng(0).choice(np.array([0, 1, 250, 255], np.uint8), (40, 50))
    expected = ClassTable.load("esm").encode(raster)
    same("labels", ex.encode(raster, ESM), expected)
    assert ex.encode(raster, ESM).dtype == np.uint8, "labels: are not uint8"
    same("labels of a file that declares 0", ex.encode(raster, ESM, nodata=0), expected)


def test_declared_no_data_is_ignored(ex):
    raster = np.array([[1, 99], [250, 99]], np.uint8)
    same("labels with no-data 99", ex.encode(raster, ESM, nodata=99), [[0, 255], [1, 255]])


def test_an_unknown_code_is_an_error_that_names_it(ex):
    raster = np.array([[1, 77, 77], [250, 3, 255]], np.uint8)
    for code, pixels in ((77, 2), (3, 1)):
        what = f"{pixels} pixels of the unknown code {code}"
        raises(what, lambda: ex.encode(raster, ESM), ValueError, rf"\b{code} \({pixels} pixels\)")
    raises("77 and the declared 3", lambda: ex.encode(raster, ESM, 3), ValueError, r"\b77 \(")


def test_the_code_for_no_data_is_no_class(ex):
    same("free code of {0, 1, 250, 255}", ex.free_code(ESM), 2)
    same("free code of {1, 2}", ex.free_code({1: 0, 2: 1}), 0)
    same("free code of 0..200", ex.free_code(dict.fromkeys(range(201), 0)), 201)
