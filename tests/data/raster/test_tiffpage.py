"""data/raster/tiffpage.py: headers that lie are refused in one line, before memory is allocated."""

import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from data.files import InputError
from data.raster import Raster, claims

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

ROOT = Path(__file__).parents[3]
BYTE, ASCII, SHORT, LONG, RATIONAL, SLONG, FLOAT, DOUBLE, LONG8 = 1, 2, 3, 4, 5, 9, 11, 12, 16
FORMATS = dict(zip((BYTE, ASCII, SHORT, LONG, SLONG, FLOAT, DOUBLE, LONG8), "BBHIifdQ"))
PIXELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
GEO = {  # UTM zone 33 N, pixels of 10 m
    33550: (DOUBLE, (10, 10, 0)),
    33922: (DOUBLE, (0, 0, 0, 500000, 5400000, 0)),
    34735: (SHORT, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)),
}


def tiff(data: bytes = PIXELS.tobytes(), big: bool = False, **tags) -> bytes:
    """A TIFF of 16 x 16 bytes in one strip. `t273=(LONG, [8])` sets tag 273; None leaves it out."""
    entries = {
        256: (LONG, [16]),
        257: (LONG, [16]),
        258: (SHORT, [8]),
        259: (SHORT, [1]),
        262: (SHORT, [1]),
        273: (LONG, [16 if big else 8]),
        277: (SHORT, [1]),
        278: (LONG, [16]),
        279: (LONG, [len(data)]),
        **GEO,
        **{int(name[1:]): entry for name, entry in tags.items()},
    }
    entries = {code: entry for code, entry in sorted(entries.items()) if entry}
    number, field, pointer, room = ("<Q", "<HHQ", "<Q", 8) if big else ("<H", "<HHI", "<I", 4)
    start = (16 if big else 8) + len(data)
    table, values = struct.pack(number, len(entries)), b""
    behind = start + len(table) + len(entries) * (struct.calcsize(field) + room) + room
    for code, (kind, content) in entries.items():
        packed = struct.pack(f"<{len(content)}{FORMATS[kind]}", *content)
        table += struct.pack(field, code, kind, len(content))
        if len(packed) <= room:
            table += packed.ljust(room, b"\0")
        else:
            table += struct.pack(pointer, behind + len(values))
            values += packed
    head = struct.pack("<2sHI", b"II", 42, start)
    if big:
        head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start)
    return head + data + table + bytes(room) + values


def tiled(side: int, offset: int = 8, **tags) -> dict:
    """Tags of one tile in place of a strip."""
    size = (LONG, [256]) if offset else (LONG, [0])
    strips = {"t273": None, "t278": None, "t279": None}
    tile = {"t322": (LONG, [side]), "t323": (LONG, [side]), "t324": (LONG, [offset]), "t325": size}
    return {**strips, **tile, **tags}


def refusal(path: Path) -> str:
    """The error for a file that is opened and read, without the file's name."""
    with pytest.raises(InputError) as caught, Raster(path) as raster:
        raster.read()
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "; " in text and "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("big", [False, True])
def test_the_file_without_a_change_is_read(tmp_path, big):
    path = tmp_path / "plain.tif"
    path.write_bytes(tiff(big=big))
    with Raster(path) as raster:
        assert np.array_equal(raster.read()[0], PIXELS)
        assert raster.grid.crs.to_epsg() == 32633


WRONG = {
    "no bands": ({"t277": (SHORT, [0])}, "0 bands"),
    "two numbers of bands": ({"t277": (SHORT, [1, 1])}, "not a readable TIFF"),
    "no rows": ({"t257": (LONG, [0])}, "16 x 0 pixels"),
    "tile of no pixels": (tiled(0), "16 x 16 pixels in blocks of"),
    "two tile widths": (tiled(16) | {"t322": (LONG, [16, 16])}, "tilewidth is not one number"),
    "layout 7": ({"t284": (SHORT, [7])}, "in layout 7"),
    "float offset": ({"t273": (FLOAT, [8.0])}, "tag 273 has values of the wrong type FLOAT"),
    "negative offset": ({"t273": (SLONG, [-8])}, "offset in its table of blocks is negative"),
    "offset behind the end": ({"t273": (LONG, [2**32 - 1])}, "block 0 lies beyond the end"),
    "text for a number": ({"t256": (ASCII, b"16\0")}, "tag 256 has values of the wrong type ASCII"),
    "text for geo keys": ({"t34735": (ASCII, b"abcdefgh\0")}, "tag 34735 .* wrong type ASCII"),
    "number for no-data": ({"t42113": (DOUBLE, [5.0])}, "tag 42113 .* wrong type DOUBLE"),
    "bytes for no-data": ({"t42113": (BYTE, b"5\0")}, "tag 42113 .* wrong type BYTE"),
    "text for a scale": ({"t33550": (ASCII, b"10 10 0\0")}, "tag 33550 .* wrong type ASCII"),
    "too few strips": ({"t278": (LONG, [8])}, "its table of blocks has not all 2"),
    "a giant image": ({f"t{t}": (LONG, [2**31 - 1]) for t in (256, 257, 278)}, "beyond the end"),
    "short deflate": (
        {"t259": (SHORT, [8]), "t256": (LONG, [65535]), "t279": (LONG, [99])},
        "block 0 has 99 bytes, too few for 1,048,560 bytes of pixels",
    ),
    "a giant tile": (tiled(65536, t259=(SHORT, [8])), "a block of 65,536 x 65,536 pixels is more"),
    "a giant empty tile": (tiled(65536, 0), "a block of 65,536 x 65,536 pixels is more"),
    "a giant empty strip": (
        {f"t{t}": (LONG, [2**31 - 1]) for t in (256, 257, 278)} | {"t273": (LONG, [0])},
        "a block of 2,147,483,647 x 2,147,483,647 pixels is more than the 2 GiB",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_header_that_lies_is_refused_in_one_line(tmp_path, name):
    tags, expected = WRONG[name]
    path = tmp_path / "odd.tif"
    path.write_bytes(tiff(**tags))
    with pytest.raises(InputError, match=expected), Raster(path):
        pass
    refusal(path)


@pytest.mark.parametrize("size", [3 * 2**30, 2**60, 2**64 - 1])
def test_a_block_is_not_allocated_by_its_claimed_size(tmp_path, size):
    path = tmp_path / "odd.tif"
    path.write_bytes(tiff(big=True, t259=(SHORT, [8]), t279=(LONG8, [size])))
    assert "block 0 lies beyond the end of the file" in refusal(path)


@pytest.mark.parametrize("size", [0, 10, 5000, 2**32 - 1])
def test_an_uncompressed_strip_has_the_size_of_its_pixels_as_in_gdal(tmp_path, size):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "odd.tif"
    path.write_bytes(tiff(t279=(LONG, [size])))
    with Raster(path) as raster, rasterio.open(path) as theirs:
        assert np.array_equal(raster.read(), theirs.read())
        assert np.array_equal(raster.read()[0], PIXELS)


def test_a_sparse_file_of_one_strip_is_read_by_the_window(tmp_path):
    path = tmp_path / "sparse.tif"
    side = {f"t{tag}": (LONG, [40_000]) for tag in (256, 257, 278)}
    path.write_bytes(tiff(**side, t273=(LONG, [0]), t279=(LONG, [0])))
    with Raster(path) as raster:
        assert raster.block_shape == (6, 40_000)  # 2**18 bytes
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert not raster.read((39_900, 39_900, 100, 100)).any()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2**27


def test_an_empty_tile_takes_the_memory_of_the_window(tmp_path):
    path = tmp_path / "sparse.tif"
    side = {f"t{tag}": (LONG, [40_000]) for tag in (256, 257)}
    path.write_bytes(tiff(**side, **tiled(40_000, 0), t42113=(ASCII, b"7\0")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Raster(path) as raster:
        assert (raster.read((20_000, 20_000, 100, 100)) == 7).all()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2**27


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit the address space")
def test_hostile_files_need_less_than_a_gibibyte_of_address_space(tmp_path):
    hostile = {
        "count.tif": tiff(t259=(SHORT, [8]), t279=(LONG, [3 * 2**30])),
        "tile.tif": tiff(**tiled(65536, t259=(SHORT, [8]))),
        "strip.tif": tiff(**{f"t{t}": (LONG, [2**31 - 1]) for t in (256, 257, 278)}),
    }
    for name, content in hostile.items():
        (tmp_path / name).write_bytes(content)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "from data.raster import Raster\nfrom data.files import InputError\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        Raster(path)\n"
        "    except InputError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *(str(tmp_path / name) for name in hostile)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stderr == "" and done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all(name in line for name, line in zip(hostile, lines))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "compression", ["NONE", "DEFLATE", "LZW", "PACKBITS", "ZSTD", "LZMA", "LERC", "JPEG", "WEBP"]
)
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 1024, "blockysize": 1024}])
def test_an_image_of_one_value_is_no_lie_however_well_it_compresses(
    tmp_path, compression, dtype, layout
):
    rasterio = pytest.importorskip("rasterio")
    if compression in ("JPEG", "WEBP") and dtype != "uint8":
        pytest.skip("of bytes only")
    path, count = tmp_path / "flat.tif", 3 if compression == "WEBP" else 1
    image = np.full((count, 1100, 1300), 9, dtype)
    profile = {"driver": "GTiff", "count": count, "height": 1100, "width": 1300, "dtype": dtype}
    profile |= layout or {"blockysize": 1100}
    with rasterio.open(path, "w", **profile, compress=compression) as dataset:
        dataset.write(image)
    with Raster(path) as raster:
        # WebP of GDAL is lossy.
        assert np.abs(raster.read() - 9.0).max() <= (4 if compression == "WEBP" else 0)


def test_the_longest_matches_of_deflate_are_within_the_bound(tmp_path):
    data, side = zlib.compress(bytes(4096**2), 9), (LONG, [4096])
    assert 1020 < 4096**2 / len(data) < claims.DEFLATE_RATIO
    path = tmp_path / "flat.tif"
    path.write_bytes(tiff(data, t256=side, t257=side, t278=side, t259=(SHORT, [8])))
    with Raster(path) as raster:
        assert not raster.read().any()


def test_a_loop_of_pages_ends(tmp_path):
    content = bytearray(tiff())
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    path = tmp_path / "loop.tif"
    path.write_bytes(content)
    try:
        with Raster(path) as raster:
            assert np.array_equal(raster.read()[0], PIXELS)
    except InputError as error:
        assert "loop.tif" in str(error)
