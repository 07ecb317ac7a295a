"""Open damaged raster files: each is read, or refused in one line that names it.

    make soak
    python tests/bench/soak_rasters.py --number 1000 --seed 7

Valid files of many kinds (tests/mutants.py) are changed at random, from a seed. Worker processes
open each with `data.raster.Raster` and read its header, a window, its validity and, if it is small,
all pixels. A finding is another exception than InputError or OSError, an error that does not name
the file, a signal, more than 10 s, more than 1 GiB, or a line on standard error. Findings are
kept in a folder and end the run with exit status 1.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from mutants import mutate, originals  # noqa: E402

SECONDS, STARTING, MEMORY = 10, 60, 2**30  # for a file, and for the start of a process
SMALL = 2**26  # bytes of pixels that are read in full
READ, REFUSED = "read", "refused"


def changed(files: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """The name of the original, and the bytes of mutation `number`."""
    random = np.random.default_rng([seed, number])
    name = list(files)[random.integers(len(files))]
    return name, mutate(files[name], name, random)


def outcome(path: Path) -> str:
    """Read all that a raster file offers; return "read", "refused", or a finding."""
    from data.files import InputError
    from data.raster import Raster

    try:
        with Raster(path) as raster:
            grid, pixel_bytes = raster.grid, raster.count * raster.dtype.itemsize
            str(grid), str(raster.remarks), str(raster.descriptions), str(raster.items)
            height, width = min(grid.height, 64), min(grid.width, 64)
            corner = grid.height - height, grid.width - width, height, width
            if height * width * pixel_bytes <= SMALL:
                raster.read(corner)
                raster.valid(corner)
            if grid.height * grid.width * pixel_bytes <= SMALL:
                raster.read()
    except (InputError, OSError) as error:
        named = path.name in str(error)
        return REFUSED if named else f"the file is not named: {error!r}"
    except BaseException:
        return traceback.format_exc()
    return READ


def work(connection, files: dict[str, bytes], seed: int, folder: Path) -> None:
    """Answer the number of a mutation with its outcome, until the connection is closed."""
    import data.raster  # noqa: F401  so that its memory does not count

    noise = os.open(folder / f"{os.getpid()}.txt", os.O_RDWR | os.O_CREAT)
    os.dup2(noise, 2)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    with contextlib.suppress(OSError, ValueError):  # larger claims fail before they do harm
        resource.setrlimit(resource.RLIMIT_AS, (before + 16 * MEMORY, resource.RLIM_INFINITY))
    with contextlib.suppress(EOFError):
        while True:
            name, content = changed(files, seed, connection.recv())
            path = folder / f"{os.getpid()}_{name}"
            path.write_bytes(content)
            found = outcome(path)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
            if grown > MEMORY:
                found = f"{grown >> 20} MiB of memory ({found})"
            if size := os.fstat(noise).st_size:
                found = f"on standard error: {os.pread(noise, 300, 0)!r} ({found}, {size} bytes)"
                os.ftruncate(noise, 0)
                os.lseek(noise, 0, os.SEEK_SET)
            connection.send(found)


class Worker:
    """A process that opens files, and is started again after a crash or a hang."""

    def __init__(self, *arguments):
        self.arguments, self.process = arguments, None

    def __call__(self, number: int) -> str:
        """The outcome of one mutation."""
        starting = 0 if self.process else STARTING
        if not self.process:
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self.process = context.Process(target=work, args=(other, *self.arguments), daemon=True)
            self.process.start()
            other.close()
        try:
            self.connection.send(number)
            if not self.connection.poll(SECONDS + starting):
                self.stop()
                return f"more than {SECONDS} s"
            found = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            found = f"the process ended with {self.process.exitcode}"
            self.stop()
        if "MiB of memory" in found:  # the peak of a process never falls
            self.stop()
        return found

    def stop(self) -> None:
        """End the process."""
        if self.process:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


def trial(number: int, seed: int, processes: int, keep: Path) -> tuple[Counter, list[str]]:
    """Open `number` mutations.

    Returns:
        Counts of (name of the original, "read", "refused" or "findings"), and the findings.
    """
    counts: Counter = Counter()
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = originals(folder)

        def share(first: int) -> None:
            worker = Worker(files, seed, folder)
            try:
                for at in range(first, number, processes):
                    found, (name, content) = worker(at), changed(files, seed, at)
                    kind = found if found in (READ, REFUSED) else "findings"
                    counts[name, kind] += 1
                    if kind == "findings":
                        keep.mkdir(parents=True, exist_ok=True)
                        path = keep / f"{seed}_{at}_{name}"
                        path.write_bytes(content)
                        findings.append(f"{path}: {found}")
                        print(findings[-1], flush=True)
            finally:
                worker.stop()

        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(share, range(processes)))
    return counts, findings


def table(counts: Counter) -> str:
    """A row for each original file, and their sum."""
    kinds = READ, REFUSED, "findings"
    rows = [f"| original | {' | '.join(kinds)} |", "|---|---|---|---|"]
    for name in sorted({name for name, _ in counts}):
        rows.append(f"| {name} | {' | '.join(str(counts[name, kind]) for kind in kinds)} |")
    total = [sum(n for (_, k), n in counts.items() if k == kind) for kind in kinds]
    return "\n".join([*rows, f"| all | {' | '.join(map(str, total))} |"])


def main() -> None:
    """Run the trial and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--number", type=int, default=20_000, help="mutations (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="workers (%(default)s)")
    parser.add_argument("--keep", type=Path, default=Path("runs/soak"), help="folder of findings")
    args = parser.parse_args()
    start = time.monotonic()
    counts, findings = trial(args.number, args.seed, args.processes, args.keep)
    print(table(counts))
    print(f"seed {args.seed}, {time.monotonic() - start:.0f} s, {len(findings)} findings")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
