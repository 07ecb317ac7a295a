"""reproject.py against GDAL's warper (through rasterio), and how well class shares survive.

    python tests/bench/bench_reproject.py           all of it
    python tests/bench/bench_reproject.py --quick   a tenth of the sides

    python tests/bench/bench_reproject.py --side 10000 --only files     one table, smaller

Prints four tables: time for 10,000 x 10,000 pixels in memory, time for each pixel, time and memory
for 40,000 x 40,000 from file to file, shares kept. Both programs use two threads and run in turn;
each figure, also each ratio, is the median of `--repeats` pairs. The label raster `--labels` is
left out where the file is missing. Writes the picture of the three methods to
tests/bench/pictures/resampling.png.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from pyproj import CRS
from rasterio.warp import Resampling
from rasterio.warp import reproject as gdal

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from data.grid import Grid, Window  # noqa: E402
from data.output import preview  # noqa: E402
from data.raster import Raster  # noqa: E402
from data.raster.targetgrid import target_grid_for  # noqa: E402
from data.raster.tiles import parts, thread_pool  # noqa: E402
from data.resample import reproject  # noqa: E402
from unet.evaluation.shares import spearman  # noqa: E402

THREADS = 2
UTM, ETRS, WEB = CRS.from_epsg(32631), CRS.from_epsg(25831), CRS.from_epsg(3857)
TARGETS = (UTM, 10), (WEB, 13.3)
LABELS = ROOT.parent / "shared/realdata/labels/ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
CODECS = "lzw", "deflate", "zstd"


def landcover(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width) uint8: patches of 23 x 23 pixels of the classes 1 to 12, each rarer than the
    one before.
    """
    share = 0.7 ** np.arange(12)
    shape = height // 23 + 1, width // 23 + 1
    coarse = (
        np.random.default_rng(seed).choice(12, shape, p=share / share.sum()).astype(np.uint8) + 1
    )
    return np.kron(coarse, np.ones((23, 23), np.uint8))[:height, :width]


def source_grid(side: int, pixel: float = 1.0) -> Grid:
    """1 m pixels in EPSG:25831; no pixel centre of the targets falls on an edge between them."""
    return Grid(ETRS, (pixel, 0, 430_000.3, 0, -pixel, 4_620_000.3), side, side)


def with_gdal(source, grid: Grid, target: Grid, method: str) -> np.ndarray:
    """The same by GDAL's warper, at its default error threshold."""
    out = np.zeros((target.height, target.width), source.dtype)
    transforms = {
        "src_transform": rasterio.Affine(*grid.transform),
        "dst_transform": rasterio.Affine(*target.transform),
    }
    crs = {"src_crs": grid.crs.to_wkt(), "dst_crs": target.crs.to_wkt()}
    gdal(
        source,
        out,
        **transforms,
        **crs,
        resampling=Resampling[method],
        num_threads=THREADS,
        dst_nodata=0,
        src_nodata=0,
    )
    return out


def timed(*functions, repeats: int) -> list[list[float]]:
    """Seconds (functions, repeats) of each function; they run in turn."""
    seconds = [[] for _ in functions]
    for _ in range(repeats):
        for spent, function in zip(seconds, functions):
            start = time.perf_counter()
            function()
            spent.append(time.perf_counter() - start)
    return seconds


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the ratios of the pairs."""
    return statistics.median(a / b for a, b in zip(ours, theirs))


def in_memory(side: int, repeats: int, labels: Path) -> None:
    """mode and nearest of 1 m classes, to 10 m in UTM and to 13.3 m in web Mercator; and of real
    classes of 10 m to 100 m.
    """
    source, grid = landcover(side, side), source_grid(side)
    cases = [(source, grid, target_grid_for(grid, crs, size)) for crs, size in TARGETS]
    if labels.exists():
        with Raster(labels) as raster:
            height, width = raster.grid.height, raster.grid.width
            taken = min(side, height), min(side, width)
            window = Window((height - taken[0]) // 2, (width - taken[1]) // 2, *taken)
            real, place = raster.read(window)[0], raster.grid.window(window)
        zone = CRS.from_epsg(32600 + int((place.transform[2] + 180) // 6) + 1)
        cases.append((real, place, target_grid_for(place, zone, 100)))
    print(
        f"in memory, {side:,} x {side:,} uint8, {THREADS} threads, median of {repeats} pairs; "
        f"12 classes of 1 m in EPSG:25831{', and ' + labels.name if len(cases) > 2 else ''}"
    )
    heads = ("ours, s", "GDAL, s", "ratio", "equal", "x source.max()")
    print(f"{'':32}" + "".join(f"{head:>15}" for head in heads))
    for source, grid, target in cases:
        for method in ("mode", "nearest"):
            ours = lambda: reproject(source, grid, target, method, nodata=0, threads=THREADS)  # noqa: B023, E731
            theirs = lambda: with_gdal(source, grid, target, method)  # noqa: B023, E731
            equal = (ours() == theirs()).mean()
            a, b, once = timed(ours, theirs, source.max, repeats=repeats)
            name = f"{method:9}to {target.transform[0]:5.1f} m {target.crs.to_string()}"
            seconds = f"{statistics.median(a):15.3f}{statistics.median(b):15.3f}"
            print(
                f"{name:32}{seconds}{ratio(a, b):15.2f}{equal:15.2%}{ratio(a, once):15.0f}",
                flush=True,
            )


def linear(sides: list[int], repeats: int) -> None:
    """Seconds for each million source pixels, which should not depend on the size."""
    print("mode to 10 m in memory, nanoseconds a source pixel")
    for side in sides:
        source, grid = landcover(side, side), source_grid(side)
        target = target_grid_for(grid, UTM, 10)
        mode = partial(reproject, source, grid, target, "mode", nodata=0, threads=THREADS)
        a = statistics.median(timed(mode, repeats=repeats)[0])
        print(
            f"  {side:,} x {side:,}: {a / side**2 * 1e9:6.2f} ns; "
            f"300,000 squared: {a / side**2 * 1.5e9:.1f} min"
        )


def run(command: list[str]) -> tuple[float, float]:
    """(seconds, peak memory in GB) of a command; Linux counts the peak of the program alone."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]))
        time.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"{command} failed: {process.stderr.read()}")
    return time.perf_counter() - start, peak / 1e6


def decoding(path: str) -> float:
    """Seconds to decode all blocks of a file in threads, with no other work."""
    start = time.perf_counter()
    with Raster(path) as raster, thread_pool(THREADS) as pool:
        whole = Window(0, 0, raster.grid.height, raster.grid.width)
        for _ in pool.map(lambda part: raster.read(part).size, parts(whole, 512, 2048)):
            pass
    return time.perf_counter() - start


def file_to_file(side: int, repeats: int, codec: str) -> None:
    """Compressed tiles of 512 to 10 m: time and memory of both programs."""
    with tempfile.TemporaryDirectory() as folder:
        path, grid = f"{folder}/mask.tif", source_grid(side)
        shape = {
            "tiled": True,
            "blockxsize": 512,
            "blockysize": 512,
            "compress": codec,
            "bigtiff": "if_safer",
        }
        profile = {
            "driver": "GTiff",
            "count": 1,
            "dtype": "uint8",
            "height": side,
            "width": side,
            "nodata": 0,
        }
        with rasterio.open(
            path,
            "w",
            crs="EPSG:25831",
            transform=rasterio.Affine(*grid.transform),
            **profile,
            **shape,
        ) as file:
            for row in range(0, side, 2000):
                part = landcover(min(2000, side - row), side, seed=row)
                file.write(part, 1, window=rasterio.windows.Window(0, row, side, len(part)))
        print(
            f"file to file, {side:,} x {side:,}, {codec.upper()} tiles of 512, to 10 m EPSG:32631, "
            f"median of {repeats} pairs; decoding alone {decoding(path):.2f} s"
        )
        print(
            f"{'':10}{'ours, s':>10}{'rio warp, s':>13}{'ratio':>8}"
            f"{'ours, GB':>10}{'rio warp, GB':>14}"
        )
        for method in ("mode", "nearest"):
            ours = [
                sys.executable,
                "reproject.py",
                path,
                "-o",
                f"{folder}/a.tif",
                "--crs",
                "EPSG:32631",
            ]
            ours += ["--resolution", "10", "--method", method]
            rio = [
                str(Path(sys.executable).with_name("rio")),
                "warp",
                path,
                f"{folder}/b.tif",
                "--dst-crs",
                "EPSG:32631",
            ]
            rio += ["--res", "10", "--resampling", method, "--threads", str(THREADS), "--overwrite"]
            rio += ["--co", "compress=deflate", "--co", "tiled=true"]
            figures = [(*run(ours), *run(rio)) for _ in range(repeats)]
            a, mine, b, theirs = zip(*figures)
            pairs = ratio(a, b)
            a, mine, b, theirs = map(statistics.median, (a, mine, b, theirs))
            print(
                f"{method:10}{a:10.2f}{b:13.2f}{pairs:8.2f}{mine:10.2f}{theirs:14.2f}", flush=True
            )


def town(random: np.random.Generator, side: int = 600) -> np.ndarray:
    """(side, side) uint8: 1 open land, 2 roads three pixels wide, 3 single houses; 1 m pixels."""
    mask = np.ones((side, side), np.uint8)
    for _ in range(random.integers(2, 12)):
        at = random.integers(0, side - 3)
        mask[at : at + 3] = 2
        at = random.integers(0, side - 3)
        mask[:, at : at + 3] = 2
    for _ in range(random.integers(20, 1200)):
        row, col = random.integers(0, side - 12, 2)
        height, width = random.integers(6, 13, 2)
        mask[row : row + height, col : col + width] = 3
    return mask


def shares_kept(count: int) -> None:
    """Share of houses before and after a tenfold shrink, over many masks; and the picture."""
    random = np.random.default_rng(0)
    grid = source_grid(600)
    target = Grid(UTM, (10, 0, 430_000.3, 0, -10, 4_620_000.3), 60, 60)
    masks = [town(random) for _ in range(count)]
    before = [(mask == 3).mean() for mask in masks]
    methods = {
        "nearest": ("nearest", None),
        "mode": ("mode", None),
        "mode, inverse weights": ("mode", "inverse"),
    }
    print(f"share of houses in {count} masks of 600 x 600, shrunk tenfold")
    print(f"{'':24}{'Spearman':>10}{'mean deviation':>16}{'largest':>9}{'share of roads':>16}")
    print(f"{'before':24}{'':35}{np.mean([(mask == 2).mean() for mask in masks]):16.2%}")
    pictures = []
    for name, (method, weights) in methods.items():
        small = [
            reproject(mask, grid, target, method, nodata=0, vote_weights=weights) for mask in masks
        ]
        after = np.array([(mask == 3).mean() for mask in small])
        off, roads = after - before, np.mean([(mask == 2).mean() for mask in small])
        print(
            f"{name:24}{spearman(before, after):10.3f}{off.mean():+16.2%}{abs(off).max():9.2%}"
            f"{roads:16.2%}"
        )
        pictures.append(np.kron(small[1], np.ones((5, 5), np.uint8)))
    palette = np.array([(0, 0, 0), (214, 226, 200), (90, 90, 90), (215, 45, 39)], np.uint8)
    drawn = [palette[mask] for mask in (masks[1][::2, ::2], *pictures)]
    path = ROOT / "tests/bench/pictures/resampling.png"
    path.parent.mkdir(exist_ok=True)
    preview.write_png(path, preview.beside(*drawn))
    print(
        f"{path.relative_to(ROOT)}: at 1 m, and shrunk by nearest, mode, mode with inverse weights"
    )


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the sides")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of which the median is taken")
    parser.add_argument("--only", choices=("memory", "size", "files", "shares"), help="one table")
    parser.add_argument("--side", type=int, help="rows and columns of the rasters")
    parser.add_argument("--labels", type=Path, default=LABELS, help="a real raster of classes")
    args = parser.parse_args()
    scale = 10 if args.quick else 1
    if args.only in (None, "memory"):
        in_memory(args.side or 10_000 // scale, args.repeats, args.labels)
    if args.only in (None, "size"):
        sides = [side // scale for side in (5_000, 10_000, 20_000, 40_000)]
        linear(sides, 1 if not args.quick else args.repeats)
    if args.only in (None, "files"):
        for codec in CODECS:
            side = args.side or 40_000 // scale
            file_to_file(side, 1 if args.quick else args.repeats, codec)
    if args.only in (None, "shares"):
        shares_kept(20 if args.quick else 200)


if __name__ == "__main__":
    main()
