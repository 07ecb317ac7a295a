"""Stop the scripts, fill their disk, start them twice, give them strange files: is anything lost?

    make soak
    python tests/bench/soak_runs.py --only "kill train.py" --number 10 --seed 7

Each try runs in a folder of its own, on small scenes, from a seed. The findings are of three kinds:

    lost        an earlier output changed or half written, half a file under a final name, or a
                resumed training with other weights than an unbroken one
    tracebacks  an end that is neither success, nor one line of error with status 2, nor the status
                of the signal; a signal heeded after more than 20 s; a hang; more than 2 GiB
    leftovers   a temporary file, half a cache folder or a process, after the next start; after a
                signal or an error at once. Memory that grows from epoch to epoch

The folder of a try with findings is kept. Findings end the run with exit status 1.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"  # about semaphores of killed scripts

import small  # noqa: E402
import strange  # noqa: E402
import warm  # noqa: E402
from pyproj import CRS  # noqa: E402
from started import (  # noqa: E402
    HEEDED,
    Finding,
    Started,
    changed,
    contents,
    damaged,
    different,
    leftovers,
    resident,
)

from data.grid import Grid  # noqa: E402
from data.raster import cog  # noqa: E402
from data.terminal import one_line_errors  # noqa: E402

Random = np.random.Generator
EPOCHS = 4
TRAIN = "--images in/images --masks in/masks --classes in/table.csv --base 2 --batch 2 --lr 0.01"
TRAIN = f"{TRAIN} --dropout 0.2 --patience 99".split()
# Command lines in two versions, which differ in their outputs.
PROGRAMS = {
    "predict.py": (
        "in/image.tif --checkpoint in/{}.pt --truth in/truth.tif --overlay --probabilities "
        "--uncertainty --output out",
        ("one", "two"),
    ),
    "reproject.py": (
        "in/cover.tif --crs EPSG:32632 --resolution 25 --method {} -o out/cover.tif",
        ("nearest", "mode"),
    ),
    "data.output.change": (
        "in/before.tif in/after_{}.tif --classes in/table.csv -o out/change.tif",
        ("1", "2"),
    ),
}
STOPS = {"stop": (signal.SIGINT, signal.SIGTERM), "kill": (signal.SIGKILL,)}
GROWTH = 2**24  # bytes that a training may grow in 40 epochs


def make_base(base: Path, names: Sequence[str]) -> None:
    """Write the inputs of all tries, base/in, and the outputs of unbroken runs, base/whole.

    Args:
        base: A new folder.
        names: The trials.
    """
    inputs = base / "in"
    small.write(inputs, count=6, size=64)
    random = np.random.default_rng(0)
    for name, seed in (("one", 4), ("two", 6)):
        small.untrained(inputs / f"{name}.pt", base=seed)
    grid = Grid(small.UTM31, (10, 0, 4e5, 0, -10, 5e6), 400, 400)
    image = random.integers(1, 4000, (4, 400, 400)).astype(np.uint16)
    cog.write(inputs / "image.tif", image, grid, nodata=0, descriptions=small.BANDS)
    maps = random.choice([10, 20], (3, 400, 400)).astype(np.uint8)
    for name, one in zip(("truth", "after_1", "after_2"), maps):
        cog.write(inputs / f"{name}.tif", one, grid)
    cog.write(inputs / "before.tif", maps[0].T, grid)
    cover = random.integers(1, 9, (150, 150)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    grid = Grid(CRS.from_epsg(25831), (10, 0, 4e5, 0, -10, 5e6), *cover.shape)
    cog.write(inputs / "cover.tif", cover, grid, nodata=0)
    strange.write_product(inputs)
    for program in PROGRAMS:
        for version in (0, 1) if any(program in name for name in names) else ():
            folder = new_folder(base / "whole" / program / str(version), base)
            begin = time.monotonic()
            ended(folder, program, *command(program, version))
            (base / "whole" / program / "seconds").write_text(str(time.monotonic() - begin))
    if any("train.py" in name or "checkpoints" in name for name in names):
        folder = new_folder(base / "whole" / "train.py", base)
        ended(folder, "train.py", *training("runs/a"))
    if found := damaged(base / "whole"):
        raise SystemExit(f"an unbroken run is not whole: {found}")


def command(program: str, version: int) -> list[str]:
    """Return the command line of a program in one of its two versions."""
    words, versions = PROGRAMS[program]
    return words.format(versions[version]).split()


def training(run: str | None, epochs: int = EPOCHS) -> list[str]:
    """Return the options of a training. Without a name of the run, its folder is a time."""
    return [*TRAIN, "--epochs", str(epochs), *(["--output", run] if run else [])]


def new_folder(folder: Path, base: Path) -> Path:
    """Make a folder with a copy of the inputs and an empty folder for outputs."""
    folder.mkdir(parents=True)
    shutil.copytree(base / "in", folder / "in")
    (folder / "out").mkdir()
    return folder


def ended(folder: Path, script: str, *words: object) -> None:
    """Run a script that must end with status 0."""
    with Started(folder, script, *words) as process:
        if found := process.problems(0):
            raise SystemExit(f"{found}\n{process.text()}")


def finished(folder: Path, base: Path, run: str) -> list[Finding]:
    """Start a training again, or resume it. It must have the results of an unbroken one."""
    resumable, best = (folder / run / "last.pt").exists(), (folder / run / "best.pt").exists()
    words = ["--resume", run] if resumable else training(run)
    with Started(folder, "train.py", *words) as process:
        found = process.problems(0, *[2] * (best and not resumable))
    if process.status == 2:  # a best.pt alone is neither resumed nor overwritten
        shutil.rmtree(folder / run)
        return found + finished(folder, base, run)
    found = found or different(folder / run, base / "whole/train.py/runs/a")
    return found + damaged(folder / "runs") + leftovers(folder)


def epochs_done(run: Path) -> int:
    """Return the number of rows in log.csv."""
    try:
        return (run / "log.csv").read_bytes().count(b"\n") - 1
    except FileNotFoundError:
        return -1


def stop_train(base: Path, folder: Path, random: Random, signals: tuple) -> list[Finding]:
    """Stop a training in a phase of its work, then finish it."""
    run, cache, number = folder / "runs/a", folder / "runs/cache", chosen(signals, random)
    at, scenes = random.integers(EPOCHS), random.integers(6)
    phases = {
        "start": lambda: True,
        "preparation": lambda: cache.is_dir() and len(os.listdir(cache)) > scenes,
        "epoch": lambda: epochs_done(run) >= at,
        "checkpoint": lambda: epochs_done(run) >= at and any(run.glob(".*.pt.*")),
        "report": lambda: epochs_done(run) == EPOCHS,
    }
    phase = random.choice(list(phases))
    workers = ["--workers", "1"] if random.random() < 0.2 else []
    longest = {"start": 0.5, "preparation": 0.02, "checkpoint": 0.005}.get(phase, 0.1)
    with Started(folder, "train.py", *training("runs/a"), *workers) as process:
        process.wait(phases[phase])
        process.wait(seconds=random.uniform(0, longest))
        process.send(number)
        found = process.problems(0, *statuses(number), seconds=HEEDED)
    found = [Finding(kind, f"{number.name} in {phase}: {text}") for kind, text in found]
    found += damaged(folder / "runs") if (folder / "runs").exists() else []
    if number != signal.SIGKILL:
        found += leftovers(folder)
    return found + finished(folder, base, "runs/a")


def chosen(signals: tuple, random: Random) -> signal.Signals:
    """Choose one of several signals."""
    return signals[random.integers(len(signals))]


def statuses(number: int) -> tuple[int, ...]:
    """Return the exit statuses of a process that was stopped by a signal."""
    return (-number,) if number == signal.SIGKILL else (128 + number,)


def stop_program(
    base: Path, folder: Path, random: Random, signals: tuple, program: str
) -> list[Finding]:
    """Stop a program that writes files, perhaps over earlier ones. Then run it again."""
    out, number = folder / "out", chosen(signals, random)
    old, new = (contents(base / "whole" / program / version / "out") for version in "01")
    inputs = contents(folder / "in")
    if earlier := random.random() < 0.5:
        shutil.copytree(base / "whole" / program / "0/out", out, dirs_exist_ok=True)
    longest = 1.2 * float((base / "whole" / program / "seconds").read_text())
    writing, moment = random.random() < 0.5, random.uniform(0, longest)
    with Started(folder, program, *command(program, 1)) as process:
        if writing:
            process.wait(lambda: any(out.glob(".*")))
            moment *= 0.3
        process.wait(seconds=moment)
        process.send(number)
        found = process.problems(0, *statuses(number), seconds=HEEDED)
    found += changed(out, new, *[old] * earlier)
    if number != signal.SIGKILL:
        found += leftovers(folder)
    return found + again(folder, program, new) + changed(folder / "in", inputs)


def again(folder: Path, program: str, expected: dict[str, bytes]) -> list[Finding]:
    """Run the second version of a program. It must write the expected files, and no others."""
    with Started(folder, program, *command(program, 1)) as process:
        found = process.problems(0)
    missing = expected.keys() - contents(folder / "out").keys()
    found += [Finding("lost", f"{folder / 'out' / name}: is missing") for name in missing]
    return found + changed(folder / "out", expected) + leftovers(folder)


@contextlib.contextmanager
def disk(folder: Path, megabytes: float, files: int = 0) -> Iterator[Callable]:
    """Mount a small disk on a folder, where root may.

    Yields:
        A function that makes the disk large. None where no disk can be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={int(megabytes * 2**20)}" + f",nr_inodes={files}" * bool(files)
    tmpfs = ["mount", "-t", "tmpfs", "-o"]
    try:
        done = subprocess.run([*tmpfs, options, "tmpfs", folder], capture_output=True)
        mounted = done.returncode == 0
    except OSError:
        mounted = False

    def enlarge() -> None:
        larger = "remount,size=1g,nr_inodes=10000"
        subprocess.run(["mount", "-o", larger, folder], check=True)

    try:
        yield enlarge if mounted else None
    finally:
        if mounted and subprocess.run(["umount", folder]).returncode:
            subprocess.run(["umount", "-l", folder])


def fill_program(base: Path, folder: Path, random: Random, program: str) -> list[Finding]:
    """Run a program on a disk that is too small, perhaps with earlier outputs. Then make room."""
    out, whole = folder / "out", base / "whole" / program
    old, new = (contents(whole / version / "out") for version in "01")
    earlier, files = random.random() < 0.5, random.random() < 0.2
    need = sum(map(len, new.values())) / 2**20
    size = random.uniform(0.02, 2.5) * need + earlier * 1.2 * sum(map(len, old.values())) / 2**20
    size, limited = max(size, 0.1), int(random.uniform(0, need) * 2**20)
    with disk(out, size if not files else 99, files * int(random.integers(2, 20))) as enlarge:
        with contextlib.suppress(OSError, shutil.Error):
            for path in (whole / "0/out").iterdir() if earlier else ():
                shutil.copy(path, out)
        kept = contents(out)
        temporary = out / "tmp" if random.random() < 0.5 else None
        options = {"temporary": temporary, "most_bytes": None if enlarge else limited}
        try:
            process = Started(folder, program, *command(program, 1), **options)
        except OSError:  # no room for the folder of temporary files
            return []
        with process:
            found = process.problems(0, 2, seconds=40)
        found += changed(out, new, kept) + leftovers(folder)
        if temporary:
            temporary.rmdir()
        if enlarge:
            enlarge()
        return found + again(folder, program, new)


def fill_train(base: Path, folder: Path, random: Random, runs: tuple = ("runs/a",)) -> list:
    """Run trainings on a disk that is too small. Then make room and finish them."""
    need = sum(map(len, contents(base / "whole/train.py/runs").values())) / 2**20
    size, limited = random.uniform(0.05, 1.6) * need * len(runs), int(need * 2**20)
    with disk(folder / "runs", size) as enlarge, contextlib.ExitStack() as opened:
        (folder / "runs/tmp").mkdir()
        options = {
            "temporary": folder / "runs/tmp" if random.random() < 0.5 else None,
            "most_bytes": None if enlarge else int(random.uniform(0, limited)),
        }
        processes = [
            opened.enter_context(Started(folder, "train.py", *training(run), **options))
            for run in runs
        ]
        found = [one for process in processes for one in process.problems(0, 2)]
        found += damaged(folder / "runs") + leftovers(folder)
        if enlarge:
            enlarge()
        return found + [one for run in runs for one in finished(folder, base, run)]


def two_trainings(base: Path, folder: Path, random: Random, names: tuple) -> list[Finding]:
    """Start two trainings almost at once. Of two in one folder, one is refused."""
    with contextlib.ExitStack() as opened:
        processes = []
        for name in names:
            made = Started(folder, "train.py", *training(name))
            processes.append(opened.enter_context(made))
            made.wait(seconds=random.choice([0, 0.05, 0.5]) * random.random())
        apart = names[0] != names[1]
        found = [one for made in processes for one in made.problems(0, *[2] * (not apart))]
        ended_well = [made.status for made in processes].count(0)
    if ended_well != 1 and names[0] and not apart or not ended_well:
        found.append(Finding("lost", f"{ended_well} of 2 trainings have ended well"))
    for run in (folder / "runs").glob("[!c]*"):
        found += different(run, base / "whole/train.py/runs/a")
    return found + damaged(folder / "runs") + leftovers(folder)


def two_programs(base: Path, folder: Path, random: Random, program: str) -> list[Finding]:
    """Start a program twice almost at once, with the same names of outputs."""
    with contextlib.ExitStack() as opened:
        processes = []
        for version in random.integers(2, size=2):
            made = Started(folder, program, *command(program, version))
            processes.append(opened.enter_context(made))
            made.wait(seconds=random.choice([0, 0.05, 0.5]) * random.random())
        found = [one for made in processes for one in made.problems(0)]
    either = (contents(base / "whole" / program / version / "out") for version in "01")
    return found + changed(folder / "out", *either) + leftovers(folder)


def strange_product(base: Path, folder: Path, random: Random) -> list[Finding]:
    """Map, or train on, a Sentinel-2 product that was changed at random."""
    product = strange.change_product(folder / "in", random)
    words = ["predict.py", product, "--checkpoint", "in/one.pt", "--output", "out"]
    if random.random() < 0.3:
        words = [
            "train.py",
            *training("runs/a", 1),
            "--images",
            product,
            "--masks",
            "in/product.tif",
        ]
    with Started(folder, *words) as process:
        found = process.problems(0, 2, seconds=40)
    return found + leftovers(folder)


def strange_checkpoint(base: Path, folder: Path, random: Random) -> list[Finding]:
    """Predict with a checkpoint that was changed at random, or resume it."""
    shutil.copytree(base / "whole/train.py/runs", folder / "runs")
    name = str(random.choice(["best.pt", "last.pt"]))
    strange.change_checkpoint(folder / "runs/a" / name, random)
    words = ["train.py", "--resume", "runs/a", "--epochs", EPOCHS + 1]
    if name == "best.pt":
        words = f"predict.py in/images/s_0.tif --checkpoint runs/a/{name} --output out".split()
    with Started(folder, *words) as process:
        found = process.problems(0, 2, seconds=40)
    return found + leftovers(folder)


def long_training(base: Path, folder: Path, random: Random) -> list[Finding]:
    """Train 50 epochs. Memory after the last one must be that after the tenth."""
    run, sizes = folder / "runs/a", {}
    workers = ["--workers", str(random.integers(2))]
    with Started(folder, "train.py", *training("runs/a", 50), *workers) as process:
        for epoch in (10, 49):
            process.wait(lambda epoch=epoch: epochs_done(run) >= epoch)
            sizes[epoch] = resident(process.pid)
        found = process.problems(0)
    grown = sizes[49] - sizes[10]
    if grown > GROWTH:
        found.append(Finding("leftovers", f"{grown >> 20} MiB of memory in 39 epochs"))
    return found + leftovers(folder)


def trials() -> dict[str, tuple[int, Callable, tuple]]:
    """Return (number of tries, function, its further arguments) of each trial, by its name."""
    found: dict = {}
    for verb, signals in STOPS.items():
        found[f"{verb} train.py"] = 40, stop_train, (signals,)
        for program in PROGRAMS:
            found[f"{verb} {program}"] = 15, stop_program, (signals, program)
    found["full disk, train.py"] = 20, fill_train, ()
    found["full disk, two train.py"] = 10, fill_train, (("runs/a", "runs/b"),)
    for program in PROGRAMS:
        found[f"full disk, {program}"] = 12, fill_program, (program,)
    found["two train.py, one --output"] = 8, two_trainings, (("runs/a", "runs/a"),)
    found["two train.py, no --output"] = 4, two_trainings, ((None, None),)
    found["two train.py, one cache"] = 8, two_trainings, (("runs/a", "runs/b"),)
    for program in PROGRAMS:
        found[f"two {program}"] = 8, two_programs, (program,)
    found["strange checkpoints"] = 300, strange_checkpoint, ()
    found["strange SAFE folders"] = 150, strange_product, ()
    found["50 epochs"] = 2, long_training, ()
    return found


def attempt(base: Path, name: str, seed: int, number: int, keep: Path) -> tuple[str, list[Finding]]:
    """Make one try of a trial. Return its name and findings."""
    _, function, arguments = trials()[name]
    random = np.random.default_rng([seed, number, *name.encode()])
    folder = new_folder(base / "tries" / f"{name}-{seed}-{number}".replace(" ", "_"), base)
    try:
        found = function(base, folder, random, *arguments)
        if found:
            with contextlib.suppress(OSError):
                shutil.copytree(folder, keep / folder.name, dirs_exist_ok=True, symlinks=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return name, found


def soak(
    numbers: dict[str, int], seed: int, processes: int, keep: Path
) -> tuple[Counter, list[Finding]]:
    """Make tries of some trials.

    Args:
        numbers: Number of tries of each trial.
        seed: Of all tries.
        processes: Number of tries at a time.
        keep: Folder for the files of tries with findings.

    Returns:
        Counts of (trial, "tries" or the kind of a finding), and the findings.
    """
    counts, findings = Counter(), []
    base = Path(tempfile.mkdtemp(prefix="soak"))
    try:
        # Scripts are forks of the processes of this pool, which have no threads.
        with ProcessPoolExecutor(processes, warm.context()) as pool:
            try:
                pool.submit(make_base, base, [*numbers]).result()
                waiting = [
                    pool.submit(attempt, base, name, seed, number, keep)
                    for name, tries in numbers.items()
                    for number in range(tries)
                ]
                for done in as_completed(waiting):
                    name, found = done.result()
                    counts[name, "tries"] += 1
                    for kind, text in found:
                        counts[name, kind] += 1
                        print(f"{name}: {kind}: {text}", flush=True)
                    findings += found
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    finally:
        for folder in base.glob("tries/*/*"):  # of a process that was killed
            if folder.is_mount():
                subprocess.run(["umount", "-l", folder])
        shutil.rmtree(base, ignore_errors=True)
    return counts, findings


def table(counts: Counter) -> str:
    """A row for each trial, and their sum."""
    kinds = "tries", "lost", "tracebacks", "leftovers"
    rows = [f"| trial | {' | '.join(kinds)} |", "|---|---|---|---|---|"]
    for name in trials():
        if counts[name, "tries"]:
            rows.append(f"| {name} | {' | '.join(str(counts[name, kind]) for kind in kinds)} |")
    total = [sum(n for (_, k), n in counts.items() if k == kind) for kind in kinds]
    return "\n".join([*rows, f"| all | {' | '.join(map(str, total))} |"])


def main() -> None:
    """Run the trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--number", type=int, default=1000, help="at most so many tries of a trial (%(default)s)")
    add("--seed", type=int, default=0, help="of the tries (%(default)s)")
    add("--processes", type=int, default=2, help="tries at a time (%(default)s)")
    add("--keep", type=Path, default=Path("runs/soak"), help="folder of findings")
    add("--only", nargs="+", default=[""], metavar="WORDS", help="trials whose names contain these")
    args = parser.parse_args()
    start = time.monotonic()
    numbers = {
        name: min(tries, args.number)
        for name, (tries, *_) in trials().items()
        if any(words in name for words in args.only)
    }
    counts, findings = soak(numbers, args.seed, args.processes, args.keep.resolve())
    print(table(counts))
    print(f"seed {args.seed}, {time.monotonic() - start:.0f} s, {len(findings)} findings")
    sys.exit(bool(findings))


if __name__ == "__main__":
    with one_line_errors("soak_runs.py"):
        main()
