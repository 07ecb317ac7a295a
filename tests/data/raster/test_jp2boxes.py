"""Boxes of JPEG 2000: by hand, then each kind as rasterio writes and reads it, then damage."""

import io
import random
import struct

import numpy as np
import pytest
import tifffile
from pyproj import CRS

from data.grid import IDENTITY, Grid
from data.raster import cog, georeference, jp2boxes
from data.raster.geotiff import Raster
from data.raster.jp2boxes import GEOJP2, MSIG

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 6_000_000.0)
GML = """<g:FeatureCollection xmlns:g="http://www.opengis.net/gml"><g:RectifiedGrid>{axes}
<g:origin><g:Point srsName="{crs}"><g:pos>{origin}</g:pos></g:Point></g:origin>
<g:offsetVector>{column}</g:offsetVector><g:offsetVector>{row}</g:offsetVector>
</g:RectifiedGrid></g:FeatureCollection>"""


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def gml_box(text: str, label: bytes = b"gml.root-instance\0") -> bytes:
    inner = box(b"asoc", box(b"lbl ", label) + box(b"xml ", text.encode() + b"\0"))
    return box(b"asoc", box(b"lbl ", b"gml.data") + inner)


def gml(crs: str, origin: str, column: str, row: str, axes: str = "") -> str:
    return GML.format(crs=crs, origin=origin, column=column, row=row, axes=axes)


def read(tmp_path, content: bytes):
    path = tmp_path / "a.jp2"
    path.write_bytes(box(b"jP  ", b"\r\n\x87\n") + content)
    (crs, transform, tags), remarks = jp2boxes.read(path)
    assert not tags or georeference.decode(tags) == (crs, transform, tags)
    return crs, transform, remarks


UTM = gml("urn:ogc:def:crs:EPSG::32633", "500005 5999995", "10 0", "0 -10")


def test_the_origin_of_gml_is_the_centre_of_the_first_pixel(tmp_path):
    assert read(tmp_path, gml_box(UTM)) == (CRS(32633), NORTH_UP, [])


@pytest.mark.parametrize(
    "name", ["urn:ogc:def:crs:EPSG::4326", "http://www.opengis.net/def/crs/EPSG/0/4326"]
)
def test_latitude_comes_first_where_the_crs_says_so(tmp_path, name):
    # The first pixel's centre is at 50.5 N, 10.25 E; a column further is 0.5 degrees further east.
    crs, transform, remarks = read(tmp_path, gml_box(gml(name, "50.5 10.25", "0 0.5", "-1 0")))
    assert crs == CRS(4326) and transform == (0.5, 0, 10, 0, -1, 51) and not remarks


def test_axis_names_and_codes_without_authority_keep_x_first(tmp_path):
    axes = "<g:axisName>Long</g:axisName><g:axisName>Lat</g:axisName>"
    numbers = "10.25 50.5", "0.5 0", "0 -1"
    for crs, names in (("urn:ogc:def:crs:EPSG::4326", axes), ("EPSG:4326", "")):
        assert read(tmp_path, gml_box(gml(crs, *numbers, names)))[1] == (0.5, 0, 10, 0, -1, 51)


def test_a_rotated_grid_of_gml(tmp_path):
    # Column vector (3, 4), row vector (1, -2): x = 3 col + row + c, y = 4 col - 2 row + f.
    text = gml("urn:ogc:def:crs:EPSG::32633", "102,201", "3 4", "1 -2")
    assert read(tmp_path, gml_box(text))[1] == (3, 1, 100, 4, -2, 200)


def test_a_comment_says_that_the_vectors_are_exchanged(tmp_path):
    comment = "<!-- GDAL_JP2K_ALT_OFFSETVECTOR_ORDER=TRUE -->"
    text = gml("urn:ogc:def:crs:EPSG::4326", "50.5 10.25", "-1 0", "0 0.5", comment)
    assert read(tmp_path, gml_box(text))[1] == (0.5, 0, 10, 0, -1, 51)


def test_the_crs_may_stand_at_the_envelope_or_at_the_grid(tmp_path):
    bare = UTM.replace(' srsName="urn:ogc:def:crs:EPSG::32633"', "")
    envelope = '<g:boundedBy><g:Envelope srsName="EPSG:32633"/></g:boundedBy><g:RectifiedGrid>'
    assert read(tmp_path, gml_box(bare.replace("<g:RectifiedGrid>", envelope)))[0] == CRS(32633)
    at_grid = bare.replace("<g:RectifiedGrid>", '<g:RectifiedGrid srsName="EPSG:32633">')
    assert read(tmp_path, gml_box(at_grid))[0] == CRS(32633)
    crs, transform, remarks = read(tmp_path, gml_box(bare))
    assert (crs, transform) == (None, NORTH_UP) and "CRS not understood" in remarks[0]


def test_sizes_of_64_bits_and_a_box_up_to_the_end(tmp_path):
    content = gml_box(UTM)
    long = struct.pack(">I4sQ", 1, b"asoc", len(content) + 8) + content[8:]
    assert read(tmp_path, box(b"free", b"12345") + long)[1] == NORTH_UP
    assert read(tmp_path, struct.pack(">I4s", 0, b"asoc") + content[8:])[1] == NORTH_UP


def test_the_numbers_of_a_world_file_in_an_msig_box(tmp_path):
    numbers = struct.pack("<6d", 10, 0, 0, -10, 500_005, 5_999_995)
    content = box(b"uuid", MSIG + b"MSIG/" + bytes(17) + numbers)
    assert read(tmp_path, content) == (None, NORTH_UP, [])
    assert (
        "MSIG box is damaged"
        in read(tmp_path, content[:-8].replace(content[:4], b"\0\0\0\0"))[2][0]
    )


@pytest.mark.parametrize(
    "text",
    ["<a>", "<a/>", UTM.replace("10 0", "10"), UTM.replace("0 -10", "0 0"), "<!DOCTYPE a><a/>"],
)
def test_gml_without_a_transform_is_told(tmp_path, text):
    crs, transform, remarks = read(tmp_path, gml_box(text))
    assert (crs, transform) == (None, IDENTITY) and "GML box is damaged" in remarks[0]


def test_a_damaged_geojp2_box_is_told_and_gml_is_used(tmp_path):
    _, transform, remarks = read(tmp_path, box(b"uuid", GEOJP2 + b"II*\0junk") + gml_box(UTM))
    assert transform == NORTH_UP and "GeoJP2 box is damaged" in remarks[0]


def test_another_label_is_no_georeference_and_zeros_between_lines_are_spaces(tmp_path):
    assert read(tmp_path, gml_box(UTM, b"other\0")) == (None, IDENTITY, [])
    assert read(tmp_path, gml_box(UTM.replace("\n", "\0")))[1] == NORTH_UP


def geojp2(tags: dict) -> bytes:
    file, types = io.BytesIO(), {georeference.DIRECTORY: 3}
    extratags = [(tag, types.get(tag, 12), len(value), value, True) for tag, value in tags.items()]
    tifffile.imwrite(file, np.zeros((1, 1), np.uint8), metadata=None, extratags=extratags)
    return box(b"uuid", GEOJP2 + file.getvalue())


def test_of_two_geojp2_boxes_the_one_with_a_crs_is_used(tmp_path):
    without = geojp2(georeference.encode(None, (1, 0, 7, 0, -1, 8)))
    whole = geojp2(georeference.encode(CRS(32633), NORTH_UP))
    assert read(tmp_path, without + whole) == (CRS(32633), NORTH_UP, [])


def test_a_transform_that_is_not_finite_is_told(tmp_path):
    tags = georeference.encode(CRS(32633), (1, 0, float("nan"), 0, -1, 8))
    crs, transform, remarks = read(tmp_path, geojp2(tags))
    assert (crs, transform) == (None, IDENTITY) and "GeoJP2 box is damaged" in remarks[0]


@pytest.mark.parametrize(
    "content",
    [b"", gml_box(UTM)[:-90], b"\0\0\0\4asoc", b"\xff\xff\xff\xffuuid", b"\0\0\0\1asoc\0"],
)
def test_boxes_that_cannot_be_end_the_search(tmp_path, content):
    assert read(tmp_path, content) == (None, IDENTITY, [])


def test_boxes_in_boxes_in_boxes_end(tmp_path):
    content = b""
    for _ in range(3000):
        content = box(b"asoc", content)
    assert read(tmp_path, content) == (None, IDENTITY, [])


def write_with_rasterio(path, crs, transform, **options) -> None:
    rasterio = pytest.importorskip("rasterio")
    shutil = pytest.importorskip("rasterio.shutil")
    source = path.with_suffix(".tif")
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8"}
    interpretation = options.pop("interpretation", "Area")
    with rasterio.open(
        source, "w", crs=crs, transform=rasterio.Affine(*transform), **profile
    ) as dataset:
        dataset.write(np.zeros((1, 64, 64), np.uint8))
        dataset.update_tags(AREA_OR_POINT=interpretation)
    shutil.copy(source, path, driver="JP2OpenJPEG", **options)
    path.with_suffix(".jp2.aux.xml").unlink(missing_ok=True)
    source.unlink()


@pytest.mark.parametrize("kind", ["GeoJP2", "GMLJP2"])
@pytest.mark.parametrize("epsg", [32633, 4326, 2180, 3035, 3031, 2193, 31467, 3857])
def test_each_box_is_read_as_rasterio_reads_it(tmp_path, kind, epsg):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "a.jp2"
    boxes = {name: "YES" if name == kind else "NO" for name in ("GeoJP2", "GMLJP2")}
    write_with_rasterio(path, f"EPSG:{epsg}", (0.5, 0, 10, 0, -0.25, 50), **boxes)
    with rasterio.open(path) as dataset, Raster(path) as raster:
        assert raster.grid.transform == dataset.transform[:6] == (0.5, 0, 10, 0, -0.25, 50)
        assert raster.grid.crs.to_epsg() == dataset.crs.to_epsg() == epsg
        assert raster.remarks == []


@pytest.mark.parametrize("transform", [NORTH_UP, (3.0, 1.0, 100.0, 4.0, -2.0, 200.0)])
def test_pixel_is_point_of_a_geojp2_box(tmp_path, transform):
    """GDAL 3.10 writes the second box right, and forgets the half pixel when it reads it."""
    path = tmp_path / "a.jp2"
    write_with_rasterio(path, "EPSG:32633", transform, interpretation="Point", GMLJP2="NO")
    with Raster(path) as raster:
        assert raster.grid.transform == transform and raster.grid.crs == CRS(32633)


def test_bytes_changed_at_random_are_told_or_change_nothing(tmp_path):
    path, generator, dot = tmp_path / "a.jp2", random.Random(3), np.zeros((1, 1), np.uint8)
    write_with_rasterio(path, "EPSG:4326", (0.5, 0, 10, 0, -0.25, 50))
    whole = path.read_bytes()
    end = whole.index(b"jp2c")
    for _ in range(60):
        changed = bytearray(whole)
        for at in generator.sample(range(12, end), 3):
            changed[at] = generator.randrange(256)
        path.write_bytes(changed[: generator.choice([end, len(changed)])])
        (crs, transform, tags), _ = jp2boxes.read(path)
        cog.write(tmp_path / "map.tif", dot, Grid(crs, transform, 1, 1), geo_tags=tags)
