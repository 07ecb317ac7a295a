"""The embedded default data: synthetic Sentinel-2-like scenes of small towns, with masks like
ESM's.

A scene is a landscape (data/sample/landscape.py) seen twice: the image asks it what lies at the
pixels of a grid in EPSG:3857, the mask asks at those of a grid in EPSG:3035, through pyproj. So the
two agree on the ground without ever having been resampled, as an image and a map from two agencies
should.

From the ground to a pixel, as in a real sensor (`image_of`):

    surface = light * ((1 - cover) * spectrum[base] + cover * spectrum[leaf])

averaged over the pixel, under clouds, through haze, blurred by band (Sentinel-2's have 10, 20 or 60
m), with noise. How little a pixel's own spectrum tells about its class, tests/bench/bench_linear.py
measures.

    python -m data.sample runs/sample --count 24 --seed 0

Codes of the European Settlement Map: 0 no data, 1 other, 250 non-residential, 255 residential.
Read beside it: tests/data/sample/test_towns.py.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyproj import CRS, Transformer

from data.classes import ClassTable
from data.console import one_line_errors
from data.files import InputError
from data.grid import Grid
from data.raster import cog
from data.sample.landscape import HALF, SPECTRA, Landscape, codes, draw_landscape, ground, noise

VERSION = 1  # raise it whenever the scenes change: folders of another version are written anew
PIXEL = 10.0  # map metres; at 48 degrees north 6.7 m of ground
SIZE = round(2 * HALF / PIXEL)
IMAGE_CRS, MASK_CRS = CRS.from_epsg(3857), CRS.from_epsg(3035)
BANDS = ("Blue", "Green", "Red", "RE1", "RE2", "RE3", "NIR", "RE4", "WV", "SWIR1", "SWIR2")
BLUR = (
    0.6,
    0.6,
    0.6,
    1.2,
    1.2,
    1.2,
    0.6,
    1.2,
    3.5,
    1.2,
    1.2,
)  # standard deviation of the footprint, pixels
HAZE = (1.0, 0.75, 0.55, 0.45, 0.4, 0.35, 0.3, 0.25, 0.25, 0.06, 0.03)  # as each band sees it


class Sample(NamedTuple):
    """One scene: reflectance x 10,000 (11, 300, 300) uint16, 0 no data; codes 0, 1, 250, 255 (h, w)
    uint8.
    """

    image: np.ndarray
    image_grid: Grid
    mask: np.ndarray
    mask_grid: Grid


def image_of(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """What the sensor makes of it: (11, SIZE, SIZE) uint16, reflectance x 10,000, 0 for no data."""
    margin, fine = (
        10,
        2,
    )  # pixels seen beyond the edge, for the blur; positions asked along a pixel's side
    side = SIZE + 2 * margin
    ticks = (((np.arange(side * fine) + 0.5) / fine - margin) * PIXEL - HALF).astype(np.float32)
    x, y = (a.ravel() for a in np.meshgrid(ticks, -ticks))
    base, leaf, cover, light = ground(landscape, x, y)
    tint = rng.uniform(
        0.9, 1.1, (len(SPECTRA), 1)
    )  # no two landscapes have quite the same soils and roofs
    spectra = (np.array(list(SPECTRA.values())) / 100 * tint).astype(np.float32)
    gain, haze, vapour = rng.uniform(0.88, 1.08), rng.uniform(0, 0.03), rng.uniform(0, 0.3)
    threshold = rng.choice([0.65, 0.8, 2.0, 2.0, 2.0])  # of the clouds; with 2 the sky is clear

    x, y = (a.reshape(side * fine, -1)[::fine, ::fine] for a in (x, y))
    humid = vapour * (1 + noise(landscape.seed + 4, x, y, 250))

    def clouds(x, y):
        billows = noise(landscape.seed + 1, x, y, 900) + 0.35 * noise(landscape.seed + 2, x, y, 220)
        return np.clip(
            3 * (billows + 0.12 * noise(landscape.seed + 3, x, y, 60) - threshold), 0, 0.95
        )

    cloud, sun = clouds(x, y), 1 - 0.6 * clouds(x + 230, y - 280)  # from the south-east
    frequency = np.fft.rfftfreq(side) ** 2 + np.fft.fftfreq(side)[:, None] ** 2
    image = np.empty((len(BANDS), SIZE, SIZE), np.uint16)
    for band, name in enumerate(BANDS):
        surface = light * ((1 - cover) * spectra[base, band] + cover * spectra[leaf, band])
        seen = gain * sun * surface.reshape(side, fine, side, fine).mean((1, 3)) + haze * HAZE[band]
        seen += cloud * ((0.5 if name.startswith("SWIR") else 0.62) - seen)
        seen *= 1 - humid if name == "WV" else 1
        blur = np.exp(
            -2 * (np.pi * BLUR[band]) ** 2 * frequency
        )  # a Gaussian of that deviation, transformed
        seen = np.fft.irfft2(np.fft.rfft2(seen) * blur, s=seen.shape)[
            margin:-margin, margin:-margin
        ]
        seen = seen * rng.normal(1, 0.015, seen.shape) + rng.normal(0, 0.002, seen.shape)
        image[band] = np.clip(np.rint(seen * 1e4), 1, 65535)
    if rng.random() < 0.15:  # the edge of the satellite's swath
        row, column = np.mgrid[:SIZE, :SIZE]
        image[:, column + 0.2 * row < rng.uniform(20, 70)] = 0
    return image


def make_scene(seed: int, index: int) -> Sample:
    """Scene `index` of the series `seed`; the same numbers give the same arrays. Scenes lie 20 km
    apart.
    """
    landscape = draw_landscape(seed, index)
    left, top = 600_000 + 20_000 * (index % 25), 6_000_000 + 20_000 * (index // 25)
    image_grid = Grid(IMAGE_CRS, (PIXEL, 0, left, 0, -PIXEL, top), SIZE, SIZE)
    to_mask = Transformer.from_crs(IMAGE_CRS, MASK_CRS, always_xy=True)
    west, south, east, north = to_mask.transform_bounds(*image_grid.bounds)
    west, north = (
        np.floor(west / PIXEL),
        np.ceil(north / PIXEL),
    )  # ESM's pixels lie on multiples of 10 m
    height, width = int(np.ceil(north - south / PIXEL)), int(np.ceil(east / PIXEL - west))
    mask_grid = Grid(MASK_CRS, (PIXEL, 0, west * PIXEL, 0, -PIXEL, north * PIXEL), height, width)
    x, y = mask_grid.xy(*(np.indices((height, width)) + 0.5))
    x, y = to_mask.transform(x.ravel(), y.ravel(), direction="INVERSE")
    mask = codes(landscape, x - left - HALF, y - top + HALF).reshape(height, width)
    return Sample(
        image_of(landscape, np.random.default_rng([seed, index, 1])), image_grid, mask, mask_grid
    )


def write(folder: str | Path, count: int = 24, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Write scenes 0..count-1 into folder/images and folder/masks, unless it holds just these
    already.

    Returns the paths of the images and of their masks. Raises InputError for a count or seed out of
    range, and for a folder with images or masks from elsewhere.
    """
    if count < 1 or seed < 0:
        raise InputError(
            f"{count} scenes of seed {seed}: at least one scene, and a seed of 0 or more"
        )
    folder = Path(folder)
    stamp, contents = folder / "sample.txt", f"version {VERSION}, seed {seed}, {count} scenes\n"
    images = [folder / "images" / f"town_{index:03}.tif" for index in range(count)]
    masks = [folder / "masks" / f"esm_{index:03}.tif" for index in range(count)]
    if stamp.is_file():
        if stamp.read_text() == contents and all(path.is_file() for path in images + masks):
            return images, masks
    elif any((folder / part).exists() for part in ("images", "masks")):
        raise InputError(
            f"{folder}: holds images or masks that are not synthetic; name an empty folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    stamp.write_text("not complete\n")
    for part, pattern in (("images", "town_*.tif"), ("masks", "esm_*.tif")):
        (folder / part).mkdir(exist_ok=True)
        for path in (folder / part).glob(pattern):
            path.unlink()
    colormap = {0: (0, 0, 0), **ClassTable.load("esm").colormap}
    for index, (image_path, mask_path) in enumerate(zip(images, masks)):
        scene = make_scene(seed, index)
        image, mask = scene.image, scene.mask
        cog.write(image_path, image, scene.image_grid, 0, None, BANDS, overviews="average")
        cog.write(mask_path, mask, scene.mask_grid, nodata=0, colormap=colormap)
    stamp.write_text(contents)
    return images, masks


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(
        "python -m data.sample", description="Write synthetic scenes and masks."
    )
    parser.add_argument("folder", type=Path, help="images/ and masks/ are written into it")
    parser.add_argument("--count", type=int, default=24, help="scenes (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the series of scenes (default: %(default)s)"
    )
    args = parser.parse_args()
    with one_line_errors("data.sample.towns"):
        images, _ = write(args.folder, args.count, args.seed)
    print(
        f"{len(images)} images in {args.folder / 'images'}, their masks in {args.folder / 'masks'}"
    )


if __name__ == "__main__":
    main()
