"""Writing strip by strip: rasterio and `Raster` read back what is written, whole or not at all."""

import numpy as np
import pytest
from pyproj import CRS

from data.files import InputError
from data.grid import IDENTITY, Grid
from data.raster import Raster, cog, directory, write, writer

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

HEIGHT, WIDTH = 53, 71
DTYPES = "uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64".split()
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
    sizes = [(HEIGHT, WIDTH), (257, 512)]
    if count == 1:
        sizes += [(1, 1), (256, 256), (513, 512), (1, 600)]
    for height, width in sizes:
        array = pixels(dtype, count, height, width)
        grid = Grid(GRID.crs, GRID.transform, height, width)
        write(path, array, grid)
        with rasterio.open(path) as dataset, Raster(path) as raster:
            assert np.array_equal(dataset.read(), array) and np.array_equal(raster.read(), array)
            assert dataset.dtypes == (dtype,) * count and raster.dtype == dtype
            assert dataset.crs == rasterio.CRS.from_epsg(3035) and raster.grid == grid
            assert dataset.transform[:6] == grid.transform and dataset.bounds == grid.bounds
            assert dataset.nodata is None and raster.nodata is None and raster.colormap is None
            side = 512 if count * array.itemsize <= 4 else 256
            assert dataset.block_shapes == [(side, side)] * count
            assert raster.block_shape == (side, side)
            assert dataset.compression.value == "DEFLATE"
            assert count == 1 or dataset.interleaving.value == "PIXEL"


def test_a_flat_array_is_one_band_and_a_grid_without_georeference_writes_none(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "plain.tif"
    write(path, pixels("uint8")[0], Grid(None, IDENTITY, HEIGHT, WIDTH))
    with rasterio.open(path) as dataset, Raster(path) as raster:
        assert np.array_equal(raster.read(), pixels("uint8")[:1])
        assert dataset.crs is None and dataset.transform.is_identity
        assert raster.grid == Grid(None, IDENTITY, HEIGHT, WIDTH) and raster.geo_tags == {}


def test_half_floats_and_foreign_byte_order_are_written(tmp_path):
    path, array = tmp_path / "map.tif", (pixels("uint16") / 7).astype(np.float16)
    write(path, array, GRID)
    with Raster(path) as raster:
        assert raster.dtype == np.float16 and np.array_equal(raster.read(), array)
    swapped = pixels("int16").astype(">i2")
    write(path, swapped, GRID)
    with Raster(path) as raster:
        assert raster.dtype == np.int16 and np.array_equal(raster.read(), swapped)


def test_strips_of_any_heights_make_the_same_file(tmp_path):
    array = pixels("uint16", 2, 700, 300)
    grid = Grid(GRID.crs, GRID.transform, 700, 300)
    write(tmp_path / "whole.tif", array, grid)
    rng = np.random.default_rng(2)
    random = [np.sort(rng.integers(0, 701, 6)) for _ in range(2)]
    heights = [[1] * 700, [512, 188], [255, 257, 188], [100, 0, 600], [3, 690, 7]]
    for cuts in [*random, *(np.cumsum(strips)[:-1] for strips in heights)]:
        with writer(tmp_path / "cut.tif", grid, 2, "uint16") as add:
            for strip in np.split(array, cuts, axis=1):
                add(strip)
        assert (tmp_path / "cut.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_strips_may_reuse_their_memory_while_threads_compress(tmp_path, monkeypatch):
    monkeypatch.setattr(cog.os, "cpu_count", lambda: 4)
    path, strip = tmp_path / "map.tif", np.empty((1, 64, 512), np.uint8)
    with writer(path, Grid(None, IDENTITY, 2048, 512), 1, "uint8") as add:
        for number in range(32):
            strip[...] = number
            add(strip)
    with Raster(path) as raster:
        expected = np.repeat(np.arange(32, dtype=np.uint8), 64)[:, None] + np.zeros(512)
        assert np.array_equal(raster.read()[0], expected)


@pytest.mark.parametrize(
    ("strips", "words"),
    [
        ([np.zeros((1, 52, WIDTH), np.uint8)], "the strips have 52 rows and the grid 53"),
        ([], "the strips have 0 rows and the grid 53"),
        ([np.zeros((1, 40, WIDTH), np.uint8)] * 2, "more rows than the grid's 53"),
        ([np.zeros((1, 53, WIDTH + 1), np.uint8)], "expected"),
        ([np.zeros((2, 53, WIDTH), np.uint8)], "expected"),
        ([np.zeros((53, WIDTH), np.uint8)], "expected"),
        ([np.zeros((1, 53, WIDTH), np.int16)], "expected"),
    ],
)
def test_wrong_strips_leave_nothing_behind_and_an_earlier_file_as_it_was(tmp_path, strips, words):
    (tmp_path / "map.tif").write_bytes(b"earlier")
    with (
        pytest.raises(ValueError, match=words),
        writer(tmp_path / "map.tif", GRID, 1, "uint8") as add,
    ):
        for strip in strips:
            add(strip)
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]
    assert (tmp_path / "map.tif").read_bytes() == b"earlier"


@pytest.mark.parametrize("dtype", ["complex64", "bool", "U3"])
def test_types_that_no_geotiff_has_are_refused(tmp_path, dtype):
    with pytest.raises(ValueError, match="a GeoTIFF has integers or floats"):
        write(tmp_path / "map.tif", np.zeros((HEIGHT, WIDTH), dtype), GRID)


def test_a_bigtiff_is_read_by_rasterio(tmp_path, monkeypatch):
    rasterio = pytest.importorskip("rasterio")
    path, array = tmp_path / "big.tif", pixels("uint16")
    monkeypatch.setattr(directory, "BIGTIFF_BYTES", 0)
    write(path, array, GRID, nodata=3, descriptions=["a", "b", "c"])
    assert path.read_bytes()[:4] == b"II+\0"
    with rasterio.open(path) as dataset, Raster(path) as raster:
        assert np.array_equal(dataset.read(), array) and np.array_equal(raster.read(), array)
        assert dataset.crs == rasterio.CRS.from_epsg(3035)
        assert dataset.descriptions == ("a", "b", "c")


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError, SystemExit])
def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "map.tif"
    write(path, pixels("uint8"), GRID)
    earlier = path.read_bytes()

    with pytest.raises(error), writer(path, GRID, 3, "uint8") as add:
        add(np.zeros((3, 50, WIDTH), np.uint8))
        assert [file.suffix for file in tmp_path.iterdir() if file != path] == [".tmp"]
        raise error
    assert path.read_bytes() == earlier and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file_and_leaves_the_earlier_one(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "map.tif"
    write(path, np.zeros((HEIGHT, WIDTH), np.uint8), GRID)
    earlier, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 255, (3, 500, 500), np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a disk with little room
    try:
        with pytest.raises(OSError, match="raise the limit of file sizes") as caught:
            write(path, noise, Grid(None, IDENTITY, 500, 500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == earlier and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_before_any_strip(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*; make it first"):
        with writer(tmp_path / "nowhere" / "map.tif", GRID, 1, "uint8"):
            pytest.fail("the block is not entered")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write(tmp_path, pixels("uint8"), GRID)


def test_overviews_are_the_mode_of_integers_and_the_average_of_floats(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    square = np.tile([[1, 1], [3, 7]], (300, 300))
    grid, path = Grid(GRID.crs, GRID.transform, 600, 600), tmp_path / "map.tif"
    for dtype, overviews, expected in (
        ("uint8", None, 1),
        ("uint8", "average", 3),
        ("float32", None, 3),
        ("uint16", "mode", 1),
    ):
        write(path, square.astype(dtype), grid, overviews=overviews)
        with rasterio.open(path, OVERVIEW_LEVEL=0) as half:
            assert half.shape == (300, 300) and (half.read() == expected).all()
