"""Writing block by block: what is written, rasterio and we read back, whole or not at all."""

import os

import numpy as np
import pytest
import tifffile
from pyproj import CRS

from data.files import InputError, replacing
from data.grid import IDENTITY, Grid
from data.raster import geotiff

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

HEIGHT, WIDTH = 53, 71
DTYPES = [
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float32",
    "float64",
]
GRID = Grid(CRS.from_epsg(3035), (10.0, 0.0, 4_000_000.0, 0.0, -10.0, 3_000_000.0), HEIGHT, WIDTH)


def pixels(dtype: str, count: int = 3, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Random bits are values over the whole range of the dtype; of floats only finite ones are
    kept.
    """
    bits = np.random.default_rng(0).bytes(count * height * width * np.dtype(dtype).itemsize)
    values = np.frombuffer(bits, dtype).reshape(count, height, width)
    return np.where(np.isfinite(values), values, 0).astype(dtype)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_written_file_is_read_by_rasterio_and_by_us(tmp_path, dtype, count):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "map.tif"
    for height, width in ((HEIGHT, WIDTH), (1, 1), (256, 256), (257, 512), (1, 600)):
        array, grid = (
            pixels(dtype, count, height, width),
            Grid(GRID.crs, GRID.transform, height, width),
        )
        geotiff.write(path, array, grid)
        with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
            assert np.array_equal(dataset.read(), array) and np.array_equal(raster.read(), array)
            assert dataset.dtypes == (dtype,) * count and raster.dtype == dtype
            assert dataset.crs == rasterio.CRS.from_epsg(3035) and raster.grid == grid
            assert dataset.transform[:6] == grid.transform and dataset.bounds == grid.bounds
            assert dataset.nodata is None and raster.nodata is None and raster.colormap is None
            assert dataset.block_shapes == [(256, 256)] * count and raster.block_shape == (256, 256)
            assert dataset.compression.value == "DEFLATE"
            assert count == 1 or dataset.interleaving.value == "PIXEL"


def test_a_flat_array_is_one_band_and_a_grid_without_georeference_writes_none(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "plain.tif"
    geotiff.write(path, pixels("uint8")[0], Grid(None, IDENTITY, HEIGHT, WIDTH))
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.array_equal(raster.read(), pixels("uint8")[:1])
        assert dataset.crs is None and dataset.transform.is_identity
        assert raster.grid == Grid(None, IDENTITY, HEIGHT, WIDTH) and raster.geo_tags == {}


def test_half_floats_and_foreign_byte_order_are_written(tmp_path):
    path, array = tmp_path / "map.tif", (pixels("uint16") / 7).astype(np.float16)
    geotiff.write(path, array, GRID)
    with geotiff.Raster(path) as raster:
        assert raster.dtype == np.float16 and np.array_equal(raster.read(), array)
    swapped = pixels("int16").astype(">i2")
    geotiff.write(path, swapped, GRID)
    with geotiff.Raster(path) as raster:
        assert raster.dtype == np.int16 and np.array_equal(raster.read(), swapped)


def test_strips_of_any_heights_make_the_same_file(tmp_path):
    array = pixels("uint16", 2, 700, 300)
    grid = Grid(GRID.crs, GRID.transform, 700, 300)
    geotiff.write(tmp_path / "whole.tif", array, grid)
    rng = np.random.default_rng(2)
    for heights in ([1] * 700, [256, 256, 188], [255, 257, 188], [700, 0], None, None):
        cuts = np.sort(rng.integers(0, 701, 6)) if heights is None else np.cumsum(heights)[:-1]
        strips = iter(np.split(array, cuts, axis=1))
        geotiff.write_blocks(tmp_path / "cut.tif", strips, grid, 2, "uint16")
        assert (tmp_path / "cut.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_strips_may_reuse_their_memory_while_threads_compress(tmp_path, monkeypatch):
    monkeypatch.setattr(tifffile.TIFF, "MAXWORKERS", 4)  # by default one on two cores
    grid, path = Grid(None, IDENTITY, 2048, 512), tmp_path / "map.tif"

    def strips():
        strip = np.empty((1, 64, 512), np.uint8)
        for number in range(32):
            strip[...] = number
            yield strip

    geotiff.write_blocks(path, strips(), grid, 1, "uint8")
    with geotiff.Raster(path) as raster:
        assert np.array_equal(
            raster.read()[0], np.repeat(np.arange(32, dtype=np.uint8), 64)[:, None] + np.zeros(512)
        )


@pytest.mark.parametrize(
    ("strips", "words"),
    [
        ([np.zeros((1, 52, WIDTH), np.uint8)], "the strips have 52 rows and the grid 53"),
        ([], "the strips have 0 rows and the grid 53"),
        ([np.zeros((1, 40, WIDTH), np.uint8)] * 2, "more rows than the grid's 53"),
        ([np.zeros((1, 53, WIDTH + 1), np.uint8)], "is due"),
        ([np.zeros((2, 53, WIDTH), np.uint8)], "is due"),
        ([np.zeros((53, WIDTH), np.uint8)], "is due"),
        ([np.zeros((1, 53, WIDTH), np.int16)], "is due"),
    ],
)
def test_strips_that_do_not_make_up_the_grid_are_refused(tmp_path, strips, words):
    with pytest.raises(ValueError, match=words):
        geotiff.write_blocks(tmp_path / "map.tif", strips, GRID, 1, "uint8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["complex64", "bool", "U3"])
def test_types_that_no_geotiff_has_are_refused(tmp_path, dtype):
    with pytest.raises(ValueError, match="a GeoTIFF has integers or floats"):
        geotiff.write(tmp_path / "map.tif", np.zeros((HEIGHT, WIDTH), dtype), GRID)


@pytest.mark.parametrize(
    ("height", "width", "count", "dtype", "expected"),
    [
        (30_000, 30_000, 1, "uint8", False),
        (30_000, 30_000, 10, "uint16", True),
        (66_000, 64_000, 1, "uint8", False),
        (66_000, 65_000, 1, "uint8", True),
    ],
)
def test_a_file_that_could_pass_four_gigabytes_is_a_bigtiff(
    tmp_path, monkeypatch, height, width, count, dtype, expected
):
    class Opened(Exception):
        pass

    def writer(path, bigtiff):
        assert bigtiff is expected
        raise Opened

    monkeypatch.setattr(tifffile, "TiffWriter", writer)
    with pytest.raises(Opened):
        geotiff.write_blocks(
            tmp_path / "map.tif", [], Grid(None, IDENTITY, height, width), count, dtype
        )


def test_a_bigtiff_is_read_by_rasterio(tmp_path, monkeypatch):
    rasterio = pytest.importorskip("rasterio")
    path, array = tmp_path / "big.tif", pixels("uint16")
    monkeypatch.setattr(geotiff, "BIGTIFF_BYTES", 0)
    geotiff.write(path, array, GRID, nodata=3, descriptions=["a", "b", "c"])
    assert path.read_bytes()[:4] == b"II+\0"
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.array_equal(dataset.read(), array) and np.array_equal(raster.read(), array)
        assert dataset.crs == rasterio.CRS.from_epsg(3035) and dataset.descriptions == (
            "a",
            "b",
            "c",
        )


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError, SystemExit])
def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "map.tif"
    geotiff.write(path, pixels("uint8"), GRID)
    earlier = path.read_bytes()

    def strips():
        yield np.zeros((3, 50, WIDTH), np.uint8)
        assert [file.suffix for file in tmp_path.iterdir() if file != path] == [".tmp"]
        raise error

    with pytest.raises(error):
        geotiff.write_blocks(path, strips(), GRID, 3, "uint8")
    assert path.read_bytes() == earlier and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file_and_leaves_the_earlier_one(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "map.tif"
    geotiff.write(path, np.zeros((HEIGHT, WIDTH), np.uint8), GRID)
    earlier, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 255, (3, 500, 500), np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a disk with little room
    try:
        with pytest.raises(OSError, match="make room") as caught:
            geotiff.write(path, noise, Grid(None, IDENTITY, 500, 500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == earlier and list(tmp_path.iterdir()) == [path]


def test_replacing_serves_other_outputs_too(tmp_path):
    path = tmp_path / "table.csv"
    with replacing(path) as temporary:
        assert temporary == tmp_path / f".table.csv.{os.getpid()}.tmp"
        temporary.write_text("a,b\n")
        assert not path.exists()
    assert path.read_text() == "a,b\n" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError, match="there is no folder .*; make it first"):
        geotiff.write(tmp_path / "nowhere" / "map.tif", pixels("uint8"), GRID)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        geotiff.write(tmp_path, pixels("uint8"), GRID)


def test_an_error_names_the_file_that_the_user_knows(tmp_path):
    with pytest.raises(PermissionError) as error, replacing(tmp_path / "map.tif") as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert error.value.filename == str(tmp_path / "map.tif")
