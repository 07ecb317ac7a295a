"""Figure of station 2: the votes of source pixels for one target pixel."""

import numpy as np
from figures.rasters import ESM, corners, near
from figures.svg import BLUE, INK, MUTED, Figure, color

from data import resample
from data.grid import Grid, Window
from data.raster.warp import between
from data.sample.towns import Sample

COARSE = 60  # map metres of a target pixel


def coarse_grid(town: Sample) -> Grid:
    """Make a target with pixels of COARSE map metres on the ground of the image."""
    _, _, left, _, _, top = town.image_grid.transform
    count = int(town.image_grid.height * town.image_grid.resolution[0] // COARSE)
    return Grid(town.image_grid.crs, (COARSE, 0, left, 0, -COARSE, top), count, count)


def votes_for(town: Sample, target: Grid, row: int, col: int) -> dict[int, int]:
    """Count the votes for a pixel of the target as data.resample does: {code: votes}."""
    coordinates = between(town.mask_grid, target, 0)

    def read(window: Window) -> np.ndarray:
        top, left, height, width = window
        return town.mask[top : top + height, left : left + width]

    job = resample.Job(read, *coordinates, town.mask.dtype, 0, 0, {})
    tile = Window(row, col, 1, 1)
    window = coordinates[0].enclosing(tile)
    values, votes = resample.count_votes(job, tile, window)
    counted = {value: int(number) for value, number in zip(values, votes[:, 0, 0])}
    return {code: counted.get(code, 0) for code in ESM.codes}


def contested(town: Sample, target: Grid) -> tuple[int, int]:
    """Find a pixel of the target where mode is not nearest, and the vote is close but no tie.

    No source centre lies so near to its edge that one could not see on which side.
    """
    given = town.mask, town.mask_grid, target
    nearest, mode = (resample.reproject(*given, method, 0) for method in ("nearest", "mode"))
    best, found = (-1, -1), (0, 0)
    for row, col in np.argwhere(nearest != mode).tolist():
        few, middle, most = sorted(votes_for(town, target, row, col).values())
        if middle < most and (few, middle) > best and _clear(town, target, row, col):
            best, found = (few, middle), (row, col)
    return found


def _clear(town: Sample, target: Grid, row: int, col: int) -> bool:
    """Whether all source centres are 1 / 30 of the target pixel or more from its edge."""
    forward = between(town.mask_grid, target, 0)[1]
    places = np.array(near(forward, row + 0.5, col + 0.5, 0.7)).T + 0.5
    there = forward.exact(*places) - [[row + 0.5], [col + 0.5]]
    return bool((abs(abs(there).max(axis=0) - 0.5) > 1 / 30).all())


def target_pixel(town: Sample) -> Figure:
    """Draw one target pixel and the source pixels that vote for it."""
    figure = Figure(466, "Which source pixels vote for one target pixel")
    target = coarse_grid(town)
    row, col = contested(town, target)
    backward, forward = between(town.mask_grid, target, 0)
    labels, side, x0, y0 = ESM.encode(town.mask), 340, 20, 60
    span = 1.6  # target pixels that are shown
    scale, first = side / span, np.array([row, col]) + 0.5 - span / 2
    figure.parts.append('<clipPath id="shown">')
    figure.rect(x0, y0, side, side)
    figure.parts.append("</clipPath>")
    sources = near(forward, row + 0.5, col + 0.5, span / 2 + 0.3)
    with figure.group("sources", clip_path="url(#shown)"):
        for source in sources:
            at_row, at_col = forward.exact(*corners(*source))
            places = zip(x0 + (at_col - first[1]) * scale, y0 + (at_row - first[0]) * scale)
            fill = color(ESM.colors[labels[source]])
            figure.polygon(places, fill=fill, fill_opacity=0.75, stroke="#ffffff")
        for name, pixel in (("voter", True), ("other", False)):
            for source in sources:
                at_row, at_col = forward.exact(*(np.array([n + 0.5]) for n in source))
                inside = (int(at_row[0] // 1), int(at_col[0] // 1)) == (row, col)
                if inside is pixel:
                    style = {"fill": INK} if inside else {"fill": "#ffffff", "stroke": MUTED}
                    x, y = x0 + (at_col[0] - first[1]) * scale, y0 + (at_row[0] - first[0]) * scale
                    label = ESM.names[labels[source]]
                    figure.circle(x, y, 5 if inside else 3.5, **style, class_=f"{name} {label}")
        edge = x0 + (span - 1) / 2 * scale, y0 + (span - 1) / 2 * scale
        figure.rect(*edge, scale, scale, stroke=BLUE, stroke_width=4)
    figure.rect(x0, y0, side, side, stroke=MUTED)
    middle = x0 + side / 2, y0 + side / 2
    for sign in (1, -1):
        figure.line(
            middle[0] - 9,
            middle[1] - 9 * sign,
            middle[0] + 9,
            middle[1] + 9 * sign,
            stroke=BLUE,
            stroke_width=3,
        )
    counts = votes_for(town, target, row, col)
    _election(figure, town, target, (row, col), counts)
    words = (
        f"Coloured: pixels of the mask, 10 m, EPSG:3035. Blue: one pixel of {COARSE} map metres, "
    )
    figure.text(x0, y0 + side + 22, words + "EPSG:3857.", size=12, fill=MUTED)
    more = "Black dots are centres inside the blue square: these pixels vote. The white ones vote"
    figure.text(
        x0,
        y0 + side + 40,
        f"{more} for its neighbours. × is the centre of the target.",
        size=12,
        fill=MUTED,
    )
    return figure


def _election(figure: Figure, town: Sample, target: Grid, place, counts: dict[int, int]) -> None:
    """Draw a bar for the votes of each class, and the results of mode and nearest."""
    x, y, unit = 400, 110, 26
    total = sum(counts.values())
    figure.text(x, y - 26, f"{total} source pixels have their centre in the target", weight=600)
    for line, (code, number) in enumerate(counts.items()):
        label = ESM.codes.index(code)
        top = y + 46 * line
        figure.text(x, top + 4, ESM.names[label])
        bar = {"fill": color(ESM.colors[label]), "data_votes": ESM.names[label]}
        figure.rect(x + 110, top - 12, unit * number, 24, stroke=MUTED, stroke_width=0.7, **bar)
        figure.text(x + 118 + unit * number, top + 5, f"{number} votes", weight=600)
    row, col = place
    window = target.window(Window(row, col, 1, 1))
    result = {
        method: ESM.names[
            ESM.codes.index(
                int(resample.reproject(town.mask, town.mask_grid, window, method, 0)[0, 0])
            )
        ]
        for method in ("mode", "nearest")
    }
    figure.text(x, y + 160, f"mode:  {result['mode']}", weight=600, size=15)
    figure.text(x, y + 180, "the class with the most votes; a tie takes the lower code", size=12.5)
    figure.text(x, y + 216, f"nearest:  {result['nearest']}", weight=600, size=15)
    figure.text(
        x, y + 236, "the class of the source pixel under ×; the others do not count", size=12.5
    )
