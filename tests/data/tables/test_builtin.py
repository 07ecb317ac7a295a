"""The class tables of this package against the legends of their products, and against real files.

WorldCover, Sen1Floods11, HLS tiles and aerial images of Dubai are read from ../shared/realdata.
"""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from data.classes import TABLES, ClassTable
from data.files import IGNORE, InputError
from data.grid import Window
from data.raster import Raster
from data.tables import KNOWN, listed
from data.terminal import Parser
from data.training.mask import Mask
from data.training.options import add_data_options

REAL = Path(__file__).parents[4] / "shared/realdata"
real = pytest.mark.skipif(not REAL.is_dir(), reason="no real data beside the project")

# The legend of CORINE Land Cover: level 2 -> number of its classes at level 3.
LEVEL_3 = {"11": 2, "12": 4, "13": 3, "14": 2, "21": 3, "22": 3, "23": 1, "24": 4, "31": 3,
           "32": 4, "33": 5, "41": 2, "42": 3, "51": 2, "52": 3}  # fmt: skip
CLC = [int(f"{two}{third}") for two, count in LEVEL_3.items() for third in range(1, count + 1)]


def color(table: ClassTable, name: str) -> str:
    return "#%02X%02X%02X" % table.colors[table.names.index(name)]


def test_every_table_is_explained_where_tables_are_named():
    assert sorted(KNOWN) == sorted(path.stem for path in TABLES.glob("*.csv"))
    with pytest.raises(InputError) as error:
        ClassTable.load("nowhere")
    parser = Parser("x")
    add_data_options(parser)
    shown = " ".join(parser.format_help().split())
    for text in (str(error.value), shown):
        assert listed() in text and "esm (European Settlement Map: built-up areas)" in text
        assert "catalonia (Land Cover Map of Catalonia)" in text


@pytest.mark.parametrize(("name", "digits"), [("corine", 1), ("corine2", 2)])
def test_grid_codes_and_clc_codes_are_the_same_classes_of_corine(name, digits):
    table, levels = ClassTable.load(name), [str(code)[:digits] for code in CLC]
    assert len(CLC) == 44 and len(table.names) == len(set(levels))
    grid = table.encode(np.arange(1, 45, dtype=np.uint8)[None])
    np.testing.assert_array_equal(grid, table.encode(np.array([CLC], np.int16)))
    # Labels follow the order of the levels: 1 to 5, or 11 to 52.
    assert grid[0].tolist() == [sorted(set(levels)).index(level) for level in levels]
    ignored = np.array([[48, 49, 50, 128, 255, -128, 990, 995, 999]], np.int16)
    assert (table.encode(ignored) == IGNORE).all() and table.nodata == 48
    assert table.encode(np.array([[-128, 1]], np.int8), nodata=-128).tolist() == [[IGNORE, 0]]
    for unknown in (0, 45, 110, 143, 524):
        with pytest.raises(InputError, match=f"code {unknown} "):
            table.encode(np.array([[unknown]], np.int16))


def test_classes_of_corine_have_the_colour_of_their_first_class_of_level_3():
    one, two = ClassTable.load("corine"), ClassTable.load("corine2")
    assert color(one, "artificial surfaces") == color(two, "urban fabric") == "#E6004D"  # 111
    assert color(one, "agricultural areas") == color(two, "arable land") == "#FFFFA8"  # 211
    assert color(one, "water bodies") == color(two, "inland waters") == "#00CCF2"  # 511
    assert color(two, "marine waters") == "#00FFA6"  # 521, coastal lagoons
    assert color(two, "industrial, commercial and transport units") == "#CC4DF2"  # 121


def test_dynamic_world_has_nine_classes_from_0_in_its_own_colours():
    table = ClassTable.load("dynamicworld")
    assert table.codes == [*range(9)] and table.nodata == 255
    assert color(table, "water") == "#419BDF" and table.names[0] == "water"
    assert color(table, "built") == "#C4281B" and table.names[6] == "built"
    assert color(table, "snow and ice") == "#B39FE1" and table.names[8] == "snow and ice"


def test_sen1floods11_ignores_minus_1_and_its_maps_are_bytes():
    table = ClassTable.load("sen1floods11")
    assert table.encode(np.array([[-1, 0, 1]], np.int16)).tolist() == [[IGNORE, 0, 1]]
    assert table.names == ["land", "water"] and table.nodata == 255 and table.dtype == np.uint8


@real
@pytest.mark.parametrize("year", ["2020_v100", "2021_v200"])
def test_worldcover_has_the_colours_of_the_published_files(year):
    table = ClassTable.load("worldcover")
    with Raster(REAL / f"labels/ESA_WorldCover_10m_{year}_N00E006_Map.tif") as raster:
        assert raster.nodata == table.nodata == 0
        declared = {code: raster.colormap[code][:3] for code in table.codes}
        labels = table.encode(raster.read(Window(3000, 3000, 500, 500)), raster.nodata)
    assert declared == table.colormap and len(declared) == 11
    assert set(np.unique(labels)) <= {*range(11), IGNORE}


@real
@pytest.mark.parametrize(
    ("name", "masks", "classes"),
    [
        ("worldcover", "hls-worldcover/masks/*.tif", 10),  # no mangroves
        ("sen1floods11", "sen1floods11/*LabelHand.tif", 2),
    ],
)
def test_the_masks_of_the_results_are_read_by_their_table(name, masks, classes):
    table, seen = ClassTable.load(name), set()
    for path in sorted(REAL.glob(masks)):
        with Mask(path, table) as mask:
            seen |= set(np.unique(mask.read(Window(0, 0, mask.grid.height, mask.grid.width))))
            mask.check()
    assert len(seen - {IGNORE}) == classes


@real
def test_the_masks_of_dubai_are_read_by_their_published_colours():
    table, seen = ClassTable.load("dubai"), set()
    assert [f"{code:06X}" for code, *_ in table.rows] == [
        "8429F6", "3C1098", "6EC1E4", "FEDD3A", "E2A929", "9B9B9B", "000000",
    ]  # fmt: skip
    for path in sorted(REAL.glob("dubai-aerial/Tile */masks/*_00[12].png")):
        mask = np.moveaxis(imagecodecs.imread(str(path)), 2, 0)
        seen |= set(np.unique(table.encode(mask)))
    assert seen == {*range(5), IGNORE}
