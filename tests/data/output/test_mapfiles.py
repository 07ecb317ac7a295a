"""The files of a map: all of them, or as they were. Tests of each writer show what they hold."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import small
from pyproj import CRS

from data.classes import ClassTable
from data.files import IGNORE
from data.grid import Grid, Window
from data.input.inputs import Expected, Input
from data.output.mapfiles import MapFiles, thumbnail_step, written
from data.output.panels import TITLE, ramp
from data.output.preview import GAP, LINE
from data.raster import cog, geotiff
from data.scaling import Scaling


@pytest.fixture
def image(tmp_path):
    """An image of 90 x 30 pixels whose left half is dark, and whose last row has no data."""
    pixels = np.full((4, 90, 30), 2000, np.uint16)
    pixels[:, :, :15] = 400
    pixels[:, -1] = 0
    grid = Grid(CRS.from_epsg(32631), (10, 0, 4e5, 0, -10, 5e6), 90, 30)
    cog.write(tmp_path / "s.tif", pixels, grid, nodata=0, descriptions=small.BANDS)
    scaling = Scaling("minmax", (0.0,) * 4, (2500.0,) * 4).state()
    with Input(
        (tmp_path / "s.tif",),
        Expected.of({"bands": small.BANDS, "indices": [], "scaling": scaling}),
    ) as opened:
        yield opened


@pytest.fixture
def table(tmp_path) -> ClassTable:
    (tmp_path / "table.csv").write_text(small.TABLE)
    return ClassTable.load(tmp_path / "table.csv")


def fill(files: MapFiles, image: Input) -> None:
    """Strips of 40, 40 and 10 rows: land is bright, water is dark."""
    for row in (0, 40, 80):
        pixels = image.read(Window(row, 0, min(40, 90 - row), 30))
        labels = (pixels[0] < 1000).astype(np.uint8)
        labels[pixels[0] == 0] = IGNORE
        files.add(labels, pixels)
        share = np.where(labels == IGNORE, np.nan, labels).astype(np.float32)
        files.add_probabilities(np.stack([1 - share, share]))
        files.add_uncertainty(share[None])


def test_strips_become_a_map_layers_pictures_and_areas(tmp_path, image, table):
    target = tmp_path / "s_landcover.tif"
    assert thumbnail_step(image.grid) == 1
    with MapFiles(target, image, table, "float32", ["entropy"], True) as files:
        fill(files, image)
        assert not target.exists()
    assert {path.name for path in tmp_path.glob("s_*")} == {
        "s_landcover.tif", "s_landcover.tif.aux.xml", "s_landcover.png", "s_landcover_overlay.png",
        "s_landcover_probabilities.tif", "s_landcover_probabilities.png",
        "s_landcover_uncertainty.tif", "s_landcover_uncertainty.png", "s_landcover.qml",
        "s_landcover_probabilities.qml", "s_landcover_uncertainty.qml",
    }  # fmt: skip
    assert (
        {*files.paths, Path(f"{target}.aux.xml")} == {*tmp_path.glob("s_*")} <= {*written(target)}
    )
    assert files.areas.pixels.tolist() == [89 * 15, 89 * 15] and files.areas.no_data == 30
    with geotiff.Raster(target) as raster:
        codes = raster.read()[0]
        assert raster.grid.matches(image.grid)
    assert (codes[:-1, :15] == 20).all() and (codes[:-1, 15:] == 10).all() and not codes[-1].any()
    for what, names in ("probabilities", ("land", "water")), ("uncertainty", ("entropy",)):
        with geotiff.Raster(tmp_path / f"s_landcover_{what}.tif") as raster:
            assert raster.descriptions == names
    drawn = imagecodecs.png_decode((tmp_path / "s_landcover.png").read_bytes())
    top, left = GAP + 2 * LINE, GAP + TITLE + GAP  # a margin, a title of two lines, the image
    assert drawn[top : top + 3 * 89, left : left + 3 * 15].reshape(-1, 3).tolist() == [
        [0, 0x64, 0xC8]
    ] * (9 * 89 * 15)
    assert not drawn[top + 3 * 89 : top + 3 * 90, left : left + 3 * 30].any()
    assert {name: part.shape for name, part in files.pictures().items()} == {
        "rgb": (90, 30, 3),
        "prediction": (90, 30),
    }


def test_a_style_that_was_changed_is_kept_and_is_not_named_among_the_files(
    tmp_path, image, table, capsys
):
    target, style = tmp_path / "s_landcover.tif", tmp_path / "s_landcover.qml"
    with MapFiles(target, image, table, "uint8", ["entropy"]) as first:
        fill(first, image)
    style.write_text("<qgis/>")
    with MapFiles(target, image, table, "uint8", ["entropy"]) as second:
        fill(second, image)
    assert [path for path in first.paths if path not in second.paths] == [style]
    assert style.read_text() == "<qgis/>"
    assert capsys.readouterr().err.count(f"note: {style}: is kept") == 1


def test_pictures_of_probabilities_and_uncertainty_have_a_panel_for_each_layer(
    tmp_path, image, table
):
    with MapFiles(tmp_path / "s.tif", image, table, "uint8", ["entropy"], True) as files:
        fill(files, image)
    pictures = {
        what: imagecodecs.png_decode((tmp_path / f"s_{what}.png").read_bytes())
        for what in ("probabilities", "uncertainty")
    }
    top, low, high = GAP + LINE, ramp()[0].tolist(), ramp()[-1].tolist()
    for number, numbers in enumerate([(low, high), (high, low)]):  # land, and water at the left
        left = GAP + number * (TITLE + GAP)
        row = pictures["probabilities"][top, left : left + 3 * 30]
        assert row.tolist() == [numbers[0]] * 45 + [numbers[1]] * 45
    assert pictures["uncertainty"][top, GAP : GAP + 90].tolist() == [high] * 45 + [low] * 45


def test_panels_of_probabilities_are_drawn_with_the_overlay_only(tmp_path, image, table):
    with MapFiles(tmp_path / "s.tif", image, table, "uint8") as files:
        for row in (0, 40, 80):
            pixels = image.read(Window(row, 0, min(40, 90 - row), 30))
            files.add(np.zeros(pixels.shape[1:], np.uint8), pixels)
            files.add_probabilities(np.ones((2, *pixels.shape[1:]), np.float32))
    assert "s_probabilities.tif" in {path.name for path in files.paths}
    assert not (tmp_path / "s_probabilities.png").exists()


def test_after_an_error_every_file_is_as_it_was(tmp_path, image, table):
    target = tmp_path / "s_landcover.tif"
    target.write_text("an earlier map")
    with pytest.raises(OSError, match="no more"):
        with MapFiles(target, image, table, "uint8", ["entropy"], True) as files:
            fill(files, image)
            raise OSError("no more")
    assert target.read_text() == "an earlier map"
    assert [path.name for path in Path(tmp_path).glob("*s_*")] == ["s_landcover.tif"]
