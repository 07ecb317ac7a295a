"""Blocks that tifffile and libtiff decode differently: LERC, JPEG, 24 bits, surplus bytes."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from data.files import InputError
from data.grid import Window
from data.raster import Raster

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

HEIGHT, WIDTH = 40, 50
TILES = {"tiled": True, "blockxsize": 16, "blockysize": 16}


def write(path, pixels: np.ndarray, **options) -> np.ndarray:
    """Write a file with rasterio. Returns what rasterio reads."""
    rasterio = pytest.importorskip("rasterio")
    count, height, width = pixels.shape
    size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", **size, **options) as dataset:
        dataset.write(pixels)
    with rasterio.open(path) as dataset:
        return dataset.read()


def assert_read_like(path, expected: np.ndarray) -> None:
    with Raster(path) as raster:
        assert np.array_equal(raster.read(), expected, equal_nan=expected.dtype.kind == "f")
        window = raster.read(Window(7, 11, 20, 30), [raster.count])
        assert np.array_equal(window[0], expected[-1, 7:27, 11:41], equal_nan=window.dtype == "f4")


@pytest.mark.parametrize("codec", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_lerc_keeps_nan_and_the_order_of_interleaved_bands(tmp_path, codec, interleave, order):
    rng = np.random.default_rng(0)
    path, pixels = tmp_path / "lerc.tif", rng.normal(0, 100, (3, HEIGHT, WIDTH)).astype("float32")
    options = {"compress": codec, "interleave": interleave, "ENDIANNESS": order}
    for layout in ({}, TILES):
        everywhere, each, nothing = pixels.copy(), pixels.copy(), pixels.copy()
        everywhere[:, :5] = np.nan  # all bands share a mask
        each[0, :5] = each[1, 7:9] = np.nan  # each band has a mask of its own
        nothing[:] = np.nan
        for stored in (pixels, everywhere, each, nothing):
            theirs = write(path, stored, **options, **layout)
            assert order == "BIG" or np.array_equal(theirs, stored, equal_nan=True)
            assert_read_like(path, theirs)


@pytest.mark.parametrize("codec", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
@pytest.mark.parametrize("count", [2, 4])
def test_the_mask_of_lerc_is_the_alpha_band_if_it_is_0_or_255(tmp_path, codec, count):
    rng = np.random.default_rng(0)
    path, pixels = tmp_path / "alpha.tif", rng.integers(0, 255, (count, HEIGHT, WIDTH), np.uint8)
    options = {"compress": codec, "alpha": "YES"} | ({"photometric": "RGB"} if count == 4 else {})
    for alpha in (pixels[-1], 255 * (pixels[-1] > 99), np.zeros_like(pixels[-1])):
        pixels[-1] = alpha
        for layout in ({}, TILES):
            assert_read_like(path, write(path, pixels, interleave="pixel", **options, **layout))


RAMP = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)
COLORS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]])


@pytest.mark.parametrize("photometric", ["RGB", "MINISBLACK", "MINISWHITE"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_jpeg_without_declared_ycbcr_is_not_converted(tmp_path, photometric, interleave):
    options = {"compress": "JPEG", "interleave": interleave, "photometric": photometric}
    for layout in ({}, TILES):
        theirs = write(tmp_path / "jpeg.tif", COLORS, **options, **layout)
        assert np.abs(theirs.astype(int) - COLORS).mean() < 2
        assert_read_like(tmp_path / "jpeg.tif", theirs)


def test_jpeg_with_declared_ycbcr_is_converted(tmp_path):
    write(tmp_path / "jpeg.tif", COLORS, compress="JPEG", photometric="YCBCR")
    with Raster(tmp_path / "jpeg.tif") as raster:
        assert np.abs(raster.read().astype(int) - COLORS).mean() < 2


@pytest.mark.parametrize("nbits", [3, 9, 10, 12, 15, 17, 20, 24, 31])
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_numbers_of_any_bits_are_those_of_rasterio(tmp_path, nbits, order):
    dtype = "uint8" if nbits <= 8 else "uint16" if nbits <= 16 else "uint32"
    pixels = np.random.default_rng(0).integers(0, 2**nbits, (2, HEIGHT, WIDTH)).astype(dtype)
    for codec in ("NONE", "DEFLATE"):
        path = tmp_path / f"{codec}.tif"
        assert np.array_equal(
            write(path, pixels, nbits=nbits, ENDIANNESS=order, compress=codec), pixels
        )
        assert_read_like(path, pixels)


def tiff(strips: list[bytes], compression: int, height: int, width: int, rows: int) -> bytes:
    """A grey TIFF of 8 bits from the bytes of its strips: the smallest encoder there is."""
    body, starts = b"".join(strips), np.cumsum([8, *map(len, strips)])[:-1]
    tags = [(256, [width]), (257, [height]), (258, [8]), (259, [compression]), (262, [1])]
    tags += [(273, starts.tolist()), (277, [1]), (278, [rows]), (279, list(map(len, strips)))]
    entries, values, at = b"", b"", 8 + len(body) + 2 + 12 * len(tags) + 4
    for code, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        place = packed if len(packed) == 4 else struct.pack("<I", at + len(values))
        values += packed if len(packed) > 4 else b""
        entries += struct.pack("<HHI", code, 4, len(numbers)) + place
    header = struct.pack("<H", len(tags)) + entries + b"\0" * 4
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + header + values


ENCODERS = {
    "none": (1, bytes),
    "lzw": (5, imagecodecs.lzw_encode),
    "deflate": (8, zlib.compress),
    "old deflate": (32946, zlib.compress),
    "packbits": (32773, lambda rows: imagecodecs.packbits_encode(rows, axis=-1)),
    "lzma": (34925, imagecodecs.lzma_encode),
    "zstd": (50000, imagecodecs.zstd_encode),
}


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("last", [10, 12, 16, 17, 200])
def test_a_last_strip_may_hold_more_rows_than_the_image_has_left(tmp_path, codec, last):
    # 42 rows in strips of 16: the last one needs 10 rows, and holds `last`.
    rasterio = pytest.importorskip("rasterio")
    pixels = np.random.default_rng(0).integers(0, 9, (32 + last, 30), np.uint8)
    code, encode = ENCODERS[codec]
    strips = [bytes(encode(part)) for part in (pixels[:16], pixels[16:32], pixels[32:])]
    path = tmp_path / "strips.tif"
    path.write_bytes(tiff(strips, code, 42, 30, 16))
    with Raster(path) as raster:
        assert np.array_equal(raster.read()[0], pixels[:42])
    if "deflate" not in codec:  # there, libtiff 4.7 reads zeros in some of these rows
        with rasterio.open(path) as dataset:
            assert np.array_equal(dataset.read(1), pixels[:42])


@pytest.mark.parametrize("codec", sorted(ENCODERS.keys() - {"none"}))
def test_a_last_strip_with_too_few_rows_is_an_error(tmp_path, codec):
    code, encode = ENCODERS[codec]
    strips = [bytes(encode(np.ones((rows, 30), np.uint8))) for rows in (16, 16, 9)]
    path = tmp_path / "strips.tif"
    path.write_bytes(tiff(strips, code, 42, 30, 16))
    with Raster(path) as raster, pytest.raises(InputError, match="block 2 is damaged"):
        raster.read()


def test_a_block_with_too_few_pixels_is_an_error(tmp_path):
    path, rows = tmp_path / "small.tif", imagecodecs.lerc_encode(np.ones((8, 30), np.uint8))
    path.write_bytes(tiff([rows], 34887, 10, 30, 10))
    with Raster(path) as raster:
        assert (raster.read(Window(0, 0, 8, 30)) == 1).all()
        with pytest.raises(InputError, match=r"block 0 is damaged \(it has 8 x 30 pixels\)"):
            raster.read()


def test_surplus_is_limited(tmp_path):
    # 100 MB of zeros compress to 100 kB. They are not decoded for the sake of 10 rows.
    path = tmp_path / "bomb.tif"
    path.write_bytes(tiff([zlib.compress(bytes(10**8))], 8, 10, 30, 10))
    with Raster(path) as raster, pytest.raises(InputError, match="block 0 is damaged"):
        raster.read()


@pytest.mark.parametrize("codec", ["JPEG", "WEBP", "LERC", "LERC_ZSTD", "ZSTD", "DEFLATE", "LZMA"])
def test_a_damaged_block_is_an_error_that_names_the_file(tmp_path, codec):
    path = tmp_path / "damaged.tif"
    write(path, COLORS, compress=codec, interleave="pixel", blockysize=HEIGHT)
    with tifffile.TiffFile(path) as tif:
        (start,), (size,) = tif.pages[0].dataoffsets, tif.pages[0].databytecounts
    data = bytearray(path.read_bytes())
    data[start : start + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(data)
    with Raster(path) as raster, pytest.raises(InputError, match="damaged.tif: block 0 is damaged"):
        raster.read()
