"""Styles of QGIS: what they hold, beside what QGIS wrote; whose they are; and what QGIS shows."""

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pyproj import CRS

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Grid
from data.output import change, maps, styles

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "tests/recorded"
QGIS = "/usr/bin/python3"  # the Python for which Debian and Ubuntu package QGIS
NAMES = {1: "other", 250: 'a<b> & "c", forêt'}  # as in tests/qgis_view.py
COLORS = {1: (0xC8, 0xC8, 0xC8), 250: (0x82, 0x50, 0xC8)}
GRID = Grid(CRS.from_epsg(32631), (10.0, 0.0, 4e5, 0.0, -10.0, 5e6), 1, 4)


def elements(style: str) -> list[tuple[str, str, dict[str, str]]]:
    """All elements of a style: path, text and attributes."""
    found = []

    def walk(element: ElementTree.Element, path: str) -> None:
        path = f"{path}/{element.tag}"
        found.append((path, (element.text or "").strip(), dict(element.attrib)))
        for child in element:
            walk(child, path)

    walk(ElementTree.fromstring(style), "")
    return found


@pytest.mark.parametrize(
    ("name", "style"),
    [("classes", styles.of_classes(NAMES, COLORS)), ("fractions", styles.of_fractions())],
)
def test_every_element_and_attribute_is_one_that_qgis_wrote_for_the_same_renderer(name, style):
    recorded = elements((RECORDED / f"qgis_{name}.qml").read_text(encoding="utf-8"))
    ours = elements(style)
    assert ours[0][2].pop("version") == "3.22.0"
    missing = [
        (path, text, attributes)
        for path, text, attributes in ours
        if not any(
            (path, text) == (p, t) and attributes.items() <= a.items() for p, t, a in recorded
        )
    ]
    assert missing == []
    rows = ("paletteEntry", "item", "Option", "rasterrenderer")
    for tag in rows:  # and none of these is missing in ours
        below = [path for path, *_ in ours if path.endswith(tag)]
        assert len(below) == sum(path in {*below} for path, *_ in recorded), tag


def test_a_row_for_each_class_with_a_colour_and_none_without():
    style = styles.of_classes(
        {-2: "\x1b[2J\n<&>", 70000: "'\"", 5: "grey"}, {**COLORS, -2: (0, 1, 255), 70000: (9, 9, 9)}
    )
    rows = [a for path, _, a in elements(style) if path.endswith("paletteEntry")]
    assert rows == [
        {"value": "-2", "color": "#0001ff", "alpha": "255", "label": r"\x1b[2J\n<&>"},
        {"value": "70000", "color": "#090909", "alpha": "255", "label": "'\""},
    ]
    assert styles.of_classes({5: "grey"}, COLORS) is None
    assert styles.of_classes({}, COLORS) is None


def test_the_lightness_of_the_ramp_increases_whatever_red_counts():
    """L* of CIE 1976. Who lacks the cones for red sees hardly any light in it (weight near 0)."""
    rgb = np.array([[*bytes.fromhex(color[1:])] for color in styles.VIRIDIS]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for red, least in (0.0, 3), (0.2126, 8), (0.45, 5):
        lightness = 116 * np.cbrt(linear @ (red, 0.9278 - red, 0.0722)) - 16
        assert np.diff(lightness).min() > least


# Whose a style is.


def test_the_style_of_an_earlier_map_is_replaced_and_removed(tmp_path, capsys):
    path = tmp_path / "a.b.qml"
    for names in NAMES, {250: "forêt"}:
        styles.write(tmp_path / "a.b.tif", styles.of_classes(names, COLORS))
        assert styles.ours(path)
        assert path.read_text(encoding="utf-8").endswith(styles.of_classes(names, COLORS))
    styles.write(tmp_path / "a.b.tif", None)
    styles.write(tmp_path / "a.b.tif", None)
    assert [*tmp_path.iterdir()] == [] and capsys.readouterr().err == ""


def changed(path: Path) -> None:
    styles.write(path, styles.of_fractions())
    path.write_text(path.read_text().replace("#fde725", "#fde726"))


def saved_by_qgis(path: Path) -> None:
    path.write_bytes((RECORDED / "qgis_classes.qml").read_bytes())


MADE = {
    "changed in one character": changed,
    "saved by QGIS": saved_by_qgis,
    "empty": Path.touch,
    "no text": lambda path: path.write_bytes(b"\xff\x00\n\xfe"),
    "a folder": Path.mkdir,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("case", MADE)
def test_a_style_that_is_not_ours_is_kept_with_a_remark(tmp_path, capsys, case):
    path = tmp_path / "a.qml"
    MADE[case](path)
    before = path.lstat().st_mtime_ns, path.is_file() and path.read_bytes()
    assert not styles.ours(path)
    styles.write(tmp_path / "a.tif", None)
    assert capsys.readouterr().err == ""
    styles.write(tmp_path / "a.tif", styles.of_fractions())
    assert capsys.readouterr().err.startswith(f"note: {path}: is kept, because it was changed or")
    assert (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes()) == before
    assert [*tmp_path.iterdir()] == [path]


# What QGIS shows.


def opened_in_qgis(*paths: Path) -> list[dict]:
    """Open rasters in QGIS: tests/qgis_view.py. Skips the test if this machine has no QGIS."""
    to = paths[0].with_name("seen.json")
    command = [QGIS, str(ROOT / "tests/qgis_view.py"), "view", *map(str, (to, *paths))]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip(f"there is no {QGIS}")
    except subprocess.CalledProcessError as error:
        if "No module named 'qgis'" not in error.stderr:
            raise AssertionError(error.stderr) from error
        pytest.skip("QGIS is not installed")
    return json.loads(to.read_text(encoding="utf-8"))


def write_codes(path: Path, dtype: str, names: dict[int, str]) -> Path:
    """A raster of two codes and no-data. Only that of bytes has colours inside."""
    shown = dict(zip(names, COLORS.values()))
    palette = shown if dtype == "uint8" else None
    with maps.coded(path, GRID, np.dtype(dtype), 7, names, palette, "x", None, shown) as add:
        add(np.array([[*names, 7, 7]], dtype))
    return path


def write_fractions(path: Path, dtype: str) -> Path:
    values = np.zeros((3, 1, 4), np.float32)
    values[0] = 0, 0.5, 1, np.nan
    with maps.fractions(path, GRID, ["other", "town", "wood"], dtype=dtype) as add:
        add(values)
    return path


def write_changes(path: Path) -> Path:
    records = [{"code": str(n), "name": f"c{n}", "color": f"#0000{n:02X}"} for n in range(16)]
    with change.change_map(path, GRID, ClassTable.from_records("x", records)) as add:
        add(np.array([[15, 15, 0, IGNORE]], np.uint8), np.array([[15, 0, 1, 0]], np.uint8))
    return path


def test_qgis_shows_named_classes_only_and_fractions_from_0_to_1(tmp_path):
    of_names = [NAMES, {-2: "a", 3000: "b"}, {-2: "a", 70000: "b"}]
    *of_classes, changes, from_bytes, from_floats = opened_in_qgis(
        *(
            write_codes(tmp_path / f"{dtype}.tif", dtype, names)
            for dtype, names in zip(("uint8", "int16", "int32"), of_names)
        ),
        write_changes(tmp_path / "changes.tif"),
        write_fractions(tmp_path / "bytes.tif", "uint8"),
        write_fractions(tmp_path / "floats.tif", "float32"),
    )
    grey, purple = COLORS.values()
    for layer, names in zip(of_classes, of_names, strict=True):
        colors = [f"#{bytes(color).hex()}" for color in (grey, purple)]
        assert layer["rows"] == [[code, names[code], to] for code, to in zip(names, colors)]
        assert layer["pixels"][0][:2] == [[*grey, 255], [*purple, 255]]

    # 16 classes have 256 changes, of the codes 1 to 256 of two bytes.
    assert len(changes["rows"]) == 256 and changes["rows"][255] == [
        256,
        "c15: unchanged",
        "#bfbfc3",
    ]
    assert changes["pixels"][0][:3] == [[191, 191, 195, 255], [0, 0, 0, 255], [0, 0, 1, 255]]

    rows = [[place / 8, f"{place / 8:g}", color] for place, color in enumerate(styles.VIRIDIS)]
    ends = [[*bytes.fromhex(styles.VIRIDIS[place][1:]), 255] for place in (0, 4, 8)]
    for layer in from_bytes, from_floats:
        assert layer["renderer"] == "singlebandpseudocolor" and layer["rows"] == rows
        assert np.abs(np.subtract(layer["pixels"][0][:3], ends)).max() <= 1

    for layer in (*of_classes, changes, from_bytes, from_floats):
        assert layer["pixels"][0][3][3] == 0  # no-data is transparent
    for layer, name in (of_classes[0], "classes"), (from_bytes, "fractions"):
        # QGIS saves our style as that of the renderer made by its own classes: no default is other.
        recorded = (RECORDED / f"qgis_{name}.qml").read_text(encoding="utf-8")
        assert elements(layer["style"])[1:] == elements(recorded)[1:]
