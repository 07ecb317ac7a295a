"""samples.json: the pictures of a run's report, kept for comparisons with other runs.

    {"samples": [{"title": "town_004.tif, row 0, column 150",
                  "pictures": {"image": PNG in base64, "truth": ..., "prediction": ..., ...}}],
     "legend": [["residential", [214, 64, 64]], ...]}

The file may come from a stranger. Everything in it is checked when it is read: types, colours, and
that each picture is a whole PNG file.

Read beside it: tests/unet/evaluation/test_samples_file.py.
"""

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from data.files import InputError, read_bytes, replacing

MOST = 2**27  # bytes of a file; six windows of 1024 x 1024 have about 30 MB
SIDE = 2**14  # pixels of the longest side of a picture
SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = {"image", "truth", "prediction"}


def write(path: Path, gallery: Mapping) -> None:
    """Write the samples and the legend of a report (`unet.evaluation.report.html`)."""
    kept = [
        {
            "title": sample["title"],
            "pictures": {
                caption: base64.b64encode(png).decode()
                for caption, png in sample["pictures"].items()
            },
        }
        for sample in gallery["samples"]
    ]
    text = json.dumps({"samples": kept, "legend": gallery["legend"]})
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", "ascii")


def read(path: Path) -> dict:
    """Read the samples and the legend as `write` was given them.

    Returns:
        "samples", [{"title": str, "pictures": {caption: bytes of a PNG file}}], and "legend",
        [(name, (red, green, blue))].

    Raises:
        InputError: the file is damaged, too large, or holds anything else.
        FileNotFoundError: there is none.
    """
    content = read_bytes(path, MOST + 1)
    try:
        if len(content) > MOST:
            raise ValueError(f"it has more than {MOST:,} bytes")
        found = json.loads(content)
        samples = [_sample(sample) for sample in found["samples"]]
        legend = [(_text(name), _color(color)) for name, color in found["legend"]]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = str(error)[:80]
        advice = "take another copy, or delete it to compare without samples"
        raise InputError(f"{path}: is no file of samples ({reason}); {advice}") from error
    return {"samples": samples, "legend": legend}


def size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG file.

    Raises:
        ValueError: it is not a PNG file, is cut off or damaged, or has sides of over 16,384 pixels.
    """
    if not png.startswith(SIGNATURE) or png[12:16] != b"IHDR":
        raise ValueError("a picture is not PNG")
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", png, at)
        (checksum,) = struct.unpack_from(">I", png, at + 8 + length)
        if zlib.crc32(png[at + 4 : at + 8 + length]) != checksum:
            raise ValueError("a picture is damaged")
        at += 12 + length
    width, height = struct.unpack_from(">II", png, 16)
    if at != len(png) or not 0 < width <= SIDE or not 0 < height <= SIDE:
        raise ValueError("a picture is damaged")
    return width, height


def _sample(sample: dict) -> dict:
    """Check a sample, and decode its pictures."""
    pictures = {
        caption: base64.b64decode(text, validate=True)
        for caption, text in sample["pictures"].items()
    }
    if not pictures.keys() >= NEEDED:
        raise ValueError("a sample lacks image, truth or prediction")
    try:
        for picture in pictures.values():
            size(picture)
    except struct.error:
        raise ValueError("a picture is cut off") from None
    return {"title": _text(sample["title"]), "pictures": pictures}


def _text(value: object) -> str:
    """Return a text; TypeError if the value is none."""
    if not isinstance(value, str):
        raise TypeError("a name is no text")
    return value


def _color(value: list) -> tuple[int, int, int]:
    """Return a colour; ValueError if the value is none."""
    if len(value) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in value):
        raise ValueError("a colour is not three numbers of 0..255")
    return value[0], value[1], value[2]
