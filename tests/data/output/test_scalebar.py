"""Scale bars: their length on the ground against pyproj, in every kind of CRS, and as drawn."""

import math

import numpy as np
import pytest
from pyproj import CRS, Geod, Transformer

from data.grid import Grid
from data.output import lettering, scalebar
from data.output.preview import GAP, INK, LINE
from data.output.scalebar import choose, ground_sides, round_down


def grid_at(code: int, x: float, y: float, size: float, turn: float = 0, sides=(200, 300)) -> Grid:
    """A grid of pixels of `size` units around (x, y), turned by degrees."""
    height, width = sides
    cos, sin = size * math.cos(math.radians(turn)), size * math.sin(math.radians(turn))
    a, b, d, e = cos, sin, sin, -cos
    c, f = x - a * width / 2 - b * height / 2, y - d * width / 2 - e * height / 2
    return Grid(CRS.from_epsg(code), (a, b, c, d, e, f), height, width)


def metres(bar: scalebar.Bar) -> float:
    """The length that a bar's text names."""
    number, unit, *_ = bar.text.replace(",", "").split()
    return float(number) * {"m": 1, "km": 1000}[unit]


@pytest.mark.parametrize(
    ("code", "x", "y", "size", "turn"),
    [
        (32631, 4e5, 5e6, 10, 0),
        (32631, 4e5, 5e6, 10, 30),  # turned
        (3857, 1e6, 8.4e6, 10, 0),  # 60 degrees north, where 10 map metres are 5 m
        (4326, 2.0, 60.0, 1e-4, 0),
        (4326, 179.9999, -70.0, 1e-4, 90),  # the date line
        (2154, 7e5, 6.6e6, 0.5, 200),
        (3035, 4.3e6, 3.2e6, 100, 0),
        (2263, 9.8e5, 2e5, 3, 0),  # feet
        (4807, 2.0, 50.0, 1e-4, 0),  # grads from Paris
    ],
)
def test_the_bar_has_the_length_that_it_names(code, x, y, size, turn):
    grid = grid_at(code, x, y, size, turn)
    bar = choose(grid, 120)
    assert 120 / 2.5 - 1e-9 <= bar.pixels <= 120 + 1e-9
    row, ends = grid.height / 2, grid.width / 2 + np.array([-0.5, 0.5]) * bar.pixels
    to_degrees = Transformer.from_crs(grid.crs, 4326, always_xy=True)
    (lon, lat) = to_degrees.transform(*grid.xy(np.array([row, row]), ends))
    length = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2]
    assert length == pytest.approx(metres(bar), rel=1e-3)
    digits = f"{metres(bar):e}"
    assert digits[0] in "125" and float(digits[1:].split("e")[0]) == 0


def test_web_mercator_is_measured_on_the_ground():
    at_equator, north = (grid_at(3857, 0, y, 10) for y in (0, 8399737.889818361))  # 60 degrees
    assert choose(at_equator, 120).text == "1 km" and choose(north, 120).text == "500 m"
    assert ground_sides(north)[0] == pytest.approx(5, rel=5e-3)


def test_unequal_sides_are_said_and_the_bar_follows_the_rows():
    grid = grid_at(4326, 2, 60, 1e-4)
    across, down = ground_sides(grid)
    assert across / down == pytest.approx(0.5, rel=0.01)
    assert choose(grid, 120).text == "500 m, left to right"
    upright = grid_at(4326, 2, 60, 1e-4, 90)
    assert ground_sides(upright) == pytest.approx((down, across), rel=1e-3)


@pytest.mark.parametrize("most, text", [(120, "100 pixels"), (0.3, "1 pixel"), (2.5, "2 pixels")])
def test_without_crs_the_bar_counts_pixels(most, text):
    bar = choose(Grid(None, (1, 0, 0, 0, 1, 0), 200, 300), most)
    assert bar.text == text and bar.pixels == int(text.split()[0])


def test_pixels_beside_the_earth_are_counted():
    crs = CRS.from_proj4("+proj=geos +h=35785831 +lon_0=0 +ellps=WGS84")
    assert choose(Grid(crs, (3000, 0, -9e6, 0, -3000, 9e6), 10, 10), 50).text == "50 pixels"
    assert choose(Grid(crs, (3000, 0, -1e4, 0, -3000, 1e4), 10, 10), 50).text == "100 km"


def test_round_lengths():
    assert [round_down(value) for value in (0.5, 1, 1.99, 2, 4.9, 5, 9.9, 10, 999)] == [
        0.5, 1, 1, 2, 2, 5, 5, 10, 500,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "each, width, text", [(1, 300, "1 km"), (4, 256, "2 km"), (0.1, 300, "100 m")]
)
def test_the_bar_is_drawn_to_scale_with_its_length_in_words(each, width, text):
    """Pixels of 10 m; `each` of them are one pixel of the picture."""
    drawn = scalebar.draw(grid_at(32631, 5e5, 0, 10), each, width)
    ink = (drawn == INK).all(-1)
    word = lettering.write(text)
    length = drawn.shape[1] - GAP - word.shape[1]
    assert len(drawn) == LINE and (ink[: len(word), length + GAP :] == word).all()
    assert ink[7, :length].all() and not ink[:, length : length + GAP].any()
    assert ink[3, 0] and ink[3, length - 1] and not ink[3, 1 : length - 1].any()
    assert length == pytest.approx(metres(scalebar.Bar(0, text)) / 10 / each, abs=1)
