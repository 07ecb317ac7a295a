"""Names are data: data/files/names.py, and the CSV files that hold them."""

import csv

import pytest

from data.files import BYTES, CONTROL, printable, write_csv
from data.files.names import cell


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("water", "water"),
        ("Wald, \N{SNOWMAN} 水体 é", "Wald, \N{SNOWMAN} 水体 é"),
        ("a\u200cb", "a\u200cb"),  # Persian words need this mark
        (r"C:\x1b", r"C:\x1b"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\n\tb\x00\x7f", r"a\r\n\tb\x00\x7f"),
        ("\x9b2J", r"\x9b2J"),  # CSI in one character
        ("\u202efit.tif", r"\u202efit.tif"),
        ("line\u2028end", r"line\u2028end"),
        ("\ud800", r"\ud800"),
        ("\udcff.tif", r"\xff.tif"),  # a byte of a file name
        ("\uffff", r"\uffff"),
    ],
)
def test_control_characters_are_escaped_and_letters_are_not(name, shown):
    assert printable(name) == printable(printable(name)) == shown
    assert bool(CONTROL.search(name)) == (name != shown) and not CONTROL.search(shown)


def test_some_characters_can_be_kept():
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert printable("\udcff\n", keep=BYTES) == "\udcff\\n"


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_text_that_a_spreadsheet_computes_gets_an_apostrophe(first):
    assert cell(f"{first}1+1") == f"'{first}1+1" and cell(f"a{first}1") == f"a{first}1"


@pytest.mark.parametrize("number", [-1, 0.5, "-0.125000", "+3", "-1e-05", "", "-inf", None])
def test_numbers_stay_numbers(number):
    assert cell(number) is number


def test_every_csv_file_is_safe(tmp_path):
    write_csv(tmp_path / "a.csv", [["class", "iou_=1"], ["=1+1", -0.5], ["@SUM(A1)", "-0.500000"]])
    with open(tmp_path / "a.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["class", "iou_=1"],
            ["'=1+1", "-0.5"],
            ["'@SUM(A1)", "-0.500000"],
        ]
