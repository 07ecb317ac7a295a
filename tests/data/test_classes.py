"""Class tables: the three of this package pixel by pixel, tables of the user, and random tables
compared with a dictionary.
"""

from collections import Counter

import numpy as np
import pytest

from data.classes import TABLES, ClassTable
from data.files import IGNORE, InputError
from data.tables.tally import Tally

# Every table in data/tables, so that a new one is tested, too.
BUILT_IN = sorted(path.stem for path in TABLES.glob("*.csv"))
ESM = ClassTable.load("esm")


def table(text: str, name: str = "own") -> ClassTable:
    """A table from the lines of a CSV file without its header."""
    records = [
        dict(zip(("code", "name", "color", "ignore"), line.split(","))) for line in text.split()
    ]
    return ClassTable.from_records(name, records)


def rgb(*colors: str) -> np.ndarray:
    """(3, 1, n) uint8 from colours such as '00FFFF'."""
    return np.array([list(bytes.fromhex(color)) for color in colors], np.uint8).T[:, None]


# The tables that come along.


def test_esm_merges_0_and_1_and_makes_labels_of_250_and_255():
    assert ESM.names == ["other", "non-residential", "residential"]
    labels = ESM.encode(np.array([[0, 1], [250, 255]], np.uint8))
    assert labels.tolist() == [[0, 0], [1, 2]] and labels.dtype == np.uint8


def test_labels_become_the_code_that_stands_first_again():
    codes = ESM.decode(np.array([[0, 1, 2]], np.uint8))
    assert codes.tolist() == [[1, 250, 255]] and codes.dtype == np.uint8


def test_255_is_residential_in_the_raster_and_no_label_inside():
    assert ESM.encode(np.array([[255]], np.uint8))[0, 0] == 2
    assert ESM.decode(np.array([[IGNORE]], np.uint8))[0, 0] == ESM.nodata != 255


def test_catalonia_has_12_classes_and_ignores_0():
    found = ClassTable.load("catalonia")
    assert len(found.names) == 12 and found.nodata == 0
    assert found.encode(np.array([[0, 1, 12]], np.uint8)).tolist() == [[IGNORE, 0, 11]]


def test_deepglobe_reads_colours_with_black_as_unknown():
    found = ClassTable.load("deepglobe")
    assert found.names[:3] == ["urban land", "agriculture land", "rangeland"]
    assert found.encode(rgb("00FFFF", "FFFF00", "FF00FF", "FFFFFF", "000000")).tolist() == [
        [0, 1, 2, 5, IGNORE]
    ]


def test_the_fourth_band_of_a_colour_mask_is_left_out():
    opaque = np.concatenate([rgb("00FFFF", "0000FF"), np.full((1, 1, 2), 77, np.uint8)])
    assert ClassTable.load("deepglobe").encode(opaque).tolist() == [[0, 4]]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_table_survives_the_checkpoint_as_plain_strings(name):
    found = ClassTable.load(name)
    assert all(isinstance(value, str) for record in found.records for value in record.values())
    assert ClassTable.from_records(name, found.records) == found


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_class_has_its_own_colour_and_fits_a_palette(name):
    found = ClassTable.load(name)
    assert len(set(found.colors)) == len(found.names) == len(found.colormap)
    assert found.dtype == np.uint8
    assert [found.colormap[code] for code in found.codes] == found.colors


# A map is read back as a mask.

COLORED = {
    "displayed as they are": "#FF0000,a,#FF0000 #0000FF,b,#0000FF #000000,none,#000000,true",
    "displayed in other colours": "#FF0000,a,#FFA000 #0000FF,b,#00A0FF #000000,none,#000000,true",
    "displayed in the colour of another class": "#FF0000,a,#0000FF #0000FF,b,#FF0000",
    "displayed in the colour of an ignored row": "#FF0000,a,#000000 #000000,none,#000000,true",
    "two classes displayed in one colour": "#FF0000,a,#808080 #0000FF,b,#808080",
    "two rows of one class": "#FF0000,a,#00FF00 #0000FF,b,#0000FF #00FF00,a,#000001",
    "black is a class": "#000000,tar,#101010 #FFFFFF,snow,#F0F0F0",
}


@pytest.mark.parametrize("found", [ClassTable.load(name) for name in BUILT_IN], ids=BUILT_IN)
def test_a_map_of_a_table_of_this_package_is_read_back(found):
    labels = np.array([[*range(len(found.names)), IGNORE]], np.uint8)
    codes = found.decode(labels)
    assert found.encode(codes, found.nodata, colormap=found.colormap).tolist() == labels.tolist()
    if not found.coded_by_color:  # a palette changes nothing
        assert found.encode(codes, found.nodata).tolist() == labels.tolist()


@pytest.mark.parametrize("name", COLORED)
def test_a_map_of_a_table_coded_by_colours_is_read_back_through_its_palette(name):
    found = table(COLORED[name])
    labels = np.array([[0, 1, IGNORE], [0, IGNORE, 1]], np.uint8) % len(found.names)
    labels[0, 2] = labels[1, 1] = IGNORE
    palette = {value: (0, 0, 0) for value in range(256)} | found.colormap  # as in a TIFF file
    codes = found.decode(labels)
    assert found.encode(codes, found.nodata, colormap=palette).tolist() == labels.tolist()


def test_a_map_shows_the_display_colours_unless_they_are_the_codes_of_others():
    orange, blue, red = (255, 160, 0), (0, 0, 255), (255, 0, 0)
    assert table("#FF0000,a,#FFA000 #0000FF,b,#00A0FF").colormap[0] == orange
    assert table("#FF0000,a,#0000FF #0000FF,b,#FF0000").colormap == {0: red, 1: blue}
    assert table("#FF0000,a,#808080 #0000FF,b,#808080").colormap == {0: red, 1: blue}


def test_a_palette_mask_of_somebody_else_is_read_by_its_colours():
    found = table(COLORED["displayed in other colours"])
    colormap = {7: (255, 0, 0), 300: (0, 0, 255, 128), 0: (0, 0, 0), 9: (0, 255, 0)}
    values = np.array([[[7, 300, 0, 7]]], np.uint16)
    assert found.encode(values, colormap=colormap).tolist() == [[0, 1, IGNORE, 0]]
    assert found.encode(values, nodata=7, colormap=colormap).tolist() == [
        [IGNORE, 1, IGNORE, IGNORE]
    ]
    with pytest.raises(InputError, match=r"code #00FF00 \(2 pixels\) not in the class table"):
        found.encode(np.array([[9, 9]], np.uint8), colormap=colormap)
    with pytest.raises(InputError, match="value 8 has no colour"):
        found.encode(np.array([[7, 8]], np.uint8), colormap=colormap)


def test_a_table_of_integers_reads_the_values_of_a_palette_mask():
    colormap = {0: (255, 0, 0), 250: (0, 0, 0), 255: (1, 1, 1)}
    assert ESM.encode(np.array([[0, 250, 255]], np.uint8), colormap=colormap).tolist() == [
        [0, 1, 2]
    ]


# Pure colours.

PURE = "#00FFFF,town,#00FFFF #FFFF00,field,#C8B478 #000000,unknown,#000000,true"


def test_colours_near_pure_ones_are_those_of_the_table_and_are_counted():
    found, tally = table(PURE), Tally()
    mask = rgb("00FFFF", "017FFE", "FEFE00", "7F7F7F", "00FFFF")
    mask[1, 0, 1] = 128  # 127 would make it blue
    assert found.pure
    assert found.encode(mask, tally=tally).tolist() == [[0, 0, 1, IGNORE, 0]]
    assert (tally.rounded, tally.far, tally.pixels) == (3, 2, 5)


def test_a_pure_colour_without_a_row_is_unknown_also_after_rounding():
    with pytest.raises(InputError, match=r"code #FF0000 \(2 pixels\) not in the class table"):
        table(PURE).encode(rgb("FE0102", "FF0000", "00FFFF"))


@pytest.mark.parametrize("row", ["#00FFFE,near,#00FFFE", "#3C1098,house,#3C1098,true"])
def test_a_table_with_any_other_colour_is_matched_exactly(row):
    found, tally = table(f"{PURE} {row}"), Tally()
    assert not found.pure
    found.encode(rgb("01FFFF", "00FFFF"), tally=tally)
    assert tally.unknown == {0x01FFFF: 1} and tally.rounded == 0


def test_the_colours_of_a_palette_are_rounded_and_its_no_data_is_not():
    found, tally = table(PURE), Tally()
    colormap = {1: (2, 254, 255), 2: (255, 255, 0), 3: (0, 255, 254)}
    labels = found.encode(np.array([[1, 2, 3, 1]], np.uint8), 3, tally, colormap)
    assert labels.tolist() == [[0, 1, IGNORE, 0]] and tally.rounded == 2


def test_a_map_in_display_colours_is_read_back_without_rounding():
    found, tally = table(PURE), Tally()
    assert found.colormap[1] == (0xC8, 0xB4, 0x78)
    assert found.encode(np.array([[0, 1]], np.uint8), None, tally, found.colormap).tolist() == [
        [0, 1]
    ]
    assert tally.rounded == 0


def test_pixels_that_are_not_valid_are_no_label_whatever_they_hold():
    tally, valid = Tally(), np.array([[True, False, False]])
    assert ESM.encode(np.array([[1, 1, 99]], np.uint8), tally=tally, valid=valid).tolist() == [
        [0, IGNORE, IGNORE]
    ]
    labels = table(PURE).encode(rgb("00FFFF", "00FFFF", "010101"), tally=tally, valid=valid)
    assert labels.tolist() == [[0, IGNORE, IGNORE]]
    assert not tally.unknown and tally.rounded == 0


# The user's own.


def test_a_code_may_be_negative_or_beyond_a_byte_and_the_map_then_has_no_palette():
    found = table("-1,sea,#0000FF 1000,land,#00FF00")
    labels = found.encode(np.array([[-1, 1000]], np.int16))
    assert labels.tolist() == [[0, 1]]
    codes = found.decode(labels)
    assert codes.tolist() == [[-1, 1000]] and codes.dtype == np.int16
    assert found.colormap is None


@pytest.mark.parametrize(
    "low, high, dtype",
    [
        (1, 255, np.uint8),
        (0, 256, np.uint16),
        (-1, 100, np.int16),
        (-1, 40000, np.int32),
        (2**32 - 2, 2**32 - 1, np.uint32),
        (-(2**31), 1 - 2**31, np.int32),
    ],
)
def test_a_map_has_the_smallest_type_that_holds_its_codes(low, high, dtype):
    found = table(f"{low},a,#000000 {high},b,#FFFFFF")
    assert found.dtype == dtype
    assert found.decode(np.array([[0, 1]], np.uint8)).tolist() == [[low, high]]


def test_no_data_of_a_map_is_no_code_of_the_table():
    assert table("1,a,#000001").nodata == 0
    assert table("1,a,#000001 0,b,#000002").nodata == 255
    assert ESM.nodata == 254  # 0 is merged into "other", and would be read back as "other"
    assert table("5,a,#000001 6,b,#000002,true").nodata == 6
    # -9999 does not fit in a byte, and the map would have no palette.
    assert table("5,a,#000001 -9999,b,#000002,true").nodata == 0
    full = table(" ".join(f"{code},c{code % 100},#{code:06X}" for code in range(256)))
    assert full.nodata == 256 and full.dtype == np.uint16


# Codes that stand in no row.


def test_an_unknown_code_is_named_with_its_pixels_and_never_guessed():
    raster = np.ones((50, 50), np.uint8)
    raster[:30, :40], raster[0, 0] = 7, 9
    with pytest.raises(
        InputError,
        match=r"^mask: code 7 \(1,199 pixels\), 9 \(1 pixels\) not in the class table esm",
    ):
        ESM.encode(raster)


def test_of_many_unknown_codes_the_five_most_common_are_named():
    raster = np.repeat(np.arange(10, 18), np.arange(1, 9))[None]
    with pytest.raises(InputError, match=r"code 17 \(8 pixels\), .* 13 \(4 pixels\) and 3 more"):
        ESM.encode(raster)


def test_an_unknown_colour_is_named_as_a_colour():
    with pytest.raises(InputError, match=r"code #FF0000 \(2 pixels\)"):
        ClassTable.load("deepglobe").encode(rgb("FF0000", "00FFFF", "FF0000"))


def test_unknown_codes_are_counted_over_blocks_and_then_complained_about_with_the_file():
    tally = Tally()
    for block in ([[1, 7]], [[7, 7]], [[3, 255]]):
        labels = ESM.encode(np.array(block, np.uint8), tally=tally)
    assert labels.tolist() == [[IGNORE, 2]]
    assert tally.unknown == {7: 3, 3: 1} and tally.pixels == 6
    with pytest.raises(InputError, match=r"^folder/mask.tif: code 7 \(3 pixels\), 3 \(1 pixels\)"):
        ESM.complain(tally.unknown, "folder/mask.tif")


def test_nothing_unknown_is_no_complaint():
    assert ESM.complain(Counter(), "mask.tif") is None


@pytest.mark.parametrize(
    "code, dtype",
    [
        (-1, np.int8),
        (256, np.uint16),
        (-(2**63), np.int64),
        (2**64 - 1, np.uint64),
        (2**32, np.int64),
    ],
)
def test_a_code_beyond_a_byte_does_not_wrap_round_to_a_known_one(code, dtype):
    for known in (ESM, table("-1,a,#000000 0,b,#000001 254,c,#000002 255,d,#000003")):
        if code == -1 and known is not ESM:
            continue
        with pytest.raises(InputError, match=rf"code {code} \(1 pixels\)"):
            known.encode(np.array([[code, 0]], dtype))


# No-data.


def test_the_declared_no_data_is_ignored_unless_it_is_a_code_of_the_table():
    raster = np.array([[0, 1, 99]], np.uint8)
    assert ESM.encode(raster, nodata=99).tolist() == [[0, 0, IGNORE]]
    assert ESM.encode(np.array([[0, 1]], np.uint8), nodata=0).tolist() == [[0, 0]]
    assert ESM.encode(np.array([[0, 1, np.nan]]), nodata=0).tolist() == [[0, 0, IGNORE]]


@pytest.mark.parametrize(
    "nodata", [-9999.0, -3.4028234663852886e38, 1e20, 0.5, float("nan"), float("inf")]
)
def test_masks_of_floats_are_read_with_nan_and_whatever_they_declare_as_no_data(nodata):
    raster = np.array([[1, 250, nodata, np.nan]], np.float32)
    assert ESM.encode(raster, nodata=nodata).tolist() == [[0, 1, IGNORE, IGNORE]]


@pytest.mark.parametrize("value", [1.5, np.inf, -np.inf])
def test_a_mask_with_fractions_is_no_mask_of_classes(value):
    with pytest.raises(InputError, match=rf"fractions or infinity \({value}\)"):
        ESM.encode(np.array([[1, value]], np.float64))


def test_an_unknown_whole_float_is_named_as_an_integer():
    with pytest.raises(InputError, match=r"code 7 \(2 pixels\)"):
        ESM.encode(np.array([[1, 7, 7]], np.float32))


def test_no_data_outside_the_rasters_type_is_nowhere_in_it():
    assert ESM.encode(np.array([[0, 255]], np.uint8), nodata=-9999.0).tolist() == [[0, 2]]


# Shapes and types.


def test_one_band_may_come_with_or_without_its_axis():
    raster = np.array([[0, 250]], np.uint8)
    assert ESM.encode(raster[None]).tolist() == ESM.encode(raster).tolist() == [[0, 1]]


def test_masks_of_the_wrong_kind_are_refused():
    with pytest.raises(InputError, match="must have one band, not 3"):
        ESM.encode(rgb("000000"))
    with pytest.raises(InputError, match="8-bit RGB, not 1 bands of uint8"):
        ClassTable.load("deepglobe").encode(np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(InputError, match="8-bit RGB, not 3 bands of uint16"):
        ClassTable.load("deepglobe").encode(np.zeros((3, 2, 2), np.uint16))


def test_a_mask_of_bits_is_read():
    assert table("0,no,#000000 1,yes,#FFFFFF").encode(np.array([[True, False]])).tolist() == [
        [1, 0]
    ]


def test_the_raster_itself_is_not_changed():
    raster = np.array([[0, 250, 99]], np.uint8)
    raster.flags.writeable = False
    ESM.encode(raster, nodata=99)
    labels = np.array([[0, IGNORE]], np.uint8)
    labels.flags.writeable = False
    ESM.decode(labels)
    assert raster.tolist() == [[0, 250, 99]]


# Against a dictionary, pixel by pixel.


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.float32])
def test_random_tables_read_random_masks_as_a_dictionary_does(seed, dtype):
    random = np.random.default_rng(seed)
    lowest = -300 if np.dtype(dtype).kind in "if" else 0
    codes = random.choice(
        np.arange(lowest, 256 if dtype == np.uint8 else 2000), 12, replace=False
    ).tolist()
    lines = []
    for code in codes[:10]:
        name, ignore = random.choice(["a", "b", "c", "d"]), random.choice(["", "true"])
        lines.append(f"{code},{name},#{code & 0xFFFFFF:06X},{ignore}")
    found = table(" ".join([f"{codes[10]},always,#123456,", *lines]))
    meaning = {
        code: IGNORE if ignore else found.names.index(name) for code, name, _, ignore in found.rows
    }

    # One code in twelve has no row.
    raster = random.choice(np.array(codes), (9, 11)).astype(dtype)
    tally = Tally()
    labels = found.encode(raster, tally=tally)
    assert labels.tolist() == [
        [meaning.get(code, IGNORE) for code in row] for row in raster.tolist()
    ]
    assert tally.unknown == Counter(code for code in raster.ravel().tolist() if code not in meaning)

    again = found.decode(labels)
    first = {}
    for code, name, _, ignore in found.rows:
        if not ignore:
            first.setdefault(found.names.index(name), code)
    assert again.tolist() == [
        [first.get(label, found.nodata) for label in row] for row in labels.tolist()
    ]
    assert np.array_equal(found.encode(again, nodata=found.nodata), labels)
