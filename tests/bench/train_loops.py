"""The loops that bench_train.py compares, each of which runs in a process of its own.

    ours        train.py: windows are read from the prepared scenes on the disk, scaled, augmented
                and collated; forward, loss, backward, optimizer step, loss read, progress printed
    bare        forward, torch's cross-entropy, backward, fused AdamW, on one batch in memory
    milesial    the loop of train.py of milesial/Pytorch-UNet, written anew: float32, cross-entropy
                and Dice, RMSprop, clipped gradients, the loss read three times a step; the samples
                lie in memory, so that it reads no files
                (https://github.com/milesial/Pytorch-UNet)
    validation  the loop of train.py over validation windows, with its confusion matrix
    forward     the forward pass alone, on one batch in memory

bench_train.py starts this file. A loop calls `done` after each step. `work` makes that call print
the seconds of the step and wait.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parents[2]))

import train  # noqa: E402
import unet  # noqa: E402
from data import terminal  # noqa: E402
from data.classes import ClassTable  # noqa: E402
from data.files import IGNORE  # noqa: E402
from data.training import pipeline  # noqa: E402
from unet import losses  # noqa: E402
from unet.training import passes  # noqa: E402
from unet.training.device import autocast, pick_precision  # noqa: E402
from unet.training.memory import keep_memory, peak_bytes  # noqa: E402
from unet.training.recompute import recompute  # noqa: E402

CPU, CLASSES, CHANNELS = torch.device("cpu"), 3, 15
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


def arguments(folder: str, *options: str) -> list[str]:
    """Return options of train.py for the synthetic scenes in a folder."""
    paths = ["--images", f"{folder}/images", "--masks", f"{folder}/masks"]
    return [*paths, "--output", f"{folder}/run-{os.getpid()}", *options]


def load(folder: str, *options: str) -> tuple[argparse.Namespace, pipeline.Data]:
    """Load the synthetic scenes in a folder as train.py would."""
    args = train.parse(arguments(folder, *options))
    table, cache = ClassTable.load(args.classes), args.output.parent / "cache"
    data = pipeline.load(args, table, cache, lambda text: None, lambda text: None)
    return args, whole_batches(data, args.batch)


def whole_batches(data: pipeline.Data, batch: int) -> pipeline.Data:
    """Leave out a small last batch, whose step would be cheaper."""
    data.training.items = data.training.items[: len(data.training) // batch * batch]
    return data


def network(options: dict) -> nn.Module:
    """Build the U-Net with the dropout that train.py gives it."""
    model = unet.build("unet", CHANNELS, CLASSES, base=options["base"], head_dropout=0.1)
    if options["recompute"]:
        model = recompute(model, unet.BLOCKS)
    if options["channels_last"]:
        model = model.to(memory_format=torch.channels_last)
    return model.train()


def random_images(options: dict) -> torch.Tensor:
    """Return one batch (N, C, S, S) of random numbers."""
    images = torch.rand((options["batch"], CHANNELS, options["size"], options["size"]))
    return (
        images.contiguous(memory_format=torch.channels_last) if options["channels_last"] else images
    )


def ours(options: dict, folder: str, done: Callable[[], None]) -> None:
    """Run train.py. It shows its progress after each step; `done` is called there."""
    load_data = pipeline.load

    def load_whole_batches(args, *rest):
        return whole_batches(load_data(args, *rest), args.batch)

    def progress(text: str) -> None:
        if "loss" in text:
            done()

    pipeline.load, terminal.progress = load_whole_batches, progress
    terminal.say = lambda text: None  # stdout carries the figures
    keys = ("base", "batch", "precision", "workers", "accumulate")
    chosen = [word for key in keys for word in (f"--{key}", str(options[key]))]
    train.main(arguments(folder, "--loss", "cross_entropy", "--class-weights", "none", *chosen))


def validation(options: dict, folder: str, done: Callable[[], None]) -> None:
    """Run the validation loop of train.py on the training windows, unaugmented."""
    args, data = load(folder, "--batch", str(options["batch"]))
    data = data._replace(validation=data.training.only(range(len(data.training))))
    _, _, batches = pipeline.loaders(args, data, False, 0, 1)
    model, precision = network(options), pick_precision(options["precision"], CPU, training=True)
    while True:
        passes.evaluate(model, batches, losses.cross_entropy, CLASSES, CPU, precision, done)


@torch.no_grad()
def forward(options: dict, folder: str, done: Callable[[], None]) -> None:
    """Run the forward pass alone."""
    precision = pick_precision(options["precision"], CPU, training=True)
    model, images = network(options).eval(), random_images(options)
    while True:
        with autocast(CPU, precision):
            model(images)
        done()


def bare(options: dict, folder: str, done: Callable[[], None]) -> None:
    """Run forward, loss, backward and optimizer step on one batch."""
    precision = pick_precision(options["precision"], CPU, training=True)
    model = network(options)
    if options["compile"]:
        model = torch.compile(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), 5e-4, weight_decay=1e-4, fused=options["fused"]
    )
    parts = options["accumulate"]
    images = random_images(options).chunk(parts)
    shape = (options["batch"], options["size"], options["size"])
    targets = torch.randint(CLASSES, shape).chunk(parts)
    while True:
        for image, target in zip(images, targets):
            with autocast(CPU, precision):
                loss = F.cross_entropy(model(image).float(), target, ignore_index=IGNORE) / parts
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done()


def double(before: int, after: int) -> nn.Sequential:
    """Make milesial's DoubleConv."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class MilesialUNet(nn.Module):
    """The layers of milesial's UNet(n_channels, n_classes, bilinear=False), `base` for its 64."""

    def __init__(self, channels: int, classes: int, base: int):
        super().__init__()
        widths = [base * 2**level for level in range(5)]
        upwards = widths[-2::-1]
        self.down = nn.ModuleList(map(double, [channels, *widths[:-1]], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in upwards)
        self.join = nn.ModuleList(double(2 * w, w) for w in upwards)
        self.out = nn.Conv2d(base, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K, H, W) of an input (N, C, H, W)."""
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
    """Run milesial's loop with its settings: float32, and the C library's memory as it comes."""
    _, data = load(folder, "--batch", str(options["batch"]))
    pairs = []
    for number in range(len(data.training)):
        image, target, _ = data.training[number, number]
        mask = target.clamp(max=CLASSES - 1).long()
        pairs.append({"image": image.contiguous(), "mask": mask})
    loader = DataLoader(pairs, options["batch"], shuffle=True)
    model = MilesialUNet(CHANNELS, CLASSES, options["base"])
    model = model.to(memory_format=torch.channels_last).train()
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


LOOPS = {loop.__name__: loop for loop in (ours, bare, milesial, validation, forward)}


def work(loop: str, options: dict, folder: str) -> None:
    """Run a loop: for each line on stdin one step, and a line with its seconds and peak memory."""
    torch.manual_seed(0)
    if loop != "milesial" and options["keep"]:
        keep_memory()
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[options["clock"]]
    start = 0.0

    def done() -> None:
        nonlocal start
        print(json.dumps([clock() - start, peak_bytes(CPU)]), flush=True)
        if not sys.stdin.readline():
            sys.exit()
        start = clock()

    done()
    LOOPS[loop](options, folder, done)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    work(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
