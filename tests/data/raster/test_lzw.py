"""Blocks of LZW, decoded by libtiff: the numbers that tifffile decodes, for every layout."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from data.files import InputError
from data.raster import Raster

LAYOUTS = {
    "strips of which the last is shorter": {"rowsperstrip": 16},
    "tiles that reach beyond the image": {"tile": (16, 32)},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_libtiff_gives_the_numbers_of_the_file(tmp_path, monkeypatch, layout, planar, order, dtype):
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {5: None})  # tifffile cannot decode LZW
    path, rng = tmp_path / "lzw.tif", np.random.default_rng(0)
    for bands in (1, 2, 5):
        for predictor in (1, 3 if dtype[0] == "f" else 2):
            pixels = (rng.random((40, 50, bands)) * 100).astype(dtype)
            image = np.moveaxis(pixels, 2, 0) if planar == "separate" else pixels
            options = {"planarconfig": planar, "photometric": "minisblack", "byteorder": order}
            options |= {"compression": "lzw", "predictor": predictor, "metadata": None}
            tifffile.imwrite(path, image if bands > 1 else pixels[..., 0], **options, **layout)
            with Raster(path) as raster:
                found = raster.read()
            assert found.dtype == pixels.dtype
            np.testing.assert_array_equal(found, np.moveaxis(pixels, 2, 0))


def test_a_block_that_is_cut_short_or_damaged_is_an_error(tmp_path):
    path = tmp_path / "lzw.tif"
    pixels = np.random.default_rng(0).integers(0, 99, (64, 64), np.uint8)
    tifffile.imwrite(path, pixels, compression="lzw", rowsperstrip=64, metadata=None)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        start, size = page.dataoffsets[0], page.databytecounts[0]
    whole = path.read_bytes()
    for damaged in (
        imagecodecs.lzw_encode(pixels[:32].tobytes()).ljust(size, b"\0"),
        b"\xff" * size,
    ):
        path.write_bytes(whole[:start] + damaged[:size] + whole[start + size :])
        with Raster(path) as raster, pytest.raises(InputError, match="block 0 is damaged"):
            raster.read()
