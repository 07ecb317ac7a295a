"""Seven TIFF tags that place a raster on the ground: its affine transform and its GeoKeys.

    33550 ModelPixelScale       (width, height, depth) of a pixel
    33922 ModelTiepoint         (col, row, 0, x, y, z) of one known point, or of several
    34264 ModelTransformation   4 x 4 matrix in place of the two, for rotated and south-up rasters
    34735 GeoKeyDirectory       16-bit entries (key, tag, count, value) after a header of four
    34736 GeoDoubleParams       the numbers that entries of the directory point to
    34737 GeoAsciiParams        the texts that entries of the directory point to
    50844 RPCCoefficient        polynomials from longitude, latitude and height to pixels; only kept

If `tag` is 0, an entry of the directory holds its value itself. Otherwise the value is in tag 34736
or 34737: `count` numbers or bytes from position `value` on. geokeys.py converts the keys to a CRS.

Specification: OGC 19-008r4, GeoTIFF 1.1, section 7. Read tests/data/raster/test_georeference.py
beside this file.
"""

from __future__ import annotations

from pyproj import CRS

from data.grid import IDENTITY, Transform
from data.raster import geokeys
from data.raster.epsg import NotUnderstood

SCALE, TIEPOINT, MATRIX = 33550, 33922, 34264
DIRECTORY, DOUBLES, TEXTS = 34735, 34736, 34737
RPC = 50844
TAGS = (SCALE, TIEPOINT, MATRIX, DIRECTORY, DOUBLES, TEXTS, RPC)

RASTER_TYPE = 1025  # the key GTRasterType
AREA, POINT = 1, 2  # (0, 0) is the corner of the first pixel, or its centre


def decode(tags: dict) -> tuple[CRS | None, Transform, dict]:
    """Decode the CRS and the transform of a file.

    Args:
        tags: {tag: tuple of numbers, or bytes for TEXTS} for each of TAGS that the file has.

    Returns:
        The CRS, or None if there is none or it cannot be decoded; the transform, or the identity if
        there is none; and the tags to write to another file of the same grid. PixelIsPoint has been
        converted to PixelIsArea in the transform and in the tags.
    """
    keys = read_keys(tags)
    transform = _transform(tags)
    if transform is None:
        # Tie points without a scale are ground control points: their CRS is not that of the pixels.
        return None if TIEPOINT in tags else geokeys.decode(keys), IDENTITY, dict(tags)
    if keys.get(RASTER_TYPE) == POINT:
        transform, tags = _point_to_area(transform, tags)
    return geokeys.decode(keys), transform, dict(tags)


def crs_problem(tags: dict) -> str | None:
    """Return what is not understood of the CRS in the tags; None if it is, or if there is none."""
    try:
        geokeys.understand(read_keys(tags))
    except NotUnderstood as error:
        return str(error)
    return None


def encode(crs: CRS | None, transform: Transform) -> dict:
    """Encode a CRS and a transform as tags; an empty dict if there is neither."""
    tags = {} if transform == IDENTITY else _transform_tags(transform)
    if crs is None:
        return tags
    entries, texts = [], b""
    for key, value in sorted({RASTER_TYPE: AREA, **geokeys.encode(crs)}.items()):
        if isinstance(value, str):
            text = value.encode() + b"|"
            entries += [int(key), TEXTS, len(text), len(texts)]
            texts += text
        else:
            entries += [int(key), 0, 1, value]
    tags[DIRECTORY] = (1, 1, 0, len(entries) // 4, *entries)
    if texts:
        tags[TEXTS] = texts
    return tags


def from_centre(transform: Transform) -> Transform:
    """Move a transform of which (c, f) is the centre of the first pixel to its corner."""
    a, b, c, d, e, f = transform
    return a, b, c - (a + b) / 2, d, e, f - (d + e) / 2


def moved(tags: dict, transform: Transform) -> dict:
    """Replace the transform of tags. Their CRS stays, also one that cannot be decoded."""
    kept = {tag: tags[tag] for tag in (DIRECTORY, DOUBLES, TEXTS) if tag in tags}
    directory = list(kept.get(DIRECTORY, ()))
    for at in range(4, len(directory) - 3, 4):
        if directory[at] == RASTER_TYPE:
            directory[at + 3] = AREA
    if directory:
        kept[DIRECTORY] = tuple(directory)
    return encode(None, transform) | kept


def read_keys(tags: dict) -> dict[int, int | float | str | tuple]:
    """Return the GeoKeys {number: value}; an entry that points outside its tag is left out."""
    directory, keys = tags.get(DIRECTORY, ()), {}
    for at in range(4, len(directory) - 3, 4):
        key, tag, count, value = directory[at : at + 4]
        content = tags.get(tag, ())[value : value + count]
        if tag == 0:
            keys[key] = value
        elif tag == TEXTS and content:
            keys[key] = content.rstrip(b"|\0 ").decode("utf-8", "replace")
        elif tag == DOUBLES and content:
            keys[key] = content[0] if count == 1 else tuple(content)
    return keys


def _transform(tags: dict) -> Transform | None:
    """The transform of scale and tie point, else of the matrix, else None."""
    scale, tiepoint, matrix = (tags.get(tag, ()) for tag in (SCALE, TIEPOINT, MATRIX))
    if len(scale) >= 2 and scale[0] and scale[1]:
        if len(tiepoint) < 6:
            return None  # GDAL ignores a matrix beside a scale, too
        col, row, _, x, y, _ = tiepoint[:6]
        # A negative height should mean south-up. In practice it comes from writers that store the
        # negative coefficient e of a north-up transform. GDAL ignores the sign, too.
        a, e = scale[0], -abs(scale[1])
        return (a, 0.0, x - col * a, 0.0, e, y - row * e)
    if len(matrix) == 16 and matrix[0] * matrix[5] != matrix[1] * matrix[4]:
        return (matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7])
    return None


def _transform_tags(transform: Transform) -> dict:
    """The inverse of `_transform`."""
    a, b, c, d, e, f = transform
    if b == 0 and d == 0 and a > 0 and e < 0:
        return {SCALE: (a, -e, 0.0), TIEPOINT: (0.0, 0.0, 0.0, c, f, 0.0)}
    return {MATRIX: (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)}


def _point_to_area(transform: Transform, tags: dict) -> tuple[Transform, dict]:
    """Move the transform from the centre of the first pixel to its corner, and the tags with it."""
    transform = from_centre(transform)
    return transform, moved(tags, transform)
