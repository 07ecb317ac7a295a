"""Figures of station 1: two grids on the same ground, and the true area of a pixel."""

import numpy as np
from figures.svg import BLUE, INK, MUTED, ORANGE, Figure, Plot, color, ticks
from pyproj import CRS, Transformer

from data import resample
from data.classes import ClassTable
from data.grid import Grid
from data.output import preview
from data.raster.ground import pixel_areas
from data.raster.warp import between
from data.sample.towns import Sample

ESM = ClassTable.load("esm")
LINES = 50  # pixels between two drawn lines of a grid
ZOOM = 7  # pixels on a side of the zoom
LATITUDES = range(0, 81, 2)
PLACES = {"Quito": 0.2, "Barcelona": 41.4, "this town": None, "Helsinki": 60.2, "Tromsø": 69.6}


def on_image(town: Sample) -> np.ndarray:
    """Return the labels of the mask on the grid of the image, by nearest."""
    codes = resample.reproject(town.mask, town.mask_grid, town.image_grid, "nearest", nodata=0)
    return ESM.encode(codes)


def busiest(labels: np.ndarray, side: int) -> tuple[int, int]:
    """Find the first window (row, col) with pixels of every class, none of them few."""
    best, found = -1, (0, 0)
    for row in range(0, labels.shape[0] - side, side):
        for col in range(0, labels.shape[1] - side, side):
            counts = np.bincount(labels[row : row + side, col : col + side].ravel(), minlength=3)
            if counts[:3].min() > best:
                best, found = int(counts[:3].min()), (row, col)
    return found


def grids(town: Sample) -> Figure:
    """Draw a mask on its own grid, on that of the image, and both grids in a zoom."""
    figure = Figure(500, "One town, two grids: where a raster lies")
    labels, side, top = on_image(town), 250, 90
    to_image, to_mask = between(town.mask_grid, town.image_grid, 0)[::-1]
    _panel(figure, 20, top, side, ESM.encode(town.mask), to_mask, ORANGE, BLUE)
    _panel(figure, 295, top, side, labels, to_image, BLUE, ORANGE)
    row, col = busiest(labels, ZOOM)
    figure.rect(
        295 + col * side / 300, top + row * side / 300, ZOOM, ZOOM, stroke=INK, stroke_width=2
    )
    _zoom(figure, 570, top, side, town, (row, col))
    zoomed = f"{ZOOM} × {ZOOM} pixels of the image"
    heads = "mask in its own grid", "mask on the image's grid", zoomed
    for x, words in zip((20, 295, 570), heads):
        figure.text(x, top - 28, words, weight=600)
    for x, grid, crs in ((20, town.mask_grid, 3035), (295, town.image_grid, 3857)):
        area = float(pixel_areas(grid).mean())
        size = f"EPSG:{crs}, pixel {grid.resolution[0]:g} m, {area:.1f} m² of ground"
        figure.text(x, top - 10, size, size=11, fill=MUTED)
    figure.text(570, top - 10, "the black square; dot: centre of a pixel", size=11, fill=MUTED)
    _legend(figure, 20, top + side + 24)
    every = f"(every {LINES} pixels; in the square: every pixel)"
    figure.swatch(20, top + side + 47, ORANGE, "grid of the mask")
    figure.swatch(180, top + side + 47, BLUE, f"grid of the image {every}")
    figure.lines(20, top + side + 78, _worked(town, row + ZOOM // 2, col + ZOOM // 2), size=12.5)
    return figure


def _legend(figure: Figure, x: float, y: float) -> None:
    for name, rgb in zip(ESM.names, ESM.colors):
        figure.swatch(x, y, color(rgb), name)
        x += 50 + 7 * len(name)


def _panel(figure, x, y, side, labels, other, own_color, other_color) -> None:
    """Draw labels with the lines of their own grid, and those of another one as it lies there."""
    height, width = labels.shape
    scale = side / max(height, width)
    clip = f"panel{x}"
    box = {"x": x, "y": y, "width": width * scale, "height": height * scale}
    figure.parts.append(f'<clipPath id="{clip}">')
    figure.rect(box["x"], box["y"], box["width"], box["height"])
    figure.parts.append("</clipPath>")
    figure.image(*box.values(), preview.colored(labels, ESM), data_name=clip)
    with figure.group(f"lines{x}", clip_path=f"url(#{clip})"):
        for at in range(0, height + 1, LINES):
            figure.line(
                x, y + at * scale, x + width * scale, y + at * scale, stroke=own_color, opacity=0.55
            )
        for at in range(0, width + 1, LINES):
            figure.line(
                x + at * scale,
                y,
                x + at * scale,
                y + height * scale,
                stroke=own_color,
                opacity=0.55,
            )
        steps = np.linspace(0, 1, 9)
        rows, cols = other.here.height, other.here.width
        for lines, length, across in ((rows, cols, 0), (cols, rows, 1)):
            for at in [*range(0, lines, LINES), lines]:
                place = np.full(len(steps), float(at)), steps * length
                row, col = other.exact(*(place if across == 0 else place[::-1]))
                points = " ".join(
                    f"{x + c * scale:.1f},{y + r * scale:.1f}" for r, c in zip(row, col)
                )
                outer = at in (0, lines)
                figure.add(
                    "polyline",
                    points=points,
                    fill="none",
                    stroke=other_color,
                    stroke_width=2 if outer else 0.9,
                )
    figure.rect(*box.values(), stroke=own_color, stroke_width=2)


def corners(row: int, col: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the corners of a pixel."""
    return np.array([row, row, row + 1, row + 1.0]), np.array([col, col + 1, col + 1, col + 0.0])


def near(coordinates, row: float, col: float, reach: float) -> list[tuple[int, int]]:
    """List the pixels of the grid `here` whose centres lie within `reach` of a place in `there`.

    Args:
        coordinates: Those of the pixels of `here` in `there`.
        row, col: The place.
        reach: The largest difference of rows and of columns, in pixels of `there`.
    """
    rows, cols = np.indices((coordinates.here.height, coordinates.here.width)) + 0.5
    there_row, there_col = coordinates.exact(rows.ravel(), cols.ravel())
    close = np.maximum(abs(there_row - row), abs(there_col - col)) <= reach
    return [divmod(int(n), coordinates.here.width) for n in np.flatnonzero(close)]


def _zoom(figure, x, y, side, town: Sample, first: tuple[int, int]) -> None:
    """Draw pixels of the mask over those of the image, in pixels of the image."""
    to_image = between(town.mask_grid, town.image_grid, 0)[1]
    scale, middle = side / ZOOM, np.array(first) + ZOOM / 2
    labels = ESM.encode(town.mask)
    figure.parts.append('<clipPath id="zoom">')
    figure.rect(x, y, side, side)
    figure.parts.append("</clipPath>")
    with figure.group("pixels", clip_path="url(#zoom)"):
        for row, col in near(to_image, *middle, ZOOM / 2 + 1.5):
            at_row, at_col = to_image.exact(*corners(row, col))
            places = zip(x + (at_col - first[1]) * scale, y + (at_row - first[0]) * scale)
            fill = color(ESM.colors[labels[row, col]])
            figure.polygon(places, fill=fill, stroke=ORANGE, stroke_width=2)
        for at in range(1, ZOOM):
            style = {"stroke": BLUE, "stroke_width": 1.6}
            figure.line(x, y + at * scale, x + side, y + at * scale, **style)
            figure.line(x + at * scale, y, x + at * scale, y + side, **style)
    figure.rect(x, y, side, side, stroke=INK, stroke_width=2)
    figure.circle(x + side / 2, y + side / 2, 5, fill=INK, stroke="#ffffff", stroke_width=1.5)


def _worked(town: Sample, row: int, col: int) -> list[str]:
    """Compute the place of the dot in both grids, in words."""
    image, mask = town.image_grid, town.mask_grid
    x, y = image.xy(row + 0.5, col + 0.5)
    to_mask = between(town.mask_grid, town.image_grid, 0)[0]
    at_row, at_col = to_mask.exact(np.array([row + 0.5]), np.array([col + 0.5]))
    mask_x, mask_y = mask.xy(at_row, at_col)
    a, _, c, _, e, f = image.transform
    label = ESM.encode(town.mask)[int(at_row[0]), int(at_col[0])]
    return [
        "A grid is an affine map:  x = a · col + b · row + c,  y = d · col + e · row + f.  "
        "Here b = d = 0.",
        f"Image, row {row}, column {col}:  x = {a:g} · {col + 0.5:g} + {c:.0f} = {x:.0f},  "
        f"y = {e:g} · {row + 0.5:g} + {f:.0f} = {y:.0f}".replace("-", "\N{MINUS SIGN}"),
        f"The same point in EPSG:3035:  x = {mask_x[0]:.1f},  y = {mask_y[0]:.1f}",
        f"In the grid of the mask:  row = {at_row[0]:.2f},  col = {at_col[0]:.2f}.  "
        f"So it lies in the pixel of row {int(at_row[0])}, column {int(at_col[0])}, "
        f"of the class {ESM.names[label]}.",
    ]


def true_area(latitude: float) -> float:
    """Compute the ground in m2 of a pixel of 10 x 10 map metres in EPSG:3857 at a latitude."""
    y = 6_378_137 * np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2))
    grid = Grid(CRS.from_epsg(3857), (10, 0, 0, 0, -10, float(y) + 5), 1, 1)
    return float(pixel_areas(grid)[0, 0])


def pixel_area(town: Sample) -> Figure:
    """Draw the true area of a pixel of 10 m in Web Mercator over the latitude."""
    figure = Figure(350, "A pixel of 10 m in Web Mercator (EPSG:3857) is smaller than it says")
    x = {n: f"{n}°" for n in range(0, 81, 10)}
    axes = "latitude, degrees north or south", "ground of one pixel, m²"
    plot = Plot(figure, "area", (60, 82, 520, 294), x, ticks(range(0, 101, 25)), *axes)
    plot.curve("ground", LATITUDES, [true_area(n) for n in LATITUDES], BLUE)
    words = [
        "The map is stretched by 1 / cos(latitude)",
        "in both directions. So a pixel holds about",
    ]
    words += ["100 m² · cos²(latitude) of ground.", "The curve is that of the ellipsoid."]
    figure.lines(548, 92, words, size=12.5)
    for line, (name, latitude) in enumerate(PLACES.items()):
        latitude = latitude_of(town.image_grid) if latitude is None else latitude
        area = true_area(latitude)
        plot.dot(name, latitude, area, ORANGE, 5)
        figure.text(548, 186 + 21 * line, f"{name}, {latitude:.1f}°:  {area:.1f} m²")
        below = 18 if latitude < 5 else -5
        figure.text(plot.to_x(latitude) + 9, plot.to_y(area) + below, name, size=12)
    return figure


def latitude_of(grid: Grid) -> float:
    """Compute the latitude of the middle of a grid, in degrees."""
    to_degrees = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    return to_degrees.transform(*grid.xy(grid.height / 2, grid.width / 2))[1]
