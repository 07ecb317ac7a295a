"""Masks as labels: through palettes, on their own grid and on an image's."""

import numpy as np
import pytest
from pyproj import CRS, Transformer

from data import resample
from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import Grid, Window
from data.raster import cog
from data.training.mask import Mask, labels_on

ESM = ClassTable.load("esm")
WEB, LAEA = CRS.from_epsg(3857), CRS.from_epsg(3035)


def grid(crs=WEB, left=1_000_000.0, top=6_000_000.0, height=6, width=8, pixel=10.0) -> Grid:
    return Grid(crs, (pixel, 0.0, left, 0.0, -pixel, top), height, width)


def labels(path, image_grid: Grid, method="nearest", table=ESM) -> np.ndarray:
    """All labels of a mask file on an image's grid."""
    with Mask(path, table) as mask:
        return np.concatenate(list(labels_on(mask, image_grid, method)))


# Through a palette.


def test_a_map_made_by_a_table_of_colours_is_read_back_through_its_palette(tmp_path):
    table = ClassTable.load("deepglobe")
    labels = np.array([[0, 4, IGNORE], [5, 1, 2]], np.uint8)
    path = tmp_path / "map.tif"
    cog.write(path, table.decode(labels), grid(height=2, width=3), table.nodata, table.colormap)
    with Mask(path, table) as mask:
        assert mask.read(Window(0, 0, 2, 3)).tolist() == labels.tolist()
        mask.check()


def test_a_palette_of_16_bits_is_read_through_its_colours(tmp_path):
    table, path = ClassTable.load("deepglobe"), tmp_path / "mask.tif"
    colors = {0: (0, 255, 255), 300: (0, 0, 255), 65535: (255, 255, 255)}
    codes = np.array([[300, 0, 65535]], np.uint16)
    cog.write(path, codes, grid(height=1, width=3), colormap=colors)
    with Mask(path, table) as mask:
        assert mask.read(Window(0, 0, 1, 3)).tolist() == [[4, 0, 5]]
        mask.check()


def test_no_data_of_a_palette_map_is_no_class_even_if_a_class_is_black(tmp_path):
    (tmp_path / "t.csv").write_text("code,name,color\n#000000,tar,#000000\n#FFFFFF,snow,#FFFFFF\n")
    table = ClassTable.load(tmp_path / "t.csv")
    cog.write(
        tmp_path / "m.tif",
        np.array([[0, 1, 255]], np.uint8),
        grid(height=1, width=3),
        255,
        table.colormap,
    )
    with Mask(tmp_path / "m.tif", table) as mask:
        assert mask.read(Window(0, 0, 1, 3)).tolist() == [[0, 1, IGNORE]]
        mask.check()


# On an image's grid.


def test_a_mask_on_the_same_grid_is_taken_pixel_by_pixel(tmp_path, monkeypatch):
    monkeypatch.setattr(resample, "strips", None)
    codes = np.random.default_rng(0).choice([0, 1, 250, 255], (600, 8)).astype(np.uint8)
    cog.write(tmp_path / "mask.tif", codes, grid(height=600))
    assert np.array_equal(labels(tmp_path / "mask.tif", grid(height=600)), ESM.encode(codes))


def test_a_mask_one_pixel_aside_is_resampled(tmp_path):
    codes = np.array([[1, 250, 255]], np.uint8)
    cog.write(tmp_path / "mask.tif", codes, grid(height=1, width=3))
    beside = grid(left=1_000_010.0, height=1, width=3)
    for method in ("nearest", "mode"):
        assert labels(tmp_path / "mask.tif", beside, method).tolist() == [[1, 2, IGNORE]]


def test_mode_takes_the_commonest_class_and_nearest_the_one_in_the_middle(tmp_path):
    codes = np.array([[1, 1, 1], [1, 250, 1], [1, 1, 1]], np.uint8)
    cog.write(tmp_path / "mask.tif", codes, grid(height=3, width=3))
    coarse = grid(height=1, width=1, pixel=30.0)
    assert labels(tmp_path / "mask.tif", coarse, "mode").tolist() == [[0]]
    assert labels(tmp_path / "mask.tif", coarse, "nearest").tolist() == [[1]]


def test_a_mask_in_another_crs_lands_where_rasterio_puts_it(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    from rasterio import warp

    image_grid = grid(left=1_250_000.0, top=6_200_000.0, height=40, width=50)
    # A mask around the image's middle in EPSG:3035 that is larger than the image's 500 m.
    x, y = Transformer.from_crs(WEB, LAEA, always_xy=True).transform(*image_grid.xy(20, 25))
    mask_grid = grid(LAEA, x - 600, y + 600, 120, 120)
    random = np.random.default_rng(0)
    codes = np.kron(random.choice([1, 250, 255], (30, 30)), np.ones((4, 4))).astype(np.uint8)
    cog.write(tmp_path / "mask.tif", codes, mask_grid)
    cog.write(tmp_path / "image.tif", np.ones((1, 40, 50), np.uint8), image_grid)
    expected = np.zeros((40, 50), np.uint8)
    with (
        rasterio.open(tmp_path / "mask.tif") as source,
        rasterio.open(tmp_path / "image.tif") as like,
    ):
        warp.reproject(
            rasterio.band(source, 1),
            expected,
            dst_transform=like.transform,
            dst_crs=like.crs,
            resampling=warp.Resampling.nearest,
            tolerance=0,
        )
    found = labels(tmp_path / "mask.tif", image_grid)
    assert (found == ESM.encode(expected)).mean() > 0.999
    assert set(np.unique(found)) == {0, 1, 2}


def test_without_crs_only_equal_sizes_go_together(tmp_path):
    path = tmp_path / "mask.tif"
    plain, other = (Grid(None, (1, 0, 0, 0, 1, 0), height, 8) for height in (6, 5))
    cog.write(path, np.ones((6, 8), np.uint8), plain)
    assert labels(path, plain).shape == labels(path, grid()).shape == (6, 8)
    cog.write(path, np.ones((5, 8), np.uint8), other)
    with pytest.raises(InputError, match=r"mask\.tif: has 8 x 5 .* 8 x 6, and neither .* a CRS"):
        labels(path, plain)
    with pytest.raises(InputError, match=r"mask\.tif: .* and it has no CRS"):
        labels(path, grid())
    cog.write(path, np.ones((5, 8), np.uint8), grid(height=5))
    with pytest.raises(InputError, match=r"mask\.tif: .* and the image has no CRS"):
        labels(path, plain)


def test_an_error_of_the_resampler_names_the_mask(tmp_path):
    cog.write(tmp_path / "mask.tif", np.ones((6, 8), np.uint8), grid())
    with pytest.raises(InputError, match=r"mask\.tif: the target lies wholly outside"):
        labels(tmp_path / "mask.tif", grid(left=2_000_000.0))


def test_unknown_codes_are_counted_over_the_whole_mask(tmp_path):
    codes = np.ones((600, 8), np.uint8)
    codes[0, 0] = codes[-1, :3] = 7  # in the first and the last strip
    cog.write(tmp_path / "mask.tif", codes, grid(height=600))
    with pytest.raises(InputError, match=r"mask\.tif: code 7 \(4 pixels\)"):
        labels(tmp_path / "mask.tif", grid(height=600))


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_unknown_codes_are_counted_once_however_the_mask_is_resampled(tmp_path, method):
    codes = np.ones((60, 60), np.uint8)
    codes[20:30, 20:30] = 7
    cog.write(tmp_path / "mask.tif", codes, grid(height=60, width=60))
    with pytest.raises(InputError, match=r"code 7 \(100 pixels\)"):
        labels(tmp_path / "mask.tif", grid(height=30, width=30, pixel=20), method)
