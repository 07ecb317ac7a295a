"""What each network costs: parameters, multiply-adds, time and memory of a training step.

    python tests/bench/bench_networks.py
    OMP_NUM_THREADS=1 python tests/bench/bench_networks.py --clock cpu --rounds 1
    python tests/bench/bench_networks.py --models segformer-b0 --size 64 --batch 1 --rounds 1

Time and memory are relative to those of `unet`. Multiply-adds are those of one image forward,
counted by torch's FlopCounterMode on the meta device. A step is forward, cross-entropy, backward
and AdamW in float32. Each network runs in a process of its own: one step to warm up, then the
median of three. The networks take turns. The ratio to `unet` is taken within each round, and the
table has the median of the rounds. Memory is the largest resident set of the process, less that
before the network was built; on a GPU it is the most that was allocated. `unet` has base 16, as by
default. `unet-64` has base 64, as in the paper.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[2]))

import unet  # noqa: E402
from data import terminal  # noqa: E402
from unet.training.device import pick_device  # noqa: E402

BANDS, CLASSES = 15, 3
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
NETWORKS = ["unet", "unet-64", *(name for name in unet.MODELS if name != "unet")]


def build(name: str) -> nn.Module:
    """Build a network; `unet-64` is `unet` with base 64."""
    if name.startswith("unet"):
        return unet.build("unet", BANDS, CLASSES, base=64 if name == "unet-64" else 16)
    return unet.build(name, BANDS, CLASSES)


def count(name: str, size: int) -> tuple[int, int]:
    """Count the parameters of a network, and its multiply-adds for one image."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = build(name).eval()
        network(torch.empty(1, BANDS, size, size))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2


def measure(
    name: str, size: int, batch: int, device: torch.device, clock: Callable[[], float]
) -> dict:
    """Measure the seconds of a training step, and the bytes at its peak, in this process."""
    torch.manual_seed(0)
    images = torch.rand(batch, BANDS, size, size, device=device)
    targets = torch.randint(CLASSES, (batch, size, size), device=device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    network = build(name).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters())
    seconds = []
    for _ in range(4):
        began = clock()
        F.cross_entropy(network(images), targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(clock() - began)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else after - before
    return {"seconds": statistics.median(seconds[1:]), "bytes": peak}


def measure_apart(name: str, args: argparse.Namespace) -> dict:
    """Call `measure` in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--device", args.device]
    command += ["--clock", args.clock, "--size", str(args.size), "--batch", str(args.batch)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--size", type=int, default=300, help="side of an image")
    add("--batch", type=int, default=2, help="images in a batch")
    add("--rounds", type=int, default=3, help="rounds, of which the median is taken")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--clock", choices=CLOCKS, default="wall", help="cpu: for one thread, where others run")
    add("--models", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NETWORK")
    add("--only", help=argparse.SUPPRESS)  # the network that `measure_apart` measures
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    args = options()
    if args.only:
        device = pick_device(args.device)
        print(json.dumps(measure(args.only, args.size, args.batch, device, CLOCKS[args.clock])))
        return

    names = ["unet", *(name for name in args.models if name != "unet")]
    rounds = []
    for number in range(args.rounds):
        rounds.append({})
        for name in names:
            terminal.progress(f"round {number + 1} of {args.rounds}: {name}")
            rounds[-1][name] = measure_apart(name, args)
    terminal.progress("")

    def median(name: str, what: str, relative: bool = False) -> float:
        values = [r[name][what] / (r["unet"][what] if relative else 1) for r in rounds]
        return statistics.median(values)

    shape = f"{args.batch} x {BANDS} x {args.size} x {args.size}"
    print(f"{shape}, {pick_device(args.device)}, {args.clock} clock, torch {torch.__version__}")
    seconds, gigabytes = median("unet", "seconds"), median("unet", "bytes") / 1e9
    print(f"unet: a step of {seconds:.2f} s and {gigabytes:.2f} GB\n")
    print("| network | parameters, millions | multiply-adds, 10^9 | step time | memory |")
    print("|---|---|---|---|---|")
    for name in names:
        parameters, products = count(name, args.size)
        ratios = f"{median(name, 'seconds', True):.2f} | {median(name, 'bytes', True):.2f}"
        print(f"| {name} | {parameters / 1e6:.1f} | {products / 1e9:.1f} | {ratios} |")


if __name__ == "__main__":
    main()
