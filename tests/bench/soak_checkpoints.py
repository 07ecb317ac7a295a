"""Give strange checkpoints to all programs that read one: each succeeds, or ends in one line.

    make soak
    python tests/bench/soak_checkpoints.py --number 1000 --seed 7

best.pt and last.pt of a small training are changed at random, from a seed: values are replaced,
dropped, nested, made huge, or of another shape or type. Each goes to predict.py for a map, to
train.py as --resume and as --weights, and to unet.export. A finding is a traceback, an error that
is not one line without control characters, or more than 20 s (export: 120 s). Findings are kept in
a folder and end the run with exit status 1.
"""

import argparse
import contextlib
import copy
import io
import math
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import small  # noqa: E402

import predict  # noqa: E402
import train  # noqa: E402
from data.grid import Window  # noqa: E402
from data.raster import Raster, write  # noqa: E402
from data.terminal import one_line_errors  # noqa: E402
from unet import export  # noqa: E402

SECONDS, EXPORT_SECONDS = 20, 120
DONE, REFUSED = "done", "refused"
DEEP: list = []
for _ in range(80):
    DEEP = [DEEP]
VALUES: list = [
    None, True, False, 0, 1, -1, 255, 2**31, 2**53, 2**70, -(2**70), 0.5, -0.0, 1e-320, 1e308,
    math.nan, math.inf, -math.inf, "", " ", "x", "NDVI", "a\nb", "\x1b[2J", "=1+1", "\ud800", "\0",
    "x" * 100_000, "@2", "Red@2", b"x", [], {}, (), [None], [[]], {"x": 1}, {1: 2}, {"": {}}, DEEP,
    [0] * 3, ["x"] * 3, torch.zeros(()), torch.zeros(0), torch.ones(3, 3), torch.ones(2) * math.nan,
    torch.ones(2).long(), torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.complex64),
]  # fmt: skip


class TooLong(BaseException):
    """A program runs for too long."""


def places(value: object, place: tuple = ()) -> list[tuple]:
    """The address of every value in a checkpoint; of weights and moments the first few."""
    found = [place] if place else []
    if isinstance(value, dict):
        few = place in (("weights",), ("optimizer", "state"))
        for key in [*value][: 3 if few else None]:
            found += places(value[key], (*place, key))
    elif isinstance(value, (list, tuple)):
        for number in range(min(2, len(value))):
            found += places(value[number], (*place, number))
    return found


def another(value: object, random: np.random.Generator) -> object:
    """A strange value that takes the place of a value."""
    kind = random.integers(8)
    if kind < 4:
        return VALUES[random.integers(len(VALUES))]
    if kind == 4:
        return [value]
    if kind == 5:
        return {"x": value}
    if isinstance(value, bool) or not isinstance(value, (int, float, str, list, torch.Tensor)):
        return VALUES[random.integers(len(VALUES))]
    if isinstance(value, str):
        return [value + "\ud800", value + "\x1b[2J", value * 50, value[:-1]][random.integers(4)]
    if isinstance(value, list):
        return [value + value, value[:-1], value[::-1], tuple(value)][random.integers(4)]
    if isinstance(value, torch.Tensor):
        changes: list[Callable] = [
            lambda x: x[None], lambda x: x.flatten(), lambda x: x.double(), lambda x: x.char(),
            lambda x: x * math.nan if x.is_floating_point() else -x, lambda x: x.repeat(2),
            lambda x: x.half(), lambda x: x.to("meta"),
        ]  # fmt: skip
        with contextlib.suppress(RuntimeError):
            return changes[random.integers(len(changes))](value)
        return None
    return [-value, value * 1000, value + 1, value / 3, float(value), str(value)][
        random.integers(6)
    ]


def changed(state: dict, random: np.random.Generator) -> tuple[dict, str]:
    """A checkpoint with one or two changes, and the changes in words."""
    state, words = copy.deepcopy(state), []
    for _ in range(random.integers(1, 3)):
        every = places(state)
        # Each of the first keys is as likely as another, whatever is below it.
        first = [*state][random.integers(len(state))]
        below = [place for place in every if place[0] == first]
        *path, key = below[random.integers(len(below))]
        inner: object = state
        for step in path:
            inner = inner[step]
        if isinstance(inner, tuple):
            continue
        if random.integers(5) == 0:
            del inner[key]
            words.append(f"{[*path, key]} is dropped")
        else:
            inner[key] = another(inner[key], random)
            words.append(f"{[*path, key]} = {inner[key]!r:.60}")
    return state, "; ".join(words)


def outcome(program: Callable[[], object], seconds: float = SECONDS) -> str:
    """Run a program; return "done", "refused", or a finding."""

    def too_long(number: int, frame: object) -> None:
        raise TooLong

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with one_line_errors("x.py"):
                program()
    except TooLong:
        return f"more than {seconds} s"
    except SystemExit:
        errors = err.buffer.getvalue().decode("utf-8", "replace")
        last = errors.rstrip("\n").rpartition("\n")[2]
        if re.fullmatch(r"x\.py: error: [^\x00-\x1f\x7f]+", last):
            return REFUSED
        return f"not one line: {errors!r}"
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return DONE


class Programs:
    """All programs that read a checkpoint, with small data in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        images, masks, table = small.write(folder / "in", count=4, size=16)
        with Raster(images / "s_0.tif") as raster:
            self.image = folder / "image.tif"
            window = Window(0, 0, 16, 16)
            names = raster.descriptions
            write(self.image, raster.read(window), raster.grid, nodata=0, descriptions=names)
        data = ["--images", images, "--masks", masks, "--classes", table]
        options = "--base 1 --batch 3 --epochs 1 --size 16 --lr 0.01".split()
        self.options = [str(word) for word in (*data, *options)]
        train.main([*self.options, "--output", str(folder / "run")])
        self.states = {
            name: torch.load(folder / "run" / name, weights_only=True)
            for name in ("best.pt", "last.pt")
        }

    def try_all(self, path: Path, exported: bool = True) -> dict[str, str]:
        """Give a checkpoint to each program; return the outcomes by name."""
        run, out = self.folder / "resumed", self.folder / "out"
        shutil.rmtree(run, ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.folder / "run", run)
        shutil.copy(path, run / "last.pt")
        weights = ["--weights", str(path), "--output", str(out / "run")]
        resumed = ["--resume", str(run), "--epochs", "2"]
        mapped = [str(self.image), "--checkpoint", str(path), "--output", str(out), "--overlay"]
        out.mkdir()
        outcomes = {
            "predict.py": outcome(
                lambda: predict.main([*mapped, "--probabilities", "--uncertainty"])
            ),
            "--resume": outcome(lambda: train.main(resumed)),
            "--weights": outcome(lambda: train.main([*self.options, *weights])),
        }
        if exported:
            arguments = [str(path), "-o", str(out / "a.pt2")]
            outcomes["unet.export"] = outcome(lambda: export.main(arguments), EXPORT_SECONDS)
        return outcomes


def trial(number: int, seed: int, keep: Path, exported: bool = True) -> tuple[Counter, list[str]]:
    """Try `number` checkpoints.

    Returns:
        Counts of (name of the program, "done", "refused" or "findings"), and the findings.
    """
    counts: Counter = Counter()
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        programs = Programs(Path(temporary))
        for at in range(number):
            random = np.random.default_rng([seed, at])
            name = ("best.pt", "last.pt")[at % 2]
            state, words = changed(programs.states[name], random)
            path = Path(temporary) / "strange.pt"
            torch.save(state, path)
            for program, found in programs.try_all(path, exported).items():
                kind = found if found in (DONE, REFUSED) else "findings"
                counts[program, kind] += 1
                if kind == "findings":
                    keep.mkdir(parents=True, exist_ok=True)
                    kept = keep / f"{seed}_{at}_{name}"
                    shutil.copy(path, kept)
                    findings.append(f"{kept}: {program}: {words}: {found}")
                    print(ascii(findings[-1]).replace("\\n", "\n"), flush=True)
    return counts, findings


def table(counts: Counter) -> str:
    """A row for each program, and their sum."""
    kinds = DONE, REFUSED, "findings"
    rows = [f"| program | tries | {' | '.join(kinds)} |", "|---|---|---|---|---|"]
    names = list(dict.fromkeys(name for name, _ in counts))
    for name in [*names, "all"]:
        of = [
            sum(n for (p, k), n in counts.items() if k == kind and name in (p, "all"))
            for kind in kinds
        ]
        rows.append(f"| {name} | {sum(of)} | {' | '.join(map(str, of))} |")
    return "\n".join(rows)


def main() -> None:
    """Run the trial and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--number", type=int, default=300, help="checkpoints (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (%(default)s)")
    parser.add_argument("--keep", type=Path, default=Path("runs/soak"), help="folder of findings")
    # `make soak ARGS=...` gives the same arguments to all trials.
    args, _ = parser.parse_known_args()
    start = time.monotonic()
    counts, findings = trial(args.number, args.seed, args.keep)
    print(table(counts))
    print(f"seed {args.seed}, {time.monotonic() - start:.0f} s, {len(findings)} findings")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
