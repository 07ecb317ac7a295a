"""Files of random kinds that rasterio writes: pixels and valid pixels are those of rasterio."""

import warnings

import numpy as np
import pytest

from data.grid import Window
from data.raster import Raster

rasterio = pytest.importorskip("rasterio")
CODECS = "NONE LZW DEFLATE ZSTD PACKBITS LZMA LERC LERC_DEFLATE LERC_ZSTD".split()
DTYPES = "uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64".split()


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None, dict, dict]:
    """Random pixels, a mask or None, options of `rasterio.open`, and settings of GDAL."""
    count, height, width = int(rng.integers(1, 5)), *rng.integers(1, 75, 2).tolist()
    codec, dtype = str(rng.choice(CODECS)), str(rng.choice(DTYPES))
    evidence = str(rng.choice(["none", "nodata", "alpha"]))
    if evidence == "alpha":
        count, dtype = int(rng.choice([2, 4])), str(rng.choice(["uint8", "uint16"]))
    if "LERC" in codec and dtype in ("int8", "int64", "uint64"):  # LERC has none of them
        dtype = "float32"
    pixels = rng.integers(1, 100, (count, height, width)).astype(dtype)
    options = {"compress": codec, "interleave": str(rng.choice(["band", "pixel"]))}
    options["photometric"] = "MINISBLACK"  # by default, GDAL takes the last of four bands for alpha
    options["ENDIANNESS"] = str(rng.choice(["LITTLE", "BIG"]))
    if codec in ("LZW", "DEFLATE", "ZSTD") and rng.random() < 0.6:
        options["predictor"] = 3 if dtype[0] == "f" and rng.random() < 0.5 else 2
    if rng.random() < 0.5:
        options |= {"tiled": True, "blockxsize": 16, "blockysize": 32}
    else:
        options["blockysize"] = int(rng.integers(1, 40))
    if rng.random() < 0.3:  # south-up
        options["transform"] = rasterio.Affine(10, 0, 500, 0, 10, 700)
    mask = None
    if evidence == "nodata":
        options["nodata"] = np.nan if dtype[0] == "f" and rng.random() < 0.5 else 0
        pixels[:, rng.random((height, width)) < 0.2] = options["nodata"]
    elif evidence == "alpha":
        options |= {"alpha": "YES"} | ({"photometric": "RGB"} if count == 4 else {})
        pixels[-1] = np.iinfo(dtype).max * (rng.random((height, width)) < 0.7)
    if rng.random() < 0.4:
        mask = rng.random((height, width)) < 0.7
    return pixels, mask, options, {"GDAL_TIFF_INTERNAL_MASK": bool(rng.random() < 0.5)}


@pytest.mark.parametrize("seed", range(60))
def test_a_random_file_of_rasterio(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pixels, mask, options, settings = draw(rng)
    path = tmp_path / "image.tif"
    count, height, width = pixels.shape
    size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with warnings.catch_warnings(), rasterio.Env(**settings):
        warnings.simplefilter("ignore")  # without georeference
        with rasterio.open(path, "w", driver="GTiff", **size, **options) as dataset:
            dataset.write(pixels)
            if mask is not None:
                dataset.write_mask(mask)
        with rasterio.open(path) as dataset:
            stored, theirs = dataset.read(), dataset.dataset_mask() != 0
    row, col = int(rng.integers(height)), int(rng.integers(width))
    window = Window(row, col, int(rng.integers(1, height - row + 1)), width - col)
    part = np.s_[..., row : row + window.height, col:]
    with Raster(path) as raster:
        assert raster.remarks == [] and raster.dtype == pixels.dtype
        assert raster.alpha == (count if "alpha" in options else None)
        assert raster.masked == (mask is not None or "alpha" in options)
        exact = pixels.dtype.kind == "f"
        assert np.array_equal(raster.read(), stored, equal_nan=exact)
        assert np.array_equal(raster.read(window), stored[part], equal_nan=exact)
        if mask is None or not {"nodata", "alpha"} & options.keys():
            expected = theirs
        elif "alpha" in options:
            expected = mask & (pixels[-1] != 0)
        else:
            expected = mask & ~(np.isnan(pixels[0]) | (pixels[0] == options["nodata"]))
        assert np.array_equal(raster.valid(), expected)
        assert np.array_equal(raster.valid(window), expected[part])
