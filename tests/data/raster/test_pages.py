"""Files of several pages: bands, overviews, previews and masks."""

import numpy as np
import pytest
import tifffile

from data.files import InputError
from data.grid import IDENTITY, Window
from data.raster import Raster

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

BANDS = np.random.default_rng(0).integers(0, 9999, (6, 40, 50), np.uint16)
PLACE = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0, 0, 0, 500, 600, 0), True)]


def write(path, *pages, **options) -> None:
    """Write pages: arrays, or pairs of an array and the options of its page."""
    with tifffile.TiffWriter(path) as tif:
        for page in pages:
            pixels, more = page if isinstance(page, tuple) else (page, {})
            tif.write(pixels, photometric="minisblack", metadata=None, **options, **more)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "tile": (16, 16)}, {"ome": True}, {"imagej": True}]
)
def test_what_tifffile_makes_of_an_array_of_bands_has_these_bands(tmp_path, options):
    path = tmp_path / "six.tif"
    tifffile.imwrite(path, BANDS, **options)
    with Raster(path) as raster:
        assert raster.count == 6 and raster.dtype == np.uint16 and not raster.masked
        assert np.array_equal(raster.read(), BANDS)
        window = raster.read(Window(3, 20, 30, 11), [5, 1, 5])
        assert np.array_equal(window, BANDS[[4, 0, 4], 3:33, 20:31])
        assert raster.remarks == [
            "its 6 pages are used as bands, one after the other; rasterio calls them subdatasets"
        ]
        assert raster.descriptions == (None,) * 6 and raster.alpha is None


def test_the_bands_are_the_subdatasets_of_rasterio(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "rgb.tif"
    colors = BANDS.reshape(2, 3, 40, 50).transpose(0, 2, 3, 1).copy()
    with tifffile.TiffWriter(path) as tif:
        for page in colors:
            tif.write(page, photometric="rgb", planarconfig="contig", metadata=None)
    with Raster(path) as raster, rasterio.open(path) as dataset:
        theirs = [rasterio.open(name).read() for name in dataset.subdatasets]
        assert np.array_equal(raster.read(), np.concatenate(theirs))
        assert np.array_equal(raster.read(bands=[4]), theirs[1][:1])


def test_the_first_page_has_the_georeference(tmp_path):
    path = tmp_path / "place.tif"
    write(path, (BANDS[0], {"extratags": PLACE}), BANDS[1], (BANDS[2], {"extratags": PLACE}))
    with Raster(path) as raster:
        assert raster.count == 3 and raster.grid.transform == (10, 0, 500, 0, -10, 600)
    other = [PLACE[0], (33922, 12, 6, (0, 0, 0, 700, 600, 0), True)]
    write(path, (BANDS[0], {"extratags": PLACE}), (BANDS[1], {"extratags": other}))
    with pytest.raises(InputError, match="place.tif: its pages 1 and 2 differ in their georefer"):
        Raster(path)


@pytest.mark.parametrize(
    ("page", "what"),
    [
        (BANDS[1, :, :30], r"40 x 30 pixels \(1 x uint16\)"),
        (BANDS[1, :20, :30], r"20 x 30 pixels \(1 x uint16\)"),
        (BANDS[1].T, r"50 x 40 pixels \(1 x uint16\)"),
        (np.tile(BANDS[1], (2, 2)), r"80 x 100 pixels \(1 x uint16\)"),
        (BANDS[1].astype("float32"), r"40 x 50 pixels \(1 x float32\)"),
        (np.ascontiguousarray(BANDS[:3].transpose(1, 2, 0)), r"40 x 50 pixels \(3 x uint16\)"),
    ],
)
def test_pages_that_differ_are_an_error(tmp_path, page, what):
    path = tmp_path / "mixed.tif"
    write(
        path,
        BANDS[0],
        (np.ascontiguousarray(page), {"planarconfig": "contig" if page.ndim == 3 else None}),
    )
    match = rf"page 1 has 40 x 50 pixels \(1 x uint16\), page 2 has {what}; write each image"
    with pytest.raises(InputError, match=match):
        Raster(path)


def test_a_preview_is_not_used_and_told(tmp_path):
    path = tmp_path / "preview.tif"
    write(path, BANDS[0], BANDS[1, ::4, ::4].copy())  # 10 x 13 pixels, not declared as reduced
    with Raster(path) as raster:
        assert np.array_equal(raster.read()[0], BANDS[0])
        assert raster.remarks == ["page 2 is a smaller image (10 x 13 pixels): not used"]


def test_overviews_are_not_told(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "overviews.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        size = {"count": 1, "height": 200, "width": 300, "dtype": "uint16"}
        with rasterio.open(path, "w", driver="GTiff", **size) as dataset:
            dataset.write(np.tile(BANDS[:1], (1, 5, 6)))
            dataset.write_mask(np.tile(BANDS[0] > 500, (5, 6)))
            dataset.build_overviews([2, 4])  # of the mask, too
    with Raster(path) as raster:
        assert raster.count == 1 and raster.masked and raster.remarks == []
        assert np.array_equal(raster.valid(), np.tile(BANDS[0] > 500, (5, 6)))
    write(path, (BANDS[0], {"subifds": 1}), (BANDS[1, ::2, ::2].copy(), {"subfiletype": 1}))
    with Raster(path) as raster:  # an overview as a page beneath the first
        assert raster.count == 1 and raster.remarks == []


def test_a_broken_chain_of_pages_is_told(tmp_path):
    path = tmp_path / "cut.tif"
    write(
        path, BANDS[0], (BANDS[1, ::2, ::2].copy(), {"subfiletype": 1}), BANDS[2, ::4, ::4].copy()
    )
    with tifffile.TiffFile(path) as tif:
        second, third = tif.pages[1].offset, tif.pages[2].offset
    data = path.read_bytes()
    path.write_bytes(data[: third + 20])
    with Raster(path) as raster:
        assert np.array_equal(raster.read()[0], BANDS[0])
        assert raster.remarks == [
            "its pages behind page 2 cannot be read; overviews and masks there are not used; is the"
            " file cut short?"
        ]
    # A chain that comes back to its own beginning.
    last = data.rindex(third.to_bytes(4, "little"))
    assert second < last < third
    path.write_bytes(data[:last] + (8).to_bytes(4, "little") + data[last + 4 :])
    with Raster(path) as raster:
        assert "its pages behind page 2 cannot be read" in raster.remarks[0]


def test_bands_that_are_cut_off_are_an_error(tmp_path):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, BANDS)
    with tifffile.TiffFile(path) as tif:
        fifth = tif.pages[4].offset
    path.write_bytes(path.read_bytes()[: fifth + 20])
    with pytest.raises(InputError, match=r"cut.tif: its pages behind page 4 cannot be read; copy"):
        Raster(path)


def test_bands_without_a_page_are_told(tmp_path):
    path = tmp_path / "truncated.tif"
    tifffile.imwrite(path, BANDS, truncate=True)
    with Raster(path) as raster:
        assert (
            raster.count == 1 and "images behind the first that have no page" in raster.remarks[0]
        )
    tifffile.imwrite(path, BANDS[0], description="ImageJ=1.53\nimages=6\n", metadata=None)
    with Raster(path) as raster:
        assert "images behind the first that have no page" in raster.remarks[0]
    tifffile.imwrite(path, BANDS[0], description="ImageJ=1.53\nimages=1\n", metadata=None)
    with Raster(path) as raster:
        assert raster.remarks == [] and raster.grid.transform == IDENTITY


@pytest.mark.parametrize(
    ("photometric", "count", "name"), [("CMYK", 4, "CMYK"), ("CIELAB", 3, "CIELAB")]
)
def test_colours_that_are_not_rgb_are_told(tmp_path, photometric, count, name):
    rasterio = pytest.importorskip("rasterio")
    path, pixels = tmp_path / "inks.tif", (BANDS[:count] % 256).astype(np.uint8)
    size = {"count": count, "height": 40, "width": 50, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", photometric=photometric, **size) as dataset:
        dataset.write(pixels)
    with Raster(path) as raster:
        assert np.array_equal(raster.read(), pixels)
        assert raster.remarks[0].startswith(f"its colours are {name}, and are used as they are")
