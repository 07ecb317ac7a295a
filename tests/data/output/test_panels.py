"""Pictures with titles and keys: the order of panels, where titles stand, and thinned layers."""

from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Grid
from data.output import lettering, panels, preview
from data.output.panels import BAR, ENLARGED, TITLE, Panels, color_bar, ramp, shaded
from data.output.preview import GAP, INK, LINE, SIDE

WHITE = 255


def place(height: int, width: int, size: float = 10) -> Grid:
    return Grid(CRS.from_epsg(32631), (size, 0, 5e5, 0, -size, 5e6), height, width)


def found(picture: np.ndarray, text: str) -> list[tuple[int, int]]:
    """Where a text stands in a picture, or in its ink (h, w) bool: the upper-left corners."""
    word = lettering.write(text)
    ink = (picture == INK).all(-1) if picture.ndim == 3 else picture
    height, width = word.shape
    first, *dots = np.argwhere(word)
    rows, cols = (np.argwhere(ink) - first).T
    inside = (
        (rows >= 0) & (cols >= 0) & (rows <= len(ink) - height) & (cols + width <= ink.shape[1])
    )
    rows, cols = rows[inside], cols[inside]
    for row, col in dots[::-1]:
        here = ink[rows + row, cols + col]
        rows, cols = rows[here], cols[here]
    exact = [(r, c) for r, c in zip(rows, cols) if (ink[r:, c:][:height, :width] == word).all()]
    return [(int(row), int(col)) for row, col in exact]


def test_the_ramp_becomes_lighter_from_0_to_1():
    light = np.where(ramp() <= 10, ramp() / 255 / 12.92, ((ramp() / 255 + 0.055) / 1.055) ** 2.4)
    luminance = light @ [0.2126, 0.7152, 0.0722]  # of sRGB
    assert ramp().shape == (256, 3) and (np.diff(luminance[::3]) > 0).all()  # in bytes
    assert luminance[0] < 0.03 and luminance[-1] > 0.7


@pytest.mark.parametrize(
    "at, color",  # of matplotlib 3.9, cm.viridis
    [(0, (68, 1, 84)), (64, (58, 82, 139)), (128, (32, 144, 140)), (191, (94, 201, 97)),
     (255, (253, 231, 36))],
)  # fmt: skip
def test_the_ramp_is_viridis(at, color):
    assert np.abs(ramp()[at].astype(int) - color).max() <= 2


def test_numbers_take_their_colours_and_no_data_is_hatched():
    numbers = np.array([[0, 0.5, 1]]).repeat(60, 0)
    numbers[:, 1] = np.nan
    drawn = shaded(numbers)
    assert (drawn[:, 0] == ramp()[0]).all() and (drawn[:, 2] == ramp()[255]).all()
    colors = {tuple(color) for color in drawn[:, 1].tolist()}
    assert colors == set(panels.HATCH) and not colors & {tuple(c) for c in ramp().tolist()}


def test_the_colour_bar_has_1_at_the_top_and_names_what_is_hatched():
    drawn = color_bar(200, hatched=False)
    assert drawn.shape[0] == 200
    assert (drawn[0, :BAR] == ramp()[255]).all() and (drawn[-1, :BAR] == ramp()[0]).all()
    tops = [found(drawn, text)[0][0] for text in ("1", "0.75", "0.5", "0.25")]
    assert tops == sorted(tops) and abs(tops[2] + 8 - 100) <= 1
    assert not found(drawn, "no data") and found(color_bar(200, hatched=True), "no data")


@pytest.mark.parametrize(
    "count, height, width",
    [(1, 1, 1), (2, 20, 20), (12, 150, 150), (44, 90, 90), (5, 9, 2000), (2, 900, 9)],
)
def test_each_class_has_a_panel_below_its_name_in_the_order_of_the_table(count, height, width):
    names = [f"<{number}>" for number in range(count)]
    layers = Panels(place(height, width), names)
    shades = np.linspace(0, 1, max(2, count))[:count]
    layers.add(np.ones((count, height, width)) * shades[:, None, None])
    drawn = layers.draw()
    ink = (drawn == INK).all(-1)
    places = [found(ink, name) for name in names]
    assert [len(each) for each in places] == [1] * count
    corners = [each[0] for each in places]
    assert corners == sorted(corners)  # row by row
    for (row, col), shade in zip(corners, shades):
        assert (drawn[row + LINE, col] == ramp()[round(255 * shade)]).all()
    assert max(drawn.shape[1] - BAR - 80, 0) <= max(panels.WIDTH, SIDE) + GAP * (count + 2)


@pytest.mark.parametrize("heights", [[1], [7, 64], [999]])
def test_panels_show_every_nth_pixel_of_the_whole_raster(heights):
    height, width, names = 450, 600, ["a"] * 12
    numbers = np.random.default_rng(0).random((12, height, width)).astype(np.float32)
    numbers[:, :40] = np.nan
    streamed = Panels(place(height, width), names)
    top = 0
    while top < height:
        for rows in heights:
            streamed.add(numbers[:, top : top + rows])
            top += rows
    columns, side = panels.arrangement(height, width, 12)
    step = -(-width // side)
    assert (columns, step) == (4, 2) and width / step <= side
    drawn = streamed.draw()
    row, col = found(drawn, "a")[1]
    whole = shaded(numbers[1, ::step, ::step])
    assert np.array_equal(drawn[row + LINE :][: len(whole), col : col + 300], whole)
    assert found(drawn, "no data") and found(drawn, "2 km")


def test_panels_keep_a_small_part_of_a_large_scene():
    layers = Panels(place(30_000, 30_000), ["a"] * 44)
    strip = np.zeros((1, 64, 30_000), np.float32)
    layers.add(np.broadcast_to(strip, (44, 64, 30_000)))
    kept = layers._thinned.array()
    assert kept.shape[2] <= 200 and kept.base is None


def pictures(labels: np.ndarray, grid: Grid, step: int = 1) -> np.ndarray:
    table = ClassTable.load("catalonia")
    both = [
        (np.zeros((*labels.shape, 3), np.uint8), "image"),
        (preview.colored(labels, table), "map"),
    ]
    return panels.with_legend(both, labels, table, grid, step)


def test_titles_stand_above_their_pictures_and_the_scale_bar_below():
    labels = np.full((100, 100), 2, np.uint8)
    drawn = pictures(labels, place(100, 100))
    (image,), (title,), (bar,) = (found(drawn, text) for text in ("image", "map", "200 m"))
    assert image[0] == title[0] == GAP and image[1] == GAP and title[1] == GAP + 300 + GAP
    assert (drawn[GAP + LINE :][:300, title[1] : title[1] + 300] == (28, 120, 55)).all() or (
        drawn[GAP + LINE, title[1]] == ClassTable.load("catalonia").colors[2]
    ).all()
    assert bar[0] == GAP + LINE + 300 + 2 * GAP and bar[1] == GAP + 60 + GAP  # 20 pixels x 3
    assert found(drawn, "forest")[0][0] == GAP + LINE + 1


@pytest.mark.parametrize("side, times", [(1, ENLARGED), (20, 16), (160, 2), (161, 1), (1000, 1)])
def test_pixels_of_a_small_picture_are_repeated(side, times):
    assert panels.repeats(side, side) == times
    drawn = pictures(np.zeros((side, side), np.uint8), place(side, side))
    assert (drawn[GAP + LINE : GAP + LINE + side * times, GAP : GAP + side * times] == 0).all()
    assert (drawn[GAP + LINE + side * times, GAP] == WHITE).all()


def test_wide_pictures_stand_below_each_other_with_the_legend_below():
    labels = np.arange(1, 4, dtype=np.uint8).repeat(200)[None].repeat(30, 0)
    drawn = pictures(labels, place(30, 600))
    (image,), (title,), (bar,) = (found(drawn, text) for text in ("image", "map", "2 km"))
    assert image[1] == title[1] == GAP
    assert title[0] == image[0] + LINE + 30 + 2 * GAP
    assert bar[0] < found(drawn, "forest")[0][0]
    assert drawn.shape[1] == GAP + 600 + GAP


def test_a_picture_narrower_than_its_title_keeps_its_place():
    drawn = pictures(np.zeros((900, 3), np.uint8), place(900, 3))
    assert found(drawn, "map")[0][1] == GAP + TITLE + GAP
    assert (drawn[GAP + LINE + 5, GAP + 3 : GAP + TITLE] == WHITE).all()


def test_no_data_is_in_the_legend():
    assert found(pictures(np.full((9, 9), IGNORE, np.uint8), place(9, 9)), "no data")


@pytest.mark.parametrize(
    "names, path, title",
    [
        (["B2", "Red", "Green", "Blue"], "S2_20210601.tif", "image: Red, Green, Blue, 2021-06-01"),
        (
            ["Red", "Green", "Blue", "Red@2"],
            "p_13_04_2021.tif",
            "image: Red, Green, Blue, 2021-04-13",
        ),
        (["VV"], "03_04_2021_x.tif", "image: VV"),
        (["VV", "VH"], "x.tif", "image: VV, VH"),
    ],
)
def test_the_title_names_the_bands_shown_and_a_date_without_doubt(names, path, title):
    assert panels.image_title(names, Path(path)) == title


def test_long_titles_have_three_lines_at_most_and_fit():
    name = "Land principally occupied by agriculture, with significant areas of natural vegetation"
    lines = lettering.wrapped(name, TITLE)
    assert lines[:2] == ["Land", "principally"] and len(lines) == 3 and lines[2].count("...") == 1
    assert max(lettering.write(line).shape[1] for line in lines) <= TITLE
    assert lettering.wrapped("forest", TITLE) == ["forest"] and lettering.wrapped("", TITLE) == []
    assert lettering.wrapped("a b c d", lettering.write("a b").shape[1]) == ["a b", "c d"]
