"""The default data: synthetic scenes of small towns, as images of Sentinel-2 and masks of the
European Settlement Map (ESM).

    python -m data.sample.towns runs/sample --count 24 --seed 0

Image and mask of a scene are computed from one landscape (data/sample/landscape.py and surface.py):
the image at the pixels of a grid in EPSG:3857, the mask at the pixels of a grid in EPSG:3035. So
they agree on the ground, and neither has been resampled. Real images and maps differ in their grids
in the same way.

The reflectance of the surface at a position is

    surface = light * ((1 - cover) * spectrum[base] + cover * spectrum[leaf])

`image_of` imitates a sensor. It averages the surface over a pixel, adds clouds and haze, blurs each
band according to its resolution (10, 20 or 60 m), and adds noise. tests/bench/bench_linear.py
measures how well the spectrum of a single pixel predicts its class.

Codes of ESM: 0 no data, 1 other, 250 non-residential, 255 residential. Read beside it:
tests/data/sample/test_towns.py.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyproj import CRS, Transformer

from data.classes import ClassTable
from data.files import InputError, replacing
from data.grid import Grid
from data.raster import cog
from data.sample.landscape import HALF, Landscape, codes, draw_landscape
from data.sample.materials import SPECTRA
from data.sample.noise import noise
from data.sample.surface import ground
from data.terminal import Parser, one_line_errors, say

VERSION = 1  # raise it when the scenes change: folders of other versions are then written again
PIXEL = 10.0  # map metres; at 48 degrees north 6.7 m of ground
SIZE = round(2 * HALF / PIXEL)
IMAGE_CRS, MASK_CRS = CRS.from_epsg(3857), CRS.from_epsg(3035)
BANDS = ("Blue", "Green", "Red", "RE1", "RE2", "RE3", "NIR", "RE4", "WV", "SWIR1", "SWIR2")
# For each band: standard deviation of the blur in pixels, and the share of the haze in it.
BLUR = (0.6, 0.6, 0.6, 1.2, 1.2, 1.2, 0.6, 1.2, 3.5, 1.2, 1.2)
HAZE = (1.0, 0.75, 0.55, 0.45, 0.4, 0.35, 0.3, 0.25, 0.25, 0.06, 0.03)
MARGIN = 10  # pixels that are computed beyond the edge, for the blur
FINE = 2  # positions along a pixel's side at which the surface is computed


class Sample(NamedTuple):
    """One scene: an image and its mask."""

    image: np.ndarray  # (11, 300, 300) uint16, reflectance x 10,000, 0 for no data
    image_grid: Grid
    mask: np.ndarray  # (h, w) uint8, codes 0, 1, 250 and 255
    mask_grid: Grid


def image_of(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Compute the image of a landscape.

    Returns:
        (11, SIZE, SIZE) uint16, reflectance x 10,000, 0 for no data.
    """
    side = SIZE + 2 * MARGIN
    ticks = (((np.arange(side * FINE) + 0.5) / FINE - MARGIN) * PIXEL - HALF).astype(np.float32)
    x, y = (a.ravel() for a in np.meshgrid(ticks, -ticks))
    base, leaf, cover, light = ground(landscape, x, y)
    tint = rng.uniform(0.9, 1.1, (len(SPECTRA), 1))  # soils and roofs differ between landscapes
    spectra = (np.array(list(SPECTRA.values())) / 100 * tint).astype(np.float32)
    gain, haze, vapour = rng.uniform(0.88, 1.08), rng.uniform(0, 0.03), rng.uniform(0, 0.3)
    threshold = rng.choice([0.65, 0.8, 2.0, 2.0, 2.0])  # of the clouds; 2 gives a clear sky

    x, y = (a.reshape(side * FINE, -1)[::FINE, ::FINE] for a in (x, y))
    humid = vapour * (1 + noise(landscape.seed + 4, x, y, 250))
    cloud = _clouds(landscape.seed, x, y, threshold)
    sun = 1 - 0.6 * _clouds(landscape.seed, x + 230, y - 280, threshold)  # from the south-east
    image = np.empty((len(BANDS), SIZE, SIZE), np.uint16)
    for band, name in enumerate(BANDS):
        surface = light * ((1 - cover) * spectra[base, band] + cover * spectra[leaf, band])
        seen = gain * sun * surface.reshape(side, FINE, side, FINE).mean((1, 3)) + haze * HAZE[band]
        seen += cloud * ((0.5 if name.startswith("SWIR") else 0.62) - seen)
        seen *= 1 - humid if name == "WV" else 1
        seen = _blurred(seen, BLUR[band])[MARGIN:-MARGIN, MARGIN:-MARGIN]
        seen = seen * rng.normal(1, 0.015, seen.shape) + rng.normal(0, 0.002, seen.shape)
        image[band] = np.clip(np.rint(seen * 1e4), 1, 65535)
    if rng.random() < 0.15:  # the edge of the satellite's swath
        row, column = np.mgrid[:SIZE, :SIZE]
        image[:, column + 0.2 * row < rng.uniform(20, 70)] = 0
    return image


def _clouds(seed: int, x: np.ndarray, y: np.ndarray, threshold: float) -> np.ndarray:
    """Share of the light that clouds block at positions, 0..0.95."""
    billows = noise(seed + 1, x, y, 900) + 0.35 * noise(seed + 2, x, y, 220)
    return np.clip(3 * (billows + 0.12 * noise(seed + 3, x, y, 60) - threshold), 0, 0.95)


def _blurred(picture: np.ndarray, deviation: float) -> np.ndarray:
    """Blur a square picture with a Gaussian of `deviation` pixels, by Fourier transform."""
    side = len(picture)
    frequency = np.fft.rfftfreq(side) ** 2 + np.fft.fftfreq(side)[:, None] ** 2
    blur = np.exp(-2 * (np.pi * deviation) ** 2 * frequency)
    return np.fft.irfft2(np.fft.rfft2(picture) * blur, s=picture.shape)


def make_scene(seed: int, index: int) -> Sample:
    """Compute scene `index` of the series `seed`. The same numbers give the same arrays.

    Scenes are 20 km apart.
    """
    landscape = draw_landscape(seed, index)
    left, top = 600_000 + 20_000 * (index % 25), 6_000_000 + 20_000 * (index // 25)
    image_grid = Grid(IMAGE_CRS, (PIXEL, 0, left, 0, -PIXEL, top), SIZE, SIZE)
    to_mask = Transformer.from_crs(IMAGE_CRS, MASK_CRS, always_xy=True)
    west, south, east, north = to_mask.transform_bounds(*image_grid.bounds)
    west, north = np.floor(west / PIXEL), np.ceil(north / PIXEL)  # ESM: multiples of 10 m
    height, width = int(np.ceil(north - south / PIXEL)), int(np.ceil(east / PIXEL - west))
    mask_grid = Grid(MASK_CRS, (PIXEL, 0, west * PIXEL, 0, -PIXEL, north * PIXEL), height, width)
    x, y = mask_grid.xy(*(np.indices((height, width)) + 0.5))
    x, y = to_mask.transform(x.ravel(), y.ravel(), direction="INVERSE")
    mask = codes(landscape, x - left - HALF, y - top + HALF).reshape(height, width)
    image = image_of(landscape, np.random.default_rng([seed, index, 1]))
    return Sample(image, image_grid, mask, mask_grid)


def write(folder: str | Path, count: int = 24, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Write scenes 0..count-1 into folder/images and folder/masks, unless they are there already.

    Returns:
        The paths of the images, and of their masks.

    Raises:
        InputError: The count or seed is out of range, or the folder has other images or masks.
    """
    if count < 1 or seed < 0:
        raise InputError(
            f"{count} scenes of seed {seed}: give at least one scene, and a seed of 0 or more"
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
    with replacing(stamp) as temporary:
        temporary.write_text("not complete\n")
    for part, pattern in (("images", "town_*.tif"), ("masks", "esm_*.tif")):
        (folder / part).mkdir(exist_ok=True)
        for path in (folder / part).glob(pattern):
            path.unlink()
    esm = ClassTable.load("esm")
    colormap = {0: (0, 0, 0), **dict(zip(esm.codes, esm.colors))}
    for index, (image_path, mask_path) in enumerate(zip(images, masks)):
        scene = make_scene(seed, index)
        image, mask = scene.image, scene.mask
        cog.write(image_path, image, scene.image_grid, 0, None, BANDS, overviews="average")
        cog.write(mask_path, mask, scene.mask_grid, nodata=0, colormap=colormap)
    with replacing(stamp) as temporary:
        temporary.write_text(contents)
    return images, masks


def main() -> None:
    """Parse the command line and write the scenes."""
    with one_line_errors("data.sample.towns"):
        parser = Parser("Write synthetic scenes and masks.")
        parser.prog = "python -m data.sample.towns"
        parser.add_argument("folder", type=Path, help="folder for images/ and masks/")
        parser.add_argument("--count", type=int, default=24, help="scenes")
        parser.add_argument("--seed", type=int, default=0, help="seed of the series of scenes")
        args = parser.parse_args()
        images, _ = write(args.folder, args.count, args.seed)
        folders = args.folder / "images", args.folder / "masks"
        say(f"{len(images)} images in {folders[0]}, their masks in {folders[1]}")


if __name__ == "__main__":
    main()
