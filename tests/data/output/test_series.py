"""Change over three dates and more: the order of the maps, shares and steps counted by hand, then
by numpy on pixels that rasterio reads; and the command.
"""

import csv
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pyproj import CRS
from zones import DEGREES, km2_of_rows

from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import IDENTITY, Grid, Window
from data.output import change, maps, series
from data.output.series import Series, timeline
from data.raster import cog

ESM = ClassTable.load("esm")  # other, non-residential, residential
EQUAL_AREA = Grid(CRS.from_epsg(3035), (1000, 0, 4e6, 0, -1000, 3e6), 2, 4)  # a pixel is 1 km2
FIRST = np.array([[0, 0, 0, 0], [1, 2, 2, IGNORE]], np.uint8)
SECOND = np.array([[0, 0, 2, 1], [2, 2, IGNORE, 0]], np.uint8)
THIRD = np.array([[0, 2, 2, 2], [2, 0, 0, 1]], np.uint8)
# Known in all maps are the six pixels (0, 0) to (1, 1): 0 0 0 0 1 2, 0 0 2 1 2 2, 0 2 2 2 2 0.


def paths(*names: str) -> tuple[Path, ...]:
    return tuple(Path(f"{name}.tif") for name in names)


def counted(grid: Grid) -> Series:
    found = Series(grid, 3, 3)
    for row in range(2):
        found.add([labels[row : row + 1] for labels in (FIRST, SECOND, THIRD)])
    return found


# The order of the maps.


@pytest.mark.parametrize(
    ("names", "order", "dates"),
    [
        (("c_2019", "b_2021", "a_2017"), (2, 0, 1), ["2017", "2019", "2021"]),
        (("p_201906", "p_2018_12", "p_2019_11"), (1, 0, 2), ["2018-12", "2019-06", "2019-11"]),
        # A day above 12 in one name tells how the others are read.
        (("03_04_2021", "25_03_2021", "02_05_2021"), (1, 0, 2),
         ["2021-03-25", "2021-04-03", "2021-05-02"]),
        # 2019_04_01 and 2021 are compared by year.
        (("x_2021", "x_2019_04_01", "x_2020"), (1, 2, 0), ["2019-04-01", "2020", "2021"]),
        # Two maps of one day differ by the time.
        (("a_20210601T101500", "a_20210601T093000", "a_20210602T000000"), (1, 0, 2),
         ["2021-06-01 09:30:00", "2021-06-01 10:15:00", "2021-06-02 00:00:00"]),
    ],
)  # fmt: skip
def test_maps_are_put_in_the_order_of_the_dates_in_their_names(names, order, dates):
    found = timeline(paths(*names))
    assert found.paths == tuple(paths(*names)[k] for k in order)
    assert found.dates == found.labels == dates and found.days == sorted(found.days)
    assert found.remarks == ["the maps are put in the order of the dates in their names"]
    assert not timeline(found.paths).remarks  # in order already


def test_the_distances_of_dates_are_days():
    days = timeline(paths("a_2020_02_28", "a_2020_03_01", "a_20210301")).days
    assert np.diff(days).tolist() == [2, 365]
    hours = timeline(paths("a_20200228T000000", "a_20200228T180000", "a_20200229T000000")).days
    assert np.diff(hours).tolist() == [0.75, 0.25]


def test_a_date_that_may_be_month_first_is_told():
    found = timeline(paths("a_05_03_2019", "a_06_03_2020", "a_07_07_2021"))
    assert found.dates == ["2019-03-05", "2020-03-06", "2021-07-07"]
    assert found.remarks == [
        "a_05_03_2019.tif: its date is read as 2019-03-05, not as 2019-05-03 (likewise in 1 of "
        "the other names)"
    ]


@pytest.mark.parametrize("number", [2, 3])
def test_a_date_that_may_be_month_first_leaves_the_order_given_if_the_order_depends_on_it(number):
    given = paths("a_02_05_2021", "a_03_04_2021", "a_12_12_2021")[:number]
    found = timeline(given)  # 3 April is before 2 May, and 4 March is after 5 February
    assert found.paths == given and found.dates is None is found.days
    assert found.labels == ["map 1", "map 2", "map 3"][:number]
    assert found.remarks == [
        "a_02_05_2021.tif: its date is 2021-05-02 or 2021-02-05, and the order depends on it; the "
        "maps are taken in the order given; write the year first"
    ]


@pytest.mark.parametrize(
    "names", [("c", "b", "a"), ("c_2019", "b", "a_2017"), ("c_2019", "b_2019", "a_2017")]
)
def test_maps_without_a_date_of_its_own_for_each_keep_the_order_given(names):
    found = timeline(paths(*names))
    assert found.paths == paths(*names) and found.dates is None
    assert found.remarks == [
        "the names hold no 3 dates to compare; the maps are taken in the order given"
    ]


def test_maps_of_one_name_are_told_apart_by_their_folders():
    assert timeline((Path("2019/a.tif"), Path("2020/a.tif"))).names == ["2019/a.tif", "2020/a.tif"]
    assert timeline((Path("2019/a.tif"), Path("2020/b.tif"))).names == ["a.tif", "b.tif"]


# Shares and steps.


@pytest.mark.parametrize("grid", [EQUAL_AREA, Grid(None, IDENTITY, 2, 4)], ids=["km2", "pixels"])
def test_shares_are_of_the_pixels_with_a_class_in_all_maps(grid):
    found = counted(grid)
    np.testing.assert_allclose(found.areas, [[4, 1, 1], [2, 1, 3], [2, 0, 4]], rtol=1e-6)
    np.testing.assert_allclose(found.shares[1], [2 / 6, 1 / 6, 3 / 6], rtol=1e-6)
    np.testing.assert_allclose(found.steps[0].matrix, [[2, 1, 1], [0, 0, 1], [0, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(found.steps[1].matrix, [[1, 0, 1], [0, 0, 1], [1, 0, 2]], rtol=1e-6)
    np.testing.assert_allclose(found.whole.matrix, [[1, 0, 3], [0, 0, 1], [1, 0, 0]], rtol=1e-6)
    assert found.common == 6 and found.mapped.tolist() == [7, 7, 8]


def test_km2_of_a_strip_are_those_of_its_own_rows():
    found, labels = Series(DEGREES, 4, 3), np.arange(4, dtype=np.uint8)[:, None]
    for row in range(4):
        found.add([labels[row : row + 1]] * 3)
    np.testing.assert_allclose(found.areas, [km2_of_rows(DEGREES)] * 3, rtol=3e-5)


def test_what_is_left_out_of_each_map_is_told():
    maps_of = timeline(paths("a_2019", "b_2020", "c_2021"))
    assert series.left_out(counted(EQUAL_AREA), maps_of) == [
        "only pixels with a class in all maps count; left out are 14.29 % of a_2019.tif, 14.29 % "
        "of b_2020.tif, 25.00 % of c_2021.tif"
    ]
    whole = Series(EQUAL_AREA, 3, 3)
    whole.add([np.zeros((2, 4), np.uint8)] * 3)
    assert series.left_out(whole, maps_of) == []


def test_the_tables_have_a_row_for_each_class_of_each_date_and_step():
    found, dated = counted(Grid(None, IDENTITY, 2, 4)), timeline(paths("a_2019", "b_2020", "c_21"))
    head, *shares = series.share_rows(ESM, found, dated)
    assert head == ["map", "date", "class", "code", "pixels", "share"]
    assert shares[4] == ["b_2020.tif", "", "non-residential", 250, "1.000000", "0.166667"]
    assert len(shares) == 9 and shares[8][4:] == ["4.000000", "0.666667"]
    dated = timeline(paths("a_2019", "b_2020", "c_2021"))
    head, *steps = series.step_rows(ESM, found, dated)
    assert head[-4:] == ["gain - loss", "to other", "to non-residential", "to residential"]
    assert [row[:2] for row in steps[::3]] == [["2019", "2020"], ["2020", "2021"], ["2019", "2021"]]
    numbers = [float(value) for value in steps[6][5:]]  # other, from the first to the last
    assert steps[6][2:5] == ["other", 1, "pixels"] and numbers == [4, 2, 3, 1, -2, 1, 0, 3]


def test_the_terminal_shows_the_classes_that_occur_at_any_date():
    found = Series(Grid(None, IDENTITY, 1, 2), 3, 3)
    found.add([np.array([labels], np.uint8) for labels in ([0, 0], [0, 2], [2, 2])])
    shown = [line.split() for line in series.lines(ESM, found, timeline(paths("a", "b", "c")))]
    assert shown == [
        ["map", "1", "a.tif"], ["map", "2", "b.tif"], ["map", "3", "c.tif"],
        ["share", "of", "2", "pixels", *"map 1 map 2 map 3".split()],
        ["other", "(1)", "100.00%", "50.00%", "0.00%"],
        ["residential", "(255)", "0.00%", "50.00%", "100.00%"],
        ["area,", "pixels", *"map 1 map 2 map 3".split()],
        ["other", "(1)", "2", "1", "0"], ["residential", "(255)", "0", "1", "2"],
        ["gain,", "pixels", *"to map 2 to map 3 first to last".split()],
        ["other", "(1)", "0", "0", "0"], ["residential", "(255)", "1", "1", "2"],
        ["loss,", "pixels", *"to map 2 to map 3 first to last".split()],
        ["other", "(1)", "1", "1", "2"], ["residential", "(255)", "0", "0", "0"],
    ]  # fmt: skip


# The command.


def write_maps(folder: Path, *names: str, grid: Grid = EQUAL_AREA) -> list[str]:
    written = [folder / f"{name}.tif" for name in names]
    for path, labels in zip(written, (FIRST, SECOND, THIRD)):
        with maps.classes(path, grid, ESM) as add:
            add(labels)
    return [*map(str, written)]


def test_three_maps_leave_shares_steps_a_picture_and_the_change_from_first_to_last(
    tmp_path, capsys
):
    a, b, c = write_maps(tmp_path, "a_2019", "a_2020", "a_2021")
    change.main([c, a, b])
    printed = capsys.readouterr()
    made = sorted({p.name for p in tmp_path.iterdir()} - {Path(p).name for p in (a, b, c)})
    assert [name for name in made if "to" in name] == [
        f"a_2019_to_a_2021{end}"
        for end in (
            ".csv",
            ".qml",
            ".tif",
            ".tif.aux.xml",
            "_shares.csv",
            "_shares.png",
            "_steps.csv",
        )
    ]
    assert "the maps are put in the order" in printed.err and "14.29 % of a_2019" in printed.err
    assert f"from {a} to {c}\n" in printed.out and "a_2019_to_a_2021_shares.png" in printed.out
    with open(tmp_path / "a_2019_to_a_2021.csv", newline="") as file:
        lines = {line[0]: line[1:] for line in csv.reader(file)}
    assert [float(value) for value in lines["gain"][:3]] == pytest.approx([1, 0, 4], abs=1e-5)
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(tmp_path / "a_2019_to_a_2021.tif") as dataset:
        # before * 3 + after + 1, and 0 where any map has no class
        assert dataset.read(1).tolist() == [[1, 3, 3, 3], [6, 7, 0, 0]]
    picture = imagecodecs.imread(str(tmp_path / "a_2019_to_a_2021_shares.png"))
    assert all((picture == color).all(-1).any() for color in ESM.colors)


def test_shares_agree_with_numpy_on_the_pixels_that_rasterio_reads(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    random = np.random.default_rng(0)
    grid = Grid(CRS.from_epsg(3035), (10, 0, 4e6, 0, -10, 3e6), 300, 70)  # two strips
    codes = np.array([1, 250, 255, ESM.nodata], np.uint8)
    names = [str(tmp_path / f"m_{year}.tif") for year in range(2017, 2022)]
    for name in names:
        cog.write(name, codes[random.integers(0, 4, (300, 70))], grid, ESM.nodata)
    change.main([*names, "--classes", "esm", "-o", str(tmp_path / "c.tif")])
    pixels = np.array([rasterio.open(name).read(1) for name in names])
    common = (pixels != ESM.nodata).all(0)
    with open(tmp_path / "c_shares.csv", newline="") as file:
        for row in csv.DictReader(file):
            mine = pixels[names.index(row["map"])][common] == int(row["code"])
            assert float(row["share"]) == pytest.approx(mine.mean(), abs=1e-5)
    with open(tmp_path / "c_steps.csv", newline="") as file:
        steps = [*csv.DictReader(file)]
    assert len(steps) == 5 * 3
    for row in steps:
        before, after = (pixels[int(row[key]) - 2017][common] for key in ("from", "to"))
        gain = ((before != int(row["code"])) & (after == int(row["code"]))).sum() / 1e4
        to_towns = ((before == int(row["code"])) & (after == 255)).sum() / 1e4
        assert float(row["gain"]) == pytest.approx(gain, rel=1e-4)
        assert float(row["to residential"]) == pytest.approx(to_towns, rel=1e-4)


def test_a_later_map_on_a_finer_grid_is_put_on_that_of_the_first(tmp_path):
    a, b, c = write_maps(tmp_path, "a_2019", "a_2020", "a_2021")
    finer = Grid(EQUAL_AREA.crs, (500, 0, 4e6, 0, -500, 3e6), 4, 8)
    with maps.classes(c, finer, ESM) as add:
        add(THIRD.repeat(2, 0).repeat(2, 1))
    change.main([a, b, c, "-o", str(tmp_path / "c.tif")])
    with open(tmp_path / "c_shares.csv", newline="") as file:
        areas = [float(row["km2"]) for row in csv.DictReader(file)]
    assert areas == pytest.approx([4, 1, 1, 2, 1, 3, 2, 0, 4], abs=1e-4)


def test_three_maps_that_cannot_be_compared_are_refused_and_leave_nothing(tmp_path):
    a, b, c = write_maps(tmp_path, "a_2019", "a_2020", "a_2021")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "link_2022.tif").symlink_to(a)
    with pytest.raises(InputError, match="link_2022.tif: is given twice"):
        change.main([a, b, str(tmp_path / "link_2022.tif")])
    for output in (b, str(tmp_path / "a_2020.x")):  # a_2020.csv would be written beside it
        with pytest.raises(InputError, match="is an input"):
            table = tmp_path / "a_2020.csv"
            table.write_text("code,name,color\n1,a,#000000\n")
            change.main([a, b, c, "-o", output, "--classes", str(table)])
    for ending in ("_shares.csv", "_steps.csv"):
        table = tmp_path / f"out{ending}"
        table.write_text("code,name,color\n1,a,#000000\n")
        with pytest.raises(InputError, match=f"out{ending}: is an input"):
            change.main([a, b, c, "-o", str(tmp_path / "out.tif"), "--classes", str(table)])
    far, alone = tmp_path / "far_2022.tif", np.full((2, 4), IGNORE, np.uint8)
    with maps.classes(far, EQUAL_AREA.window(Window(10_000, 0, 2, 4)), ESM) as add:
        add(FIRST)
    with pytest.raises(InputError, match="far_2022.tif: lies wholly outside"):
        change.main([a, b, str(far)])
    with maps.classes(far, EQUAL_AREA, ESM) as add:
        add(alone)
    with pytest.raises(InputError, match="a_2019.tif: has no pixel with a class in all of the 3"):
        change.main([a, b, str(far)])
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not list(tmp_path.glob("*_to_*"))
    with pytest.raises(InputError, match="required: after"):
        change.main([a])


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_unknown_codes_of_any_map_are_an_error(tmp_path, wrong):
    names = write_maps(tmp_path, "a_2019", "a_2020", "a_2021")
    codes = ESM.decode(FIRST)
    codes[0, 0] = 77
    cog.write(names[wrong], codes, EQUAL_AREA, ESM.nodata)
    with pytest.raises(InputError, match=rf"a_20{wrong + 19}\.tif: code 77 \(1 pixels\)"):
        change.main([*names, "-o", str(tmp_path / "c.tif"), "--classes", "esm"])
    assert not list(tmp_path.glob("c*"))


@pytest.mark.parametrize("number", [2, 3])
def test_a_map_with_other_names_for_its_codes_is_refused_unless_a_table_is_named(tmp_path, number):
    names = write_maps(tmp_path, "a_2019", "a_2020", "a_2021")[:number]
    records = [record | {"name": record["name"].upper()} for record in ESM.records]
    with maps.classes(names[-1], EQUAL_AREA, ClassTable.from_records("x", records)) as add:
        add(THIRD)
    output = ["-o", str(tmp_path / "c.tif")]
    with pytest.raises(InputError, match="its code 1 is 'OTHER', but 'other' in .*a_2019.tif"):
        change.main([*names, *output])
    change.main([*names, *output, "--classes", "esm"])
    assert (tmp_path / "c.csv").exists()


def test_options_may_stand_between_the_maps(tmp_path, capsys):
    a, b, c = write_maps(tmp_path, "a_2019", "a_2020", "a_2021")
    change.main([a, b, "-o", str(tmp_path / "c.tif"), c])
    assert (tmp_path / "c_shares.png").exists()
