"""The files of one map, written strip by strip.

    img_landcover.tif                the map (data/output/maps.py), with its class names beside it
    img_landcover.png                image, map and legend side by side (data/output/panels.py)
    img_landcover_overlay.png        the map, half transparent, over the image
    img_landcover_probabilities.tif  a band for each class
    img_landcover_uncertainty.tif    entropy; with several passes also mutual information
    img_landcover.qml                the style of QGIS for the map; one beside each .tif (styles.py)
    img_landcover_uncertainty.png    a picture of it (data/output/panels.py)
    img_landcover_probabilities.png  a small picture for each class; only with the overlay

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
from data.output import maps, panels, preview, styles
from data.output.areas import Areas
from data.output.panels import Panels

BESIDE = (
    "probabilities.tif",
    "uncertainty.tif",
    "overlay.png",
    "probabilities.png",
    "uncertainty.png",
)


def beside(target: Path, ending: str) -> Path:
    """Return img_landcover_overlay.png for img_landcover.tif and overlay.png."""
    return target.with_name(f"{target.stem}_{ending}")


def written(target: Path) -> list[Path]:
    """List the files that a map may have, with the names of their sidecars and styles."""
    files = [target, target.with_suffix(".png"), *(beside(target, ending) for ending in BESIDE)]
    return [path for file in files for path in styles.outputs(file)]


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
        self._grid, self._title = grid, panels.image_title(image.descriptions, image.path)
        self._thumbnails: list[np.ndarray] = []
        self._labels = preview.Thinned(grid.height, grid.width)
        self._panels: dict[str, Panels] = {}
        if probabilities and overlay:
            self._panels["probabilities.png"] = Panels(grid, table.names)
        if uncertainty:
            self._panels["uncertainty.png"] = Panels(grid, uncertainty)
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
        if self.overlay:
            self._panels["probabilities.png"].add(probabilities)

    def add_uncertainty(self, layers: np.ndarray) -> None:
        """Write the next rows (layers, h, W) of numbers from 0 to 1. No-data is NaN."""
        self._write["uncertainty"](layers)
        self._panels["uncertainty.png"].add(layers)

    @property
    def thumbnail(self) -> np.ndarray:
        """The rows of the thumbnail that have been added, (bands, rows, cols)."""
        return np.concatenate(self._thumbnails, axis=-2)

    def __exit__(self, *error) -> None:
        self._opened.__exit__(*error)
        if error[0] is None:
            self._draw()
            picture = self.target.with_suffix(".png")
            self.paths = [*maps.files_of(self.target), picture, *self.paths]
            layers = [path for path in self.paths[2:] if path.suffix == ".tif"]
            self.paths += filter(styles.ours, map(styles.beside, layers))

    def _draw(self) -> None:
        """Draw the preview, the overlay, and the panels of probabilities and uncertainty."""
        image, labels = preview.rgb(self.thumbnail, self._bands, self._nodata), self._labels.array()
        self._image, self._map = image, labels
        shown = labels, self.table, self._grid, self._labels.step
        both = [(image, self._title), (preview.colored(labels, self.table), "land cover")]
        preview.write_png(self.target.with_suffix(".png"), panels.with_legend(both, *shown))
        drawn = {ending: layers.draw() for ending, layers in self._panels.items()}
        if self.overlay:
            mixed = preview.overlay(image, labels, self.table)
            titled = [(mixed, f"land cover over the {self._title}")]
            drawn = {"overlay.png": panels.with_legend(titled, *shown)} | drawn
        for ending, picture in drawn.items():
            path = beside(self.target, ending)
            preview.write_png(path, picture)
            self.paths.append(path)

    def pictures(self) -> dict[str, np.ndarray]:
        """Return small pictures: "rgb" (h, w, 3) of the image, "prediction" (h, w) of the map."""
        return {"rgb": preview.small(self._image), "prediction": preview.small(self._map)}
