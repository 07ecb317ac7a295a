"""The metadata of a Sentinel-2 product: data/raster/safexml.py."""

import os
import re

import numpy as np
import products
import pytest

from data.files import InputError
from data.raster import safexml

OFFSET = '<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>'


@pytest.fixture
def files(tmp_path):
    """The two files of a product of one band."""
    path = products.write(tmp_path, {("B02", 10): np.full((4, 6), 2000)})
    return path / "MTD_MSIL2A.xml", next(path.rglob("MTD_TL.xml"))


def test_the_values_are_read(files):
    quantification, offsets, nodata = safexml.read_calibration(files[0])
    assert (quantification, nodata, len(offsets), {*offsets.values()}) == (10000, 0, 13, {-1000})
    grid = safexml.read_tile(files[1], 10)
    assert (grid.height, grid.width, grid.crs.to_epsg()) == (4, 6, 32632)
    assert grid.transform == (10, 0, 600000, 0, -10, 5100000)


@pytest.mark.parametrize("value", ["0", "-10000", "nan", "inf", "-inf", "1e-300", "1e300", "abc"])
def test_a_quantification_value_beyond_its_limits_names_the_file(files, value):
    text = files[0].read_text().replace(">10000</BOA_Q", f">{value}</BOA_Q")
    files[0].write_text(text)
    message = f"{files[0]}: not the metadata of a Sentinel-2 product (BOA_QUANTIFICATION_VALUE is "
    with pytest.raises(InputError, match=f"^{re.escape(message)}{value}, expected a number"):
        safexml.read_calibration(files[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (OFFSET, OFFSET.replace("-1000", "nan"), "BOA_ADD_OFFSET is nan, expected a number"),
        (OFFSET, OFFSET.replace("-1000", "-inf"), "BOA_ADD_OFFSET is -inf"),
        (OFFSET, OFFSET.replace("-1000", "1e30"), "BOA_ADD_OFFSET is 1e30"),
        (OFFSET, OFFSET.replace("-1000", ""), "BOA_ADD_OFFSET is empty"),
        (OFFSET, OFFSET.replace('"3"', '"33"'), "a BOA_ADD_OFFSET is of no band"),
        ("INDEX>0<", "INDEX>-1<", "SPECIAL_VALUE_INDEX is -1"),
        ("INDEX>0<", "INDEX>nan<", "SPECIAL_VALUE_INDEX is nan"),
        ("BOA_QUANT", "AOT_QUANT", "QUANTIFICATION_VALUE is missing"),
    ],
)
def test_other_values_of_the_product_name_the_file_too(files, old, new, message):
    text = files[0].read_text()
    assert old in text
    files[0].write_text(text.replace(old, new))
    with pytest.raises(InputError, match="MTD_MSIL2A.xml: not the metadata.*" + message):
        safexml.read_calibration(files[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<NROWS>4<", "<NROWS>0<", "NROWS is 0, expected a number from 1 to 100000"),
        ("<NROWS>4<", "<NROWS>-4<", "NROWS is -4"),
        ("<NCOLS>6<", "<NCOLS>99999999999999999999<", "NCOLS is 99999999999999999999"),
        ("<NCOLS>6<", "<NCOLS>nan<", "NCOLS is nan"),
        ("<NCOLS>6<", "<NCOLS/><", "damaged"),
        ("<ULX>600000<", "<ULX>inf<", "ULX is inf"),
        ("<XDIM>10<", "<XDIM>0<", "XDIM is 0, expected 10"),
        ("<YDIM>-10<", "<YDIM>10<", "YDIM is 10, expected -10"),
        ("EPSG:32632", "EPSG:4326", "HORIZONTAL_CS_CODE is EPSG:4326, expected a UTM zone"),
        ("EPSG:32632", "EPSG:32699", "32699"),
        ("EPSG:32632", "", "HORIZONTAL_CS_CODE is missing"),
    ],
)
def test_values_of_the_tile_name_the_file(files, old, new, message):
    text = files[1].read_text()
    assert old in text
    files[1].write_text(text.replace(old, new))
    with pytest.raises(InputError, match=f"{files[1]}: .*" + message):
        safexml.read_tile(files[1], 10)


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "unknown encoding"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "multi-byte encodings"),
        (f"{BOMB}<a>&c;</a>".encode(), "it declares a document type"),
        (b"<a>" + b" " * 2**22 + b"</a>", "it has more than 4 MiB"),
        (b"", "no element found"),
        (b"\xff\xfe\0", "it is not XML"),
    ],
)
def test_damaged_and_hostile_xml_is_refused_by_name(files, content, message):
    for path, read in ((files[0], safexml.read_calibration), (files[1], safexml.read_tile)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"^{path}: damaged .*{message}.*download"):
            read(path, 10) if read is safexml.read_tile else read(path)


def test_another_encoding_that_is_known_is_read(files):
    text = files[0].read_text().replace('encoding="UTF-8"', 'encoding="UTF-16"')
    files[0].write_bytes(text.encode("utf-16"))
    assert safexml.read_calibration(files[0]).quantification == 10000


def test_a_pipe_a_device_and_a_folder_are_refused_without_opening_them(files, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for target, kind in (("/dev/zero", "a pipe"), (tmp_path / "pipe", "a pipe"), ("/", "a folder")):
        files[0].unlink()
        files[0].symlink_to(target)
        with pytest.raises(InputError, match=f"MTD_MSIL2A.xml: is {kind}"):
            safexml.read_calibration(files[0])
