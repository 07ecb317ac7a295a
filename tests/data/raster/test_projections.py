"""Map projections of GeoKeys: every method as PROJ computes it, and as rasterio reads it."""

import numpy as np
import pytest
import tifffile
from pyproj import CRS, Transformer

from data.raster import geokeys, georeference
from data.raster.epsg import DEGREE, METRE, NotUnderstood
from data.raster.projections import METHODS, conversion

# The keys of a user-defined projected CRS on WGS 84, in metres.
BASE = {1024: 1, 2048: 4326, 3072: 32767, 3074: 32767, 3076: 9001}
NATURAL = {3080: 12.0, 3081: 48.0, 3082: 500.0, 3083: 700.0}  # natural origin, false easting
CENTRE = {3088: 12.0, 3089: 48.0, 3082: 500.0, 3083: 700.0}
CONE = {3084: 12.0, 3085: 48.0, 3078: 45.0, 3079: 50.0, 3086: 500.0, 3087: 700.0}
FALSE = "+x_0=500 +y_0=700 +datum=WGS84"
OBLIQUE = {**CENTRE, 3093: 0.9, 3094: 30.0, 3096: 20.0}

# The number of the method and its keys as GDAL writes them, and the same projection for PROJ.
EXAMPLES = {
    1: ({**NATURAL, 3092: 0.9}, "+proj=tmerc +lat_0=48 +lon_0=12 +k=0.9"),
    3: (OBLIQUE, "+proj=omerc +no_uoff +lat_0=48 +lonc=12 +alpha=30 +gamma=20 +k=0.9"),
    4: ({**CENTRE, 3093: 0.9, 3094: 30.0}, "+proj=labrd +lat_0=48 +lon_0=12 +azi=30 +k=0.9"),
    7: ({**NATURAL, 3081: 0.0, 3092: 0.9}, "+proj=merc +lon_0=12 +k=0.9"),
    8: (CONE, "+proj=lcc +lat_0=48 +lon_0=12 +lat_1=45 +lat_2=50"),
    9: ({**NATURAL, 3092: 0.9}, "+proj=lcc +lat_1=48 +lat_0=48 +lon_0=12 +k_0=0.9"),
    10: (CENTRE, "+proj=laea +lat_0=48 +lon_0=12"),
    11: ({**NATURAL, 3078: 45.0, 3079: 50.0}, "+proj=aea +lat_0=48 +lon_0=12 +lat_1=45 +lat_2=50"),
    12: (CENTRE, "+proj=aeqd +lat_0=48 +lon_0=12"),
    13: ({**NATURAL, 3078: 45.0, 3079: 50.0}, "+proj=eqdc +lat_0=48 +lon_0=12 +lat_1=45 +lat_2=50"),
    14: ({**CENTRE, 3092: 0.9}, "+proj=stere +lat_0=48 +lon_0=12 +k=0.9"),
    15: (
        {3095: 12.0, 3081: 90.0, 3092: 0.9, 3082: 500.0, 3083: 700.0},
        "+proj=stere +lat_0=90 +lon_0=12 +k=0.9",
    ),
    16: ({**NATURAL, 3092: 0.9}, "+proj=sterea +lat_0=48 +lon_0=12 +k=0.9"),
    17: ({**CENTRE, 3078: 30.0}, "+proj=eqc +lat_0=48 +lon_0=12 +lat_ts=30"),
    18: (NATURAL, "+proj=cass +lat_0=48 +lon_0=12"),
    19: (CENTRE, "+proj=gnom +lat_0=48 +lon_0=12"),
    20: (CENTRE, "+proj=mill +lon_0=12"),
    21: (CENTRE, "+proj=ortho +lat_0=48 +lon_0=12"),
    22: (NATURAL, "+proj=poly +lat_0=48 +lon_0=12"),
    23: (CENTRE, "+proj=robin +lon_0=12"),
    24: (CENTRE, "+proj=sinu +lon_0=12"),
    25: (CENTRE, "+proj=vandg +lon_0=12"),
    26: (
        {3080: 173.0, 3081: -41.0, 3082: 500.0, 3083: 700.0},
        "+proj=nzmg +lat_0=-41 +lon_0=173",
    ),
    # PROJ, and GDAL with it, know this method without false easting and northing alone.
    27: (
        {3080: 12.0, 3081: 48.0, 3092: 0.9},
        "+proj=tmerc +axis=wsu +lat_0=48 +lon_0=12 +k=0.9 +x_0=0 +y_0=0",
    ),
    28: ({3080: 12.0, 3078: 30.0, 3082: 500.0, 3083: 700.0}, "+proj=cea +lon_0=12 +lat_ts=30"),
    9815: (OBLIQUE, "+proj=omerc +lat_0=48 +lonc=12 +alpha=30 +gamma=20 +k=0.9"),
}
VARIANTS = {
    "Mercator with a parallel": (
        {3075: 7, 3078: 30.0, 3080: 12.0, 3082: 500.0, 3083: 700.0},
        "+proj=merc +lat_ts=30 +lon_0=12",
    ),
    "Mercator with a latitude of origin": (
        {3075: 7, **NATURAL, 3092: 1.0},
        "+proj=merc +lat_ts=48 +lon_0=12",
    ),
    "polar stereographic with a parallel": (
        {3075: 15, 3081: -71.0, 3095: 12.0, 3082: 500.0, 3083: 700.0},
        "+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=12",
    ),
    "the longitude of a pole under another key": (
        {3075: 15, 3081: 90.0, 3080: 12.0, 3082: 500.0, 3083: 700.0},
        "+proj=stere +lat_0=90 +lon_0=12",
    ),
    "a false origin for a natural one": (
        {3075: 1, 3084: 12.0, 3085: 48.0, 3093: 0.9, 3090: 500.0, 3091: 700.0},
        "+proj=tmerc +lat_0=48 +lon_0=12 +k=0.9",
    ),
    "a natural origin for a false one": (
        {3075: 8, **NATURAL, 3078: 45.0, 3079: 50.0},
        "+proj=lcc +lat_0=48 +lon_0=12 +lat_1=45 +lat_2=50",
    ),
    "the natural origin before the others": (
        {3075: 10, **NATURAL, 3084: 1.0, 3085: 1.0, 3088: 2.0, 3089: 2.0, 3086: 9.0, 3087: 9.0},
        "+proj=laea +lat_0=48 +lon_0=12",
    ),
}
ALL = {
    **{
        METHODS[number][0]: ({3075: number, **keys}, proj)
        for number, (keys, proj) in EXAMPLES.items()
    },
    **VARIANTS,
}
X, Y = np.array([-2e5, 0.0, 3e5]), np.array([1e5, -2e5, 3e5])


def degrees(crs: CRS) -> np.ndarray:
    """Longitude and latitude of three points."""
    return np.array(Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(X, Y))


def test_there_is_an_example_of_every_method():
    assert set(EXAMPLES) == set(METHODS)


@pytest.mark.parametrize("name", ALL)
def test_a_projection_is_that_of_proj(name):
    keys, proj = ALL[name]
    crs = geokeys.understand(BASE | keys)
    assert np.allclose(degrees(crs), degrees(CRS(f"{proj} {FALSE}")), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_a_projection_is_that_of_rasterio(name, written):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(written(BASE | ALL[name][0])) as dataset:
        theirs = pytest.importorskip("rasterio.warp").transform(
            dataset.crs, rasterio.CRS.from_epsg(4326), X, Y
        )
    ours = degrees(geokeys.understand(BASE | ALL[name][0]))
    assert np.allclose(ours, theirs, rtol=0, atol=9e-9)  # 1 mm


@pytest.fixture
def written(tmp_path):
    """Writes a small GeoTIFF with some GeoKeys and returns its path."""

    def write(keys: dict):
        numbers = {key: value for key, value in keys.items() if isinstance(value, float)}
        entries = []
        for key, value in sorted(keys.items()):
            place = list(numbers).index(key) if key in numbers else value
            entries += [key, georeference.DOUBLES if key in numbers else 0, 1, place]
        directory = (1, 1, 0, len(keys), *entries)
        tags = [
            (georeference.SCALE, 12, 3, (1.0, 1.0, 0.0), True),
            (georeference.TIEPOINT, 12, 6, (0.0,) * 6, True),
            (georeference.DIRECTORY, 3, len(directory), directory, True),
            (georeference.DOUBLES, 12, len(numbers), tuple(numbers.values()), True),
        ]
        path = tmp_path / "keys.tif"
        tifffile.imwrite(path, np.zeros((1, 1), np.uint8), metadata=None, extratags=tags)
        return path

    return write


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "without projection method"),
        ({3075: 5}, r"projection method 5 \(ObliqueMercator_Rosenmund\)"),
        ({3075: 999}, r"projection method 999 \(unknown\)"),
        ({3075: 8, 3078: 45.0}, 'without "Latitude of 2nd standard parallel"'),
        ({3075: 11}, 'without "Latitude of 1st standard parallel"'),
        ({3075: 3, 3096: 20.0}, 'without "Azimuth'),
        ({3075: 9815, 3094: 20.0}, 'without "Angle from Rectified'),
        ({3075: 7, 3081: 48.0, 3092: 0.9}, "latitude of origin and a scale"),
        ({3075: 7, 3081: 48.0, 3078: 30.0}, "standard parallel and a latitude of origin"),
        ({3075: 15, 3081: 71.0, 3092: 0.9}, "origin that is no pole"),
        ({3075: 15, 3095: 12.0}, "origin that is no pole"),
    ],
)
def test_what_is_missing_or_unknown_is_named(keys, reason):
    with pytest.raises(NotUnderstood, match=reason):
        conversion(keys, DEGREE, METRE)


def test_azimuths_are_in_degrees_and_poles_at_100_grads():
    grad = DEGREE | {"name": "grad", "conversion_factor": np.pi / 200}
    with pytest.raises(NotUnderstood, match="azimuth that is not in degrees"):
        conversion({3075: 9815, 3094: 30.0, 3096: 20.0}, grad, METRE)
    pole = conversion({3075: 15, 3081: 100.0, 3092: 0.9}, grad, METRE)
    assert pole["method"]["name"] == "Polar Stereographic (variant A)"
