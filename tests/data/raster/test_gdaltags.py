"""Palette, no-data value and band names: by hand, and as rasterio writes and reads them."""

import numpy as np
import pytest
import tifffile

from data.grid import IDENTITY, Grid
from data.raster import cog, gdaltags, geotiff

GRID = Grid(None, IDENTITY, 4, 5)
pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        (None, "uint8", None),
        ("0", "uint8", 0),
        ("255.0", "uint8", 255),
        (" -9999 ", "int16", -9999),
        ("-9999", "uint8", None),
        ("256", "uint8", None),
        ("1.5", "int16", None),
        ("nan", "uint8", None),
        ("inf", "int32", None),
        ("none", "float32", None),
        (7, "uint8", None),  # a tag of another type than text
        ("9223372036854775807", "int64", 2**63 - 1),
        ("18446744073709551615", "uint64", 2**64 - 1),
        ("-9999", "float32", -9999.0),
        ("inf", "float64", float("inf")),
        ("0.1", "float32", float(np.float32(0.1))),
        ("-3.40282346638529e+38", "float32", float(np.finfo("float32").min)),
    ],
)
def test_nodata_is_the_value_that_a_pixel_can_have_or_none(text, dtype, value):
    found = gdaltags.nodata(text, np.dtype(dtype))
    assert found == value and type(found) is type(value)


def test_nodata_nan_is_nan_for_floats():
    assert np.isnan(gdaltags.nodata("nan", np.dtype("float32")))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("text", [None, "0", "7", "-9999", "255", "nan", "0.25", "1e3", "-3.4e38"])
def test_nodata_is_read_as_rasterio_reads_it(tmp_path, dtype, text):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "nodata.tif"
    extratags = [] if text is None else [(gdaltags.NODATA, 2, 0, text, True)]
    tifffile.imwrite(path, np.zeros((4, 5), dtype), metadata=None, extratags=extratags)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        if raster.nodata is None:
            # rasterio hands out 0.25 as the no-data value of integers too, where no pixel can have
            # it.
            assert dataset.nodata is None or dataset.nodata != int(dataset.nodata)
        else:
            assert np.array_equal(raster.nodata, dataset.nodata, equal_nan=True)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 0),
        ("uint8", 255.0),
        ("int16", np.int16(-1)),
        ("float32", np.nan),
        ("float32", 0.1),
        ("float64", -1.7976931348623157e308),
        ("int64", -(2**53)),
    ],
)
def test_a_written_nodata_is_read_back_by_rasterio_and_by_us(tmp_path, dtype, nodata):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "nodata.tif"
    cog.write(path, np.zeros((4, 5), dtype), GRID, nodata=nodata)
    expected = np.dtype(dtype).type(nodata)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert np.array_equal(raster.nodata, expected, equal_nan=True)
        assert np.array_equal(dataset.nodata, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", -1), ("uint8", 256), ("int16", np.nan), ("int8", 0.5)]
)
def test_a_nodata_that_no_pixel_can_have_is_not_written(tmp_path, dtype, nodata):
    with pytest.raises(ValueError, match="is not a value of"):
        cog.write(tmp_path / "nodata.tif", np.zeros((4, 5), dtype), GRID, nodata=nodata)
    assert not list(tmp_path.iterdir())


def test_sixteen_bit_colours_become_eight_bit_ones_and_back():
    # Two colours in the tag's order, reds, greens, blues: (255, 1, 0) and (0, 2, 3).
    assert gdaltags.colormap([65535, 0, 257, 514, 0, 771]) == {0: (255, 1, 0), 1: (0, 2, 3)}
    assert gdaltags.colormap([255, 0, 1, 2, 0, 3]) == {0: (255, 1, 0), 1: (0, 2, 3)}
    table = gdaltags.palette({0: (255, 1, 0), 200: (0, 2, 3)}, np.dtype("uint8"))
    assert table.shape == (3, 256)
    assert table[:, [0, 200, 7]].tolist() == [[65535, 0, 0], [257, 514, 0], [0, 771, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_colormap_travels_to_rasterio_and_back(tmp_path, dtype):
    rasterio = pytest.importorskip("rasterio")
    colors = {0: (0, 0, 0), 1: (255, 128, 1), 2: (3, 4, 5), 250: (200, 100, 50)}
    path, codes = tmp_path / "ours.tif", np.resize(np.array([0, 1, 2, 250], dtype), (4, 5))
    cog.write(path, codes, GRID, colormap=colors)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert dataset.colorinterp[0] == rasterio.enums.ColorInterp.palette
        assert np.array_equal(raster.read()[0], codes) and np.array_equal(dataset.read(1), codes)
        for code, color in colors.items():
            assert raster.colormap[code] == color == dataset.colormap(1)[code][:3]


def test_a_colormap_of_rasterio_is_read_and_the_pixels_stay_codes(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path, codes = tmp_path / "theirs.tif", np.array([[0, 1, 250, 255]], np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=1, count=1, dtype="uint8"
    ) as dataset:
        dataset.write(codes, 1)
        dataset.write_colormap(1, {1: (10, 20, 30), 250: (255, 0, 128)})
    with geotiff.Raster(path) as raster:
        assert np.array_equal(raster.read()[0], codes)
        assert (raster.colormap[1], raster.colormap[250]) == ((10, 20, 30), (255, 0, 128))
        assert len(raster.colormap) == 256


@pytest.mark.parametrize(
    ("shape", "dtype", "colors"),
    [
        ((4, 5), "int16", {1: (0, 0, 0)}),
        ((2, 4, 5), "uint8", {1: (0, 0, 0)}),
        ((4, 5), "uint8", {256: (0, 0, 0)}),
        ((4, 5), "uint8", {-1: (0, 0, 0)}),
        ((4, 5), "uint8", {1: (0, 0, 256)}),
    ],
)
def test_an_impossible_colormap_is_refused(tmp_path, shape, dtype, colors):
    with pytest.raises(ValueError, match="colormap"):
        cog.write(tmp_path / "map.tif", np.zeros(shape, dtype), GRID, colormap=colors)


NAMES = ("Blue", None, "a & b < \"c\" > 'd'", "Überschwemmung", "naïve &amp; done")


def test_band_names_travel_to_rasterio(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "ours.tif"
    cog.write(path, np.zeros((5, 4, 5), np.uint8), GRID, descriptions=NAMES)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert raster.descriptions == NAMES == dataset.descriptions


def test_band_names_of_rasterio_are_read_among_its_other_metadata(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "theirs.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=5, height=4, count=5, dtype="uint8"
    ) as dataset:
        dataset.descriptions, dataset.scales, dataset.offsets = NAMES, (2,) * 5, (1,) * 5
        dataset.update_tags(1, sensor="MSI")
        dataset.write(np.full((5, 4, 5), 3, np.uint8))
    with geotiff.Raster(path) as raster:
        assert raster.descriptions == NAMES
        # Scale and offset are not applied to the pixels.
        assert (raster.read() == 3).all()


@pytest.mark.parametrize(
    "xml", [None, "", "<GDALMetadata", "<x><Item role='description' sample='y'>z</Item></x>"]
)
def test_metadata_that_cannot_be_read_gives_no_names(xml):
    assert gdaltags.metadata(xml, 2)[0] == (None, None)


def test_names_for_another_number_of_bands_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 descriptions for 1 bands"):
        cog.write(tmp_path / "map.tif", np.zeros((4, 5), np.uint8), GRID, descriptions=["a", "b"])


def test_scales_and_offsets_of_rasterio_are_read_and_not_applied(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "theirs.tif"
    size = {"count": 3, "height": 4, "width": 5, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", **size) as dataset:
        dataset.write(np.full((3, 4, 5), 7, np.uint16))
        dataset.scales, dataset.offsets = (1e-4, 1.0, 1.0), (-0.1, 0.0, 5.0)
    with geotiff.Raster(path) as raster:
        assert raster.scales == ((1e-4, -0.1), None, (1.0, 5.0))
        assert (raster.read() == 7).all() and raster.remarks == []


def items(*texts: str) -> str:
    """Metadata with items role(sample)=text."""
    parsed = [text.replace("(", "=").replace(")", "").split("=") for text in texts]
    body = "".join(f'<Item role="{r}" sample="{s}">{t}</Item>' for r, s, t in parsed)
    return f"<GDALMetadata>{body}</GDALMetadata>"


@pytest.mark.parametrize(
    ("xml", "expected", "remark"),
    [
        (None, (), ""),
        ("<GDALMetadata", (), ""),
        (items("scale(0)=1", "offset(0)=0"), (), ""),
        (items("scale(1)=0.5"), (None, (0.5, 0.0)), ""),
        (items("offset(0)= -3 "), ((1.0, -3.0), None), ""),
        (items("scale(2)=2", "scale(x)=2", "scale(-1)=2", "scale()=2"), (), ""),  # no such bands
        (items("scale(0)=abc", "offset(0)=4"), ((1.0, 4.0), None), "scale of band 1 is 'abc'"),
        (items("scale(0)=", "scale(1)=2"), (None, (2.0, 0.0)), "scale of band 1 is ''"),
        (items("scale(1)=0"), (), "scale of band 2 is '0'"),
        (items("offset(1)=nan"), (), "offset of band 2 is 'nan'"),
        (items("scale(0)=1e999"), (), "scale of band 1 is '1e999'"),
    ],
)
def test_scales_that_cannot_be_used_are_told(xml, expected, remark):
    found, remarks = gdaltags.scales(xml, 2)
    assert found == expected and len(remarks) == bool(remark)
    assert all(text == f"the {remark}: not used" for text in remarks)
