"""What the names of files say: which are the dates of one place, and in which order."""

import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from data.files import InputError
from data.input import filenames


def paths(*names: str) -> list[Path]:
    return [Path(stem) for stem in names]


def test_the_side_of_a_tile_is_no_year():
    assert filenames.date_of(Path("tile_2048_a.tif")) is None
    assert filenames.date_of(Path("tile_2024_a.tif")) is not None


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


# Dates in names.


@pytest.mark.parametrize(
    ("name", "form", "numbers"),
    [
        ("p_2019_06_01", "year-month-day", (2019, 6, 1)),
        ("p-2019-06-01-x", "year-month-day", (2019, 6, 1)),
        ("2019.06.01", "year-month-day", (2019, 6, 1)),
        ("map20190601", "year-month-day", (2019, 6, 1)),
        ("01_06_2019", "day-month-year", (2019, 6, 1)),
        ("01.06.2019", "day-month-year", (2019, 6, 1)),
        ("t_20012010", "day-month-year", (2010, 1, 20)),
        ("2019_06", "year-month", (2019, 6, 0)),
        ("2019_06-01", "year-month", (2019, 6, 0)),
        ("06-2019", "month-year", (2019, 6, 0)),
        ("worldcover2019v2", "year", (2019, 0, 0)),
        ("06_15_2019", "year", (2019, 0, 0)),  # month first: only the year is sure
        ("31_02_2019", "month-year", (2019, 2, 0)),
        ("LC08_L2SP_195028_20190601_20200828_02_T1", "year-month-day", (2019, 6, 1)),
        ("LC81950282019152LGN00", "year-month-day", (2019, 6, 1)),
        ("T32TPS_20240830T100559_B02", "year-month-day", (2024, 8, 30)),
    ],
)
def test_a_date_is_found_however_it_is_written(name, form, numbers):
    found = filenames.date_of(Path(f"2001/{name}.tif"))
    assert found and (found.form, found.numbers[:3]) == (form, numbers)


@pytest.mark.parametrize("name", ["april_07", "tile_20190", "1234567890", "row_1066", "9_2019001"])
def test_other_numbers_are_no_dates(name):
    assert filenames.date_of(Path(f"{name}.tif")) is None


@pytest.mark.parametrize("form", ["%Y_%m_%d", "%d-%m-%Y", "%Y%m%d", "%d%m%Y", "%d.%m.%Y", "%Y.%m"])
def test_random_dates_are_sorted_by_time(form):
    draw = random.Random(form)
    days = [date(1990, 1, 1) + timedelta(draw.randrange(18_000)) for _ in range(30)]
    written = {f"{day:{form}}": day for day in days}
    images = [Path(f"a_{text}_7.tif") for text in written]
    draw.shuffle(images)
    ordered = sorted(written, key=written.__getitem__)
    assert filenames.in_order(images) == tuple(Path(f"a_{text}_7.tif") for text in ordered)


def test_dates_of_several_forms_are_compared_by_year_alone():
    assert filenames.in_order(paths("01_06_2021", "2019_12_31")) == tuple(
        paths("2019_12_31", "01_06_2021")
    )
    # 03_04_2019 may be in March or in April. The names decide.
    assert filenames.dates_of(paths("03_04_2019", "2019_04_01")) is None
    assert filenames.in_order(paths("2019_01_01", "01_06_2019")) == tuple(
        paths("01_06_2019", "2019_01_01")
    )
    assert filenames.in_order(paths("04_03_2019", "03_04_2019")) == tuple(
        paths("04_03_2019", "03_04_2019")
    )
    assert filenames.dates_of(paths("a_2019", "b")) is None
    assert filenames.dates_of(paths("a_2019", "b_2019")) is None


def test_places_of_one_day_are_not_taken_for_dates_of_one_place():
    images = [f"{place}_{day}" for place in ("north", "south") for day in ("20190601", "20210715")]
    with pytest.raises(InputError, match="has the date of another image of the same place"):
        filenames.by_place(paths(*images), 2)
    assert filenames.by_place(paths(*images[:2]), 2) == [tuple(paths(*images[:2]))]
    month_first = paths("a_2019_07", "b_2019_07")  # place 07, or July: no day is known
    assert filenames.by_place(month_first, 2) == [tuple(month_first)]
