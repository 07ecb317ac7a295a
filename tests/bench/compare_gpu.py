"""The trainings of compare.py on a GPU, for as many steps as a processor makes in the minutes.

    python tests/bench/compare.py hls --rows unet jitter --minutes 0.4 --results rates.jsonl
    python tests/bench/compare.py hls --rows unet jitter --minutes 10 --keys > keys.jsonl
    python tests/bench/compare_gpu.py keys.jsonl rates.jsonl results.jsonl
    python tests/bench/compare.py hls --rows unet jitter --minutes 10 --results results.jsonl

The first command measures how many steps the processor makes in a minute. The second lists the
trainings. The third adds their results to a file, of which the last makes a table. So a table of
days takes minutes. Networks, windows, losses and changes are those of compare.py. Three things
differ. All windows lie in the memory of the GPU, where they are flipped and turned. A batch may go
on over the end of an epoch. A CUDA graph repeats the step, and each process trains a few networks
side by side.

Do not list rows with a moving average or mixed styles, which draw or count outside of the graph,
nor steps of --augment other than flip and turn.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import changes  # noqa: E402
import compare  # noqa: E402

from data.training import defaults  # noqa: E402
from data.training.dataset import EpochSampler, Windows  # noqa: E402

COSTLY = ("--size", "--batch", "--base", "--model")  # options that change what a step costs
# What windows depend on, and the defaults of other options.
OF_WINDOWS = ("model", "size", "stride", "scaling", "indices", "oversample")
AHEAD = 25  # steps that are queued before another training has its turn


# Steps.


def cost(key: dict) -> list[str]:
    """Return the options of a key that change what a step costs."""
    words = [*compare.options_of_row(key["row"]), *key["settings"].split()]
    pairs = [" ".join(words[at : at + 2]) for at, word in enumerate(words) if word in COSTLY]
    return [pair for pair in pairs if pair != "--model unet"]


def rate(rates: Sequence[dict], name: str, row: str, options: list[str]) -> float | None:
    """Return the steps a second of a row of a set."""
    lines = [line for line in rates if (line["set"], line["row"]) == (name, row)]
    lines = [line for line in lines if cost(line) == options]
    seconds = sum(line["seconds"] for line in lines)
    return sum(line["steps"] for line in lines) / seconds if lines else None


def steps_of(key: dict, rates: Sequence[dict]) -> int:
    """Return the number of steps of a training: those of the processor in the same minutes.

    A row that was measured on another set only costs as much more or less there as `unet` does.

    Raises:
        SystemExit: The rates have neither this row nor, if its network is that of `unet`, `unet`.
    """
    change = changes.CHANGES.get(key["row"])
    rows = [key["row"], *["unet"] * bool(change and change.build is changes.same)]
    others = [line["set"] for line in rates if key["row"] != "default"]  # its network is another
    for name in dict.fromkeys([key["set"], *others]):
        for row in rows:
            found = rate(rates, name, row, cost(key))
            here, there = (rate(rates, one, "unet", []) for one in (key["set"], name))
            if found and here and there:
                return round(60 * key["minutes"] * found * here / there)
    raise SystemExit(f"compare_gpu.py: no rate of {key}")


# Trainings.


class Bank:
    """All windows of a training in the memory of the device."""

    def __init__(self, windows: Windows, device: torch.device, kind: torch.dtype):
        still = windows.only(range(len(windows)))
        loader = DataLoader(still, 32, collate_fn=still.collate)
        images, targets = zip(*((i.to(device, kind), t.to(device)) for i, t, _ in loader))
        side = self.side = windows.size
        self.images = torch.cat(images).permute(0, 2, 3, 1).flatten(1, 2).contiguous()
        self.targets = torch.cat(targets).flatten(1)
        numbers = torch.arange(side**2, device=device).view(side, side)
        turned = [n.rot90(k) for n in (numbers, numbers.flip(1)) for k in range(4)]
        self.turned = torch.stack(turned).flatten(1)  # (8, S * S), where each pixel comes from

    def batch(self, chosen: torch.Tensor, turns: torch.Tensor) -> changes.Batch:
        """Return the chosen windows (N,), each in one of 8 orientations (N,)."""
        places = chosen[:, None], self.turned[turns]
        images = self.images[places].view(len(chosen), self.side, self.side, -1)
        return images.permute(0, 3, 1, 2), self.targets[places].view(-1, self.side, self.side)


def drawn(order: EpochSampler, steps: int, batch: int) -> torch.Tensor:
    """Return the windows of all batches, (steps, batch), epoch after epoch."""
    numbers: list[int] = []
    while len(numbers) < steps * batch:
        order.epoch += 1
        numbers += [number for number, _ in order]
    return torch.tensor(numbers[: steps * batch]).view(steps, batch)


class Training:
    """A training. On a GPU its step is a CUDA graph on a stream of its own."""

    def __init__(self, key: dict, ready: compare.Prepared, bank: Bank, device: torch.device):
        args = ready.args
        self.key, self.ready, self.bank, self.device = key, ready, bank, device
        self.done, self.graph, self.stream = 0, None, None
        self.model, self.layout = compare.network(key["row"], ready)
        self.model.to(device).train()
        self.lr = torch.tensor(0.0, device=device)
        graphs = device.type == "cuda"
        how = {"weight_decay": args.weight_decay, "fused": True, "capturable": graphs}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), self.lr, **how)
        shares = (step / key["steps"] for step in range(key["steps"]))
        self.rates = torch.tensor([args.lr * ready.change.rate(share) for share in shares])
        order = EpochSampler(len(ready.data.training), args.seed, ready.data.factors)
        self.order = drawn(order, key["steps"], args.batch).to(device)
        generator = torch.Generator().manual_seed(args.seed)
        turns = torch.randint(8, self.order.shape, generator=generator)
        self.turns, self.rates = turns.to(device) * bool(args.augment), self.rates.to(device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self.weight = None if ready.weight is None else ready.weight.to(device)
        if graphs:
            self.stream = torch.cuda.Stream()
            self.capture()

    def step(self) -> None:
        """Do one step. It has no number from the processor, so that a graph can repeat it."""
        chosen, turns, rate = (
            values.index_select(0, self.number)[0]
            for values in (self.order, self.turns, self.rates)
        )
        images, targets = self.ready.change.batch(*self.bank.batch(chosen, turns))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=not self.ready.usual):
            logits = self.model(images.contiguous(memory_format=self.layout))
            loss = compare.loss_of(self.ready)(logits, targets, self.weight)
        self.lr.copy_(rate)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.number += 1

    def capture(self) -> None:
        """Record a step. Two steps warm up, and are undone."""
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        torch.cuda.synchronize()
        with torch.cuda.stream(self.stream):
            self.step()
            self.step()
        torch.cuda.synchronize()
        self.optimizer.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.step()
        self.model.load_state_dict(before)
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()
        self.number.zero_()
        torch.cuda.synchronize()

    def go_on(self) -> bool:
        """Queue some steps. Returns whether there are more."""
        count = min(AHEAD, self.key["steps"] - self.done)
        with torch.cuda.stream(self.stream):  # nothing without a stream
            for _ in range(count):
                self.graph.replay() if self.graph else self.step()
        self.done += count
        return self.done < self.key["steps"]

    def line(self, validation: list) -> dict:
        """Measure the network. Returns its line of the results."""
        if self.stream:
            self.stream.synchronize()
        ready = self.ready
        how = ready.classes, self.layout, self.device, not ready.usual
        found = compare.measure(ready.change, self.model, validation, *how)
        figures = {
            "windows": len(ready.data.training),
            "seconds": math.nan,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "peak_mb": math.nan,
        }
        return self.key | figures | found


def work(keys: list[dict], given: argparse.Namespace) -> None:
    """Train the keys of one set and fold, some of them side by side."""
    device = torch.device(given.device)
    torch.set_num_threads(1)
    loaded: dict[tuple, tuple] = {}

    def start(key: dict) -> tuple[Training, list]:
        args = compare.parse(key, given)
        usual = key["row"].endswith(compare.USUAL)
        kind = torch.float32 if usual or device.type == "cpu" else torch.bfloat16
        name = (key["every"], *(str(getattr(args, option)) for option in OF_WINDOWS), kind)
        if name not in loaded:
            data = compare.load(args, given)
            loader = DataLoader(data.validation, 16, collate_fn=data.validation.collate)
            validation = [(i.to(device), t.to(device), n) for i, t, n in loader]
            loaded[name] = data, Bank(data.training, device, kind), validation
        data, bank, validation = loaded[name]
        # Loading completes the options only of the first training with these windows.
        defaults.complete(args, data.training.scenes, lambda line: None)
        return Training(key, compare.prepare(key["row"], args, data), bank, device), validation

    began, waiting, running = time.monotonic(), list(keys), []
    while waiting or running:
        while waiting and len(running) < given.streams:
            running.append(start(waiting.pop(0)))
        for one in [one for one in running if not one[0].go_on()]:
            running.remove(one)
            line = one[0].line(one[1])
            with open(given.results, "a") as file:  # one write, so that processes do not mix
                file.write(json.dumps(line) + "\n")
            told = " ".join(str(line[name]) for name in ("set", "row", "settings", "fold", "steps"))
            print(f"{time.monotonic() - began:4.0f} s  {told}", flush=True)
        for training, _ in running:
            if training.stream:
                training.stream.synchronize()


def main() -> None:
    """Start processes for each set and fold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("keys", type=Path, help="file from compare.py --keys")
    add("rates", type=Path, help="results of short trainings on a processor")
    add("results", type=Path, help="file of results")
    add("--data", type=Path, default=ROOT.parent / "shared" / "realdata", help="folder of the sets")
    add("--device", default="cuda")
    add("--streams", type=int, default=4, help="trainings side by side in each process")
    add("--processes", type=int, default=9, help="processes, at least one for each set and fold")
    add("--part", action="store_true", help=argparse.SUPPRESS)  # the keys come as JSON by stdin
    args = parser.parse_args()
    if args.part:
        return work(json.load(sys.stdin), args)
    rates, done = compare.read(args.rates), compare.read(args.results)
    keys = compare.read(args.keys)
    keys = [key for key in keys if not any(key.items() <= line.items() for line in done)]
    keys = [key | {"steps": steps_of(key, rates)} for key in keys]
    groups: dict[tuple, list[dict]] = {}
    for key in keys:
        groups.setdefault((key["set"], key["fold"]), []).append(key)
    share, parts = sum(key["steps"] for key in keys) / args.processes, []
    for group in groups.values():
        count = max(1, round(sum(key["steps"] for key in group) / share))
        parts += [group[at::count] for at in range(count)]

    def run(part: list[dict]) -> None:
        command = [sys.executable, *sys.argv, "--part"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, input=json.dumps(part), text=True)

    with ThreadPoolExecutor(max(1, len(parts))) as threads:
        list(threads.map(run, parts))


if __name__ == "__main__":
    main()
