"""From file to file: predict.py against the bare network, MONAI fed by rasterio, and geoai-py.

    python tests/bench/bench_predict.py                 a scene of 1,500 x 1,500, U-Net of base 16
    python tests/bench/bench_predict.py --base 32 --threads 2 --repeats 5

The bare network sees arrays in memory, as few windows as cover the scene at the same size and
overlap: no file, no blending, no softmax. MONAI's sliding_window_inference gets the scene read by
rasterio in windows, the same network, size and overlap, and its labels are written by rasterio,
tiled and with DEFLATE. It runs twice: as its manual has it, and with the channels of a pixel side
by side as predict.py has them, this in bfloat16, too. predict_geotiff of geoai-py, which blends
windows, gets the network with the channels side by side. All run in turn in one process. Each
figure is a median, and each ratio the median of the ratios of one round. The bare network and the
others have the network as it was trained; predict.py folds its batch normalisation into the
convolutions, and the row "folded" is the bare network after that. Random weights: time does not
depend on them. The process keeps freed memory (`keep_memory`) for all rows, for steadier
figures; predict.py as a program does not.

Neither peer is among the requirements: pip install monai geoai-py (heavy). The rows of one that
cannot be imported are left out, and a line says so. OMP_WAIT_POLICY=passive gives steadier figures
on a machine that has other things to do: threads that wait then leave the core to others.
"""

import argparse
import copy
import math
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from bench_scene import BANDS, write_checkpoint, write_scene  # noqa: E402

import predict  # noqa: E402
from data import tiling  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.output.jobs import Job  # noqa: E402
from data.terminal import Notes  # noqa: E402
from unet import checkpoint  # noqa: E402
from unet.evaluation.predictor import Predictor  # noqa: E402
from unet.training.device import autocast  # noqa: E402
from unet.training.memory import keep_memory  # noqa: E402

try:
    from monai.inferers import sliding_window_inference
except ImportError:
    sliding_window_inference = None
try:
    from geoai.inference import predict_geotiff
except Exception:  # some of its own many imports fail with errors of other kinds
    predict_geotiff = None

SIZE, OVERLAP, BATCH = 256, 64, 4


def with_monai(
    model: torch.nn.Module,
    scene: Path,
    target: Path,
    layout: torch.memory_format,
    precision: torch.dtype = torch.float32,
) -> None:
    """What a user of MONAI and rasterio writes."""
    with rasterio.open(scene) as source:
        image = torch.empty((1, source.count, source.height, source.width))
        for row in range(0, source.height, SIZE):
            rows = min(SIZE, source.height - row)
            image[0, :, row : row + rows] = torch.from_numpy(
                source.read(window=Window(0, row, source.width, rows)).astype(np.float32) / 4000
            )
        profile = {
            **source.profile,
            "count": 1,
            "dtype": "uint8",
            "compress": "deflate",
            "predictor": 2,
            "tiled": True,
        }
        profile |= {"blockxsize": 256, "blockysize": 256}
    with torch.inference_mode(), autocast(torch.device("cpu"), precision):
        network = lambda batch: model(batch.contiguous(memory_format=layout)).float().softmax(1)  # noqa: E731
        found = sliding_window_inference(
            image, SIZE, BATCH, network, overlap=OVERLAP / SIZE, mode="gaussian"
        )
    with rasterio.open(target, "w", **profile) as result:
        result.write(found[0].argmax(0).to(torch.uint8).numpy(), 1)


class Classifier(torch.nn.Module):
    """Probabilities of a network, with the channels of a pixel side by side."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.contiguous(memory_format=torch.channels_last)).softmax(1)


def with_geoai(model: Classifier, scene: Path, target: Path, classes: int) -> None:
    """What a user of geoai-py writes."""
    predict_geotiff(
        model,
        str(scene),
        str(target),
        tile_size=SIZE,
        overlap=OVERLAP,
        batch_size=BATCH,
        num_classes=classes,
        preprocess_fn=lambda tile: tile / 4000,
        postprocess_fn=lambda found: found.argmax(0),
        device="cpu",
        verbose=False,
    )


def measured(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, np.ndarray]:
    """Seconds and seconds of all processors (2, repeats) of each call, run in turn, after a round
    that does not count.
    """
    spent = {name: np.zeros((2, repeats + 1)) for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter(), time.process_time()
            call()
            spent[name][:, repeat] = (
                time.perf_counter() - started[0],
                time.process_time() - started[1],
            )
    return {name: times[:, 1:] for name, times in spent.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--side", type=int, default=1500)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        scene, network, target = (
            Path(folder) / name for name in ("scene.tif", "random.pt", "map.tif")
        )
        write_checkpoint(network, args.base, SIZE)
        write_scene(scene, args.side, args.side)
        float32 = Predictor(network, "cpu", "float32")
        windows = math.ceil((args.side - OVERLAP) / (SIZE - OVERLAP)) ** 2  # the fewest
        ours = len(tiling.axis(args.side, SIZE, OVERLAP).starts) ** 2
        batch = torch.rand(BATCH, len(BANDS), SIZE, SIZE).contiguous(
            memory_format=torch.channels_last
        )
        plain = checkpoint.build_model(checkpoint.load(network))
        trained = copy.deepcopy(plain).to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def bare(model: torch.nn.Module) -> None:
            for first in range(0, windows, BATCH):
                model(batch[: windows - first])

        def from_file_to_file(predictor: Predictor) -> Callable[[], None]:
            table, options = ClassTable.load("catalonia"), predict.parse([str(scene)])
            job = Job((scene,), target, None)

            def map_quietly() -> None:
                with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                    predict.map_image(job, predictor, table, options, None, Notes())

            return map_quietly

        calls = {
            f"bare network, {windows} windows": lambda: bare(trained),
            "bare network, folded": lambda: bare(float32.model),
            f"predict.py, {ours} windows": from_file_to_file(float32),
        }
        if torch.cpu.get_capabilities().get("avx512_bf16"):
            calls["predict.py --precision bfloat16"] = from_file_to_file(
                Predictor(network, "cpu", "bfloat16")
            )
        if sliding_window_inference:
            other = Path(folder) / "other.tif"
            calls["MONAI and rasterio"] = lambda: with_monai(
                plain, scene, other, torch.contiguous_format
            )
            calls["the same, channels last"] = lambda: with_monai(
                trained, scene, other, torch.channels_last
            )
            if "predict.py --precision bfloat16" in calls:
                calls["the same, in bfloat16"] = lambda: with_monai(
                    trained, scene, other, torch.channels_last, torch.bfloat16
                )
        if predict_geotiff:
            third = Path(folder) / "third.tif"
            calls["geoai-py, channels last"] = lambda: with_geoai(
                Classifier(trained), scene, third, float32.classes
            )
        found = measured(calls, args.repeats)
        title = f"{args.side:,} x {args.side:,} x {len(BANDS)} uint16"
        print(f"{title}, base {args.base}, {args.threads} threads")
        print(f"{'':34}{'seconds':>8}{'ours / it':>11}{'processor seconds':>20}{'ours / it':>11}")
        ours = found[f"predict.py, {ours} windows"]
        for name, times in found.items():
            (clock, processors), ratios = np.median(times, 1), np.median(ours / times, 1)
            print(f"{name:34}{clock:8.2f}{ratios[0]:11.2f}{processors:20.2f}{ratios[1]:11.2f}")
    if not sliding_window_inference:
        print("MONAI is not installed (pip install monai): its rows are left out")
    if not predict_geotiff:
        print("geoai-py cannot be imported (pip install geoai-py): its row is left out")


if __name__ == "__main__":
    main()
