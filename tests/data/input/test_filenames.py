"""What the names of files say: which are the dates of one place, and in which order."""

from pathlib import Path

import pytest

from data.files import InputError
from data.input import filenames


def paths(*names: str) -> list[Path]:
    return [Path(stem) for stem in names]


def test_images_of_one_mask_become_one_sorted_by_name():
    pairs = list(
        zip(
            paths("b_1.tif", "a_1.tif", "x/c_2.tif", "w/c_2.tif"), paths("m_1", "m_1", "m_2", "m_2")
        )
    )
    assert filenames.by_mask(pairs) == [
        (tuple(paths("a_1.tif", "b_1.tif")), Path("m_1")),
        (tuple(paths("w/c_2.tif", "x/c_2.tif")), Path("m_2")),
    ]


def test_places_of_another_number_of_dates_are_listed():
    pairs = list(zip(paths("a_1", "b_1", "a_2", "b_2", "a_3", *"xyz"), paths(*"11223444")))
    with pytest.raises(InputError, match=r"most have 2, but 3 has 1, 4 has 3$"):
        filenames.by_mask(pairs)
    with pytest.raises(
        InputError, match="every mask has one image; dates of one place share a mask"
    ):
        filenames.by_mask(list(zip(paths("a_1", "a_2"), paths("1", "2"))))


def test_a_trained_network_gets_the_dates_of_each_place():
    images = paths("august_7.tif", "august_8.tif", "april_8.tif", "april_7.tif")
    assert filenames.by_place(images, 1) == [(image,) for image in images]
    assert [[p.name for p in dates] for dates in filenames.by_place(images, 2)] == [
        ["april_7.tif", "august_7.tif"],
        ["april_8.tif", "august_8.tif"],
    ]
    # so many as there are dates are one place, whatever their names
    assert filenames.by_place(images, 4) == [tuple(sorted(images))]
    with pytest.raises(
        InputError,
        match=r"august_8.tif: 1 image of the place '8', but .* trained on 2 dates of each",
    ):
        filenames.by_place(images[:2] + images[3:], 2)
