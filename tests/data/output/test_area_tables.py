"""areas.csv: dates in names, rows by hand, sums, and cells that stay empty."""

import csv

import numpy as np
import pytest
from pyproj import CRS

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import IDENTITY, Grid
from data.output import area_tables as areas_csv
from data.output.area_tables import date_in
from data.output.areas import Areas

ESM = ClassTable.load("esm")  # other, non-residential, residential
EQUAL_AREA = Grid(CRS.from_epsg(3035), (1000, 0, 4e6, 0, -1000, 3e6), 4, 5)  # a pixel is 1 km2


def areas(labels: list, grid: Grid) -> Areas:
    found = Areas(grid, 3)
    labels = np.array(labels, np.uint8)
    found.add(labels[:1])
    found.add(labels[1:])
    return found


def table_of(path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


TOWN = [
    [0, 0, 0, 0, 0],
    [0, 0, 0, 1, 2],
    [0, 0, 2, 2, 2],
    [IGNORE] * 5,
]  # 10, 1 and 4 pixels; 5 without data


@pytest.mark.parametrize(
    "name, date",
    [
        ("town_20180412.tif", "2018-04-12"),
        ("2018-04-12 town.tif", "2018-04-12"),
        ("S2A_MSIL2A_20190801T105031_N0213_R051_T31UDQ_20190801T134112", "2019-08-01"),
        ("town_20181341_20180230_20200229.tif", "2020-02-29"),  # the first that the calendar has
        ("town_004.tif", ""),
        ("120180412.tif", ""),
        ("20180412001.tif", ""),
        ("2018-0412.tif", ""),
        ("tile_31004512.tif", ""),
    ],
)
def test_the_date_is_the_first_in_the_name_that_is_a_day(name, date):
    assert date_in(name) == date


def test_a_row_for_each_image_and_class(tmp_path):
    areas_csv.write(tmp_path / "areas.csv", ESM, [("in/t_20180412.tif", areas(TOWN, EQUAL_AREA))])
    rows = table_of(tmp_path / "areas.csv")
    assert [
        (row["image"], row["date"], row["class"], row["code"], row["pixels"]) for row in rows
    ] == [
        ("in/t_20180412.tif", "2018-04-12", "other", "1", "10"),
        ("in/t_20180412.tif", "2018-04-12", "non-residential", "250", "1"),
        ("in/t_20180412.tif", "2018-04-12", "residential", "255", "4"),
    ]
    assert [float(row["km2"]) for row in rows] == pytest.approx([10, 1, 4], rel=1e-6)
    assert [row["share"] for row in rows] == ["0.666667", "0.066667", "0.266667"]
    assert [row["share_of_built_up"] for row in rows] == ["", "0.200000", "0.800000"]
    assert list(rows[0]) == [*areas_csv.COLUMNS, *areas_csv.ADJUSTED, "not_adjusted"]


def test_without_crs_km2_are_empty_and_other_tables_have_no_built_up(tmp_path):
    table = ClassTable.load("deepglobe")
    found = Areas(Grid(None, IDENTITY, 2, 2), len(table.names))
    found.add(np.array([[0, 0], [0, 3]], np.uint8))
    areas_csv.write(tmp_path / "areas.csv", table, [("a.png", found)])
    rows = table_of(tmp_path / "areas.csv")
    assert [row["share"] for row in rows] == [
        "0.750000",
        "0.000000",
        "0.000000",
        "0.250000",
        "0.000000",
        "0.000000",
    ]
    assert all(row["km2"] == row["share_of_built_up"] == "" for row in rows)


def table_from(tmp_path, *rows: str) -> ClassTable:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["code,name,color,background", *rows]))
    return ClassTable.load(path)


def test_the_classes_that_are_not_background_are_one_group_else_each_is_one(tmp_path):
    assert areas_csv.groups(ESM) == {"built-up": [1, 2]}
    deepglobe = ClassTable.load("deepglobe")
    assert areas_csv.groups(deepglobe) == {name: [k] for k, name in enumerate(deepglobe.names)}
    rows = [f"{k},c{k},#000000," for k in range(1, 6)]
    towns = table_from(tmp_path, rows[0], rows[1] + "true", rows[2])
    assert areas_csv.groups(towns) == {"c1 + c3": [0, 2]}
    many = table_from(tmp_path, rows[0] + "true", *rows[1:])
    assert areas_csv.groups(many) == {"all but c1": [1, 2, 3, 4]}
    assert areas_csv.groups(table_from(tmp_path, rows[0])) == {}


def test_several_images_end_with_their_sum_if_it_has_one_unit(tmp_path):
    plain = Grid(None, IDENTITY, 4, 5)
    for grids, sums in (
        ([EQUAL_AREA] * 2, True),
        ([plain] * 2, True),
        ([EQUAL_AREA, plain], False),
    ):
        found = [(f"{n}.tif", areas(TOWN, grid)) for n, grid in enumerate(grids)]
        areas_csv.write(tmp_path / "areas.csv", ESM, found)
        rows = table_of(tmp_path / "areas.csv")
        assert len(rows) == (9 if sums else 6)
        if sums:
            assert [row["image"] for row in rows[6:]] == ["all"] * 3
            assert [row["pixels"] for row in rows[6:]] == ["20", "2", "8"]
            assert rows[6]["km2"] == ("" if grids[0] is plain else "20.000000")


def half_of_towns_are_fields(measured, pixels, images):
    shares = measured / measured.sum()
    moved = shares + [shares[1:].sum() / 2, *(-shares[1:] / 2)]
    return np.stack([moved, moved * 0.9, moved * 1.1])


def test_adjusted_areas_stand_beside_the_counted_ones(tmp_path):
    for grid, km2 in ((EQUAL_AREA, 12.5), (Grid(None, IDENTITY, 4, 5), None)):
        found = [("a.tif", areas(TOWN, grid))]
        areas_csv.write(tmp_path / "areas.csv", ESM, found, half_of_towns_are_fields)
        row = table_of(tmp_path / "areas.csv")[0]
        for end, factor in (("", 1), ("_low", 0.9), ("_high", 1.1)):
            assert float(row[f"adjusted_share{end}"]) == pytest.approx(12.5 / 15 * factor, abs=1e-6)
            if km2 is None:
                assert row[f"adjusted_km2{end}"] == ""
            else:
                # The grid's pixels differ in size on the ground by less than 1 in 10,000.
                assert float(row[f"adjusted_km2{end}"]) == pytest.approx(km2 * factor, rel=1e-4)
        assert row["not_adjusted"] == ""
    printed = areas_csv.area_table(ESM, found[0][1], half_of_towns_are_fields).splitlines()
    assert printed[0].endswith("adjusted  (95 % interval)")
    assert printed[1].split()[-5:] == ["10", "12", "(11", "to", "14)"]


def test_the_sum_is_adjusted_with_all_pixels_and_images_that_were_mapped(tmp_path):
    seen = []

    def adjust(*given):
        seen.append((given[0].tolist(), *given[1:]))
        return half_of_towns_are_fields(*given)

    plain = Grid(None, IDENTITY, 4, 5)
    empty = areas([[IGNORE] * 5] * 4, plain)
    found = [("a.tif", areas(TOWN, plain)), ("b.tif", areas(TOWN, plain)), ("c.tif", empty)]
    areas_csv.write(tmp_path / "areas.csv", ESM, found, adjust)
    assert seen == [([10, 1, 4], 15, 1)] * 2 + [([20, 2, 8], 30, 2)]
    rows = table_of(tmp_path / "areas.csv")
    assert float(rows[9]["adjusted_share"]) == pytest.approx(12.5 / 15, abs=1e-6)
    assert rows[6]["not_adjusted"] == "no pixel was mapped"


def test_areas_that_are_not_adjusted_say_why(tmp_path):
    plain = Grid(None, IDENTITY, 4, 5)
    found = [("a.tif", areas(TOWN, plain)), ("b.tif", areas(TOWN, plain))]
    found[1][1].objection = "it shows snow"
    areas_csv.write(tmp_path / "areas.csv", ESM, found, half_of_towns_are_fields)
    rows = table_of(tmp_path / "areas.csv")
    assert [rows[at]["not_adjusted"] for at in (0, 3, 6)] == [
        "",
        "it shows snow",
        "1 of 2 images: it shows snow",
    ]
    assert [bool(rows[at]["adjusted_share"]) for at in (0, 3, 6)] == [True, False, False]
    assert rows[3]["share"] == "0.666667"  # the mapped area alone
    printed = areas_csv.area_table(ESM, found[1][1], half_of_towns_are_fields).splitlines()
    assert "adjusted" not in printed[0]
    assert printed[-1] == "  areas are not adjusted for errors: it shows snow"
    areas_csv.write(tmp_path / "areas.csv", ESM, found[:1])
    row = table_of(tmp_path / "areas.csv")[0]
    assert row["not_adjusted"] == "the checkpoint has no validation windows"


def test_nothing_mapped_is_empty_cells_and_no_nan(tmp_path):
    grid = Grid(EQUAL_AREA.crs, EQUAL_AREA.transform, 2, 1)
    found = [("a.tif", areas([[IGNORE], [IGNORE]], grid))]
    areas_csv.write(tmp_path / "areas.csv", ESM, found, half_of_towns_are_fields)
    assert "nan" not in (tmp_path / "areas.csv").read_text()
    rows = table_of(tmp_path / "areas.csv")
    assert [row["share"] for row in rows] == [""] * 3
    assert [row["not_adjusted"] for row in rows] == ["no pixel was mapped"] * 3
