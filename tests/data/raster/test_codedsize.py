"""data/raster/codedsize.py: the size of coded images, and claims that their bytes cannot hold."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from data.files import InputError
from data.raster import Raster, codedsize
from data.raster.claims import Damaged

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
CODED = {
    "jpeg": imagecodecs.jpeg8_encode(IMAGE),
    "png": imagecodecs.png_encode(IMAGE),
    "jpeg2000": imagecodecs.jpeg2k_encode(IMAGE, codecformat="jp2"),
    "webp": imagecodecs.webp_encode(IMAGE, level=80, lossless=False),
    "lerc": imagecodecs.lerc_encode(IMAGE[..., 0]),
}


def test_the_beginning_of_a_jpeg2000_is_judged_by_the_length_of_its_file():
    """4,096 tiles of 14 bytes at least need 57,344 bytes."""
    data = jpeg2000_of((64, 64), (1, 1))
    assert codedsize.of_jpeg2000(data, 57_344)[:2] == (64, 64)
    with pytest.raises(Damaged, match="4,096 tiles, which the file cannot hold"):
        codedsize.of_jpeg2000(data, 57_343)


@pytest.mark.parametrize("name", CODED)
def test_the_size_of_a_coded_image_is_that_of_its_pixels(name):
    size = getattr(codedsize, f"of_{name}")(CODED[name])
    assert size[:2] == (70, 90)
    if name in ("jpeg", "png", "jpeg2000"):
        assert size.pixel_bytes == 3


def test_a_lossless_and_an_extended_webp_have_their_size_elsewhere():
    lossless = imagecodecs.webp_encode(IMAGE, lossless=True)
    assert lossless[12:16] == b"VP8L" and codedsize.of_webp(lossless)[:2] == (70, 90)
    translucent = np.concatenate([IMAGE, IMAGE[..., :1]], axis=2)
    extended = imagecodecs.webp_encode(translucent, level=80, lossless=False)
    assert extended[12:16] == b"VP8X" and codedsize.of_webp(extended)[:2] == (70, 90)


@pytest.mark.parametrize("name", CODED)
def test_a_header_that_is_cut_off_has_no_size(name):
    for end in range(0, 26):
        try:
            found = getattr(codedsize, f"of_{name}")(CODED[name][:end])
        except Damaged:
            continue
        assert found is None  # LERC of another version


def jpeg_of(height: int, width: int) -> bytes:
    """A JPEG of 16 x 16 grey pixels whose frame header claims another size."""
    data = bytearray(imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8)))
    struct.pack_into(">HH", data, data.find(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def png_of(height: int, width: int, body: bytes = b"\0" * 100) -> bytes:
    """A PNG of 8-bit greys with any size and pixels."""
    chunks = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    parts = [chunks, (b"IDAT", zlib.compress(body, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def jpeg2000_of(image: tuple[int, int], tile: tuple[int, int]) -> bytes:
    """A codestream of 64 x 64 pixels whose header claims another image and other tiles."""
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k"))
    at = data.find(b"\xff\x51")
    struct.pack_into(">II", data, at + 6, *image)
    struct.pack_into(">II", data, at + 22, *tile)
    return bytes(data)


HOSTILE = {
    "giant.png": (png_of(100_000, 100_000), "100,000 x 100,000 pixels, which the file cannot hold"),
    "claims.png": (  # its IDAT chunk claims 2 GiB
        png_of(60_000, 60_000).replace(
            struct.pack(">I", len(zlib.compress(bytes(100), 9))) + b"IDAT", b"\x7f\xff\xff\xffIDAT"
        ),
        "60,000 x 60,000 pixels, which the file cannot hold",
    ),
    "wider.png": (png_of(1, 2_000_000, bytes(2_000_001)), "claims 2,000,000 x 1 pixels"),
    "empty.png": (png_of(0, 10), "claims 10 x 0 pixels"),
    "giant.jpg": (jpeg_of(65_535, 65_535), "65,535 x 65,535 pixels, which the file cannot hold"),
    "empty.jpg": (jpeg_of(16, 0), "claims 0 x 16 pixels"),
    "giant.jp2": (jpeg2000_of((90_000, 90_000), (90_000, 90_000)), "more than the 4 GiB"),
    "tiles.jp2": (jpeg2000_of((64, 64), (1, 1)), "4,096 tiles, which the file cannot hold"),
    "zero.jp2": (jpeg2000_of((64, 64), (0, 64)), "tiles without pixels"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_that_claims_what_it_cannot_hold_is_refused_by_name(tmp_path, capfd, name):
    content, expected = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: .*{expected}.*; "):
        Raster(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_a_picture_of_one_value_is_no_lie(tmp_path):
    flat = np.full((2000, 2500), 7, np.uint8)
    for name, data in {
        "flat.png": imagecodecs.png_encode(flat, level=9),
        "flat.jpg": imagecodecs.jpeg8_encode(flat),
        "flat.jp2": imagecodecs.jpeg2k_encode(flat, reversible=True),
    }.items():
        (tmp_path / name).write_bytes(data)
        with Raster(tmp_path / name) as raster:
            assert (raster.read() == 7).all(), name


@pytest.mark.parametrize("compression", [7, 34712, 34887, 34933, 50001])
def test_a_block_holds_no_larger_image_than_it_is(tmp_path, compression):
    large = np.zeros((3000, 3000), np.uint8)
    coded = {
        7: lambda: imagecodecs.jpeg8_encode(large),
        34712: lambda: imagecodecs.jpeg2k_encode(large, codecformat="j2k", reversible=True),
        34887: lambda: imagecodecs.lerc_encode(large),
        34933: lambda: imagecodecs.png_encode(large),
        50001: lambda: imagecodecs.webp_encode(np.zeros((3000, 3000, 3), np.uint8), level=1),
    }[compression]()
    path = tmp_path / "odd.tif"
    block = np.zeros((16, 16, 3) if compression == 50001 else (16, 16), np.uint8)
    tifffile.imwrite(path, block, metadata=None)
    content = path.read_bytes()
    path.write_bytes(content + coded)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tags = tif.pages.first.tags
        tags[273].overwrite((len(content),))
        tags[279].overwrite((len(coded),))
        tags[259].overwrite(compression)
    with (
        pytest.raises(InputError, match="odd.tif: block 0 .*3,000 x 3,000 pixels in a block of 16"),
        Raster(path) as raster,
    ):
        raster.read()


def test_warnings_of_libpng_do_not_reach_the_terminal(tmp_path, capfd, caplog):
    profile = b"iCCP" + b"profile\0\0" + zlib.compress(b"no profile" * 20)
    chunk = struct.pack(">I", len(profile) - 4) + profile + struct.pack(">I", zlib.crc32(profile))
    comment = b"\0\0\0\4tEXtabcd" + b"wrong checksum"[:4]
    plain, path = CODED["png"], tmp_path / "odd.png"
    path.write_bytes(plain[:33] + chunk + comment + plain[33:])
    with Raster(path) as raster:
        assert np.array_equal(raster.read(), IMAGE.transpose(2, 0, 1))
    path.write_bytes(png_of(9, 9, b"\0" * 9_000))  # more pixels than the image has
    with Raster(path) as raster:
        assert raster.read().shape == (1, 9, 9)
    # imagecodecs logs what libpng says. Without a handler, logging prints it.
    assert capfd.readouterr() == ("", "") and caplog.records == []


def test_a_frame_header_is_found_behind_other_segments_and_fill_bytes():
    plain = jpeg_of(20, 30)
    comment = b"\xff\xfe\0\x0b\xff\xc0\0\x11\x08\0\x01\0\x01"  # looks like a frame header
    data = plain[:2] + comment + b"\xff\xff" + plain[2:]
    assert codedsize.of_jpeg(data) == (20, 30, 1)
