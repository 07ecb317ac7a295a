"""Sentinel-2 products in folders: data/raster/safe.py."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import disks
import imagecodecs
import numpy as np
import pytest
import small
from products import full, write
from pyproj import CRS

import predict
import train
from data.files import InputError, replacing
from data.grid import Grid, Window
from data.input import filenames, finding, stack
from data.raster import cog, geotiff, safe
from data.raster.safe import Safe
from unet import checkpoint

REAL = Path(__file__).parents[4] / "shared/realdata/s2-safe"


def test_numbers_become_reflectance_times_10000_and_0_stays_no_data(tmp_path):
    numbers = np.array([[0, 1, 1000, 1001], [1500, 2000, 11000, 65535]])
    path = write(tmp_path, {("B04", 10): numbers})
    with Safe(path) as product:
        # A shadow with a reflectance of 0 or below becomes 1, so that it has data.
        assert product.read().tolist() == [[[0, 1, 1, 1], [500, 1000, 10000, 64535]]]
        assert (product.count, product.dtype, product.nodata, product.descriptions) == (
            1,
            np.uint16,
            0,
            ("Red",),
        )
        assert product.grid.matches(
            Grid(CRS.from_epsg(32632), (10, 0, 600000, 0, -10, 5100000), 2, 4)
        )


@pytest.mark.parametrize(
    ("offset", "quantification", "expected"),
    [(None, 10000, 700), (-1000, 1000, 3000), (0, 5000, 1400)],
)
def test_older_products_have_no_offset_and_the_quantification_value_is_the_products(
    tmp_path, offset, quantification, expected
):
    number = 1300 if quantification == 1000 else 700
    path = write(
        tmp_path,
        {("B02", 10): np.full((2, 2), number)},
        offset=offset,
        quantification=quantification,
    )
    with Safe(path) as product:
        assert (product.read() == expected).all()


def test_each_band_is_the_finest_there_is_on_the_grid_of_10_m(tmp_path):
    path, numbers = full(tmp_path)
    with Safe(path) as product:
        assert (product.grid.height, product.grid.width) == (120, 120)
        names = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12".split()
        expected = "Coastal Blue Green Red RE1 RE2 RE3 NIR RE4 WV SWIR1 SWIR2"
        assert " ".join(product.descriptions) == expected
        finest = [min(resolution for band, resolution in numbers if band == name) for name in names]
        assert finest == [20, 10, 10, 10, 20, 20, 20, 10, 20, 60, 20, 20]
        expected = [
            np.kron(numbers[name, r].astype(int) - 1000, np.ones((r // 10, r // 10), int))
            for name, r in zip(names, finest)
        ]
        assert (product.read() == expected).all()
        random = np.random.default_rng(1)
        for _ in range(20):
            row, col = random.integers(0, 120, 2)
            window = Window(row, col, random.integers(1, 121 - row), random.integers(1, 121 - col))
            chosen = (random.permutation(12)[:3] + 1).tolist()
            rows, cols = slice(row, row + window.height), slice(col, col + window.width)
            assert (
                product.read(window, chosen)
                == np.array(expected)[[n - 1 for n in chosen], rows, cols]
            ).all()


def test_a_product_of_60_m_alone_has_a_grid_of_60_m(tmp_path):
    with Safe(
        write(tmp_path, {("B09", 60): np.full((5, 7), 3000), ("B01", 60): np.full((5, 7), 2000)})
    ) as product:
        assert product.grid.resolution == (60, 60) and product.descriptions == ("Coastal", "WV")
        assert product.read()[:, 4, 6].tolist() == [1000, 2000]


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_file_of_many_tiles_written_by_gdal_as_esas_are_is_read_whole(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    numbers = np.random.default_rng(0).integers(1001, 9000, (300, 200)).astype(np.uint16)
    path = write(tmp_path, {("B08", 10): numbers})
    options = {
        "driver": "JP2OpenJPEG",
        "QUALITY": 100,
        "REVERSIBLE": "YES",
        "BLOCKXSIZE": 64,
        "BLOCKYSIZE": 64,
    }
    with rasterio.open(
        next(path.rglob("*.jp2")), "w", width=200, height=300, count=1, dtype="uint16", **options
    ) as band:
        band.write(numbers, 1)
    with Safe(path) as product:
        assert (product.read()[0] == numbers - 1000).all()


def test_a_band_is_decoded_once_and_only_if_it_is_read(tmp_path, monkeypatch):
    path, _ = full(tmp_path / "in")
    (tmp_path / "cache").mkdir()
    calls, decode = [], imagecodecs.jpeg2k_decode
    monkeypatch.setattr(
        imagecodecs, "jpeg2k_decode", lambda data, **options: calls.append(1) or decode(data)
    )
    with Safe(path, tmp_path / "cache") as product:
        for row in range(0, 120, 10):
            product.read(Window(row, 0, 10, 120), [4, 8])
        assert len(calls) == 2
        # The files of decoded bands have no name.
        assert not list((tmp_path / "cache").iterdir())


def test_a_level_1c_product_has_a_file_for_each_band_and_is_named_in_a_remark(tmp_path):
    numbers = {("B02", 10): np.full((12, 12), 2500), ("B8A", 20): np.full((6, 6), 3000)}
    numbers |= {("B10", 60): np.full((2, 2), 1100)}
    path = write(tmp_path, numbers)
    for file in path.rglob("*.jp2"):
        name = file.name.replace(file.parent.name.replace("R", "_"), "")
        file.rename(file.parents[1] / name)
    text = (path / "MTD_MSIL2A.xml").read_text()
    text = text.replace("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
    text = text.replace("BOA_QUANTIFICATION", "QUANTIFICATION")
    (path / "MTD_MSIL1C.xml").write_text(text)
    (path / "MTD_MSIL2A.xml").unlink()
    # A mask of quality, whose name ends like that of a band.
    folder = next(path.glob("GRANULE/*")) / "QI_DATA"
    folder.mkdir()
    (folder / "MSK_DETFOO_B02.jp2").write_bytes(b"no image")
    path = path.rename(tmp_path / path.name.replace("MSIL2A", "MSIL1C"))
    with Safe(path) as product:
        assert product.descriptions == ("Blue", "RE4", "Cirrus")
        assert product.read()[:, 5, 5].tolist() == [1500, 2000, 100]
        assert "top of the atmosphere" in product.remarks[0]
    assert filenames.token(path) == "T32TPS"
    with Safe(write(tmp_path, numbers)) as product:
        assert product.remarks == []


def test_archives_may_leave_out_the_folder_granule_and_write_names_in_other_cases(tmp_path):
    path = write(tmp_path, {("B02", 10): np.full((4, 4), 2500)})
    granule = next(path.glob("GRANULE/*"))
    (path / "MTD_MSIL2A.xml").rename(path / "MTD_MSIL2a.xml")
    for place in (path / granule.name, path):
        if place == path:
            (path / granule.name / "MTD_TL.xml").rename(path / "MTD_TL.xml")
        else:
            granule.rename(place)
        with Safe(path) as product:
            assert (product.read() == 1500).all() and product.grid.resolution == (10, 10)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real imagery beside the project")
def test_the_metadata_of_real_products_of_all_baselines_are_read(tmp_path):
    """Each product gets one band of 60 m, because the real ones have no pixels."""
    numbers = np.add.outer(np.arange(1830) * 7, np.arange(1830) * 3).astype(np.uint16) % 9000
    jp2 = imagecodecs.jpeg2k_encode(numbers, codecformat="jp2", reversible=True, level=0)
    baselines = {}
    for product in sorted((REAL / "metadata").iterdir()):
        path = tmp_path / product.name
        shutil.copytree(product, path, copy_function=shutil.copyfile)
        tiles = sorted(path.glob("GRANULE/*/MTD_TL.xml")) or sorted(path.glob("MTD_TL.xml"))
        if not tiles:  # the metadata of the tile are missing from three products
            with pytest.raises(InputError, match="has 0 files GRANULE"):
                Safe(path)
            continue
        level_1c = "MSIL1C" in product.name
        band = tiles[0].parent / "IMG_DATA" / ("T_B01.jp2" if level_1c else "R60m/T_B01_60m.jp2")
        band.parent.mkdir(parents=True)
        band.write_bytes(jp2)
        text = next(path.glob("MTD_MSI*.xml")).read_text()
        baseline = re.search("<PROCESSING_BASELINE>(.*?)<", text)[1]
        offset = -1000 if baseline >= "04.00" else 0
        with Safe(path) as opened:
            expected = np.where(numbers == 0, 0, np.maximum(numbers + float(offset), 1))
            assert (opened.read()[0] == expected).all(), product.name
            tile = re.search("_T(..)(.)", product.name)
            south = tile[2] < "N"
            assert opened.grid.crs.to_epsg() == 32600 + 100 * south + int(tile[1])
            assert opened.grid.resolution == (60, 60)
            assert bool(opened.remarks) == level_1c
        baselines[product.name] = baseline
    assert {"02.09", "02.12", "03.01", "04.00", "05.09"} == {*baselines.values()}
    assert len(baselines) == 9


@pytest.mark.skipif(not REAL.is_dir(), reason="no real imagery beside the project")
def test_a_real_product_of_60_m_bands_is_mapped_at_60_m_or_lacks_bands_by_name(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = next(REAL.glob("*T29UNU*.SAFE"))
    with Safe(path) as product:
        assert product.grid.resolution == (60, 60) and product.grid.crs.to_epsg() == 32629
        files = {"Blue": "B02", "RE4": "B8A"}
        numbers = [product.descriptions.index(band) + 1 for band in files]
        pixels = product.read(Window(100, 200, 300, 400), numbers)
    for number, file_band in enumerate(files.values()):
        with rasterio.open(next(path.rglob(f"*_{file_band}_60m.jp2"))) as file:
            stored = file.read(1)[100:400, 200:600].astype(int)
            assert product.grid.transform == tuple(file.transform)[:6]
        expected = np.where(stored == 0, 0, np.maximum(stored - 1000, 1))
        assert (pixels[number] == expected).all()

    arguments = [str(path), "--checkpoint", str(tmp_path / "a.pt"), "--output", str(tmp_path)]
    small.untrained(tmp_path / "a.pt", base=1)
    with pytest.raises(InputError, match="NIR must be in the image"):
        predict.main(arguments)
    loaded = checkpoint.load(tmp_path / "a.pt")
    loaded["bands"] = ["Green", "Red", "RE4", "SWIR1"]
    checkpoint.save(tmp_path / "a.pt", loaded)
    predict.main(arguments)
    with rasterio.open(tmp_path / f"{path.stem}_landcover.tif") as made:
        assert made.shape == (1830, 1830) and made.transform.a == 60


def test_folders_that_are_no_such_product_say_what_is_wrong(tmp_path):
    def error(path) -> str:
        with pytest.raises(InputError) as raised, Safe(path) as product:
            product.read()
        return str(raised.value)

    (tmp_path / "S2A_MSIL1C.SAFE").mkdir()
    assert "has no MTD_MSIL2A.xml or MTD_MSIL1C.xml; give the folder of a Sentinel-2" in error(
        tmp_path / "S2A_MSIL1C.SAFE"
    )
    path = write(tmp_path, {("B02", 10): np.full((8, 8), 2000), ("B05", 20): np.full((3, 3), 2000)})
    assert "3 x 3 pixels where the metadata say 4 x 4" in error(path)
    band = next(path.rglob("*_B02_10m.jp2"))
    band.write_bytes(band.read_bytes()[:60])
    assert "B02_10m.jp2: cannot be decoded" in error(path)
    tile = next(path.rglob("MTD_TL.xml"))
    text = tile.read_text()
    for old, new, message in (
        ("EPSG:32632", "EPSG:", "not the metadata of a Sentinel-2 product"),
        ("<ULX>600000</ULX>", "", "ULX is missing"),
        ("</n1:Geometric_Info>", "", "MTD_TL.xml: damaged"),
    ):
        tile.write_text(text.replace(old, new))
        assert message in error(path)
    tile.write_text(text)
    product = path / "MTD_MSIL2A.xml"
    product.write_text(product.read_text().replace(">-1000</BOA_ADD_OFFSET>", "></BOA_ADD_OFFSET>"))
    assert "not the metadata of a Sentinel-2 product" in error(path)
    tile.unlink()
    assert "has 0 files GRANULE/*/MTD_TL.xml" in error(path)


def no_decoder(*arguments, **options):
    pytest.fail("a band is decoded")


def test_a_band_of_another_size_is_refused_before_any_band_is_decoded(tmp_path, monkeypatch):
    """The metadata may claim any size; the header of each file is compared with it."""
    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", no_decoder)
    path = write(tmp_path, {("B02", 10): np.full((8, 8), 2000), ("B05", 20): np.full((4, 4), 2000)})
    tile = next(path.rglob("MTD_TL.xml"))
    text = tile.read_text()
    tile.write_text(text.replace("<NROWS>8<", "<NROWS>100000<"))
    with pytest.raises(InputError, match="B02_10m.jp2: 8 x 8 pixels where .* say 100000 x 8;"):
        Safe(path)
    tile.write_text(text.replace("<NCOLS>8<", "<NCOLS>12<"))
    with pytest.raises(InputError, match="B02_10m.jp2: 8 x 8 pixels where .* say 8 x 12;"):
        Safe(path)
    tile.write_text(text)
    band = next(path.rglob("*_B05_20m.jp2"))
    content = band.read_bytes()
    huge = content.replace(b"\0\0\0\4\0\0\0\4", b"\0\1\0\0\0\1\0\0")
    colours = imagecodecs.jpeg2k_encode(np.zeros((4, 4, 3), np.uint16), codecformat="jp2", level=0)
    for changed, message in (
        (huge, "65536 x 65536 pixels where|tiles, which the file cannot hold"),
        (colours, "it has several bands"),
        (content[:20], "it has no image header"),
        (b"", "it has no image header"),
    ):
        assert changed != content
        band.write_bytes(changed)
        with pytest.raises(InputError, match=f"{band}: .*({message})"):
            Safe(path)


def test_band_files_that_are_links_to_devices_pipes_folders_or_nothing_are_named(tmp_path):
    path = write(tmp_path, {("B02", 10): np.full((4, 4), 2500), ("B03", 10): np.full((4, 4), 2500)})
    band = next(path.rglob("*_B03_10m.jp2"))
    elsewhere = band.rename(tmp_path / "elsewhere.jp2")
    band.symlink_to(elsewhere)
    with Safe(path) as product:
        assert (product.read() == 1500).all()
    os.mkfifo(tmp_path / "pipe")
    for target, message in (
        ("/dev/zero", "is a pipe or a device"),
        (tmp_path / "pipe", "is a pipe or a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "missing", "no such file"),
    ):
        band.unlink()
        band.symlink_to(target)
        with pytest.raises((InputError, FileNotFoundError), match=f"^{band}: {message}"):
            Safe(path)


def test_hidden_files_which_macos_leaves_beside_bands_are_no_bands(tmp_path):
    path = write(tmp_path, {("B02", 10): np.full((4, 4), 2500)})
    band = next(path.rglob("*.jp2"))
    band.with_name(f"._{band.name}").write_bytes(b"Mac OS X")
    with Safe(path) as product:
        assert (product.read() == 1500).all()


def test_a_folder_with_the_metadata_of_two_levels_is_refused(tmp_path):
    path = write(tmp_path, {("B02", 10): np.full((4, 4), 2500)})
    shutil.copy(path / "MTD_MSIL2A.xml", path / "MTD_MSIL1C.xml")
    with pytest.raises(InputError, match="holds MTD_MSIL1C.xml and MTD_MSIL2A.xml; download it"):
        Safe(path)


def test_a_product_with_offsets_of_some_bands_only_is_refused(tmp_path):
    path = write(tmp_path, {("B02", 10): np.full((4, 4), 2500)})
    text = (path / "MTD_MSIL2A.xml").read_text()
    blue = '<BOA_ADD_OFFSET band_id="1">-1000</BOA_ADD_OFFSET>'
    (path / "MTD_MSIL2A.xml").write_text(text.replace(blue, ""))
    with pytest.raises(InputError, match="MTD_MSIL2A.xml: has no offset of the band Blue"):
        Safe(path)


def test_a_full_folder_for_temporary_files_is_named_and_not_the_output(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    path = write(tmp_path, {("B02", 10): np.full((60, 60), 2500)})
    with Safe(path) as product, disks.largest_file(5000):
        with pytest.raises(OSError, match="File too large") as error:
            with replacing(tmp_path / "map.tif"):
                product.read()
        assert error.value.filename == str(tmp_path / "tmp")
    monkeypatch.setattr(safe.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with Safe(path) as product, pytest.raises(InputError, match="another folder by TMPDIR"):
        product.read()
    with Safe(path, tmp_path) as product, pytest.raises(InputError, match="more; make room$"):
        product.read()


def test_a_folder_of_products_is_searched_and_dates_of_a_tile_belong_together(tmp_path):
    paths = [write(tmp_path, {("B02", 10): np.full((2, 2), 2000)}, day=day) for day in (12, 11)]
    other = tmp_path / paths[0].name.replace("S2B", "S2A").replace("20240812", "20240813")
    paths[0].rename(other)
    assert finding.find([tmp_path], "images") == [other, paths[1]] and finding.find(
        [other], "images"
    ) == [other]
    assert filenames.by_place([other, paths[1]], 2) == [
        (paths[1], other)
    ]  # by time, though S2A comes before S2B
    assert filenames.token(other) == "T32TPS"
    with stack.Stack([paths[1], other]) as both:
        assert both.descriptions == ("Blue", "Blue@2") and (both.read() == 1000).all()


def test_a_network_is_trained_on_products_and_maps_them_and_a_geotiff_of_the_same_numbers(
    tmp_path, capsys
):
    random = np.random.default_rng(0)
    truth = np.kron(random.integers(0, 2, (6, 6)), np.ones((8, 8), int))
    dark = np.where(truth, 400, 2000)
    numbers = {
        (band, 10): dark + random.integers(1000, 1200, dark.shape)
        for band in ("B02", "B03", "B04", "B08")
    }
    numbers |= {("B11", 20): np.where(truth, 400, 2000)[::2, ::2] + 1000}
    path = write(tmp_path, numbers)
    mask, table = tmp_path / "cover_T32TPS.tif", tmp_path / "table.csv"
    table.write_text(small.TABLE)
    with Safe(path) as product:
        cog.write(mask, np.where(truth, 20, 10).astype(np.uint8), product.grid)
        pixels = product.read()[[3, 0, 1, 2, 4]]
        names = [product.descriptions[n] for n in (3, 0, 1, 2, 4)]
        cog.write(tmp_path / "same.tif", pixels, product.grid, nodata=0, descriptions=names)
    options = [
        "--images",
        path,
        "--masks",
        mask,
        "--classes",
        table,
        "--size",
        24,
    ]
    options += [
        "--overfit",
        4,
        "--epochs",
        4,
        "--base",
        8,
        "--lr",
        0.01,
        "--batch",
        2,
        "--output",
        tmp_path / "run",
    ]
    train.main([str(option) for option in options])
    for image in (path, tmp_path / "same.tif"):
        predict.main(
            [
                str(image),
                "--checkpoint",
                str(tmp_path / "run/best.pt"),
                "--output",
                str(tmp_path / "maps"),
            ]
        )
    assert "note:" not in capsys.readouterr().err
    maps = [geotiff.Raster(tmp_path / f"maps/{stem}_landcover.tif") for stem in (path.stem, "same")]
    with maps[0], maps[1]:
        assert (maps[0].read() == maps[1].read()).all() and maps[0].grid.matches(maps[1].grid)
        assert (maps[0].read()[0] == np.where(truth, 20, 10)).mean() > 0.9
    with pytest.raises(InputError, match="a SAFE folder has its own offset"):
        predict.main(
            [str(path), "--checkpoint", str(tmp_path / "run/best.pt"), "--offset", "-1000"]
        )


def test_a_product_prepared_twice_comes_from_the_cache(tmp_path, monkeypatch):
    path, _ = full(tmp_path / "in")
    with Safe(path) as product:
        cog.write(tmp_path / "mask.tif", np.full((120, 120), 10, np.uint8), product.grid)
    (tmp_path / "table.csv").write_text(small.TABLE)
    changes = {
        "images": [path],
        "masks": [tmp_path / "mask.tif"],
        "classes": tmp_path / "table.csv",
        "size": 40,
    }
    (tmp_path / "in/images").mkdir()
    data, _ = small.load(small.options(tmp_path, **changes))
    assert len(data.checkpoint["bands"]) == 12 and data.checkpoint["resolution"] == pytest.approx(
        10, abs=0.02
    )
    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", None)  # were it called, it would fail
    again, _ = small.load(small.options(tmp_path, **changes))
    assert (again.validation[0][0] == data.validation[0][0]).all()
    monkeypatch.undo()
    band = next(path.rglob("*_B02_10m.jp2"))  # replaced by the same band with less noise
    numbers = np.full((120, 120), 3000, np.uint16)
    band.write_bytes(imagecodecs.jpeg2k_encode(numbers, codecformat="jp2", reversible=True))
    replaced, _ = small.load(small.options(tmp_path, **changes))
    assert (replaced.validation[0][0] != data.validation[0][0]).any()
