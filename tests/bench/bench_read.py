"""Windows of compressed GeoTIFFs, read by data.raster and by rasterio.

    python tests/bench/bench_read.py
    python tests/bench/bench_read.py --side 4096 --pairs 15 --threads 1

A file of 10 bands of uint16 for each compression and layout, written by rasterio in tiles of 256.
Windows lie at random, as in training, or are the parts of a strip, as in a map. Both readers have
the same threads; each thread of rasterio has a file of its own, because a dataset of GDAL must not
be shared. These are opened anew for each round, because GDAL keeps the blocks that it has decoded.
A pair reads the same windows by one and then by the other. The figures are medians over the pairs,
of seconds and of the seconds of all processors. "Decoding" is the time (of all processors) in which
imagecodecs decodes the blocks of these windows, and does nothing else.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import rasterio
from rasterio import windows as rio

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from data.grid import Window  # noqa: E402
from data.raster import Raster  # noqa: E402

BANDS, TILE = 10, 256
DECODE = {"deflate": imagecodecs.deflate_decode, "lzw": imagecodecs.lzw_decode}


def write(path: Path, image: np.ndarray, compress: str, interleave: str) -> None:
    """Write the image as most programs do: tiles, and differences of neighbours."""
    profile = {
        "driver": "GTiff",
        "count": len(image),
        "height": image.shape[1],
        "width": image.shape[2],
        "dtype": image.dtype,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": compress,
        "predictor": 2,
        "interleave": interleave,
    }
    with rasterio.open(path, "w", **profile) as target:
        target.write(image)


def scene(side: int) -> np.ndarray:
    """Fields of 40 x 40 pixels with noise, (bands, side, side) uint16."""
    random = np.random.default_rng(0)
    cells = side // 40 + 1
    fields = random.integers(500, 3500, (BANDS, cells, cells)).astype(np.float32)
    ground = fields.repeat(40, 1).repeat(40, 2)[:, :side, :side]
    return (ground + 40 * random.standard_normal(ground.shape, np.float32)).astype(np.uint16)


def window_sets(side: int, count: int) -> dict[str, list[Window]]:
    """The windows of each kind."""
    random, sets = np.random.default_rng(1), {}
    for size in (256, 300):
        places = random.integers(0, side - size, (count, 2)).tolist()
        sets[f"random, {size} x {size}"] = [Window(*place, size, size) for place in places]
    sets["parts of strips, 256 x 1,024"] = [
        Window(row, col, 256, 1024) for row in range(0, 512, 256) for col in range(0, side, 1024)
    ]
    return sets


def blocks(path: Path, windows: list[Window]) -> list[bytes]:
    """The compressed blocks that the windows need, once for each window."""
    found = []
    with Raster(path) as raster, open(path, "rb") as file:
        page = raster._pages[0]._page
        across = -(-raster.grid.width // TILE)
        planes = BANDS if page.planarconfig == 2 else 1
        in_band = len(page.dataoffsets) // planes
        for row, col, height, width in windows:
            for r in range(row // TILE, -(-(row + height) // TILE)):
                for c in range(col // TILE, -(-(col + width) // TILE)):
                    for plane in range(planes):
                        number = plane * in_band + r * across + c
                        file.seek(page.dataoffsets[number])
                        found.append(file.read(page.databytecounts[number]))
    return found


def measured(calls: list[Callable[[], None]], pairs: int) -> np.ndarray:
    """Seconds, and seconds of all processors, of each call in each pair: (2, calls, pairs)."""
    spent = np.zeros((2, len(calls), pairs + 1))  # the first pair does not count
    for pair in range(pairs + 1):
        for number, call in enumerate(calls):
            started = time.perf_counter(), time.process_time()
            call()
            spent[:, number, pair] = (
                time.perf_counter() - started[0],
                time.process_time() - started[1],
            )
    return spent[..., 1:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compress", nargs="+", default=[*DECODE], choices=DECODE)
    args = parser.parse_args()
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    image = scene(args.side)
    print(f"{args.side:,} x {args.side:,} x {BANDS} uint16, {args.threads} threads")
    titles = ("ms a window", "of rasterio", "processor ms", "of rasterio", "decoding")
    print(f"{'':56}" + "".join(f"{title:>13}" for title in titles))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.threads) as pool:
        for compress in args.compress:
            for interleave in ("pixel", "band"):
                path = Path(folder) / f"{compress}_{interleave}.tif"
                write(path, image, compress, interleave)
                for name, windows in window_sets(args.side, args.windows).items():
                    found = compared(path, DECODE[compress], windows, pool, args)
                    title = f"{compress}, {interleave}-interleaved, {name}"
                    print(f"{title:56}" + "".join(f"{value:13.2f}" for value in found), flush=True)


def compared(
    path: Path,
    decode: Callable[..., bytes],
    windows: list[Window],
    pool: ThreadPoolExecutor,
    args: argparse.Namespace,
) -> list[float]:
    """One row of the table."""
    shares = [windows[first :: args.threads] for first in range(args.threads)]
    coded, most = blocks(path, windows), TILE * TILE * BANDS * 2  # bytes of a tile of all bands

    def by_rasterio(share: list[Window]) -> list[np.ndarray]:
        with rasterio.open(path) as file:
            return [file.read(window=rio.Window(w.col, w.row, w.width, w.height)) for w in share]

    with Raster(path) as raster:

        def ours(share: list[Window]) -> list[np.ndarray]:
            return [raster.read(window) for window in share]

        np.testing.assert_array_equal(ours(windows[:2]), by_rasterio(windows[:2]))
        calls = [
            lambda: [*pool.map(ours, shares)],
            lambda: [*pool.map(by_rasterio, shares)],
            lambda: [*pool.map(lambda block: decode(block, out=most), coded)],
        ]
        clock, processors = measured(calls, args.pairs)  # each (calls, pairs)
    each = 1e3 / len(windows)
    return [
        statistics.median(clock[0]) * each,
        statistics.median(clock[0] / clock[1]),
        statistics.median(processors[0]) * each,
        statistics.median(processors[0] / processors[1]),
        statistics.median(processors[2]) * each,
    ]


if __name__ == "__main__":
    main()
