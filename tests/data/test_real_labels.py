"""Label rasters of agencies, resampled and compared with rasterio: skipped where they are absent.

Both methods are compared with GDAL, and nearest with its formula.
"""

import csv
from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from data.grid import Grid
from data.output import change
from data.raster import Raster
from data.raster.targetgrid import target_grid_for
from reproject import reproject_file

LABELS = Path(__file__).parents[3] / "shared/realdata/labels"
pytestmark = pytest.mark.skipif(not LABELS.is_dir(), reason="no label rasters beside the project")

# File, window (column, row, size) or None for the whole, CRS to assign, CRS of the target, pixels
# of the target in its units.
CASES = {
    "crop types, EPSG:5070": ("2021_30m_cdls.tif", (0, 0, 800), None, "EPSG:32614", 30),
    "Albers without EPSG code": (
        "LCMAP_HI_000000_2020_20210722_V10_LCPRI.tif",
        (3500, 2300, 700),
        None,
        "EPSG:32604",
        30,
    ),
    "sparse codes": ("lulc_sumatra_22codes_EPSG4326.tif", (500, 500, 800), None, "EPSG:32747", 30),
    "36,000 x 36,000": (
        "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif",
        (7400, 30600, 1000),
        None,
        "EPSG:3857",
        10,
    ),
    "int8": ("nlcd_int8_nocrs.tif", None, "EPSG:32614", "EPSG:5070", 30),
    "int64": ("terratorch_label_int64_nocrs.tif", None, "EPSG:32614", "EPSG:3857", 30),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """A file of labels that rasterio cut out, and the CRS and pixel size of a target."""
    rasterio = pytest.importorskip("rasterio")
    name, window, assigned, crs, pixel = CASES[request.param]
    path = tmp_path_factory.mktemp("labels") / name
    with rasterio.open(LABELS / name) as dataset:
        cut = rasterio.windows.Window(0, 0, dataset.width, dataset.height)
        if window:
            cut = rasterio.windows.Window(*window, window[2])
        profile = dataset.profile | dict(
            height=int(cut.height), width=int(cut.width), transform=dataset.window_transform(cut)
        )
        if assigned:
            profile |= dict(crs=assigned, transform=rasterio.Affine(30, 0, 6e5, 0, -30, 4e6))
        with rasterio.open(path, "w", **profile) as copy:
            copy.write(dataset.read(1, window=cut), 1)
    return path, crs, pixel


def by_rasterio(path, target: Grid, method: str, nodata) -> np.ndarray:
    import rasterio
    from rasterio import warp

    with rasterio.open(path) as dataset:
        out = np.zeros((target.height, target.width), dataset.dtypes[0])
        warp.reproject(
            dataset.read(1),
            out,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            src_nodata=dataset.nodata,
            dst_transform=rasterio.Affine(*target.transform),
            dst_crs=target.crs.to_wkt(),
            dst_nodata=nodata,
            init_dest_nodata=True,
            resampling=warp.Resampling[method],
            tolerance=0,
        )
    return out


def made(path, target, method, tmp_path, **options) -> tuple[np.ndarray, int | None]:
    reproject_file(path, tmp_path / "out.tif", target, method, **options)
    with Raster(tmp_path / "out.tif") as raster:
        return raster.read()[0], raster.nodata


def target_of(case) -> tuple[Path, Grid]:
    path, crs, pixel = case
    with Raster(path) as raster:
        return path, target_grid_for(raster.grid, crs, pixel)


def test_nearest_is_its_formula_and_gdal_differs_only_at_the_edges_of_pixels(case, tmp_path):
    path, target = target_of(case)
    with Raster(path) as raster:
        pixels, grid = raster.read()[0], raster.grid
    x, y = target.xy(*np.mgrid[0.5 : target.height, 0.5 : target.width])
    x, y = Transformer.from_crs(target.crs, grid.crs, always_xy=True).transform(x, y)
    places = np.stack(grid.rowcol(x, y))
    row, col = np.floor(places + 1e-9).astype(int)
    inside = (row >= 0) & (row < grid.height) & (col >= 0) & (col < grid.width)

    found, nodata = made(path, target, "nearest", tmp_path, error_threshold=0)
    formula = np.full(found.shape, nodata or 0, pixels.dtype)
    formula[inside] = pixels[row[inside], col[inside]]
    assert np.array_equal(found, formula)

    usual = made(path, target, "nearest", tmp_path)[0]
    assert (usual == formula).mean() > 0.9995
    # GDAL interpolates positions with an error of up to an eighth of a pixel.
    certain = (abs(places - np.rint(places)) > 0.125).all(axis=0)
    gdal = by_rasterio(path, target, "nearest", nodata)
    assert certain.mean() > 0.4 and np.array_equal(usual[certain], gdal[certain])
    assert (usual == gdal).mean() > 0.97


def test_mode_is_that_of_gdal_for_nine_tenths_and_classes_keep_their_shares(case, tmp_path):
    path, target = target_of(case)
    a, _, c, _, e, f = target.transform
    coarse = Grid(target.crs, (5 * a, 0, c, 0, 5 * e, f), target.height // 5, target.width // 5)
    found, nodata = made(path, coarse, "mode", tmp_path)
    # GDAL counts every source pixel that a target pixel touches, so pixels at its edge vote twice.
    expected = by_rasterio(path, coarse, "mode", nodata)
    both = found == found if nodata is None else (found != nodata) & (expected != nodata)
    found, expected = found[both], expected[both]
    agree = (found == expected).mean()
    apart = max(abs((found == k).mean() - (expected == k).mean()) for k in np.unique(found))
    if path.name.startswith("terratorch"):  # random pixels, so nearly every vote is close
        assert agree > 0.75 and apart < 0.1
    else:
        assert agree > 0.9 and apart < 0.02


def test_change_of_worldcover_is_counted_as_numpy_counts_it(tmp_path, capsys):
    rasterio = pytest.importorskip("rasterio")
    window, crops, paths = rasterio.windows.Window(7400, 30600, 1000, 1000), [], []
    for year, version in ((2020, "v100"), (2021, "v200")):
        path = LABELS / f"ESA_WorldCover_10m_{year}_{version}_N00E006_Map.tif"
        paths.append(tmp_path / f"cover_{year}.tif")
        with rasterio.open(path) as dataset:
            crops.append(dataset.read(1, window=window))
            profile = dataset.profile | dict(
                height=1000, width=1000, transform=dataset.window_transform(window)
            )
            with rasterio.open(paths[-1], "w", **profile) as copy:
                copy.write(crops[-1], 1)
    table = LABELS / "classes_worldcover.csv"
    output = ["--classes", str(table), "-o", str(tmp_path / "change.tif")]
    change.main([*map(str, paths), *output])
    with open(table, newline="") as file:
        codes = [int(row["code"]) for row in csv.DictReader(file) if row["ignore"] != "1"]
    with open(tmp_path / "change.csv", newline="") as file:
        rows = list(csv.reader(file))[1 : 1 + len(codes)]
    found = np.array([[float(cell) for cell in row[1 : 1 + len(codes)]] for row in rows])
    # The area of a pixel between two parallels, by the formula of the zone of an ellipsoid.
    axis, flattening = 6378137.0, 1 / 298.257223563
    e = np.sqrt(flattening * (2 - flattening))
    edges = np.radians(profile["transform"].f + profile["transform"].e * np.arange(1001))
    sine = np.sin(edges)
    zone = (1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
    km2 = axis**2 / 2 * np.radians(profile["transform"].a) * abs(np.diff(zone)) / 1e6
    before, after = crops
    expected = np.array(
        [
            [(((before == old) & (after == new)).sum(1) * km2).sum() for new in codes]
            for old in codes
        ]
    )
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.sum() > 1
