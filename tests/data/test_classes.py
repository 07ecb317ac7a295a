"""Class tables: the three that come along pixel by pixel, the user's own, and a dictionary as
independent reader.
"""

from collections import Counter

import numpy as np
import pytest

from data.classes import ClassTable
from data.files import IGNORE, InputError

BUILT_IN = ["esm", "catalonia", "deepglobe"]
ESM = ClassTable.load("esm")


def table(text: str, name: str = "mine") -> ClassTable:
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
def test_a_map_read_back_is_what_was_predicted_and_where_nothing_was(name):
    found = ClassTable.load(name)
    labels = np.array([[*range(len(found.names)), IGNORE]], np.uint8)
    codes = found.decode(labels)
    if found.coded_by_color:  # the map is a palette picture: its colours are what is read
        palette = np.zeros((256, 3), np.uint8)
        palette[list(found.colormap)] = list(found.colormap.values())
        assert codes.tolist() == [[*range(len(found.names)), found.nodata]]
        assert found.encode(palette[codes].transpose(2, 0, 1)).tolist() == labels.tolist()
    else:
        assert found.encode(codes, nodata=found.nodata).tolist() == labels.tolist()


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


# The user's own.


def test_a_csv_of_the_users_with_merged_codes_an_ignored_one_and_a_blank_line(tmp_path):
    path = tmp_path / "my classes.csv"
    lines = [
        "code,name,color,ignore",
        "7,wood,#008000,",
        "",
        " 3 , water ,#0000ff,no",
        "8,wood,#FF0000,",
    ]
    path.write_text("\n".join([*lines, "9,cloud,#FFFFFF,TRUE"]), encoding="utf-8-sig")
    found = ClassTable.load(path)
    assert found.name == "my classes"
    assert found.names == ["wood", "water"] and found.codes == [7, 3]
    assert found.colors == [(0, 128, 0), (0, 0, 255)]
    assert found.encode(np.array([[7, 8, 3, 9]], np.uint8)).tolist() == [[0, 0, 1, IGNORE]]
    assert found.nodata == 9


def test_the_ignore_column_is_optional(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,code,color\nwood,1,#008000\n")
    assert ClassTable.load(str(path)).encode(np.array([[1]])).tolist() == [[0]]


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
    assert ESM.nodata == 254  # 0 is merged into "other", and would be read back as that
    assert table("5,a,#000001 6,b,#000002,true").nodata == 6
    assert (
        table("5,a,#000001 -9999,b,#000002,true").nodata == 0
    )  # so that the map keeps its palette
    full = table(" ".join(f"{code},c{code % 100},#{code:06X}" for code in range(256)))
    assert full.nodata == 256 and full.dtype == np.uint16


@pytest.mark.parametrize(
    "lines, told",
    [
        ("code,name,color\n", "0 classes"),
        ("code,name,color\n1,a,#000000,\n", None),
        ("code,name\n1,a\n", "no column color"),
        ("code;name;color\n1;a;#000000\n", "no column code, color, name"),
        ("code,name,color\nx,a,#000000\n", "line 2: .*'x'.*integer or #RRGGBB"),
        ("code,name,color\n1.5,a,#000000\n", "line 2: .*'1.5'"),
        ("code,name,color\n1,a,red\n", "'red' is no colour"),
        ("code,name,color\n#12345,a,#000000\n", "'#12345' is no colour"),
        ("code,name,color\n1,a,#000000\n1,b,#000001\n", "code 1 stands twice"),
        ("code,name,color\n1,a,#000000\n#000001,b,#000001\n", "mixes integer codes and colours"),
        ("code,name,color,ignore\n1,a,#000000,maybe\n", "ignore is 'maybe'"),
        ("code,name,color,ignore\n1,a,#000000,true\n", "0 classes"),
        ("code,name,color\n1,,#000000\n2,,#000001\n", "line 2: code 1 has no name"),
        ("code,name,color\n1,a,#000000\n20000000,b,#000000\n", "codes from 1 to 20000000"),
        ("code,name,color\n99999999999999999999,a,#000000\n", "codes from 99999999999999999999"),
        ("code,name,color\n" + "".join(f"{i},c{i},#000000\n" for i in range(254)), None),
        ("code,name,color\n" + "".join(f"{i},c{i},#000000\n" for i in range(255)), "255 classes; a table has 1 to 254"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_says_where_it_is_wrong(tmp_path, lines, told):
    path = tmp_path / "t.csv"
    path.write_text(lines)
    if told is None:
        assert ClassTable.load(path).names
    else:
        with pytest.raises(InputError, match=told) as error:
            ClassTable.load(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_table_that_is_not_there_names_those_that_are(tmp_path):
    for name in ("nowhere", tmp_path / "t.csv", tmp_path):
        with pytest.raises(InputError, match="catalonia, deepglobe, esm"):
            ClassTable.load(name)


def test_a_file_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("code,name,color\n1,a,#000000\n".encode("utf-16"))
    with pytest.raises(InputError, match="UTF-8"):
        ClassTable.load(path)


# Codes that stand in no row.


def test_an_unknown_code_is_named_with_its_pixels_and_never_guessed():
    raster = np.ones((50, 50), np.uint8)
    raster[:30, :40], raster[0, 0] = 7, 9
    with pytest.raises(
        InputError,
        match=r"^mask: code 7 \(1,199 pixels\), 9 \(1 pixels\) not in the class table esm",
    ):
        ESM.encode(raster)


def test_many_unknown_codes_are_told_by_the_five_most_common():
    raster = np.repeat(np.arange(10, 18), np.arange(1, 9))[None]
    with pytest.raises(InputError, match=r"code 17 \(8 pixels\), .* 13 \(4 pixels\) and 3 more"):
        ESM.encode(raster)


def test_an_unknown_colour_is_named_as_a_colour():
    with pytest.raises(InputError, match=r"code #0A0B0C \(2 pixels\)"):
        ClassTable.load("deepglobe").encode(rgb("0A0B0C", "00FFFF", "0A0B0C"))


def test_unknown_codes_are_counted_over_blocks_and_then_complained_about_with_the_file():
    unknown = Counter()
    for block in ([[1, 7]], [[7, 7]], [[3, 255]]):
        labels = ESM.encode(np.array(block, np.uint8), unknown=unknown)
    assert labels.tolist() == [[IGNORE, 2]]
    assert unknown == {7: 3, 3: 1}
    with pytest.raises(InputError, match=r"^folder/mask.tif: code 7 \(3 pixels\), 3 \(1 pixels\)"):
        ESM.complain(unknown, "folder/mask.tif")


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


def test_the_declared_no_data_is_ignored_unless_the_table_knows_it():
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
    with pytest.raises(InputError, match="fractions"):
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


def test_masks_of_the_wrong_kind_are_told():
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
    lines = [
        f"{code},{random.choice(['a', 'b', 'c', 'd'])},#{code & 0xFFFFFF:06X},{random.choice(['', 'true'])}"
        for code in codes[:10]
    ]
    found = table(" ".join([f"{codes[10]},always,#123456,", *lines]))
    meaning = {
        code: IGNORE if ignore else found.names.index(name) for code, name, _, ignore in found.rows
    }

    raster = random.choice(np.array(codes), (9, 11)).astype(
        dtype
    )  # one code in twelve stands in no row
    unknown = Counter()
    labels = found.encode(raster, unknown=unknown)
    assert labels.tolist() == [
        [meaning.get(code, IGNORE) for code in row] for row in raster.tolist()
    ]
    assert unknown == Counter(code for code in raster.ravel().tolist() if code not in meaning)

    again = found.decode(labels)
    first = {}
    for code, name, _, ignore in found.rows:
        if not ignore:
            first.setdefault(found.names.index(name), code)
    assert again.tolist() == [
        [first.get(label, found.nodata) for label in row] for row in labels.tolist()
    ]
    assert np.array_equal(found.encode(again, nodata=found.nodata), labels)
