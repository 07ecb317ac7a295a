"""Cloud-optimised GeoTIFF: overviews by hand and by a naive loop, the layout by its rules, rasterio
and rio-cogeo.
"""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
import tifffile
from pyproj import CRS

from data.grid import IDENTITY, Grid
from data.raster import cog, geotiff
from data.raster.cog import _average, _mode

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


def grid(height: int, width: int) -> Grid:
    return Grid(CRS.from_epsg(32631), (10.0, 0.0, 4e5, 0.0, -10.0, 5e6), height, width)


def pixels(count: int, height: int, width: int, dtype: str = "uint8", high: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, (count, height, width)).astype(dtype)


def halved(rows: list, by=_mode, nodata=None, dtype="uint8") -> list:
    return by(np.array(rows, dtype)[..., None], nodata)[..., 0].tolist()


# Four pixels become one.


def test_mode_takes_the_most_frequent_and_on_ties_the_lower_code():
    assert halved([[7, 7], [7, 2]]) == [[7]]
    assert halved([[7, 2], [2, 7]]) == [[2]]
    assert halved([[9, 3], [5, 5]]) == [[5]]
    assert halved([[9, 3], [5, 7]]) == [[3]]


def test_no_data_does_not_vote_and_stays_where_nothing_else_is():
    assert halved([[0, 0], [0, 9]], nodata=0) == [[9]]
    assert halved([[0, 0], [9, 4]], nodata=0) == [[4]]
    assert halved([[0, 0], [0, 0]], nodata=0) == [[0]]
    assert halved([[254, 254], [255, 1]], nodata=254) == [[1]]  # though 255 comes behind 254
    assert halved([[255, 255], [1, 254]], nodata=254) == [[255]]
    assert halved([[0, 0], [0, 9]]) == [[0]]  # not declared, 0 is a code like others


def test_an_odd_edge_counts_twice():
    assert halved([[1, 2, 3]]) == [[1, 3]]
    assert halved([[1], [1], [5]]) == [[1], [5]]


def test_average_is_the_mean_of_those_that_have_data():
    assert halved([[1, 2], [4, 5]], _average, dtype="float32") == [[3.0]]
    assert halved([[10, 255], [20, 255]], _average, nodata=255) == [[15]]
    assert halved([[255, 255], [255, 255]], _average, nodata=255) == [[255]]
    assert halved([[np.nan, 2], [4, np.nan]], _average, np.nan, "float32") == [[3.0]]
    assert np.isnan(halved([[np.nan] * 2] * 2, _average, np.nan, "float32")).all()
    assert np.isnan(halved([[np.nan] * 2] * 2, _average, None, "float32")).all()


@pytest.mark.parametrize("nodata", [None, 0, 2, 4])
def test_mode_is_that_of_a_naive_loop(nodata):
    tile = pixels(1, 20, 30, high=5)[0]
    expected = np.empty((10, 15), np.uint8)
    for row in range(10):
        for col in range(15):
            votes = Counter(tile[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist())
            del votes[nodata]
            expected[row, col] = (
                min(votes, key=lambda code: (-votes[code], code)) if votes else nodata
            )
    assert halved(tile.tolist(), nodata=nodata) == expected.tolist()


# The file.

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
        options = {"count": count, "dtype": dtype, "overviews": overviews, "nodata": 3}
        cog.write_blocks(tmp_path / "map.tif", [array], grid(height, width), **options)
        valid, errors, warnings = rio_cogeo.cog_validate(tmp_path / "map.tif", quiet=True)
        assert valid and not errors and (not warnings or min(height, width) == 1)


@pytest.mark.parametrize("height, width", SHAPES)
def test_directories_go_from_large_to_small_and_tiles_from_small_to_large(tmp_path, height, width):
    """The rules of the validator, written out: it need not be installed for the file to be right."""
    cog.write_blocks(
        tmp_path / "map.tif",
        [pixels(1, height, width)],
        grid(height, width),
        count=1,
        dtype="uint8",
    )
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
    cog.write_blocks(
        tmp_path / "map.tif", [pixels(1, 1500, 1111)], grid(1500, 1111), count=1, dtype="uint8"
    )
    content = (tmp_path / "map.tif").read_bytes()
    assert content[8:].startswith(
        b"GDAL_STRUCTURAL_METADATA_SIZE=000140 bytes\nLAYOUT=IFDS_BEFORE_DATA\n"
    )
    assert content[8 + 43 + 139 :][:1] == b" "  # the 140th byte of the note
    with tifffile.TiffFile(tmp_path / "map.tif") as tif:
        for page in tif.pages:
            for offset, size in zip(page.dataoffsets, page.databytecounts):
                assert int.from_bytes(content[offset - 4 : offset], "little") == size
                assert (
                    content[offset + size : offset + size + 4]
                    == content[offset + size - 4 : offset + size]
                )


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_rasterio_and_we_read_the_pixels_and_overviews_back(tmp_path, monkeypatch, dtype, big):
    rasterio = pytest.importorskip("rasterio")
    if big:
        monkeypatch.setattr(geotiff, "BIGTIFF_BYTES", 0)
    path, array = tmp_path / "map.tif", pixels(2, 700, 1111, dtype, 100)
    options = {
        "count": 2,
        "dtype": dtype,
        "overviews": "average",
        "nodata": 99,
        "descriptions": ["a", None],
    }
    cog.write_blocks(
        path,
        [array],
        grid(700, 1111),
        **options,
        items={"made by": 'a "test" & <more>'},
        scale=0.25,
    )
    assert path.read_bytes()[2] == (43 if big else 42)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.array_equal(dataset.read(), array) and np.array_equal(raster.read(), array)
        assert dataset.crs == "EPSG:32631" and dataset.transform[:6] == raster.grid.transform
        assert (
            dataset.nodata == raster.nodata == 99
            and dataset.descriptions == raster.descriptions == ("a", None)
        )
        assert dataset.tags()["made by"] == 'a "test" & <more>' and dataset.scales == (0.25, 0.25)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and dataset.overviews(1) == [
            2,
            4,
        ]
    with rasterio.open(path, OVERVIEW_LEVEL=0) as half:
        expected = _average(array.transpose(1, 2, 0), 99).transpose(2, 0, 1)
        assert (
            half.shape == (350, 556) and half.nodata == 99 and np.array_equal(half.read(), expected)
        )


def test_a_palette_holds_for_the_overviews_too(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path, array = tmp_path / "map.tif", pixels(1, 600, 700)
    colors = {0: (0, 0, 0), 1: (200, 180, 120), 2: (0, 100, 200), 3: (9, 8, 7)}
    cog.write_blocks(
        path, [array], grid(600, 700), count=1, dtype="uint8", nodata=0, colormap=colors
    )
    for level in {}, {"OVERVIEW_LEVEL": 0}:
        with rasterio.open(path, **level) as dataset:
            assert dataset.colormap(1)[2] == (0, 100, 200, 255) and dataset.colormap(1)[3][:3] == (
                9,
                8,
                7,
            )
    with rasterio.open(path, OVERVIEW_LEVEL=0) as half:
        assert np.array_equal(half.read(1), _mode(array[0][..., None], 0)[..., 0])


def test_strips_of_any_heights_make_the_same_file(tmp_path):
    array, place = pixels(1, 1300, 600), grid(1300, 600)
    cog.write_blocks(tmp_path / "whole.tif", [array], place, count=1, dtype="uint8")
    for heights in ([1] * 1300, [512, 512, 276], [700, 0, 600], [3, 1290, 7]):
        strips = np.split(array, np.cumsum(heights)[:-1], axis=1)
        cog.write_blocks(tmp_path / "cut.tif", iter(strips), place, count=1, dtype="uint8")
        assert (tmp_path / "cut.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_geo_tags_are_written_as_they_are_and_without_georeference_there_are_none(tmp_path):
    keys = (
        1,
        1,
        0,
        3,
        1024,
        0,
        1,
        1,
        1025,
        0,
        1,
        1,
        3072,
        0,
        1,
        32767,
    )  # a CRS that nobody can tell
    tags = {
        33550: (10.0, 10.0, 0.0),
        33922: (0.0, 0.0, 0.0, 7.0, 8.0, 0.0),
        34735: keys,
        34737: b"what|",
    }
    bare = Grid(None, IDENTITY, 30, 40)
    cog.write_blocks(
        tmp_path / "a.tif", [pixels(1, 30, 40)], bare, count=1, dtype="uint8", geo_tags=tags
    )
    cog.write_blocks(tmp_path / "b.tif", [pixels(1, 30, 40)], bare, count=1, dtype="uint8")
    with geotiff.Raster(tmp_path / "a.tif") as a, geotiff.Raster(tmp_path / "b.tif") as b:
        assert {tag: value for tag, value in a.geo_tags.items() if tag != 34737} == {
            tag: value for tag, value in tags.items() if tag != 34737
        }
        assert a.geo_tags[34737].rstrip(b"\0") == b"what|" and b.geo_tags == {} and b.grid == bare


def test_memory_holds_rows_of_tiles_and_not_the_raster(tmp_path, monkeypatch):
    monkeypatch.setattr(cog, "TILE", 64)
    strip, peaks = np.zeros((1, 16, 1000), np.uint8), []
    for height in (800, 800, 6400):  # the first has Python's own beginnings in it
        tracemalloc.start()
        strips = (strip for _ in range(height // 16))
        cog.write_blocks(tmp_path / "map.tif", strips, grid(height, 1000), count=1, dtype="uint8")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1] and peaks[2] < 6400 * 1000 / 4


@pytest.mark.parametrize(
    "strips, said",
    [
        ([pixels(1, 40, 50)], "have 40 rows and the grid 60"),
        ([pixels(1, 61, 50)], "more rows than the grid's 60"),
        ([pixels(1, 60, 51)], "where \\(1, any height, 50\\) uint8 is due"),
        ([pixels(2, 60, 50)], "is due"),
        ([pixels(1, 60, 50, "int16")], "is due"),
    ],
)
def test_wrong_strips_leave_nothing_behind_and_an_earlier_file_as_it_was(tmp_path, strips, said):
    (tmp_path / "map.tif").write_bytes(b"earlier")
    with pytest.raises(ValueError, match=said):
        cog.write_blocks(tmp_path / "map.tif", strips, grid(60, 50), count=1, dtype="uint8")
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]
    assert (tmp_path / "map.tif").read_bytes() == b"earlier"


def test_whatever_stops_the_caller_leaves_nothing_behind(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        cog.writer(tmp_path / "map.tif", grid(60, 50), count=1, dtype="uint8") as add,
    ):
        add(pixels(1, 30, 50))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
