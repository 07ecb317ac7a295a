"""Maps of scenes of growing height: time and peak memory.

    python tests/bench/bench_scene.py                  6,000 wide, a minute or two
    python tests/bench/bench_scene.py --width 30000    the width of a whole Sentinel-2 mosaic

Scenes of 10 bands of uint16 reflectances, tiled and compressed, are mapped into 12 classes by
predict.py in a process of its own, with a U-Net of random weights. Memory should be set by the
width, and time by the pixels; processor seconds tell so on a machine that has other things to do as
well.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import unet  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.grid import Grid  # noqa: E402
from data.raster import writer  # noqa: E402
from unet import checkpoint  # noqa: E402

BANDS = [f"band {number}" for number in range(1, 11)]
# Runs a script, and then prints its processor seconds and the peak of its own memory. (The usage of
# children, which the parent could read, would hold the parent's memory, too.)
PEAK = """
import runpy, sys, time
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
status = open("/proc/self/status").readlines()
print(time.process_time(), next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def write_checkpoint(path: Path, base: int, size: int) -> None:
    """A U-Net of random weights for BANDS and the Catalan classes."""
    torch.manual_seed(0)
    table = ClassTable.load("catalonia")
    model = {
        "name": "unet",
        "in_channels": 10,
        "num_classes": len(table.names),
        "options": {"base": base},
    }
    network = unet.build("unet", 10, len(table.names), base=base)
    scaling = {"method": "minmax", "offset": [0.0] * 10, "scale": [4000.0] * 10}
    state = {
        "model": model,
        "weights": network.state_dict(),
        "classes": table.records,
        "class_table": table.name,
    }
    checkpoint.save(
        path, {**state, "bands": BANDS, "indices": [], "size": size, "scaling": scaling}
    )


def write_scene(path: Path, height: int, width: int) -> None:
    """Fields of 40 x 40 pixels with the noise of a sensor: it compresses to about two thirds, as
    reflectances do.
    """
    random = np.random.default_rng(0)

    def strips():
        for top in range(0, height, 200):
            rows = min(200, height - top)
            fields = random.integers(500, 3500, (10, 5, width // 40 + 1))
            ground = np.kron(fields, np.ones((40, 40)))[:, :rows, :width]
            noise = random.standard_normal((10, rows, width), np.float32)
            yield (ground + 40 * noise).astype(np.uint16)

    grid = Grid(None, (10, 0, 0, 0, -10, 0), height, width)
    with writer(path, grid, 10, np.uint16, nodata=0, overviews="average") as add:
        for strip in strips():
            add(strip)


def predict(*options: object) -> tuple[float, float, int]:
    """(seconds, seconds of all processors, peak bytes) of `python predict.py options`."""
    started = time.perf_counter()
    call = [sys.executable, "-c", PEAK, str(ROOT / "predict.py"), *map(str, options)]
    done = subprocess.run(
        call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    if done.returncode:
        sys.exit(done.stderr)
    *_, processors, peak = done.stdout.split()
    return time.perf_counter() - started, float(processors), int(peak) * 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--heights", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--base", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "random.pt"
        write_checkpoint(model, args.base, args.size)
        print(
            f"{'pixels':>16}{'seconds':>10}{'processor s':>13}{'per Mpixel':>12}{'peak memory':>13}"
        )
        for height in args.heights:
            scene = Path(folder) / "scene.tif"
            write_scene(scene, height, args.width)
            seconds, processors, peak = predict(scene, "--checkpoint", model)
            pixels = f"{args.width:,} x {height:,}"
            each = processors / height / args.width * 1e6
            print(
                f"{pixels:>16}{seconds:10.1f}{processors:13.1f}{each:12.2f}{peak / 1e9:10.2f} GB",
                flush=True,
            )


if __name__ == "__main__":
    main()
