"""Small valid raster files of many kinds, and ways to damage them, for tests/bench/soak_rasters.py.

`originals` makes the files with rasterio, tifffile and imagecodecs. `mutate` changes the bytes of
one: blindly (bits, bytes, cut, moved and repeated pieces), or where the format keeps its structure
(the entries of a TIFF directory, the chunks of a PNG, the sizes of a JPEG).
"""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import rasterio
import tifffile
from rasterio.enums import ColorInterp

HEIGHT, WIDTH = 70, 90
EXTREMES = (0, 1, 2, 3, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31)
EXTREMES += (2**32 - 1, 2**32, 2**40, 2**60, 2**63 - 1, 2**63, 2**64 - 1)
GEOTIFFS = {  # name: (dtype, bands, options of rasterio)
    "strips": ("uint8", 1, {"blockysize": 16}),
    "one_strip": ("uint16", 2, {"blockysize": HEIGHT}),
    "deflate_tiles": ("uint16", 3, {"tiled": True, "compress": "DEFLATE", "predictor": 2}),
    "lzw_float": ("float32", 1, {"compress": "LZW", "predictor": 3, "blockysize": 16}),
    "zstd_planar": ("int16", 3, {"compress": "ZSTD", "interleave": "band", "blockysize": 16}),
    "jpeg_rgb": ("uint8", 3, {"tiled": True, "compress": "JPEG", "photometric": "YCBCR"}),
    "lerc": ("float32", 1, {"tiled": True, "compress": "LERC"}),
    "packbits": ("uint8", 1, {"compress": "PACKBITS", "blockysize": 16}),
    "lzma": ("uint8", 1, {"compress": "LZMA", "blockysize": 16}),
    "webp": ("uint8", 3, {"tiled": True, "compress": "WEBP"}),
    "bigtiff": ("uint8", 1, {"BIGTIFF": "YES", "compress": "DEFLATE", "tiled": True}),
    "big_endian": ("uint16", 1, {"ENDIANNESS": "BIG", "compress": "LZW", "blockysize": 16}),
    "one_bit": ("uint8", 1, {"NBITS": 1, "compress": "DEFLATE"}),
    "sparse": ("uint8", 1, {"SPARSE_OK": "TRUE", "tiled": True}),
    "palette": ("uint8", 1, {"photometric": "PALETTE", "compress": "DEFLATE"}),
    "alpha": ("uint8", 4, {"photometric": "RGB", "ALPHA": "YES", "compress": "DEFLATE"}),
    "masked": ("uint8", 3, {"compress": "JPEG", "tiled": True}),
    "cog": ("uint8", 1, {"driver": "COG", "blocksize": 128}),
}
PLACE = {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}


def originals(folder: Path) -> dict[str, bytes]:
    """Make the files in a folder; return {name: bytes}. The suffix of a name is its format."""
    random = np.random.default_rng(0)
    for name, (dtype, count, options) in GEOTIFFS.items():
        side = 4 if name == "cog" else 1
        pixels = _pixels(random, dtype, count, HEIGHT * side, WIDTH * side)
        _write_geotiff(folder / f"{name}.tif", pixels, options)
    pages = _pixels(random, "uint16", 4, HEIGHT, WIDTH)
    tifffile.imwrite(folder / "pages.tif", pages, photometric="minisblack")
    rgb = np.ascontiguousarray(_pixels(random, "uint8", 3, HEIGHT, WIDTH).transpose(1, 2, 0))
    pictures = {
        "rgb.png": imagecodecs.png_encode(rgb),
        "grey16.png": imagecodecs.png_encode(rgb[..., 0].astype(np.uint16) * 200),
        "rgb.jpg": imagecodecs.jpeg8_encode(rgb),
        "grey.jpg": imagecodecs.jpeg8_encode(np.ascontiguousarray(rgb[..., 0])),
        "rgb.jp2": imagecodecs.jpeg2k_encode(rgb, codecformat="jp2", reversible=True),
        "grey.j2k": imagecodecs.jpeg2k_encode(rgb[..., 0], codecformat="j2k", level=40),
    }
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    with rasterio.open(
        folder / "codes.png", "w", driver="PNG", dtype="uint8", count=1, height=HEIGHT, width=WIDTH
    ) as dataset:
        dataset.write(rgb[..., 0] % 8, 1)
        dataset.write_colormap(1, {code: (code * 30, 0, 255) for code in range(8)})
    plain = (folder / "rgb.png").read_bytes()
    profile = _chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(200)))
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"text" * 500))
    (folder / "chunks.png").write_bytes(plain[:33] + profile + text + plain[33:])
    suffixes = (".tif", ".png", ".jpg", ".jp2", ".j2k")
    found = sorted(path for path in folder.iterdir() if path.suffix in suffixes)
    return {path.name: path.read_bytes() for path in found}


def mutate(data: bytes, name: str, random: np.random.Generator) -> bytes:
    """Damage a file in one to three ways."""
    structured = {"tif": _tag, "png": _png, "jpg": _jpeg_size, "jp2": _number, "j2k": _number}
    for _ in range(random.choice([1, 1, 1, 2, 2, 3])):
        if random.random() < 0.5:
            data = structured.get(name.rpartition(".")[2], _number)(data, random)
        else:
            data = BLIND[random.integers(len(BLIND))](data, random)
    return data


def _pixels(random, dtype: str, count: int, height: int, width: int) -> np.ndarray:
    """Patches of equal values with some noise: (count, height, width) of a dtype."""
    patches = random.integers(0, 200, (count, height // 10, width // 10))
    image = patches.repeat(10, 1).repeat(10, 2)
    return (image + random.integers(0, 5, image.shape)).astype(dtype)


def _write_geotiff(path: Path, pixels: np.ndarray, options: dict) -> None:
    """Write a GeoTIFF with georeference, a no-data value and names of bands."""
    options = {"driver": "GTiff", "nodata": 0, **PLACE, **options}
    if options.get("tiled"):
        options |= {"blockxsize": 32, "blockysize": 32}
    if "NBITS" in options:
        pixels = pixels % 2
    count, height, width = pixels.shape
    options |= {"dtype": pixels.dtype, "count": count, "height": height, "width": width}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **options) as dataset,
    ):
        if path.stem == "sparse":
            dataset.write(pixels[:, :32, :32], window=((0, 32), (0, 32)))
        else:
            dataset.write(pixels)
        dataset.descriptions = [f"band {number}" for number in range(1, count + 1)]
        if path.stem == "palette":
            dataset.write_colormap(1, {code: (code, 255 - code, 7) for code in range(256)})
        if path.stem == "masked":
            dataset.write_mask(np.uint8(255) * (pixels[0] > 50))
        if path.stem == "alpha":
            dataset.colorinterp = [*dataset.colorinterp[:3], ColorInterp.alpha]


def _span(data: bytes, random, longest: int = 200) -> tuple[int, int]:
    """A random piece of the file: its start and end."""
    start = int(random.integers(0, max(1, len(data))))
    return start, min(len(data), start + int(random.integers(1, longest)))


def _flip(data: bytes, random) -> bytes:
    """Flip up to eight bits."""
    out = bytearray(data)
    for at in random.integers(0, len(out), random.integers(1, 9)) if out else ():
        out[at] ^= 1 << int(random.integers(8))
    return bytes(out)


def _fill(data: bytes, random) -> bytes:
    """Overwrite a piece with 0, 255 or noise."""
    start, end = _span(data, random)
    noise = random.bytes(end - start)
    pieces = bytes(end - start), b"\xff" * (end - start), noise
    return data[:start] + pieces[random.integers(3)] + data[end:]


def _number(data: bytes, random) -> bytes:
    """Overwrite 1 to 8 bytes by an extreme number, mostly near the head of the file."""
    size, order = (1, 2, 4, 8)[random.integers(4)], ("little", "big")[random.integers(2)]
    near = 200 if random.random() < 0.7 else max(1, len(data))
    at, value = int(random.integers(near)), EXTREMES[random.integers(len(EXTREMES))]
    packed = (value % 256**size).to_bytes(size, order)
    return data[:at] + packed + data[at + size :]


def _cut(data: bytes, random) -> bytes:
    """Cut the end off."""
    return data[: random.integers(0, max(1, len(data)))]


def _remove(data: bytes, random) -> bytes:
    """Remove a piece."""
    start, end = _span(data, random)
    return data[:start] + data[end:]


def _repeat(data: bytes, random) -> bytes:
    """Insert a copy of a piece elsewhere."""
    start, end = _span(data, random)
    at, _ = _span(data, random)
    return data[:at] + data[start:end] + data[at:]


def _insert(data: bytes, random) -> bytes:
    """Insert noise."""
    at, end = _span(data, random)
    return data[:at] + random.bytes(end - at) + data[at:]


BLIND = (_flip, _fill, _number, _cut, _remove, _repeat, _insert)


def _tag(data: bytes, random) -> bytes:
    """Change the tag, type, count or value of an entry in a directory, or the next directory."""
    order, big = "<" if data[:2] == b"II" else ">", data[2:3] == b"+" or data[3:4] == b"+"
    pointer, number, entry = ("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")
    room, side = struct.calcsize(f"={entry}"), struct.calcsize(f"={pointer}")
    out = bytearray(data)
    try:
        (at,) = struct.unpack_from(order + pointer, data, 8 if big else 4)
        for _ in range(random.integers(0, 3)):  # mostly the first directory
            (count,) = struct.unpack_from(order + number, data, at)
            behind = at + struct.calcsize(f"={number}") + count * room
            (following,) = struct.unpack_from(order + pointer, data, behind)
            at = following or at
        (count,) = struct.unpack_from(order + number, data, at)
        first = at + struct.calcsize(f"={number}")
        if random.random() < 0.05:  # the next directory: itself, or anywhere
            target = int((at, random.integers(len(data)), 2**32 - 1)[random.integers(3)])
            struct.pack_into(order + pointer, out, first + count * room, target)
            return bytes(out)
        where = first + int(random.integers(count)) * room
        fields = list(struct.unpack_from(order + entry, data, where))
        other = struct.unpack_from(order + entry, data, first + int(random.integers(count)) * room)
        field = random.integers(4)
        extreme = EXTREMES[random.integers(len(EXTREMES))] % 256**side
        near = (fields[field] + int(random.integers(-3, 4))) % 256**side
        value = (extreme, near, other[field], int(random.integers(19)))[random.integers(4)]
        fields[field] = value % (65536 if field < 2 else 256**side)
        struct.pack_into(order + entry, out, where, *fields)
    except (struct.error, ValueError, OverflowError, IndexError):
        return _flip(data, random)
    return bytes(out)


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(data: bytes, random) -> bytes:
    """Change a chunk of a PNG and correct its checksum."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return _flip(data, random)
    chosen = random.integers(len(chunks))
    kind, body = chunks[chosen]
    change = (_flip, _number, _cut, _insert)[random.integers(4)]
    if random.random() < 0.2:
        kind = (b"tRNS", b"gAMA", b"iCCP", b"PLTE", b"sBIT", b"IDAT")[random.integers(6)]
    chunks[chosen] = kind, change(body, random)
    return data[:8] + b"".join(_chunk(*chunk) for chunk in chunks)


def _jpeg_size(data: bytes, random) -> bytes:
    """Change the height or the width in the frame header of a JPEG."""
    at = max(data.find(mark) for mark in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2"))
    if at < 0:
        return _flip(data, random)
    where = at + 5 + 2 * int(random.integers(2))
    value = int((random.integers(65536), 65535, 1, 0)[random.integers(4)])
    return data[:where] + struct.pack(">H", value) + data[where + 2 :]
