"""What a training step costs beside the bare arithmetic, and what each option saves.

    python tests/bench/bench_train.py                                   base 16, batch 6
    python tests/bench/bench_train.py --base 64 --batch 2 --steps 3     the network of the paper
    python tests/bench/bench_train.py --only effects
    python tests/bench/bench_train.py --only start                      before the first step

The loops of train_loops.py train the same network on windows of 300 x 300 of synthetic Sentinel-2
scenes, with 11 bands and 4 indices. Each loop runs in a process of its own and waits for a line
before each step. Two processes take turns, so that other work on the machine slows both alike.
Figures are medians over the steps, after two steps to warm up. Ratios are medians (and ranges) of
the ratios of the turns. A second table compares the bare loop with itself, with one option changed.
A third has the seconds of train.py before its first epoch and in its first two epochs, for scenes
that are not prepared yet, and for the same scenes again.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from train_loops import DEFAULTS, arguments, load  # noqa: E402

from data.sample import towns  # noqa: E402

WARM_UP = 2  # steps
FLOAT32, LARGE = {"precision": "float32"}, {"batch": 1, "size": 1024}
WORKERS = {"workers": 2}
# What is compared: a name, and the loop and the options of the one and of the other.
LOOPS = [
    ("ours / bare", ("ours", {}), ("bare", {})),
    ("ours / bare, both in float32", ("ours", FLOAT32), ("bare", FLOAT32)),
    ("ours with `--workers 2` / bare", ("ours", WORKERS), ("bare", {})),
    ("the same, both in float32", ("ours", FLOAT32 | WORKERS), ("bare", FLOAT32)),
    ("ours / milesial's, both in float32", ("ours", FLOAT32), ("milesial", {})),
    ("ours / milesial's, each with its defaults", ("ours", {}), ("milesial", {})),
    ("validation / bare forward pass", ("validation", {}), ("forward", {})),
]
EFFECTS = [
    ("channels_last / contiguous", {}, {"channels_last": False}),
    ("fused AdamW / AdamW", {}, {"fused": False}),
    ("bfloat16 / float32", {"precision": "bfloat16"}, FLOAT32),
    ("`keep_memory` / malloc's defaults", {}, {"keep": False}),
    ("`--compile` / not", {"compile": True}, {}),
    ("`--accumulate 2` of half a batch / one batch", {"accumulate": 2}, {}),
    ("`--recompute` / not", {"recompute": True}, {}),
    ("the same, one window of 1024 x 1024", {"recompute": True, **LARGE}, LARGE),
]


class Worker:
    """A loop in a process of its own.

    Attributes:
        first: seconds of the steps to warm up.
        seconds: of each measured step.
        peak: most memory so far, in GB.
    """

    def __init__(self, loop: str, folder: str, **options):
        script = str(Path(__file__).with_name("train_loops.py"))
        command = [sys.executable, script, loop, json.dumps(DEFAULTS | options), folder]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.process.stdout.readline()
        self.first, self.seconds = sum(self.step()[0] for _ in range(WARM_UP)), []

    def step(self) -> tuple[float, float]:
        """Make one step. Returns its seconds, and the peak memory so far in bytes."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def measure(self) -> None:
        """Make one step, and keep its figures."""
        seconds, peak = self.step()
        self.seconds.append(seconds)
        self.peak = peak / 1e9

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def take_turns(workers: list[Worker], steps: int) -> None:
    """Let the workers step in turn, in the reverse order in every second turn."""
    for turn in range(steps):
        for worker in workers[:: 1 if turn % 2 else -1]:
            worker.measure()
    for worker in workers:
        worker.stop()


def compare(rows: list, folder: str, steps: int, **options) -> None:
    """Print a table. Two loops run at a time, for more would not fit into memory."""
    what = f"base {options['base']}, batch {options['batch']}"
    print(f"\n| {what} | s a step | s a step | ratio | peak memory, GB |")
    print("|---|---|---|---|---|")
    for name, *pair in rows:
        a, b = (Worker(loop, folder, **(options | change)) for loop, change in pair)
        take_turns([a, b], steps)
        one, two = (statistics.median(worker.seconds) for worker in (a, b))
        ratios = sorted(x / y for x, y in zip(a.seconds, b.seconds))
        middle, low, high = statistics.median(ratios), ratios[0], ratios[-1]
        if "compile" in pair[0][1]:
            name += f" (first {WARM_UP} steps {a.first:.0f} s)"
        ratio, memory = f"{middle:.3f} ({low:.2f}-{high:.2f})", f"{a.peak:.2f} / {b.peak:.2f}"
        print(f"| {name} | {one:.3f} | {two:.3f} | {ratio} | {memory} |", flush=True)


def start(folder: str, steps: int, **options) -> None:
    """Print the seconds before the first epoch, and of two epochs, of new and prepared scenes."""
    words = [f"--{key}={options[key]}" for key in ("base", "batch")]
    rows = {"new scenes": [], "prepared scenes": []}
    for _ in range(steps):
        with tempfile.TemporaryDirectory(dir=folder) as runs:  # the cache lies beside the runs
            for name, seconds in rows.items():
                run = Path(runs, name.partition(" ")[0])
                command = [str(ROOT / "train.py"), *arguments(folder, *words, "--epochs=2")]
                began = time.perf_counter()
                command += ["--output", str(run)]
                subprocess.run([sys.executable, *command], check=True, capture_output=True)
                whole = time.perf_counter() - began
                with open(run / "log.csv") as file:
                    epochs = [float(row["seconds"]) for row in csv.DictReader(file)]
                seconds.append((whole - sum(epochs), *epochs))
    print("\n| s | start and report | first epoch | second epoch |\n|---|---|---|---|")
    for name, seconds in rows.items():
        medians = map(statistics.median, zip(*seconds))
        print(f"| {name} | {' | '.join(f'{one:.2f}' for one in medians)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--base", type=int, default=16, help="channels of the first level")
    add("--batch", type=int, default=6, help="windows in a batch")
    add("--steps", type=int, default=7, help="steps of each loop that are measured")
    clock_help = "cpu: for one thread, where other programs run"
    add("--clock", choices=("wall", "cpu"), default="wall", help=clock_help)
    add("--only", choices=("loops", "effects", "start"), help="one table alone")
    args = parser.parse_args()
    options = {"base": args.base, "batch": args.batch, "clock": args.clock}
    with tempfile.TemporaryDirectory() as folder:
        towns.write(folder, 24)
        load(folder)  # prepares the scenes
        threads = torch.get_num_threads()
        print(f"{threads} threads, {args.clock} clock, medians of {args.steps} steps in turn")
        if args.only in (None, "loops"):
            compare(LOOPS, folder, args.steps, **options)
        if args.only in (None, "effects"):
            effects = [(name, ("bare", a), ("bare", b)) for name, a, b in EFFECTS]
            compare(effects, folder, args.steps, **options)
        if args.only in (None, "start"):
            start(folder, args.steps, **options)


if __name__ == "__main__":
    main()
