"""Files .aux.xml: each element by hand, damage and hostile XML, then GDAL as a writer."""

import time

import numpy as np
import pytest
from pyproj import CRS

from data.raster import auxxml, xmltree

WKT = CRS(32633).to_wkt("WKT1_ESRI").replace('"', "&quot;")


def read(tmp_path, text: str | bytes) -> auxxml.Aux:
    path = tmp_path / "a.tif.aux.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return auxxml.read(path)


def dataset(elements: str) -> str:
    return f"<PAMDataset>{elements}</PAMDataset>"


def test_the_transform_has_the_order_of_gdal(tmp_path):
    # x = 500000 + 10 col + 1 row, y = 6000000 + 2 col - 20 row
    text = "<GeoTransform>5e5, 10, 1, 6e6, 2, -20</GeoTransform>"
    assert read(tmp_path, dataset(text)).transform == (10, 1, 500_000, 2, -20, 6_000_000)


@pytest.mark.parametrize(
    "numbers", ["1,2,3", "5,a,0,6,0,-1", "5,nan,0,6,0,-1", "5,0,0,6,0,0", "5 1 0 6 0 -1"]
)
def test_six_numbers_that_are_no_transform_are_told(tmp_path, numbers):
    aux = read(tmp_path, dataset(f"<SRS>EPSG:4326</SRS><GeoTransform>{numbers}</GeoTransform>"))
    assert aux.transform is None and aux.srs == "EPSG:4326"
    assert len(aux.remarks) == 1 and "damaged" in aux.remarks[0]


@pytest.mark.parametrize(
    "text", ["EPSG:32633", WKT.replace("&quot;", '"'), CRS(32633).to_wkt(), CRS(32633).to_json()]
)
def test_a_crs_may_be_a_code_or_a_wkt(text):
    remarks: list[str] = []
    assert auxxml.crs(text, remarks).to_epsg() == 32633 and not remarks


@pytest.mark.parametrize("text", ["", "EPSG:99999", "nonsense", 'LOCAL_CS["x",UNIT["m",1]]'])
def test_a_crs_that_is_not_understood_is_told(text):
    remarks: list[str] = []
    assert auxxml.crs(text, remarks) is None
    assert remarks[0].startswith("CRS not understood: ")


def test_what_is_told_of_bands(tmp_path):
    aux = read(
        tmp_path,
        dataset(
            '<Metadata><MDI key="season">dry</MDI><MDI key="AREA_OR_POINT">Point</MDI></Metadata>'
            '<Metadata domain="IMAGE_STRUCTURE"><MDI key="INTERLEAVE">PIXEL</MDI></Metadata>'
            '<PAMRasterBand band="2"><Description> B8 </Description>'
            "<NoDataValue>-9999</NoDataValue><Scale>0.5</Scale><UnitType></UnitType></PAMRasterBand>"
            '<PAMRasterBand band="3"><Scale>1</Scale><Offset>0</Offset></PAMRasterBand>'
            '<PAMRasterBand band="1"><ColorTable><Entry c1="1" c2="2" c3="3" c4="255"/>'
            "</ColorTable><Offset>-1000</Offset></PAMRasterBand>"
        ),
    )
    assert aux.items == {"season": "dry"} and aux.remarks == []
    assert aux.bands[2] == {"description": "B8", "nodatavalue": "-9999", "scale": "0.5"}
    assert aux.scales == {1: (1, -1000), 2: (0.5, 0), 3: None}
    assert aux.colormap == {0: (1, 2, 3)}


@pytest.mark.parametrize(
    "element",
    ["<Scale>x</Scale>", "<Scale>0</Scale>", '<ColorTable><Entry c1="256"/></ColorTable>'],
)
def test_a_band_with_impossible_numbers_is_told_and_the_place_is_kept(tmp_path, element):
    text = "<GeoTransform>5,1,0,6,0,-1</GeoTransform>"
    aux = read(tmp_path, dataset(f'{text}<PAMRasterBand band="1">{element}</PAMRasterBand>'))
    assert aux.transform == (1, 0, 5, 0, -1, 6) and "damaged" in aux.remarks[0]


def test_the_crs_of_arcgis_is_read_and_its_points_and_polynomials_are_told(tmp_path):
    form = "<GeodataXform><SpatialReference><WKT>{}</WKT></SpatialReference>{}</GeodataXform>"
    assert auxxml.crs(read(tmp_path, form.format(WKT, "")).srs, []).to_epsg() == 32633
    inside = f'<Metadata domain="xml:ESRI" format="xml">{form.format(WKT, "")}</Metadata>'
    assert auxxml.crs(read(tmp_path, dataset(inside)).srs, []).to_epsg() == 32633
    aux = read(tmp_path, form.format(WKT, "<SourceGCPs/><TargetGCPs/>"))
    assert aux.points and aux.srs is None
    aux = read(tmp_path, form.format(WKT, "<CoeffX><Double>1</Double></CoeffX>"))
    assert "transform of ArcGIS" in aux.remarks[0]


def test_ground_control_points_are_found(tmp_path):
    assert read(tmp_path, dataset('<GCPList Projection="EPSG:32633"/>')).points


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0\xff" * 100,
        "<a>é</a>".encode("latin-1"),
        b'<?xml version="1.0" encoding="no"?><a/>',
    ],
)
def test_what_is_not_xml_is_told(tmp_path, text):
    assert "it is not XML" in read(tmp_path, text).remarks[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_that_would_expand_to_a_terabyte_is_refused_at_once(tmp_path, encoding):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY e0 "ha">{entities}]>'
    start = time.monotonic()
    aux = read(tmp_path, (text + dataset("<SRS>&e11;</SRS>")).encode(encoding))
    assert aux.srs is None and "document type" in aux.remarks[0]
    assert time.monotonic() - start < 5


def test_a_file_that_is_too_large_is_told_and_not_parsed(tmp_path):
    assert "MiB" in read(tmp_path, dataset(" " * xmltree.LARGEST)).remarks[0]


def test_a_file_of_gdal_is_read(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "a.tif"
    profile = {"width": 5, "height": 4, "count": 2, "dtype": "int16", "driver": "GTiff"}
    transform = rasterio.Affine(10.25, 1, 500_000.125, 2, -10.5, 6_000_000.5)
    with rasterio.open(
        path, "w", crs="EPSG:32633", transform=transform, profile="BASELINE", **profile
    ) as raster:
        raster.write(np.zeros((2, 4, 5), np.int16))
        raster.scales, raster.offsets = (0.5, 0.25), (1, 2)
        raster.descriptions = ("red", "é & <b>")
    aux = auxxml.read(tmp_path / "a.tif.aux.xml")
    assert aux.transform == tuple(transform)[:6] and aux.remarks == []
    assert auxxml.crs(aux.srs, []) == CRS(32633)
    assert [aux.bands[band]["description"] for band in (1, 2)] == ["red", "é & <b>"]
    assert aux.scales == {1: (0.5, 1), 2: (0.25, 2)}
