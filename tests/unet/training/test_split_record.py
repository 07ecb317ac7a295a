"""The record of the split in a checkpoint, and split.csv."""

import csv
import io

import pytest
import torch

from unet.training.split_record import obeys, same, write


def split() -> dict:
    """Two images, of which the second has no CRS."""
    windows = [(0, 0, 0, 30, 32, 0), (0, 2, 32, 30, 32, 1), (1, 0, 0, 9, 8, 2)]
    return {
        "images": ["d/a.tif", "=b.png"],
        "pixels": ["0123", "4567"],
        "crs": ["EPSG:32631"],
        "places": torch.tensor([(0, 0, 32, 64), (-1, 1, 9, 8)], dtype=torch.int32),
        "transforms": torch.tensor([(10, 0, 4e5, 0, -10, 5e6), (1, 0, 0, 0, 1, 0)]).double(),
        "windows": torch.tensor(windows, dtype=torch.int32),
    }


def test_split_csv_has_a_row_for_each_window_and_replaces_an_earlier_one(tmp_path):
    path = tmp_path / "split.csv"
    write(path, {})
    assert not path.exists()
    write(path, {"split": split()})
    with open(path, newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "row", "column", "height", "width", "part"],
            ["d/a.tif", "0", "0", "30", "32", "training"],
            ["d/a.tif", "2", "32", "30", "32", "validation"],
            ["'=b.png", "0", "0", "9", "8", "left out"],
        ]
    before = path.read_bytes()
    path.write_text("of a run that was killed before its first epoch")
    write(path, {"split": split()})
    assert path.read_bytes() == before


def test_a_whole_record_is_accepted():
    obeys(split(), "split")
    obeys(split() | {"windows": torch.zeros(0, 6, dtype=torch.int32)}, "split")


@pytest.mark.parametrize(
    "name, at, value, message",
    [
        ("windows", (0, 0), 2, "unknown image or part"),
        ("windows", (0, 0), -1, "unknown image or part"),
        ("windows", (0, 5), 3, "unknown image or part"),
        ("windows", (0, 1), -1, "window outside its image"),
        ("windows", (0, 2), 33, "window outside its image"),
        ("windows", (1, 3), 31, "window outside its image"),
        ("windows", (1, 1), 2**31 - 1, "window outside its image"),
        ("windows", (0, 4), 0, "window outside its image"),
        ("places", (0, 0), 1, "unknown CRS or a size below 1"),
        ("places", (0, 0), -2, "unknown CRS or a size below 1"),
        ("places", (1, 2), 0, "unknown CRS or a size below 1"),
        ("transforms", (1, 0), 0, "cannot be inverted"),
        ("transforms", (1, 2), float("nan"), "cannot be inverted"),
        ("windows", None, torch.zeros(1, 5).int(), "a tensor of torch.int32 with 6 columns"),
        ("windows", None, torch.zeros(1, 6), "a tensor of torch.int32 with 6 columns"),
        ("windows", None, torch.zeros(6).int(), "a tensor of torch.int32 with 6 columns"),
        ("places", None, torch.zeros(1, 4).int(), "lists of different lengths"),
        ("pixels", None, ["0123"], "lists of different lengths"),
        ("images", None, ["a.tif", 7], r"split\['images'\]\[1\] is 7, expected a text"),
        ("crs", None, "EPSG:32631", r"split\['crs'\] is .*, expected a list"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_each_other_are_refused(name, at, value, message):
    changed = split()
    if at is None:
        changed[name] = value
    else:
        changed[name][at] = value
    with pytest.raises(ValueError, match=message):
        obeys(changed, "split")


def test_a_missing_entry_is_refused():
    with pytest.raises(ValueError, match="split has no 'crs'"):
        obeys({name: value for name, value in split().items() if name != "crs"}, "split")


def test_records_are_equal_if_their_windows_are_wherever_the_files_lie():
    moved = split() | {"images": ["e/a.tif", "e/b.png"]}
    assert same(split(), moved) and same(None, split())
    changed = split()
    changed["windows"][1, 5] = 2
    assert not same(split(), changed)


def test_ten_thousand_windows_of_a_thousand_images_take_half_a_megabyte():
    images, windows = [f"images/tile_{n:05}.tif" for n in range(1000)], torch.zeros(10000, 6).int()
    record = {"images": images, "pixels": [f"{n:032x}" for n in range(1000)], "crs": ["x" * 2000]}
    record |= {"places": torch.ones(1000, 4).int(), "windows": windows}
    record["transforms"] = torch.eye(6)[:1].repeat(1000, 1).double()
    file = io.BytesIO()
    torch.save(record, file)
    assert file.tell() < 500_000
