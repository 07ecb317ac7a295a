"""The layout of a cloud-optimised GeoTIFF: by its rules, rasterio and rio-cogeo."""

import tracemalloc

import disks
import numpy as np
import pytest
import tifffile
from pyproj import CRS

from data.grid import IDENTITY, Grid
from data.raster import cog, directory, geotiff
from data.raster.overviews import average, mode

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


def grid(height: int, width: int) -> Grid:
    return Grid(CRS.from_epsg(32631), (10.0, 0.0, 4e5, 0.0, -10.0, 5e6), height, width)


def pixels(count: int, height: int, width: int, dtype: str = "uint8", high: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, (count, height, width)).astype(dtype)


SHAPES = [(1, 1), (40, 60), (512, 512), (513, 40), (1, 2000), (2000, 1), (1500, 1111)]


@pytest.mark.parametrize("height, width", SHAPES)
def test_the_validator_of_rio_cogeo_finds_no_fault(tmp_path, height, width):
    rio_cogeo = pytest.importorskip("rio_cogeo")
    for count, dtype, overviews in (
        (1, "uint8", "mode"),
        (3, "uint8", "average"),
        (2, "float32", "average"),
    ):
        array = pixels(count, height, width, dtype)
        place = grid(height, width)
        cog.write(tmp_path / "map.tif", array, place, nodata=3, overviews=overviews)
        valid, errors, warnings = rio_cogeo.cog_validate(tmp_path / "map.tif", quiet=True)
        assert valid and not errors and (not warnings or min(height, width) == 1)


@pytest.mark.parametrize("height, width", SHAPES)
def test_directories_go_from_large_to_small_and_tiles_from_small_to_large(tmp_path, height, width):
    """The rules of the validator, for where it is not installed."""
    cog.write(tmp_path / "map.tif", pixels(1, height, width), grid(height, width))
    with tifffile.TiffFile(tmp_path / "map.tif") as tif:
        pages = list(tif.pages)
        directories = [page.offset for page in pages]
        tiles = [page.dataoffsets for page in pages]
        assert directories == sorted(directories) and directories[0] < 300
        assert directories[-1] < tiles[-1][0]
        assert all(offsets == tuple(sorted(offsets)) for offsets in tiles)
        assert all(small[-1] < large[0] for large, small in zip(tiles, tiles[1:]))
        assert [page.subfiletype for page in pages] == [0] + [1] * (len(pages) - 1)
        sizes = [page.shape for page in pages]
        assert all(
            small == (-(-large[0] // 2), -(-large[1] // 2))
            for large, small in zip(sizes, sizes[1:])
        )
        assert max(sizes[-1]) <= 512 or min(height, width) == 1


def test_every_tile_has_its_size_before_it_and_its_last_bytes_behind(tmp_path):
    """What the note promises: GDAL reads a tile and its size in one request."""
    cog.write(tmp_path / "map.tif", pixels(1, 1500, 1111), grid(1500, 1111))
    content = (tmp_path / "map.tif").read_bytes()
    assert content[8:].startswith(
        b"GDAL_STRUCTURAL_METADATA_SIZE=000140 bytes\nLAYOUT=IFDS_BEFORE_DATA\n"
    )
    assert content[8 + 43 + 139 :][:1] == b" "  # the 140th byte of the note
    with tifffile.TiffFile(tmp_path / "map.tif") as tif:
        for page in tif.pages:
            for offset, size in zip(page.dataoffsets, page.databytecounts):
                assert int.from_bytes(content[offset - 4 : offset], "little") == size
                end = offset + size
                assert content[end : end + 4] == content[end - 4 : end]


@pytest.mark.parametrize(
    ("dtype", "big"),
    [(dtype, False) for dtype in ("uint8", "int16", "uint16", "int32", "float32", "float64")]
    + [("int16", True), ("float64", True)],
)
def test_rasterio_and_we_read_the_pixels_and_overviews_back(tmp_path, monkeypatch, dtype, big):
    rasterio = pytest.importorskip("rasterio")
    if big:
        monkeypatch.setattr(directory, "BIGTIFF_BYTES", 0)
    path, array = tmp_path / "map.tif", pixels(2, 700, 1111, dtype, 100)
    options = {"nodata": 99, "descriptions": ["a", None], "overviews": "average"}
    items = {"made by": 'a "test" & <more>'}
    with cog.writer(path, grid(700, 1111), 2, dtype, **options, items=items, scale=0.25) as add:
        add(array)
    assert path.read_bytes()[2] == (43 if big else 42)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.array_equal(dataset.read(), array) and np.array_equal(raster.read(), array)
        assert dataset.crs == "EPSG:32631" and dataset.transform[:6] == raster.grid.transform
        assert dataset.nodata == raster.nodata == 99
        assert dataset.descriptions == raster.descriptions == ("a", None)
        assert dataset.tags()["made by"] == 'a "test" & <more>' and dataset.scales == (0.25, 0.25)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1) == [2, 4]
    with rasterio.open(path, OVERVIEW_LEVEL=0) as half:
        expected = average(array.transpose(1, 2, 0), 99).transpose(2, 0, 1)
        assert half.shape == (350, 556) and half.nodata == 99
        assert np.array_equal(half.read(), expected)


def test_a_palette_holds_for_the_overviews_too(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path, array = tmp_path / "map.tif", pixels(1, 600, 700)
    colors = {0: (0, 0, 0), 1: (200, 180, 120), 2: (0, 100, 200), 3: (9, 8, 7)}
    cog.write(path, array, grid(600, 700), nodata=0, colormap=colors)
    for level in {}, {"OVERVIEW_LEVEL": 0}:
        with rasterio.open(path, **level) as dataset:
            assert dataset.colormap(1)[2] == (0, 100, 200, 255)
            assert dataset.colormap(1)[3][:3] == (9, 8, 7)
    with rasterio.open(path, OVERVIEW_LEVEL=0) as half:
        assert np.array_equal(half.read(1), mode(array[0][..., None], 0)[..., 0])


def test_geo_tags_are_written_as_they_are_and_without_georeference_there_are_none(tmp_path):
    # GTModelType 1, GTRasterType 1, and a user-defined CRS without a description.
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32767)
    tags = {
        33550: (10.0, 10.0, 0.0),
        33922: (0.0, 0.0, 0.0, 7.0, 8.0, 0.0),
        34735: keys,
        34737: b"what|",
    }
    bare = Grid(None, IDENTITY, 30, 40)
    cog.write(tmp_path / "a.tif", pixels(1, 30, 40), bare, geo_tags=tags)
    cog.write(tmp_path / "b.tif", pixels(1, 30, 40), bare)
    with geotiff.Raster(tmp_path / "a.tif") as a, geotiff.Raster(tmp_path / "b.tif") as b:
        assert {tag: value for tag, value in a.geo_tags.items() if tag != 34737} == {
            tag: value for tag, value in tags.items() if tag != 34737
        }
        assert a.geo_tags[34737].rstrip(b"\0") == b"what|" and b.geo_tags == {} and b.grid == bare


def test_a_file_beyond_the_limit_of_its_tiles_is_a_bigtiff(tmp_path, monkeypatch):
    path, array = tmp_path / "map.tif", pixels(1, 700, 600)
    assert 2**32 - 2**27 < directory.BIGTIFF_BYTES < 2**32  # offsets have 32 bits
    cog.write(path, array, grid(700, 600))
    with tifffile.TiffFile(path) as tif:  # each tile has 4 bytes before it and 4 behind
        tiles = sum(size + 8 for page in tif.pages for size in page.databytecounts)
    for limit, version in ((tiles, 42), (tiles - 1, 43)):
        monkeypatch.setattr(directory, "BIGTIFF_BYTES", limit)
        cog.write(path, array, grid(700, 600))
        assert path.read_bytes()[2] == version


def test_memory_holds_rows_of_tiles_and_not_the_raster(tmp_path, monkeypatch):
    monkeypatch.setattr(cog, "TILE", 64)
    strip, peaks = np.zeros((1, 16, 1000), np.uint8), []
    for height in (800, 800, 6400):  # the first has Python's own beginnings in it
        tracemalloc.start()
        with cog.writer(tmp_path / "map.tif", grid(height, 1000), 1, "uint8") as add:
            for _ in range(height // 16):
                add(strip)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1] and peaks[2] < 6400 * 1000 / 4


def test_of_several_files_that_are_written_at_once_the_full_one_is_named(tmp_path):
    noise = pixels(1, 512, 512, high=256)
    full, other = tmp_path / "full.tif", tmp_path / "other.tif"
    with disks.largest_file(10_000), pytest.raises(OSError, match="File too large") as error:
        with (
            cog.writer(full, grid(1024, 512), 1, np.uint8) as add,
            cog.writer(other, grid(1024, 512), 1, np.uint8) as add_other,
        ):
            add_other(noise * 0)
            add(noise)
            pytest.fail("a tile of 260 kB is written")
    assert error.value.filename == str(full) and not list(tmp_path.iterdir())
