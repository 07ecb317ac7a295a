"""The files of one map, written strip by strip.

    img_landcover.tif                the map (data/output/maps.py), with its class names beside it
    img_landcover.png                image, map and legend side by side (data/output/preview.py)
    img_landcover_overlay.png        the map, half transparent, over the image
    img_landcover_probabilities.tif  a band for each class
    img_landcover_uncertainty.tif    entropy; with several passes also mutual information

A file appears only when it is complete. An earlier file of the same name stays until the last strip
is written.

Read beside it: tests/data/output/test_mapfiles.py.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from data.classes import ClassTable
from data.files import folder_for
from data.grid import Grid
from data.input.inputs import Input
from data.output import maps, preview
from data.output.areas import Areas
from data.raster.sidecars import named_after

BESIDE = "probabilities.tif", "uncertainty.tif", "overlay.png"


def beside(target: Path, ending: str) -> Path:
    """Return img_landcover_overlay.png for img_landcover.tif and overlay.png."""
    return target.with_name(f"{target.stem}_{ending}")


def written(target: Path) -> list[Path]:
    """List the files that a map may have, with the names of their sidecars."""
    files = [target, target.with_suffix(".png"), *(beside(target, ending) for ending in BESIDE)]
    return [path for file in files for path in named_after(file)]


def thumbnail_step(grid: Grid) -> int:
    """Return n such that the preview of a map on this grid shows every n-th row and column."""
    return preview.Thinned(grid.height, grid.width).step


class MapFiles:
    """Writers of the files of one map, as a context manager.

    Attributes:
        areas: Areas of the classes in the rows that have been written.
        paths: When the block has ended, the files, in the order in which predict.py names them.

    Args:
        target: The map's file.
        image: The image that is mapped.
        table: The classes of the map.
        probabilities: Type of the file of probabilities, "uint8" or "float32"; None: no such file.
        uncertainty: Names of the layers of the file of uncertainty; empty: no such file.
        overlay: Whether to draw the overlay.
    """

    def __init__(
        self,
        target: Path,
        image: Input,
        table: ClassTable,
        probabilities: str | None = None,
        uncertainty: Sequence[str] = (),
        overlay: bool = False,
    ):
        grid, tags = image.grid, image.geo_tags
        self.target, self.table, self.overlay = target, table, overlay
        self.areas = Areas(grid, len(table.names))
        self._bands, self._nodata = image.descriptions, image.nodata
        self._thumbnails: list[np.ndarray] = []
        self._labels = preview.Thinned(grid.height, grid.width)
        self.paths: list[Path] = []
        with ExitStack() as opened:
            opened.enter_context(folder_for(target))

            def layers(ending: str, names: Sequence[str], dtype: str) -> Callable:
                path = beside(target, ending)
                self.paths.append(path)
                return opened.enter_context(maps.fractions(path, grid, names, tags, dtype))

            self._write = {"map": opened.enter_context(maps.classes(target, grid, table, tags))}
            if probabilities:
                names = table.names
                self._write["probabilities"] = layers("probabilities.tif", names, probabilities)
            if uncertainty:
                self._write["uncertainty"] = layers("uncertainty.tif", uncertainty, "uint8")
            self._opened = opened.pop_all()

    def __enter__(self) -> "MapFiles":
        return self

    def add(self, labels: np.ndarray, thumbnail: np.ndarray) -> None:
        """Write the next rows of the map.

        Args:
            labels: (h, W) uint8.
            thumbnail: (bands, rows, cols) of the image, every `thumbnail_step`-th row and column.
        """
        self._write["map"](labels)
        self.areas.add(labels)
        self._thumbnails.append(thumbnail)
        self._labels.add(labels)

    def add_probabilities(self, probabilities: np.ndarray) -> None:
        """Write the next rows (K, h, W) of numbers from 0 to 1. No-data is NaN."""
        self._write["probabilities"](probabilities)

    def add_uncertainty(self, layers: np.ndarray) -> None:
        """Write the next rows (layers, h, W) of numbers from 0 to 1. No-data is NaN."""
        self._write["uncertainty"](layers)

    def __exit__(self, *error) -> None:
        self._opened.__exit__(*error)
        if error[0] is None:
            self._draw()
            picture = self.target.with_suffix(".png")
            self.paths = [*maps.files_of(self.target), picture, *self.paths]

    def _draw(self) -> None:
        """Draw the preview and the overlay."""
        thumbnail = np.concatenate(self._thumbnails, axis=-2)
        image, labels = preview.rgb(thumbnail, self._bands, self._nodata), self._labels.array()
        self._image, self._map = image, labels
        legend = preview.legend(labels, self.table, len(labels))
        colored = preview.colored(labels, self.table)
        preview.write_png(self.target.with_suffix(".png"), preview.beside(image, colored, legend))
        if self.overlay:
            mixed, path = (
                preview.overlay(image, labels, self.table),
                beside(self.target, "overlay.png"),
            )
            preview.write_png(path, preview.beside(mixed, legend))
            self.paths.append(path)

    def pictures(self) -> dict[str, np.ndarray]:
        """Return small pictures: "rgb" (h, w, 3) of the image, "prediction" (h, w) of the map."""
        return {"rgb": preview.small(self._image), "prediction": preview.small(self._map)}
