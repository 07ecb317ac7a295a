"""Pictures for people: bands as RGB, labels in their colours, one beside the other.

Reflectances fill a small part of their range, so each of the three bands is stretched from its 2nd
to its 98th percentile. A preview is thinned while the scene streams by; the map itself never is.
The legend names the classes that occur, beside the picture and not in it.

Read beside it: tests/data/output/test_preview.py.
"""

from collections.abc import Sequence

import numpy as np

from data import bands
from data.classes import ClassTable
from data.files import IGNORE
from data.output import lettering
from data.scaling import valid_pixels
from data.training.dataset import Windows

SIDE = 1024  # of a preview, at most
GAP = 8
LINE, COLUMNS = 22, 3  # pixels of a line of the legend; how many columns it has at most
FRAME, INK = (120, 120, 120), (30, 30, 30)
NO_DATA = (0, 0, 0)


def rgb(image: np.ndarray, names: Sequence[str], nodata: float | None = None) -> np.ndarray:
    """Bands (C, H, W) to a picture (H, W, 3) uint8; no-data is black. 8-bit RGB stays as it is."""
    valid = valid_pixels(image, nodata)
    shown = image[bands.rgb(names)]
    if image.dtype == np.uint8 and len(names) <= 4:
        return np.where(valid, shown, 0).astype(np.uint8).transpose(1, 2, 0)
    picture = np.zeros(shown.shape, np.uint8)
    for plane, band in zip(picture, shown):
        if valid.any():
            values = band[valid].astype(np.float32)
            low, high = np.percentile(values, (2, 98))
            stretched = np.clip((values - low) / ((high - low) or 1), 0, 1)
            plane[valid] = (stretched * 255).round().astype(np.uint8)
    return picture.transpose(1, 2, 0)


def colored(labels: np.ndarray, table: ClassTable) -> np.ndarray:
    """Labels (H, W) to (H, W, 3) uint8 in the table's colours; IGNORE is black."""
    palette = np.full((256, 3), NO_DATA, np.uint8)
    palette[: len(table.colors)] = table.colors
    return palette[labels]


def overlay(
    picture: np.ndarray, labels: np.ndarray, table: ClassTable, opacity: float = 0.5
) -> np.ndarray:
    """(H, W, 3) uint8: the classes' colours over a picture of the same size; no-data leaves it as
    it is.
    """
    mixed = picture + opacity * (colored(labels, table).astype(np.float32) - picture)
    return np.where((labels == IGNORE)[..., None], picture, mixed.round().astype(np.uint8))


def legend(labels: np.ndarray, table: ClassTable, height: int = 0) -> np.ndarray:
    """(h, w, 3) uint8: colour and name of each class in the labels, in further columns where
    `height` is too little.
    """
    entries = [(table.colors[k], table.names[k]) for k in np.unique(labels) if k != IGNORE]
    if (labels == IGNORE).any():
        entries.append((NO_DATA, "no data"))
    rows = max(height // LINE, -(-len(entries) // COLUMNS))
    columns = [entries[at : at + rows] for at in range(0, len(entries), rows)]
    return beside(*(_legend_column(column) for column in columns))


def _legend_column(entries: list[tuple[tuple[int, int, int], str]]) -> np.ndarray:
    words = [lettering.write(name) for _, name in entries]
    drawn = np.full(
        (len(entries) * LINE, LINE + max(word.shape[1] for word in words), 3), 255, np.uint8
    )
    for row, ((color, _), word) in enumerate(zip(entries, words)):
        line = drawn[row * LINE : (row + 1) * LINE]
        line[1 : word.shape[0] + 1, : word.shape[0]] = FRAME
        line[2 : word.shape[0], 1 : word.shape[0] - 1] = color
        line[1 : word.shape[0] + 1, LINE : LINE + word.shape[1]][word] = INK
    return drawn


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures side by side with a white gap, and white below those that are not as high as the
    highest.
    """
    height = max(picture.shape[0] for picture in pictures)
    gap = np.full((height, GAP, 3), 255, np.uint8)
    padded = [
        np.pad(p, [(0, height - len(p)), (0, 0), (0, 0)], constant_values=255) for p in pictures
    ]
    return np.concatenate([part for picture in padded for part in (picture, gap)][:-1], axis=1)


def small(drawn: np.ndarray, side: int = 400) -> np.ndarray:
    """Every n-th row and column of a picture or labels (H, W, ...), so that neither side exceeds
    `side`.
    """
    step = -(-max(drawn.shape[:2]) // side)
    return drawn[::step, ::step].copy()


class Thinned:
    """Every n-th pixel of a raster that passes by in strips, so that neither side exceeds SIDE."""

    def __init__(self, height: int, width: int):
        self.step = -(-max(height, width) // SIDE)
        self.row, self.rows = 0, []

    def add(self, strip: np.ndarray) -> None:
        """(..., h, W): the next rows, from the top."""
        self.rows.append(strip[..., -self.row % self.step :: self.step, :: self.step].copy())
        self.row += strip.shape[-2]

    def array(self) -> np.ndarray:
        """(..., thinned rows, thinned columns)."""
        return np.concatenate(self.rows, axis=-2)


def samples(windows: Windows, predictions: np.ndarray, count: int) -> list[dict]:
    """`count` windows, evenly spread, as title, rgb, truth and prediction: what unet.report shows
    side by side.

    predictions: (n, S, S) uint8 labels of all the windows.
    """
    chosen = []
    for number in sorted({round(n) for n in np.linspace(0, len(windows) - 1, count)}):
        scene, window = windows.scene_of(number), windows.items[number][1]
        chosen.append(
            {
                "title": f"{scene.image_path.name}, row {window.row}, column {window.col}",
                "rgb": rgb(scene.read(window), windows.names, scene.nodata),
                "truth": np.array(scene.read_labels(window)),
                "prediction": predictions[number, : window.height, : window.width],
            }
        )
    return chosen


def side_by_side(samples: Sequence[dict], table: ClassTable) -> list[tuple[str, np.ndarray]]:
    """(title, picture (H, W, 3) uint8) of each sample: image, truth and prediction beside each
    other.
    """
    return [
        (s["title"], beside(s["rgb"], colored(s["truth"], table), colored(s["prediction"], table)))
        for s in samples
    ]
