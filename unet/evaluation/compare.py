"""Comparison of runs of train.py: one HTML page.

    python -m unet.evaluation.compare runs/a runs/b runs/c -o compare.html

The page (unet/evaluation/comparison.py) shows the scores of each run, the settings that differ, the
curves of all runs in one plot, IoU and Dice of each class as bars, and the same samples side by
side. Of a run it reads best.pt with the settings and scores, last.pt with the epochs after the best
one, and samples.json (unet/evaluation/samples_file.py) with the pictures.

Read beside it: tests/unet/evaluation/test_compare.py.
"""

from collections.abc import Sequence
from pathlib import Path

from data.files import InputError, command, printable, put, put_error, refuse_input, replacing
from unet import checkpoint
from unet.evaluation import samples_file
from unet.evaluation.command import Parser, one_line_errors
from unet.evaluation.comparison import Compared, html, rank
from unet.training.resume import same


def load(folder: Path, name: str) -> Compared:
    """Load a run from its folder.

    Raises:
        InputError: the folder is no run, or one of its files is damaged or of another run.
    """
    best = checkpoint.load(folder / "best.pt", to_resume=True)
    if not best["history"]:
        resume = command("train.py", "--resume", folder)
        raise InputError(f"{folder}: has no finished epoch; train it further: {resume}")
    history, row = best["history"], best["history"][-1]
    if (folder / "last.pt").exists():
        last = checkpoint.load(folder / "last.pt", to_resume=True)["history"]
        # best.pt is saved first, so it may be an epoch ahead of last.pt.
        if not all(same(one, other) for one, other in zip(last, history)):
            raise InputError(f"{folder}: best.pt and last.pt are of different runs; name a run")
        history = max(history, last, key=len)
    else:
        _note(f"{folder}: has no last.pt, so its curves end at the best epoch")
    try:
        gallery = samples_file.read(folder / "samples.json")
    except FileNotFoundError:
        gallery = None
    parameters = sum(p.numel() for p in checkpoint.build_model(best).parameters())
    settings = best["settings"] | {"content": best.get("content", "")[:12]}
    return Compared(name, settings, history, row, parameters, gallery)


def folders_of(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the folders of runs by short names that differ.

    Args:
        paths: folders of runs, or checkpoints in them.

    Raises:
        InputError: a run is given twice.
    """
    folders = [path.parent if path.is_file() else path for path in paths]
    places = [folder.resolve() for folder in folders]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise InputError(f"{folders[number]}: is given twice; name each run once")
    short = [place.name for place in places]
    return dict(zip(short if len(set(short)) == len(short) else map(str, folders), folders))


def _note(text: str) -> None:
    """Print a remark on standard error."""
    put_error(f"note: {printable(text)}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = Parser(
        "python -m unet.evaluation.compare", description="Compare runs of train.py on one page."
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="HTML file to write")
    args = parser.parse_args(arguments)
    if len(args.runs) < 2:
        raise InputError(f"{args.runs[0]}: is one run; name two or more")
    folders = folders_of(args.runs)
    refuse_input([args.output], folders.values())
    runs = [load(folder, name) for name, folder in folders.items()]
    for run in runs:
        if not run.gallery:
            _note(f"{folders[run.name]}: has no samples.json, so the page has no samples of it")
    text = html(runs)
    with replacing(args.output) as temporary:
        temporary.write_text(text, "utf-8", "replace")
    for run in sorted(runs, key=rank, reverse=True):
        highest, mean, last = run.macro_dice()
        figures = f"macro Dice {highest:.4f} at most, {mean:.4f} on average, {last:.4f} at last"
        put(printable(f"{run.name}: {figures}"))
    put(printable(str(args.output)))


if __name__ == "__main__":
    with one_line_errors("unet.evaluation.compare"):
        main()
