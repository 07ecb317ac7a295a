"""Pictures of images and maps: bands as RGB, labels in the colours of their classes, a legend.

Reflectances fill a small part of their range. So each of the three bands is stretched between its
2nd and 98th percentile. A preview shows every n-th row and column of a scene, collected strip by
strip. The legend beside it names the classes that occur.

Read beside it: tests/data/output/test_preview.py.
"""

import os
from collections.abc import Sequence

import imagecodecs
import numpy as np

from data import bands
from data.classes import ClassTable
from data.files import IGNORE, replacing
from data.output import lettering
from data.scaling import declared, valid_pixels

SIDE = 1024  # the largest height and width of a preview
GAP = 8  # pixels between two pictures
LINE, COLUMNS = 22, 3  # legend: height of a line in pixels, largest number of columns
FRAME, INK = (120, 120, 120), (30, 30, 30)
NO_DATA = (0, 0, 0)


def png(picture: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) uint8 as a PNG file."""
    # A copy, because imagecodecs also refuses unusual strides of axes with one element.
    return bytes(imagecodecs.png_encode(picture.copy()))


def write_png(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 as a PNG file."""
    with replacing(path) as temporary:
        temporary.write_bytes(png(picture))


def rgb(image: np.ndarray, names: Sequence[str], nodata: float | None = None) -> np.ndarray:
    """Draw an image in its red, green and blue bands.

    Args:
        image: Bands (C, H, W). Up to four 8-bit bands stay as they are. Others are stretched.
        names: The names of the bands.
        nodata: The value of pixels without data. They are drawn in black.

    Returns:
        (H, W, 3) uint8.
    """
    valid = valid_pixels(image, nodata)
    shown = image[bands.rgb(names)]
    if image.dtype == np.uint8 and len(names) <= 4:
        return np.where(valid, shown, 0).astype(np.uint8).transpose(1, 2, 0)
    picture = np.zeros(shown.shape, np.uint8)
    missing = declared(shown, nodata)
    known = np.broadcast_to(valid, shown.shape) if missing is None else valid & ~missing
    for plane, band, here in zip(picture, shown, known):
        if here.any():
            values = band[here].astype(np.float32)
            low, high = np.percentile(values, (2, 98))
            stretched = np.clip((values - low) / ((high - low) or 1), 0, 1)
            plane[here] = (stretched * 255).round().astype(np.uint8)
    return picture.transpose(1, 2, 0)


def colored(labels: np.ndarray, table: ClassTable) -> np.ndarray:
    """Draw labels (H, W) in the display colours of the table; IGNORE is black.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: A label belongs to no class.
    """
    classes = len(table.colors)
    strange = labels[(labels >= classes) & (labels != IGNORE)]
    if strange.size:
        raise ValueError(f"label {strange[0]}, but there are {classes} colours")
    palette = np.full((256, 3), NO_DATA, np.uint8)
    palette[:classes] = table.colors
    return palette[labels]


def overlay(
    picture: np.ndarray, labels: np.ndarray, table: ClassTable, opacity: float = 0.5
) -> np.ndarray:
    """Mix the colours of labels (H, W) into a picture (H, W, 3). No-data does not change it.

    Returns:
        (H, W, 3) uint8.
    """
    mixed = picture + opacity * (colored(labels, table).astype(np.float32) - picture)
    return np.where((labels == IGNORE)[..., None], picture, mixed.round().astype(np.uint8))


def legend(labels: np.ndarray, table: ClassTable, height: int = 0) -> np.ndarray:
    """Draw the colour and name of each class that occurs in labels (H, W).

    Args:
        labels: The map.
        table: The classes of the map.
        height: Height in pixels. A longer legend gets up to three columns, and is higher if these
            are not enough.

    Returns:
        (h, w, 3) uint8.
    """
    entries = [
        (table.colors[k], lettering.fitted(table.names[k]))
        for k in np.unique(labels)
        if k != IGNORE
    ]
    if (labels == IGNORE).any():
        entries.append((NO_DATA, "no data"))
    rows = max(height // LINE, -(-len(entries) // COLUMNS))
    columns = [entries[at : at + rows] for at in range(0, len(entries), rows)]
    return beside(*(legend_column(column) for column in columns))


def legend_column(entries: list[tuple[tuple[int, int, int], str]]) -> np.ndarray:
    """Draw lines of (colour, name), as (h, w, 3) uint8."""
    words = [lettering.write(name) for _, name in entries]
    width = LINE + max(word.shape[1] for word in words)
    drawn = np.full((len(entries) * LINE, width, 3), 255, np.uint8)
    for row, ((color, _), word) in enumerate(zip(entries, words)):
        line = drawn[row * LINE : (row + 1) * LINE]
        side = len(word)  # the square of colour is as high as the text
        line[1 : side + 1, :side] = FRAME
        line[2:side, 1 : side - 1] = color
        line[1 : side + 1, LINE : LINE + word.shape[1]][word] = INK
    return drawn


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Put pictures (h, w, 3) side by side. The space between and below them is white."""
    height = max(len(picture) for picture in pictures)
    gap = np.full((height, GAP, 3), 255, np.uint8)
    parts = []
    for picture in pictures:
        padding = [(0, height - len(picture)), (0, 0), (0, 0)]
        parts += [np.pad(picture, padding, constant_values=255), gap]
    return np.concatenate(parts[:-1], axis=1)


def text_line(text: str) -> np.ndarray:
    """Draw a line of text, as (LINE, w, 3) uint8."""
    word = lettering.write(text)
    drawn = np.full((LINE, word.shape[1], 3), 255, np.uint8)
    drawn[: len(word)][word] = INK
    return drawn


def above(*pictures: np.ndarray) -> np.ndarray:
    """Put pictures (h, w, 3) below each other. The space beside them is white."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate(
        [
            np.pad(each, [(0, 0), (0, width - each.shape[1]), (0, 0)], constant_values=255)
            for each in pictures
        ]
    )


def small(drawn: np.ndarray, side: int = 400) -> np.ndarray:
    """Take every n-th row and column of (H, W, ...), so that no side exceeds `side`."""
    step = -(-max(drawn.shape[:2]) // side)
    return drawn[::step, ::step].copy()


class Thinned:
    """Every n-th row and column of a raster that comes in strips. No side exceeds `side`."""

    def __init__(self, height: int, width: int, side: int = SIDE):
        self.step = -(-max(height, width) // side)
        self.row = 0
        self.rows: list[np.ndarray] = []

    def add(self, strip: np.ndarray) -> None:
        """Add the next rows (..., h, W)."""
        self.rows.append(strip[..., -self.row % self.step :: self.step, :: self.step].copy())
        self.row += strip.shape[-2]

    def array(self) -> np.ndarray:
        """Return the thinned raster (..., rows, columns)."""
        return np.concatenate(self.rows, axis=-2)
