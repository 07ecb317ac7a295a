"""Files beside a raster: names and numbers of world files by hand, priorities, then rasterio."""

import contextlib
import os
import random

import imagecodecs
import numpy as np
import pytest
import tifffile
from pyproj import CRS

from data.files import InputError
from data.grid import IDENTITY
from data.raster import cog, georeference, sidecars
from data.raster.geotiff import Raster

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

PIXELS = np.arange(320, dtype=np.uint8).reshape(16, 20)
# Pixels of 10 m; the first pixel's centre is (1005, 1995), so its corner is (1000, 2000).
WORLD = "10\n0\n0\n-10\n1005\n1995\n"
PLACE = (10.0, 0.0, 1000.0, 0.0, -10.0, 2000.0)
OTHER = "<GeoTransform>5,1,0,6,0,-1</GeoTransform>"
OTHER_PLACE = (1.0, 0.0, 5.0, 0.0, -1.0, 6.0)
INSIDE = (2.0, 0.0, 100.0, 0.0, -2.0, 200.0)
POINTS = '<GCPList Projection="EPSG:32634"><GCP Pixel="0" Line="0" X="1" Y="2"/></GCPList>'
ENCODERS = {
    "tif": tifffile.imwrite,
    "png": lambda path, pixels: path.write_bytes(imagecodecs.png_encode(pixels)),
    "jpg": lambda path, pixels: path.write_bytes(imagecodecs.jpeg8_encode(pixels)),
    "jp2": lambda path, pixels: path.write_bytes(
        imagecodecs.jpeg2k_encode(pixels, codecformat="jp2")
    ),
}


@pytest.fixture(params=ENCODERS)
def image(tmp_path, request):
    """A raster without georeference in each format."""
    path = tmp_path / f"a.{request.param}"
    ENCODERS[request.param](path, PIXELS)
    return path


def aux(path, elements: str) -> None:
    path.with_name(path.name + ".aux.xml").write_text(f"<PAMDataset>{elements}</PAMDataset>")


def placed(path) -> tuple:
    with Raster(path) as raster:
        crs = raster.grid.crs
        return crs and crs.to_epsg(), raster.grid.transform, raster.remarks


def of_rasterio(path) -> tuple:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as dataset:
        return dataset.crs and dataset.crs.to_epsg(), dataset.transform[:6]


@pytest.mark.parametrize(
    ("name", "world"),
    [
        ("a.tif", "a.tfw"),
        ("a.tif", "a.TFW"),
        ("a.tif", "A.Tfw"),
        ("a.tif", "a.tifw"),
        ("a.TIFF", "a.tfw"),
        ("a.tiff", "a.tiffw"),
        ("a.b.tif", "a.b.tfw"),
        ("a", "a.wld"),
        ("a.tif", "a.wld"),
        ("a.png", "a.pgw"),
        ("a.png", "a.pngw"),
        ("a.jpg", "a.jgw"),
        ("a.jpg", "a.jpgw"),
        ("a.jpeg", "a.jpegw"),
        ("a.JPG", "a.JGW"),
        ("a.jp2", "a.j2w"),
        ("a.jp2", "a.jp2w"),
    ],
)
def test_names_of_world_files(tmp_path, name, world):
    encode = ENCODERS.get(name.rpartition(".")[2].lower(), ENCODERS["jpg"])
    if name == "a" or "tif" in name.lower():
        encode = tifffile.imwrite
    encode(tmp_path / name, PIXELS)
    (tmp_path / world).write_text(WORLD)
    assert placed(tmp_path / name) == (None, PLACE, [])
    assert of_rasterio(tmp_path / name) == (None, PLACE)


@pytest.mark.parametrize(
    ("text", "transform"),
    [
        (WORLD.replace("\n", "\r\n"), PLACE),
        ("\n" + WORLD.replace("5", "5,0") + "\nmore\n", PLACE),
        # x = 3 col + row + c, y = 4 col - 2 row + f; the centre (0.5, 0.5) is at (102, 201).
        ("3\n4\n1\n-2\n102\n201", (3, 1, 100, 4, -2, 200)),
        ("0\n-3\n2\n0\n5\n5\n", (0, 2, 4, -3, 0, 6.5)),
    ],
)
def test_numbers_of_world_files(image, text, transform):
    image.with_suffix(".wld").write_bytes(text.encode())
    assert placed(image) == (None, transform, [])
    assert of_rasterio(image) == (None, transform)


@pytest.mark.parametrize(
    "text",
    ["", "10\n0\n0\n-10\n5", "10 0 0 -10 5 5", "a\n0\n0\n-1\n1\n2", "1.0,5\n0\n0\n-1\n1\n2",
     "10\n1\n10\n1\n5\n5", "nan\n0\n0\n-1\n1\n2", "é", "9" * 5000],
)  # fmt: skip
def test_a_malformed_world_file_is_told(image, text):
    image.with_suffix(".wld").write_text(text)
    crs, transform, remarks = placed(image)
    assert (crs, transform) == (None, IDENTITY)
    assert len(remarks) == 1 and remarks[0].startswith("its world file .wld is not read (")


def test_a_malformed_world_file_hides_no_other(image):
    image.with_suffix(f".{image.suffix[1:]}w").write_text("none")
    image.with_suffix(".wld").write_text(WORLD)
    assert placed(image)[1] == PLACE and len(placed(image)[2]) == 1


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    image = tmp_path / "a.tif"
    tifffile.imwrite(image, PIXELS)
    os.mkfifo(tmp_path / "a.tfw")
    os.mkfifo(tmp_path / "a.tif.aux.xml")
    os.symlink("nowhere", tmp_path / "a.tifw")
    (tmp_path / "a.wld").mkdir()
    assert placed(image) == (None, IDENTITY, [])


def test_a_folder_with_too_many_files_to_list(tmp_path, monkeypatch):
    monkeypatch.setattr(sidecars, "MOST_FILES", 1)
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    (tmp_path / "a.TFW").write_text(WORLD)
    aux(tmp_path / "a.tif", "<SRS>EPSG:32633</SRS>")
    assert placed(tmp_path / "a.tif") == (32633, PLACE, [])


@pytest.mark.parametrize("srs", ["", "<SRS>EPSG:32633</SRS>"])
@pytest.mark.parametrize("transform", ["", OTHER])
@pytest.mark.parametrize("world", [False, True])
@pytest.mark.parametrize(
    ("kind", "inside"),
    [
        *((kind, ()) for kind in ENCODERS),
        *((kind, inside) for kind in ("tif", "jp2") for inside in (("crs",), ("transform",))),
        *((kind, ("crs", "transform")) for kind in ("tif", "jp2")),
    ],
)
def test_the_first_source_is_that_of_gdal(tmp_path, kind, inside, world, transform, srs):
    """All combinations of sources that contradict each other."""
    rasterio = pytest.importorskip("rasterio")
    shutil = pytest.importorskip("rasterio.shutil")
    image = tmp_path / f"a.{kind}"
    profile = {"driver": "GTiff", "width": 20, "height": 16, "count": 1, "dtype": "uint8"}
    profile |= {"crs": "EPSG:3857"} if "crs" in inside else {}
    profile |= {"transform": rasterio.Affine(*INSIDE)} if "transform" in inside else {}
    if kind in ("png", "jpg"):
        ENCODERS[kind](image, PIXELS)
    else:
        with rasterio.open(tmp_path / "a.tif", "w", **profile) as dataset:
            dataset.write(PIXELS[None])
        if kind == "jp2":
            shutil.copy(tmp_path / "a.tif", image, driver="JP2OpenJPEG")
            (tmp_path / "a.tif").unlink()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{image}.aux.xml")
    if world:
        image.with_suffix(".wld").write_text(WORLD)
    if srs or transform:
        aux(image, srs + transform)
    crs, place, remarks = placed(image)
    assert (crs, place) == of_rasterio(image)
    contradictions = world + bool(transform) + ("transform" in inside) - 1
    told = [remark for remark in remarks if remark.startswith("its ")]
    assert len(told) == max(0, contradictions) + (bool(srs) and "crs" in inside)


def test_equal_sources_are_not_told(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "width": 20, "height": 16, "count": 1, "dtype": "uint8"}
    transform = rasterio.Affine(1 / 3, 0, 10, 0, -1 / 7, 50)
    image = tmp_path / "a.tif"
    with rasterio.open(image, "w", crs=4326, transform=transform, tfw="YES", **profile) as dataset:
        dataset.write(PIXELS[None])
    aux(image, f"<SRS>{CRS(4326).to_wkt('WKT1_GDAL')}</SRS>".replace('"', "&quot;"))
    assert (tmp_path / "a.tfw").exists() and placed(image)[2] == []


def test_ground_control_points_are_told_and_give_no_crs(image):
    aux(image, "<SRS>EPSG:32633</SRS>" + POINTS)
    crs, transform, remarks = placed(image)
    assert (crs, transform) == (None, IDENTITY)
    assert remarks == ["has ground control points, which " + sidecars.WARP]


def test_ground_control_points_of_a_tiff_are_told_and_their_crs_counts_with_a_world_file(tmp_path):
    image = tmp_path / "a.tif"
    tie_points = (0.0, 0, 0, 1, 2, 0, 5, 0, 0, 6, 2, 0, 0, 4, 0, 1, -2, 0)
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 32633)
    tags = [(georeference.TIEPOINT, 12, 18, tie_points, True)]
    tags += [(georeference.DIRECTORY, 3, 16, keys, True)]
    tifffile.imwrite(image, PIXELS, extratags=tags)
    assert placed(image) == (None, IDENTITY, ["has ground control points, which " + sidecars.WARP])
    image.with_suffix(".tfw").write_text(WORLD)
    assert placed(image) == (32633, PLACE, []) and of_rasterio(image) == (32633, PLACE)
    with Raster(image) as raster:  # PixelIsPoint does not move a world file, here and in the map
        assert georeference.decode(raster.geo_tags)[:2] == (CRS(32633), PLACE)


@pytest.mark.parametrize(
    ("tags", "remark"),
    [
        ({georeference.SCALE: (10.0, 10.0, 0.0)}, "a pixel size or a matrix"),
        ({georeference.MATRIX: (0.0,) * 16}, "a pixel size or a matrix"),
        ({georeference.RPC: tuple(map(float, range(92)))}, "polynomial coefficients"),
    ],
)
def test_tags_that_give_no_transform_are_told(tmp_path, tags, remark):
    image = tmp_path / "a.tif"
    extratags = [(tag, 12, len(values), values, True) for tag, values in tags.items()]
    tifffile.imwrite(image, PIXELS, extratags=extratags)
    crs, transform, remarks = placed(image)
    assert (crs, transform) == (None, IDENTITY) and len(remarks) == 1 and remark in remarks[0]
    with Raster(image) as raster:
        cog.write(tmp_path / "map.tif", PIXELS, raster.grid, geo_tags=raster.geo_tags)
        with Raster(tmp_path / "map.tif") as copy:
            assert copy.geo_tags == raster.geo_tags == tags


@pytest.mark.parametrize("ending", [".prj", ".tab", ".TAB", ".jpegw"])
def test_files_that_are_not_read_are_told_while_something_is_missing(tmp_path, ending):
    image = tmp_path / "a.tif"
    tifffile.imwrite(image, PIXELS)
    (tmp_path / f"a{ending}").write_text("...")
    (tmp_path / "a.tif.ovr").write_text("...")
    assert len(placed(image)[2]) == 1
    aux(image, "<SRS>EPSG:32633</SRS>" + OTHER)
    assert placed(image) == (32633, OTHER_PLACE, [])


@pytest.mark.parametrize("ending", ["_RPC.TXT", "_rpc.txt", ".RPB"])
def test_polynomial_coefficients_beside_an_image_are_told(tmp_path, ending):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    (tmp_path / f"a{ending}").write_text("...")
    assert "polynomial coefficients (RPC)" in placed(tmp_path / "a.tif")[2][0]


def test_a_crs_beside_it_that_is_not_understood_is_told(image):
    aux(image, "<SRS>EPSG:99999</SRS>" + OTHER)
    crs, transform, remarks = placed(image)
    assert (crs, transform) == (None, OTHER_PLACE) and "CRS not understood" in remarks[0]


def test_a_crs_beside_it_that_a_geotiff_cannot_hold_is_told(image, monkeypatch):
    def refuse(crs):
        raise InputError("a GeoTIFF cannot hold the CRS")

    monkeypatch.setattr(georeference.geokeys, "encode", refuse)
    aux(image, "<SRS>EPSG:32633</SRS>" + OTHER)
    assert placed(image)[:2] == (32633, OTHER_PLACE)
    assert placed(image)[2] == ["a GeoTIFF cannot hold the CRS; maps of it have no CRS"]


def test_names_of_classes_beside_a_map_change_nothing(image):
    aux(image, "<PAMRasterBand band='1'><CategoryNames><Category>x</Category></CategoryNames>"
        "</PAMRasterBand>")  # fmt: skip
    with Raster(image) as raster:
        assert raster.grid.crs is None and raster.grid.transform == IDENTITY
        assert raster.nodata is raster.colormap is raster.alpha is None
        assert raster.descriptions == (None,) and raster.scales == () and raster.remarks == []


def test_what_is_told_of_bands_precedes_the_tags(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    image = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "width": 20, "height": 16, "count": 2, "dtype": "uint8"}
    with rasterio.open(image, "w", nodata=7, **profile) as dataset:
        dataset.write(np.stack([PIXELS, PIXELS]))
        dataset.descriptions = ("red", "green")
    band = '<PAMRasterBand band="{}"><NoDataValue>3</NoDataValue>{}</PAMRasterBand>'
    first = "<Description>B4</Description><Scale>0.5</Scale><Offset>-1</Offset>"
    aux(image, band.format(1, first) + band.format(2, "") + band.format(9, first))
    with Raster(image) as raster, rasterio.open(image) as dataset:
        assert raster.nodata == dataset.nodata == 3
        assert raster.descriptions == dataset.descriptions == ("B4", "green")
        assert raster.scales[0] == (dataset.scales[0], dataset.offsets[0]) == (0.5, -1)
        assert raster.scales[1] is None and raster.remarks == []
    aux(image, band.format(1, "") + band.format(2, "").replace("3", "4"))
    with Raster(image) as raster:
        assert raster.nodata == 3 and "no-data band by band" in raster.remarks[0]
    aux(image, band.format(1, ""))
    with Raster(image) as raster:
        assert "no-data band by band" in raster.remarks[0]
    aux(image, '<PAMRasterBand band="2"><ColorInterp>Alpha</ColorInterp></PAMRasterBand>')
    with Raster(image) as raster:
        assert raster.alpha == 2 and raster.masked


def test_colours_beside_a_tiff(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    image = tmp_path / "a.tif"
    tifffile.imwrite(image, PIXELS)
    entry = '<ColorTable><Entry c1="1" c2="2" c3="3" c4="255"/></ColorTable>'
    aux(image, f'<PAMRasterBand band="1">{entry}</PAMRasterBand>')
    with Raster(image) as raster, rasterio.open(image) as dataset:
        assert raster.colormap[0] == dataset.colormap(1)[0][:3] == (1, 2, 3)


def random_transform(generator: random.Random) -> tuple[float, ...]:
    size, turn = 10 ** generator.uniform(-3, 3), generator.choice([0, 0, 0.3])
    b, d = (size * turn * generator.uniform(-1, 1) for _ in range(2))
    c, f = generator.uniform(-1e5, 1e6), generator.uniform(-1e5, 6e6)
    return size * generator.choice([1, -1]), b, c, d, size * generator.choice([1, -1.5]), f


@pytest.mark.parametrize("seed", range(60))
def test_random_transforms_crss_formats_and_sidecars(tmp_path, seed):
    """GDAL writes the file and its sidecars; then our own sidecars contradict them."""
    rasterio = pytest.importorskip("rasterio")
    shutil = pytest.importorskip("rasterio.shutil")
    generator = random.Random(seed)
    codes = (32633, 4326, 2180, 3857, 3035, 31467, 2193, 5070, 27700, 2154, 32701, 3413)
    kind, yes_no, points = generator.choice(list(ENCODERS)), ("YES", "NO"), ("Area", "Point")
    image, source = tmp_path / f"a.{kind}", tmp_path / "source.tif"
    profile = {"driver": "GTiff", "width": 20, "height": 16, "count": 1, "dtype": "uint8"}
    if generator.random() < 0.8:
        profile["crs"] = f"EPSG:{generator.choice(codes)}"
    if generator.random() < 0.8:
        profile["transform"] = rasterio.Affine(*random_transform(generator))
    with rasterio.open(source, "w", **profile) as dataset:
        dataset.write(PIXELS[None])
        # GDAL 3.10 forgets the half pixel of a rotated GeoJP2 box, see test_jp2boxes.py.
        dataset.update_tags(AREA_OR_POINT="Area" if kind == "jp2" else generator.choice(points))
    options = {
        "tif": {"profile": generator.choice(["GDALGeoTIFF", "BASELINE", "GeoTIFF"])},
        "jp2": {"GMLJP2": generator.choice(yes_no)},
    }
    drivers = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG", "jp2": "JP2OpenJPEG"}
    world = {"tfw" if kind == "tif" else "worldfile": generator.choice(yes_no)}
    options = options.get(kind, {}) | (world if kind != "jp2" else {})
    shutil.copy(source, image, driver=drivers[kind], **options)
    if generator.random() < 0.4:
        a, b, c, d, e, f = random_transform(generator)
        numbers = (a, d, b, e, c + (a + b) / 2, f + (d + e) / 2)
        image.with_suffix(f".{kind}w").write_text("\n".join(f"{number:.12f}" for number in numbers))
    if generator.random() < 0.4:
        a, b, c, d, e, f = random_transform(generator)
        wkt = rasterio.CRS.from_epsg(generator.choice(codes)).to_wkt().replace('"', "&quot;")
        srs = generator.choice(["", f"<SRS>{wkt}</SRS>"])
        aux(image, f"{srs}<GeoTransform>{c!r},{a!r},{b!r},{f!r},{d!r},{e!r}</GeoTransform>")
    with Raster(image) as raster, rasterio.open(image) as dataset:
        theirs = dataset.crs and dataset.crs.to_epsg()  # a local CRS, "unnamed", has no code
        assert (raster.grid.crs and raster.grid.crs.to_epsg()) == theirs
        size = max(map(abs, dataset.transform[:2] + dataset.transform[3:5]))
        assert np.allclose(raster.grid.transform, dataset.transform[:6], 1e-12, 1e-9 * size)
        cog.write(tmp_path / "map.tif", raster.read(), raster.grid, geo_tags=raster.geo_tags)
        with Raster(tmp_path / "map.tif") as copy:
            assert copy.grid.matches(raster.grid)
