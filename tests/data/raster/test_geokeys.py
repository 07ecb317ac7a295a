"""GeoKeys: by hand first, then every CRS as rasterio writes and reads it."""

import contextlib
import random
import re
import sqlite3

import numpy as np
import pytest
import tifffile
from pyproj import CRS, Transformer
from pyproj.database import query_crs_info
from pyproj.datadir import get_data_dir
from pyproj.enums import PJType

from data.files import InputError
from data.grid import Grid
from data.raster import cog, geokeys, georeference, geotiff, sameplace
from data.raster.epsg import NotUnderstood
from data.raster.georeference import DIRECTORY, DOUBLES, SCALE, TEXTS, TIEPOINT
from data.raster.targetgrid import require_crs

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 6_000_000.0)

GEOGRAPHIC = (
    'GEOGCS["g",DATUM["d",SPHEROID["e",6378249.2,293.466]],PRIMEM["Greenwich",0],UNIT["%s",%.15g]]'
)
USER_DEFINED = [
    "+proj=tmerc +lat_0=10 +lon_0=5 +k=0.9996 +x_0=500000 +y_0=1000 +datum=WGS84",
    "+proj=tmerc +lon_0=9 +x_0=3500000 +ellps=bessel +towgs84=598.1,73.7,418.2,0.2,0.04,-2.4,6.7",
    "+proj=tmerc +lon_0=9 +x_0=3500000 +ellps=bessel +towgs84=598.1,73.7,418.2",
    "+proj=utm +zone=33 +ellps=GRS80",
    "+proj=utm +zone=33 +south +datum=WGS84 +units=us-ft",
    "+proj=laea +lat_0=50 +lon_0=12 +x_0=4321000 +y_0=3210000 +ellps=GRS80",
    "+proj=laea +lat_0=52 +lon_0=10 +x_0=1000000 +ellps=clrk66 +pm=paris +units=us-ft",
    "+proj=lcc +lat_1=45 +lat_2=50 +lat_0=47 +lon_0=3 +x_0=700000 +y_0=6600000 +datum=WGS84",
    "+proj=lcc +lat_1=46.5 +lat_0=46.5 +lon_0=3 +k_0=0.9998 +x_0=700000 +datum=NAD83 +units=us-ft",
    "+proj=lcc +lat_1=45 +lat_2=50 +lat_0=47 +lon_0=3 +x_0=700000 +a=6378000 +rf=297 +to_meter=2.5",
    "+proj=merc +lon_0=10 +k=0.997 +x_0=100 +y_0=200 +datum=WGS84",
    "+proj=merc +lat_ts=30 +lon_0=10 +x_0=100 +y_0=200 +datum=WGS84",
    "+proj=merc +a=6378137 +b=6378137",
    "+proj=merc +a=6378137 +b=6378137 +nadgrids=@null +wktext",
    "+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96 +datum=NAD83 +units=ft",
    "+proj=sinu +R=6371007.181",
    "+proj=moll +datum=WGS84",
    "+proj=longlat +ellps=bessel +pm=paris",
    "+proj=longlat +a=6371000 +b=6371000",
    GEOGRAPHIC % ("grad", 0.0157079632679489),
    GEOGRAPHIC % ("gon", 0.0157079632679489),
    GEOGRAPHIC % ("arc-second", 4.84813681109535e-06),
    GEOGRAPHIC % ("mil_6400", 0.000981747704246809),
    GEOGRAPHIC % ("a unit of no register", 0.0157),
    "ESRI:54009",
    "ESRI:102001",
]
EPSG = [3857, 4326, 3035, 25831, 32633, 2154, 27700, 2056, 5070, 3413, 2263, 31467]
EPSG += [4314, 4258, 27572]


def same_place(one: CRS, other: CRS) -> bool:
    """Whether equal coordinates of two CRSs lie within 0.01 mm of each other on the ground."""
    x, y = np.array([2e5, 5e5, 9e5]), np.array([1e5, 5e5, 3e6])
    if not one.is_projected:
        x, y = np.radians([[-5.0, 9.0, 20.0], [0.0, 30.0, 60.0]])
        x, y = (values / one.axis_info[0].unit_conversion_factor for values in (x, y))
    degrees = [
        Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
        for crs in (one, other)
    ]
    return np.isfinite(degrees).all() and np.allclose(*degrees, rtol=0, atol=1e-10)


def directory(entries: str) -> tuple[int, ...]:
    """The directory of entries (key, tag, count, value), written one behind the other."""
    numbers = tuple(map(int, entries.split()))
    return (1, 1, 0, len(numbers) // 4, *numbers)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (1, 1, 0),
        (1, 1, 0, 9, 1024, 0, 1),  # cut short
        directory("1024 0 1 1  3072 0 1 1"),  # no such code
        directory("1024 0 1 1  3072 0 1 32767"),  # user-defined, and nothing more
        directory("1024 0 1 1  3072 34736 1 0"),  # points to a tag that is not there
        directory("1024 0 1 2"),  # geographic, and nothing more
        directory("1024 0 1 1  1026 0 1 7"),  # a citation that is a number
        directory("1024 0 1 1  2048 0 1 4326  3072 0 1 32767  3075 0 1 99"),  # unknown method
        directory("1024 0 1 1  2048 0 1 4326  3072 0 1 32767  3075 0 1 8"),  # no parallels
    ],
)
def test_keys_that_cannot_be_decoded_give_no_crs_and_are_kept_unchanged(keys):
    tags = {
        DIRECTORY: keys,
        SCALE: (10.0, 10.0, 0.0),
        TIEPOINT: (0, 0, 0, 500_000.0, 6_000_000.0, 0),
    }
    assert georeference.decode(tags) == (None, NORTH_UP, tags)


def test_a_wkt_in_a_citation_is_read():
    wkt = CRS.from_epsg(2154).to_wkt("WKT1_GDAL")
    for text, key in ((wkt, 1026), (geokeys.PE_STRING + wkt, 3073)):
        entries = directory(f"1024 0 1 1  {key} {TEXTS} {len(text) + 1} 0")
        tags = {DIRECTORY: entries, TEXTS: text.encode() + b"|\0"}
        assert georeference.decode(tags)[0] == CRS.from_epsg(2154)


def test_mercator_is_variant_b_with_a_parallel_and_variant_a_without():
    base = {1024: 1, 2048: 4326, 3072: 32767, 3075: 7, 3080: 10.0}
    with_parallel = geokeys.decode(base | {3078: 30.0})
    with_scale = geokeys.decode(base | {3092: 0.99})
    assert same_place(with_parallel, CRS("+proj=merc +lat_ts=30 +lon_0=10"))
    assert same_place(with_scale, CRS("+proj=merc +k=0.99 +lon_0=10"))


def test_parameters_are_in_the_files_units():
    # Lambert zone II of France as its keys would spell it: grads for angles, metres for lengths.
    keys = {1024: 1, 2048: 4807, 2054: 9105, 3072: 32767, 3075: 9, 3076: 9001}
    keys |= {3081: 52.0, 3080: 0.0, 3092: 0.99987742, 3082: 600_000.0, 3083: 2_200_000.0}
    zone_2 = [
        Transformer.from_crs(crs, 4326, always_xy=True) for crs in (geokeys.decode(keys), 27572)
    ]
    assert zone_2[0].transform(7e5, 2.3e6) == pytest.approx(
        zone_2[1].transform(7e5, 2.3e6), rel=1e-13
    )
    # The same false easting, once in metres and once in kilometres.
    utm = {1024: 1, 2048: 4326, 3072: 32767, 3075: 1, 3080: 15.0, 3092: 0.9996}
    in_metres, in_kilometres = (
        geokeys.decode(utm | unit) for unit in ({3082: 5e5}, {3076: 9036, 3082: 500.0})
    )
    assert in_metres.equals(CRS.from_epsg(32633))
    utm_33 = [Transformer.from_crs(crs, 4326, always_xy=True) for crs in (in_metres, in_kilometres)]
    assert utm_33[0].transform(6e5, 5e6) == pytest.approx(utm_33[1].transform(600, 5000), rel=1e-13)


def test_a_projected_and_a_geographic_code_are_written_under_keys_of_their_own():
    # 1024 is the model (1 projected, 2 geographic), 1025 PixelIsArea, 3072 and 2048 the code.
    projected = directory("1024 0 1 1  1025 0 1 1  3072 0 1 32633")
    geographic = directory("1024 0 1 2  1025 0 1 1  2048 0 1 4326")
    assert georeference.encode(CRS.from_epsg(32633), NORTH_UP)[DIRECTORY] == projected
    assert georeference.encode(CRS.from_epsg(4326), NORTH_UP)[DIRECTORY] == geographic


# A user-defined geographic CRS on the ellipsoid Clarke 1880 (IGN), code 7011.
CLARKE = {1024: 2, 2048: 32767, 2050: 32767, 2056: 7011}


@pytest.mark.parametrize(
    ("unit", "radians"),
    [
        ({}, np.pi / 180),
        ({2054: 9102}, np.pi / 180),
        ({2054: 9104}, np.pi / 180 / 3600),
        ({2054: 9105}, np.pi / 200),
        ({2054: 9106}, np.pi / 200),  # gon, which is grad by another name
        ({2054: 9107}, np.pi / 180),  # degrees, written as degree, minute, second
        ({2054: 9114}, np.pi / 3200),
        ({2054: 9122}, np.pi / 180),
        ({2054: 32767, 2055: 0.0157}, 0.0157),
        ({2055: 0.0157}, 0.0157),
    ],
)
def test_the_axes_of_a_geographic_crs_are_in_the_files_unit(unit, radians):
    crs = geokeys.decode(CLARKE | unit)
    assert [axis.unit_conversion_factor for axis in crs.axis_info] == pytest.approx([radians] * 2)
    to_degrees = Transformer.from_crs(crs, CRS("+proj=longlat +R=6371000"), always_xy=True)
    x, y = np.radians([10, 50]) / radians
    assert to_degrees.transform(x, y)[0] == pytest.approx(10)


@pytest.mark.parametrize("unit", [9101, 9110, 9111, 9121, 5])
def test_radians_and_packed_and_unknown_angles_give_no_crs(unit):
    # pyproj takes radians (9101) for degrees. 9110 packs 50 degrees and 30 minutes into the number
    # 50.30: no multiple of a radian.
    assert geokeys.decode(CLARKE | {2054: unit}) is None


@pytest.mark.parametrize(
    ("keys", "degrees"),
    [
        ({}, 0),
        ({2051: 8901}, 0),
        ({2051: 8903}, 2.33722917),  # Paris, in EPSG 2.5969213 grads
        ({2051: 8903, 2054: 9105}, 2.33722917),
        ({2061: 2.33722917}, 2.33722917),
        ({2051: 32767, 2054: 9102, 2061: -9.5}, -9.5),
        ({2054: 9105, 2061: 0.0}, 0),
        ({2050: 6807, 2051: 8903}, 2.33722917),  # a datum on the meridian of Paris
        ({2050: 6275}, 0),  # the same on that of Greenwich
        ({2050: 6275, 2051: 8903}, 2.33722917),
        ({2050: 6275, 2061: 2.33722917}, 2.33722917),
        ({2050: 6326, 2051: 8901}, 0),
        ({2050: 6326, 2061: 0.0}, 0),
    ],
)
def test_the_prime_meridian_is_that_of_the_keys_else_of_the_datum(keys, degrees):
    crs = geokeys.decode(CLARKE | keys)
    meridian = crs.prime_meridian
    radians = meridian.longitude * meridian.unit_conversion_factor
    assert np.degrees(radians) == pytest.approx(degrees, abs=1e-9)
    if keys.get(2050) == 6326:  # WGS 84 keeps its datum, and so its code
        assert crs.datum.name == "World Geodetic System 1984 ensemble"


# A projected CRS by its code, with other keys.
UTM_33 = {1024: 1, 3072: 32633}
MERCATOR = {1024: 1, 2048: 4326, 3072: 32767, 3075: 7, 3080: 0.0, 3081: 0.0, 3092: 1.0}
PE_UTM_33 = geokeys.PE_STRING + CRS.from_epsg(32633).to_wkt("WKT1_ESRI")
TM = {1024: 1, 2048: 4326, 3072: 32767, 3075: 1, 3080: 15.0, 3082: 5e5, 3092: 0.9996}


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        (UTM_33 | {1024: 32767}, "EPSG:32633"),
        ({3072: 32633}, "EPSG:32633"),
        (UTM_33 | {3076: 9001, 2048: 4326, 2054: 9102, 2057: 6378137.0}, "EPSG:32633"),
        (UTM_33 | {2048: 32767, 2050: 6326, 4096: 5773, 4099: 9001}, "EPSG:32633"),
        (UTM_33 | {3076: 9002}, "+proj=utm +zone=33 +datum=WGS84 +units=ft"),
        (UTM_33 | {3076: 32767, 3077: 0.5}, "+proj=utm +zone=33 +datum=WGS84 +to_meter=0.5"),
        (UTM_33 | {2048: 4258}, "EPSG:25833"),
        (UTM_33 | {k: v for k, v in TM.items() if k > 3074}, "EPSG:32633"),  # the same parameters
        (UTM_33 | {2048: 12345}, "EPSG:32633"),
        ({1024: 1, 3072: 27572, 2048: 4807, 2054: 9102}, "EPSG:27572"),
        ({1024: 1, 3072: 2263, 3076: 9003}, "EPSG:2263"),
        ({1024: 1, 3072: 7405}, "EPSG:27700"),  # with heights
        ({1024: 2, 2048: 4979}, "EPSG:4326"),
        ({1024: 1, 3072: 28405}, "EPSG:28405"),
        ({1024: 1, 3072: 3785}, "EPSG:3857"),  # deprecated, and replaced by it
        ({1024: 1, 3072: 4326}, "EPSG:4326"),
        ({1024: 2, 2048: 4807}, "EPSG:4807"),
        ({1024: 2, 2048: 4807, 2054: 9105}, "EPSG:4807"),
        ({1024: 2, 2048: 4807, 2054: 9102}, "+proj=longlat +a=6378249.2 +b=6356515 +pm=paris"),
        (TM | {3076: 9001}, "EPSG:32633"),
        (TM | {2052: 9002, 3082: 5e5 / 0.3048}, "+proj=utm +zone=33 +datum=WGS84 +units=ft"),
        (TM | {3074: 16032}, "EPSG:32633"),  # GDAL, too, prefers the parameters
        (TM | {3073: PE_UTM_33}, "EPSG:32633"),
        (TM | {3073: PE_UTM_33[:90]}, "EPSG:32633"),  # cut short
        (MERCATOR | {1024: 2, 1026: "WGS 84 / Pseudo-Mercator"}, "EPSG:4326"),
        ({1024: 32767, 3073: PE_UTM_33}, "EPSG:32633"),
        (MERCATOR | {1026: "Google Maps Global Mercator"}, "EPSG:3857"),
        (MERCATOR | {1026: "WGS 84 / Pseudo-Mercator"}, "EPSG:3857"),
        (MERCATOR | {3073: "PCS Name = WGS_1984_Web_Mercator_Auxiliary_Sphere"}, "EPSG:3857"),
        (MERCATOR | {3074: 3856}, "EPSG:3857"),
        (MERCATOR | {1026: "World Mercator"}, "+proj=merc +datum=WGS84"),
    ],
)
def test_codes_and_other_keys_are_read_together_as_rasterio_reads_them(tmp_path, keys, same):
    crs = geokeys.understand(keys)
    assert sameplace.same_place(crs, CRS(same))
    rasterio = pytest.importorskip("rasterio")
    write_keys(tmp_path / "keys.tif", keys)
    with rasterio.open(tmp_path / "keys.tif") as dataset:
        assert same_place(crs, CRS.from_wkt(dataset.crs.to_wkt()))


def test_rounded_parameters_beside_a_code_do_not_matter():
    parameters = {key: value for key, value in TM.items() if key > 3074}
    assert geokeys.understand(UTM_33 | parameters | {3080: 15.000001}) == CRS.from_epsg(32633)
    with pytest.raises(NotUnderstood, match="another projection"):
        geokeys.understand(UTM_33 | parameters | {3080: 15.0001})


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({1024: 1, 3072: 54030}, "code 54030, which is no CRS of EPSG"),
        ({1024: 1, 3072: 5773}, "code 5773, which is no CRS of EPSG"),  # heights
        ({1024: 2, 2048: 4978}, "code 4978, which is no CRS of EPSG"),  # geocentric
        ({1024: 1, 3072: 2218}, "projection method Lambert Conic Conformal .West Orientated."),
        ({1024: 3, 2048: 4978}, "geocentric coordinates"),
        ({1024: 3}, "geocentric coordinates"),
        ({1024: 32767, 1026: "My grid"}, 'local coordinates .named "My grid".'),
        ({1024: 32767, 3073: 'LOCAL_CS["x",UNIT["metre",1]]'}, "local coordinates"),
        ({2048: 4326}, "local coordinates"),  # without a model, as for GDAL
        ({1024: 1, 3072: 32767, 1026: "UTM 33"}, "a CRS without datum and ellipsoid .named"),
        ({1024: 1, 3072: 32767, 2048: 4326}, "without projection method"),
        (UTM_33 | {2048: 4267}, "EPSG:32633 on another ellipsoid or prime meridian, NAD27"),
        (UTM_33 | {2048: 32767, 2050: 6267}, "on another ellipsoid"),
        (UTM_33 | {2056: 7004}, "on another ellipsoid"),
        ({1024: 1, 3072: 27572, 2048: 4275}, "on another ellipsoid or prime meridian"),
        (UTM_33 | {3076: 12345}, "linear unit 12345"),
        (UTM_33 | {3075: 1, 3080: 9.0}, "EPSG:32633 with the parameters of another projection"),
        ({1024: 2, 2048: 4326, 2054: 9105}, "EPSG:4326 with angles in grad"),
        ({1024: 2, 2048: 4326, 2054: 9101}, "angles in radians"),
        ({1024: 2, 2048: 32767, 2049: "NAD27"}, "a CRS without datum and ellipsoid"),
        ({1024: 2, 2048: 32767, 2050: 6807}, ".Paris. without its prime meridian"),
        ({1024: 2, 2048: 32767, 2050: 6275, 2054: 9105, 2061: 2.6}, "a prime meridian at 2.6 grad"),
        (MERCATOR | {1026: "Google Mercator"}, "Mercator that may be that of web maps"),
        (MERCATOR | {1026: "WGS 84 / Pseudo-Mercator", 3080: 5.0}, "may be that of web maps"),
        (TM | {3080: 9.0, 3073: PE_UTM_33}, "keys and WKT of different CRSs"),
        (TM | {3080: "fifteen"}, "its keys contradict each other"),
        ({1024: 2, 2048: 32767, 2056: 7030, 2062: (1.0, 2.0)}, "a shift of 2 numbers to WGS 84"),
        ({1024: 32767, 3073: 'GEOGCS["x",'}, 'local coordinates .named "GEOGCS'),  # cut short
        ({1024: 1, 2048: 32633, 3072: 32767, 3075: 1}, "its keys contradict each other"),
        ({1024: 32767, 3073: GEOGRAPHIC % ("radian", 1.0)}, "angles in radians"),
    ],
)
def test_a_crs_that_is_not_understood_is_named(tmp_path, keys, reason):
    with pytest.raises(NotUnderstood, match=reason):
        geokeys.understand(keys)
    write_keys(tmp_path / "keys.tif", keys)
    with geotiff.Raster(tmp_path / "keys.tif") as raster:
        assert raster.grid.crs is None and re.match(f".*{reason}", raster.crs_problem)
        assert raster.remarks[0].startswith(f"CRS not understood: {raster.crs_problem}; maps keep")
        with pytest.raises(InputError, match=f"keys.tif: CRS not understood: .*{reason}.*; assign"):
            require_crs(raster)


@pytest.mark.parametrize("keys", [{}, {1024: 1}, {1024: 2, 1025: 1}, {1024: 32767}])
def test_without_keys_of_a_crs_it_is_missing(tmp_path, keys):
    write_keys(tmp_path / "keys.tif", keys)
    with geotiff.Raster(tmp_path / "keys.tif") as raster:
        assert raster.grid.crs is raster.crs_problem is None and raster.remarks == []
        with pytest.raises(InputError, match="keys.tif: CRS is missing; assign it"):
            require_crs(raster)


def write_keys(path, keys: dict) -> None:
    """Write a GeoTIFF of one pixel with some GeoKeys."""
    entries, doubles, texts = [], (), b""
    for key, value in sorted(keys.items()):
        if isinstance(value, str):
            text = value.encode() + b"|"
            entries += [key, TEXTS, len(text), len(texts)]
            texts += text
        elif isinstance(value, float | tuple):
            values = value if isinstance(value, tuple) else (value,)
            entries += [key, DOUBLES, len(values), len(doubles)]
            doubles += values
        else:
            entries += [key, 0, 1, value]
    tags = [
        (SCALE, 12, 3, (1.0, 1.0, 0.0), True),
        (TIEPOINT, 12, 6, (0.0,) * 6, True),
        (DIRECTORY, 3, len(entries) + 4, (1, 1, 0, len(keys), *entries), True),
        (DOUBLES, 12, len(doubles), doubles, True),
        (TEXTS, 2, len(texts) + 1, texts + b"\0", True),
    ]
    tags = [tag for tag in tags if tag[3] and tag[3] != b"\0"]
    tifffile.imwrite(path, np.zeros((1, 1), np.uint8), metadata=None, extratags=tags)


@pytest.mark.parametrize("code", EPSG)
def test_an_epsg_code_is_written_as_that_code(code):
    crs = CRS.from_epsg(code)
    tags = georeference.encode(crs, NORTH_UP)
    model, key = (1, 3072) if crs.is_projected else (2, 2048)
    assert tags[DIRECTORY] == directory(f"1024 0 1 {model}  1025 0 1 1  {key} 0 1 {code}")
    assert TEXTS not in tags
    assert georeference.decode(tags)[:2] == (CRS.from_epsg(code), NORTH_UP)


def test_a_crs_that_only_resembles_an_epsg_code_does_not_get_it():
    # pyproj proposes 25833, which has the datum ETRS89.
    unknown_datum = CRS("+proj=utm +zone=33 +ellps=GRS80")
    assert unknown_datum.to_epsg() == 25833
    assert georeference.decode(georeference.encode(unknown_datum, NORTH_UP))[0] == unknown_datum


@pytest.mark.parametrize("definition", ["EPSG:4978", "EPSG:5773", 'LOCAL_CS["x",UNIT["metre",1]]'])
def test_a_crs_that_a_geotiff_cannot_hold_is_refused(definition):
    crs = CRS.from_user_input(definition)
    with pytest.raises(InputError, match=f"a GeoTIFF cannot hold the CRS {crs.name}; choose"):
        georeference.encode(crs, NORTH_UP)


@pytest.mark.parametrize("code", EPSG)
@pytest.mark.parametrize("dialect", ["WKT1_ESRI", "WKT1_GDAL", "WKT2_2019"])
def test_a_crs_that_came_by_way_of_wkt_still_gets_its_code(code, dialect):
    crs = CRS.from_wkt(CRS.from_epsg(code).to_wkt(dialect))
    assert georeference.encode(crs, NORTH_UP)[DIRECTORY][-1] == code


def test_axis_order_and_heights_do_not_matter_to_a_raster():
    for same in ("OGC:CRS84", "EPSG:4979", "EPSG:4326+5773"):
        assert georeference.decode(georeference.encode(CRS(same), NORTH_UP))[0] == CRS.from_epsg(
            4326
        )


@pytest.mark.parametrize("definition", USER_DEFINED + EPSG)
def test_a_crs_of_rasterio_is_read(tmp_path, definition):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "theirs.tif"
    size = {"width": 5, "height": 4, "transform": rasterio.Affine(*NORTH_UP)}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", crs=definition, **size
    ) as dataset:
        dataset.write(np.zeros((1, 4, 5), np.uint8))
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        theirs = CRS.from_wkt(dataset.crs.to_wkt())
        assert raster.grid.crs.equals(theirs, ignore_axis_order=True)
        assert same_place(raster.grid.crs, theirs)


@pytest.mark.parametrize("definition", USER_DEFINED + EPSG)
def test_a_written_crs_is_read_by_rasterio_and_by_us(tmp_path, definition):
    rasterio = pytest.importorskip("rasterio")
    path, crs = tmp_path / "ours.tif", CRS.from_user_input(definition)
    cog.write(path, np.zeros((4, 5), np.uint8), Grid(crs, NORTH_UP, 4, 5))
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        assert dataset.crs == rasterio.CRS.from_user_input(crs)
        assert same_place(CRS.from_wkt(dataset.crs.to_wkt()), crs)
        assert same_place(raster.grid.crs, crs)


METHODS = """
SELECT projected_crs.code, method_name FROM projected_crs JOIN conversion
ON conversion_auth_name = conversion.auth_name AND conversion_code = conversion.code
WHERE projected_crs.auth_name = 'EPSG'
"""


def sample(number: int) -> list[int]:
    """Codes of EPSG: one of each method, and others up to a number, by a fixed seed."""
    codes = [
        int(info.code)
        for kind in (PJType.PROJECTED_CRS, PJType.GEOGRAPHIC_2D_CRS)
        for info in query_crs_info("EPSG", pj_types=kind)
    ]
    random.Random(1).shuffle(codes)
    # From PROJ's database. pyproj would need seconds to make all the CRSs.
    with contextlib.closing(sqlite3.connect(f"{get_data_dir()}/proj.db")) as database:
        methods = dict(database.execute(METHODS))
    of_method: dict[str | None, int] = {}
    for code in codes:
        of_method.setdefault(methods.get(code), code)
    chosen = list(of_method.values())
    return chosen + codes[: number - len(chosen)]


def user_defined(crs: CRS) -> str:
    """WKT of a CRS without any code."""

    def without_codes(part):
        if isinstance(part, list):
            return list(map(without_codes, part))
        if not isinstance(part, dict):
            return part
        left_out = ("id", "ids", "bbox", "area", "scope", "usages")
        return {name: without_codes(one) for name, one in part.items() if name not in left_out}

    return CRS.from_json_dict(without_codes(crs.to_json_dict())).to_wkt()


def points_of(crs: CRS) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of five points in the area of use of a CRS."""
    west, south, east, north = crs.area_of_use.bounds
    east += 360 * (east < west)
    share = np.array([0.2, 0.5, 0.8, 0.35, 0.65])
    longitude, latitude = west + share * (east - west), south + share[::-1] * (north - south)
    unit = np.pi / 180 / crs.geodetic_crs.axis_info[0].unit_conversion_factor
    to_crs = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
    return to_crs.transform(longitude * unit, latitude * unit)


def places(transform, crs, base: CRS, x, y) -> np.ndarray:
    """(2, 5) longitude and latitude in radians of points, by a function that transforms."""
    unit = base.axis_info[0].unit_conversion_factor
    return unit * np.array(transform(crs, base, list(x), list(y)))


CODES = sample(50)


@pytest.mark.parametrize("form", ["code by rasterio", "keys by rasterio", "keys by us"])
@pytest.mark.parametrize("code", CODES)
def test_codes_of_every_method_are_placed_as_by_rasterio_or_not_understood(tmp_path, code, form):
    """The points lie within 1 mm of those of rasterio, on the geographic CRS of each side.

    rasterio reads some of its own files wrongly: it forgets that EPSG:9311 is on a sphere, for one.
    So the place may also be that of the CRS that rasterio was given to write.
    """
    rasterio = pytest.importorskip("rasterio")
    warp = pytest.importorskip("rasterio.warp")
    crs, path = CRS.from_epsg(code), tmp_path / "file.tif"
    definition = crs.to_wkt() if form == "code by rasterio" else user_defined(crs)
    given, pixel = rasterio.CRS.from_wkt(definition), np.zeros((1, 1), np.uint8)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": 1, "height": 1}
    profile["transform"] = rasterio.Affine(*NORTH_UP)
    try:
        if form == "keys by us":
            cog.write(path, pixel, Grid(CRS.from_wkt(definition), NORTH_UP, 1, 1))
        else:
            with rasterio.open(path, "w", crs=given, **profile) as dataset:
                dataset.write(pixel, 1)
    except (rasterio.errors.RasterioError, InputError):
        pytest.skip("the writer refuses this CRS")
    # GDAL writes a CRS that GeoTIFF cannot hold beside the file. That is not the matter here.
    path.with_name("file.tif.aux.xml").unlink(missing_ok=True)
    with rasterio.open(path) as dataset, geotiff.Raster(path) as raster:
        ours, theirs = raster.grid.crs, dataset.crs
        if ours is None:
            assert raster.crs_problem or theirs is None
            return
    read = CRS.from_wkt(theirs.to_wkt(version="WKT2_2019"))
    assert sameplace.same_earth(ours, read)
    if crs.is_geographic:
        assert sameplace.same_place(ours, read)
        return

    def by_pyproj(one, base, x, y):
        return Transformer.from_crs(one, base, always_xy=True).transform(x, y)

    def by_rasterio(one, base, x, y):
        return warp.transform(one, rasterio.CRS.from_wkt(base.to_wkt()), x, y)

    x, y = points_of(crs)
    place = places(by_pyproj, ours, ours.geodetic_crs, x, y)
    expected = [
        places(by_rasterio, theirs, read.geodetic_crs, x, y),
        places(by_rasterio, given, crs.geodetic_crs, x, y),
    ]
    apart = [6.4e6 * np.abs(place - one).max() for one in expected]
    assert min(apart) < 1e-3 + 1e-3 * ("Equal" in crs.coordinate_operation.method_name)
