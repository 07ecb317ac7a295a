"""Seconds until predict.py has started, and until it has mapped a small image.

    python tests/bench/bench_start.py                    seven rounds, on one thread
    python tests/bench/bench_start.py --repeats 3 --top 30

Each row is a process of its own, in turn: Python alone, `import torch`, `predict.py --help`, and a
map of an image of 300 x 300 pixels by a U-Net of base 16. CPU seconds (user and system) are medians
over the rounds; the ratio to `import torch` is the median of the ratios within a round. Below are
the modules that take longest to import, themselves without those that they import.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import small  # noqa: E402


def cpu_seconds(words: list[str], environment: dict[str, str]) -> float:
    """Run Python with these words, and return its user and system time."""
    before = os.times()
    subprocess.run([sys.executable, *words], env=environment, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def imports(words: list[str], environment: dict[str, str]) -> list[tuple[float, str]]:
    """Return (milliseconds, module) of what a program imports, the slowest first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    rows = re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE)
    return sorted(((int(own) / 1000, module) for own, module in rows), reverse=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--top", type=int, default=12, help="imports to list")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small.write(folder / "in", count=1, size=300)
        small.untrained(folder / "u.pt", base=16)
        script = str(ROOT / "predict.py")
        image = str(folder / "in/images/s_0.tif")
        rows = {
            "Python alone": ["-c", ""],
            "import torch": ["-c", "import torch"],
            "predict.py --help": [script, "--help"],
            "a map of 300 x 300": [script, image, "--checkpoint", str(folder / "u.pt")],
        }
        # Compiled files are kept in the folder, as a user keeps them beside the sources.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": name}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for words in rows.values():
            cpu_seconds(words, environment)
        rounds = [
            {row: cpu_seconds(words, environment) for row, words in rows.items()}
            for _ in range(args.repeats)
        ]
        slowest = imports(rows["a map of 300 x 300"], environment)
    print("| process | CPU seconds | times `import torch` |\n|---|---|---|")
    for row in rows:
        seconds = statistics.median(one[row] for one in rounds)
        ratio = statistics.median(one[row] / one["import torch"] for one in rounds)
        print(f"| {row} | {seconds:.2f} | {ratio:.2f} |")
    own = sum(ms for ms, module in slowest if module.startswith(("data", "unet", "predict")))
    print(f"\n{len(slowest)} modules, those of this project {own:.0f} ms; the slowest:")
    for ms, module in slowest[: args.top]:
        print(f"  {ms:6.0f} ms  {module}")


if __name__ == "__main__":
    main()
