"""What a training step costs beside the bare arithmetic, and what each means to make it cheaper is
worth.

    python tests/bench/bench_train.py                         base 16, batch 6, a few minutes
    python tests/bench/bench_train.py --base 64 --steps 3     the network of the paper
    python tests/bench/bench_train.py --only effects

Three loops take the same network, with windows of 300 x 300 of synthetic Sentinel-2 scenes, 11
bands and 4 indices:

    ours        unet.learning.learn as train.py calls it: windows read from the prepared scenes on the disk, scaled,
                augmented and collated, forward, loss, backward, step, the loss looked at, progress printed
    bare        forward, torch's cross-entropy, backward, fused AdamW, on one batch that stays in memory
    milesial    the loop of milesial/Pytorch-UNet's train.py (https://github.com/milesial/Pytorch-UNet), written anew:
                float32, cross-entropy and Dice, RMSprop, clipped gradients, the loss fetched three times a step; on
                samples that lie in memory, so that its reading of files costs it nothing

Each loop is a process of its own that makes one step at a time when it is told to, and two take
turns: what else the machine does meets both alike. Figures are medians over the steps, after two to
warm up; ratios are medians (and range) of those of the turns. A second table compares the bare loop
with itself, one thing changed at a time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
import unet  # noqa: E402
from data import terminal  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.files import IGNORE  # noqa: E402
from data.sample import towns  # noqa: E402
from data.training import pipeline  # noqa: E402
from unet import losses  # noqa: E402
from unet.training import passes  # noqa: E402
from unet.training.device import autocast, keep_memory, peak_bytes, pick_precision  # noqa: E402
from unet.training.recompute import recompute  # noqa: E402

CPU, CLASSES, CHANNELS, WARM_UP = torch.device("cpu"), 3, 15, 2
DEFAULTS = {
    "base": 16,
    "batch": 6,
    "size": 300,
    "precision": "auto",
    "channels_last": True,
    "fused": True,
    "keep": True,
    "compile": False,
    "recompute": False,
    "accumulate": 1,
    "workers": 0,
}
FLOAT32, LARGE = {"precision": "float32"}, {"batch": 1, "size": 1024}
# What is compared: its name, and the loop and the options of the one and of the other.
LOOPS = [
    ("ours / bare", ("ours", {}), ("bare", {})),
    ("ours / bare, both in float32", ("ours", FLOAT32), ("bare", FLOAT32)),
    ("ours / milesial's, both in float32", ("ours", FLOAT32), ("milesial", {})),
    ("ours / milesial's, each as it comes", ("ours", {}), ("milesial", {})),
    ("validation / bare forward pass", ("validation", {}), ("forward", {})),
]
EFFECTS = [
    ("channels_last / contiguous", {}, {"channels_last": False}),
    ("fused AdamW / AdamW", {}, {"fused": False}),
    ("bfloat16 / float32", {"precision": "bfloat16"}, FLOAT32),
    ("`keep_memory` / malloc as it comes", {}, {"keep": False}),
    ("`--compile` / not", {"compile": True}, {}),
    ("`--accumulate 2` of half a batch / one batch", {"accumulate": 2}, {}),
    ("`--recompute` / not", {"recompute": True}, {}),
    ("the same, one window of 1024 x 1024", {"recompute": True, **LARGE}, LARGE),
]


def arguments(folder: str, *options: str) -> list[str]:
    """Options of train.py for the synthetic scenes in `folder`."""
    paths = ["--images", f"{folder}/images", "--masks", f"{folder}/masks"]
    return [*paths, "--output", f"{folder}/run-{os.getpid()}", *options]


def load(folder: str, *options: str) -> tuple[argparse.Namespace, pipeline.Data]:
    """The synthetic scenes in `folder` as train.py would load them."""
    args = train.parse(arguments(folder, *options))
    cache = args.output.parent / "cache"
    table = ClassTable.load(args.classes)
    data = pipeline.load(args, table, cache, lambda text: None, lambda text: None)
    return args, whole_batches(data, args.batch)


def whole_batches(data: pipeline.Data, batch: int) -> pipeline.Data:
    """Leave out a small last batch, which would be a cheaper step."""
    data.training.items = data.training.items[: len(data.training) // batch * batch]
    return data


def network(options: dict) -> nn.Module:
    """The U-Net with the dropout that train.py gives it."""
    model = unet.build("unet", CHANNELS, CLASSES, base=options["base"], head_dropout=0.1)
    model = recompute(model, unet.BLOCKS) if options["recompute"] else model
    return model.to(
        memory_format=torch.channels_last if options["channels_last"] else torch.contiguous_format
    ).train()


def ours(options: dict, folder: str, done: Callable[[], None]) -> None:
    """train.py itself; `done` is called where it shows its progress, after each step."""
    load_data = pipeline.load

    def load_whole_batches(args, *rest):
        return whole_batches(load_data(args, *rest), args.batch)

    def progress(text: str) -> None:
        if "loss" in text:
            done()

    pipeline.load, terminal.progress = load_whole_batches, progress
    keys = ("base", "batch", "precision", "workers", "accumulate")
    chosen = [word for key in keys for word in (f"--{key}", str(options[key]))]
    train.main(arguments(folder, "--loss", "cross_entropy", "--class-weights", "none", *chosen))


def validation(options: dict, folder: str, done: Callable[[], None]) -> None:
    """The loop that validates, with its confusion matrix."""
    args, data = load(folder, "--batch", str(options["batch"]))
    data = data._replace(validation=data.training.only(range(len(data.training))))
    _, _, batches = pipeline.loaders(args, data, False, 0, 1)
    model, precision = network(options), pick_precision(options["precision"], CPU, training=True)
    while True:
        passes.evaluate(model, batches, losses.cross_entropy, CLASSES, CPU, precision, done)


@torch.no_grad()
def forward(options: dict, folder: str, done: Callable[[], None]) -> None:
    """What of it is arithmetic alone."""
    model, precision = (
        network(options).eval(),
        pick_precision(options["precision"], CPU, training=True),
    )
    images = torch.rand((options["batch"], CHANNELS, options["size"], options["size"]))
    images = images.contiguous(memory_format=torch.channels_last)
    while True:
        with autocast(CPU, precision):
            model(images)
        done()


def bare(options: dict, folder: str, done: Callable[[], None]) -> None:
    """The arithmetic alone, on one batch of random numbers."""
    model, precision = network(options), pick_precision(options["precision"], CPU, training=True)
    model = torch.compile(model) if options["compile"] else model
    optimizer = torch.optim.AdamW(
        model.parameters(), 5e-4, weight_decay=1e-4, fused=options["fused"]
    )
    parts = options["accumulate"]
    images = torch.rand((options["batch"], CHANNELS, options["size"], options["size"])).chunk(parts)
    if options["channels_last"]:
        images = [part.contiguous(memory_format=torch.channels_last) for part in images]
    targets = torch.randint(CLASSES, (options["batch"], options["size"], options["size"])).chunk(
        parts
    )
    while True:
        for image, target in zip(images, targets):
            with autocast(CPU, precision):
                loss = F.cross_entropy(model(image).float(), target, ignore_index=IGNORE) / parts
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done()


class MilesialUNet(nn.Module):
    """The layers of milesial's UNet(n_channels, n_classes, bilinear=False), `base` for its 64."""

    def __init__(self, channels: int, classes: int, base: int):
        super().__init__()
        widths = [base * 2**level for level in range(5)]

        def double(before: int, after: int) -> nn.Sequential:
            layers = [(before, after), (after, after)]
            convolutions = [
                (
                    nn.Conv2d(a, b, 3, padding=1, bias=False),
                    nn.BatchNorm2d(b),
                    nn.ReLU(inplace=True),
                )
                for a, b in layers
            ]
            return nn.Sequential(*convolutions[0], *convolutions[1])

        self.down = nn.ModuleList(map(double, [channels, *widths[:-1]], widths))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in widths[-2::-1]
        )
        self.join = nn.ModuleList(double(2 * width, width) for width in widths[-2::-1])
        self.out = nn.Conv2d(base, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.down):
            skips.append(block(F.max_pool2d(skips[-1], 2) if level else x))
        x = skips.pop()
        for up, join in zip(self.up, self.join):
            x, skip = up(x), skips.pop()
            rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
            x = join(torch.cat([skip, x], dim=1))
        return self.out(x)


def milesial(options: dict, folder: str, done: Callable[[], None]) -> None:
    """Its loop with its settings: no mixed precision unless asked for, and C's allocator as it
    comes.
    """
    _, data = load(folder, "--batch", str(options["batch"]))
    samples = [data.training[number, number] for number in range(len(data.training))]
    pairs = [
        {"image": image.contiguous(), "mask": mask.clamp(max=CLASSES - 1).long()}
        for image, mask, _ in samples
    ]
    loader = DataLoader(pairs, options["batch"], shuffle=True)
    model = (
        MilesialUNet(CHANNELS, CLASSES, options["base"])
        .to(memory_format=torch.channels_last)
        .train()
    )
    optimizer = torch.optim.RMSprop(
        model.parameters(), lr=1e-5, weight_decay=1e-8, momentum=0.999, foreach=True
    )
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    total, log = 0.0, []
    while True:
        for batch in loader:
            images = batch["image"].to(CPU, torch.float32, memory_format=torch.channels_last)
            masks = batch["mask"].to(CPU, torch.long)
            logits = model(images)
            p = logits.softmax(1)
            true = F.one_hot(masks, CLASSES).permute(0, 3, 1, 2).float()
            overlap, both = (2 * p * true).sum((-1, -2)), p.sum((-1, -2)) + true.sum((-1, -2))
            loss = F.cross_entropy(logits, masks) + 1 - ((overlap + 1e-6) / (both + 1e-6)).mean()
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            total += loss.item()
            log.append({"train loss": loss.item()})
            terminal.progress(f"loss (batch) {loss.item()}")
            done()


def work(loop: str, options: dict, folder: str) -> None:
    """A worker: for each line on stdin one step, and a line with its seconds and the peak memory so
    far.
    """
    torch.manual_seed(0)
    if loop != "milesial" and options["keep"]:
        keep_memory()
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[options["clock"]]
    start = 0.0

    def done() -> None:
        nonlocal start
        print(json.dumps([clock() - start, peak_bytes(CPU)]), flush=True)
        sys.stdin.readline() or sys.exit()
        start = clock()

    done()
    globals()[loop](options, folder, done)


class Worker:
    """A loop in a process of its own. `.first` seconds to warm up, `.seconds` of each step, `.peak`
    GB.
    """

    def __init__(self, loop: str, folder: str, **options):
        command = [
            sys.executable,
            __file__,
            "--work",
            loop,
            json.dumps(DEFAULTS | options),
            "--folder",
            folder,
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process.stdout.readline()
        self.first, self.seconds = sum(self.step()[0] for _ in range(WARM_UP)), []

    def step(self) -> tuple[float, float]:
        """Make one step: (its seconds, the peak memory so far in bytes)."""
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
    """Each makes a step in turn, forth and back, so that none always follows the same."""
    for turn in range(steps):
        for worker in workers[:: 1 if turn % 2 else -1]:
            worker.measure()
    for worker in workers:
        worker.stop()


def compare(rows: list, folder: str, steps: int, **options) -> None:
    """A table: two loops at a time, for more would not fit into memory."""
    print(
        f"\n| base {options['base']}, batch {options['batch']} | s a step | s a step | ratio | peak memory, GB |"
    )
    print("|---|---|---|---|---|")
    for name, *pair in rows:
        a, b = (Worker(loop, folder, **(options | change)) for loop, change in pair)
        take_turns([a, b], steps)
        one, two = (statistics.median(worker.seconds) for worker in (a, b))
        ratios = sorted(x / y for x, y in zip(a.seconds, b.seconds))
        middle, low, high = statistics.median(ratios), ratios[0], ratios[-1]
        name += f" (first {WARM_UP} steps {a.first:.0f} s)" if "compile" in pair[0][1] else ""
        print(
            f"| {name} | {one:.3f} | {two:.3f} | {middle:.3f} ({low:.2f}-{high:.2f}) | {a.peak:.2f} / {b.peak:.2f} |",
            flush=True,
        )


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--base", type=int, default=16, help="channels of the first level")
    parser.add_argument("--batch", type=int, default=6, help="windows in a batch")
    parser.add_argument("--steps", type=int, default=7, help="steps of each loop that are measured")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: for one thread, if others work",
    )
    parser.add_argument("--only", choices=("loops", "effects"), help="one of the two tables")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work(args.work[0], json.loads(args.work[1]), args.folder)
    options = {"base": args.base, "batch": args.batch, "clock": args.clock}
    with tempfile.TemporaryDirectory() as folder:
        towns.write(folder, 24)
        load(folder)  # prepares the scenes
        print(
            f"{torch.get_num_threads()} threads, {args.clock} clock, medians of {args.steps} steps in turn"
        )
        if args.only != "effects":
            compare(LOOPS, folder, args.steps, **options)
        if args.only != "loops":
            effects = [(name, ("bare", a), ("bare", b)) for name, a, b in EFFECTS]
            compare(effects, folder, args.steps, **options)


if __name__ == "__main__":
    main()
