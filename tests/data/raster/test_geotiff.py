"""Reading windows: of files that rasterio and tifffile write, of unusual and of damaged files."""

import os
import threading

import numpy as np
import pytest
import tifffile
from pyproj import CRS

from data.files import InputError
from data.grid import Grid, Window
from data.raster import cog, geotiff, tiffpage

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

HEIGHT, WIDTH = 53, 71
DTYPES = "uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64".split()
GRID = Grid(CRS.from_epsg(3035), (10.0, 0.0, 4_000_000.0, 0.0, -10.0, 3_000_000.0), HEIGHT, WIDTH)


def pixels(dtype: str, count: int = 3, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Values over the whole range of the dtype, in patches so that every compression has something
    to do.
    """
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        values = rng.normal(0, 1e6, (count, height, width))
    else:
        info = np.iinfo(dtype)
        values = rng.integers(info.min, info.max, (count, height, width), dtype, endpoint=True)
    values[:, : height // 2] = values[:, :1, :1]
    return values.astype(dtype)


def write_with_rasterio(path, array: np.ndarray, **options) -> None:
    rasterio = pytest.importorskip("rasterio")
    count, height, width = array.shape
    profile = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": array.dtype.name,
    }
    with rasterio.open(path, "w", **profile, **options) as dataset:
        dataset.write(array)


def random_window(rng: np.random.Generator, height: int = HEIGHT, width: int = WIDTH) -> Window:
    row, col = int(rng.integers(height)), int(rng.integers(width))
    return Window(
        row, col, int(rng.integers(1, height - row + 1)), int(rng.integers(1, width - col + 1))
    )


def assert_windows_are_slices(raster: geotiff.Raster, array: np.ndarray, number: int = 5) -> None:
    rng = np.random.default_rng(1)
    for _ in range(number):
        row, col, height, width = window = random_window(rng, *array.shape[1:])
        expected = array[:, row : row + height, col : col + width]
        assert np.array_equal(raster.read(window), expected)
        bands = rng.permutation(len(array))[: rng.integers(1, len(array) + 1)]
        assert np.array_equal(raster.read(window, bands=bands + 1), expected[bands])


LAYOUTS = {
    "strips": {"blockysize": 7},
    "one strip": {"blockysize": HEIGHT},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32},
}


@pytest.mark.parametrize("compression", ["NONE", "LZW", "DEFLATE", "ZSTD", "PACKBITS"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_file_of_rasterio_is_read(tmp_path, dtype, compression):
    array = pixels(dtype)
    predictors = {"NONE": [1], "PACKBITS": [1]}.get(
        compression, [1, 2, 3] if dtype[0] == "f" else [1, 2]
    )
    for predictor in predictors:
        for name, layout in LAYOUTS.items():
            for interleave in ("pixel", "band"):
                # Byte order and BigTIFF take turns: each meets every codec, predictor and layout
                # somewhere.
                number = len(name) + predictor + len(dtype)
                options = {
                    "ENDIANNESS": ["LITTLE", "BIG"][number % 2],
                    "BIGTIFF": ["NO", "YES"][number // 2 % 2],
                }
                path = tmp_path / f"{name}-{interleave}-{predictor}.tif"
                options |= {"predictor": predictor} if predictor > 1 else {}
                write_with_rasterio(
                    path, array, compress=compression, interleave=interleave, **layout, **options
                )
                with geotiff.Raster(path) as raster:
                    assert raster.dtype == array.dtype and raster.count == 3
                    assert np.array_equal(raster.read(), array)
                    assert_windows_are_slices(raster, array, number=2)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_every_file_of_tifffile_is_read_in_either_byte_order(tmp_path, dtype, bigtiff, byteorder):
    array = pixels(dtype)
    for number, options in enumerate(
        (
            {},
            {"rowsperstrip": 5},
            {"tile": (16, 32), "compression": "zlib", "predictor": True},
            {"tile": (32, 16), "compression": "lzw", "predictor": True},
            {"compression": "packbits"},
        )
    ):
        for planarconfig in ("contig", "separate"):
            path = tmp_path / f"{number}-{planarconfig}.tif"
            image = array if planarconfig == "separate" else array.transpose(1, 2, 0)
            options |= {"planarconfig": planarconfig, "photometric": "minisblack", "metadata": None}
            tifffile.imwrite(path, image, byteorder=byteorder, bigtiff=bigtiff, **options)
            with geotiff.Raster(path) as raster:
                assert np.array_equal(raster.read(), array)
                assert_windows_are_slices(raster, array, number=2)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (15, 17), (16, 16), (33, 31)])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
def test_odd_sizes_down_to_one_pixel(tmp_path, size, layout):
    array, path = pixels("uint16", 2, *size), tmp_path / "small.tif"
    write_with_rasterio(path, array, compress="lzw", predictor=2, **layout)
    with geotiff.Raster(path) as raster:
        assert np.array_equal(raster.read(), array)
        assert_windows_are_slices(raster, array)


@pytest.mark.parametrize("nbits", [1, 2, 4, 5, 12])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_pixels_of_few_bits_become_bytes(tmp_path, nbits, interleave):
    dtype = "uint8" if nbits <= 8 else "uint16"
    array, path = pixels(dtype) % 2**nbits, tmp_path / "bits.tif"
    for compression in ("NONE", "DEFLATE"):
        write_with_rasterio(path, array, nbits=nbits, interleave=interleave, compress=compression)
        with geotiff.Raster(path) as raster:
            assert raster.dtype == dtype and np.array_equal(raster.read(), array)


def test_a_jpeg_compressed_geotiff_is_read(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "jpeg.tif"
    ramp = np.add.outer(np.arange(128), np.arange(128)).astype(np.uint8)
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    write_with_rasterio(path, ramp[None], compress="JPEG", **layout)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.abs(raster.read().astype(int) - dataset.read()).max() <= 2


def count_blocks(raster: geotiff.Raster, monkeypatch) -> list[int]:
    """The indices of the blocks that `raster` decodes from now on."""
    decoded, page = [], raster._pages[0]
    block = page._block

    def counting(index: int, needed: tuple) -> np.ndarray:
        decoded.append(index)
        return block(index, needed)

    monkeypatch.setattr(page, "_block", counting)
    return decoded


def test_only_the_blocks_that_a_window_touches_are_decoded(tmp_path, monkeypatch):
    # 4 x 5 tiles of 16 x 16: the window of rows 15..16 and columns 32..47 lies in two of them.
    array, path = pixels("uint8", 3, 64, 80), tmp_path / "tiles.tif"
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    for interleave, expected in (("pixel", [2, 7]), ("band", [22, 2, 27, 7])):
        write_with_rasterio(path, array, interleave=interleave, compress="DEFLATE", **tiles)
        with geotiff.Raster(path) as raster:
            decoded = count_blocks(raster, monkeypatch)
            window = raster.read(Window(15, 32, 2, 16), bands=[2, 1])
            assert np.array_equal(window, array[[1, 0], 15:17, 32:48])
            assert decoded == expected


def test_a_file_of_one_strip_is_read_by_the_rows_of_the_window(tmp_path, monkeypatch):
    # What numpy users write: 4 MB in one piece. Ten rows must not cost more than a strip of 256 kB.
    array, path = pixels("uint16", 2, 1000, 1000), tmp_path / "one.tif"
    sizes, pread = [], os.pread
    monkeypatch.setattr(
        os, "pread", lambda file, size, at: sizes.append(size) or pread(file, size, at)
    )
    for planarconfig, image in (("contig", array.transpose(1, 2, 0)), ("separate", array)):
        tifffile.imwrite(
            path, image, planarconfig=planarconfig, photometric="minisblack", metadata=None
        )
        with geotiff.Raster(path) as raster:
            sizes.clear()
            assert np.array_equal(
                raster.read(Window(500, 100, 10, 10), [2]), array[1:, 500:510, 100:110]
            )
            assert 0 < sum(sizes) <= 2 * tiffpage.STRIP_BYTES
            assert np.array_equal(raster.read(), array)


@pytest.mark.parametrize(("nodata", "expected"), [(None, 0), (0, 0), (7, 7), (np.nan, np.nan)])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_a_sparse_file_leaves_out_are_nodata(tmp_path, nodata, expected, interleave):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "sparse.tif"
    profile = {"driver": "GTiff", "count": 2, "dtype": "float32", "nodata": nodata}
    profile |= {"height": 64, "width": 64, "tiled": True, "blockxsize": 16, "blockysize": 16}
    with rasterio.open(path, "w", **profile, interleave=interleave, SPARSE_OK=True) as dataset:
        dataset.write(
            np.ones((2, 16, 16), np.float32), window=rasterio.windows.Window(16, 32, 16, 16)
        )
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.array_equal(raster.read(), dataset.read(), equal_nan=True)
        assert np.array_equal(raster.read()[:, 0, 0], [expected] * 2, equal_nan=True)
        assert (raster.read(Window(32, 16, 16, 16)) == 1).all()


def test_windows_outside_and_bands_that_do_not_exist_are_refused(tmp_path):
    path = tmp_path / "map.tif"
    cog.write(path, pixels("uint8"), GRID)
    with geotiff.Raster(path) as raster:
        for window in (
            (-1, 0, 1, 1),
            (0, 0, HEIGHT + 1, 1),
            (0, WIDTH, 1, 1),
            (0, 0, 0, 1),
            (0, 0, 1, -1),
        ):
            with pytest.raises(ValueError, match="is not inside the raster of 53 x 71 pixels"):
                raster.read(Window(*window))
        for bands in ([0], [4], [1, -1]):
            with pytest.raises(ValueError, match="are not all among 1 to 3"):
                raster.read(bands=bands)


def test_one_raster_serves_several_threads(tmp_path):
    path, array, failures = tmp_path / "map.tif", pixels("int16", 3, 300, 400), []
    write_with_rasterio(path, array, compress="DEFLATE", tiled=True, blockxsize=32, blockysize=32)

    def read_windows(raster: geotiff.Raster, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(50):
            row, col, height, width = window = random_window(rng, 300, 400)
            if not np.array_equal(
                raster.read(window), array[:, row : row + height, col : col + width]
            ):
                failures.append(window)

    with geotiff.Raster(path) as raster:
        threads = [threading.Thread(target=read_windows, args=(raster, seed)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_one_raster_serves_the_processes_that_are_forked_with_it(tmp_path):
    path, array = tmp_path / "map.tif", pixels("uint8")
    write_with_rasterio(path, array, blockysize=1)
    with geotiff.Raster(path) as raster:
        children = []
        for _ in range(3):
            children.append(os.fork())
            if children[-1] == 0:  # in the child: os._exit, or pytest would go on twice
                same = all(np.array_equal(raster.read(), array) for _ in range(50))
                os._exit(0 if same else 1)
        assert all(np.array_equal(raster.read(), array) for _ in range(50))
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [
            0,
            0,
            0,
        ]


def test_a_file_that_is_not_there_or_no_raster_is_a_plain_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.tif: no such file; check"):
        geotiff.Raster(tmp_path / "nowhere.tif")
    for name, content in (
        ("text.tif", b"x,y\n1,2\n"),
        ("page.tif", b"<html></html>"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: not a TIFF, PNG, JPEG or JPEG 2000 file; "):
            geotiff.Raster(tmp_path / name)
    (tmp_path / "empty.tif").touch()
    with pytest.raises(InputError, match=r"empty\.tif: is empty; copy or download it again"):
        geotiff.Raster(tmp_path / "empty.tif")


def test_what_cannot_be_decoded_is_said_when_the_file_is_opened(tmp_path):
    path = tmp_path / "odd.tif"
    write_with_rasterio(path, np.zeros((1, 4, 5), np.complex64))
    with pytest.raises(InputError, match=r"odd.tif: complex64 pixels are not supported; "):
        geotiff.Raster(path)
    for code in (65000, 54321):
        cog.write(path, pixels("uint8"), GRID)
        with tifffile.TiffFile(path, mode="r+") as tif:
            tif.pages.first.tags[259].overwrite(code)
        with pytest.raises(InputError, match=r"odd.tif: cannot be decoded .*; rewrite it"):
            geotiff.Raster(path)


@pytest.mark.parametrize(("width", "x"), [(np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan)])
def test_a_georeference_that_is_no_number_is_an_error(tmp_path, width, x):
    path, scale = tmp_path / "odd.tif", (33550, 12, 3, (width, 1.0, 0.0), True)
    tiepoint = (33922, 12, 6, (0.0, 0.0, 0.0, x, 0.0, 0.0), True)
    tifffile.imwrite(path, pixels("uint8")[0], metadata=None, extratags=[scale, tiepoint])
    with pytest.raises(InputError, match=r"odd.tif: its tags are damaged .*; write the file again"):
        geotiff.Raster(path)


def test_no_warning_is_logged_about_a_file_that_can_be_read(tmp_path, capfd):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(
        path, pixels("uint8")[0], metadata=None, extratags=[(42113, 2, 0, "-9999", True)]
    )
    with geotiff.Raster(path) as raster:
        assert raster.nodata is None
    assert capfd.readouterr() == ("", "")


def files_to_cut(tmp_path):
    """A file of each order of header, tag values and pixels."""
    rasterio = pytest.importorskip("rasterio")
    georeference = {"crs": "EPSG:3035", "transform": rasterio.Affine(*GRID.transform), "nodata": 7}
    write_with_rasterio(tmp_path / "theirs.tif", pixels("uint8"), compress="LZW", **georeference)
    write_with_rasterio(tmp_path / "plain.tif", pixels("uint8"), **georeference)
    cog.write(tmp_path / "ours.tif", pixels("uint8"), GRID, nodata=7, descriptions=["a", "b", "c"])
    write_with_rasterio(tmp_path / "updated.tif", pixels("uint8"), compress="LZW", **georeference)
    with rasterio.open(tmp_path / "updated.tif", "r+") as dataset:  # moves the header to the end
        dataset.update_tags(text="x" * 500)
    return sorted(tmp_path.glob("*.tif"))


def test_a_file_cut_short_anywhere_raises_and_never_gives_zeros(tmp_path):
    for path in files_to_cut(tmp_path):
        data = path.read_bytes()
        with geotiff.Raster(path) as raster:
            whole = raster.read(), raster.grid, raster.nodata
        errors = 0
        for size in np.linspace(1, len(data) - 1, 50).astype(int):
            path.write_bytes(data[:size])
            try:
                with geotiff.Raster(path) as raster:
                    assert np.array_equal(raster.read(), whole[0])
                    assert (raster.grid, raster.nodata) == whole[1:]
            except InputError as error:
                assert path.name in str(error) and "; " in str(error) and "\n" not in str(error)
                errors += 1
        # Only what nobody needs may be missing, such as the last byte of a text.
        assert errors >= 48, path.name


def test_a_damaged_block_is_an_error(tmp_path):
    path = tmp_path / "map.tif"
    cog.write(path, pixels("uint16"), GRID)
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages.first.dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset + 100 : offset + 150] = bytes(50)
    path.write_bytes(data)
    with (
        geotiff.Raster(path) as raster,
        pytest.raises(InputError, match=r"map.tif: block 0 is damaged"),
    ):
        raster.read()


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    pipe, folder = tmp_path / "pipe.tif", tmp_path / "folder.tif"
    os.mkfifo(pipe)
    folder.mkdir()
    with pytest.raises(InputError, match=r"pipe.tif: is a pipe or a device; give a file"):
        geotiff.Raster(pipe)
    with pytest.raises(InputError, match=r"folder.tif: is a folder; give a file"):
        geotiff.Raster(folder)
    for fd in os.pipe():
        with pytest.raises(InputError, match="is a pipe or a device"):
            geotiff.Raster(f"/dev/fd/{fd}")
        os.close(fd)


def test_a_large_file_of_another_kind_is_refused_by_its_first_bytes(tmp_path):
    path = tmp_path / "film.tif"
    path.write_bytes(b"film")
    os.truncate(path, 2**40)  # holds nothing on the disk
    with pytest.raises(InputError, match=r"film.tif: not a TIFF, PNG, JPEG or JPEG 2000 file; "):
        geotiff.Raster(path)
