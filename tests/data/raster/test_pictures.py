"""Pictures as rasters: codes of palette PNGs by hand, everything else as rasterio reads it."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from data.files import InputError
from data.grid import IDENTITY, Window
from data.raster import geotiff, pictures

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 8, 7)]


def png(
    rows: list[bytes], width: int, depth: int, color_type: int, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG from the bytes of its rows, each without a filter: the smallest encoder there is."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


PLTE = (b"PLTE", bytes(np.ravel(COLORS).tolist()))


def test_a_palette_png_gives_its_codes_and_its_colours():
    # Two pixels of 2 bits each: 0b11_01_0000 is code 3 and code 1.
    picture = pictures.decode(png([b"\xd0"], 2, 2, 3, PLTE))
    assert picture.pixels.tolist() == [[[3, 1]]]
    assert picture.palette == dict(enumerate(COLORS))


@pytest.mark.parametrize(
    ("depth", "row"), [(1, b"\x40"), (2, b"\x10"), (4, b"\x01\x00"), (8, b"\0\1\0")]
)
@pytest.mark.parametrize("transparent", [(), ((b"tRNS", b"\0"),)])
def test_codes_do_not_depend_on_bit_depth_or_transparency(depth, row, transparent):
    # Three pixels: 0, 1, 0.
    picture = pictures.decode(png([row, row], 3, depth, 3, PLTE, *transparent))
    assert picture.pixels.tolist() == [[[0, 1, 0], [0, 1, 0]]] and picture.palette[1] == COLORS[1]
    picture = pictures.decode(png([row, row], 3, depth, 0))
    assert picture.pixels.tolist() == [[[0, 1, 0], [0, 1, 0]]] and picture.palette is None


def test_a_background_colour_of_a_palette_is_no_reason_to_complain(capfd):
    picture = pictures.decode(png([b"\1\2"], 2, 8, 3, PLTE, (b"bKGD", b"\0")))
    assert picture.pixels.tolist() == [[[1, 2]]] and capfd.readouterr() == ("", "")


def test_a_transparent_colour_adds_no_band():
    key = (b"tRNS", struct.pack(">HHH", 1, 2, 3))
    picture = pictures.decode(png([bytes(range(6))], 2, 8, 2, key))
    assert picture.pixels.tolist() == [[[0, 3]], [[1, 4]], [[2, 5]]] and picture.palette is None


def test_a_suggested_palette_of_a_colour_png_is_not_its_colormap():
    picture = pictures.decode(png([bytes(range(6))], 2, 8, 2, PLTE))
    assert picture.pixels.shape == (3, 1, 2) and picture.palette is None


@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
@pytest.mark.parametrize("colors", [False, True])
def test_codes_and_greys_are_those_of_rasterio(tmp_path, nbits, colors):
    rasterio = pytest.importorskip("rasterio")
    path, codes = tmp_path / "mask.png", np.uint8(np.arange(35).reshape(1, 5, 7) % 2**nbits)
    profile = {
        "driver": "PNG",
        "height": 5,
        "width": 7,
        "count": 1,
        "dtype": "uint8",
        "nbits": nbits,
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(codes)
        if colors:
            dataset.write_colormap(1, {code: (code, 2 * code, 255) for code in range(2**nbits)})
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.array_equal(raster.read(), codes) and np.array_equal(dataset.read(), codes)
        assert (raster.colormap is not None) == colors
        if colors:
            theirs = dataset.colormap(1)
            assert all(theirs[code][:3] == color for code, color in raster.colormap.items())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_bands_of_a_png_are_those_of_rasterio(tmp_path, count, dtype):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "image.png"
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (count, 11, 13)).astype(dtype)
    profile = {"driver": "PNG", "height": 11, "width": 13, "count": count, "dtype": dtype}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(image)
    with geotiff.Raster(path) as raster:
        assert raster.dtype == image.dtype and raster.count == count
        assert np.array_equal(raster.read(), image)


@pytest.mark.parametrize("count", [1, 3])
def test_a_jpeg_is_that_of_rasterio(tmp_path, count):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "image.jpg"
    ramp = np.linspace(0, 255, 40 * 50).reshape(40, 50).astype(np.uint8)
    profile = {"driver": "JPEG", "height": 40, "width": 50, "count": count, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.stack([ramp, ramp[::-1], ramp[:, ::-1]])[:count])
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        # Decoders interpolate the colours, which have half the resolution, each in its way.
        difference = np.abs(raster.read().astype(int) - dataset.read())
        assert difference.max() <= 8 and difference.mean() < 1
        assert (
            raster.grid.crs is None and raster.grid.transform == IDENTITY and raster.geo_tags == {}
        )


@pytest.mark.parametrize("container", ["jp2", "j2k"])
def test_a_lossless_jpeg_2000_keeps_its_pixels(tmp_path, container):
    image = np.random.default_rng(0).integers(0, 10_000, (40, 50), dtype=np.uint16)
    path = tmp_path / "band.jp2"
    path.write_bytes(
        imagecodecs.jpeg2k_encode(image, level=0, reversible=True, codecformat=container)
    )
    with geotiff.Raster(path) as raster:
        assert np.array_equal(raster.read()[0], image) and raster.count == 1


def test_a_window_and_bands_of_a_picture_are_a_slice_of_it(tmp_path):
    path = tmp_path / "image.png"
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    path.write_bytes(imagecodecs.png_encode(image))
    with geotiff.Raster(path) as raster:
        window = raster.read(Window(row=3, col=5, height=7, width=11), bands=[3, 1])
        assert np.array_equal(window, image[3:10, 5:16, [2, 0]].transpose(2, 0, 1))
        window[...] = 0  # what was handed out is the caller's
        assert np.array_equal(raster.read(), image.transpose(2, 0, 1))
        with pytest.raises(ValueError, match="is not inside"):
            raster.read(Window(0, 0, 21, 1))


@pytest.mark.parametrize("name", ["png", "palette", "jpg", "jp2"])
def test_a_picture_cut_short_is_an_error_wherever_it_is_cut(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    data = {
        "png": lambda: imagecodecs.png_encode(noise),
        "palette": lambda: png([bytes(row % 4) for row in noise[..., 0]], 40, 8, 3, PLTE),
        "jpg": lambda: imagecodecs.jpeg_encode(noise),
        "jp2": lambda: imagecodecs.jpeg2k_encode(noise, codecformat="jp2"),
    }[name]()
    path = tmp_path / "picture"
    # The last 12 bytes of a PNG contain no data, so a file without them is complete.
    for size in np.linspace(12, len(data) - 13, 50).astype(int):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match="picture: .*; "):
            geotiff.Raster(path)


@pytest.mark.parametrize("tail", [b"\n", b"\0" * 5, b"more than twelve bytes behind the end"])
def test_bytes_behind_the_end_of_a_png_are_ignored(tail):
    picture = pictures.decode(png([b"\0\1\2"], 3, 8, 3, PLTE) + tail)
    assert picture.pixels.tolist() == [[[0, 1, 2]]]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("color_type", [0, 3])
def test_a_transparent_grey_or_code_is_nodata_as_in_rasterio(tmp_path, depth, color_type):
    rasterio = pytest.importorskip("rasterio")
    if depth == 16 and color_type == 3:
        return  # a palette has 256 codes at most
    path, row = tmp_path / "image.png", bytes(range(16))
    opaque = b"\xff" if depth > 1 else b""
    body = opaque + b"\0\x80" if color_type == 3 else bytes([0, len(opaque)])
    path.write_bytes(png([row], 128 // depth, depth, color_type, PLTE, (b"tRNS", body)))
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert raster.nodata == len(opaque) == dataset.nodata
        assert np.array_equal(raster.valid(), dataset.dataset_mask() != 0)
        assert not raster.valid().all() and raster.remarks == [] and not raster.masked


def test_several_transparent_codes_are_told_and_none_of_them_is_nodata(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "image.png"
    path.write_bytes(png([b"\0\1\2\3"], 4, 8, 3, PLTE, (b"tRNS", b"\0\xff\0")))
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert raster.nodata is None and raster.valid().all() and dataset.dataset_mask().all()
        assert raster.remarks == ["2 codes of its palette are transparent (0, 2): not used"]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_is_no_data(tmp_path, depth):
    rasterio = pytest.importorskip("rasterio")
    path, key = tmp_path / "image.png", (b"tRNS", struct.pack(">HHH", 3, 4, 5))
    pixels = np.arange(12) if depth == 8 else np.arange(12).astype(">u2")
    row = pixels.astype("u1").tobytes() if depth == 8 else pixels.tobytes()
    path.write_bytes(png([row], 4, depth, 2, key))  # its second pixel is 3, 4, 5
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert raster.valid().tolist() == [[True, False, True, True]]
        assert raster.masked and np.array_equal(raster.valid(), dataset.dataset_mask() != 0)


@pytest.mark.parametrize(("driver", "suffix"), [("PNG", "png"), ("JP2OpenJPEG", "jp2")])
@pytest.mark.parametrize("count", [2, 4])
def test_alpha_of_a_picture_marks_pixels_without_data(tmp_path, driver, suffix, count):
    rasterio = pytest.importorskip("rasterio")
    from rasterio.shutil import copy

    source, path = tmp_path / "source.tif", tmp_path / f"image.{suffix}"
    image = np.random.default_rng(0).integers(0, 3, (count, 40, 50), np.uint8) * 100
    options = {"alpha": "YES"} | ({"photometric": "RGB"} if count == 4 else {})
    size = {"count": count, "height": 40, "width": 50, "dtype": "uint8"}
    with rasterio.open(source, "w", driver="GTiff", **size, **options) as dataset:
        dataset.write(image)
    exact = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver != "PNG" else {}
    copy(source, path, driver=driver, **exact)
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert raster.alpha == count and raster.masked
        assert np.array_equal(raster.read(), image)
        assert np.array_equal(raster.valid(), image[-1] != 0)
        assert np.array_equal(raster.valid(), dataset.dataset_mask() != 0)


def test_a_palette_jpeg_2000_gives_its_codes_and_its_colours(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    from rasterio.shutil import copy

    source, path = tmp_path / "source.tif", tmp_path / "codes.jp2"
    codes = np.random.default_rng(0).integers(0, 4, (1, 40, 50), np.uint8)
    size = {"count": 1, "height": 40, "width": 50, "dtype": "uint8"}
    with rasterio.open(source, "w", driver="GTiff", **size) as dataset:
        dataset.write(codes)
        dataset.write_colormap(1, {code: (*color, 255) for code, color in enumerate(COLORS)})
    copy(source, path, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert np.array_equal(raster.read(), codes) and np.array_equal(dataset.read(), codes)
        assert [raster.colormap[code] for code in range(4)] == COLORS
        assert dataset.colormap(1)[3][:3] == COLORS[3] and raster.alpha is None


def test_the_orientation_of_a_camera_turns_no_pixel(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    ramp = np.linspace(0, 255, 40 * 50).reshape(40, 50).astype(np.uint8)
    plain = imagecodecs.jpeg_encode(ramp, level=95)
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)  # turned by 90 degrees
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
    path = tmp_path / "turned.jpg"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert np.array_equal(raster.read(), dataset.read()) and raster.grid.height == 40


def test_the_inks_of_a_cmyk_jpeg_are_told(tmp_path):
    inks = np.random.default_rng(0).integers(0, 255, (16, 16, 4), np.uint8)
    path = tmp_path / "inks.jpg"
    path.write_bytes(imagecodecs.jpeg_encode(inks, colorspace="CMYK", outcolorspace="CMYK"))
    with geotiff.Raster(path) as raster:
        assert raster.count == 4 and raster.alpha is None
        assert "the inks cyan, magenta, yellow and black" in raster.remarks[0]


@pytest.mark.parametrize("depth", [1, 4, 8, 16])
def test_an_interlaced_png_is_read(tmp_path, depth):
    rasterio = pytest.importorskip("rasterio")
    # The seven passes of Adam7 over an image of 8 x 8: 1, 1, 2, 4, 8, 16 and 32 pixels.
    rows = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    rng = np.random.default_rng(0)
    lines = [rng.bytes(-(-n * depth // 8)) for count, n in rows for _ in range(count)]
    data = bytearray(png(lines, 8, depth, 0))
    data[16:29] = struct.pack(">IIBBBBB", 8, 8, depth, 0, 0, 0, 1)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path = tmp_path / "interlaced.png"
    path.write_bytes(data)
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert np.array_equal(raster.read(), dataset.read()) and raster.read().any()


def test_the_mask_at_the_end_of_a_jpeg_may_hold_the_marks_of_a_jpeg(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    noise = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    picture, bits = imagecodecs.jpeg_encode(noise), b"\xff\xda" * 64  # the mark of a scan
    path = tmp_path / "masked.jpg"
    path.write_bytes(picture + zlib.compress(bits, 0) + len(picture).to_bytes(4, "little"))
    with geotiff.Raster(path) as raster, rasterio.open(path) as dataset:
        assert raster.masked and np.array_equal(raster.valid(), dataset.dataset_mask() != 0)
        # 0xda is 11011010, and its lowest bit comes first.
        assert raster.valid()[0, 8:16].tolist() == [
            False,
            True,
            False,
            True,
            True,
            False,
            True,
            True,
        ]
