"""samples.json: what is written is read back, and everything else is refused in one line."""

import base64
import json
import struct
import zlib

import finished
import pytest

from data.files import InputError
from unet.evaluation import samples_file

PNG = finished.picture(0)
GALLERY = {"samples": [finished.sample("a.tif\udcff, row 0")], "legend": [("land", (1, 2, 255))]}


def test_what_is_written_is_read_back(tmp_path):
    samples_file.write(tmp_path / "samples.json", GALLERY)
    assert samples_file.read(tmp_path / "samples.json") == GALLERY
    kept = json.loads((tmp_path / "samples.json").read_text())["samples"][0]["pictures"]["truth"]
    assert base64.b64decode(kept) == GALLERY["samples"][0]["pictures"]["truth"]


def test_the_size_of_a_png_file():
    assert samples_file.size(finished.picture(0, 8)) == (8, 8)


TEXT = base64.b64encode(PNG).decode()


def large(side):
    """Return a PNG file whose header has this width, with a right checksum."""
    header = b"IHDR" + struct.pack(">I", side) + PNG[20:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


def written(**changes):
    """Return the text of a file whose first sample, or the file itself, has other values."""
    pictures = dict.fromkeys(("image", "truth", "prediction"), TEXT)
    found = {"samples": [{"title": "a.tif", "pictures": pictures}], "legend": [["a", [1, 2, 3]]]}
    for key, value in changes.items():
        (found if key in found else found["samples"][0])[key] = value
    return json.dumps(found)


def test_the_file_that_the_next_test_changes_is_read(tmp_path):
    (tmp_path / "samples.json").write_text(written())
    assert samples_file.read(tmp_path / "samples.json")["samples"][0]["pictures"]["image"] == PNG


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"<svg onload=alert(1)>",
        b"GIF89a\0\0" + PNG[8:],
        PNG[:-3],
        PNG[:40],
        PNG + b"more",
        PNG[:45] + bytes([PNG[45] ^ 1]) + PNG[46:],
        large(0),
        large(2**20),
    ],
)
def test_a_picture_that_is_no_whole_png_file_is_refused(tmp_path, picture):
    pictures = {"image": PNG, "truth": PNG, "prediction": picture}
    encoded = {name: base64.b64encode(data).decode() for name, data in pictures.items()}
    (tmp_path / "samples.json").write_text(written(pictures=encoded))
    with pytest.raises(InputError, match=r"samples.json: is no file of samples \(a picture is"):
        samples_file.read(tmp_path / "samples.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        "3",
        "\xff",
        written(samples=3),
        written(samples=[3]),
        written(title=3),
        written(title=None),
        written(pictures=[]),
        written(pictures={"image": TEXT, "truth": TEXT}),
        written(pictures=dict.fromkeys(("image", "truth", "prediction"), f"<{TEXT}")),
        written(pictures={"image": "*", "truth": "*", "prediction": "*"}),
        written(pictures={"image": 3, "truth": 3, "prediction": 3}),
        written(legend=[["a", [1, 2]]]),
        written(legend=[["a", [1, 2, 3, 4]]]),
        written(legend=[["a", [1, 2, 256]]]),
        written(legend=[["a", [1, 2, "url(x)"]]]),
        written(legend=[["a", [1, 2, True]]]),
        written(legend=[[["a"], [1, 2, 3]]]),
        written(legend=[["a"]]),
        written(legend={"a": 1}),
    ],
)
def test_another_content_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "samples.json"
    path.write_text(text, "latin-1")
    with pytest.raises(InputError, match="samples.json: is no file of samples") as error:
        samples_file.read(path)
    assert "\n" not in str(error.value)


def test_a_file_of_many_bytes_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(samples_file, "MOST", 100)
    (tmp_path / "samples.json").write_text(written())
    with pytest.raises(InputError, match="it has more than 100 bytes"):
        samples_file.read(tmp_path / "samples.json")
