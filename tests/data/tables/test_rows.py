"""The CSV files of class tables: a table of the user, and every kind of wrong table."""

import numpy as np
import pytest

from data.classes import ClassTable
from data.files import IGNORE, InputError


def test_a_csv_of_the_users_with_merged_codes_an_ignored_one_and_a_blank_line(tmp_path):
    path = tmp_path / "my classes.csv"
    lines = [
        "code,name,color,ignore",
        "7,wood,#008000,",
        "",
        " 3 , water ,#0000ff,no",
        "8,wood,#FF0000,",
    ]
    path.write_text("\n".join([*lines, "9,cloud,#FFFFFF,TRUE"]), encoding="utf-8-sig")
    found = ClassTable.load(path)
    assert found.name == "my classes"
    assert found.names == ["wood", "water"] and found.codes == [7, 3]
    assert found.colors == [(0, 128, 0), (0, 0, 255)]
    assert found.encode(np.array([[7, 8, 3, 9]], np.uint8)).tolist() == [[0, 0, 1, IGNORE]]
    assert found.nodata == 9


def test_the_ignore_column_is_optional(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,code,color\nwood,1,#008000\n")
    assert ClassTable.load(str(path)).encode(np.array([[1]])).tolist() == [[0]]


def test_a_class_is_background_if_one_of_its_rows_says_so(tmp_path):
    path = tmp_path / "t.csv"
    lines = ["1,field,#00FF00,", "2,house,#FF0000,", "3,field,#00FF00,true", "4,sea,#0000FF,yes"]
    path.write_text("\n".join(["code,name,color,background", *lines]))
    table = ClassTable.load(path)
    assert table.background == ("field", "sea") and table.foreground == [1]
    assert [row["background"] for row in table.records] == ["true", "", "true", "true"]
    assert ClassTable.from_records("t", table.records) == table


def test_of_the_tables_of_this_package_only_esm_has_a_background():
    assert ClassTable.load("esm").background == ("other",)
    assert ClassTable.load("esm").foreground == [1, 2]
    for name in ("catalonia", "deepglobe"):
        table = ClassTable.load(name)
        assert table.background == () and table.foreground == []
        assert all("background" not in record for record in table.records)


def test_the_background_of_a_checkpoint_of_an_earlier_version_is_that_of_its_table():
    """Its records lack the column. In the table esm, the class other is the background."""
    esm = ClassTable.load("esm")
    records = [{k: v for k, v in record.items() if k != "background"} for record in esm.records]
    assert ClassTable.from_records("esm", records) == esm
    assert ClassTable.from_records("mine", records).background == ()


def classes(count: int) -> str:
    """A CSV file of so many classes."""
    return "code,name,color\n" + "".join(f"{i},c{i},#000000\n" for i in range(count))


@pytest.mark.parametrize(
    "lines, message",
    [
        ("code,name,color\n", "0 classes"),
        ("code,name,color\n1,a,#000000,\n", None),
        ("code,name\n1,a\n", "no column color"),
        ("code;name;color\n1;a;#000000\n", "no column code, color, name"),
        ("code,name,color\nx,a,#000000\n", "line 2: .*'x'.*integer or #RRGGBB"),
        ("code,name,color\n1.5,a,#000000\n", "line 2: .*'1.5'"),
        ("code,name,color\n1,a,red\n", "'red' is not a colour"),
        ("code,name,color\n#12345,a,#000000\n", "'#12345' is not a colour"),
        ("code,name,color\n1,a,#000000\n1,b,#000001\n", "code 1 occurs twice"),
        ("code,name,color\n1,a,#000000\n#000001,b,#000001\n", "mixes integer codes and colours"),
        ("code,name,color,ignore\n1,a,#000000,maybe\n", "ignore is 'maybe'"),
        ("code,name,color,ignore\n1,a,#000000,true\n", "0 classes"),
        ("code,name,color,background\n1,a,#000000,maybe\n", "line 2: background is 'maybe'"),
        ("code,name,color,background\n1,a,#000000,yes\n", "all classes are background"),
        (
            "code,name,color,ignore,background\n1,a,#000000,,\n0,n,#000000,true,true\n",
            "line 3: code 0 is ignored and background; .*; leave one of the two empty",
        ),
        ("code,name,color\n1,,#000000\n2,,#000001\n", "line 2: code 1 has no name"),
        ("code,name,color\n1,a,#000000\n20000000,b,#000000\n", "codes from 1 to 20000000"),
        ("code,name,color\n99999999999999999999,a,#000000\n", "codes from 99999999999999999999"),
        (classes(254), None),
        (classes(255), "255 classes; a table has 1 to 254"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_names_the_line_that_is_wrong(tmp_path, lines, message):
    path = tmp_path / "t.csv"
    path.write_text(lines)
    if message is None:
        assert ClassTable.load(path).names
    else:
        with pytest.raises(InputError, match=message) as error:
            ClassTable.load(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_table_that_is_not_there_names_those_that_are(tmp_path):
    for name in ("nowhere", tmp_path / "t.csv", tmp_path):
        with pytest.raises(InputError, match=r"catalonia \(Land Cover .*, deepglobe .*, esm \(Eur"):
            ClassTable.load(name)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("code,name,color\n1,a,#000000\n".encode("utf-16"))
    with pytest.raises(InputError, match="UTF-8"):
        ClassTable.load(path)
