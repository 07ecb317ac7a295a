"""Masks as labels: through palettes, on their own grid and on an image's."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pyproj import CRS, Transformer

from data import resample
from data.classes import ClassTable
from data.files import IGNORE, InputError
from data.grid import IDENTITY, Grid, Window
from data.raster import Raster, cog
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
    with pytest.raises(InputError, match=r"mask\.tif: lies wholly outside the image; check"):
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


# Without a CRS, and with transforms.


def test_transforms_that_differ_are_not_joined_without_a_crs(tmp_path):
    path, bare = tmp_path / "mask.tif", grid(None)
    cog.write(path, np.ones((6, 8), np.uint8), grid(None, left=1_000_200.0))
    with pytest.raises(InputError, match=r"mask\.tif: its transform differs .* and it has no CRS"):
        labels(path, grid())
    with pytest.raises(InputError, match=r"mask\.tif: .* neither it nor the image has a CRS"):
        labels(path, bare)
    cog.write(path, np.ones((6, 8), np.uint8), grid(left=1_000_200.0))
    with pytest.raises(InputError, match=r"mask\.tif: .* the image has no CRS"):
        labels(path, bare)
    cog.write(path, np.ones((6, 8), np.uint8), bare)
    for image_grid in (grid(), bare, Grid(None, IDENTITY, 6, 8)):
        assert (labels(path, image_grid) == 0).all()


def test_a_mask_of_pixel_is_point_lies_on_its_image_without_a_crs(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    profile = dict(driver="GTiff", count=1, height=6, width=8, dtype="uint8")
    where = rasterio.Affine(*grid().transform)
    with rasterio.open(tmp_path / "m.tif", "w", transform=where, **profile) as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
        dataset.write(np.ones((6, 8), np.uint8), 1)
    assert (labels(tmp_path / "m.tif", grid()) == 0).all()


# What a mask may be.


def read(path, table=ESM) -> tuple[np.ndarray, Mask]:
    with Mask(path, table) as mask:
        found = np.concatenate(list(labels_on(mask, Grid(None, IDENTITY, 2, 4), "nearest")))
        return found, mask


def picture(path, array) -> Path:
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))
    return path


CODES = np.array([[0, 1, 250, 255], [1, 1, 250, 0]], np.uint8)


def test_a_grey_mask_stored_as_rgb_is_read_and_told(tmp_path):
    path = picture(tmp_path / "m.png", np.repeat(CODES[..., None], 3, 2))
    found, mask = read(path)
    assert np.array_equal(found, ESM.encode(CODES))
    assert mask.remarks[:1] == ["its three channels are equal; one of them is used"]


def test_a_coloured_mask_with_a_table_of_codes_is_refused_by_name(tmp_path):
    path = picture(tmp_path / "m.png", np.stack([CODES, CODES, CODES.T.reshape(2, 4)], 2))
    with pytest.raises(InputError, match=r"m\.png: its three channels differ.*colours as codes"):
        read(path)


def test_bits_floats_and_unusual_integers_are_read(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path, table = tmp_path / "m.tif", ClassTable.from_records("t", RECORDS)
    for dtype, options in (("uint8", {"nbits": 1}), ("int8", {}), ("int64", {}), ("float32", {})):
        profile = dict(driver="GTiff", count=1, height=2, width=4, dtype=dtype, **options)
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(np.array([[[0, 1, 1, 0], [0, 0, 1, 1]]], dtype))
        assert read(path, table)[0].tolist() == [[1, 2, 2, 1], [1, 1, 2, 2]]
    codes = np.array([[-1, 0, 1, 1], [0, 0, 0, -1]], np.int64)
    cog.write(path, codes, Grid(None, IDENTITY, 2, 4))
    assert read(path, table)[0].tolist() == [[0, 1, 2, 2], [1, 1, 1, 0]]
    cog.write(path, codes + 2**53 + 1, Grid(None, IDENTITY, 2, 4))
    with pytest.raises(InputError, match=rf"code {2**53 + 1} \(4 pixels\), {2**53} \(2 pixels\)"):
        read(path, table)
    cog.write(path, np.where(codes < 0, np.nan, codes), Grid(None, IDENTITY, 2, 4))
    assert read(path, table)[0].tolist() == [[IGNORE, 1, 2, 2], [1, 1, 1, IGNORE]]
    cog.write(path, np.where(codes < 0, 0.5, codes), Grid(None, IDENTITY, 2, 4))
    with pytest.raises(InputError, match=r"m\.tif: holds fractions or infinity \(0.5\)"):
        read(path, table)


RECORDS = [
    {"code": "-1", "name": "sea", "color": "#0000FF"},
    {"code": "0", "name": "land", "color": "#00FF00"},
    {"code": "1", "name": "ice", "color": "#FFFFFF"},
    {"code": "70000", "name": "never", "color": "#FF0000"},  # no value of most types
]


# Where a mask has no label.


@pytest.fixture
def masked(monkeypatch):
    """The first column of every mask is hidden by a dataset mask."""

    class Masked(Raster):
        def __init__(self, path):
            super().__init__(path)
            self.masked = True

        def valid(self, window=None, pixels=None):
            valid = super().valid(window, pixels)
            if window.col == 0:
                valid[:, 0] = False
            return valid

    monkeypatch.setattr("data.training.mask.Raster", Masked)


@pytest.mark.parametrize("nodata", [None, 0, 1, 250])
def test_masked_pixels_have_no_label_whatever_their_code(tmp_path, masked, nodata):
    codes = CODES.copy()
    codes[1, 0] = 99  # unknown, but masked
    cog.write(tmp_path / "m.tif", codes, Grid(None, IDENTITY, 2, 4), nodata)
    found, mask = read(tmp_path / "m.tif")
    # The declared value is a code of the table, so it is a class where the mask is not 0.
    assert found.tolist() == [[IGNORE, 0, 1, 2], [IGNORE, 0, 1, 0]]
    assert mask.remarks[:1] == ["pixels with 0 in its dataset mask have no class"]


def test_masked_pixels_do_not_vote(tmp_path, masked):
    codes = np.array([[1, 250, 1], [1, 250, 1], [1, 1, 250]], np.uint8)
    cog.write(tmp_path / "m.tif", codes, grid(height=3, width=3))
    coarse = grid(height=1, width=1, pixel=30.0)
    # 3 of 250 and 3 of 1 are left: the lower one wins. All nine have 6 of 1.
    assert labels(tmp_path / "m.tif", coarse, "mode").tolist() == [[0]]
    codes[0, 2] = 250
    cog.write(tmp_path / "m.tif", codes, grid(height=3, width=3))
    assert labels(tmp_path / "m.tif", coarse, "mode").tolist() == [[1]]


def test_pixels_of_alpha_0_have_no_label(tmp_path):
    table, alpha = ClassTable.load("deepglobe"), np.array([[0, 1, 255, 255]] * 2, np.uint8)
    rgb = np.zeros((2, 4, 3), np.uint8) + np.array([0, 255, 255], np.uint8)
    path = picture(tmp_path / "m.png", np.dstack([rgb, alpha]))
    with Mask(path, table) as mask:
        mask.raster.alpha = 4
        assert mask.read(Window(0, 0, 2, 4)).tolist() == [[IGNORE, 0, 0, 0]] * 2
        assert "pixels with alpha 0 have no class" in mask.remarks


# Pure colours.


def test_colours_that_are_nearly_pure_are_rounded_and_counted_once(tmp_path):
    table, path = ClassTable.load("deepglobe"), tmp_path / "m.tif"
    rgb = np.zeros((3, 60, 60), np.uint8)
    rgb[1:] = 255
    rgb[1, :10] = 254
    cog.write(path, rgb, grid(height=60, width=60))
    cases = (10, 60, "nearest"), (20, 30, "nearest"), (20, 30, "mode"), (20, 9, "mode")
    for pixel, size, method in cases:  # the last image shows a part of the mask
        with Mask(path, table) as mask:
            strips = labels_on(mask, grid(height=size, width=size, pixel=pixel), method)
            assert (np.concatenate(list(strips)) == 0).all()
        assert (mask.tally.rounded, mask.tally.pixels) == (600, 3600)


def test_a_mask_of_another_table_is_not_rounded_to_this_one(tmp_path):
    path = picture(tmp_path / "m.png", np.full((2, 4, 3), (60, 16, 152), np.uint8))
    with pytest.raises(
        InputError,
        match=r"m\.png: is no mask of pure colours as in the class table deepglobe \(100 %",
    ):
        read(path, ClassTable.load("deepglobe"))


@pytest.mark.parametrize("excluded", [0, 30])
def test_a_dark_photograph_is_no_mask_of_pure_colours(tmp_path, excluded):
    random = np.random.default_rng(0)
    pixels = random.normal(35, 12, (50, 40, 4)).clip(0, 255).astype(np.uint8)
    pixels[..., 3] = 255
    pixels[:excluded] = 0  # transparent
    path = picture(tmp_path / "photograph.png", pixels)
    with pytest.raises(InputError, match=r"\d % of its pixels are off by more than 15\); check"):
        labels(path, Grid(None, IDENTITY, 50, 40), table=ClassTable.load("deepglobe"))


@pytest.mark.parametrize("level", [30, 75, 95])
def test_a_mask_that_went_through_jpeg_is_a_mask(tmp_path, level):
    expected = np.kron(np.random.default_rng(0).integers(0, 2, (6, 6)), np.ones((16, 16), int))
    rgb = np.array([[0, 255, 255], [254, 254, 1]], np.uint8)[expected]
    path = tmp_path / "m.jpg"
    path.write_bytes(imagecodecs.jpeg_encode(rgb, level=level))
    found = labels(path, Grid(None, IDENTITY, 96, 96), table=ClassTable.load("deepglobe"))
    assert (found == expected).mean() > 0.9


def test_a_mask_beside_its_image_is_an_error_that_names_both(tmp_path):
    cog.write(tmp_path / "m.tif", np.ones((5, 5), np.uint8), grid(height=5, width=5))
    far = Grid(CRS.from_epsg(3857), (10, 0, 0, 0, -10, 0), 4, 4)
    with Mask(tmp_path / "m.tif", ESM) as mask:
        with pytest.raises(
            InputError, match=r"m\.tif: lies wholly outside the image a\.tif; check"
        ):
            list(labels_on(mask, far, "nearest", "the image a.tif"))


def test_a_jpeg_mask_is_told_and_its_unknown_codes_are_explained(tmp_path):
    grey = np.random.default_rng(0).choice([0, 255], (2, 4)).astype(np.uint8)
    path = tmp_path / "m.jpg"
    path.write_bytes(imagecodecs.jpeg_encode(grey, level=50))
    with pytest.raises(InputError, match=r"m\.jpg: code .* --classes; JPEG changes codes, so keep"):
        read(path, ClassTable.from_records("t", RECORDS))
    with Mask(path, ESM) as mask:
        assert any("JPEG changes codes and colours" in remark for remark in mask.remarks)


def test_a_declared_no_data_that_is_a_class_is_told(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(
        "code,name,color,ignore\n1,land,#C8B478,\n2,water,#0064C8,\n0,no,#000000,true\n"
    )
    for nodata, told in ((2, True), (0, False), (9, False)):
        path = tmp_path / f"{nodata}.tif"
        place = Grid(None, IDENTITY, 4, 4)
        cog.write(path, np.ones((4, 4), np.uint8), place, nodata=nodata)
        with Mask(path, ClassTable.load(table)) as mask:
            assert any("is the class water in the table t" in text for text in mask.remarks) == told
