"""Everything about a GPU in one run of at most eight minutes, which ends in a table.

    python tests/bench/bench_gpu.py                                 on a machine with an NVIDIA GPU
    python tests/bench/bench_gpu.py --device cpu --small            tries the script without one

Each part runs in a process of its own, with a limit of its own: an error or a hang of one part is a
row of the table, and the others go on. Rows are printed as they come. The parts:

    rate       seconds of a large bfloat16 matrix product: the rate to which `train` compares
    labels     a small scene mapped by predict.py on the GPU and on the CPU: share of equal labels
    train      training steps on one batch in memory: images a second, share of the matrix rate
    scene      a scene from file to file by predict.py: pixels a second, where the time goes
    loader     windows a second that the loader delivers, and that train.py trains on
    tests      the test modules that have tests for a GPU
    votes      the votes of mode resampling counted on the GPU, and data.resample on the CPU
    compile    the training steps of `train` again, with --compile

All times are medians. The product, torch, numpy, tifffile, imagecodecs and pyproj are needed, and
pytest for `tests`. For a machine without network that has torch and Python 3.12, collect them on
another one in the folder of the repository, and carry both over (45 MB):

    pip install --target packages --no-deps --python-version 3.12 --only-binary=:all: \\
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \\
        pyproj==3.7.2 certifi tifffile==2026.3.3 imagecodecs==2026.3.6 \\
        pytest==9.2.0 pluggy iniconfig packaging pygments
    PYTHONPATH=packages python tests/bench/bench_gpu.py
"""

import argparse
import contextlib
import importlib.util
import io
import json
import math
import os
import queue
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pyproj import CRS
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import bench_scene  # noqa: E402
import train_loops  # noqa: E402

import predict  # noqa: E402
import train  # noqa: E402
import unet  # noqa: E402
from data import resample, terminal  # noqa: E402
from data.grid import Grid  # noqa: E402
from data.input.inputs import Input  # noqa: E402
from data.mapping import strips  # noqa: E402
from data.mapping.source import Source  # noqa: E402
from data.raster import Raster, cog, writer  # noqa: E402
from data.sample import towns  # noqa: E402
from data.training import pipeline  # noqa: E402
from unet import losses  # noqa: E402
from unet.evaluation.predictor import Predictor  # noqa: E402
from unet.training import memory  # noqa: E402
from unet.training.device import DeviceError, autocast, pick_device  # noqa: E402

CHANNELS, CLASSES, SIZE = 15, 3, 300
WHOLE = 470  # seconds that all parts may take; the last one has what the others leave
NETWORKS = [("unet", {"base": 16}), ("unet", {"base": 64}), ("resnet50-unet", {})]
SMALL = [("unet", {"base": 4}), ("resnet50-unet", {})]
# Test modules with tests that need a GPU. The names of these tests contain "gpu".
TESTS = [
    "tests/unet/training/test_device.py",
    "tests/unet/training/test_passes.py",
    "tests/unet/training/test_processes.py",
    "tests/unet/test_metrics.py",
    "tests/unet/test_losses.py",
    "tests/unet/evaluation/test_predictor.py",
    "tests/data/training/test_pipeline.py",
    "tests/test_resume.py",
]
ROW = "row: "  # begins a line of a part that is a row of the table


def row(what: str, result: str) -> None:
    """Report a row of the table."""
    print(ROW + json.dumps([what, result]), flush=True)


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(call: Callable, device: torch.device, seconds: float) -> float:
    """Measure a call: the median of groups of calls that together take about `seconds`."""
    groups = 7 if seconds > 0.2 else 3

    def spent(calls: int) -> float:
        wait_for(device)
        started = time.perf_counter()
        for _ in range(calls):
            call()
        wait_for(device)
        return (time.perf_counter() - started) / calls

    spent(2)  # warms up
    calls = max(1, round(seconds / groups / spent(1)))
    return statistics.median(spent(calls) for _ in range(groups))


def quietly(call: Callable, *arguments: object) -> None:
    """Call a script's main function without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        call([str(argument) for argument in arguments])


# The parts. Each takes the device, whether sizes are small, and a folder for files.


def matrix_rate(device: torch.device, small: bool) -> float:
    """Measure the rate of a large bfloat16 matrix product, in FLOP a second."""
    side = 512 if small else 8192
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / median_seconds(lambda: a @ b, device, 0.2 if small else 2)


def rate(device: torch.device, small: bool, folder: Path) -> None:
    """Report the matrix rate, and the speed of copies between the memories."""
    row("bf16 matrix product", f"{matrix_rate(device, small) / 1e12:.2f} TFLOP/s")
    if device.type != "cuda":
        return
    pixels = torch.empty(2**28, dtype=torch.uint8)
    pinned, there = pixels.pin_memory(), pixels.to(device)
    for name, copy in {
        "copy to the GPU": lambda: pixels.to(device),
        "copy to the GPU from pinned memory": lambda: pinned.to(device, non_blocking=True),
        "copy from the GPU": there.cpu,
    }.items():
        row(name, f"{len(pixels) / median_seconds(copy, device, 0.5) / 1e9:.1f} GB/s")


def labels(device: torch.device, small: bool, folder: Path) -> None:
    """Map a scene on both devices, and compare the labels.

    The weights are random, so many pixels have two classes of nearly the same probability. Those
    of a trained network differ in fewer pixels.
    """
    side = 600 if small else 1500
    network, scene = folder / "network.pt", folder / "scene.tif"
    bench_scene.write_checkpoint(network, 8 if small else 16, 256)
    spread_logits(network)
    bench_scene.write_scene(scene, side, side)
    maps = []
    for title, name, precision, tf32 in [
        ("the CPU in float32", "cpu", "float32", True),
        (f"{device} in float32, without TF32", str(device), "float32", False),
        (f"{device} in float32", str(device), "float32", True),
        (f"{device} in 16 bits", str(device), "bfloat16" if device.type == "cpu" else "auto", True),
    ]:
        torch.backends.cudnn.allow_tf32 = tf32
        output = folder / str(len(maps))
        output.mkdir()
        given = ["--checkpoint", network, "--output", output, "--device", name]
        quietly(predict.main, scene, *given, "--precision", precision)
        with Raster(output / "scene_landcover.tif") as raster:
            maps.append(raster.read()[0])
        if len(maps) > 1:
            same, classes = (maps[-1] == maps[0]).mean(), len(np.unique(maps[0]))
            aim = ", LESS than 99.9 %" if not tf32 and same < 0.999 else ""
            text = f"{same:.4%} of {maps[0].size:,} pixels, {classes} classes, random weights"
            row(f"labels on {title} as on the CPU", text + aim)


def spread_logits(path: Path) -> None:
    """Scale the last layer of a random network, so that it predicts several classes."""
    state = torch.load(path, weights_only=True)
    model = unet.build("unet", 10, 12, **state["model"]["options"])
    model.load_state_dict(state["weights"])
    with torch.no_grad():
        logits = model.eval()(torch.rand(1, 10, 128, 128))
        layer = model.get_submodule(model.last_layer)
        layer.bias -= logits.mean((0, 2, 3))
        scale = logits.std((0, 2, 3)).clamp_min(1e-6)
        layer.weight /= scale[:, None, None, None]
        layer.bias /= scale
    torch.save(state | {"weights": model.state_dict()}, path)


def steps(device: torch.device, small: bool, folder: Path) -> None:
    """Report the speed of training steps on one batch in memory."""
    peak = matrix_rate(device, small)
    for name, options in SMALL if small else NETWORKS:
        size = 32 if small else SIZE
        build = partial(unet.build, name, CHANNELS, CLASSES, head_dropout=0.1, **options)
        title = " ".join([name, *(f"{key} {value}" for key, value in options.items())])
        default, largest = (2, 4) if small else (12, largest_batch(build, size, device))
        each = step_flops(build, size)
        row(f"{title}: a training step", f"{each / 1e9:.1f} GFLOP an image of {size} x {size}")
        for what, batch, changes in [
            ("bfloat16", default, {}),
            ("largest batch", largest, {}),
            ("contiguous", default, {"layout": torch.contiguous_format}),
            ("cudnn.benchmark", default, {"benchmark": True}),
            ("float32", default, {"precision": torch.float32}),
        ]:
            with in_a_row(f"{title}, {what}") as result:
                step = fitting(batch, partial(step_speed, build, size, device, small, **changes))
                batch, speed, gigabytes = step
                text = f"{speed:.1f} images/s, {speed * each / peak:.1%} of the rate"
                result.append(f"{text}, {gigabytes:.1f} GB, batch {batch}")


def compiled_steps(device: torch.device, small: bool, folder: Path) -> None:
    """Report the speed of training steps with torch.compile, and the time that it takes."""
    for name, options in SMALL[:1] if small else NETWORKS:
        size, batch = (32, 2) if small else (SIZE, 12)
        build = partial(unet.build, name, CHANNELS, CLASSES, head_dropout=0.1, **options)
        title = " ".join([name, *(f"{key} {value}" for key, value in options.items())])
        with in_a_row(f"{title}, batch {batch}, --compile") as result:
            started = time.perf_counter()
            speed, gigabytes = step_speed(build, size, device, small, batch, compiled=True)
            whole = time.perf_counter() - started
            text = f"{speed:.1f} images/s, {gigabytes:.1f} GB"
            result.append(f"{text} ({whole:.0f} s to compile and measure)")


@contextlib.contextmanager
def in_a_row(what: str) -> Iterator[list[str]]:
    """Report the text that the block appends, or its error."""
    result: list[str] = []
    try:
        yield result
    except Exception as error:
        result.append(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
    row(what, result[-1])


def step_flops(build: Callable, size: int) -> float:
    """Count the FLOPs of the forward and the backward pass of an image, two a multiplication."""
    with torch.device("meta"):
        model, images = build().train(), torch.empty(2, CHANNELS, size, size)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops() / 2


def largest_batch(build: Callable, size: int, device: torch.device) -> int:
    """Find the largest power of two, up to 256, whose training step should fit into memory."""
    free, batch = 0.8 * (memory.free_bytes(device) or 2**33), 2
    while batch < 256 and memory.training_bytes(build, (2 * batch, CHANNELS, size, size), 2) < free:
        batch *= 2
    return batch


def fitting(batch: int, measure: Callable) -> tuple[int, float, float]:
    """Measure steps on a batch, or on half of it until it fits into memory."""
    while True:
        try:
            return batch, *measure(batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        batch //= 2


def step_speed(
    build: Callable,
    size: int,
    device: torch.device,
    small: bool,
    batch: int,
    layout: torch.memory_format = torch.channels_last,
    precision: torch.dtype = torch.bfloat16,
    benchmark: bool = False,
    compiled: bool = False,
) -> tuple[float, float]:
    """Measure a training step as train.py makes it: images a second, and GB of memory."""
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = benchmark
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    model = build().train().to(device, memory_format=layout)
    # Without a backend that compiles C++, the script is tried in seconds.
    backend = "aot_eager" if small else "inductor"
    learner: Callable = torch.compile(model, backend=backend) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    images = torch.rand(batch, CHANNELS, size, size, device=device).to(memory_format=layout)
    targets = torch.randint(CLASSES, (batch, size, size), device=device, dtype=torch.uint8)

    def step() -> None:
        with autocast(device, precision):
            loss = losses.dice_cross_entropy(learner(images), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = median_seconds(step, device, 0.2 if small else 1.5)
    return batch / seconds, memory.peak_bytes(device) / 1e9


def scene(device: torch.device, small: bool, folder: Path) -> None:
    """Map a scene from file to file, and report where the time goes."""
    side = 512 if small else 10_000
    network, path = folder / "network.pt", folder / "scene.tif"
    bench_scene.write_checkpoint(network, 8 if small else 16, 256)
    started = time.perf_counter()
    write_noise(path, side)
    megabytes = path.stat().st_size / 1e6
    row("writing the scene", f"{time.perf_counter() - started:.1f} s, {megabytes:.0f} MB, DEFLATE")
    for batch in (4,) if small else (4, 16):
        given = ["--checkpoint", network, "--output", folder, "--device", device]
        with in_a_row(f"{side:,} x {side:,} x 10 uint16, --batch {batch}") as result:
            spent, load = Counter[str](), Load()
            with watched(spent, device), load:
                started = time.perf_counter()
                quietly(predict.main, path, *given, "--batch", batch)
                seconds = time.perf_counter() - started
            busy = spent.pop("network on the device")
            text = f"{seconds:.1f} s, {side**2 / seconds / 1e6:.1f} Mpixel/s"
            result.append(f"{text}; the network computes in {busy / seconds:.0%} of the time")
        row("- utilization that the driver reports", load.text())
        for name, thread in spent.items():
            row(f"- {name}", f"{thread / seconds:.2f} threads ({thread:.1f} s)")


def write_noise(path: Path, side: int) -> None:
    """Write a tiled GeoTIFF of reflectances with noise, repeated from strip to strip."""
    random = np.random.default_rng(0)
    fields = random.integers(500, 3500, (10, 13, -(-side // 40)))
    ground = np.kron(fields, np.ones((1, 40, 40)))[:, :512, :side]
    strip = (ground + 40 * random.standard_normal(ground.shape, np.float32)).astype(np.uint16)
    grid = Grid(None, (10, 0, 0, 0, -10, 0), side, side)
    with writer(path, grid, 10, np.uint16, nodata=0, overviews="average") as add:
        for top in range(0, side, 512):
            add(strip[:, : side - top])


@contextlib.contextmanager
def watched(spent: Counter, device: torch.device) -> Iterator[None]:
    """Add the seconds of processor of each kind of work in the block to `spent`.

    Seconds of `the network on the device` are those between two events on a GPU.
    """
    lock, events = threading.Lock(), []

    def timed(name: str, function: Callable, clock: Callable = time.thread_time) -> Callable:
        def call(*arguments, **options):
            started = clock()
            try:
                return function(*arguments, **options)
            finally:
                with lock:
                    spent[name] += clock() - started

        return call

    def between_events(function: Callable) -> Callable:
        def call(*arguments):
            events.append([torch.cuda.Event(enable_timing=True) for _ in range(2)])
            events[-1][0].record()
            try:
                return function(*arguments)
            finally:
                events[-1][1].record()

        return call

    softmax = "network on the device"
    on_device = partial(timed, softmax, clock=time.perf_counter)
    if device.type == "cuda":
        on_device = between_events
    places = [
        (Input, "read", partial(timed, "threads that decode")),
        (Source, "prepare", partial(timed, "threads that scale")),
        (Predictor, "probabilities", partial(timed, "thread of the network, with its copies")),
        (Predictor, "_softmax", on_device),
        (strips, "_add", partial(timed, "thread that blends")),
        (strips, "_strip", partial(timed, "thread that takes the classes")),
        (cog._Level, "_compress_and_halve", partial(timed, "threads that encode")),
    ]
    kept = [getattr(owner, name) for owner, name, _ in places]
    try:
        for (owner, name, wrap), function in zip(places, kept):
            setattr(owner, name, wrap(function))
        yield
    finally:
        for (owner, name, _), function in zip(places, kept):
            setattr(owner, name, function)
    wait_for(device)
    if events:
        spent[softmax] = sum(start.elapsed_time(end) for start, end in events) / 1e3


class Load:
    """A thread that asks nvidia-smi for the utilization of the GPU. A context manager."""

    def __enter__(self) -> "Load":
        self.values: list[float] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()
        return self

    def __exit__(self, *error) -> None:
        self.ended.set()
        self.thread.join()

    def _ask(self) -> None:
        while shutil.which("nvidia-smi") and not self.ended.wait(0.5):
            words = smi("utilization.gpu").split()
            if words and words[0].isdigit():
                self.values.append(float(words[0]))

    def text(self) -> str:
        """Return the mean utilization in words."""
        return f"{statistics.fmean(self.values):.0f} %" if self.values else "unknown"


def smi(field: str) -> str:
    """Ask nvidia-smi for a figure of the first GPU. Empty if it does not answer."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return done.stdout.splitlines()[0].strip() if done.stdout else ""
    return ""


def loader(device: torch.device, small: bool, folder: Path) -> None:
    """Report what the loader delivers to the device, and on how many windows train.py trains."""
    gpu, repeats = device.type == "cuda", 2 if small else 40
    towns.write(folder, 4 if small else 24)
    batch = 2 if small else 12
    for workers in (0, 2) if small else (0, 4, 12):
        with in_a_row(f"loader, {workers} workers") as result:
            options = ["--batch", str(batch), "--workers", str(workers)]
            args, data = train_loops.load(str(folder), *options)
            data.training.items *= repeats
            _, batches, _ = pipeline.loaders(args, data, gpu, 0, 1)
            first = last = time.perf_counter()
            windows = 0
            for number, (images, *_) in enumerate(batches):
                images.to(device, non_blocking=True)
                last = time.perf_counter()
                if number == 2 + workers:  # the workers have started, their queues are full
                    first, windows = last, 0
                windows += len(images)
                if number > 2 + workers and last - first > (0.5 if small else 4):
                    break
            wait_for(device)
            result.append(f"{(windows - len(images)) / (last - first):.0f} windows/s")
            del batches
    load_data = pipeline.load

    def repeated(*arguments):
        data = load_data(*arguments)
        data.training.items *= repeats
        return data

    pipeline.load = repeated  # an epoch of a few windows would measure its beginning
    terminal.say = lambda *text: None
    for workers in (0,) if small else (4, 12):
        with in_a_row(f"train.py, base 16, batch {batch}, {workers} workers") as result:
            run = folder / f"run{workers}"
            given = ["--batch", batch, "--workers", workers, "--device", device, "--epochs", 1]
            paths = ["--images", folder / "images", "--masks", folder / "masks", "--output", run]
            quietly(train.main, *paths, *given, *(["--base", 4, "--size", 64] if small else []))
            names, values = (line.split(",") for line in (run / "log.csv").read_text().split()[:2])
            figures = dict(zip(names, values))
            speed, seconds = (float(figures[key]) for key in ("images_per_second", "seconds"))
            result.append(f"{speed:.0f} windows/s, epoch of {seconds:.1f} s with validation")


def run_tests(device: torch.device, small: bool, folder: Path) -> None:
    """Run the test modules that have tests for a GPU."""
    if importlib.util.find_spec("pytest") is None:
        return row("tests", "skipped: pytest is not installed")
    chosen = ["-k", "gpu"] if small else ["-k", "gpu or not resume"]
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(
        [*command, *chosen, "--tb=short", f"--basetemp={folder / 'pytest'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["no output"]
    if done.returncode:
        print("\n".join(lines[-60:]), flush=True)
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            row("- test", line[:250])
    row(f"tests of {len(TESTS)} modules", lines[-1].strip("= "))


def votes(device: torch.device, small: bool, folder: Path) -> None:
    """Count the votes of mode resampling on the device, and compare with data.resample."""
    side, pixel, classes = (600 if small else 6000), 10, 8
    random = np.random.default_rng(0)
    coarse = random.integers(0, classes, (side // 20, side // 20), np.uint8)
    source = np.kron(coarse, np.ones((20, 20), np.uint8))
    turned = math.cos(0.2), math.sin(0.2)
    target_side = side // pixel
    crs = CRS.from_epsg(25831)
    source_grid = Grid(crs, (1, 0, 4e5, 0, -1, 4.6e6), side, side)
    a, b = pixel * turned[0], pixel * turned[1]
    target_grid = Grid(crs, (a, b, 4e5 + 0.25, b, -a, 4.6e6 - 0.25), target_side, target_side)

    def ours() -> np.ndarray:
        return resample.reproject(source, source_grid, target_grid, "mode", nodata=255)

    seconds = median_seconds(ours, torch.device("cpu"), 0.2 if small else 4)
    row(f"mode of {side:,} x {side:,}, data.resample", f"{seconds * 1e3:.0f} ms")
    held = torch.from_numpy(source)
    held = held.pin_memory() if device.type == "cuda" else held
    centres = torch.arange(side, device=device, dtype=torch.float64) + 0.5
    one = torch.ones((), dtype=torch.int32, device=device)

    def counted() -> torch.Tensor:
        codes = held.to(device, non_blocking=True).long()
        places = target_grid.rowcol(*source_grid.xy(centres[:, None], centres))
        r, c = (place.floor().long() for place in places)
        inside = (r >= 0) & (r < target_side) & (c >= 0) & (c < target_side)
        counters = target_side**2 * classes
        index = torch.where(inside, (r * target_side + c) * classes + codes, counters)
        counts = torch.zeros(counters + 1, dtype=torch.int32, device=device)
        counts.scatter_add_(0, index.flatten(), one.expand(index.numel()))
        most = counts[:-1].view(target_side, target_side, classes).max(2)
        return torch.where(most.values > 0, most.indices, 255).byte().cpu()

    expected, found = torch.from_numpy(ours()), counted()
    voted = found != 255  # pixels without votes are those outside the source, or on its border
    same = (found == expected)[voted].double().mean()
    seconds = median_seconds(counted, device, 0.2 if small else 2)
    row("the same votes by scatter_add on the device", f"{seconds * 1e3:.1f} ms, {same:.3%} equal")


# The function of each part, and the seconds that it may take.
PARTS: dict[str, tuple[Callable, int]] = {
    "rate": (rate, 20),
    "labels": (labels, 40),
    "train": (steps, 85),
    "scene": (scene, 115),
    "loader": (loader, 60),
    "tests": (run_tests, 75),
    "votes": (votes, 20),
    "compile": (compiled_steps, 150),
}


def describe(device: torch.device) -> Iterator[tuple[str, str]]:
    """Name the machine."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        gigabytes = properties.total_memory / 1e9
        yield "card", f"{properties.name}, {gigabytes:.0f} GB"
        yield (
            "driver, CUDA, cuDNN",
            (
                f"{smi('driver_version') or 'unknown'}, {torch.version.cuda}, "
                f"{torch.backends.cudnn.version()}"
            ),
        )
    else:
        yield "card", "none"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "CPU cores", str(cores)
    yield "torch, Python", f"{torch.__version__}, {sys.version.split()[0]}"


def run_part(name: str, words: list[str], limit: int) -> Iterator[tuple[str, str]]:
    """Run a part in a process of its own. Yield its rows, the last of which says how it ended."""
    command = [sys.executable, __file__, "--part", name, *words]
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    last, ended = "", ""
    try:
        while not ended:
            try:
                line = lines.get(timeout=max(0.0, started + limit - time.monotonic()))
            except queue.Empty:
                ended = f"STOPPED after its limit of {limit} s"
                continue
            if line is None:
                status, seconds = process.wait(), time.monotonic() - started
                ended = f"FAILED ({status}): {last[:250]}" if status else f"{seconds:.0f} s"
            elif line.startswith(ROW):
                yield tuple(json.loads(line[len(ROW) :]))
            elif line.strip():
                last = line.strip()
                print(f"    {last}", flush=True)
    finally:
        with contextlib.suppress(ProcessLookupError):  # also workers that the part has left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    yield f"part {name}", ended


def main() -> None:
    """Run the parts, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--device", default="cuda", help="cuda, cuda:1, or cpu to try the script")
    add("--small", action="store_true", help="small sizes, to try the script")
    add("--only", nargs="+", choices=[*PARTS], default=[*PARTS], help="some of the parts")
    add("--part", choices=[*PARTS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        device = pick_device(args.device)
    except DeviceError as error:  # `make bench` goes on
        return print(f"bench_gpu.py: nothing is measured: {error}")
    if args.part:
        if args.small:
            torch.set_num_threads(1)  # on busy cores, threads mostly wait for each other
        with tempfile.TemporaryDirectory() as folder:
            return PARTS[args.part][0](device, args.small, Path(folder))
    words = ["--device", args.device, *["--small"] * args.small]
    started, rows = time.monotonic(), []

    def add_row(what: str, result: str) -> None:
        rows.append((what, result))
        print(f"{time.monotonic() - started:5.0f} s  {what}: {result}", flush=True)

    try:
        for what, result in describe(device):
            add_row(what, result)
        for name in args.only:
            left = WHOLE - round(time.monotonic() - started)
            for what, result in run_part(name, words, max(5, min(PARTS[name][1], left))):
                add_row(what, result)
    finally:  # also after Ctrl-C
        add_row("total", f"{time.monotonic() - started:.0f} s")
        print("\n| what | result |\n|---|---|")
        for what, result in rows:
            print(f"| {what} | {result.replace('|', '/')} |", flush=True)


if __name__ == "__main__":
    main()
