"""Show which exercises are solved.

    make exercises            a line for each of the ten
    make exercises ARGS=3     one of them, with the whole error of a wrong answer

The exercises are the files tests/exercises/ex01_grid.py to ex10_map.py. Each says what to write.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from answers import HERE, SOLVED, STATIONS, WRONG, Result, attempt  # noqa: E402

NEXT = "Read a file, write its functions, run this again. Answers: tests/exercises/solved"


def line(number: int, name: str, result: Result, width: int = 110) -> str:
    """Return the line of an exercise in the table."""
    station, _ = STATIONS[name]
    state = f"{result.state:7} {result.right}/{result.checks}"
    text = f"{number:2}  {station:20}  {state}  tests/exercises/{name}.py"
    if result.state != WRONG:
        return text
    return f"{text}\n      {result.text[: width - 6]}"


def main(arguments: list[str] | None = None) -> None:
    """Try the exercises, and print the table. Wrong answers are no failure of this program."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    choices = range(1, len(STATIONS) + 1)
    parser.add_argument("numbers", nargs="*", type=int, help="which exercises (default: all)")
    args = parser.parse_args(arguments)
    if wrong := set(args.numbers) - set(choices):
        parser.error(f"there is no exercise {min(wrong)}; they are 1 to {len(STATIONS)}")
    print("    station               state, checks passed")
    solved = 0
    for number, name in enumerate(STATIONS, start=1):
        if args.numbers and number not in args.numbers:
            continue
        result = attempt(name, HERE / f"{name}.py")
        solved += result.state == SOLVED
        print(line(number, name, result), flush=True)
        if args.numbers and result.details:
            print(f"\n{result.details}")
    if not args.numbers:
        print(f"{solved} of {len(STATIONS)} solved. {NEXT}")


if __name__ == "__main__":
    main()
